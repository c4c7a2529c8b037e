"""How much noise a photograph has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def grain_of(photo: NDArray[np.uint8]) -> float:
    """Noise of a photograph in 8-bit levels, from its calmest places.

    References:
        Immerkaer 1996, "Fast Noise Variance Estimation", CVIU; we take the calmest quarter of
        16-pixel blocks instead of the mean over the picture, so texture does not count as noise.
    """
    side = 1024  # of the middle: enough to measure, bounded for large photographs
    top, left = (max(0, (n - side) // 2) for n in photo.shape[:2])
    middle = cv2.cvtColor(photo[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    response = np.abs(cv2.filter2D(middle.astype(np.float32), -1, kernel))
    blocks = cv2.resize(
        response,
        (max(1, response.shape[1] // 16), max(1, response.shape[0] // 16)),
        interpolation=cv2.INTER_AREA,
    )
    return float(np.percentile(blocks, 25) * np.sqrt(np.pi / 2) / 6.0)
