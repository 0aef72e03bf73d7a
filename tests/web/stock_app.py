"""A tree of ordinary `twisted.web` Resources, for `test_stock.py`."""

import json
from pathlib import Path

from twisted.internet import defer, task
from twisted.web import pages, static
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.util import DeferredResource

from couchgate.core.errors import NotFound
from couchgate.web.own import OwnResource

seen = []
waiting = []


class Leaf(Resource):
    """A leaf that renders with a function, whatever the method."""

    isLeaf = True

    def __init__(self, render):
        super().__init__()
        self.render = render


class GetOnly(Resource):
    isLeaf = True

    def render_GET(self, request):
        return b"got"


def echo(request):
    """What the Resource was told, as JSON."""
    text = lambda pieces: [piece.decode("latin-1") for piece in pieces]  # noqa: E731 - one expression, one place
    request.setHeader("Content-Type", "application/json")
    return json.dumps(
        {
            "method": request.method.decode(),
            "uri": request.uri.decode(),
            "version": request.clientproto.decode(),
            "prepath": text(request.prepath),
            "postpath": text(request.postpath),
            "args": {name.decode(): text(values) for name, values in request.args.items()},
            "content": request.content.read().decode("latin-1"),
            "header": request.getHeader("X-Custom"),
            "cookie": (request.getCookie(b"crumb") or b"").decode(),
            "here": request.prePathURL().decode(),
            "client": request.getClientAddress().host,
            "secure": request.isSecure(),
        }
    ).encode()


def pieces(request):
    """An answer of unknown length."""
    request.write(b"one,")
    request.write(b"two,")
    task.deferLater(reactor(), 0.01, request.write, b"three").addCallback(lambda _: request.finish())
    return NOT_DONE_YET


def dressed(request):
    """A status and fields of its own, and some that are not its to say."""
    request.setResponseCode(418, b"I'm a\r\nteapot: short")
    for name in ("Server", "Transfer-Encoding", "Keep-Alive", "Access-Control-Allow-Origin", "Upgrade"):
        request.setHeader(name, "mine")
    request.setHeader("X-Split", "a\r\nSet-Cookie: evil=1")
    request.responseHeaders.setRawHeaders("X-Two", ["1", "2"])
    request.addCookie("crumb", "sweet", path="/", httpOnly=True)
    request.setETag(b'"tag"')
    return b"short and stout"


def redirected(request):
    request.redirect(b"/elsewhere")
    return b""


def with_status(request):
    request.setResponseCode(int(request.args[b"code"][0]))
    return b"no body may follow"


def with_length(request):
    """A body of ten bytes that says to be of another length."""
    request.setHeader("Content-Length", request.args[b"length"][0])
    request.write(b"0123456789")
    request.finish()
    return NOT_DONE_YET


def parting(request):
    request.setHeader("Connection", "close")
    return b"bye"


def waits(request):
    """An answer that comes when `release` is asked for; how it ended is in `seen`."""
    waiting.append(request)
    request.notifyFinish().addCallbacks(
        lambda _: seen.append("finished"), lambda reason: seen.append(reason.type.__name__)
    )
    if request.args.get(b"begin"):
        request.write(b"begun,")
    return NOT_DONE_YET


def release(request):
    waiting.pop().write(b"released")
    return b""


def release_all(request):
    while waiting:
        late = waiting.pop()
        late.write(b"released")
        late.finish()
    return b""


def looks_back(request):
    answer = json.dumps({"seen": seen, "waiting": len(waiting)}).encode()
    seen.clear()
    return answer


def fails(request):
    raise RuntimeError("a Resource's own fault")


def fails_late(request):
    request.write(b"half of")
    raise RuntimeError("a Resource's own fault, late")


def fails_by_deferred():
    return DeferredResource(defer.fail(RuntimeError("a Resource's own fault, deferred")))


def returns_text(request):
    return "text"


def says_no(request):
    raise NotFound("There is nothing here, says a Resource.")


def counts(request):
    """A session's counter."""
    session = request.getSession()
    session.count = getattr(session, "count", 0) + 1
    return b"%d" % session.count


class Flood:
    """A push producer that would never end; how often it was paused and resumed is in `seen`."""

    def __init__(self, request):
        self.request = request
        self.going = True
        request.registerProducer(self, streaming=True)
        self.go()

    def go(self):
        if self.going:
            self.request.write(b"x" * 65536)
            reactor().callLater(0, self.go)

    def pauseProducing(self):
        self.going = False
        seen.append("paused")

    def resumeProducing(self):
        self.going = True
        seen.append("resumed")
        self.go()

    def stopProducing(self):
        self.going = False
        seen.append("stopped")


def floods(request):
    Flood(request)
    return NOT_DONE_YET


class BadProducer:
    def __init__(self, request, bytes_first):
        self.request, self.bytes_first = request, bytes_first

    def resumeProducing(self):
        if self.bytes_first:
            self.bytes_first = False
            self.request.write(b"some")
        else:
            raise RuntimeError("a producer's own fault")

    def stopProducing(self):
        raise RuntimeError("a producer's fault as it stops")


def bad_producer(request):
    request.registerProducer(BadProducer(request, request.args.get(b"first")), streaming=False)
    return NOT_DONE_YET


def reactor():
    from twisted.internet import reactor as running  # noqa: TID251 - a deployment's own code may

    return running


class Lazy(Resource):
    """Makes its children as they are asked for."""

    def getChild(self, path, request):
        request.prepared = list(request.postpath)
        return Leaf(lambda request: b"%b %d" % (path, len(request.prepared)))


def tree(folder):
    """The tree; `folder` has files to serve."""
    root = Resource()
    leaves = {
        "echo": echo,
        "pieces": pieces,
        "dressed": dressed,
        "redirected": redirected,
        "with_status": with_status,
        "with_length": with_length,
        "parting": parting,
        "waits": waits,
        "release": release,
        "release_all": release_all,
        "looks_back": looks_back,
        "fails": fails,
        "fails_late": fails_late,
        "returns_text": returns_text,
        "says_no": says_no,
        "counts": counts,
        "floods": floods,
        "bad_producer": bad_producer,
    }
    for name, render in leaves.items():
        root.putChild(name.encode(), Leaf(render))
    root.putChild(b"data", static.Data(b"plain data", "text/plain"))
    root.putChild(b"files", static.File(str(Path(folder))))
    root.putChild(b"missing", pages.notFound())
    root.putChild(b"get_only", GetOnly())
    root.putChild(b"deferred", Deferring())
    root.putChild(b"lazy", Lazy())
    root.putChild(b"lean", OwnResource())
    return root


class Deferring(Resource):
    def getChild(self, path, request):
        return fails_by_deferred()
