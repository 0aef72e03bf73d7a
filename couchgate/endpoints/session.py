"""`GET /_session` in CouchDB's form: who the gate holds the client to be."""

from __future__ import annotations

from couchgate.core.errors import Forbidden
from couchgate.endpoints import Answer, Question


async def session(question: Question) -> Answer:
    """The principal. There are no sessions to open or close: a token is one's session."""
    if question.method not in (b"GET", b"HEAD") or question.principal is None:
        raise Forbidden("There are no cookie sessions here: send your token with every request.", code="session")
    principal = question.principal
    return Answer(
        200,
        {
            "ok": True,
            "userCtx": {"name": principal.name, "roles": list(principal.roles)},
            "info": {"authentication_handlers": ["jwt"], "authenticated": "jwt"},
        },
    )
