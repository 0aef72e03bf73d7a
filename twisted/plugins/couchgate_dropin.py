# ruff: noqa: INP001 - an __init__.py in this folder or the one above would break Twisted
"""What `twistd` and every other Twisted application find of couchgate, by name.

Imported by `twistd` whatever it is to run: it imports no reactor and nothing that costs time.
"""

from twisted.application.service import ServiceMaker

from couchgate.strcred import JWTCheckerFactory

gate = ServiceMaker(
    "couchgate",
    "couchgate.tap",
    "An authenticating reverse proxy in front of Apache CouchDB.",
    "couchgate",
)
jwt_checker = JWTCheckerFactory()
