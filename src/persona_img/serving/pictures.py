"""Variants and original photographs over HTTP: right kinds, nothing sent twice."""

from __future__ import annotations

import hashlib
import re
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import Request  # noqa: TC002 FastAPI reads the annotations
from fastapi.responses import FileResponse, Response

from persona_img.errors import BadPhoto, InvalidInput, NotFound
from persona_img.imaging.formats import HEAD, NOT_SHOWN, media_type
from persona_img.imaging.photo import load_photo, png_bytes

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from fastapi import FastAPI

    from persona_img.domain.catalog import Catalog, Product

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FOREVER = "public, max-age=31536000, immutable"
_AN_HOUR = "public, max-age=3600"
_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {}}},
    304: {"description": "The picture that the client has (`If-None-Match`) is still the one."},
}
_UNKNOWN = "application/octet-stream"
_CONVERTED = 32
_MARK = 12


def photo_address(product: Product) -> str:
    """Path of the original photograph: another one once the photo is another.

    So a cache that holds the earlier photo is not asked for the new one.
    """
    mark = f"?v={product.photo_digest[:_MARK]}" if product.photo_digest else ""
    return f"/v1/photos/{product.key}{mark}"


def add_pictures(
    app: FastAPI, catalog: Callable[[], Catalog], variants: Callable[[str], Path | bytes]
) -> None:
    """Add ``/v1/variants/{digest}`` and ``/v1/photos/{product}``, for GET and HEAD.

    Args:
        app: Where to.
        catalog: Tells the products; those that are retired keep their pictures.
        variants: File or bytes of the variant with a digest; raises :class:`NotFound`.
    """

    def variant_image(request: Request, digest: str) -> Response:
        """The bytes of a variant; they never change."""
        if not _DIGEST.fullmatch(digest):
            raise InvalidInput(f"digest {digest[:80]!r}: use 64 hexadecimal digits, small letters")
        headers = {"Cache-Control": _FOREVER, "ETag": f'"{digest}"'}
        return _picture(request, variants(digest), f"variant {digest}", headers)

    def photo(request: Request, product: str) -> Response:
        """The original photograph, by the product's identifier or as `image_url` names it."""
        found = catalog().find(product)
        headers = {"Cache-Control": _AN_HOUR}
        return _picture(request, found.photo, f"photo of {product}", headers)

    # An identifier may hold a slash.
    routes = (("/v1/variants/{digest}", variant_image), ("/v1/photos/{product:path}", photo))
    for path, route in routes:
        app.get(path, response_class=Response, responses=_IMAGE)(route)
        app.head(path, response_class=Response, include_in_schema=False)(route)


def _picture(
    request: Request, source: Path | bytes, name: str, headers: dict[str, str]
) -> Response:
    headers |= {"X-Content-Type-Options": "nosniff"}
    if isinstance(source, bytes):
        return _answer(request, source, media_type(source[:HEAD]), headers)
    try:
        found = source.stat()
        with source.open("rb") as file:
            kind = media_type(file.read(HEAD))
        headers.setdefault("ETag", f'"{_mark(source, found)}"')
        headers["Last-Modified"] = formatdate(found.st_mtime, usegmt=True)
        if kind in NOT_SHOWN and not _is_known(request, headers):
            data = _as_png(source, found.st_mtime_ns, found.st_size)
            return _answer(request, data, "image/png", headers)
    except (OSError, BadPhoto) as error:
        raise NotFound(f"{name}: its file is not there; render or add it again") from error
    if _is_known(request, headers):
        return Response(status_code=304, headers=headers)
    return FileResponse(source, media_type=kind or _UNKNOWN, headers=headers, stat_result=found)


def _answer(request: Request, data: bytes, kind: str | None, headers: dict[str, str]) -> Response:
    if _is_known(request, headers):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind or _UNKNOWN, headers=headers)


def _is_known(request: Request, headers: dict[str, str]) -> bool:
    """Whether the client said that it has this picture (RFC 9110, 13.2.2)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        etag = headers.get("ETag")
        given = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        return etag is not None and (etag in given or "*" in given)
    since = request.headers.get("if-modified-since")
    if since is None or "Last-Modified" not in headers:
        return False
    try:
        return parsedate_to_datetime(headers["Last-Modified"]) <= parsedate_to_datetime(since)
    except (TypeError, ValueError):  # no date: as if it were not there
        return False


def _mark(path: Path, found: os.stat_result) -> str:
    """Names what the file holds, without reading it."""
    name = f"{path.name}\x1f{found.st_mtime_ns}\x1f{found.st_size}"
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]


@lru_cache(maxsize=_CONVERTED)
def _as_png(path: Path, modified: int, size: int) -> bytes:
    """A photograph that browsers do not show, as one that they do; same pixels."""
    photo = load_photo(path)
    if photo.alpha is None:
        return png_bytes(photo.pixels)
    return png_bytes(np.concatenate([photo.pixels, photo.alpha[..., None]], axis=2))
