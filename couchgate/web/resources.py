"""The Resource tree: the gate's own pages by name, and under every other name CouchDB.

`ReverseProxyResource` is the leaf that relays. It decides when it is rendered, which is when the head is complete.

A Resource class with `renders_lean = True` takes the lean `ClientRequest` in `getChild` and `render`, before anything
of the body is read, and may raise GateError. Every other Resource of `twisted.web`, and all below it, is given a stock
request (`couchgate.web.stock`), so any can be put into the tree. An attribute and not an interface: it is asked for
each step of every request, and `providedBy` costs four times as much.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from couchgate.web.couchdb import Pool
from couchgate.web.door import Door


class ReverseProxyResource(Resource):
    """Relays to CouchDB, through `pool`, what the gate lets through."""

    isLeaf = True
    renders_lean = True

    def __init__(self, door: Door, pool: Pool) -> None:
        super().__init__()
        self._door = door
        self.pool = pool

    def render(self, request: Any) -> Any:
        """Decide, and relay. Raises GateError."""
        self._door.forward(request, self, patient=True)
        return NOT_DONE_YET


class RootResource(Resource):
    """The root of the tree: `leaf` stands under every name that no child has."""

    renders_lean = True

    def __init__(self, leaf: Resource) -> None:
        super().__init__()
        self._leaf = leaf

    def getChild(self, path: bytes, request: Any) -> Resource:  # noqa: ARG002  # Twisted's signature
        """CouchDB."""
        return self._leaf

    def render(self, request: Any) -> Any:
        """`/` is CouchDB's too."""
        return self._leaf.render(request)
