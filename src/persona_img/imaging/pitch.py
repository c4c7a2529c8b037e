"""From how far above a standing product is seen, told by what it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.mask_size import check_mask, no_larger, product

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_PITCH, MOST_PITCH = 6.0, 35.0
"""Degrees between which :func:`pitch_of` answers."""

_BASE = 256  # columns at which a base is measured
_STEEP = 1.5  # rows a column: where the lower contour is steeper, the base ends and the side begins
_INNER = 0.92  # of half a base: beyond, one pixel of its outline moves the arch too much
_FITS = 4
_PIECE = 0.2  # of the largest piece: smaller ones stand on nothing


def pitch_of(alpha: NDArray[np.uint8]) -> float:
    """From how far above a standing product is seen, judged by what it stands on.

    A round base of radius r seen from p degrees above the plane has a lower contour that is half an
    ellipse with the axes r and r · sin p. So an arch is fitted to the lower contour of each piece,
    and p taken from its height over half its width. What is tilted to one side only is no arch. A
    box's corner comes out about right, too; a flat bottom says nothing of the viewpoint and gives
    the least. Sides that open as wide as a bowl's are taken for base: then it says too much.

    Args:
        alpha: uint8 (H, W), 255 is product.

    Returns:
        Degrees, 6 to 35.

    Raises:
        InvalidInput: another type or shape, or no product in the mask.
    """
    check_mask(alpha)
    alpha = no_larger(alpha)
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats(product(alpha).astype(np.uint8))
    areas = boxes[1:count, cv2.CC_STAT_AREA]
    sines, weights = [], []
    for i in np.flatnonzero(areas >= _PIECE * areas.max()) + 1:
        left, top, width, height = boxes[i, : cv2.CC_STAT_AREA]
        piece = pieces[top : top + height, left : left + width] == i
        sines.append(_sine(piece))
        weights.append(float(areas[i - 1]))
    sine = float(np.average(sines, weights=weights))
    return float(np.clip(np.degrees(np.arcsin(np.clip(sine, 0, 1))), LEAST_PITCH, MOST_PITCH))


def _sine(piece: NDArray[np.bool_]) -> float:
    """Height of the arch that a piece stands on, over half its width; 0 for a flat bottom."""
    scale = _BASE / piece.shape[1]
    size = (_BASE, max(8, round(piece.shape[0] * scale)))
    soft = cv2.resize(piece.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    filled = (soft >= 0.5).any(axis=0)
    lowest = np.where(filled, size[1] - 1 - (soft >= 0.5)[::-1].argmax(axis=0), -1).astype(float)
    smooth = cv2.GaussianBlur(lowest[None].astype(np.float32), (0, 0), 1.5)[0]
    steep = np.abs(np.gradient(smooth)) > _STEEP
    foot = int(np.median(np.flatnonzero(lowest == lowest.max())))
    start, end = foot, foot
    while start > 0 and not steep[start - 1]:
        start -= 1
    while end < _BASE - 1 and not steep[end + 1]:
        end += 1
    run = (end - start + 1) / 2
    if run < 4:
        return 0.0
    x, y = np.arange(start, end + 1) - (start + end) / 2, lowest[start : end + 1]
    sine = 0.0
    for _ in range(_FITS):  # an arch is steep before its end: half a width is found with its height
        half = run * np.hypot(_STEEP, sine) / _STEEP
        u = np.clip(x / half, -_INNER, _INNER)
        table = np.stack([np.ones_like(u), np.sqrt(1 - u**2)], axis=1)
        fitted, *_ = np.linalg.lstsq(table[u == x / half], y[u == x / half], rcond=None)
        sine = max(0.0, float(fitted[1]) / half)
    return sine
