"""A gate as many people write it: FastAPI, PyJWT, and one pooled httpx.AsyncClient that streams both ways.

Configured by the environment: BENCH_PORT, BENCH_UPSTREAM (a URL), BENCH_PEM (a public key), BENCH_ISSUER and
BENCH_AUDIENCE.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.background import BackgroundTask

KEY = cast("RSAPublicKey", load_pem_public_key(Path(os.environ["BENCH_PEM"]).read_bytes()))
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "authorization"}
METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "COPY"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    async with httpx.AsyncClient(base_url=os.environ["BENCH_UPSTREAM"], limits=limits, timeout=None) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.api_route("/{path:path}", methods=METHODS)
async def relay(request: Request) -> Response:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        jwt.decode(
            token if scheme.lower() == "bearer" else "",
            KEY,
            algorithms=["RS256"],
            issuer=os.environ["BENCH_ISSUER"],
            audience=os.environ["BENCH_AUDIENCE"],
            options={"require": ["exp"]},
        )
    except jwt.InvalidTokenError:
        return JSONResponse({"error": "unauthorized", "reason": "no valid token"}, 401, {"WWW-Authenticate": "Bearer"})
    client: httpx.AsyncClient = request.app.state.client
    raw = request.scope["raw_path"] + (b"?" + request.scope["query_string"] if request.scope["query_string"] else b"")
    headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
    body = request.stream() if "content-length" in request.headers or "transfer-encoding" in request.headers else None
    outgoing = client.build_request(
        request.method, client.base_url.copy_with(raw_path=raw), headers=headers, content=body
    )
    answer = await client.send(outgoing, stream=True)
    kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
    return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))


if __name__ == "__main__":
    uvicorn.run(
        app, port=int(os.environ["BENCH_PORT"]), http="httptools", access_log=False, log_level="warning", workers=1
    )
