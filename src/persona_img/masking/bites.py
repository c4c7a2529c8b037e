"""Bites out of a cut's outline: where the network wavers and the colours say product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.masking.leftover import backdrop_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REACH = 0.05  # of the longer side: bites are narrower than twice this
_WAVERS = 0.35  # mean chance of product in a bite; of shadow and floor the network is sure
_FLOOR = 0.45  # the same of what has the floor's colours: between two legs it often has
_LIKELY = 0.5  # and of what is enclosed: the network's own word, before outlines were judged
_LARGEST, _LEAST = 0.02, 1e-4  # of the product


def without_bites(
    small: NDArray[np.uint8],
    binary: NDArray[np.uint8],
    chance: NDArray[np.float32],
    colours: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """A cut with its bites filled: a flowered hem that the network half takes for floor.

    What is filled lies within the outline's closing, is product by its colours, and the network is
    not sure that it is none. Where legs and sleeves meet the colours' cut often takes floor for
    product, so the network must be the less sure the more a bite looks like the floor.

    Args:
        small: uint8 sRGB (h, w, 3), what the network saw.
        binary: uint8 (h, w), 1 is product.
        chance: float32 (h, w) in 0..1, what the network said before its cut was mended.
        colours: uint8 (h, w), the colours' own cut.

    Returns:
        uint8 (h, w); never less than ``binary``.
    """
    product = binary > 0
    reach = max(2, round(_REACH * max(binary.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wide = cv2.copyMakeBorder(binary, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, disc)[reach:-reach, reach:-reach] > 0
    asked = (closed & (colours > 0) & ~product).astype(np.uint8)
    # A bite is open to the outside; what is not may be a hole, as in the handle of a bag.
    beyond = cv2.connectedComponents(np.pad(1 - binary, 1, constant_values=1), connectivity=4)[1]
    enclosed = beyond[1:-1, 1:-1] != beyond[0, 0]
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(asked, connectivity=4)
    result, whole = binary.copy(), float(product.sum())
    floor = backdrop_ratio(small, binary) if count > 1 else None
    for piece in range(1, count):
        if not _LEAST * whole <= stats[piece, cv2.CC_STAT_AREA] <= _LARGEST * whole:
            continue
        where = pieces == piece
        like_floor = floor is not None and float(floor[where].mean()) >= 0
        open_to = _FLOOR if like_floor else _WAVERS
        if float(chance[where].mean()) >= (_LIKELY if enclosed[where].any() else open_to):
            result[where] = 1
    return result
