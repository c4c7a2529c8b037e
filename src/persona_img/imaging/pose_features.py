"""What tells a product's pose, in numbers: its outline, what lies above and below it, its backdrop.

Everything is measured on a small picture, in the product's own frame where it can be, so that size
and place in the photo count once and not everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import to_lab
from persona_img.imaging.mask_size import product

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 192  # long side of the picture that is measured
_FRAME = 96  # side of the product's frame: outline and gradients are measured on it
_WIDER = 1.3  # of the product's longer side: what gradients are taken of
_CELLS = 8  # by as many: of gradients' histograms
_TURNS = 6  # bins of a histogram, over half a turn
_ROWS = 10  # widths and heights taken of the outline
_NEAR = 0.04  # of the long side: backdrop so close to the product is edge and shadow
_LEVEL = 3.0  # of lightness: backdrop that changes by less from pixel to pixel is even
_EVEN = 0.995  # share of such pixels from which on a backdrop says nothing
_LEAST = 0.02  # of the picture: less backdrop says nothing


def outline_features(alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Numbers of the silhouette: proportions, symmetry, moments, contours, borders it touches.

    Args:
        alpha: uint8 (H, W), 255 is product, as :func:`.mask_size.check_mask` lets through.

    Returns:
        float32 (F,).
    """
    mask = product(_small(alpha, cv2.INTER_AREA))
    top, bottom, left, right = _box(mask)
    inside = mask[top:bottom, left:right]
    height, width = inside.shape
    frame = _framed(inside.astype(np.float32))
    rows, columns = inside.mean(axis=1), inside.mean(axis=0)
    moments = cv2.moments(inside.astype(np.uint8), binaryImage=True)
    hu = cv2.HuMoments(moments).ravel()
    spread = np.array([[moments["nu20"], moments["nu11"]], [moments["nu11"], moments["nu02"]]])
    power = spread.trace() + 1e-9
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    areas = np.sort([cv2.contourArea(c) for c in contours])[::-1]
    large = areas >= 0.1 * max(areas[0], 1.0)
    found = [
        np.log(width / height),
        np.log(width / mask.shape[1]),
        np.log(height / mask.shape[0]),
        (top + bottom) / 2 / mask.shape[0] - 0.5,
        (left + right) / 2 / mask.shape[1] - 0.5,
        float(inside.mean()),
        float(mask.sum()) / max(float(cv2.contourArea(hull)), 1.0),
        min(int(large.sum()), 3),
        _overlap(inside, inside[:, ::-1]),
        _overlap(inside, inside[::-1]),
        (spread[0, 0] - spread[1, 1]) / power,
        2 * spread[0, 1] / power,
        moments["m01"] / moments["m00"] / height - 0.5,
        *(-np.sign(hu[:4]) * np.log10(np.abs(hu[:4]) + 1e-9)),
        *_edge(inside[::-1]),
        *_edge(inside),
        *(float(side.mean()) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])),
        *_resampled(rows),
        *_resampled(columns),
        *cv2.resize(frame, (8, 8), interpolation=cv2.INTER_AREA).ravel(),
    ]
    return np.asarray(found, dtype=np.float32)


