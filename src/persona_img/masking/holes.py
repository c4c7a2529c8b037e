"""Holes in a cut that are none: prints, stripes and buttons in a colour that the floor lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ALIKE = 9.0  # colour difference within which a pixel of the floor has a hole's colour
_SHADE = np.array([0.5, 1.0, 1.0], dtype=np.float32)  # shade changes L*, seldom the hue
_RARE = 0.1  # of the floor in sight: a hole of a colour that less of it has shows no floor
_SELDOM = 0.25  # the same, of a hole in which the network is nowhere sure
_SURE = 0.15  # chance of product at which it is sure of floor
_SHADED = 0.2  # mean chance of product below which the network takes all of a hole for floor
_UNSURE = 0.38  # mean chance of product above which nobody takes a hole for floor
_NEARLY_ALL, _BRIGHTER = 0.9, 10.0  # share of the floor, and L* by which light things are brighter
_DEEPEST = 0.6  # of the floor's lightness: what is much darker is no floor in shade
_KNOWN = 50  # pixels of floor: with fewer its colours are not known
_SAMPLE = 4000  # pixels of floor that are compared


def filled(
    small: NDArray[np.uint8],
    chance: NDArray[np.float32],
    binary: NDArray[np.uint8],
    *,
    shaded: bool = True,
    seen: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """The cut without holes that do not look like the floor around the product.

    Nor is one kept in which a network is not sure of floor, or that is brighter than nearly all of
    the floor: what is seen through a product lies in its shade, and is no label and no button.

    Args:
        small: uint8 sRGB (h, w, 3).
        chance: float32 (h, w) in 0..1, of being product.
        binary: uint8 (h, w), 1 is product.
        shaded: Whether ``chance`` can tell floor in deep shade; the colours' own cannot.
        seen: A network's chances, float32 (h, w), where ``chance`` is not its own.

    Returns:
        uint8 (h, w); never less than ``binary``.
    """
    beyond = np.pad(1 - binary, 1, constant_values=1).astype(np.uint8)
    count, pieces = cv2.connectedComponents(beyond, connectivity=4)
    outside, pieces = pieces[0, 0], pieces[1:-1, 1:-1]
    lab = to_lab(cv2.GaussianBlur(small, (0, 0), 0.8))
    clear = cv2.dilate(binary, np.ones((5, 5), np.uint8)) == 0
    floor = lab[(pieces == outside) & clear]
    if len(floor) < _KNOWN:
        return binary
    floor = floor[:: max(1, len(floor) // _SAMPLE)]
    brightest = float(np.quantile(floor[:, 0], _NEARLY_ALL)) + _BRIGHTER
    seen = chance if seen is None else seen
    result = binary.copy()
    for i in range(1, count):
        piece = pieces == i
        if i == outside or not piece.any():
            continue
        # The rim of a hole is mixed with the product: its inside says what it is.
        inner = cv2.erode(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        colour = np.median(lab[inner if inner.any() else piece], axis=0)
        if seen[piece].mean() > _UNSURE or colour[0] > brightest:
            result[piece] = 1
            continue
        alike = np.linalg.norm((floor - colour) * _SHADE, axis=1) < _ALIKE
        if (
            shaded and chance[piece].mean() < _SHADED
        ):  # between sleeve and body floor may lie in deep shade
            share = np.clip(colour[0] / np.maximum(floor[:, :1], 1.0), _DEEPEST, 1.0)
            alike |= np.linalg.norm(floor * share - colour, axis=1) < _ALIKE
        if alike.mean() < (_SELDOM if chance[piece].min() > _SURE else _RARE):
            result[piece] = 1
    return result
