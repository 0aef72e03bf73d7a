"""A CouchDB reduced to what `couchgate doctor` asks of it, right or wrong in each way; on a real socket.

After CouchDB 3.5 (`chttpd.erl`, `couch_httpd_auth.erl`): handlers are asked in their order until one knows a name.
"""

import base64
import hashlib
import hmac
import json
import time
from email.utils import formatdate

import jwt
from twisted.web.resource import Resource
from twisted.web.server import Site


class Refused(Exception):
    """What CouchDB answers instead of a session."""


class FakeCouchDB(Resource):
    """`GET /`, `/_session`, `/_all_dbs` and `/_node/_local/_config/…`. The attributes are its configuration."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.version = "3.5.0"
        self.welcome = "couchdb"
        self.handlers = ["cookie", "proxy", "default"]
        self.proxy_use_secret = True
        self.secret = b""
        self.hashes = ["sha256", "sha"]
        self.jwt_secret = b""
        self.jwt_verifies = True
        self.admins = True
        self.users = {"couchgate": ("pw", ["_admin"])}
        self.require_valid_user = True
        self.admin_only_all_dbs = True
        self.enable_cors = False
        self.skew = 0.0
        self.config = {}
        self.answers = True
        self.broken = ()
        self.requests = []

    def listen(self, reactor):
        """Start on a free port; the port."""
        site = Site(self)
        site.displayTracebacks = False
        return reactor.listenTCP(0, site, interface="127.0.0.1")

    # -- who asks

    def _proxy(self, request):
        name = request.getHeader("x-auth-couchdb-username")
        if name is None:
            return None
        roles = [role for role in (request.getHeader("x-auth-couchdb-roles") or "").split(",") if role]
        if not self.proxy_use_secret:
            return name, roles
        names = {"sha256": hashlib.sha256, "sha": hashlib.sha1}
        right = {hmac.new(self.secret, name.encode(), names[each]).hexdigest() for each in self.hashes}
        return (name, roles) if request.getHeader("x-auth-couchdb-token") in right else None

    def _jwt(self, request):
        scheme, _, token = (request.getHeader("authorization") or "").partition(" ")
        if scheme != "Bearer":
            return None
        try:
            claims = jwt.decode(
                token,
                self.jwt_secret,
                ["HS256"],
                options={"verify_exp": False, "verify_signature": self.jwt_verifies},
            )
        except jwt.InvalidTokenError:
            raise Refused(400, "bad_request") from None
        return claims["sub"], claims["_couchdb.roles"]

    def _default(self, request):
        scheme, _, value = (request.getHeader("authorization") or "").partition(" ")
        if not scheme:
            return None if self.admins else (None, ["_admin"])
        if scheme != "Basic":
            raise Refused(400, "bad_request")
        name, _, password = base64.b64decode(value).decode().partition(":")
        known = self.users.get(name)
        if known is None or known[0] != password:
            raise Refused(401, "unauthorized")
        return name, known[1]

    def _who(self, request):
        ways = {"proxy": self._proxy, "jwt": self._jwt, "default": self._default}
        for handler in self.handlers:
            who = ways[handler](request) if handler in ways else None
            if who is not None:
                return who
        if self.require_valid_user:
            raise Refused(401, "unauthorized")
        return None, []

    # -- what they ask

    def render_GET(self, request):
        path = request.path.decode()
        self.requests.append(path)
        if not self.answers or path in self.broken:
            request.transport.abortConnection()
            return b""
        request.setHeader("date", formatdate(time.time() + self.skew, usegmt=True))
        request.setHeader("content-type", "application/json")
        if self.enable_cors and request.getHeader("origin"):
            request.setHeader("access-control-allow-origin", request.getHeader("origin"))
        try:
            return self._answer(path, *self._who(request))
        except Refused as refusal:
            status, word = refusal.args
            request.setResponseCode(status)
            return json.dumps({"error": word, "reason": word}).encode()

    def _answer(self, path, name, roles):
        if path == "/_session":
            info = {"authentication_handlers": self.handlers}
            value = {"ok": True, "userCtx": {"name": name, "roles": roles}, "info": info}
        elif path == "/":
            value = {self.welcome: "Welcome", "version": self.version}
        elif path == "/_all_dbs":
            if self.admin_only_all_dbs and "_admin" not in roles:
                raise Refused(401, "unauthorized")
            value = []
        else:
            key = path.removeprefix("/_node/_local/_config/")
            if "_admin" not in roles or key not in self.config:
                raise Refused(404, "unknown_config_value")
            value = self.config[key]
        return json.dumps(value).encode()
