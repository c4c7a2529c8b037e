"""Photographs in, PNGs out: whatever a merchant uploads becomes upright 8-bit sRGB, or an error."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from persona_img.errors import BadPhoto, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif")
"""Names of files that :func:`list_photos` takes for photographs, in lower case."""
MAX_PIXELS = 50_000_000
"""Larger photographs are refused before they are decoded."""
EDITS_KEY = "persona-img-edits"
"""Keyword of the PNG text that lists what edits did to a picture, JSON."""
MIN_SIDE = 64
"""Smaller photographs show too little of a product to find its outline."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
_HAZE, _HALF = 2, 128
_COMPRESSION = 4  # of zlib: larger files by some per cent, in half the time of the usual 6


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph as every later step sees it.

    Attributes:
        pixels: uint8 sRGB (H, W, 3), upright, read-only.
        alpha: uint8 (H, W) that came with the file or from a person, 255 is product; or None.
        digest: SHA-256 over shape and pixels, hex. Alpha and file format do not enter.
        source: File it was read from; None for bytes.
        cut_out: Whether the file was transparent: there is no old backdrop in it.
        edits: What our own edits did to it before, oldest first; plain values.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    digest: str
    source: Path | None = None
    cut_out: bool = False
    edits: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.uint8],
        alpha: NDArray[np.uint8] | None = None,
        source: Path | None = None,
    ) -> Photo:
        """Photo of sRGB pixels in memory.

        Raises:
            BadPhoto: not uint8 (H, W, 3), too small, too large, or alpha of another shape.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise BadPhoto(f"pixels {pixels.dtype} {pixels.shape}: give uint8 (H, W, 3) in sRGB")
        _check_size(pixels.shape[1], pixels.shape[0], str(source or "pixels"))
        frozen = np.ascontiguousarray(pixels)
        frozen.setflags(write=False)
        photo = cls(pixels=frozen, alpha=None, digest=pixel_digest(frozen), source=source)
        return photo if alpha is None else photo.with_alpha(alpha)

    def with_alpha(self, alpha: NDArray[np.uint8]) -> Photo:
        """The same photograph with a mask drawn by a person or another tool.

        Raises:
            BadPhoto: not uint8 of the photo's size, or no product in it.
        """
        if alpha.dtype != np.uint8 or alpha.shape != self.pixels.shape[:2]:
            size = self.pixels.shape[:2]
            raise BadPhoto(f"mask {alpha.dtype} {alpha.shape}: give uint8 of the photo's {size}")
        if not (alpha == 255).any():
            raise BadPhoto("mask without a fully opaque pixel: no product to keep; draw it in 255")
        frozen = np.ascontiguousarray(alpha)
        frozen.setflags(write=False)
        return replace(self, alpha=frozen)


def load_photo(source: str | Path | bytes) -> Photo:
    """A photograph from a file or its bytes.

    EXIF rotation is applied; colour profiles are converted to sRGB (a damaged one is ignored, as
    browsers do); 16-bit grey is reduced to 8; an alpha channel becomes the supplied mask, without a
    shadow that an editor put under the product, unless it is opaque everywhere.

    Raises:
        BadPhoto: no such file, no picture, damaged, over ``MAX_PIXELS``, under ``MIN_SIDE``,
            animated or of several pages, fully transparent, or 32-bit.
    """
    name = "photo bytes" if isinstance(source, bytes) else str(source)
    path = None if isinstance(source, bytes) else Path(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise BadPhoto(f"{name}: cannot be read ({error.strerror}); name a picture file") from error
    try:
        with warnings.catch_warnings():
            # Our own limit is lower than the one at which Pillow warns.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.init()
            formats = [kind for kind in _FORMATS if kind in Image.OPEN]
            image = Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:
        raise BadPhoto(
            f"{name}: {error}; scale it below {MAX_PIXELS // 10**6} megapixels"
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        known = ", ".join(_FORMATS)
        raise BadPhoto(f"{name}: not a picture we can read; use {known}") from error
    with image:
        _check_size(*image.size, name)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # phones append previews as MPO
            raise BadPhoto(f"{name}: {frames} frames or pages; save the one to use as its own file")
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
        except Exception as error:  # decoders raise many kinds on damaged files
            raise BadPhoto(f"{name}: damaged or truncated ({error}); save it anew") from error
    alpha, edits = _alpha(upright, name), _edits(image, name)
    pixels = np.asarray(_srgb(upright, name))
    return replace(Photo.of(pixels, alpha, path), cut_out=alpha is not None, edits=edits)


def list_photos(path: str | Path) -> list[Path]:
    """The photograph itself, or a folder's photographs sorted by name.

    Raises:
        BadPhoto: nothing there, or a folder without a photograph.
    """
    path = Path(path)
    if not path.exists():
        raise BadPhoto(f"{path}: no such file or folder; name a photo or a folder of photos")
    if path.is_file():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise BadPhoto(f"{path}: no photo in this folder; put {', '.join(SUFFIXES)} files in it")
    return found


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
        InvalidInput: the folder cannot be written to.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            partial.unlink()
        raise InvalidInput(
            f"{path}: cannot be written ({error.strerror}); choose a folder you may write to"
        ) from error
    return path


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise BadPhoto(
            f"{name}: {width}x{height} is {width * height / 1e6:.0f} megapixels; "
            f"scale it below {MAX_PIXELS // 10**6}"
        )
    if min(width, height) < MIN_SIDE:
        raise BadPhoto(f"{name}: {width}x{height} px is too small; both sides need {MIN_SIDE} px")


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
    if (alpha == 255).all():
        return None
    if not (alpha == 255).any():
        raise BadPhoto(f"{name}: no fully opaque pixel; export it with an opaque product")
    return _without_shadow(alpha)


def _without_shadow(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Transparency without the shadow that an editor put under the product.

    A piece of its own that is nowhere half opaque is shadow, glow or dust, not product; the
    style's light casts another shadow.
    """
    count, pieces = cv2.connectedComponents((alpha > _HAZE).astype(np.uint8))
    solid = np.zeros(count, dtype=bool)
    solid[np.unique(pieces[alpha >= _HALF])] = True
    return np.where(solid[pieces], alpha, 0).astype(np.uint8)


def _srgb(image: Image.Image, name: str) -> Image.Image:
    """8-bit sRGB of any mode Pillow opens."""
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        image = _with_info(Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8)), image)
    elif image.mode in ("I", "F"):
        raise BadPhoto(f"{name}: 32 bits a channel; save it with 8 or 16")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        keep = "L" if image.mode in ("1", "LA", "La") else "RGB"
        base = image.convert("RGBA") if image.mode == "P" else image
        image = _with_info(base.convert(keep), image)
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" in ImageCms.getProfileDescription(source) and image.mode == "RGB":
                return image
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            return image.convert("RGB") if converted is None else converted
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


def _with_info(image: Image.Image, source: Image.Image) -> Image.Image:
    image.info = dict(source.info)
    return image
