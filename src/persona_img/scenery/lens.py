"""What a lens does to what is out of focus: discs of light, not a Gaussian fog."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 12  # radius, pixels, that is filtered as such; beyond, the picture is made smaller first


@lru_cache(maxsize=32)
def _disc(radius: float) -> NDArray[np.float32]:
    """A disc of this radius, its rim antialiased, sum 1."""
    reach = int(np.ceil(radius))
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    disc = np.clip(radius + 0.5 - np.hypot(xs, ys), 0, 1)
    return np.asarray(disc / disc.sum(), dtype=np.float32)


def defocused(linear: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """A picture in linear light with every point spread to a disc.

    Args:
        linear: float32 (h, w) or (h, w, 3).
        radius: Of the disc, pixels; below 0.4 nothing changes.
    """
    if radius < 0.4:
        return linear
    shrink = max(1.0, radius / _LARGEST)
    if shrink == 1.0:
        return np.asarray(
            cv2.filter2D(linear, -1, _disc(round(radius, 1)), borderType=cv2.BORDER_REPLICATE)
        )
    size = max(2, round(linear.shape[1] / shrink)), max(2, round(linear.shape[0] / shrink))
    small = cv2.resize(linear, size, interpolation=cv2.INTER_AREA)
    small = cv2.filter2D(small, -1, _disc(float(_LARGEST)), borderType=cv2.BORDER_REPLICATE)
    whole = (linear.shape[1], linear.shape[0])
    return np.asarray(cv2.resize(small, whole, interpolation=cv2.INTER_CUBIC))


def focused_at(linear: NDArray[np.float32], radius: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture whose rows are out of focus by unlike amounts.

    Args:
        linear: float32 (h, w, 3), linear light.
        radius: float32 (h,), of the disc in each row, pixels.
    """
    most = float(radius.max())
    if most < 0.4:
        return linear
    steps = [0.0]
    while steps[-1] < most:
        steps.append(max(0.8, steps[-1] * 1.7))
    out = np.zeros_like(linear)
    share = np.interp(radius, steps, np.arange(len(steps)))
    for index, step in enumerate(steps):
        weight = np.clip(1.0 - np.abs(share - index), 0, 1).astype(np.float32)
        rows = np.flatnonzero(weight > 0)
        if not rows.size:
            continue
        reach = int(np.ceil(step)) + 1
        first, last = max(0, rows[0] - reach), min(len(radius), rows[-1] + 1 + reach)
        soft = defocused(linear[first:last], step)[rows[0] - first : rows[-1] + 1 - first]
        place = slice(rows[0], rows[-1] + 1)
        part = weight[place][:, None, None]
        out[place] += part * soft
    return out
