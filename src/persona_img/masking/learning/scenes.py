"""Training pictures for the learned masker: real products on other real backdrops, masks exact.

A product cut out of one photograph is laid on another backdrop, lit, shadowed and photographed
again. Whatever the first cut got wrong, the new mask is exact for the new picture: floor that was
kept between two legs is now part of the thing that lies there. Hard cases are made on purpose:
backdrops in the product's own colour, deep shadows, products that leave the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import from_lab, to_lab
from persona_img.imaging.light import LIGHTS, apply_light, contact_shadow, illumination

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ALIKE = 0.25  # share of scenes whose backdrop takes nearly the product's colour
_SPLIT = 0.3  # share of scenes with two backdrops: a wall and a floor
_TURNED = 0.25  # share of products turned by any angle
_BEYOND = 0.15  # share of products larger than the frame
_LEAST_STRIP = 24  # pixels beside the product that show what a floor looks like


@dataclass(frozen=True, eq=False)
class Cutout:
    """A product cut out of its photograph.

    Attributes:
        rgb: uint8 (H, W, 3), edge colours unmixed from the old backdrop.
        alpha: uint8 (H, W), 255 is product.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]


def make_scene(
    product: Cutout,
    backdrops: Sequence[NDArray[np.uint8]],
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture of a product on a new backdrop.

    Args:
        product: What lies there.
        backdrops: Two pictures at least as large as ``shape``; both are used where a wall meets a
            floor, otherwise the first.
        shape: Height and width, pixels.
        rng: Source of everything random.

    Returns:
        Picture, uint8 (H, W, 3), and exact alpha, uint8 (H, W).
    """
    rgb, alpha = _placed(product, shape, rng)
    floor = _window(backdrops[0], shape, rng)
    if rng.random() < _SPLIT:
        floor = _joined(floor, _window(backdrops[1], shape, rng), rng)
    floor = _recoloured(floor, rgb, alpha, rng)
    light = LIGHTS[list(LIGHTS)[int(rng.integers(len(LIGHTS)))]]
    factor = illumination(alpha, light, rng) ** rng.uniform(0.3, 1.6)
    factor *= contact_shadow(alpha, light)[..., None] ** rng.uniform(0, 2)
    lit = apply_light(floor, factor.astype(np.float32))
    picture = lit + alpha[..., None] * (rgb - lit)
    return _photographed(picture, rng), np.round(alpha * 255).astype(np.uint8)


def empty_floor(
    photo: NDArray[np.uint8], alpha: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """The photograph's backdrop without the product; None where too little of it is seen.

    Behind the product the light is blurred in from around it, and the grain is that of the widest
    strip beside it.
    """
    height, width = alpha.shape
    near = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if not len(rows):
        return photo
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    strips = [photo[:top], photo[bottom:], photo[:, :left], photo[:, right:]]
    strip = max(strips, key=lambda s: min(s.shape[:2]))
    if min(strip.shape[:2]) < _LEAST_STRIP:
        return None
    known = (1 - near).astype(np.float32)
    smooth = np.zeros((height, width, 3), np.float32)
    weight = np.full((height, width, 1), 1e-9, np.float32)
    for sigma, share in ((4, 1.0), (12, 1e-3), (36, 1e-6)):  # the nearest colours there are
        smooth += share * cv2.GaussianBlur(photo * known[..., None], (0, 0), sigma)
        weight += share * cv2.GaussianBlur(known, (0, 0), sigma)[..., None]
    smooth /= weight
    piece = mirrored(strip, (height, width), rng).astype(np.float32)
    grain = piece - cv2.GaussianBlur(piece, (0, 0), 8)
    hidden = cv2.GaussianBlur(near.astype(np.float32), (0, 0), 3)[..., None]
    filled = photo + hidden * (smooth + grain - photo)
    return np.clip(np.round(filled), 0, 255).astype(np.uint8)


def mirrored(
    tile: NDArray[np.uint8], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A picture of ``shape`` filled with a tile and its mirror images, from a random place."""
    height, width = shape
    pair = np.concatenate([tile, tile[::-1]], axis=0)
    pair = np.concatenate([pair, pair[:, ::-1]], axis=1)
    y, x = int(rng.integers(pair.shape[0])), int(rng.integers(pair.shape[1]))
    rows = np.arange(y, y + height) % pair.shape[0]
    columns = np.arange(x, x + width) % pair.shape[1]
    return np.ascontiguousarray(pair[rows][:, columns])


def _placed(
    product: Cutout, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Product at a random place, size and turn: float32 0..1 (H, W, 3) and (H, W)."""
    height, width = shape
    rows = np.flatnonzero((product.alpha > 127).any(1))
    columns = np.flatnonzero((product.alpha > 127).any(0))
    centre = np.array([columns[0] + columns[-1], rows[0] + rows[-1]]) / 2
    span = np.array([columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1], dtype=np.float64)
    turned = rng.random() < _TURNED
    angle = np.radians(rng.uniform(-180, 180) if turned else rng.normal(0, 6))
    around = np.abs([[np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    fill = rng.uniform(1.0, 1.3) if rng.random() < _BEYOND else rng.uniform(0.4, 0.98)
    scale = fill * float(np.min(np.array([width, height]) / (around @ span)))
    free = np.array([width, height]) - scale * (around @ span)
    target = np.array([width, height]) / 2 + rng.uniform(-0.5, 0.5, 2) * np.abs(free)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if rng.random() < 0.5:
        turn = turn @ np.diag([-1.0, 1.0])
    move = np.concatenate([turn, (target - turn @ centre)[:, None]], axis=1)
    opacity = product.alpha.astype(np.float32) / 255
    stack = np.dstack([product.rgb.astype(np.float32) / 255 * opacity[..., None], opacity])
    how = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR
    stack = np.asarray(cv2.warpAffine(stack, move, (width, height), flags=how), dtype=np.float32)
    alpha = stack[..., 3]
    rgb = stack[..., :3] / np.maximum(alpha, 1e-3)[..., None]
    exposure, tint = rng.uniform(0.75, 1.2), rng.uniform(0.93, 1.07, 3)
    return np.clip(rgb * (exposure * tint), 0, 1).astype(np.float32), np.clip(alpha, 0, 1)


def _window(
    backdrop: NDArray[np.uint8], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """A random window of a backdrop, float32 0..1, perhaps mirrored."""
    height, width = shape
    zoom = max(height / backdrop.shape[0], width / backdrop.shape[1], rng.uniform(0.6, 1.3))
    size = (
        max(width, round(backdrop.shape[1] * zoom)),
        max(height, round(backdrop.shape[0] * zoom)),
    )
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    large = cv2.resize(backdrop, size, interpolation=how)
    y = int(rng.integers(size[1] - height + 1))
    x = int(rng.integers(size[0] - width + 1))
    piece = large[y : y + height, x : x + width]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    return np.ascontiguousarray(piece).astype(np.float32) / np.float32(255)


def _joined(
    floor: NDArray[np.float32], wall: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Floor below a slanted line, wall above it."""
    height, width = floor.shape[:2]
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    line = height * rng.uniform(0.15, 0.85) + rng.normal(0, 0.1) * (xx - width / 2)
    below = np.clip((yy - line) / rng.uniform(1, 4) + 0.5, 0, 1)[..., None]
    return np.asarray(wall + below * (floor - wall), dtype=np.float32)


def _recoloured(
    floor: NDArray[np.float32],
    rgb: NDArray[np.float32],
    alpha: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The backdrop in another colour, often close to the product's own."""
    lab = to_lab(floor)
    mean = lab.reshape(-1, 3).mean(0)
    if rng.random() < _ALIKE and (alpha > 0.5).any():
        wanted = np.median(to_lab(rgb)[alpha > 0.5], axis=0) + rng.normal(0, (7, 3, 3))
    else:
        wanted = mean * (1.0, rng.uniform(0.2, 1.2), rng.uniform(0.2, 1.2))
        wanted = wanted + rng.normal(0, (12, 4, 5))
    wanted[0] = np.clip(wanted[0], 8, 96)
    contrast = rng.uniform(0.4, 1.2)
    return np.asarray(from_lab((wanted + contrast * (lab - mean)).astype(np.float32)), np.float32)


def _photographed(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Through a telephone's lens, sensor and JPEG."""
    if rng.random() < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.3))
    noise = rng.normal(0, rng.uniform(0, 0.025), (*picture.shape[:2], 1))
    developed = np.clip(picture + noise, 0, 1) ** rng.uniform(0.8, 1.25)
    coded = np.round(developed * 255).astype(np.uint8)[..., ::-1]
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 96))]
    _, data = cv2.imencode(".jpg", coded, quality)
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
