"""Things that stand, drawn by chance: bottles, vases, boxes, cups, bags, shoes; for variety."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 384
_FINE = 4  # bits below a pixel


def drawn(rng: np.random.Generator) -> tuple[NDArray[np.uint8], float]:
    """One of them, uint8 RGBA (h, w, 4) cropped to it, and its longest side in centimetres."""
    kinds = (_turned, _turned, _box, _cup, _bag, _shoe)
    outline, cm, round_ = kinds[int(rng.integers(len(kinds)))](rng)
    alpha = np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    for part in outline:
        points = np.round(part * 2**_FINE).astype(np.int32)
        cv2.fillPoly(alpha, [points], 255, cv2.LINE_AA, _FINE)
    colour = np.clip(rng.uniform(0.08, 0.95) + rng.normal(0, 0.18, 3), 0.03, 1)
    across = np.linspace(-1, 1, _SIDE, dtype=np.float32)
    shade = 1 - round_ * 0.5 * (across - rng.uniform(-0.4, 0.4)) ** 2
    rgb = np.clip(colour[None, None] * shade[None, :, None], 0, 1).repeat(_SIDE, axis=0)
    if rng.random() < 0.6:  # a label
        top, high = rng.uniform(0.35, 0.6), rng.uniform(0.1, 0.3)
        band = slice(round(top * _SIDE), round((top + high) * _SIDE))
        rgb[band] = np.clip(rng.uniform(0, 1, 3) * shade[None, :, None], 0, 1)
    picture = np.dstack([np.round(rgb * 255).astype(np.uint8), alpha])
    rows, columns = np.flatnonzero((alpha > 127).any(1)), np.flatnonzero((alpha > 127).any(0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], cm


Drawn = tuple[list["NDArray[np.float64]"], float, float]


def _mirrored(half: NDArray[np.float64]) -> NDArray[np.float64]:
    """A turned body from (radius, row) of its right side, both in shares of the picture."""
    right = np.stack([0.5 + half[:, 0], half[:, 1]], 1)
    left = np.stack([0.5 - half[:, 0], half[:, 1]], 1)[::-1]
    return np.concatenate([right, left]) * _SIDE


def _turned(rng: np.random.Generator) -> Drawn:
    """A bottle or a vase."""
    body, neck, shoulder = rng.uniform(0.10, 0.30), rng.uniform(0.03, 0.12), rng.uniform(0.2, 0.5)
    foot, belly = body * rng.uniform(0.6, 1.0), rng.uniform(0.5, 0.85)
    rows = np.array([0.04, 0.04 + 0.5 * shoulder, 0.04 + shoulder, belly, 0.95, 0.97])
    radii = np.array([neck, neck * rng.uniform(0.8, 1.1), body * 0.9, body, foot, foot * 0.93])
    fine = np.linspace(rows[0], rows[-1], 60)
    smooth = np.interp(fine, rows, radii)
    if rng.random() < 0.7:
        smooth = np.convolve(np.pad(smooth, 4, mode="edge"), np.ones(9) / 9, "valid")
    return [_mirrored(np.stack([smooth, fine], 1))], float(rng.uniform(12, 38)), 1.0


def _box(rng: np.random.Generator) -> Drawn:
    """A carton: its front, and perhaps a side of it."""
    wide, high = rng.uniform(0.2, 0.8), rng.uniform(0.25, 0.85)
    left, bottom = 0.5 - wide / 2, 0.95
    lean = rng.uniform(-0.06, 0.06) if rng.random() < 0.5 else 0.0
    corners = [
        (left, bottom - high),
        (left + wide, bottom - high + abs(lean)),
        (left + wide, bottom - abs(lean)),
        (left, bottom),
    ]
    if lean < 0:
        corners = [(1 - x, y) for x, y in corners]
    return [np.array(corners) * _SIDE], float(rng.uniform(10, 40)), 0.2


def _cup(rng: np.random.Generator) -> Drawn:
    """A cup or a mug, with a handle or without."""
    top, foot, high = rng.uniform(0.18, 0.3), rng.uniform(0.12, 0.25), rng.uniform(0.35, 0.7)
    half = np.array([(top, 0.95 - high), (top * 0.98, 0.95 - high / 2), (foot, 0.95)])
    parts = [_mirrored(half)]
    if rng.random() < 0.7:
        side = rng.choice((-1, 1))
        angle = np.linspace(-1.35, 1.35, 24)
        centre, radius = (0.5 + side * 0.92 * top, 0.95 - 0.52 * high), 0.28 * high
        outer = np.stack(
            [centre[0] + side * radius * np.cos(angle), centre[1] + radius * np.sin(angle)], 1
        )
        inner = np.stack(
            [
                centre[0] + side * 0.68 * radius * np.cos(angle),
                centre[1] + 0.68 * radius * np.sin(angle),
            ],
            1,
        )[::-1]
        parts.append(np.concatenate([outer, inner]) * _SIDE)
    return parts, float(rng.uniform(8, 14)), 1.0


def _bag(rng: np.random.Generator) -> Drawn:
    """A bag with two handles, seen as one."""
    top, foot, high = rng.uniform(0.2, 0.36), rng.uniform(0.24, 0.4), rng.uniform(0.35, 0.55)
    body = np.array(
        [(top, 0.95 - high), (0.5 * (top + foot) + 0.02, 0.95 - high / 2), (foot, 0.95)]
    )
    angle = np.linspace(np.pi, 2 * np.pi, 30)
    wide, tall = 0.6 * top, rng.uniform(0.12, 0.3)
    arcs = [
        np.stack([0.5 + s * wide * np.cos(angle), 0.955 - high + s * tall * np.sin(angle)], 1)
        for s in (1.0, 0.86)
    ]
    handle = np.concatenate([arcs[0], arcs[1][::-1]]) * _SIDE
    return [_mirrored(body), handle], float(rng.uniform(22, 45)), 0.3


def _shoe(rng: np.random.Generator) -> Drawn:
    """A shoe from its side."""
    ankle, toe = rng.uniform(0.18, 0.5), rng.uniform(0.10, 0.16)
    xs = np.array([0.05, 0.06, 0.10, 0.33, 0.45, 0.75, 0.93, 0.96, 0.95, 0.05])
    ys = np.array(
        [
            0.88,
            0.88 - ankle,
            0.86 - ankle,
            0.87 - ankle,
            0.78,
            0.85 - toe,
            0.88 - toe / 2,
            0.93,
            0.95,
            0.95,
        ]
    )
    outline = np.stack([xs, ys], 1)
    if rng.random() < 0.5:
        outline[:, 0] = 1 - outline[:, 0]
    return [outline * _SIDE], float(rng.uniform(22, 32)), 0.2
