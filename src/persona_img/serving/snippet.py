"""``/v1/persona-img.js``: two kilobytes for a shop's pages."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from fastapi import Request  # noqa: TC002 FastAPI reads the annotations
from fastapi.responses import Response

from persona_img.serving.pages import WEB

if TYPE_CHECKING:
    from fastapi import FastAPI

SNIPPET = WEB / "persona-img.min.js"
"""Made of ``persona-img.js`` beside it by ``tools/minify``."""


def add_snippet(app: FastAPI) -> None:
    """Add the route; pages of every origin may load it."""
    script = SNIPPET.read_bytes()
    tag = f'"{hashlib.sha256(script).hexdigest()[:32]}"'
    headers = {
        "Cache-Control": "public, max-age=3600",
        "ETag": tag,
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }

    def snippet(request: Request) -> Response:
        """The script that shows pictures in a page and says what came of them."""
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(script, media_type="text/javascript; charset=utf-8", headers=headers)

    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/javascript": {}}},
        304: {"description": "It is the one that the client has."},
    }
    app.get("/v1/persona-img.js", response_class=Response, responses=answers)(snippet)
    app.head("/v1/persona-img.js", include_in_schema=False)(snippet)
