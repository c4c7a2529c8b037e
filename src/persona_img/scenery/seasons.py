"""Seasonal looks: the light's colour, what throws shadows from outside the picture, far lights.

Leaves, twigs and panes are drawn and thrown out of focus; they belong to no merchant and no photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import UnknownStyle

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SIDE = 512  # of a drawn pattern, pixels


@dataclass(frozen=True)
class Season:
    """One seasonal look.

    Attributes:
        tint: Factors on the light's red, green and blue.
        props: Draws what throws shadows; None for nothing.
        dark: Share of light it takes away, 0..1.
        soft: Blur of its shadow, share of the short side.
        bokeh: Colours (sRGB 0..1) of far lights out of focus; none for none.
    """

    tint: tuple[float, float, float]
    props: Callable[[np.random.Generator], NDArray[np.float32]] | None
    dark: float
    soft: float
    bokeh: tuple[tuple[float, float, float], ...] = ()


def season_of(name: str) -> Season:
    """The season of that name.

    Raises:
        UnknownStyle: there is none.
    """
    if name not in SEASONS:
        raise UnknownStyle(f"season={name}: choose from {', '.join(SEASONS)}")
    return SEASONS[name]


def props_shadow(
    season: Season, size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """What the props leave of the light: factor, float32 (h, w), 1 - dark..1."""
    height, width = size
    if season.props is None:
        return np.ones(size, dtype=np.float32)
    short, long = min(size), max(size)
    drawn = season.props(rng)
    drawn = cv2.resize(drawn, (long, long), interpolation=cv2.INTER_AREA)
    drawn = cv2.GaussianBlur(drawn, (0, 0), max(0.8, season.soft * short))
    if rng.random() < 0.5 and height != width:
        drawn = np.ascontiguousarray(drawn[::-1])
    top, left = (long - height) // 2, (long - width) // 2
    part = drawn[top : top + height, left : left + width]
    return np.asarray(1.0 - np.float32(season.dark) * np.clip(part, 0, 1), dtype=np.float32)


def far_lights(
    season: Season, size: tuple[int, int], radius: float, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """Light added far behind, linear float32 (h, w, 3); None where the season has none."""
    if not season.bokeh:
        return None
    height, width = size
    out = np.zeros((height, width, 3), dtype=np.float32)
    for _ in range(46):
        colour = np.array(season.bokeh[int(rng.integers(len(season.bokeh)))]) ** 2.2
        x, y = rng.uniform(0, width), rng.uniform(0, 0.75 * height)
        r = radius * rng.uniform(0.7, 1.5)
        disc = np.zeros((height, width), dtype=np.float32)
        at = (round(8 * x), round(8 * y))
        cv2.circle(disc, at, round(8 * r), 1.0, -1, cv2.LINE_AA, 3)
        out += (disc * np.float32(rng.uniform(0.15, 0.6)))[..., None] * colour.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), max(0.6, 0.10 * radius)))


def _leaf(
    canvas: NDArray[np.float32], at: tuple[float, float], length: float, width: float, angle: float
) -> None:
    """A pointed leaf that begins at a point."""
    share = np.linspace(0, 1, 24)
    half = 0.5 * width * np.sin(np.pi * share**0.8)
    spine = np.stack([length * share, np.zeros_like(share)], axis=1)
    outline = np.concatenate(
        [spine + np.stack([0 * half, half], 1), (spine - np.stack([0 * half, half], 1))[::-1]]
    )
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = np.round((outline @ turn + np.array(at)) * 8).astype(np.int32)
    cv2.fillPoly(canvas, [points], 1.0, cv2.LINE_AA, 3)


def _palm(rng: np.random.Generator) -> NDArray[np.float32]:
    """Fronds that reach in from a corner."""
    canvas = np.zeros((_SIDE, _SIDE), dtype=np.float32)
    for _ in range(3):
        root = np.array([rng.uniform(-60, 90), rng.uniform(-60, 90)])
        angle, length = rng.uniform(0.35, 1.2), rng.uniform(360, 520)
        bend = rng.uniform(-0.5, 0.5)
        for share in np.linspace(0.12, 1, 26):
            here = angle + bend * share
            at = root + share * length * np.array([np.cos(here), np.sin(here)])
            reach = 130 * np.sin(np.pi * (0.15 + 0.8 * share))
            for side in (-1, 1):
                _leaf(canvas, (at[0], at[1]), reach, 13, here + side * rng.uniform(0.75, 0.95))
    return canvas


def _branch(
    canvas: NDArray[np.float32],
    rng: np.random.Generator,
    leaf: Callable[[tuple[float, float], float], None] | None,
    thick: float,
) -> None:
    """A twig with side twigs, from a border inwards."""
    root = np.array([rng.uniform(-40, 140), rng.uniform(-40, 60)])
    angle = rng.uniform(0.3, 1.1)
    steps = 22
    for index in range(steps):
        angle += rng.normal(0, 0.10)
        end = root + 24 * np.array([np.cos(angle), np.sin(angle)])
        wide = max(1, round(thick * (1 - index / steps)))
        cv2.line(canvas, _fixed(root), _fixed(end), 1.0, wide, cv2.LINE_AA, 3)
        if index % 2:
            side = angle + rng.choice([-1, 1]) * rng.uniform(0.5, 1.0)
            tip = end + rng.uniform(40, 100) * np.array([np.cos(side), np.sin(side)])
            cv2.line(canvas, _fixed(end), _fixed(tip), 1.0, max(1, wide // 2), cv2.LINE_AA, 3)
            if leaf is not None:
                for share in (0.4, 0.7, 1.0):
                    at = end + share * (tip - end)
                    leaf((float(at[0]), float(at[1])), side)
        root = end


def _fixed(point: NDArray[np.float64]) -> tuple[int, int]:
    return round(8 * float(point[0])), round(8 * float(point[1]))


def _blossom(rng: np.random.Generator) -> NDArray[np.float32]:
    canvas = np.zeros((_SIDE, _SIDE), dtype=np.float32)

    def flower(at: tuple[float, float], _: float) -> None:
        for turn in range(5):
            _leaf(canvas, at, rng.uniform(15, 22), 15, 2 * np.pi * turn / 5 + rng.uniform(0, 0.4))

    for _ in range(3):
        _branch(canvas, rng, flower, 7)
    return canvas


def _foliage(rng: np.random.Generator) -> NDArray[np.float32]:
    canvas = np.zeros((_SIDE, _SIDE), dtype=np.float32)

    def leaves(at: tuple[float, float], angle: float) -> None:
        for side in (-0.7, 0.5):
            _leaf(canvas, at, rng.uniform(38, 58), 24, angle + side + rng.uniform(-0.3, 0.3))

    for _ in range(2):
        _branch(canvas, rng, leaves, 8)
    return canvas


def _bare(rng: np.random.Generator) -> NDArray[np.float32]:
    canvas = np.zeros((_SIDE, _SIDE), dtype=np.float32)
    for _ in range(4):
        _branch(canvas, rng, None, 9)
    return canvas


def _fir(rng: np.random.Generator) -> NDArray[np.float32]:
    canvas = np.zeros((_SIDE, _SIDE), dtype=np.float32)

    def needles(at: tuple[float, float], angle: float) -> None:
        for side in np.linspace(-0.9, 0.9, 9):
            _leaf(canvas, at, rng.uniform(22, 34), 4, angle + side)

    for _ in range(3):
        _branch(canvas, rng, needles, 8)
    return canvas


def _petals(rng: np.random.Generator) -> NDArray[np.float32]:
    canvas = np.zeros((_SIDE, _SIDE), dtype=np.float32)

    def leaves(at: tuple[float, float], angle: float) -> None:
        for side in (-0.6, 0.6):
            _leaf(canvas, at, rng.uniform(24, 34), 20, angle + side)

    _branch(canvas, rng, leaves, 6)
    _branch(canvas, rng, leaves, 6)
    return canvas


SEASONS: dict[str, Season] = {
    "spring": Season((1.01, 1.01, 0.97), _blossom, 0.34, 0.010),
    "summer": Season((1.05, 1.01, 0.93), _palm, 0.46, 0.008),
    "autumn": Season((1.10, 0.99, 0.84), _foliage, 0.42, 0.011),
    "winter": Season((0.95, 0.99, 1.07), _bare, 0.32, 0.009),
    "festive": Season(
        (1.09, 0.96, 0.89),  # redder than yellow: candles, not olives
        _fir,
        0.40,
        0.012,
        ((1.0, 0.80, 0.48), (1.0, 0.66, 0.36), (0.95, 0.3, 0.22)),
    ),
    "valentine": Season(
        (1.06, 0.97, 0.98), _petals, 0.30, 0.014, ((1.0, 0.62, 0.68), (1.0, 0.78, 0.74))
    ),
}
"""By the attribute ``season``."""
