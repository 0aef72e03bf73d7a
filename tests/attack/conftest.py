"""The real gate and the upstream that a test plays itself."""

from tests.web.live import gate, own_upstream, shared_gate, shared_upstream, upstream

__all__ = ["gate", "own_upstream", "shared_gate", "shared_upstream", "upstream"]
