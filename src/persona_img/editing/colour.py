"""Colour: white balance, and the colours of another picture's backdrop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.editing.base import backdrop_of, recorded, share_of
from persona_img.errors import InvalidInput
from persona_img.imaging.alpha import solid
from persona_img.imaging.colour import from_lab, to_lab
from persona_img.imaging.light import to_linear, to_srgb
from persona_img.imaging.matting import composite, product_of, strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.editing.base import Edited
    from persona_img.imaging.photo import Photo

_MINKOWSKI = 6.0
_MOST_GAIN = 1.8  # a stronger cast is no cast but a coloured ground
_DARK, _BRIGHT = 12, 250
_LEAST_PIXELS = 100
_SIDE = 1024
_MOST_STRETCH = 1.4


def white_balance(
    photo: Photo,
    alpha: NDArray[np.uint8] | None = None,
    *,
    neutral: tuple[int, int, int, int] | None = None,
) -> Edited:
    """The picture without its cast: what is grey becomes grey.

    The cast is measured on a box that somebody knows to be neutral, or else on the backdrop, as the
    light's colour that would make it grey. One gain for each channel of linear light, brightness
    kept. The product's colours change too: that is what it is for, and the record says so.

    Args:
        photo: The picture.
        alpha: The product, uint8 (H, W), left out of the measurement; None measures everything
            that is not transparent.
        neutral: Left, top, width, height of a grey or white place, pixels.

    Raises:
        InvalidInput: a box outside the picture; too few well-lit pixels; a cut-out, which has no
            backdrop, without a box; a cast so strong that the ground must be coloured.

    References:
        Finlayson and Trezzi 2004, "Shades of Gray and Colour Constancy", CIC 12: Minkowski norm 6.
        Von Kries gains.
    """
    pixels = photo.pixels
    seen = np.ones(pixels.shape[:2], dtype=bool) if photo.seen is None else photo.seen
    where = seen if alpha is None else alpha < 8
    if photo.cut_out and alpha is not None and neutral is None:
        raise InvalidInput("a cut-out has no backdrop to measure a cast on; give a neutral box")
    if neutral is not None:
        left, top, width, height = neutral
        inside = left >= 0 and top >= 0 and width > 0 and height > 0
        if not inside or left + width > pixels.shape[1] or top + height > pixels.shape[0]:
            shape = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise InvalidInput(f"neutral {neutral}: not a box in a picture of {shape} px")
        where = np.zeros(pixels.shape[:2], dtype=bool)
        where[top : top + height, left : left + width] = True
        where &= seen
    lit = where & (pixels.min(axis=2) >= _DARK) & (pixels.max(axis=2) <= _BRIGHT)
    least = min(_LEAST_PIXELS, int(where.sum())) if neutral is not None else _LEAST_PIXELS
    if lit.sum() < max(1, least):
        raise InvalidInput(
            f"{int(lit.sum())} pixels are neither black nor blown out where the cast is measured; "
            f"give another neutral box"
        )
    linear = to_linear(pixels[lit].astype(np.float32)[None] / 255.0)[0].astype(np.float64)
    norm = 1.0 if neutral is not None else _MINKOWSKI
    light = np.power(np.power(linear, norm).mean(axis=0), 1 / norm)
    gains = light.mean() / light
    if max(float(gains.max()), 1 / float(gains.min())) > _MOST_GAIN:
        raise InvalidInput(
            f"gains {np.round(gains, 2).tolist()}: a cast of more than {_MOST_GAIN} is a coloured "
            f"ground, not a light; give a neutral box"
        )
    out = np.empty_like(pixels)
    for rows, _ in strips(pixels.shape, 0):
        balanced = to_linear(pixels[rows].astype(np.float32) / 255.0) * gains.astype(np.float32)
        out[rows] = np.round(to_srgb(balanced) * 255.0).astype(np.uint8)
    asked = {"gains": [round(float(g), 4) for g in gains], "neutral": neutral and list(neutral)}
    return recorded(photo, out, "white-balance", asked, alpha=alpha, keeps=photo.alpha)


def transfer(
    photo: Photo, alpha: NDArray[np.uint8], reference: Photo, *, strength: float = 1.0
) -> Edited:
    """The backdrop in the colours of a reference's backdrop; the product untouched.

    The linear map that carries one distribution of Lab colours to the other with the least change,
    so light and shadow stay where they are.

    Args:
        photo: The picture.
        alpha: Its product, uint8 (H, W).
        reference: The other picture; where it has an alpha, only what lies outside counts.
        strength: 0 changes nothing, 1 goes all the way.

    Raises:
        InvalidInput: a strength outside 0..1, or no backdrop in one of the pictures; a cut-out
            has none.

    References:
        Pitie and Kokaram 2007, "The Linear Monge-Kantorovitch Linear Colour Mapping for
        Example-Based Colour Transfer", CVMP.
    """
    share_of("strength", strength)
    alpha = solid(alpha)
    own = _statistics(photo.pixels, backdrop_of(photo, alpha), "the picture")
    outside = backdrop_of(reference, reference.alpha)
    wanted = _statistics(reference.pixels, outside, "the reference")
    matrix = _mapping(own[1], wanted[1])
    plate = np.empty(photo.pixels.shape, dtype=np.float32)
    for rows, _ in strips(plate.shape, 0):
        lab = to_lab(photo.pixels[rows])
        moved = (lab - own[0]) @ matrix.T.astype(np.float32) + wanted[0]
        plate[rows] = from_lab((lab + strength * (moved - lab)).astype(np.float32))
    pixels = composite(plate, photo.pixels, alpha, product_of(photo, alpha))
    asked = {"reference": reference.digest, "strength": strength}
    return recorded(photo, pixels, "transfer", asked, alpha=alpha, keeps=photo.alpha)


def _statistics(
    picture: NDArray[np.uint8], where: NDArray[np.bool_] | None, name: str
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Mean (3,) and covariance (3, 3) of the Lab colours that count."""
    scale = min(1.0, _SIDE / max(picture.shape[:2]))
    size = (max(1, round(scale * picture.shape[1])), max(1, round(scale * picture.shape[0])))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    lab = to_lab(small).reshape(-1, 3)
    if where is not None:
        kept = cv2.resize(where.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        lab = lab[kept.reshape(-1) > 0]
    if len(lab) < _LEAST_PIXELS:
        raise InvalidInput(f"{name} shows {len(lab)} pixels of backdrop; give one with more")
    # A trace on the diagonal: a plain colour has no spread to divide by.
    covariance = np.cov(lab.T.astype(np.float64)) + 0.05 * np.eye(3)
    return lab.mean(axis=0), covariance


def _mapping(own: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix T with T own T' = wanted that moves least: Pitie and Kokaram, equation 7.

    Bounded: an even ground stretched to the contrast of a lively one shows its noise.
    """
    root = _power(own, 0.5)
    inverse = _power(own, -0.5)
    values, vectors = np.linalg.eigh(inverse @ _power(root @ wanted @ root, 0.5) @ inverse)
    return np.asarray((vectors * np.minimum(values, _MOST_STRETCH)) @ vectors.T)


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.power(np.maximum(values, 1e-9), exponent)) @ vectors.T)
