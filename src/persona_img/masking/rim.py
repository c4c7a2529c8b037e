"""A cut's outline, judged by the colours on both of its sides.

A network's outline wanders a few pixels into floor and old shadow, for no photo it was taught on
has a drawn one. Both sides' colours nearby say better which pixel is whose: windows along the
outline, as in Bai, Wang, Simons, Sapiro 2009, "Video SnapCut", with one normal distribution a side
and floor in shade counted as floor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REACH = 5  # pixels to either side of the outline that are judged
_WINDOW = 8.0  # standard deviation of the window in which colours are gathered, pixels
_GRAIN = 9.0  # added to the variances: what noise and JPEG do to a flat colour
_MOST = 4.0  # log-likelihood ratio: no colour says more
_DARKEST = 0.45  # floor in shade keeps at least this share of its lightness
_SHADE_COST = 10.0  # what full shade costs in squared standard deviations: light floor is likelier
_NEARBY = 0.01  # of the window: with less of a side in sight its colours are not known
_LEAST, _TOP = 0.003, 0.997  # chances are kept within: what the network is sure of stays


def judged_by_colours(
    small: NDArray[np.uint8], chance: NDArray[np.float32], binary: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The chance of being product, changed beside the outline by what the colours say.

    Args:
        small: uint8 sRGB (h, w, 3).
        chance: float32 (h, w) in 0..1.
        binary: uint8 (h, w), 1 is product: whose outline is judged.

    Returns:
        float32 (h, w); ``chance`` itself further than five pixels from the outline.
    """
    if not binary.any() or binary.all():
        return chance
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _REACH + 1, 2 * _REACH + 1))
    inside = cv2.erode(binary, kernel, borderValue=1)
    outside = 1 - cv2.dilate(binary, kernel)
    lab = to_lab(cv2.GaussianBlur(small, (0, 0), 0.8))
    product, its_spread, seen = _nearby(lab, inside)
    floor, floor_spread, floor_seen = _nearby(lab, outside)
    known = (inside == 0) & (outside == 0) & (seen > _NEARBY) & (floor_seen > _NEARBY)
    share = np.clip(lab[..., 0] / np.maximum(floor[..., 0], 1.0), _DARKEST, 1.0)
    shaded = _distance(lab, floor * share[..., None], floor_spread) + _SHADE_COST * (1 - share)
    unlike_floor = np.minimum(_distance(lab, floor, floor_spread), shaded)
    ratio = np.clip((unlike_floor - _distance(lab, product, its_spread)) / 2, -_MOST, _MOST)
    says = cv2.GaussianBlur(np.where(known, ratio, 0).astype(np.float32), (0, 0), 1.0)
    bounded = np.clip(chance, _LEAST, _TOP)
    odds = np.log(bounded / (1 - bounded)) + says
    return np.where(known, 1 / (1 + np.exp(-odds)), chance).astype(np.float32)


def _nearby(
    lab: NDArray[np.float32], side: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean and variance (h, w, 3) of one side's colours near each pixel, and how much is seen."""
    weight = side.astype(np.float32)
    weighted = lab * weight[..., None]
    seen = _blurred(weight)
    amount = (seen + 1e-4)[..., None]
    mean = _blurred(weighted) / amount
    spread = np.maximum(_blurred(weighted * lab) / amount - mean**2, 0) + _GRAIN
    return mean, spread, seen


def _blurred(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), _WINDOW), dtype=np.float32)


def _distance(
    lab: NDArray[np.float32], mean: NDArray[np.floating], spread: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Minus twice the log density, but for a constant, (h, w)."""
    return np.asarray(((lab - mean) ** 2 / spread + np.log(spread)).sum(-1))
