"""What belongs to a stroke that a person drew: as wrong as what it covers, connected with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLOURS = 4  # clusters of what a stroke covers, and of what it competes with
_LEAST_SPREAD = 4.0  # of a cluster, Lab: a printed area is not of one colour to the last bit
_UNLIKE = 2.5  # spreads from every rival colour: no backdrop, or no product, that is known here
_ALIKE = 2.0  # spreads from the stroke's own colours: of the same thing, where it is connected
_FAR = 9.0  # spreads: farther is not told apart any better
_MOST = 0.25  # of all that could be wrong: what looks the same and is more is no thing of its own
_SURE = 1.0  # spreads by which a colour is nearer to one side, so that no cut has to decide
_RIVALS = 30  # fewest pixels that tell what the other side looks like
_ITERATIONS = 3
_SPECK = {True: 0.02, False: 0.25}  # of what is kept, dropped: smaller gaps in it go with it


def belonging(
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
    nearer = np.clip(theirs - mine, -_FAR, _FAR)
    if np.median(nearer[core]) < _SURE:  # colours do not tell
        if own:
            return piece & free
        # What looks so is elsewhere, too: a thing of its own goes, as a hanger; of a floor that
        # is like the product nothing tells how far it comes in, and the stroke alone counts.
        alike = _connected(wrong & (mine < _ALIKE), seed, wrong, keep=keep)
        much = (alike & ~free).any() and alike.sum() > _MOST * wrong.sum()
        return seed if much else alike & free
    likely = nearer > 0
    if own:  # what is like nothing around it goes as well, and what could be either
        likely |= (nearer >= -_SURE) | (theirs > _UNLIKE)
    gained = _cut(colours, wrong, free, seed, likely, np.abs(nearer) > _SURE)
    return _connected(gained, seed, wrong, keep=keep) & free


def _cut(
    colours: NDArray[np.uint8],
    wrong: NDArray[np.bool_],
    free: NDArray[np.bool_],
    seed: NDArray[np.bool_],
    likely: NDArray[np.bool_],
    sure: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """What of the wrong pixels goes over to the stroke's side, drawn along the photo's edges."""
    asked = wrong & free
    labels = np.full(wrong.shape, cv2.GC_FGD, np.uint8)  # foreground is the stroke's side
    labels[wrong] = cv2.GC_BGD
    labels[asked & likely] = cv2.GC_PR_FGD
    labels[asked & ~likely & ~sure] = cv2.GC_PR_BGD
    labels[(asked & likely & sure) | seed] = cv2.GC_FGD
    if np.isin(labels, (cv2.GC_PR_FGD, cv2.GC_PR_BGD)).any() and (labels == cv2.GC_BGD).any():
        cv2.setRNGSeed(7)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        bgr = cv2.cvtColor(colours, cv2.COLOR_RGB2BGR)
        cv2.grabCut(bgr, labels, None, *models, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.asarray(asked & np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)))


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
