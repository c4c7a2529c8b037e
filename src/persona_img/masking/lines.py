"""Ends of the floor's dark lines that a cut kept: a joint of tiles that sticks out of a sleeve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDE = 9  # pixels: lines are narrower
_THIN = 9  # pixels: what is narrower sticks out of the cut
_CLEAR = 8.0  # L*: a line is so much darker than what is on both of its sides
OFF = 3
"""Pixels from the cut: nearer, the dark beside an outline is its shadow."""
_AWAY = 14  # pixels from the cut to which a line goes on: a shorter one may be the end of a tie
_LEAST = 5  # pixels: smaller is the outline's own roughness
_LARGEST = 0.002  # of the product: what is larger is a part of it


def dark_lines(small: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What is narrow and darker than both of its sides.

    Args:
        small: uint8 sRGB (h, w, 3).
    """
    square = np.ones((_WIDE, _WIDE), np.uint8)
    lightness = to_lab(small)[..., 0]
    return np.asarray(cv2.morphologyEx(lightness, cv2.MORPH_BLACKHAT, square) > _CLEAR)


def going_on(line: NDArray[np.bool_], off: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Lines outside a cut that go on far from it, as a floor's joints do and the end of a tie not.

    Args:
        line: From :func:`dark_lines`.
        off: How far from the cut, pixels (h, w).
    """
    number, lines = cv2.connectedComponents((line & (off > OFF)).astype(np.uint8))
    reach = np.zeros(number)
    np.maximum.at(reach, lines, off)
    return np.asarray((lines > 0) & (reach[lines] >= _AWAY))


def without_line_ends(
    small: NDArray[np.uint8], binary: NDArray[np.uint8], chance: NDArray[np.float32], sure: float
) -> NDArray[np.uint8]:
    """The cut without thin pieces that go on as a line of the floor.

    For networks that are asked once, as `onnx` and `transformers`: where one has looked past the
    lines (:mod:`.floor_lines`) they are painted over, and nothing is found here.

    Args:
        small: uint8 sRGB (h, w, 3).
        binary: uint8 (h, w), 1 is product.
        chance: float32 (h, w) in 0..1, of being product.
        sure: Mean chance at which a piece is product none the less.

    Returns:
        uint8 (h, w); never more than ``binary``.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_THIN, _THIN))
    thin = (binary > 0) & (cv2.morphologyEx(binary, cv2.MORPH_OPEN, disc) == 0)
    if not thin.any():
        return binary
    line = dark_lines(small)
    long = going_on(line, cv2.distanceTransform(1 - binary, cv2.DIST_L2, 5))
    near = np.ones((2 * OFF + 3, 2 * OFF + 3), np.uint8)
    result, most = binary.copy(), _LARGEST * float(binary.sum())
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(thin.astype(np.uint8))
    for piece in range(1, count):
        where = pieces == piece
        if not _LEAST <= stats[piece, cv2.CC_STAT_AREA] <= most or line[where].mean() < 0.5:
            continue
        around = cv2.dilate(where.astype(np.uint8), near) > 0
        if (around & long).any() and float(chance[where].mean()) < sure:
            result[where] = 0
    return result
