"""Which pixels are the product: GrabCut seeded by the colours along the photo's border.

The backdrop of a product photo is what its border shows, so border colours seed the
background model (Rother, Kolmogorov and Blake 2004, "GrabCut"). The cut is made small; its edge
is refined at full resolution in ``refine.py``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.domain.digest import digest_of
from persona_img.imaging.colour import to_lab
from persona_img.masking.base import ProductMask
from persona_img.masking.leftover import backdrop_ratio, without_leftovers
from persona_img.masking.refine import refine

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LIGHTNESS_WEIGHT = 0.55  # shadows change L*, seldom the hue: trust lightness less
_BORDER_CLUSTERS = 6
_VERSION = "3"
"""Raised whenever the same photo would give another mask."""


@dataclass(frozen=True)
class ClassicSettings:
    """How the product is cut out.

    Attributes:
        side: Long side in pixels at which the cut is made.
        iterations: GrabCut iterations.
        hole: Holes smaller than this share of the picture are filled.
        island: Pieces smaller than this share of the largest piece are dropped.
    """

    side: int = 320
    iterations: int = 6
    hole: float = 0.0008
    island: float = 0.04


class ClassicMasker:
    """GrabCut seeded by the border's colours; needs no weights.

    Args:
        settings: How to cut; defaults suit flat-lay and hanging shots.
    """

    name = "classic"

    def __init__(self, settings: ClassicSettings | None = None) -> None:
        self.settings = settings or ClassicSettings()

    def fingerprint(self) -> str:
        """See :class:`.base.Masker`."""
        return digest_of([self.name, _VERSION, asdict(self.settings)])

    def cut(self, photo: NDArray[np.uint8]) -> ProductMask:
        """See :class:`.base.Masker`."""
        return cut_out(photo, self.settings)


def cut_out(photo: NDArray[np.uint8], settings: ClassicSettings | None = None) -> ProductMask:
    """Mask of the one product in a photo.

    Args:
        photo: uint8 sRGB (H, W, 3).
        settings: How to cut; defaults suit flat-lay and hanging shots.

    Returns:
        Alpha at the photo's own size with its confidence. Same photo, same bytes.
    """
    small, binary, ring = _small_cut(photo, settings or ClassicSettings())
    checks = _checks(small, binary, ring)
    alpha = refine(photo, binary)
    return ProductMask(
        alpha=alpha, confidence=min(checks.values()), checks=checks, source="classic"
    )


def coarse_cut(
    photo: NDArray[np.uint8], settings: ClassicSettings | None = None
) -> NDArray[np.uint8]:
    """The cut before its edge is refined, uint8 0 or 1, of the size at which it is made."""
    return _small_cut(photo, settings or ClassicSettings())[1]


def _small_cut(
    photo: NDArray[np.uint8], settings: ClassicSettings
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """The photo small, its cut and its border ring."""
    height, width = photo.shape[:2]
    scale = min(1.0, settings.side / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
    distance, ring = border_distance(small)
    binary = _clean(_grabcut(small, distance, ring, settings.iterations), settings)
    return small, without_leftovers(small, binary), ring


def border_distance(small: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """How unlike the border each pixel is, and which pixels are the border ring.

    The distance is in units of the border's own spread (about 1 = typical border pixel).
    """
    height, width = small.shape[:2]
    lab = to_lab(cv2.bilateralFilter(small, 7, 25, 5)) * np.array(
        [_LIGHTNESS_WEIGHT, 1, 1], dtype=np.float32
    )
    thick = max(2, round(0.03 * min(height, width)))
    ring = np.ones((height, width), dtype=bool)
    ring[thick:-thick, thick:-thick] = False
    samples = lab[ring]
    cv2.setRNGSeed(7)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    k = min(_BORDER_CLUSTERS, len(samples))
    _, labels, centres = cv2.kmeans(samples, k, None, criteria, 2, cv2.KMEANS_PP_CENTERS)
    labels = labels[:, 0]
    share = np.bincount(labels, minlength=k) / len(labels)
    # A colour on a small stretch of border may be the product touching the frame: forget it.
    keep = np.flatnonzero(share >= 0.04)
    distance = np.full((height, width), np.inf, dtype=np.float32)
    for c in keep:
        spread = samples[labels == c]
        sigma = np.sqrt(((spread - centres[c]) ** 2).sum(1).mean()) + 4.0
        d = np.sqrt(((lab - centres[c]) ** 2).sum(-1)) / sigma
        distance = np.minimum(distance, d.astype(np.float32))
    return distance, ring


def _grabcut(
    small: NDArray[np.uint8],
    distance: NDArray[np.float32],
    ring: NDArray[np.bool_],
    iterations: int,
) -> NDArray[np.uint8]:
    height, width = distance.shape
    smooth = cv2.GaussianBlur(distance, (0, 0), 1.5)
    inside = smooth[~ring]
    threshold = float(np.clip(_otsu(inside), 1.4, 4.0))
    labels = np.where(smooth > threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[ring & (smooth < 2.5)] = cv2.GC_BGD
    yy, xx = np.mgrid[0:height, 0:width]
    centre = (np.abs(yy / height - 0.5) < 0.12) & (np.abs(xx / width - 0.5) < 0.12)
    labels[centre & (labels == cv2.GC_PR_BGD)] = cv2.GC_PR_FGD
    # Far from any border colour, and not an isolated speck: surely product.
    sure = cv2.erode((smooth > 2.2 * threshold).astype(np.uint8), np.ones((5, 5), np.uint8))
    labels[(sure > 0) & ~ring] = cv2.GC_FGD
    if not np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
        labels[height // 3 : -(height // 3), width // 3 : -(width // 3)] = cv2.GC_PR_FGD
    if not np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
        labels[ring] = cv2.GC_BGD
    cv2.setRNGSeed(7)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(bgr, labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def _otsu(values: NDArray[np.float32]) -> float:
    top = float(np.percentile(values, 99.5)) + 1e-6
    scaled = np.clip(values / top * 255, 0, 255).astype(np.uint8).reshape(-1, 1)
    level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(level) / 255 * top


def _clean(binary: NDArray[np.uint8], settings: ClassicSettings) -> NDArray[np.uint8]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    binary = cv2.morphologyEx(binary, cv2.MORPH_OPEN, kernel)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=4)
    if count > 1:
        areas = stats[1:, cv2.CC_STAT_AREA]
        kept = 1 + np.flatnonzero(areas >= settings.island * areas.max())
        binary = np.isin(labels, kept).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - binary, connectivity=4)
    small = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] < settings.hole * binary.size]
    if small:
        binary[np.isin(labels, small)] = 1
    return np.asarray(binary, dtype=np.uint8)


def _checks(
    small: NDArray[np.uint8], binary: NDArray[np.uint8], ring: NDArray[np.bool_]
) -> dict[str, float]:
    """Signs of a failed cut, each a score in 0..1 (1 is good)."""
    area = float(binary.mean())
    if area == 0.0 or area == 1.0:
        return dict.fromkeys(("area", "contrast", "colours", "connected", "border", "ring"), 0.0)
    kernel = np.ones((3, 3), np.uint8)
    inner = (binary > 0) & (cv2.erode(binary, kernel, iterations=4, borderValue=1) == 0)
    outer = (binary == 0) & (cv2.dilate(binary, kernel, iterations=4) > 0)
    inner &= cv2.erode(binary, kernel, iterations=1, borderValue=1) > 0
    outer &= cv2.dilate(binary, kernel, iterations=1) == 0
    lab = to_lab(small)
    # Local contrast: along the outline, how far apart are the two sides?
    size = (0, 0)
    w_in, w_out = inner.astype(np.float32), outer.astype(np.float32)
    blur_in = cv2.GaussianBlur(w_in, size, 4) + 1e-6
    blur_out = cv2.GaussianBlur(w_out, size, 4) + 1e-6
    mean_in = cv2.GaussianBlur(lab * w_in[..., None], size, 4) / blur_in[..., None]
    mean_out = cv2.GaussianBlur(lab * w_out[..., None], size, 4) / blur_out[..., None]
    edge = cv2.morphologyEx(binary, cv2.MORPH_GRADIENT, kernel) > 0
    edge &= (blur_in > 0.02) & (blur_out > 0.02)
    delta = np.sqrt(((mean_in - mean_out) ** 2).sum(-1))[edge]
    weak = float((delta < 9.0).mean()) if delta.size else 1.0
    _, _, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    two = float(areas[:2].sum() / areas.sum())  # a pair of shoes is two pieces
    touching = float(binary[ring].mean())
    perimeter = float(cv2.morphologyEx(binary, cv2.MORPH_GRADIENT, kernel).sum())
    ragged = perimeter / (2 * np.sqrt(np.pi * binary.sum()))
    return {
        "area": float(np.clip((area - 0.02) / 0.06, 0, 1) * np.clip((0.85 - area) / 0.1, 0, 1)),
        "contrast": float(np.clip(1.0 - weak / 0.5, 0, 1)),
        "colours": told_apart(small, binary),
        "connected": float(np.clip((two - 0.6) / 0.35, 0, 1)),
        "border": float(np.clip(1.0 - touching / 0.35, 0, 1)),
        "ring": float(np.clip((9.0 - ragged) / 4.0, 0, 1)),
    }


def told_apart(small: NDArray[np.uint8], binary: NDArray[np.uint8]) -> float:
    """Whether colours agree with the cut, 0..1: few are shared, and none of the product's is left.

    Stripes in the floor's colour are bitten off unseen; half a product left outside has the other
    half's colours.
    """
    ratio = backdrop_ratio(small, binary)
    outside = cv2.dilate(binary, np.ones((5, 5), np.uint8)) == 0
    if not outside.any():
        return 0.0
    shared = max((ratio[binary > 0] > -0.5).mean(), (ratio[outside] < 0.5).mean())
    left = ((ratio < -1.0) & outside).astype(np.uint8)
    left = cv2.morphologyEx(left, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    missing = left.sum() / binary.sum()
    return float(min(np.clip((0.28 - shared) / 0.2, 0, 1), np.clip((0.16 - missing) / 0.1, 0, 1)))
