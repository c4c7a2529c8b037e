"""What a page is told of a picture: its addresses, for every width and format, and its text."""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, cast

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from persona_img.domain.catalog import Product
    from persona_img.domain.rendition import Rendition, Renditions

_MARK = 12
_REMEMBERED = 50_000
_THREADS = 4


class RenditionSource(Protocol):
    """Tells what was made of a master, and makes it, later, where nothing was."""

    def get(self, master: str, source: Path, of: str) -> Renditions | None:
        """What was made of a master (a ``variant`` or a ``photo``); None where nothing is yet."""

    def known(self, master: str) -> Renditions | None:
        """What was made of a master, and nothing begun where nothing was."""

    def path(self, master: str, file: str) -> Path:
        """Where a rendition lies; raises :class:`~persona_img.errors.NotFound`."""


class Addresses:
    """Addresses of pictures, on this server or on what stands before it.

    Args:
        renditions: What pages load; None where pictures are shown as they are.
        variants: The file of a variant that may be shown; asked where its renditions are not known.
        base: Put before every path, e.g. ``https://cdn.shop``; empty for this server.
        seconds: For how long disks are waited for.
    """

    def __init__(
        self,
        renditions: RenditionSource | None = None,
        variants: Callable[[str], Path | bytes] | None = None,
        base: str = "",
        seconds: float = 0.25,
    ) -> None:
        self._renditions, self._variants = renditions, variants
        self._base = base.rstrip("/")
        self._known: LRUCache[tuple[str, str, str, str | None], dict[str, Any]]
        self._known = LRUCache(_REMEMBERED)
        self._lock = threading.Lock()
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="persona-img-look")

    async def all(self, wanted: Sequence[tuple[Product, str | None]]) -> list[dict[str, Any]]:
        """What :meth:`of` tells of each; only what is not in memory takes a thread.

        Raises:
            TimeoutError: a disk took too long.
        """
        found = [self._at_hand(*one) for one in wanted]
        if None not in found:
            return cast("list[dict[str, Any]]", found)
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, lambda: [self.of(*one) for one in wanted])
        return await asyncio.wait_for(work, self._seconds)

    def of(self, product: Product, digest: str | None) -> dict[str, Any]:
        """The fields of an answer that are about the picture; not to be changed by the caller.

        May read the disk, where what is on it is not in memory yet.

        Args:
            product: What is shown.
            digest: The variant; None for the photograph.

        Returns:
            ``image_url``; ``pictures``, each a ``url``, a ``width`` in pixels and a media ``type``,
            by type and width, none while they are being made; ``alt``.
        """
        known = self._at_hand(product, digest)
        if known is not None:
            return known
        made = self._made(product, digest)
        found = self._told(product, digest, made)
        if made is not None or self._renditions is None:
            with self._lock:
                self._known[_key(product, digest)] = found
        return found

    def _at_hand(self, product: Product, digest: str | None) -> dict[str, Any] | None:
        """The fields where they are in memory; None where they are not."""
        with self._lock:
            return self._known.get(_key(product, digest))

    def photo(self, product: Product) -> dict[str, Any]:
        """The same of the photograph, with what is in memory: for where disks fail."""
        return self._at_hand(product, None) or self._told(product, None, None)

    def _told(
        self, product: Product, digest: str | None, made: Renditions | None
    ) -> dict[str, Any]:
        return {
            "image_url": self._base + (variant_path(digest) if digest else photo_path(product)),
            "pictures": _pictures(made, self._base) if made else [],
            "alt": product.title or product.category,
        }

    def _made(self, product: Product, digest: str | None) -> Renditions | None:
        if self._renditions is None:
            return None
        if digest is None:
            photo = product.photo_digest  # a table that tells none has photos as they are
            return self._renditions.get(photo, product.photo, "photo") if photo else None
        assert self._variants is not None
        file = self._variants(digest)
        return None if isinstance(file, bytes) else self._renditions.get(digest, file, "variant")


def _key(product: Product, digest: str | None) -> tuple[str, str, str, str | None]:
    return product.key, product.photo_digest, product.title, digest


def variant_path(digest: str) -> str:
    """Path of a variant, lossless."""
    return f"/v1/variants/{digest}"


def photo_path(product: Product) -> str:
    """Path of the original photograph: another one once the photo is another.

    So a cache that holds the earlier photo is not asked for the new one.
    """
    mark = f"?v={product.photo_digest[:_MARK]}" if product.photo_digest else ""
    return f"/v1/photos/{product.key}{mark}"


def rendition_path(made: Renditions, one: Rendition) -> str:
    """Path of a rendition; what it answers never changes."""
    return f"/v1/renditions/{made.master}/{one.file}"


def choose(files: Sequence[Rendition], width: int, accept: str) -> Rendition | None:
    """The file for a client that takes these media types (``Accept``), at least so wide.

    AVIF and WebP only where the client names them: ``*/*`` is what everybody sends. Where the
    picture is narrower its widest is taken; None where the client takes nothing there is.
    """
    liked = _liked(accept)
    types = [t for t in dict.fromkeys(one.media_type for one in files) if _takes(liked, t)]
    if not types:
        return None
    some = sorted((f for f in files if f.media_type == types[0]), key=lambda one: one.width)
    return next((one for one in some if one.width >= width), some[-1])


def _pictures(made: Renditions, base: str) -> list[dict[str, Any]]:
    types = list(dict.fromkeys(one.media_type for one in made.files))
    order = sorted(made.files, key=lambda one: (types.index(one.media_type), one.width))
    return [
        {"url": base + rendition_path(made, one), "width": one.width, "type": one.media_type}
        for one in order
    ]


def _takes(liked: dict[str, bool], media_type: str) -> bool:
    if media_type in liked:
        return liked[media_type]
    if media_type != "image/jpeg":
        return False
    return not liked or liked.get("image/*", liked.get("*/*", False))


def _liked(accept: str) -> dict[str, bool]:
    """Media ranges of an Accept header, and whether each is wanted at all (RFC 9110, 12.5.1)."""
    found = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name:
            found[name] = not any(re.fullmatch(r"q=0(\.0{0,3})?", one) for one in parameters)
    return found