def gradient_features(photo: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gradients of the product and of what is close around it: folds, openings, hooks, edges.

    Args:
        photo: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), as :func:`outline_features` takes it.

    Returns:
        float32 (F,): histograms of oriented gradients (Dalal and Triggs 2005), each cell by its own
        length.
    """
    mask = _small(alpha, cv2.INTER_AREA)
    light = to_lab(_small(photo, cv2.INTER_AREA))[..., 0]
    top, bottom, left, right = _box(product(mask))
    scale = _FRAME / (_WIDER * max(bottom - top, right - left))
    across = _FRAME / 2 - scale * (left + right) / 2
    down = _FRAME / 2 - scale * (top + bottom) / 2
    move = np.array([[scale, 0, across], [0, scale, down]], np.float32)
    frame = cv2.warpAffine(light, move, (_FRAME, _FRAME), borderMode=cv2.BORDER_REPLICATE)
    dx, dy = (cv2.Sobel(frame, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    strength = np.hypot(dx, dy)
    turn = np.floor((np.arctan2(dy, dx) % np.pi) / np.pi * _TURNS).astype(int) % _TURNS
    side, found = _FRAME // _CELLS, []
    for i, j in np.ndindex(_CELLS, _CELLS):
        cell = np.s_[i * side : (i + 1) * side, j * side : (j + 1) * side]
        counts = np.bincount(turn[cell].ravel(), weights=strength[cell].ravel(), minlength=_TURNS)
        found.append(counts / (np.linalg.norm(counts) + side * side))
    return np.concatenate(found).astype(np.float32)


def ground_features(photo: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Numbers of the backdrop: bands, horizon, texture, shadow, and what is above the product.

    Args:
        photo: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), as :func:`outline_features` takes it.

    Returns:
        float32 (F,); all NaN where the backdrop says nothing: there is little of it, or it is as
        even as the white of a cut-out.
    """
    mask = _small(alpha, cv2.INTER_AREA)
    lab = to_lab(_small(photo, cv2.INTER_AREA))
    reach = 2 * max(1, round(_NEAR * _SIDE)) + 1
    far = cv2.dilate(mask, np.ones((reach, reach), np.uint8)) < 12
    steps = np.abs(np.diff(lab[..., 0], axis=0, append=lab[-1:, :, 0]))
    says = far.mean() >= _LEAST and (steps[far] < _LEVEL).mean() < _EVEN
    base = np.median(lab[far], axis=0) if far.any() else np.zeros(3, np.float32)
    found = np.concatenate(
        [
            base / (50, 15, 15),
            _bands(lab, far, base),
            _bands(lab.swapaxes(0, 1), far.T, base),
            _texture(lab, far),
            _beside(lab[..., 0], mask, float(base[0])),
            _above(lab, mask, base),
        ]
    ).astype(np.float32)
    return found if says else np.full_like(found, np.nan)


