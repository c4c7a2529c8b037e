"""Picture files of any kind, opened: upright, eight bits a channel, what is transparent told right.

What the values mean is not decided here: a photograph's are colours (:mod:`.profile`), a mask's are
shares (:mod:`.mask_file`).
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

from persona_img.errors import BadPhoto

MAX_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded."""
MIN_SIDE = 64
"""Smaller photographs show too little of a product to find its outline."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
_HALVED = (1, 2)  # Pillow's numbers of 4:2:2 and 4:2:0
_BOXES = 1 << 16  # bytes: within them an AVIF file says how its colours are coded


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture file as it was opened.

    Attributes:
        image: Upright, eight bits a channel, in any such mode of Pillow's; ``info`` is the file's.
        name: For messages.
        path: Where it was read from; None for bytes.
        coding: Code points of primaries and transfer (ITU-T H.273) that overrule what the file
            says elsewhere of its colours; None for none.
        half_chroma: Whether the file kept colour at half the size, which mixes it at edges.
    """

    image: Image.Image
    name: str
    path: Path | None
    coding: tuple[int, int] | None
    half_chroma: bool = False


def decode(source: str | Path | bytes, *, least: int = MIN_SIDE) -> Decoded:
    """A picture from a file or its bytes.

    Args:
        source: The file, or its bytes.
        least: Shortest side allowed, pixels.

    Raises:
        BadPhoto: no such file, no picture, damaged, over ``MAX_PIXELS``, a side under ``least``,
            animated or of several pages, or 32-bit.
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
        check_size(*image.size, name, least)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # phones append previews as MPO
            raise BadPhoto(f"{name}: {frames} frames or pages; save the one to use as its own file")
        if image.mode in ("I", "F"):
            raise BadPhoto(f"{name}: 32 bits a channel; save it with 8 or 16")
        half = _half_chroma(image, data)
        stored = str(image.tile[0].args) if image.format == "PNG" and image.tile else ""
        try:
            image.load()
            upright = ImageOps.exif_transpose(_eight_bits(image, stored, data))
        except Exception as error:  # decoders raise many kinds on damaged files
            raise BadPhoto(f"{name}: damaged or truncated ({error}); save it anew") from error
    return Decoded(upright, name, path, _coding(image, data), half)


def _half_chroma(image: Image.Image, data: bytes) -> bool:
    """Of JPEG by its sampling factors; lossy WebP always, AVIF as programs write it by default."""
    if image.format in ("JPEG", "MPO"):
        return JpegImagePlugin.get_sampling(image) in _HALVED
    if image.format == "WEBP":
        return b"VP8 " in data[:_BOXES]
    return image.format == "AVIF"


def check_size(width: int, height: int, name: str, least: int = MIN_SIDE) -> None:
    """Raise where a picture is too large or too small.

    Raises:
        BadPhoto: over ``MAX_PIXELS``, or a side under ``least``.
    """
    if width * height > MAX_PIXELS:
        raise BadPhoto(
            f"{name}: {width}x{height} is {width * height / 1e6:.0f} megapixels; "
            f"scale it below {MAX_PIXELS // 10**6}"
        )
    if min(width, height) < least:
        raise BadPhoto(f"{name}: {width}x{height} px is too small; both sides need {least} px")


def with_info(image: Image.Image, source: Image.Image) -> Image.Image:
    """The image with what the source's file says of itself; converting loses some of it."""
    image.info = dict(source.info)
    return image


def _eight_bits(image: Image.Image, stored: str, data: bytes) -> Image.Image:
    """The picture with eight bits a channel, and as alpha what a PNG's one colour makes clear.

    That colour is written in the file's own bits. Pillow compares it with the eight bits it
    decoded to, which is right for eight only.

    Args:
        image: Loaded.
        stored: How a PNG's pixels lay in the file, Pillow's raw mode; empty for others.
        data: The file.
    """
    key = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        grey = Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
        if not isinstance(key, int):
            return with_info(grey, image)
        clear = wide == key
    elif stored == "RGB;16B" and isinstance(key, tuple):
        blue_first = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        if blue_first is None:
            raise ValueError("16 bits that cannot be decoded")
        clear = (blue_first[..., 2::-1] == np.array(key)).all(axis=2)
        grey = image
    else:
        few = {"L;2": 3, "L;4": 15, "L": 255, "RGB": 255}.get(stored)
        if few is not None and isinstance(key, int):
            image.info["transparency"] = (key & few) * 255 // few
        elif few is not None and isinstance(key, tuple):
            image.info["transparency"] = tuple(value & few for value in key)
        return image
    whole = with_info(grey.copy(), image)
    del whole.info["transparency"]
    whole.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return whole


def _coding(image: Image.Image, data: bytes) -> tuple[int, int] | None:
    """What a PNG's cICP chunk says, or an AVIF's colour box where the file has no profile."""
    if image.format == "PNG":
        at = 8
        while at + 12 <= len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            if kind == b"cICP" and length == 4:
                primaries, transfer, matrix, _ = data[at + 8 : at + 12]
                return (primaries, transfer) if matrix == 0 else None
            if kind == b"IDAT":
                return None
            at += 12 + length
    if image.format == "AVIF" and not image.info.get("icc_profile"):
        at = data.find(b"colrnclx", 0, _BOXES)
        if at >= 0 and at + 12 <= len(data):
            primaries, transfer = struct.unpack_from(">HH", data, at + 8)
            return primaries, transfer
    return None
