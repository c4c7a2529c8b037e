"""Size and place: resize, crop to the product, a packshot on white, a larger picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.editing.base import COMPOSITE, recorded, share_of
from persona_img.errors import InvalidInput
from persona_img.imaging import cutout
from persona_img.imaging.alpha import solid
from persona_img.imaging.bleed import matte_of
from persona_img.imaging.frame import Frame
from persona_img.imaging.grain import grain_of
from persona_img.imaging.light import LIGHTS, contact_on, to_linear, to_srgb
from persona_img.imaging.matting import composite, strips
from persona_img.imaging.photo import MAX_PIXELS, MIN_SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.editing.base import Edited
    from persona_img.imaging.photo import Photo

_TRACE = 16  # alpha below this is haze
_GAMMA = 2.2
_MOST_GRAIN = 2.5  # 8-bit levels


def resize(
    photo: Photo, *, side: int | None = None, scale: float | None = None, enlarge: bool = False
) -> Edited:
    """The picture at another size, its shape kept; scaled in linear light, so nothing darkens.

    Args:
        photo: The picture.
        side: Length of the longer side wanted, pixels.
        scale: Instead of ``side``: factor on both sides.
        enlarge: Whether it may get larger; that invents pixels.

    Raises:
        InvalidInput: neither or both of side and scale; a size that is larger without
            ``enlarge``, under 64 or over 50 megapixels; a scale that is no number.
    """
    if (side is None) == (scale is None):
        raise InvalidInput(f"side={side}, scale={scale}: give one of them")
    if scale is not None:
        share_of("scale", scale, 0.001, 1000.0)
    height, width = photo.pixels.shape[:2]
    factor = scale if scale is not None else float(side or 0) / max(height, width)
    size = round(width * factor), round(height * factor)
    if min(size) < MIN_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise InvalidInput(
            f"{size[0]}x{size[1]} px: both sides need {MIN_SIDE} px and both together at most "
            f"{MAX_PIXELS // 10**6} megapixels"
        )
    if factor > 1 and not enlarge:
        raise InvalidInput(
            f"{size[0]}x{size[1]} px is larger than the picture's {width}x{height}; "
            f"allow it with enlarge"
        )
    pixels, keeps = _scaled(photo, size)
    asked = {"width": size[0], "height": size[1]}
    return recorded(photo, pixels, "resize", asked, scaled=True, keeps=keeps)


def crop(
    photo: Photo, alpha: NDArray[np.uint8], *, margin: float = 0.06, ratio: float | None = None
) -> Edited:
    """The part of the picture around the product; no product pixel is cut away.

    Args:
        photo: The picture.
        alpha: The product, uint8 (H, W).
        margin: Around it, share of its longer side.
        ratio: Width to height, no longer than 20 to 1; None for what comes out.

    Raises:
        InvalidInput: no product, a margin outside 0..1, a ratio that cannot be, or the picture is
            too small for it.
    """
    share_of("margin", margin)
    alpha = solid(alpha)
    left, top, right, bottom = _box(alpha)
    height, width = alpha.shape
    room = round(margin * max(right - left, bottom - top))
    wide, tall = min(right - left + 2 * room, width), min(bottom - top + 2 * room, height)
    if ratio is not None:
        share_of("ratio", ratio, 0.05, 20.0)
        wide, tall = max(wide, round(tall * ratio)), max(tall, round(wide / ratio))
        if wide > width or tall > height:
            raise InvalidInput(
                f"ratio {ratio:.3g}: the product needs {wide}x{tall} px and the picture has "
                f"{width}x{height}; `persona-img render --format` adds backdrop instead"
            )
    dx = _start(left, right, wide, width)
    dy = _start(top, bottom, tall, height)
    frame = Frame(wide, tall, -dx, -dy)
    pixels = np.ascontiguousarray(photo.pixels[dy : dy + tall, dx : dx + wide])
    keeps = None
    if photo.alpha is not None:
        keeps = np.ascontiguousarray(photo.alpha[dy : dy + tall, dx : dx + wide])
    asked = {"box": [dx, dy, wide, tall], "margin": margin}
    return recorded(photo, pixels, "crop", asked, alpha=alpha, frame=frame, keeps=keeps)


def packshot(
    photo: Photo,
    alpha: NDArray[np.uint8],
    *,
    fill: float = 0.85,
    ratio: float = 1.0,
    shadow: bool = True,
) -> Edited:
    """The product in the middle of pure white, as marketplaces ask for; never resampled.

    Args:
        photo: The picture.
        alpha: The product, uint8 (H, W).
        fill: Share of the fuller side that the product takes, 0.3..1.
        ratio: Width to height.
        shadow: Whether it stands on a thin contact shadow.

    Raises:
        InvalidInput: no product, or one that the photograph cuts; a fill or ratio that cannot be.
    """
    share_of("fill", fill, 0.3)
    share_of("ratio", ratio, 0.2, 5.0)
    alpha, product = matte_of(photo, solid(alpha))
    left, top, right, bottom = _box(alpha)
    if left == 0 or top == 0 or right == alpha.shape[1] or bottom == alpha.shape[0]:
        raise InvalidInput(
            "the photograph cuts the product, so it cannot stand alone on white; take a photo "
            "that shows all of it"
        )
    wide = max((right - left) / fill, ratio * (bottom - top) / fill)
    width, height = math.ceil(wide), math.ceil(wide / ratio)
    if width * height > 2 * MAX_PIXELS:
        raise InvalidInput(f"{width}x{height} px is too large; scale the photo down first")
    frame = Frame(
        width, height, (width - right + left) // 2 - left, (height - bottom + top) // 2 - top
    )
    on_canvas = frame.place(alpha, 0)
    white = np.ones((height, width, 3), dtype=np.float32)
    if shadow:
        factor = contact_on(on_canvas, LIGHTS["soft"]) ** np.float32(1 / _GAMMA)
        white *= np.where(factor > 1 - 1 / 510, np.float32(1.0), factor)[..., None]
    edge = frame.place(product, 255)
    pixels = composite(white, frame.place(photo.pixels, 255), on_canvas, edge)
    asked = {"fill": fill, "ratio": round(ratio, 4), "shadow": shadow}
    return recorded(
        photo, pixels, "packshot", asked, alpha=alpha, frame=frame, source_type=COMPOSITE
    )


def upscale(
    photo: Photo, alpha: NDArray[np.uint8], *, factor: float = 2.0, seed: int = 7
) -> Edited:
    """A larger picture whose backdrop keeps the photograph's grain and does not look smeared.

    A cut-out has no backdrop and gets no grain. The product is only resampled (Lanczos): no detail
    is invented on it, and the record says so.

    Args:
        photo: The picture.
        alpha: The product, uint8 (H, W).
        factor: On both sides, above 1 and at most 4.
        seed: Of the grain.

    Raises:
        InvalidInput: a factor that cannot be, or a result over 50 megapixels.
    """
    share_of("factor", factor, 1.01, 4.0)
    height, width = photo.pixels.shape[:2]
    size = round(width * factor), round(height * factor)
    if size[0] * size[1] > MAX_PIXELS:
        raise InvalidInput(
            f"{size[0]}x{size[1]} px is over {MAX_PIXELS // 10**6} megapixels; take a lower factor"
        )
    large, keeps = _scaled(photo, size)
    if photo.cut_out:
        asked = {"factor": factor, "grain": 0.0, "seed": seed}
        return recorded(photo, large, "upscale", asked, scaled=True, keeps=keeps)
    around = _scaled_alpha(solid(alpha), size) < 255
    lost = max(0.0, grain_of(photo.pixels) - grain_of(large))
    level = min(lost, _MOST_GRAIN)
    rng = np.random.default_rng(seed)
    for rows, _ in strips(large.shape, 0):
        shape = large[rows].shape[:2]
        grain = level * rng.standard_normal(shape, dtype=np.float32)
        grainy = np.clip(np.round(large[rows] + grain[..., None]), 0, 255).astype(np.uint8)
        large[rows] = np.where(around[rows][..., None], grainy, large[rows])
    asked = {"factor": factor, "grain": round(level, 3), "seed": seed}
    return recorded(photo, large, "upscale", asked, scaled=True, keeps=keeps)


def _scaled(
    photo: Photo, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Pixels and alpha in linear light: to a smaller size by area, to a larger one by Lanczos."""
    pixels, alpha = photo.pixels, photo.alpha
    if photo.cut_out and alpha is not None:
        return cutout.scaled(pixels, alpha, size)
    linear = to_linear(pixels.astype(np.float32) / 255.0)
    smaller = size[0] <= pixels.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    made = np.round(to_srgb(cv2.resize(linear, size, interpolation=how)) * 255.0).astype(np.uint8)
    return made, None if alpha is None else _scaled_alpha(alpha, size)


def _scaled_alpha(alpha: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    how = cv2.INTER_AREA if size[0] <= alpha.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(alpha, size, interpolation=how), dtype=np.uint8)


def _box(alpha: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the product."""
    ys, xs = (
        np.flatnonzero((alpha >= _TRACE).any(axis=1)),
        np.flatnonzero((alpha >= _TRACE).any(axis=0)),
    )
    if not ys.size:
        raise InvalidInput("a mask without a product; supply a mask")
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def _start(first: int, last: int, length: int, whole: int) -> int:
    """Where a stretch begins that holds first..last in its middle, as far as the whole lets it."""
    return min(max((first + last - length) // 2, 0), whole - length)
