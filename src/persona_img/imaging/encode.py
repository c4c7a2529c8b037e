"""Pictures for pages: smaller ones in linear light, as AVIF, WebP and JPEG, the same bytes again.

Qualities are such that a product cannot be told from its master's at 1:1. Colour is kept at full
size (4:4:4) where the format can, for small red or blue print bleeds otherwise.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, features

from persona_img.imaging.light import to_linear, to_srgb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

ENCODERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    # One thread: how many there are would be seen in the bytes.
    "image/avif": ("AVIF", {"quality": 75, "speed": 9, "subsampling": "4:4:4", "max_threads": 1}),
    "image/webp": ("WEBP", {"quality": 88, "method": 4, "use_sharp_yuv": True}),
    "image/jpeg": (
        "JPEG",
        {"quality": 88, "subsampling": 0, "progressive": True, "optimize": True},
    ),
}
"""Media type to Pillow's name and what it is told, the one that browsers should take first."""

_LIBRARIES = {"avif": "avif", "webp": "webp", "libjpeg_turbo": "jpeg"}


def encode(pixels: NDArray[np.uint8], media_type: str, xmp: bytes = b"") -> bytes:
    """A picture in a format of :data:`ENCODERS`.

    Args:
        pixels: uint8 sRGB (H, W, 3).
        media_type: Which format.
        xmp: A packet that the file is to carry; empty for none.
    """
    kind, told = ENCODERS[media_type]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **told, **({"xmp": xmp} if xmp else {}))
    return out.getvalue()


def versions() -> dict[str, str]:
    """Libraries whose versions the bytes depend on."""
    found = {name: features.version(library) for library, name in _LIBRARIES.items()}
    return {name: version for name, version in found.items() if version is not None}


def widths_of(own: int, wanted: Sequence[int]) -> tuple[int, ...]:
    """Widths in which a picture is offered: the wanted ones below its own, and its own.

    Example:
        >>> widths_of(700, (320, 640, 960))
        (320, 640, 700)
    """
    return (*sorted({width for width in wanted if width < own}), own)


def scaled_to(pixels: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """The picture at a smaller width, by area in linear light, so that nothing darkens.

    Args:
        pixels: uint8 sRGB (H, W, 3).
        width: At most the picture's own.
    """
    height, own = pixels.shape[:2]
    if width == own:
        return pixels
    size = width, max(1, round(height * width / own))
    linear = to_linear(pixels.astype(np.float32) / 255.0)
    small = to_srgb(cv2.resize(linear, size, interpolation=cv2.INTER_AREA))
    return np.round(small * 255.0).astype(np.uint8)
