"""Terrazzo cut from photographs of real stone: chips of marble, onyx and slate in pale cement.

What is to be had openly as terrazzo is drawn by a program, and its see-through chips show that at a
customer's size. Here every chip and the cement between them is a piece of a photograph; only the
outlines are made: convex polygons, large ones first, none touching another, round the tile's edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

from persona_img.imaging.colour import from_lab, to_lab

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CHIPS = [
    # a photograph, its mean Lab as a chip, what is left of its contrast, its share of chips
    ("marble/Marble021", (91, 0, 3), 0.8, 0.27),
    ("marble/Marble020", (82, 3, 11), 0.8, 0.23),
    ("marble/Onyx003", (74, 6, 17), 0.25, 0.12),
    ("marble/Marble020", (60, 13, 14), 0.7, 0.15),
    ("marble/Marble012", (68, 0, -1), 0.8, 0.15),
    ("stone/Rock030", (47, -2, -2), 0.5, 0.06),
    ("marble/Marble016", (38, 0, 1), 0.5, 0.02),
]
CEMENT = ("concrete/concrete_floor", (86, 0.5, 4), 0.6)
SIZES = [(3.4, 0.10), (2.4, 0.17), (1.6, 0.2), (1.0, 0.22), (0.6, 0.24), (0.35, 0.2), (0.2, 0.2)]
"""Width of chips in cm, and how much of the room that is left for such a chip they are given."""
_JOINT = 0.06  # cm of cement between two chips, at least
_FINE = 2  # pixels of the drawing for one of the tile


def terrazzo(data: Path, cm: float, coarse: float, side: int, seed: int) -> NDArray[np.uint8]:
    """A seamless tile ``cm`` wide, ``side × side × 3``, of chips ``coarse`` times ``SIZES``."""
    rng = np.random.default_rng(seed)
    wide = side * _FINE
    per_cm = wide / cm * coarse  # of a chip that is drawn coarse
    stones = [_stone(data, stem, lab, left) for stem, lab, left, _ in CHIPS]
    picture = _lay(_stone(data, *CEMENT), wide)
    owner = np.zeros((wide, wide), np.uint8)
    shares = np.array([share for *_, share in CHIPS])
    for width, filled in SIZES:
        for _ in range(3):
            _scatter(picture, owner, stones, shares, width, filled / 3, per_cm, rng)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return (from_lab(small) * 255).round().astype(np.uint8)


def _scatter(
    picture: NDArray[np.float32],
    owner: NDArray[np.uint8],
    stones: list[NDArray[np.float32]],
    shares: NDArray[np.float64],
    width: float,
    filled: float,
    per_cm: float,
    rng: np.random.Generator,
) -> None:
    """Lay chips of about one width where there is room, until that share of the room is used."""
    wide, pad = len(picture), round(2 * width * per_cm)
    free = np.pad(owner == 0, pad, mode="wrap")
    room = ndimage.distance_transform_edt(free)[pad:-pad, pad:-pad] / per_cm
    places = np.flatnonzero(room >= width / 2 * 0.8 + _JOINT)
    if not len(places):
        return
    budget, used = filled * (room > 0).sum(), 0
    for place in rng.permutation(places):
        if used >= budget:
            return
        y, x = divmod(int(place), wide)
        reach = round(width * per_cm)
        at = np.ix_(np.arange(y - reach, y + reach) % wide, np.arange(x - reach, x + reach) % wide)
        shape = _polygon(width * rng.uniform(0.75, 1.25) * per_cm, 2 * reach, rng)
        joint = round(_JOINT * per_cm)
        grown = cv2.dilate(shape, np.ones((2 * joint + 1, 2 * joint + 1), np.uint8))
        if (owner[at] & grown).any():
            continue
        stone = stones[int(rng.choice(len(stones), p=shares / shares.sum()))]
        top, left = rng.integers(0, len(stone) - 2 * reach, 2)
        chip = stone[top : top + 2 * reach, left : left + 2 * reach].copy()
        chip = np.rot90(chip, int(rng.integers(4))).copy()
        chip[..., 0] += rng.normal(0, 2.5)
        picture[at] = np.where(shape[..., None] > 0, chip, picture[at])
        owner[at] |= shape
        used += int(shape.sum())


def _polygon(width: float, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A convex chip in the middle of a square, 1 where it is."""
    corners = int(rng.integers(5, 9))
    angle = (np.arange(corners) + rng.uniform(-0.45, 0.45, corners)) * 2 * np.pi / corners
    long = rng.uniform(1.0, 1.4)
    points = np.stack([np.cos(angle) * long, np.sin(angle) / long], 1) * width / 2
    turn = rng.uniform(0, np.pi)
    points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(shape, np.round(points + side / 2).astype(np.int32), 1)
    return shape


def _stone(
    data: Path, stem: str, lab: tuple[float, float, float], left: float
) -> NDArray[np.float32]:
    """A photograph of stone, brought to a mean colour, in CIE Lab."""
    picture = np.asarray(Image.open(data / "materials" / f"{stem}.jpg").convert("RGB"))
    side = min(picture.shape[:2])
    stone = to_lab(np.ascontiguousarray(picture[:side, :side])).astype(np.float32)
    return (stone - stone.mean(axis=(0, 1))) * left + np.float32(lab)


def _lay(tile: NDArray[np.float32], wide: int) -> NDArray[np.float32]:
    """A seamless tile beside itself."""
    times = -(-wide // len(tile))
    return np.tile(tile, (times, times, 1))[:wide, :wide]
