"""Joints of a tiled floor, painted over where they run up to the product.

A network rounds the corner between an outline and a dark line that meets it, as water climbs a
wall: a bump of floor stays at the cut's edge. Looking again without the line it sees none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.masking.lines import OFF, dark_lines, going_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Look = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]

_TOUCHING = OFF + 2.5  # pixels from the cut: what begins nearer runs up to it
_STRAIGHT = 0.3  # width of a line's end, of its length: what bends more is a lace or a shadow
_END = 14  # pixels of a line that say where it goes
_STEEP = 0.5  # cosine to the cut's normal at least: what runs along the outline is its shadow
_BEFORE, _INTO = 26, 9  # pixels of it that are painted over, outside the cut and in its edge
_NEAR, _FAR = 12.0, 20.0  # pixels from the paint: nearer the second look counts, further the first


def line_ends(small: NDArray[np.uint8], binary: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The floor's dark straight lines where they run up to a cut.

    Args:
        small: uint8 sRGB (h, w, 3).
        binary: uint8 (h, w), 1 is product.

    Returns:
        uint8 (h, w), 1 is line; also as far as it goes on in the cut's edge.
    """
    line = dark_lines(small)
    off = cv2.distanceTransform(1 - binary, cv2.DIST_L2, 5)
    long = going_on(line, off)
    touching = (long & (off <= _TOUCHING)).astype(np.uint8)
    count, _, _, middles = cv2.connectedComponentsWithStats(touching)
    places = np.argwhere(long)[:, ::-1].astype(np.float64)
    ends = np.zeros_like(binary)
    for middle in middles[1:count]:
        near = places[np.hypot(*(places - middle).T) <= _END]
        if len(near) < _END:
            continue
        centre = near.mean(axis=0)
        _, lengths, axes = np.linalg.svd(near - centre, full_matrices=False)
        if lengths[1] > _STRAIGHT * lengths[0]:
            continue
        along = axes[0] if (middle - centre) @ axes[0] >= 0 else -axes[0]
        back = np.clip(middle - _END * along, 0, np.array(off.shape[::-1]) - 1)
        rise = off[_pixel(back)[::-1]] - off[_pixel(middle)[::-1]]
        if rise < _STEEP * np.hypot(*(middle - back)):
            continue
        first, last = middle - _BEFORE * along, middle + (OFF + _INTO) * along
        cv2.line(ends, _pixel(first), _pixel(last), 1, 5)
    return ends & cv2.dilate(line.astype(np.uint8), np.ones((3, 3), np.uint8))


def looked_past(
    small: NDArray[np.uint8], look: Look
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """What a network finds, and finds again beside lines that were painted over.

    Args:
        small: uint8 sRGB (h, w, 3).
        look: The network: product or not, seen straight and in a mirror, each float32 (h, w).

    Returns:
        What was seen, uint8 (h, w, 3), painted over where a line ran up to the product, and what
        was found, as ``look`` says it.
    """
    straight, mirrored = look(small)
    ends = line_ends(small, (straight + mirrored > 1).astype(np.uint8))
    if not ends.any():
        return small, straight, mirrored
    plain = np.asarray(cv2.inpaint(small, ends, 3, cv2.INPAINT_TELEA), dtype=np.uint8)
    apart = cv2.distanceTransform(1 - ends, cv2.DIST_L2, 5)
    second = np.clip((_FAR - apart) / (_FAR - _NEAR), 0, 1).astype(np.float32)
    again = [
        (old + second * (new - old)).astype(np.float32)
        for old, new in zip((straight, mirrored), look(plain), strict=True)
    ]
    return plain, again[0], again[1]


def painted(photo: NDArray[np.uint8], small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo with the paint that :func:`looked_past` put on it when it was small.

    Args:
        photo: uint8 (H, W, 3).
        small: uint8 (h, w, 3), the same shrunk by area, and perhaps painted over.

    Returns:
        uint8 (H, W, 3); ``photo`` itself where there is no paint.
    """
    seen = cv2.resize(photo, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    paint = (seen != small).any(axis=-1).astype(np.uint8)
    if not paint.any():
        return photo
    size = photo.shape[1::-1]
    where = cv2.resize(paint, size, interpolation=cv2.INTER_NEAREST) > 0
    large = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    return np.where(where[..., None], large, photo).astype(np.uint8)


def _pixel(place: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))
