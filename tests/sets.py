"""A product and a set around it, small: what the suites of this room build."""

from __future__ import annotations

import cv2
import numpy as np

from persona_img.scenery.materials import materials_of, palettes
from persona_img.scenery.plan import Plan
from persona_img.scenery.subject import Subject, Taken

SIZE = (160, 128)
BASE = 128
"""One past the lowest row of the product."""


UNKNOWN = Taken()
"""Light of which nothing is known."""


def silhouette(height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    """A box that is taller than wide, its base at four fifths of the canvas, a third wide."""
    alpha = np.zeros((height, width), np.uint8)
    rows = slice(round(height * 0.4), round(height * BASE / SIZE[0]))
    alpha[rows, round(width / 3) : round(2 * width / 3)] = 255
    return alpha


def subject(pose: str = "standing", cm: float = 24.0, taken: Taken = UNKNOWN) -> Subject:
    return Subject(silhouette(), pose, cm, taken=taken)


def plan(
    scene: str = "tabletop",
    surface: str | None = "marble",
    light: str = "soft",
    *,
    pose: str = "standing",
    palette: str = "neutral",
    seed: int = 3,
    taken: Taken = UNKNOWN,
    **more: str,
) -> Plan:
    """The plan of a style for the box."""
    known = materials_of(None)
    colour = (95.0, 0.0, 1.0)
    if surface is not None:
        colour = known.surface(surface).colour(palettes()[palette])
    style = {"scene": scene, "light": light, "palette": palette, **more}
    return Plan.of(subject(pose, taken=taken), style, known, colour, surface, seed)


def grain(side: int, seed: int = 0, sigma: float = 1.5) -> np.ndarray:
    """A seamless grey tile of spots, float32 0..1 (side, side, 3)."""
    noise = np.random.default_rng(seed).standard_normal((side, side)).astype(np.float32)
    around = np.pad(noise, side // 2, mode="wrap")
    soft = cv2.GaussianBlur(around, (0, 0), sigma)[side // 2 :, side // 2 :][:side, :side]
    return np.clip(0.5 + 0.12 * soft / soft.std(), 0, 1)[..., None].repeat(3, axis=2)
