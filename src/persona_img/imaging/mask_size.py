"""Masks that are measured: checked, and made no larger than it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 1024  # long side: a larger picture says no more and takes longer
_HALF = 128
_LEAST = 1e-4  # of the picture: what is smaller has no outline to measure


def no_larger(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (H, W) or (H, W, 3) whose longer side is at most 1,024 pixels."""
    scale = _LARGEST / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def check_mask(alpha: NDArray[np.uint8]) -> None:
    """Whether this is a mask with a product in it.

    Raises:
        InvalidInput: not uint8 (H, W), or less than 0.01 % of it is at least 128.
    """
    if alpha.dtype != np.uint8 or alpha.ndim != 2:
        raise InvalidInput(f"mask {alpha.dtype} {alpha.shape}: give uint8 (H, W)")
    share = float((alpha >= _HALF).mean()) if alpha.size else 0.0
    if share < _LEAST:
        raise InvalidInput(
            f"mask with no product: {share:.2%} of its pixels are at least {_HALF}; "
            f"give one with {_LEAST:.2%} or more"
        )


def product(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the product is, also where it is so thin that a small mask has only traces of it."""
    return np.asarray(mask >= max(1, min(_HALF, int(mask.max()))))
