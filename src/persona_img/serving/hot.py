"""Routes that are asked all the time, answered as plain ASGI: a framework costs more than they do.

The framework still describes them (OpenAPI), and answers whoever asks for them by another method.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import HTTPException
from starlette.requests import ClientDisconnect

from persona_img.errors import PersonaImgError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back.

    Attributes:
        body: Whole, JSON.
        status: Of HTTP.
        headers: Beside type and length.
    """

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[["Scope", "Receive"], Awaitable[Answer]]


class Hot:
    """Answers some routes itself, and leaves all others to an app.

    Args:
        app: Answers what is left.
        routes: (method, path) to who answers it.
        problem: What an error is answered with; others than ``PersonaImgError`` and
            ``HTTPException`` are left to the app.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Mapping[tuple[str, str], Handler],
        problem: Callable[[Exception], Answer],
    ) -> None:
        self._app, self._routes, self._problem = app, routes, problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        handler = None
        if scope["type"] == "http":
            handler = self._routes.get((scope["method"], scope["path"]))
        if handler is None:
            await self._app(scope, receive, send)
            return
        try:
            answer = await handler(scope, receive)
        except (PersonaImgError, HTTPException) as error:
            answer = self._problem(error)
        except ClientDisconnect:
            return
        length = (b"content-length", str(len(answer.body)).encode())
        headers = [_JSON, length, *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def answer(body: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """An answer of plain values."""
    return Answer(orjson.dumps(body), status, headers)


async def read_body(receive: Receive, limit: int) -> bytes:
    """A request's body, of which no more than ``limit`` bytes are ever held.

    Raises:
        HTTPException: 413 if it is longer.
        ClientDisconnect: nobody is there any more.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise HTTPException(413, f"body over {limit} bytes; send less at once")
        if not message.get("more_body", False):
            return bytes(body)
