"""The product's own colour where its edge mixes with the old backdrop, and the paste.

An edge pixel of a photograph is part product, part old backdrop. Pasted as it is, it shows a rim
of the old backdrop; so its product part is estimated and only that is pasted. A cut-out has no old
backdrop: its edge holds the product's own colour already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from persona_img.imaging.photo import Photo

_MOST_WINDOW = 121.0
_STRIP_PIXELS = 2_000_000  # bounds the float32 copies that are alive at a time


def product_of(photo: Photo, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The product's own colours, uint8 (H, W, 3): :func:`foreground`, or a cut-out as it is.

    A transparent PNG is straight alpha, as its format says, whatever lies under the transparency.
    One whose colours still hold a backdrop is better given as a photograph with a mask.

    Args:
        photo: The photo.
        alpha: uint8 (H, W), the product on it.
    """
    return photo.pixels if photo.cut_out else foreground(photo.pixels, alpha)


def foreground(photo: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The product's colour at every edge pixel, unmixed from the old backdrop.

    Args:
        photo: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), 255 is product.

    Returns:
        uint8 (H, W, 3): the photo, with the pixels where 0 < alpha < 255 unmixed.

    References:
        Forte 2021, "Approximate Fast Foreground Colour Estimation", arXiv:2006.14970: two passes
        of blur fusion. We use windows relative to the picture, and work in strips.
    """
    short = min(alpha.shape)
    wide = _odd(min(0.10 * short, _MOST_WINDOW))
    narrow = _odd(max(7.0, 0.016 * short))
    out = photo.copy()
    mixed = (alpha > 0) & (alpha < 255)
    for rows, padded in strips(alpha.shape, wide):
        if not mixed[rows].any():
            continue
        picture = photo[padded].astype(np.float32)
        opacity = (alpha[padded].astype(np.float32) / 255.0)[..., None]
        product, backdrop = _blur_fusion(picture, picture, picture, opacity, wide)
        product, _ = _blur_fusion(picture, product, backdrop, opacity, narrow)
        inner = slice(rows.start - padded.start, rows.stop - padded.start)
        where = mixed[rows]
        out[rows][where] = np.round(product[inner][where]).astype(np.uint8)
    return out


def composite(
    plate: NDArray[np.float32],
    photo: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    product: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """The product on a plate.

    Args:
        plate: float32 sRGB 0..1 (H, W, 3).
        photo: uint8 (H, W, 3), aligned with the plate.
        alpha: uint8 (H, W).
        product: :func:`foreground` of the photo.

    Returns:
        uint8 (H, W, 3); where alpha is 255 exactly the photo's pixels.
    """
    out = np.empty_like(photo)
    for rows, _ in strips(alpha.shape, 0):
        opacity = (alpha[rows].astype(np.float32) / 255.0)[..., None]
        mixed = plate[rows] * 255.0
        mixed += opacity * (product[rows] - mixed)
        out[rows] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    core = alpha == 255
    out[core] = photo[core]
    return out


def strips(shape: tuple[int, ...], margin: int) -> Iterator[tuple[slice, slice]]:
    """Row ranges that cover a picture, each also widened by ``margin`` on both sides."""
    height, width = shape[:2]
    step = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        yield slice(top, bottom), slice(max(0, top - margin), min(height, bottom + margin))


def _blur_fusion(
    picture: NDArray[np.float32],
    product: NDArray[np.float32],
    backdrop: NDArray[np.float32],
    opacity: NDArray[np.float32],
    window: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Equations 4 to 7 of Forte 2021: smooth both colours, then share out what is left over."""
    share = _mean(opacity, window)
    smooth_product = _mean(product * opacity, window) / (share + 1e-5)
    smooth_backdrop = _mean(backdrop * (1.0 - opacity), window) / (1.0 - share + 1e-5)
    left = picture - opacity * smooth_product - (1.0 - opacity) * smooth_backdrop
    unmixed = np.clip(smooth_product + opacity * left, 0.0, 255.0)
    return unmixed.astype(np.float32), smooth_backdrop


def _mean(x: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    blurred = cv2.blur(x, (window, window), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, dtype=np.float32).reshape(x.shape)


def _odd(size: float) -> int:
    return 2 * int(size // 2) + 1
