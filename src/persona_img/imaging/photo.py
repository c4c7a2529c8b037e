"""Photographs in, PNGs out: whatever a merchant uploads becomes upright 8-bit sRGB, or an error."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from persona_img.errors import BadPhoto, CannotWrite, InvalidInput
from persona_img.imaging.alpha import OPAQUE, lacks_core, levelled, without_shadow
from persona_img.imaging.decode import MAX_PIXELS as MAX_PIXELS
from persona_img.imaging.decode import MIN_SIDE as MIN_SIDE
from persona_img.imaging.decode import check_size, decode
from persona_img.imaging.folder import EDITS_KEY as EDITS_KEY  # what edits did, JSON
from persona_img.imaging.folder import list_photos as list_photos
from persona_img.imaging.profile import srgb_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


_COMPRESSION = 4  # of zlib: larger files by some per cent, in half the time of the usual 6


@dataclass(frozen=True)
class About:
    """What a merchant told of a photographed product; None where nothing was told.

    Attributes:
        pose: How it is: lying, standing, hanging or worn.
        size_cm: Its longest side, centimetres.
        category: What kind of thing.
    """

    pose: str | None = None
    size_cm: float | None = None
    category: str | None = None

    def as_dict(self) -> dict[str, str | float]:
        """What was told, without what was not."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph as every later step sees it.

    Two kinds have an alpha, and they are not the same. A *photograph with a mask* still shows its
    old backdrop, also mixed into the product's edge, which is unmixed before it is pasted. A
    *cut-out* came transparent: there is no old backdrop, and each of its pixels, however
    transparent, holds the product's own colour (straight alpha).

    Attributes:
        pixels: uint8 sRGB (H, W, 3), upright, read-only. Of a cut-out, 0 where the file was
            transparent: what nobody can see decides nothing.
        alpha: uint8 (H, W) that came with the file or from a person, 255 is product; or None.
        digest: SHA-256 over shape and pixels, hex, of a cut-out with its alpha as fourth channel.
            The file format does not enter, nor does a mask from elsewhere.
        source: File it was read from; None for bytes.
        cut_out: Whether it is a cut-out.
        edits: What our own edits did to it before, oldest first; plain values.
        about: What was told of the product.
        half_chroma: Whether its file kept colour at half the size: see :mod:`.bleed`.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    digest: str
    source: Path | None = None
    cut_out: bool = False
    edits: tuple[Mapping[str, Any], ...] = ()
    about: About = About()
    half_chroma: bool = False

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.uint8],
        alpha: NDArray[np.uint8] | None = None,
        source: Path | None = None,
        *,
        cut_out: bool = False,
    ) -> Photo:
        """Photo of sRGB pixels in memory.

        Args:
            pixels: uint8 (H, W, 3).
            alpha: uint8 (H, W), 255 is product; None for none.
            source: Where they come from.
            cut_out: Whether the alpha is the picture's own transparency, not a mask on it.

        Raises:
            BadPhoto: not uint8 (H, W, 3), too small, too large, or alpha of another shape.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise BadPhoto(f"pixels {pixels.dtype} {pixels.shape}: give uint8 (H, W, 3) in sRGB")
        check_size(pixels.shape[1], pixels.shape[0], str(source or "pixels"))
        photo = cls(pixels=_frozen(pixels), alpha=None, digest=pixel_digest(pixels), source=source)
        if alpha is None:
            return photo
        masked = photo.with_alpha(alpha)
        if not cut_out or masked.alpha is None:
            return masked
        seen = _frozen(np.where(masked.alpha[..., None] > 0, pixels, np.uint8(0)))
        digest = pixel_digest(np.dstack([seen, masked.alpha]))
        return replace(masked, pixels=seen, digest=digest, cut_out=True)

    def with_alpha(self, alpha: NDArray[np.uint8]) -> Photo:
        """The same photograph with a mask drawn by a person or another tool.

        What is nearly 255 or nearly 0 becomes it (:func:`.alpha.levelled`). A cut-out stays
        transparent where it is: a mask may take from it, and brings nothing back.

        Raises:
            BadPhoto: not uint8 of the photo's size, or no product in it.
        """
        if alpha.dtype != np.uint8 or alpha.shape != self.pixels.shape[:2]:
            size = self.pixels.shape[:2]
            raise BadPhoto(f"mask {alpha.dtype} {alpha.shape}: give uint8 of the photo's {size}")
        lack = lacks_core(alpha)
        if lack is not None:
            raise BadPhoto(f"mask with no product to keep: {lack}")
        level = levelled(alpha)
        if self.cut_out and self.alpha is not None:
            level = np.minimum(level, self.alpha)
            if not (level == 255).any():
                raise BadPhoto("mask with no product to keep: the photo is transparent there")
        return replace(self, alpha=_frozen(level))

    @property
    def seen(self) -> NDArray[np.bool_] | None:
        """Where its pixels are whole, bool (H, W), of a cut-out; None where that is everywhere."""
        return self.alpha == 255 if self.cut_out and self.alpha is not None else None


def load_photo(source: str | Path | bytes) -> Photo:
    """A photograph from a file or its bytes.

    EXIF rotation is applied; colours are converted to sRGB by what the file says of them (see
    :mod:`.profile`); 16 bits are reduced to 8. A transparent file is a cut-out: its alpha is the
    mask, without a shadow that an editor put under the product, 250 and more being 255. One that
    is opaque everywhere (250 at least) is a photograph.

    Raises:
        BadPhoto: no such file, no picture, damaged, over ``MAX_PIXELS``, under ``MIN_SIDE``,
            animated or of several pages, without an opaque pixel, 32-bit or of high dynamic range.

    Example:
        >>> from persona_img.assets import ASSETS
        >>> photo = load_photo(ASSETS / "catalog" / "photos" / "dress-01.jpg")
        >>> photo.pixels.dtype, photo.cut_out
        (dtype('uint8'), False)
    """
    decoded = decode(source)
    name = decoded.name
    alpha, edits = _alpha(decoded.image, name), _edits(decoded.image, name)
    photo = Photo.of(srgb_of(decoded), alpha, decoded.path, cut_out=alpha is not None)
    return replace(photo, edits=edits, half_chroma=decoded.half_chroma and alpha is None)


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 over shape and values, hex: the same picture in another file format is the same."""
    hasher = hashlib.sha256("x".join(map(str, pixels.shape)).encode() + b":")
    hasher.update(np.ascontiguousarray(pixels).data)
    return hasher.hexdigest()


