"""The Resource tree: the gate's own pages, and CouchDB under every other name."""

from __future__ import annotations

from collections.abc import Callable

from couchgate.core.pages import Admins
from couchgate.life.pages import Page
from couchgate.web.door import Door
from couchgate.web.own import OwnResource, PageResource
from couchgate.web.resources import ReverseProxyResource, RootResource


def tree_of(
    proxy: ReverseProxyResource, door: Door, pages: dict[tuple[bytes, ...], Page], admins: Callable[[], Admins]
) -> RootResource:
    """The tree with `proxy` for CouchDB. It outlives every reload: what changes is behind what it is given."""
    root = RootResource(proxy)
    own = OwnResource()
    root.putChild(b"_gate", own)
    for path, page in pages.items():
        parent = own if path[0] == b"_gate" else root
        parent.putChild(path[-1], PageResource(page.name, page.ask, page.access, door, admins))
    return root
