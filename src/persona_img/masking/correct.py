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
from persona_img.imaging.colour import to_lab
from persona_img.masking.refine import refine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from persona_img.masking.base import Masker, ProductMask

REACH = 0.2
"""How far around a point a mask may change, as a share of the photo's longer side."""
DAB = 0.006
"""Radius of a point, as a share of the photo's longer side."""
_WHOLE_SIDE = 640  # longest side at which a whole mask is looked at for holes and pieces
_SIDE = 320  # longest side of the window in which colours are compared
_COLOURS = 4  # clusters of what a stroke covers, and of what it competes with
_LEAST_SPREAD = 4.0  # of a cluster, Lab: a printed area is not of one colour to the last bit
_UNLIKE = 2.5  # spreads from every rival colour: no backdrop, or no product, that is known here
_ALIKE = 2.0  # spreads from the stroke's own colours: of the same thing, where it is connected
_MOST = 0.25  # of all that could be wrong: what looks the same and is more is no thing of its own
_SURE = 1.0  # spreads by which a colour is nearer to one side, so that no cut has to decide
_RIVALS = 30  # fewest pixels that tell what the other side looks like
_ITERATIONS = 3
_SPECK = {True: 0.02, False: 0.25}  # of what is kept, dropped: smaller gaps in it go with it
_BAND = 4  # pixels of the window beside what changed, where the edge is drawn anew
_MARGIN = 0.08  # around a box: what is cut needs some backdrop to be told from


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
    changed = _belonging(colours, wrong, seed, core, free, keep=stroke.keep, own=own)
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


def _belonging(
    colours: NDArray[np.uint8],
    wrong: NDArray[np.bool_],
    seed: NDArray[np.bool_],
    core: NDArray[np.bool_],
    free: NDArray[np.bool_],
    *,
    keep: bool,
    own: bool,
) -> NDArray[np.bool_]:
    """What is as wrong as the seed.

    Args:
        colours: uint8 (h, w, 3).
        wrong: bool (h, w), where the mask says the opposite of the stroke.
        seed: bool (h, w), the wrong pixels under the stroke.
        core: bool (h, w), those under its middle, whose colours count: its rim may lie beside.
        free: bool (h, w), where the mask may change.
        keep: Whether what is wrong was taken for backdrop.
        own: Whether it is one thing, see :func:`_own`.
    """
    lab = to_lab(cv2.GaussianBlur(colours, (0, 0), 0.8))
    pieces = cv2.connectedComponents(wrong.astype(np.uint8), connectivity=4)[1]
    piece = np.isin(pieces, np.unique(pieces[seed])) & wrong
    rivals = wrong & ~(piece if own else free)
    if rivals.sum() < _RIVALS and not own:
        away = cv2.distanceTransform((~seed).astype(np.uint8), cv2.DIST_L2, 5)
        rivals = wrong & (away >= np.percentile(away[wrong], 67)) & ~seed
    mine = _unlike(lab, core)
    theirs = _unlike(lab, rivals) if rivals.sum() >= _RIVALS else np.full_like(mine, np.inf)
    likely = mine < theirs
    if own:  # what is like nothing around it goes as well
        likely |= (mine <= theirs + _SURE) | (theirs > _UNLIKE)
    elif np.median((theirs - mine)[core]) < _SURE:
        # What looks so is elsewhere, too: a thing of its own goes, as a hanger; of a floor that
        # is like the product nothing tells how far it comes in, and the stroke alone counts.
        alike = _connected(wrong & (mine < _ALIKE), seed, wrong, keep=keep)
        much = (alike & ~free).any() and alike.sum() > _MOST * wrong.sum()
        return seed if much else alike & free
    sure = np.abs(np.nan_to_num(theirs - mine, posinf=99.0)) > _SURE
    labels = np.full(wrong.shape, cv2.GC_FGD, np.uint8)  # foreground is the stroke's side
    labels[wrong] = cv2.GC_BGD
    asked = wrong & free
    labels[asked & likely] = cv2.GC_PR_FGD
    labels[asked & ~likely & ~sure] = cv2.GC_PR_BGD
    labels[asked & likely & sure] = cv2.GC_FGD
    labels[seed] = cv2.GC_FGD
    if np.isin(labels, (cv2.GC_PR_FGD, cv2.GC_PR_BGD)).any() and (labels == cv2.GC_BGD).any():
        cv2.setRNGSeed(7)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        bgr = cv2.cvtColor(colours, cv2.COLOR_RGB2BGR)
        cv2.grabCut(bgr, labels, None, *models, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    gained = asked & np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return _connected(gained, seed, wrong, keep=keep) & free


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


def _unlike(lab: NDArray[np.float32], sample: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How unlike a sample's colours each pixel is, in units of their own spread, (h, w)."""
    points = np.repeat(lab[sample], 2, axis=0)  # a single row would be taken for three of one
    k = min(_COLOURS, len(points))
    cv2.setRNGSeed(7)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, labels, centres = cv2.kmeans(points, k, None, criteria, 2, cv2.KMEANS_PP_CENTERS)
    least = np.full(lab.shape[:2], np.inf, np.float32)
    for c in range(k):
        own = points[labels[:, 0] == c]
        if len(own) < 0.04 * len(points):
            continue
        spread = np.sqrt(((own - centres[c]) ** 2).sum(1).mean()) + _LEAST_SPREAD
        distance = np.sqrt(((lab - centres[c]) ** 2).sum(-1)) / spread
        least = np.minimum(least, distance.astype(np.float32))
    return least


def _connected(
    gained: NDArray[np.bool_], seed: NDArray[np.bool_], wrong: NDArray[np.bool_], *, keep: bool
) -> NDArray[np.bool_]:
    """The part that hangs together with the seed by more than a thread, its small gaps filled."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    firm = cv2.morphologyEx(gained.astype(np.uint8), cv2.MORPH_OPEN, cross) > 0
    pieces = cv2.connectedComponents((firm | seed).astype(np.uint8), connectivity=4)[1]
    held = np.isin(pieces, np.unique(pieces[seed]))
    held = (cv2.dilate(held.astype(np.uint8), cross) > 0) & gained | seed
    rest = wrong & ~held
    count, gaps, stats, _ = cv2.connectedComponentsWithStats(rest.astype(np.uint8), connectivity=4)
    beside = set(np.unique(gaps[cv2.dilate(held.astype(np.uint8), cross) > 0]))
    most = _SPECK[keep] * held.sum()
    filled = [i for i in range(1, count) if i in beside and stats[i, cv2.CC_STAT_AREA] <= most]
    return np.asarray(held | np.isin(gaps, filled))
