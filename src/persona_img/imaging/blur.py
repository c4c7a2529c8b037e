"""Blurs as wide as a picture, in the time of narrow ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NARROW = 4.0


def wide_blur(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian blur; a wide one is made on fewer pixels, where it takes no longer.

    Args:
        picture: float32 (H, W) or (H, W, C).
        sigma: Pixels.
    """
    height, width = picture.shape[:2]
    fewer = max(1, min(int(sigma / _NARROW), height // 4, width // 4))
    if fewer == 1:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma))
    small = cv2.resize(picture, (width // fewer, height // fewer), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma / fewer)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))
