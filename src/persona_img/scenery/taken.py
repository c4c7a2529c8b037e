"""In what light a photograph was taken, as its old backdrop and its brightest places tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.light import to_linear
from persona_img.scenery.subject import Taken

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 200  # long side, pixels, at which a photograph is looked at
_LEAST = 0.06  # of the photograph: less backdrop tells nothing
_SLOPE = 0.22  # of brightness across the backdrop: less is an even light
_WHITE = 0.80  # linear: what the brightest place of a well exposed photograph has
_DARKEST, _BRIGHTEST = 0.66, 1.05
_NEUTRAL = 0.16  # relative spread of a grey wall's channels: a floor that is more coloured is wood
_SHARE, _MOST_CAST = 0.5, 0.05


def taken_of(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], *, cut_out: bool) -> Taken:
    """The light of a photograph.

    Args:
        pixels: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), the product.
        cut_out: Whether there is no old backdrop; then side and cast are not known.

    Returns:
        What is not known is as an even, white, well exposed light would have it.
    """
    scale = min(1.0, _SIDE / max(alpha.shape))
    size = max(8, round(scale * alpha.shape[1])), max(8, round(scale * alpha.shape[0]))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    linear = to_linear(small.astype(np.float32) / np.float32(255))
    grey = linear.mean(axis=2)
    product = mask > 250
    near = cv2.dilate((mask > 5).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    old = ~near
    told = not cut_out and float(old.mean()) >= _LEAST
    seen = product | old if told else product
    if not seen.any():
        return Taken()
    white = float(np.percentile(linear.max(axis=2)[seen], 98))
    exposure = float(np.clip((white / _WHITE) ** 0.5, _DARKEST, _BRIGHTEST))
    if not told:
        return Taken(exposure=round(exposure, 3))
    return Taken(_side(grey, old), round(exposure, 3), _cast(linear, old))


def _side(grey: NDArray[np.float32], old: NDArray[np.bool_]) -> float:
    """-1 where the old backdrop is brighter on the left, 1 on the right, 0 where it is even."""
    rows, columns = np.nonzero(old)
    across = columns / grey.shape[1] - 0.5
    down = rows / grey.shape[0] - 0.5
    plane = np.stack([np.ones_like(across), across, down], axis=1)
    bright = np.log(np.maximum(grey[old], 0.01))
    slope = float(np.linalg.lstsq(plane, bright, rcond=None)[0][1])
    return 0.0 if abs(slope) < _SLOPE else float(np.sign(slope))


def _cast(linear: NDArray[np.float32], old: NDArray[np.bool_]) -> tuple[float, float, float]:
    """The colour of the light, where the old backdrop was about grey."""
    mean = linear[old].mean(axis=0).astype(np.float64)
    relative = mean / max(1e-6, float(mean.mean())) - 1.0
    if float(np.abs(relative).max()) > _NEUTRAL:
        return (1.0, 1.0, 1.0)
    factors = 1.0 + np.clip(_SHARE * relative, -_MOST_CAST, _MOST_CAST)
    red, green, blue = (round(float(v), 4) for v in factors / factors.mean())
    return red, green, blue
