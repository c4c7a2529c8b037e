"""Colour in CIE L*a*b* (D65, sRGB), the space in which backdrops are measured and asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from persona_img.errors import InvalidInput, UnknownStyle

if TYPE_CHECKING:
    from numpy.typing import NDArray

_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
) / np.array([[0.950456], [1.0], [1.088754]])
"""Linear sRGB to CIE XYZ as shares of D65's white; the primaries of IEC 61966-2-1."""


def to_lab(rgb: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Lab of an sRGB picture.

    Args:
        rgb: (H, W, 3); uint8 0..255, or float32 0..1.

    Returns:
        float32 (H, W, 3): L* 0..100, a* and b* about -127..127.
    """
    unit = rgb.astype(np.float32) / 255.0 if rgb.dtype == np.uint8 else rgb.astype(np.float32)
    return np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2LAB), dtype=np.float32)


def from_lab(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """SRGB float32 0..1 of a Lab picture; colours outside the gamut are clipped."""
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.clip(np.asarray(rgb, dtype=np.float32), 0.0, 1.0)


def lab_of(colour: str) -> tuple[float, float, float]:
    """Lab of a colour as the web writes it.

    Args:
        colour: ``#rrggbb``, sRGB.

    Raises:
        UnknownStyle: written in another way.
    """
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise UnknownStyle(f"colour={colour}: write it as #rrggbb, for example #c8a27a")
    unit = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    # OpenCV's way there looks curves up and is off by half a unit; its way back is exact.
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    x, y, z = _XYZ @ linear
    fx, fy, fz = (np.cbrt(t) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return float(116 * fy - 16), float(500 * (fx - fy)), float(200 * (fy - fz))


def colours_of(
    picture: NDArray[np.uint8], where: NDArray[np.bool_] | None = None, count: int = 5
) -> list[tuple[str, float]]:
    """The colours a picture is made of, the largest first.

    Args:
        picture: uint8 sRGB (H, W, 3).
        where: Pixels that count, (H, W); None for all.
        count: Most colours wanted.

    Returns:
        Colours as ``#rrggbb`` with their share of the pixels; median cut (Heckbert 1982, "Color
        image quantization for frame buffer display").

    Raises:
        InvalidInput: no pixel counts.
    """
    pixels = picture.reshape(-1, 3) if where is None else picture[where]
    if not len(pixels):
        raise InvalidInput("no pixel of the reference counts: give a picture with a backdrop")
    few = Image.fromarray(pixels[None]).quantize(count, method=Image.Quantize.MEDIANCUT)
    table = np.array(few.getpalette(), dtype=np.uint8).reshape(-1, 3)
    found = [(int(n), table[i]) for n, i in few.getcolors() or [] if isinstance(i, int)]
    ordered = sorted(found, key=lambda pair: (-pair[0], pair[1].tolist()))
    return [("#" + "".join(f"{int(v):02x}" for v in rgb), n / len(pixels)) for n, rgb in ordered]


def mean_lab(
    rgb: NDArray[np.uint8] | NDArray[np.float32], weight: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Weighted mean Lab, float32 (3,); NaN where the weights sum to zero."""
    total = float(weight.sum())
    if total <= 0:
        return np.full(3, np.nan, dtype=np.float32)
    lab = to_lab(rgb)
    weighed = lab * np.asarray(weight, dtype=np.float32)[..., None]
    return np.array(cv2.sumElems(weighed)[:3], dtype=np.float32) / np.float32(total)


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIE76 distance of two Lab pictures, or of one from a colour (3,), float32 (H, W)."""
    apart = one - other
    squares = cv2.transform(apart * apart, np.ones((1, 3), dtype=np.float32))
    return np.asarray(np.sqrt(squares), dtype=np.float32)


def grey_of(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the three channels, float32 (H, W)."""
    third = np.full((1, 3), 1 / 3, dtype=np.float32)
    return np.asarray(cv2.transform(rgb, third), dtype=np.float32)
