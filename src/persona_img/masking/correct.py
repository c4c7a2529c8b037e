"""A mask put right by a person: where they point, and no farther than what is plainly the same.

A person says of a few pixels that they are product, or that they are not. What belongs to these
pixels is found beside them: a *keep* may only add to the mask and a *drop* only take from it, both
within reach of the stroke and connected with it. All else stays as it was, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import InvalidInput
from persona_img.masking.belonging import belonging
from persona_img.masking.refine import refine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

REACH = 0.2
"""How far around a point a mask may change, as a share of the photo's longer side."""
DAB = 0.006
"""Radius of a point, as a share of the photo's longer side."""
_WHOLE_SIDE = 640  # longest side at which a whole mask is looked at for holes and pieces
_SIDE = 320  # longest side of the window in which colours are compared
_BAND = 4  # pixels of the window beside what changed, where the edge is drawn anew


@dataclass(frozen=True)
class Stroke:
    """What a person drew with a round brush.

    Attributes:
        keep: Whether it is product; otherwise it is not.
        points: Pixels (x, y) that the brush's middle went through; one is a dab.
        radius: Of the brush, pixels; 0 is one pixel.
        reach: How far around it the mask may change, pixels; 0 changes what it covers alone.
    """

    keep: bool
    points: tuple[tuple[int, int], ...]
    radius: int
    reach: int


def correct(
    photo: NDArray[np.uint8], alpha: NDArray[np.uint8], strokes: Sequence[Stroke]
) -> NDArray[np.uint8]:
    """The mask as a person's strokes say.

    Where a stroke would cover a point of one of the other kind, it is drawn thinner.

    Args:
        photo: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), the mask to put right.
        strokes: What was drawn; their order does not matter.

    Returns:
        uint8 (H, W): 255 at every point that is kept and 0 at every one that is dropped; farther
        from a stroke than its radius and reach, ``alpha`` itself. Same strokes, same bytes.

    Raises:
        InvalidInput: a point outside the photo, or one that is both kept and dropped.

    References:
        Rother, Kolmogorov, Blake 2004, "GrabCut"; that only what is connected with a stroke
        changes, as in Price, Morse, Cohen 2010, "Geodesic Graph Cut".
    """
    _check(strokes, alpha)
    strokes = [_thinned(one, strokes) for one in sorted(strokes, key=lambda one: not one.keep)]
    kept = _covered([one for one in strokes if one.keep], alpha)
    dropped = _covered([one for one in strokes if not one.keep], alpha)
    found = alpha.copy()
    for stroke in strokes:
        if stroke.reach > 0:
            _spread(photo, alpha, found, stroke, (dropped if stroke.keep else kept) > 0)
    # A brush's rim is soft; the points that it was led through are not.
    found = np.minimum(np.maximum(found, kept), 255 - dropped)
    for stroke in strokes:
        for x, y in stroke.points:
            found[y, x] = 255 if stroke.keep else 0
    return found


def _check(strokes: Sequence[Stroke], alpha: NDArray[np.uint8]) -> None:
    height, width = alpha.shape
    for stroke in strokes:
        for x, y in stroke.points:
            if not (0 <= x < width and 0 <= y < height):
                raise InvalidInput(f"point {x},{y}: the photo is {width} x {height}; point at it")
    said = [
        {p for one in strokes if one.keep == keep for p in one.points} for keep in (True, False)
    ]
    for x, y in sorted(said[0] & said[1]):
        raise InvalidInput(f"point {x},{y}: is both kept and dropped; say one of them")


def _thinned(stroke: Stroke, strokes: Sequence[Stroke]) -> Stroke:
    """Thin enough to cover no point of the other kind."""
    others = [p for one in strokes if one.keep != stroke.keep for p in one.points]
    if not others:
        return stroke
    away = min(_distance(stroke.points, other) for other in others)
    return replace(stroke, radius=min(stroke.radius, max(0, int(away) - 1)))


def _distance(line: Sequence[tuple[int, int]], point: tuple[int, int]) -> float:
    """From a point to a line of pixels."""
    ends = np.array(line, float)
    start, step = ends[:-1] if len(ends) > 1 else ends, np.diff(ends, axis=0)
    if not len(step):
        step = np.zeros_like(start)
    length = np.maximum((step**2).sum(1), 1e-9)
    along = np.clip(((np.array(point) - start) * step).sum(1) / length, 0.0, 1.0)
    return float(np.hypot(*(start + along[:, None] * step - point).T).min())


