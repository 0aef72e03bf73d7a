"""The real gate, with a listener in each mode, and the upstream that records what reaches it."""

from tests.web.live import own_upstream

__all__ = ["own_upstream"]
