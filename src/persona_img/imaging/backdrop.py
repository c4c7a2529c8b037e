"""What a picture's backdrop looks like in numbers: colour, grain, weave, shadow, panes.

Nothing here knows how a backdrop was made. A classifier of styles learns from these numbers, and so
judges a painter that it shares nothing with.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.blur import wide_blur
from persona_img.imaging.colour import to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 256  # long side at which backdrops are measured
_NEAR = 0.05  # of the short side: what lies closer to the product is edge, contact and shadow
_SIGMAS = (0.7, 1.4, 2.8, 5.6, 11.2, 22.4)
_HIDDEN = (2.0, 8.0, 32.0, 128.0)  # sigmas: the nearest backdrop there is fills the product's place
_REACHES = (0.02, 0.045, 0.08)  # of the short side: how far beside the product shadows are measured
_DIRECTIONS = 8
_LEAST = 0.02  # of the picture: less backdrop cannot be judged


def without_product(picture: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture whose product is filled with the backdrop around it.

    Args:
        picture: float32 (h, w, 3).
        mask: float32 (h, w) in 0..1, the product.
    """
    near = cv2.dilate((mask > 0.02).astype(np.uint8), np.ones((3, 3), np.uint8))
    known = (1 - near).astype(np.float32)
    if not known.any():
        return picture
    total = np.zeros_like(picture)
    weight = np.full((*mask.shape, 1), 1e-12, np.float32)
    for i, sigma in enumerate(_HIDDEN):
        share = np.float32(10.0 ** (-3 * i))
        total += share * wide_blur(picture * known[..., None], sigma)
        weight += share * wide_blur(known, sigma)[..., None]
    filled = np.where(near[..., None] > 0, total / weight, picture)
    return np.asarray(filled, dtype=np.float32)


def backdrop_features(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Numbers that tell surfaces, palettes and lights apart.

    Args:
        picture: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), 255 is product.

    Returns:
        float32 (F,): percentiles of L*, means and medians of a*, b*; for each of five octaves of
        the logarithm of lightness its spread, kurtosis, coherence and direction; spread of a*, b*;
        lightness beside the product in eight directions at three distances; slopes of lightness
        over the picture. All NaN where the product leaves less than 2 % of backdrop.
    """
    scale = _SIDE / max(alpha.shape)
    size = (max(16, round(alpha.shape[1] * scale)), max(16, round(alpha.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(picture, size, interpolation=how)
    mask = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    short = min(size)
    reach = max(1, round(_NEAR * short))
    far = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) < 0.05
    filled = without_product(to_lab(small), mask)
    found = [
        _colours(filled, far),
        _textures(filled, far),
        _shadows(filled, mask, far, short),
        _fields(filled, far, short),
    ]
    features = np.concatenate(found).astype(np.float32)
    return features if far.mean() >= _LEAST else np.full_like(features, np.nan)


def _colours(lab: NDArray[np.float32], far: NDArray[np.bool_]) -> NDArray[np.float64]:
    seen = lab[far] if far.any() else lab.reshape(-1, 3)
    lit = seen[seen[:, 0] >= np.median(seen[:, 0])]
    light = np.percentile(seen[:, 0], (5, 25, 50, 75, 95))
    middles = np.median(lit, axis=0), np.median(seen[:, 1:], axis=0)
    return np.concatenate([light, *middles, lit.mean(axis=0), seen[:, 1:].mean(axis=0)])


def _textures(lab: NDArray[np.float32], far: NDArray[np.bool_]) -> NDArray[np.float64]:
    where = far if far.any() else np.ones(far.shape, dtype=bool)
    log = np.log(np.maximum(lab[..., 0], 3.0))
    found: list[float] = []
    for fine, coarse in pairwise(cv2.GaussianBlur(log, (0, 0), sigma) for sigma in _SIGMAS):
        band = fine - coarse
        values = band[where]
        spread = float(values.std()) + 1e-6
        centred = (values - values.mean()) / spread
        squared = centred * centred  # a power would take ten times as long
        dx, dy = (cv2.Sobel(band, cv2.CV_32F, *order, ksize=3)[where] for order in ((1, 0), (0, 1)))
        across, along, both = (float((a * b).mean()) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
        power = across + along + 1e-12
        found += [
            float(np.log(spread)),
            float(np.log((squared * squared).mean() + 1e-6)),
            float((squared * centred).mean()),
            float(np.hypot(across - along, 2 * both) / power),
            float(abs(across - along) / power),
        ]
    for channel in (1, 2):
        rest = lab[..., channel] - cv2.GaussianBlur(lab[..., channel], (0, 0), 8)
        found.append(float(np.log(rest[where].std() + 1e-3)))
    return np.array(found)


def _shadows(
    lab: NDArray[np.float32], mask: NDArray[np.float32], far: NDArray[np.bool_], short: int
) -> NDArray[np.float64]:
    """Lightness beside the product less that far from it, by direction and distance."""
    base = float(np.median(lab[..., 0][far])) if far.any() else float(np.median(lab[..., 0]))
    rim = cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0.05
    found = []
    for reach in _REACHES:
        for turn in range(_DIRECTIONS):
            angle = 2 * np.pi * turn / _DIRECTIONS
            dx, dy = reach * short * np.cos(angle), reach * short * np.sin(angle)
            move = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
            beside = cv2.warpAffine(mask, move, (mask.shape[1], mask.shape[0])) > 0.5
            beside &= ~rim
            found.append(float(lab[..., 0][beside].mean()) - base if beside.any() else 0.0)
    return np.array(found)


def _fields(lab: NDArray[np.float32], far: NDArray[np.bool_], short: int) -> NDArray[np.float64]:
    """Slopes of lightness, and how unevenly light falls at the size of panes."""
    where = far if far.any() else np.ones(far.shape, dtype=bool)
    yy, xx = np.mgrid[0 : far.shape[0], 0 : far.shape[1]].astype(np.float32) / max(far.shape)
    table = np.stack([np.ones_like(xx)[where], xx[where], yy[where]], axis=1)
    slope, *_ = np.linalg.lstsq(table, lab[..., 0][where], rcond=None)
    flat = lab[..., 0] - (slope[0] + slope[1] * xx + slope[2] * yy)
    found = [float(slope[1]), float(slope[2])]
    for share in (0.012, 0.03):
        calm = cv2.GaussianBlur(flat.astype(np.float32), (0, 0), share * short)[where]
        low, middle, high = np.percentile(calm, (8, 50, 92))
        found += [float(high - middle), float(middle - low), float(calm.std())]
    return np.array(found)
