"""Bites out of a cut's outline: where the network wavers and the colours say product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REACH = 0.05  # of the longer side: bites are narrower than twice this
_WAVERS = 0.18  # mean chance of product in a bite; of shadow and floor the network is sure
_RECESS = 0.45  # the same where the outline stays hollow when it is filled: between two legs
_STRAIGHT = 0.4  # of a disc around its mouth that is beyond the filled outline: a hem, no crotch
_DISC, _SMALLEST = 2.0, 12  # its radius: of a bite's side, and pixels at least
_LIKELY = 0.5  # and of what is enclosed: the network's own word, before outlines were judged
_LARGEST, _LEAST = 0.02, 1e-4  # of the product


def without_bites(
    binary: NDArray[np.uint8], chance: NDArray[np.float32], colours: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A cut with its bites filled: a flowered hem that the network half takes for floor.

    What is filled lies within the outline's closing, is product by its colours, and the network is
    not sure that it is none. Where two legs or a sleeve and a side meet, the colours' cut often
    takes the floor between them for product: there the network must be of its opinion nearly.

    Args:
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
    for piece in range(1, count):
        if not _LEAST * whole <= stats[piece, cv2.CC_STAT_AREA] <= _LARGEST * whole:
            continue
        where = pieces == piece
        if enclosed[where].any():
            least = _LIKELY
        else:
            least = _WAVERS if _beyond(binary, where) >= _STRAIGHT else _RECESS
        if float(chance[where].mean()) >= least:
            result[where] = 1
    return result


def _beyond(binary: NDArray[np.uint8], piece: NDArray[np.bool_]) -> float:
    """Share of a disc around a filled piece's mouth that is outside of the cut: .5 is straight."""
    outside = (binary == 0) & ~piece
    mouth = piece & (cv2.dilate(outside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    rows, columns = np.nonzero(mouth if mouth.any() else piece)
    radius = max(_SMALLEST, round(_DISC * float(np.sqrt(piece.sum()))))
    y, x = round(float(rows.mean())), round(float(columns.mean()))
    top, left = max(0, y - radius), max(0, x - radius)
    near = outside[top : y + radius + 1, left : x + radius + 1]
    down, along = np.ogrid[: near.shape[0], : near.shape[1]]
    disc = (down + top - y) ** 2 + (along + left - x) ** 2 <= radius**2
    return float(near[disc].mean())