def _covered(strokes: Sequence[Stroke], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How much of each pixel the strokes cover, 0..255."""
    covered = np.zeros_like(alpha)
    for stroke in strokes:  # apart, for a soft rim drawn over another depends on their order
        covered = np.maximum(covered, _drawn(stroke, stroke.radius, alpha))
    return covered


def _drawn(stroke: Stroke, radius: int, like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    on, rim = np.zeros_like(like), cv2.LINE_AA if radius else cv2.LINE_8
    line = np.array(stroke.points, np.int32)
    cv2.polylines(on, [line.reshape(-1, 1, 2)], False, 255, 2 * radius + 1, rim)
    for x, y in (stroke.points[0], stroke.points[-1]):
        cv2.circle(on, (x, y), radius, 255, cv2.FILLED, rim)
    return on


def _spread(
    photo: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    found: NDArray[np.uint8],
    stroke: Stroke,
    forbidden: NDArray[np.bool_],
) -> None:
    """Into ``found``, what belongs to a stroke: connected with it, within its reach."""
    zone = _drawn(stroke, stroke.radius + stroke.reach, alpha)
    rows, columns = _window(stroke, alpha.shape)
    view = np.ascontiguousarray(photo[rows, columns])
    shrink = min(1.0, _SIDE / max(view.shape[:2]))
    size = (max(1, round(view.shape[1] * shrink)), max(1, round(view.shape[0] * shrink)))

    def small(area: NDArray[np.uint8]) -> NDArray[np.uint8]:
        part = np.ascontiguousarray(area[rows, columns])
        return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))

    colours = np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA))
    covered = small(_drawn(stroke, stroke.radius, alpha)) > 0
    product = small(alpha) > 127
    free = (small(zone) > 127) & ~(small(forbidden.astype(np.uint8) * 255) > 0)
    seed = covered & (product != stroke.keep) & free
    if not seed.any():  # it is as they say already, but for what the stroke itself covers
        return
    middle = (small(_drawn(stroke, stroke.radius // 2, alpha)) > 127) & seed
    core = middle if middle.any() else seed
    wrong, own = product != stroke.keep, _own(alpha, stroke)
    changed = belonging(colours, wrong, seed, core, free, keep=stroke.keep, own=own)
    binary = np.where(changed, stroke.keep, product).astype(np.uint8)
    edge = refine(view, binary)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BAND + 1, 2 * _BAND + 1))
    near = cv2.dilate(changed.astype(np.uint8), kernel)
    near = cv2.resize(near, (view.shape[1], view.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    near &= zone[rows, columns] == 255
    part = found[rows, columns]
    merged = np.maximum(part, edge) if stroke.keep else np.minimum(part, edge)
    part[near] = merged[near]


def _window(stroke: Stroke, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of all that a stroke may change, with what lies around to compare with."""
    points = np.array(stroke.points)
    more = stroke.radius + stroke.reach + max(12, stroke.reach // 2)
    (left, top), (right, bottom) = points.min(0) - more, points.max(0) + more + 1
    rows = slice(max(0, int(top)), min(shape[0], int(bottom)))
    return rows, slice(max(0, int(left)), min(shape[1], int(right)))


def _own(alpha: NDArray[np.uint8], stroke: Stroke) -> bool:
    """Whether what a stroke lies on is one thing: a hole, or a piece beside the product."""
    shrink = min(1.0, _WHOLE_SIDE / max(alpha.shape))
    size = (max(1, round(alpha.shape[1] * shrink)), max(1, round(alpha.shape[0] * shrink)))
    wrong = (cv2.resize(alpha, size, interpolation=cv2.INTER_AREA) > 127) != stroke.keep
    covered = _drawn(stroke, stroke.radius, alpha)
    under = (cv2.resize(covered, size, interpolation=cv2.INTER_AREA) > 0) & wrong
    pieces = cv2.connectedComponents(wrong.astype(np.uint8), connectivity=4)[1]
    piece = np.isin(pieces, np.unique(pieces[under]))
    if stroke.keep:
        frame = np.ones_like(piece)
        frame[1:-1, 1:-1] = False
        return bool(piece.any() and not (piece & frame).any())
    return bool(0 < piece.sum() < 0.5 * wrong.sum())