def _small(picture: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
    scale = _SIDE / max(picture.shape[:2])
    size = (max(8, round(picture.shape[1] * scale)), max(8, round(picture.shape[0] * scale)))
    return np.asarray(
        cv2.resize(picture, size, interpolation=how if scale < 1 else cv2.INTER_LINEAR)
    )


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _framed(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put into the middle of a square, proportions kept."""
    height, width = part.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side), np.float32)
    square[top : top + height, left : left + width] = part
    return np.asarray(cv2.resize(square, (_FRAME, _FRAME), interpolation=cv2.INTER_AREA))


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max(int((one | other).sum()), 1))


def _edge(inside: NDArray[np.bool_]) -> tuple[float, ...]:
    """How the lower contour runs: flat, arched, tilted, in how few columns it touches ground."""
    height, width = inside.shape
    filled = inside.any(axis=0)
    lowest = np.where(filled, height - 1 - inside[::-1].argmax(axis=0), -1)
    lift = (height - 1 - lowest[filled]) / max(width, height)
    x = np.linspace(-1, 1, len(lift))
    arch, tilt, _ = np.polyfit(x, lift, 2) if len(lift) >= 4 else (0.0, 0.0, 0.0)
    ground = [float((lift < reach).mean()) for reach in (0.02, 0.06, 0.15)]
    return (*ground, float(np.median(lift)), float(lift.std()), float(arch), float(tilt))


def _resampled(profile: NDArray[np.floating]) -> NDArray[np.float64]:
    at = (np.arange(_ROWS) + 0.5) / _ROWS * len(profile) - 0.5
    return np.asarray(np.interp(at, np.arange(len(profile)), profile), dtype=np.float64)


def _bands(
    lab: NDArray[np.float32], far: NDArray[np.bool_], base: NDArray[np.float32]
) -> NDArray[np.float64]:
    """How the backdrop changes from top to bottom: five bands, and the sharpest horizon."""
    found = []
    for band, seen in zip(np.array_split(lab, 5), np.array_split(far, 5), strict=True):
        here = np.median(band[seen], axis=0) if seen.sum() >= 12 else base
        found += list((here - base) / (20, 8, 8))
    weight = far.sum(axis=1).astype(np.float64)
    sums = np.where(far[..., None], lab, 0).sum(axis=1)
    window, sharpest, place = max(3, len(lab) // 12), 0.0, 0.5
    for y in range(window, len(lab) - window):
        above, below = weight[y - window : y].sum(), weight[y : y + window].sum()
        if min(above, below) < 0.3 * window * lab.shape[1]:
            continue
        step = sums[y : y + window].sum(axis=0) / below - sums[y - window : y].sum(axis=0) / above
        size = float(np.linalg.norm(step))
        if size > sharpest:
            sharpest, place = size, y / len(lab)
    return np.array([*found, sharpest / 15, place - 0.5 if sharpest > 5 else 0.0])


def _texture(lab: NDArray[np.float32], far: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Strength of detail in four octaves, along and across; upper half and lower half."""
    found = []
    half = len(lab) // 2
    previous = lab[..., 0]
    for sigma in (1.0, 2.0, 4.0, 8.0):
        calm = cv2.GaussianBlur(lab[..., 0], (0, 0), sigma)
        detail = np.abs(previous - calm)
        for part in (np.s_[:half], np.s_[half:]):
            seen = detail[part][far[part]]
            found.append(np.log(float(seen.mean()) + 0.05) if len(seen) >= 12 else -1.0)
        previous = calm
    across = np.abs(cv2.Sobel(lab[..., 0], cv2.CV_32F, 1, 0))[far].mean() if far.any() else 0.0
    along = np.abs(cv2.Sobel(lab[..., 0], cv2.CV_32F, 0, 1))[far].mean() if far.any() else 0.0
    return np.array([*found, float((across - along) / (across + along + 1e-3))])


def _beside(
    light: NDArray[np.float32], mask: NDArray[np.uint8], base: float
) -> NDArray[np.float64]:
    """Lightness close to the product in eight directions, less the backdrop's: its shadow."""
    rim = cv2.dilate(mask, np.ones((3, 3), np.uint8)) >= 12
    found = []
    for reach in (0.02, 0.05):
        for turn in range(8):
            angle = np.pi * turn / 4
            dx, dy = reach * _SIDE * np.cos(angle), reach * _SIDE * np.sin(angle)
            move = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
            beside = (cv2.warpAffine(mask, move, mask.shape[::-1]) >= 128) & ~rim
            found.append((float(light[beside].mean()) - base) / 20 if beside.any() else 0.0)
    return np.array(found)


def _above(
    lab: NDArray[np.float32], mask: NDArray[np.uint8], base: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What is seen over the middle of the product, where a hanger has its hook."""
    top, _, left, right = _box(product(mask))
    reach, middle = max(8, (right - left) // 5), (left + right) // 2
    y0, x0 = max(0, top - reach), max(0, middle - reach)
    part = lab[y0 : max(top + reach // 2, y0 + 4), x0 : middle + reach]
    free = mask[y0 : max(top + reach // 2, y0 + 4), x0 : middle + reach] < 12
    apart = np.where(free, np.linalg.norm((part - base) / (1, 2, 2), axis=-1), 0) / 20
    square = cv2.resize(apart.astype(np.float32), (5, 4), interpolation=cv2.INTER_AREA)
    steps = np.abs(cv2.Sobel(part[..., 0], cv2.CV_32F, 1, 0)) * free
    detail = float(steps.mean()) / 20
    return np.array([*square.ravel(), detail, top / len(lab)])
