"""The Resource tree: the gate's own pages, and CouchDB under every other name."""

from __future__ import annotations

from collections.abc import Callable

from couchgate.endpoints import Endpoint, Question
from couchgate.endpoints.session import session
from couchgate.endpoints.status import Readiness, health
from couchgate.overview import Overview
from couchgate.web.door import Door
from couchgate.web.own import AdminResource, Admins, Ask, EndpointResource, OwnResource
from couchgate.web.resources import ReverseProxyResource, RootResource


def tree_of(
    proxy: ReverseProxyResource, door: Door, readiness: Readiness, overview: Overview, admins: Callable[[], Admins]
) -> RootResource:
    """The tree with `proxy` for CouchDB. It outlives every reload: what changes is behind what it is given."""
    root = RootResource(proxy)
    own = OwnResource()
    own.putChild(b"health", EndpointResource("_gate/health", _endpoint(health)))
    own.putChild(b"ready", EndpointResource("_gate/ready", _endpoint(readiness)))
    for name, ask in overview.endpoints.items():
        own.putChild(name.encode(), AdminResource(f"_gate/{name}", _endpoint(ask), door, admins))
    root.putChild(b"_gate", own)
    root.putChild(b"_session", EndpointResource("_session", _endpoint(session), door))
    return root


def _endpoint(ask: Endpoint) -> Ask:
    return lambda method, query, principal: ask(Question(method, principal, query))
