"""`GET /_session` in CouchDB's form: who the gate holds the client to be."""

from __future__ import annotations

from couchgate.core.errors import Forbidden
from couchgate.core.principal import PASSWORD_ISSUERS
from couchgate.endpoints import Answer, Question


async def session(question: Question) -> Answer:
    """The principal, and by what they came: "jwt", or for a password "default", which is CouchDB's word for Basic.

    There are no sessions to open or close: a token is one's session.
    """
    if question.method not in (b"GET", b"HEAD") or question.principal is None:
        raise Forbidden("There are no cookie sessions here: send your token with every request.", code="session")
    principal = question.principal
    by = "default" if principal.issuer.startswith(PASSWORD_ISSUERS) else "jwt"
    return Answer(
        200,
        {
            "ok": True,
            "userCtx": {"name": principal.name, "roles": list(principal.roles)},
            "info": {"authentication_handlers": [by], "authenticated": by},
        },
    )
