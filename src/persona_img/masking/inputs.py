"""What the network sees of a photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import InvalidInput
from persona_img.masking.classic import border_distance
from persona_img.masking.network import STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SIDE = 384
"""Long side of what a masker sees whose checkpoint does not say."""
PRIOR_SCALE = 4  # the border's colours are compared at a quarter of the picture's size
_STEP = 128  # three quarters of a side are a multiple of the network's stride, too


def shapes_of(side: int) -> tuple[tuple[int, int], ...]:
    """Height and width of upright, square and wide pictures, with about as many pixels each.

    Args:
        side: The long side.

    Raises:
        InvalidInput: a side that is no multiple of 128.
    """
    if side < _STEP or side % _STEP:
        raise InvalidInput(f"side {side}: what a masker sees is a multiple of {_STEP} pixels long")
    short = side * 3 // 4
    square = round((side * short) ** 0.5 / STRIDE) * STRIDE
    return (side, short), (square, square), (short, side)


SHAPES = shapes_of(SIDE)
"""Height and width of the learned masker's pictures; a photo goes to the nearest shape."""


def shape_of(height: int, width: int, side: int = SIDE) -> tuple[int, int]:
    """The shape nearest to a picture's; see :func:`shapes_of`."""
    return min(shapes_of(side), key=lambda s: abs(np.log((s[0] / s[1]) / (height / width))))


def border_prior(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How unlike the photo's border each pixel is, uint8 (H/4, W/4): 0 alike, 255 very unlike.

    Args:
        rgb: uint8 (H, W, 3), both sides multiples of 4.
    """
    size = (rgb.shape[1] // PRIOR_SCALE, rgb.shape[0] // PRIOR_SCALE)
    distance, _ = border_distance(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    return np.round(255 * np.tanh(distance / 4)).astype(np.uint8)


def as_tensors(
    rgb: NDArray[np.uint8], prior: NDArray[np.uint8], device: str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Network inputs: (B, 3, H, W) in -1..1 and (B, 1, H/4, W/4) in 0..1, of uint8 arrays."""
    import torch  # here, for the processes that cut photos and make scenes need none of it

    pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1
    maps = torch.from_numpy(prior)[:, None].float() / 255
    return pictures.contiguous(memory_format=torch.channels_last).to(device), maps.to(device)
