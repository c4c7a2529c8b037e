"""A small cut's edge at full resolution, pulled onto the photo's own edge by a guided filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.matting import strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REFINE_SIDE = 1280  # the edge follows full-size colours, by planes fitted at this long side


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


def refine(
    photo: NDArray[np.uint8], binary: NDArray[np.uint8] | NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Alpha at full size: the cut's edge, or its chance of product, on the photo's edge."""
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
