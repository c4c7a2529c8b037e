"""Cut-outs resampled and shown: a transparent pixel's colour counts for as much as can be seen.

Resampled like any picture, a cut-out takes on a rim of whatever lies under its transparency. So
colours are averaged by their alpha (premultiplied), and what looks beyond the outline is given the
product's own colours, continued.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from persona_img.imaging.blur import wide_blur
from persona_img.imaging.decode import decode
from persona_img.imaging.light import to_linear, to_srgb
from persona_img.imaging.profile import srgb_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.imaging.photo import Photo

_FAINT = 32  # alpha below this: the colour was rounded too coarsely to be spread
_SIGMAS = (2.0, 8.0, 32.0, 128.0)


def visible(photo: Photo) -> NDArray[np.uint8]:
    """A photo's pixels for whatever looks at neighbours: of a cut-out, :func:`continued`."""
    if not photo.cut_out or photo.alpha is None:
        return photo.pixels
    return continued(photo.pixels, photo.alpha)


def continued(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The product's colours, carried on to where it is transparent.

    Args:
        pixels: uint8 (H, W, 3), straight alpha.
        alpha: uint8 (H, W).

    Returns:
        uint8 (H, W, 3): the pixels, and where alpha is below 32 the mean of the nearest ones.
    """
    faint = alpha < _FAINT
    if not faint.any() or faint.all():
        return pixels
    weight = np.where(faint, np.float32(0), alpha.astype(np.float32) / 255.0)[..., None]
    carried = pixels.astype(np.float32) * weight
    total = np.zeros_like(carried)
    share = np.full_like(weight, 1e-12)
    for i, sigma in enumerate(_SIGMAS):
        less = np.float32(10.0 ** (-3 * i))
        total += less * wide_blur(carried, sigma)
        share += less * wide_blur(weight[..., 0], sigma)[..., None]
    out = pixels.copy()
    out[faint] = np.clip(np.round((total / share)[faint]), 0, 255).astype(np.uint8)
    return out


def scaled(
    pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A cut-out at another size, in linear light.

    Args:
        pixels: uint8 sRGB (H, W, 3), straight alpha.
        alpha: uint8 (H, W).
        size: Width and height wanted.

    Returns:
        Pixels and alpha. To a smaller size by area, premultiplied; to a larger one colours by
        Lanczos and alpha linearly, which leaves no ghost of the outline around the product.
    """
    if size[0] > pixels.shape[1]:
        linear = to_linear(continued(pixels, alpha).astype(np.float32) / 255.0)
        large = cv2.resize(linear, size, interpolation=cv2.INTER_LANCZOS4)
        wide = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR)
        return np.round(to_srgb(large) * 255).astype(np.uint8), np.asarray(wide, dtype=np.uint8)
    opacity = alpha.astype(np.float32) / 255.0
    linear = to_linear(pixels.astype(np.float32) / 255.0) * opacity[..., None]
    small = cv2.resize(linear, size, interpolation=cv2.INTER_AREA)
    share = cv2.resize(opacity, size, interpolation=cv2.INTER_AREA)
    colours = to_srgb(small / np.maximum(share, 1e-6)[..., None])
    return np.round(colours * 255).astype(np.uint8), np.round(share * 255).astype(np.uint8)


def on_white(photo: Photo) -> Image.Image:
    """The photo as a page shows it: what is transparent is white."""
    picture = Image.fromarray(photo.pixels)
    if not photo.cut_out or photo.alpha is None:
        return picture
    return _laid(picture, Image.fromarray(photo.alpha))


def as_shown(source: str | Path | bytes) -> Image.Image:
    """A picture file of any size as a page shows it: upright, sRGB, transparency on white.

    Raises:
        BadPhoto: what :func:`.decode.decode` raises.
    """
    decoded = decode(source, least=1)
    picture = Image.fromarray(srgb_of(decoded))
    if not decoded.image.has_transparency_data:
        return picture
    return _laid(picture, decoded.image.convert("RGBA").getchannel("A"))


def _laid(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=alpha)
    return white