def png_bytes(pixels: NDArray[np.uint8], text: Mapping[str, str] | None = None) -> bytes:
    """A PNG: same pixels and text, same bytes; tagged sRGB, no time stamp.

    Args:
        pixels: uint8 (H, W, 3), (H, W, 4) with alpha, or (H, W) for a mask.
        text: Keyword to text, stored in the file (iTXt).
    """
    info = PngImagePlugin.PngInfo()
    if pixels.ndim == 3:
        info.add(b"sRGB", b"\0")
    for keyword, value in (text or {}).items():
        info.add_itxt(keyword, value)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=_COMPRESSION, pnginfo=info)
    return out.getvalue()


def save_png(path: str | Path, pixels: NDArray[np.uint8]) -> Path:
    """Write :func:`png_bytes` to ``path``, whole or not at all; its folder is made.

    Raises:
        InvalidInput: the folder cannot be written to.
    """
    return write_whole(path, png_bytes(pixels))


def write_whole(path: str | Path, data: bytes) -> Path:
    """Write a file so that a reader, or a crash, meets all of it or nothing.

    Raises:
        CannotWrite: the folder cannot be written to, or the disk is full.
        InvalidInput: there can be no file of this name.
    """
    write_together({Path(path): data})
    return Path(path)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together, the last one last: all of them, or none.

    Raises:
        CannotWrite: the folder cannot be written to, or the disk is full.
        InvalidInput: there can be no file of this name.
    """
    partial = {path: path.with_name(_partial_name(path)) for path in files}
    path = next(iter(files))
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial[path].open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
        for path in files:
            partial[path].replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        for rest in partial.values():
            with contextlib.suppress(OSError):  # the first error is the one to tell
                rest.unlink()


def _partial_name(path: Path) -> str:
    """Hidden, of this process alone, and short: the file's own name with more may be too long."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return f".{digest[:16]}.{os.getpid()}.part"


def _refused(path: Path, error: OSError) -> InvalidInput:
    """A file's own fault, or one that the next file would meet as well."""
    if error.errno in (errno.ENAMETOOLONG, errno.EISDIR, errno.EINVAL, errno.EILSEQ):
        return InvalidInput(
            f"{path}: cannot be written ({error.strerror}); give the photo another name"
        )
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    todo = "make room, or choose another folder" if full else "choose a folder you may write to"
    return CannotWrite(f"{path}: cannot be written ({error.strerror}); {todo}")


def _frozen(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    frozen = np.ascontiguousarray(array)
    frozen.setflags(write=False)
    return frozen


def _edits(image: Image.Image, name: str) -> tuple[Mapping[str, Any], ...]:
    """What the file says was done to it; a mark of an alteration is not to get lost."""
    text = image.info.get(EDITS_KEY)
    if text is None:
        return ()
    try:
        edits = json.loads(text)
        if not isinstance(edits, list) or not all(isinstance(edit, dict) for edit in edits):
            raise ValueError("not a list of edits")
    except (TypeError, ValueError) as error:
        raise BadPhoto(
            f"{name}: its record of edits is damaged ({error}); take the file as it was saved"
        ) from error
    return tuple(edits)


def _alpha(image: Image.Image, name: str) -> NDArray[np.uint8] | None:
    if not image.has_transparency_data:
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    if (alpha >= OPAQUE).all():
        return None
    lack = lacks_core(alpha)
    if lack is not None:
        raise BadPhoto(f"{name}: {lack}")
    return without_shadow(levelled(alpha))
