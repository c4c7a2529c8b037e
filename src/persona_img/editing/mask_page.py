"""A page on which a person puts a mask right with a brush; it lives until they save or leave.

It is served on this machine alone, under a path that nobody can guess. The strokes are applied
here, at the photo's own size, by the same :func:`.correct.correct` as points on the command line;
the page shows a photo no larger than a screen needs.
"""

from __future__ import annotations

import io
import secrets
import threading
import zlib
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import numpy as np
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from persona_img.assets import ASSETS
from persona_img.errors import InvalidInput, PersonaImgError
from persona_img.imaging.photo import png_bytes
from persona_img.masking.correct import Stroke, correct

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from persona_img.imaging.photo import Photo

_SIDE = 2048  # of what the page shows, pixels; strokes are applied to the whole photo
_REACH = 4.0  # of the brush's radius: a fine brush changes little around it,
_LEAST_REACH = 0.05  # but so much, as a share of the longer side
_MOST_POINTS = 5000  # of one stroke
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Drawn(BaseModel):
    """A stroke as the page sends it.

    Attributes:
        keep: Whether it is product.
        points: Where the brush went, shares of the photo's width and height.
        radius: Of the brush, as a share of the photo's longer side.
        follow: Whether what belongs to the stroke changes with it.
    """

    model_config = ConfigDict(extra="forbid")

    keep: bool
    points: Annotated[list[tuple[Share, Share]], Field(min_length=1, max_length=_MOST_POINTS)]
    radius: Annotated[float, Field(ge=0.0, le=0.25)]
    follow: bool = True


class MaskPage:
    """One photo, its mask, and a brush.

    Args:
        photo: The photo.
        alpha: uint8 (H, W), the mask to put right.
        title: What the photo is called.
        save: Keeps the mask; says where. What it raises is told on the page, which stays open.

    Attributes:
        app: Serves the page under ``/TOKEN/``.
        token: Makes its address hard to guess.
        saved: What ``save`` said; None until then.
    """

    def __init__(
        self,
        photo: Photo,
        alpha: NDArray[np.uint8],
        title: str,
        save: Callable[[NDArray[np.uint8]], str],
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        self.saved: str | None = None
        self._photo, self._title, self._save = photo, title, save
        self._masks, self._at = [_packed(alpha)], 0
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.app = self._served()

    @property
    def alpha(self) -> NDArray[np.uint8]:
        """The mask as it is now, uint8 (H, W)."""
        height, width = self._photo.pixels.shape[:2]
        data = zlib.decompress(self._masks[self._at])
        return np.frombuffer(data, np.uint8).reshape(height, width)

    def wait(self) -> None:
        """Until the person saved the mask or left it as it was."""
        while not self._ended.wait(0.2):  # in steps, for an interrupt is only seen between them
            pass

    def draw(self, drawn: Drawn) -> None:
        """Apply a stroke; what was undone before is gone."""
        height, width = self._photo.pixels.shape[:2]
        longest = max(height, width)
        radius = round(drawn.radius * longest)
        least = round(_LEAST_REACH * longest)
        stroke = Stroke(
            keep=drawn.keep,
            points=tuple(
                (min(width - 1, int(x * width)), min(height - 1, int(y * height)))
                for x, y in drawn.points
            ),
            radius=radius,
            reach=max(least, round(_REACH * radius)) if drawn.follow else 0,
        )
        alpha = correct(self._photo.pixels, self.alpha, [stroke])
        if self._photo.cut_out and self._photo.alpha is not None:
            alpha = np.minimum(alpha, self._photo.alpha)  # what is transparent cannot be kept
        self._masks[self._at + 1 :] = [_packed(alpha)]
        self._at += 1

    def step(self, by: int) -> None:
        """Back (-1) or forth (1) among the masks that there were; no farther than the ends."""
        self._at = min(max(self._at + by, 0), len(self._masks) - 1)

    def state(self) -> dict[str, Any]:
        """What the page has to know after each change."""
        return {
            "version": f"{self._at}-{zlib.crc32(self._masks[self._at])}",
            "undo": self._at > 0,
            "redo": self._at < len(self._masks) - 1,
            "changed": self._masks[self._at] != self._masks[0],
        }

    def _served(self) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        # A page of somebody else's that resolves its own name to this machine is not answered.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        app.include_router(self._shown())
        app.include_router(self._changed())

        @app.get("/healthz")
        def healthz() -> dict[str, str]:
            return {"status": "ok"}

        @app.exception_handler(PersonaImgError)
        async def told(_: Request, error: Exception) -> Response:
            return JSONResponse({"detail": str(error)}, status_code=422)

        return app

    def _shown(self) -> APIRouter:
        router = APIRouter(prefix=f"/{self.token}")

        @router.get("/")
        def page() -> Response:
            nonce = secrets.token_urlsafe(16)
            height, width = self._photo.pixels.shape[:2]
            template = Environment(autoescape=True).from_string(
                (ASSETS / "mask.html.j2").read_text(encoding="utf-8")
            )
            html = template.render(
                title=self._title, width=width, height=height, nonce=nonce, state=self.state()
            )
            policy = (
                f"default-src 'none'; img-src 'self' data:; connect-src 'self'; "
                f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; "
                f"form-action 'none'; frame-ancestors 'none'"
            )
            return HTMLResponse(html, headers={"Content-Security-Policy": policy, **_PRIVATE})

        @router.get("/photo.jpg")
        def photo() -> Response:
            out = io.BytesIO()
            Image.fromarray(_fitted(self._photo.pixels)).save(out, "JPEG", quality=92)
            return Response(out.getvalue(), media_type="image/jpeg", headers=_PRIVATE)

        @router.get("/mask.png")
        def mask() -> Response:
            with self._lock:
                alpha = self.alpha
            return Response(png_bytes(_fitted(alpha)), media_type="image/png", headers=_PRIVATE)

        return router

    def _changed(self) -> APIRouter:
        router = APIRouter(prefix=f"/{self.token}")

        @router.post("/stroke")
        def stroke(drawn: Drawn) -> dict[str, Any]:
            with self._lock:
                self.draw(drawn)
                return self.state()

        @router.post("/undo")
        def undo() -> dict[str, Any]:
            with self._lock:
                self.step(-1)
                return self.state()

        @router.post("/redo")
        def redo() -> dict[str, Any]:
            with self._lock:
                self.step(1)
                return self.state()

        @router.post("/save")
        def save() -> dict[str, Any]:
            with self._lock:
                if self._ended.is_set():
                    raise InvalidInput("the mask was saved or left already; run the command again")
                self.saved = self._save(self.alpha.copy())
                self._ended.set()
                return {"saved": self.saved}

        @router.post("/leave")
        def leave() -> dict[str, Any]:
            self._ended.set()
            return {"saved": None}

        return router


_PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _packed(alpha: NDArray[np.uint8]) -> bytes:
    """A hundred masks of a large photo would fill the memory."""
    return zlib.compress(np.ascontiguousarray(alpha).tobytes(), 1)


def _fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shrink = min(1.0, _SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * shrink)), max(1, round(pixels.shape[0] * shrink)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
