"""A relay of the kind that endpoint sensors are known to have ended: FastAPI and uvicorn, relaying by async httpx.

`python -m couchgate.probe.relay PORT ORIGIN URL`, if these packages are installed. It lets in who shows the very token
of the environment variable COUCHGATE_PROBE_TOKEN, and tells CouchDB nothing of its own.
"""

from __future__ import annotations

import hmac
import os
import sys
from importlib.util import find_spec
from typing import Any

from couchgate.probe.control import end_with_parent

TOKEN_VARIABLE = "COUCHGATE_PROBE_TOKEN"
PACKAGES = ("fastapi", "uvicorn", "httpx")
_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE"]
_DROPPED = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "authorization"}


def missing() -> list[str]:
    """The packages that it needs and that are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def application(origin: str, upstream: str, token: str) -> Any:
    """The ASGI application."""
    import httpx  # noqa: PLC0415 - these are here only if a person has installed them
    from fastapi import FastAPI, Response  # noqa: PLC0415
    from fastapi.middleware.cors import CORSMiddleware  # noqa: PLC0415
    from fastapi.responses import JSONResponse, StreamingResponse  # noqa: PLC0415
    from starlette.background import BackgroundTask  # noqa: PLC0415

    client = httpx.AsyncClient(base_url=upstream, timeout=None)  # noqa: S113 - feeds stay open
    known = f"Bearer {token}".encode()

    async def relay(request: Any) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode("latin-1"), known):
            return JSONResponse({"error": "unauthorized", "reason": "not the token of this run"}, 401)
        query = request.scope["query_string"]
        url = client.base_url.copy_with(raw_path=request.scope["raw_path"] + (b"?" + query if query else b""))
        headers = [(name, value) for name, value in request.headers.items() if name not in _DROPPED]
        body = request.stream() if request.method in {"PUT", "POST"} else None
        answer = await client.send(
            client.build_request(request.method, url, headers=headers, content=body), stream=True
        )
        kept = {name: value for name, value in answer.headers.items() if name not in _DROPPED}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))

    app = FastAPI(openapi_url=None)
    app.add_middleware(
        CORSMiddleware, allow_origins=[origin], allow_credentials=True, allow_methods=_METHODS, allow_headers=["*"]
    )
    app.router.add_route("/{path:path}", relay, methods=_METHODS)
    return app


def main(port: int, origin: str, upstream: str) -> None:
    """Serve until the parent has gone."""
    import uvicorn  # noqa: PLC0415

    end_with_parent()
    app = application(origin, upstream, os.environ[TOKEN_VARIABLE])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
