"""How much noise a photograph has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_BLOCKS = 8
_CALMEST, _CALMEST_OF_PRODUCT = 25, 5  # per cent
_THREE = np.ones((3, 3), dtype=np.uint8)


def grain_of(photo: NDArray[np.uint8], where: NDArray[np.bool_] | None = None) -> float:
    """Noise of a photograph in 8-bit levels, from its calmest places.

    Args:
        photo: uint8 (H, W, 3).
        where: Pixels that count, (H, W): of a cut-out those that are seen; None for all.

    Returns:
        At least 0; 0 where fewer than 8 blocks count as a whole.

    References:
        Immerkaer 1996, "Fast Noise Variance Estimation", CVIU; we take the calmest quarter of
        16-pixel blocks instead of the mean over the picture, so texture does not count as noise.
        Of a product alone the calmest twentieth, for it has more texture than a backdrop.
    """
    side = 1024  # of the middle: enough to measure, bounded for large photographs
    if where is not None:
        photo, where = _seen(photo, where)
    top, left = (max(0, (n - side) // 2) for n in photo.shape[:2])
    middle = cv2.cvtColor(photo[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    response = np.abs(cv2.filter2D(middle.astype(np.float32), -1, kernel))
    size = max(1, response.shape[1] // 16), max(1, response.shape[0] // 16)
    blocks = cv2.resize(response, size, interpolation=cv2.INTER_AREA)
    if where is not None:
        # A pixel's response depends on its neighbours too.
        inner = cv2.erode(where[top : top + side, left : left + side].astype(np.uint8), _THREE)
        counts = cv2.resize(inner.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
        if counts.sum() < _LEAST_BLOCKS:
            return 0.0
        blocks = blocks[counts]
    calmest = _CALMEST if where is None else _CALMEST_OF_PRODUCT
    return float(np.percentile(blocks, calmest) * np.sqrt(np.pi / 2) / 6.0)


def _seen(
    photo: NDArray[np.uint8], where: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The smallest part of the picture that holds all that counts."""
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    if not rows.size:
        return photo, where
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return photo[box], where[box]
