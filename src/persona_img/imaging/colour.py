"""Colour in CIE L*a*b* (D65, sRGB), the space in which backdrops are measured and asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
