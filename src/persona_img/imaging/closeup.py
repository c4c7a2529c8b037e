"""A backdrop as a judge of styles sees it: the whole at a small size, and the surface at 1:1.

At a small size linen and paper are one sheet; what tells them apart is the finest grain, and that
is only there at full size. How large a canvas is changes the grain's place in the spectrum, so its
size is among the numbers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.backdrop import backdrop_features
from persona_img.imaging.colour import to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCKS, _MARGIN = (64, 32), 16  # pixels at 1:1: a block, or a smaller one where none is clear
_NEAREST = 14  # blocks looked at, those nearest the product's foot
_CLEAR = 6  # pixels of 1:1 between product and block
_SIGMAS = (0.7, 1.4, 2.8, 5.6)
_SIDE, _ROWS = 192, 12  # long side, and bands from top to bottom, of the layout


def closeup_features(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Numbers that tell surfaces, palettes, lights and scenes apart.

    Args:
        picture: uint8 sRGB (H, W, 3), at its full size.
        alpha: uint8 (H, W), 255 is product.

    Returns:
        float32 (F,): those of :func:`.backdrop.backdrop_features`; colour, lightness and grain of
        twelve bands from top to bottom; and of blocks of 64 pixels of the picture itself (of 32
        where none of 64 is clear of the product), the nearest to the product's foot, colour and for
        each of four octaves contrast, kurtosis, coherence and direction, with how much blocks
        differ. All NaN where :func:`.backdrop.backdrop_features` is, or no block is clear.
    """
    whole = backdrop_features(picture, alpha).astype(np.float64)
    parts = [whole, _layout(picture, alpha), _grain(picture, alpha)]
    found = np.concatenate(parts).astype(np.float32)
    return found if np.isfinite(found).all() else np.full_like(found, np.nan)


def _layout(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Bands from top to bottom: what is wall, what is table, and what is out of focus."""
    scale = _SIDE / max(alpha.shape)
    size = max(16, round(alpha.shape[1] * scale)), max(16, round(alpha.shape[0] * scale))
    lab = to_lab(cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8))
    mask = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    fine = np.abs(lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), 1.5))
    clear = (cv2.dilate(mask, np.ones((5, 5), np.uint8)) < 5).astype(np.uint8)
    found: list[float] = []
    for rows in np.array_split(np.arange(size[1]), _ROWS):
        band = slice(rows[0], rows[-1] + 1)
        where = clear[band] if clear[band].any() else np.ones_like(clear[band])
        mean, spread = cv2.meanStdDev(lab[band], mask=where)
        grain = cv2.mean(fine[band], mask=where)[0]
        found += [*mean.ravel(), float(spread[0, 0]), float(np.log(grain + 0.02))]
    return np.array([*found, _foot(alpha)[0]])


def _foot(alpha: NDArray[np.uint8]) -> tuple[float, float]:
    """Lowest row and middle column of the product, shares of height and width."""
    seen = alpha >= 128
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not rows.size:
        return 1.0, 0.5
    return (rows[-1] + 1) / alpha.shape[0], (columns[0] + columns[-1]) / 2 / alpha.shape[1]


def _grain(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The surface at 1:1 beside the product's foot."""
    for block in _BLOCKS:
        places = _places(alpha, block)
        if places:
            break
    else:
        return np.full(2 * (5 + 5 * len(_SIGMAS)) + 1, np.nan)
    m, side, count = _MARGIN, block + 2 * _MARGIN, len(places)
    wide = cv2.copyMakeBorder(picture, m, m, m, m, cv2.BORDER_REFLECT_101)
    pieces = [wide[top : top + side, left : left + side] for top, left in places]
    # One above the other they are filtered at once; margins keep neighbours apart.
    lab = to_lab(np.concatenate(pieces))
    log = np.log(np.maximum(lab[..., 0], np.float32(3.0)))
    blurred = [log, *(cv2.GaussianBlur(log, (0, 0), sigma) for sigma in _SIGMAS)]

    def inner(values: NDArray[np.float32]) -> NDArray[np.float32]:
        apart = values.reshape(count, side, side)
        return apart[:, m:-m, m:-m]

    found = [inner(lab[..., channel]).mean(axis=(1, 2)) for channel in range(3)]
    found += [np.log(inner(lab[..., channel]).std(axis=(1, 2)) + 1e-2) for channel in (1, 2)]
    for fine, coarse in pairwise(blurred):
        values = inner(fine - coarse)
        spread = values.std(axis=(1, 2)) + np.float32(1e-5)
        relative = (values - values.mean(axis=(1, 2), keepdims=True)) / spread[:, None, None]
        cubed = relative * relative * relative
        dy, dx = np.diff(values, axis=1)[:, :, 1:], np.diff(values, axis=2)[:, 1:]
        across, along, both = ((a * b).mean(axis=(1, 2)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
        power = across + along + np.float32(1e-12)
        found += [
            np.log(spread),
            np.log((cubed * relative).mean(axis=(1, 2)) + 1e-6),
            cubed.mean(axis=(1, 2)),
            np.hypot(across - along, 2 * both) / power,
            (across - along) / power,
        ]
    table = np.stack(found)
    size = float(np.log2(max(alpha.shape)))
    return np.concatenate([np.median(table, axis=1), table.std(axis=1), [size]])


def _places(alpha: NDArray[np.uint8], block: int) -> list[tuple[int, int]]:
    """Top and left of the blocks that the product leaves, the nearest to its foot first."""
    rows, columns = alpha.shape[0] // block, alpha.shape[1] // block
    if not rows or not columns:
        return []
    kernel = np.ones((2 * _CLEAR + 1, 2 * _CLEAR + 1), np.uint8)
    taken = cv2.dilate(alpha[: rows * block, : columns * block], kernel) > 5
    across = np.logical_or.reduceat(taken, np.arange(0, columns * block, block), axis=1)
    free = np.argwhere(~np.logical_or.reduceat(across, np.arange(0, rows * block, block), axis=0))
    away = np.hypot(*((free + 0.5) * block - np.array(_foot(alpha)) * alpha.shape).T)
    order = np.argsort(away, kind="stable")[:_NEAREST]
    return [(int(y) * block, int(x) * block) for y, x in free[order]]
