"""Pieces of backdrop that a cut kept: the floor between two legs, the wall inside a neckline.

Nothing gives a composite away like a piece of the old backdrop. A piece is taken out of the cut
when its colours are more the backdrop's than the product's in the whole photo, and nearby it
continues the backdrop and stands out from the product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS = 32
_LOW, _HIGH = np.array([0, -64, -64], dtype=np.float32), np.array([100, 64, 64], dtype=np.float32)
_FLOOR = 2e-6  # chance of a colour that neither side showed
_SURE = 1.5  # log-likelihood ratio
_LEAST = 0.0002  # of the picture: smaller pieces are noise
_MOST = 0.12  # of the product: a larger piece is no leftover
_NEAR = 12  # pixels: how far the backdrop that a piece continues may be
_SHADE = np.array([0.4, 1.0, 1.0], dtype=np.float32)  # shade changes L*, seldom the hue
_SAME, _OTHER = 5.0, 13.0  # colour differences: shaded backdrop, and product


def without_leftovers(
    photo: NDArray[np.uint8], cut: NDArray[np.uint8], least: float = _LEAST
) -> NDArray[np.uint8]:
    """The cut without pieces of backdrop.

    Args:
        photo: uint8 sRGB (h, w, 3), the size at which the cut was made.
        cut: uint8 (h, w), 1 is product.
        least: Share of the picture; smaller pieces stay.

    Returns:
        uint8 (h, w); never more than ``cut``.
    """
    if not cut.any() or cut.all():
        return cut
    ratio = backdrop_ratio(photo, cut)
    pieces = ((ratio > _SURE) & (cut > 0)).astype(np.uint8)
    pieces = cv2.morphologyEx(pieces, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pieces, connectivity=4)
    lab = to_lab(cv2.GaussianBlur(photo, (0, 0), 0.8))
    out = cut.copy()
    for i in range(1, count):
        area = stats[i, cv2.CC_STAT_AREA]
        if area < least * cut.size or area > _MOST * cut.sum():
            continue
        piece = labels == i
        if _is_backdrop(lab, piece, cut):
            # The opening above took the piece's outermost pixel: take it out as well.
            grown = cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            out[grown & (ratio > 0)] = 0
    return out


def backdrop_ratio(photo: NDArray[np.uint8], cut: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Log-likelihood ratio, backdrop over product, of each pixel's colour, float32 (h, w).

    Colours are counted well inside and well outside the cut, in smoothed Lab histograms.
    """
    lab = to_lab(cv2.GaussianBlur(photo, (0, 0), 0.8))
    cells = np.clip((lab - _LOW) / (_HIGH - _LOW) * _BINS, 0, _BINS - 1).astype(np.int64)
    flat = (cells[..., 0] * _BINS + cells[..., 1]) * _BINS + cells[..., 2]
    kernel = np.ones((5, 5), np.uint8)
    inside = cv2.erode(cut, kernel, borderValue=1) > 0
    outside = cv2.dilate(cut, kernel) == 0
    if not inside.any() or not outside.any():
        return np.zeros(cut.shape, dtype=np.float32)
    product, backdrop = _histogram(flat[inside]), _histogram(flat[outside])
    ratio = np.log((backdrop + _FLOOR) / (product + _FLOOR))[flat].astype(np.float32)
    return np.asarray(cv2.GaussianBlur(ratio, (0, 0), 1.0), dtype=np.float32)


def _histogram(cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """Smoothed shares of the Lab cells, summing to about 1."""
    counts = np.bincount(cells, minlength=_BINS**3).astype(np.float64)
    taps = cv2.getGaussianKernel(7, 1.2).ravel()
    cube = counts.reshape(_BINS, _BINS, _BINS)
    for axis in range(3):
        padded = np.pad(cube, [(3, 3) if i == axis else (0, 0) for i in range(3)])
        cube = np.lib.stride_tricks.sliding_window_view(padded, 7, axis=axis) @ taps
    return np.asarray(cube.ravel() / max(1.0, float(cube.sum())))


def _is_backdrop(
    lab: NDArray[np.float32], piece: NDArray[np.bool_], cut: NDArray[np.uint8]
) -> bool:
    """Whether a piece continues the backdrop nearby, in light or shade, and not the product."""
    backdrop, product = _ring(piece, _NEAR) & (cut == 0), _ring(piece, 5) & (cut > 0)
    if not backdrop.any() or not product.any():
        return False
    colour = np.median(lab[piece], axis=0)
    nearby = np.linalg.norm((lab[backdrop] - colour) * _SHADE, axis=1)
    beside = np.median(lab[product], axis=0)
    return bool(
        np.percentile(nearby, 20) < _SAME and float(np.linalg.norm(colour - beside)) > _OTHER
    )


def _ring(area: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray((cv2.dilate(area.astype(np.uint8), kernel) > 0) & ~area)
