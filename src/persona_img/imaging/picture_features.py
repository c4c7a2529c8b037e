"""What a finished picture looks like in ten numbers that a person can name.

A judge of pictures learns from them which of several pictures of one product is clicked more. They
are few, because a shop has few pictures that were shown often; and plain, so that what was learned
can be read: "lighter backdrops, a softer shadow".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import grey_of, to_lab
from persona_img.imaging.light import to_linear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "lightness": "mean L* of the backdrop, 0..100",
        "contrast": "standard deviation of L* over the backdrop",
        "slope": "how far L* falls over the backdrop from its lit to its far side",
        "chroma": "mean C*ab of the backdrop: 0 is grey",
        "warmth": "mean b* of the backdrop: yellow above 0, blue below",
        "grain": "standard deviation of L* in what a blur of 1.6 px takes away",
        "fineness": "log2 of the finest octave's contrast by that of two octaves below",
        "apart": "CIE76 distance of the product's mean colour from that of the backdrop beside it",
        "shadow": "share of the backdrop's light that is missing beside the product, at most 1",
        "share": "share of the picture that is product, 0..1",
    }
)
"""Name of each number to what it is and its unit, in the order of :func:`picture_features`."""

_SIDE = 400  # long side: so that the numbers of a thumbnail and of a large picture compare
_LEAST = 0.02  # of the picture: less backdrop, or less product, cannot be measured
_CLEAR = 0.012  # of the short side: nearer to the product is its edge
_BESIDE, _FAR = 0.06, 0.10  # of the short side
_DARKEST = 1 / 6
_BLURRED = 14  # pixels: so far a blur of 3.2 px carries the product's edge into the backdrop


def picture_features(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The numbers of :data:`FEATURES`, measured at a long side of 400 px at most.

    Args:
        picture: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), 255 is product.

    Returns:
        float64 (10,). All NaN where product or backdrop take less than 2 % of the picture.
    """
    scale = min(1.0, _SIDE / max(alpha.shape))
    size = max(8, round(scale * alpha.shape[1])), max(8, round(scale * alpha.shape[0]))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mask = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab, light = to_lab(small), grey_of(to_linear(small))
    clear, inside = ~_grown(mask > 0.02, _CLEAR), mask > 0.98
    if min(clear.mean(), inside.mean()) < _LEAST:
        return np.full(len(FEATURES), np.nan)
    lightness, hue = lab[..., 0], lab[..., 1:]
    seen = lightness[clear].astype(np.float64)
    blurred = [cv2.GaussianBlur(lightness, (0, 0), sigma) for sigma in (0.8, 1.6, 3.2)]
    calm = ~_grown(mask > 0.02, _CLEAR, _BLURRED)
    calm = calm if calm.any() else clear
    grain = _spread(lightness - blurred[1], calm)
    fine, coarse = _spread(lightness - blurred[0], calm), _spread(blurred[1] - blurred[2], calm)
    beside = _grown(mask > 0.02, _BESIDE) & clear
    far = ~_grown(mask > 0.02, _FAR)
    product, around = (_mean(lab, where) for where in (inside, beside if beside.any() else clear))
    found = {
        "lightness": seen.mean(),
        "contrast": seen.std(),
        "slope": _slope(lightness, clear),
        "chroma": np.hypot(hue[..., 0], hue[..., 1])[clear].mean(dtype=np.float64),
        "warmth": hue[..., 1][clear].mean(dtype=np.float64),
        "grain": grain,
        # A ratio of what is hardly there is noise: a hundredth of L* is added to both.
        "fineness": np.log2((fine + 0.01) / (coarse + 0.01)),
        "apart": np.linalg.norm(product - around),
        "shadow": _shadow(light, beside, far if far.any() else clear),
        "share": mask.mean(dtype=np.float64),
    }
    return np.array([found[name] for name in FEATURES], dtype=np.float64)


def _grown(area: NDArray[np.bool_], share: float, least: int = 2) -> NDArray[np.bool_]:
    """An area and what lies within a share of the short side of it, or so many pixels."""
    reach = max(least, round(share * min(area.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(area.astype(np.uint8), kernel) > 0)


def _mean(lab: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(lab[where].mean(axis=0, dtype=np.float64))


def _spread(values: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    return float(values[where].std(dtype=np.float64))


def _slope(lightness: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    """Length of the slope of the plane that fits best, L* per long side."""
    yy, xx = np.mgrid[0 : where.shape[0], 0 : where.shape[1]].astype(np.float64) / max(where.shape)
    table = np.stack([np.ones(int(where.sum())), xx[where], yy[where]], axis=1)
    plane, *_ = np.linalg.lstsq(table, lightness[where].astype(np.float64), rcond=None)
    return float(np.hypot(plane[1], plane[2]))


def _shadow(light: NDArray[np.float32], beside: NDArray[np.bool_], far: NDArray[np.bool_]) -> float:
    if not beside.any():
        return 0.0
    level = max(1e-4, float(light[far].mean(dtype=np.float64)))
    return float(1.0 - np.quantile(light[beside].astype(np.float64), _DARKEST) / level)
