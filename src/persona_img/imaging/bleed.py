"""The old backdrop's hue inside the product's edge, where a file kept colour at half the size.

JPEG and lossy WebP mostly keep colour (not lightness) at half the photograph's size, so that the
backdrop's hue runs two or three pixels into the product, where no mask can tell it: on a new
backdrop a pale garment has an orange rim. There the hue is brought back to what the product has
just further in; lightness, and with it every thread, stays.

References:
    ITU-T T.871 (JFIF): the colour space. Kerr 2012, "Chrominance Subsampling in Digital Images".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.matting import foreground, product_of, strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.imaging.photo import Photo

REACH = 3
"""Pixels inside the product to which the backdrop's hue can run."""
_MOST = (1.0, 1.0, 0.75, 0.5)  # of it that can be taken away, by pixels from the edge
_DEEP = 4.0  # pixels from the edge: from here on the product's hue is its own
_CLEAR = 2.0  # pixels outside: from here on the backdrop's is
_LEVEL = 32.0  # of lightness: what is further off is another part of the product
_WINDOWS = (3.0, 9.0)  # sigma: nearby, and where nothing of the kind is near
_APART = 10.0  # 8-bit levels of chroma: product and backdrop must differ by so much
_SEEN = 3.0  # levels: less is not seen
_ASIDE = 0.5  # of the deviation may be toward another hue than the backdrop's
_FADED, _STAYS = 2.0, 0.25  # pixels further in, and how much of it may still be there
_MARGIN = 32


def matte_of(photo: Photo, alpha: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The product on a photo: what of it is whole, and its own colours.

    Args:
        photo: The photo.
        alpha: uint8 (H, W), the product on it.

    Returns:
        The alpha, uint8 (H, W), 254 where the old backdrop's hue was taken out of a pixel that
        was 255: at most three pixels from the edge; and the product's own colours, uint8
        (H, W, 3), as :func:`.matting.product_of` says, without that hue.
    """
    if not photo.half_chroma or photo.cut_out:
        return alpha, product_of(photo, alpha)
    pixels, changed = without_bleed(photo.pixels, alpha, alpha == 255)
    product, _ = without_bleed(foreground(pixels, alpha), alpha, (alpha > 0) & (alpha < 255))
    return np.where(changed, np.uint8(254), alpha), product


def without_bleed(
    photo: NDArray[np.uint8], alpha: NDArray[np.uint8], among: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The picture with the product's own hue along its edge.

    Args:
        photo: uint8 sRGB (H, W, 3), decoded from a file that kept colour at half the size.
        alpha: uint8 (H, W), the product on it.
        among: bool (H, W), pixels that may be changed.

    Returns:
        The picture, uint8 (H, W, 3), and which pixels of it are changed, bool (H, W): of the
        product, within :data:`REACH` pixels of its edge, where hue deviates from the product's
        toward the backdrop's. Their lightness (Y of JFIF) is the photo's within rounding.
    """
    out, changed = photo.copy(), np.zeros(alpha.shape, dtype=bool)
    for rows, padded in strips(alpha.shape, _MARGIN):
        inner = slice(rows.start - padded.start, rows.stop - padded.start)
        picture, where = _mended(photo[padded], alpha[padded])
        some = where[inner] & among[rows]
        out[rows][some] = picture[inner][some]
        changed[rows] = some
    return out, changed


def _mended(
    photo: NDArray[np.uint8], alpha: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """With the product's hue along its edge, and where that can be told and seen."""
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (alpha == 255, alpha == 0)
    )
    lightness, chroma = _split(photo)
    own, known = _alike(lightness, chroma, inside >= _DEEP)
    old, told = _around(chroma, outside >= _CLEAR)
    toward = old - own
    length = np.sqrt(np.square(toward).sum(axis=2))
    unit = toward / np.maximum(length, 1e-3)[..., None]
    away = chroma - own
    along = (away * unit).sum(axis=2)
    aside = np.sqrt(np.square(away - along[..., None] * unit).sum(axis=2))
    most = np.interp(inside, range(REACH + 1), _MOST).astype(np.float32)
    taken = np.minimum(along, most * length)
    where = (alpha > 0) & (inside <= REACH) & known & told & (length > _APART)
    where &= (taken > _SEEN) & (aside < _SEEN + _ASIDE * along)
    # What bled is gone a few pixels in; a trim or a fold of that hue is not.
    ring = (inside > REACH) & (inside <= REACH + _FADED)
    further, _ = _around(along[..., None].repeat(2, axis=2), ring)
    where &= further[..., 0] < _STAYS * along
    return _joined(lightness, chroma - taken[..., None] * unit), where


def _alike(
    lightness: NDArray[np.float32], chroma: NDArray[np.float32], where: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """As :func:`_around`, of those as light as each pixel: a sole is not as blue as its shoe.

    References:
        Chen, Paris, Durand 2007, "Real-time edge-aware image processing with the bilateral grid",
        SIGGRAPH.
    """
    own = np.zeros_like(chroma)
    share = np.zeros(chroma.shape[:2], dtype=np.float32)
    for level in np.arange(0.0, 255.0 + _LEVEL, _LEVEL):
        weight = np.clip(1.0 - np.abs(lightness - level) / _LEVEL, 0, 1).astype(np.float32)
        if not weight[where].any():
            continue
        mean, known = _around(chroma, where, weight)
        some = weight * known
        own += some[..., None] * mean
        share += some
    own /= np.maximum(share, np.float32(1e-6))[..., None]
    return own, share > 0.5


def _around(
    chroma: NDArray[np.float32],
    where: NDArray[np.bool_],
    counts: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean chroma of the nearest such pixels, (h, w, 2), and where there are any."""
    total = np.zeros_like(chroma)
    share = np.zeros(chroma.shape[:2], dtype=np.float32)
    weight = where.astype(np.float32) if counts is None else np.where(where, counts, 0)
    for less, sigma in zip((1.0, 1e-3), _WINDOWS, strict=True):
        total += np.float32(less) * cv2.GaussianBlur(chroma * weight[..., None], (0, 0), sigma)
        share += np.float32(less) * cv2.GaussianBlur(weight, (0, 0), sigma)
    mean = total / np.maximum(share, np.float32(1e-9))[..., None]
    return mean.astype(np.float32), share > 1e-6


def _split(photo: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Y, and Cb and Cr about 0, in 8-bit levels."""
    red, green, blue = cv2.split(photo.astype(np.float32))
    lightness = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = np.dstack([(blue - lightness) / 1.772, (red - lightness) / 1.402])
    return lightness.astype(np.float32), chroma.astype(np.float32)


def _joined(lightness: NDArray[np.float32], chroma: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The inverse of :func:`_split`; a colour that there is not loses chroma, not lightness."""
    blue, red = 1.772 * chroma[..., 0], 1.402 * chroma[..., 1]
    green = -(0.299 * red + 0.114 * blue) / 0.587
    apart = np.dstack([red, green, blue])
    room = np.where(apart > 0, 255.0 - lightness[..., None], lightness[..., None])
    share = np.min(room / np.maximum(np.abs(apart), 1e-6), axis=2)
    colour = lightness[..., None] + np.clip(share, 0, 1)[..., None] * apart
    return np.asarray(np.clip(np.round(colour), 0, 255), dtype=np.uint8)
