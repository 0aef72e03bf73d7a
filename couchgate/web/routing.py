"""The way of a request through the Resource tree, from its head alone.

Apart from the site because it is compiled, which a subclass of Twisted's classes cannot be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from couchgate.core.rewrite import lines_of
from couchgate.core.target import classify
from couchgate.web.request import ClientRequest
from couchgate.web.stock import StockChannel

if TYPE_CHECKING:
    from couchgate.web.site import Site


def route(site: Site, request: ClientRequest) -> None:
    """Decide what can be decided without a token, then let the tree's Resource answer. Raises GateError."""
    head = request.head
    gate = site.gate
    request.lines, preflight, close = gate.screen(head)
    if close:
        request.keep = False
    if preflight:
        status, pairs = gate.preflight(head)
        request.code = "preflight" if status < 400 else "preflight_refused"
        request.endpoint = "preflight"
        request.lines = b""
        request.respond(status, lines_of(pairs))
        return
    request.target = target = classify(head.method, head.target)
    request.endpoint = target.endpoint
    resource: Any = site.root
    segments, depth = target.segments, 0
    while getattr(resource, "renders_lean", False):
        if resource.isLeaf or depth == len(segments):
            resource.render(request)
            return
        resource = resource.getChildWithDefault(segments[depth], request)
        depth += 1
    StockChannel(request, site.stock, resource, depth).start()
