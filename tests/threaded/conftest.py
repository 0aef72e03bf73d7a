"""The real gate and the upstream that a test plays itself."""

from tests.reload.conftest import gate as reloaded
from tests.reload.conftest import upstream
from tests.web.live import own_upstream

__all__ = ["own_upstream", "reloaded", "upstream"]
