"""Variants and original photographs over HTTP: right kinds, nothing sent twice."""

from __future__ import annotations

import hashlib
import re
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import Path as InPath
from fastapi import Query, Request
from fastapi.responses import FileResponse, Response

from persona_img.errors import BadPhoto, InvalidInput, NotFound, PersonaImgError, StoreFailed
from persona_img.imaging.formats import HEAD, NOT_SHOWN, media_type
from persona_img.imaging.photo import load_photo, png_bytes
from persona_img.serving.addresses import choose, rendition_path

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from fastapi import FastAPI

    from persona_img.domain.catalog import Catalog
    from persona_img.serving.addresses import RenditionSource
    from persona_img.serving.stand_ins import StandIns

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FOREVER = "public, max-age=31536000, immutable"
_A_DAY = "public, max-age=86400"
_AN_HOUR = "public, max-age=3600"
_SOON = "public, max-age=60"  # until there are renditions
_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {}}},
    304: {"description": "The picture that the client has (`If-None-Match`) is still the one."},
}
_NOT_KEPT = {"Cache-Control": "no-store"}  # of what stands in for another picture
_UNKNOWN = "application/octet-stream"
_CONVERTED = 32
_WIDEST = 20_000
_ANYBODY = {
    # Pictures are for every page: also as the source of a canvas, also through another origin.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}

# Told, not asked by the framework: our own errors say the rule, and 404 is no matter of letters.
Digest = Annotated[str, InPath(json_schema_extra={"pattern": "^[0-9a-f]{64}$"})]
File = Annotated[
    str, InPath(json_schema_extra={"pattern": "^[1-9][0-9]{0,5}-[0-9a-f]{16}\\.(avif|webp|jpg)$"})
]
Width = Annotated[
    int | None,
    Query(
        alias="w",
        ge=1,
        le=_WIDEST,
        description="Pixels that are needed: the smallest rendition as wide is sent, as AVIF or "
        "WebP where `Accept` names it, else as JPEG. Left out: the picture as it is.",
    ),
]


class _Gone(NotFound):
    """A picture that may be shown, and whose file cannot be read."""


def add_pictures(
    app: FastAPI,
    catalog: Callable[[], Catalog],
    variants: Callable[[str], Path | bytes],
    renditions: RenditionSource | None,
    stand_ins: StandIns,
) -> None:
    """Add ``/v1/variants/``, ``/v1/photos/`` and ``/v1/renditions/``, for GET and HEAD.

    Args:
        app: Where to.
        catalog: Tells the products; those that are retired keep their pictures.
        variants: File or bytes of the variant with a digest; raises :class:`NotFound`.
        renditions: What pages load of variants and photos; None where there are none.
        stand_ins: Told of pictures that cannot be read; the photo of their product is answered.
    """

    def instead(request: Request, master: str, error: PersonaImgError) -> Response:
        """The photo, to be kept by nobody."""
        product = stand_ins.note(master)
        if product is None:
            raise NotFound(f"{error}; no photo is known that could be shown instead") from error
        return _picture(request, product.photo, f"photo of {product.product}", dict(_NOT_KEPT))

    def variant_image(request: Request, digest: Digest, width: Width = None) -> Response:
        """A variant: its own pixels, which never change, or what a page needs of it."""
        if not _DIGEST.fullmatch(digest):
            raise InvalidInput(f"digest {digest[:80]!r}: use 64 hexadecimal digits, small letters")
        try:
            source = variants(digest)
            if width is not None and not isinstance(source, bytes):
                negotiated = _negotiated(request, renditions, digest, source, "variant", width)
                if negotiated is not None:
                    return negotiated
            # Signed, its bytes are others: a cache is not to take one for the other.
            own = isinstance(source, bytes) or source.stem == digest
            tag = digest if own else f"{digest}-signed"
            headers = {"Cache-Control": _FOREVER if width is None else _SOON, "ETag": f'"{tag}"'}
            return _picture(request, source, f"variant {digest}", headers | _by_accept(width))
        except (StoreFailed, _Gone) as error:
            return instead(request, digest, error)

    def photo(request: Request, product: str, width: Width = None) -> Response:
        """The original photograph, by the product's identifier or as `image_url` names it."""
        found = catalog().find(product)
        if width is not None and (master := found.photo_digest):
            negotiated = _negotiated(request, renditions, master, found.photo, "photo", width)
            if negotiated is not None:
                return negotiated
        headers = {"Cache-Control": _AN_HOUR if width is None else _SOON} | _by_accept(width)
        return _picture(request, found.photo, f"photo of {product}", headers)

    def rendition(request: Request, master: Digest, file: File) -> Response:
        """A file that `pictures` names, made of a variant or a photo; its bytes never change."""
        made = None if renditions is None else renditions.known(master)
        if renditions is None or made is None:
            raise NotFound(f"no renditions of {master[:64]!r}; ask for a picture of it first")
        try:
            if made.of == "variant":
                variants(master)  # what was withdrawn is not there in any size
            path = renditions.path(master, file)
            headers = {"Cache-Control": _FOREVER, "ETag": f'"{path.stem}"'}
            return _picture(request, path, f"rendition {file}", headers)
        except (StoreFailed, _Gone) as error:
            return instead(request, master, error)

    # An identifier may hold a slash.
    routes = (
        ("/v1/variants/{digest}", variant_image),
        ("/v1/photos/{product:path}", photo),
        ("/v1/renditions/{master}/{file}", rendition),
    )
    for path, route in routes:
        app.get(path, response_class=Response, responses=_IMAGE)(route)
        app.head(path, response_class=Response, include_in_schema=False)(route)


def _negotiated(
    request: Request,
    renditions: RenditionSource | None,
    master: str,
    source: Path,
    of: str,
    width: int,
) -> Response | None:
    """The rendition that suits a client; None where there is none, or not yet."""
    made = None if renditions is None else renditions.get(master, source, of)
    if renditions is None or made is None:
        return None
    one = choose(made.files, width, request.headers.get("accept", ""))
    if one is None:
        return None
    path = renditions.path(master, one.file)
    headers = {
        "Cache-Control": _A_DAY,
        "Content-Location": rendition_path(made, one),
        "ETag": f'"{path.stem}"',
    }
    return _picture(request, path, f"rendition {one.file}", headers | _by_accept(width))


def _by_accept(width: int | None) -> dict[str, str]:
    return {} if width is None else {"Vary": "Accept"}


def _picture(
    request: Request, source: Path | bytes, name: str, headers: dict[str, str]
) -> Response:
    headers |= _ANYBODY
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
        raise _Gone(f"{name}: its file is not there; render or add it again") from error
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
