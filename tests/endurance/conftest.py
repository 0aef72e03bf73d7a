"""The judge: a strict HTTP/1 parser of other hands."""

from tests.http1.conftest import wire

__all__ = ["wire"]
