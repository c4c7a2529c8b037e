"""A person's box around the product: where a masker looks, and where a mask may lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.masking.base import Masker, ProductMask

_MARGIN = 0.08  # around a box: what is cut needs some backdrop to be told from


def cut_within(
    masker: Masker, photo: NDArray[np.uint8], box: tuple[int, int, int, int]
) -> ProductMask:
    """The mask of what lies in a box: the masker sees the box alone, and nothing stays outside.

    Args:
        masker: Cuts it out.
        photo: uint8 sRGB (H, W, 3).
        box: Left, top, right and bottom, pixels; right and bottom are the first outside.

    Raises:
        InvalidInput: a box that is not on the photo, or under 16 pixels wide or high.
    """
    height, width = photo.shape[:2]
    inside = _inside(box, (height, width))
    left, top, right, bottom = box
    more = round(_MARGIN * max(right - left, bottom - top))
    rows = slice(max(0, top - more), min(height, bottom + more))
    columns = slice(max(0, left - more), min(width, right + more))
    part = masker.cut(np.ascontiguousarray(photo[rows, columns]))
    whole = np.zeros((height, width), np.uint8)
    whole[rows, columns] = part.alpha
    return replace(part, alpha=np.minimum(whole, inside))


def only_within(alpha: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A mask without what lies outside a box, given as for :func:`cut_within`.

    Raises:
        InvalidInput: as there.
    """
    return np.minimum(alpha, _inside(box, alpha.shape))


def _inside(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """255 in the box and 0 around it."""
    height, width = shape
    left, top, right, bottom = box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InvalidInput(
            f"box {left},{top},{right},{bottom}: the photo is {width} x {height}; give left, top, "
            f"right and bottom on it"
        )
    if right - left < 16 or bottom - top < 16:
        raise InvalidInput(
            f"box {left},{top},{right},{bottom}: {right - left} x {bottom - top} pixels; "
            f"16 each are the least"
        )
    inside = np.zeros((height, width), np.uint8)
    inside[top:bottom, left:right] = 255
    return inside
