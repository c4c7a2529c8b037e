"""Which pixels are the product: GrabCut seeded by the colours along the photo's border.

The backdrop of a product photo is what its border shows, so border colours seed the
background model (Rother, Kolmogorov and Blake 2004, "GrabCut"). The cut is made small and
its edge is refined at full resolution with a guided filter (He, Sun and Tang 2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import to_lab
from persona_img.imaging.leftover import backdrop_ratio, without_leftovers
from persona_img.imaging.matting import strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LIGHTNESS_WEIGHT = 0.55  # shadows change L*, seldom the hue: trust lightness less
_BORDER_CLUSTERS = 6
_REFINE_SIDE = 1280  # the edge follows full-size colours, by planes fitted at this long side


@dataclass(frozen=True)
class MaskSettings:
    """How the product is cut out.

    Attributes:
        side: Long side in pixels at which the cut is made.
        iterations: GrabCut iterations.
        hole: Holes smaller than this share of the picture are filled.
        island: Pieces smaller than this share of the largest piece are dropped.
        min_confidence: Below this a person must supply or approve the mask.
    """

    side: int = 320
    iterations: int = 6
    hole: float = 0.0008
    island: float = 0.04
    min_confidence: float = 0.5


@dataclass(frozen=True)
class ProductMask:
    """A product's alpha and how much to trust it.

    Attributes:
        alpha: uint8 (H, W), 255 is product, 0 is backdrop.
        confidence: 0..1, the weakest of ``checks``.
        checks: Named scores in 0..1 (area, contrast, colours, connected, border, ring).
        source: ``classic`` or ``supplied``.
    """

    alpha: NDArray[np.uint8]
    confidence: float
    checks: dict[str, float]
    source: str = "classic"


def cut_out(photo: NDArray[np.uint8], settings: MaskSettings | None = None) -> ProductMask:
    """Mask of the one product in a photo.

    Args:
        photo: uint8 sRGB (H, W, 3).
        settings: How to cut; defaults suit flat-lay and hanging shots.

    Returns:
        Alpha at the photo's own size with its confidence. Same photo, same bytes.
    """
    settings = settings or MaskSettings()
    height, width = photo.shape[:2]
    scale = min(1.0, settings.side / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    distance, ring = _border_distance(small)
    binary = _clean(_grabcut(small, distance, ring, settings.iterations), settings)
    binary = without_leftovers(small, binary)
    checks = _checks(small, binary, ring)
    alpha = _refine(photo, binary)
    return ProductMask(alpha=alpha, confidence=min(checks.values()), checks=checks)


def supplied(alpha: NDArray[np.uint8]) -> ProductMask:
    """A mask drawn by a person or another tool: trusted as it is."""
    return ProductMask(alpha=alpha, confidence=1.0, checks={"supplied": 1.0}, source="supplied")


def guided_plane(
    guide: NDArray[np.float32], source: NDArray[np.float32], radius: int, eps: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How ``source`` follows the colours of ``guide``: the guided filter's averaged planes.

    The filter's output is ``(slope * guide).sum(-1) + offset``. Slope and offset vary slowly, so
    they may be computed small and applied at full size (He and Sun 2015, arXiv:1505.00996).

    Args:
        guide: float32 (H, W, 3) in 0..1.
        source: float32 (H, W).
        radius: Window half-size, pixels.
        eps: Regularisation, in squared guide units.

    Returns:
        Slope, float32 (H, W, 3), and offset, float32 (H, W).

    References:
        He, Sun, Tang 2013, "Guided Image Filtering", TPAMI, eq. 14-16 (colour guide).
    """
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(x, window, borderType=cv2.BORDER_REFLECT), dtype=np.float32)

    mean_i, mean_p = mean(guide), mean(source)
    cov_ip = mean(guide * source[..., None]) - mean_i * mean_p[..., None]
    r, g, b = guide[..., 0], guide[..., 1], guide[..., 2]
    products = mean(np.dstack([r * r, g * g, b * b, r * g, r * b, g * b]))
    x, y, z = mean_i[..., 0], mean_i[..., 1], mean_i[..., 2]
    # The 3 x 3 covariance is symmetric: its inverse by cofactors is exact and needs no loop.
    rr, gg, bb = (products[..., i] - m * m + eps for i, m in enumerate((x, y, z)))
    rg, rb, gb = products[..., 3] - x * y, products[..., 4] - x * z, products[..., 5] - y * z
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * c_rr + rg * c_rg + rb * c_rb
    cofactors = ((c_rr, c_rg, c_rb), (c_rg, c_gg, c_gb), (c_rb, c_gb, c_bb))
    a = np.dstack([sum(c * cov_ip[..., i] for i, c in enumerate(row)) for row in cofactors])
    a /= np.maximum(determinant, 1e-20)[..., None]
    offset = mean_p - (a * mean_i).sum(-1)
    return mean(a), mean(offset)


def _border_distance(small: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
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


def _clean(binary: NDArray[np.uint8], settings: MaskSettings) -> NDArray[np.uint8]:
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
        "colours": _told_apart(small, binary),
        "connected": float(np.clip((two - 0.6) / 0.35, 0, 1)),
        "border": float(np.clip(1.0 - touching / 0.35, 0, 1)),
        "ring": float(np.clip((9.0 - ragged) / 4.0, 0, 1)),
    }


def _told_apart(small: NDArray[np.uint8], binary: NDArray[np.uint8]) -> float:
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


def _refine(photo: NDArray[np.uint8], binary: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Alpha at full size: the cut's edge, pulled onto the photo's edge."""
    height, width = photo.shape[:2]
    shrink = min(1.0, _REFINE_SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    scale = max(size) / max(binary.shape)
    coarse = cv2.resize(binary.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    coarse = cv2.GaussianBlur(coarse, (0, 0), max(0.6, 0.8 * scale))
    guide = cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    slope, offset = guided_plane(guide, coarse, max(2, round(3 * scale)), 1e-4)
    # Only a narrow band may be uncertain: elsewhere the cut decides.
    band = max(2, round(2.5 * scale))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    hard = (coarse > 0.5).astype(np.uint8)
    least = (cv2.erode(hard, kernel, borderValue=1) > 0).astype(np.float32)
    most = (cv2.dilate(hard, kernel) > 0).astype(np.float32)
    # Beyond the cut's own outline nothing thin may grow: joints of tiles look like edges there.
    soft = np.clip(((slope * guide).sum(-1) + offset - 0.22) / 0.56, 0.0, most)
    thick = max(1, round(1.5 * scale))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 1, 2 * thick + 1))
    most = np.maximum(cv2.morphologyEx(soft, cv2.MORPH_OPEN, disc), coarse > 0.5)
    alpha = np.empty((height, width), dtype=np.uint8)
    large = [cv2.resize(x, (width, height)) for x in (slope, offset, least, most)]
    for rows, _ in strips((height, width), 0):
        a, b, low, high = (x[rows] for x in large)
        guided = (a * (photo[rows].astype(np.float32) / 255.0)).sum(-1) + b
        clipped = np.clip((guided - 0.22) / 0.56, low, high)
        alpha[rows] = np.round(clipped * 255)
    return alpha
