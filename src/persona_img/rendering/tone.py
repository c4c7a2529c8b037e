"""The colour a style asks for, the colour a plate has, and a gentle pull from one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import from_lab, mean_lab, to_lab
from persona_img.imaging.light import LIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.imaging.light import Light

MOST_PULL = np.array([8.0, 10.0, 10.0], dtype=np.float32)
"""Largest shift of a plate whose colour the source was taught."""
FARTHEST_PULL = np.array([25.0, 30.0, 30.0], dtype=np.float32)
"""Largest shift where the colour was given by number: a brand's blue need not have been taught."""


def light_of(name: str) -> Light:
    """The light of that name.

    Raises:
        UnknownStyle: no such light.
    """
    if name not in LIGHTS:
        raise UnknownStyle(f"light={name}: choose from {', '.join(LIGHTS)}")
    return LIGHTS[name]


def pulled(
    plate: NDArray[np.float32],
    expected: NDArray[np.float32],
    area: NDArray[np.float32],
    share: float,
    most: NDArray[np.float32] = MOST_PULL,
) -> NDArray[np.float32]:
    """The plate with ``share`` of its colour error taken away.

    One shift in Lab for the whole plate, so shadows, grain and veins stay. It is bounded: a plate
    that is further off is wrong, not tinted, and the gate says so.

    Args:
        plate: float32 sRGB 0..1 (h, w, 3).
        expected: Mean Lab (3,) that its open area should have; see ``SceneSet.expected``.
        area: float32 (h, w), above 0 where it is measured.
        share: 0..1.
        most: Largest shift of L*, a* and b*, (3,).
    """
    error = expected - mean_lab(plate, area)
    shift = np.clip(share * np.nan_to_num(error), -most, most).astype(np.float32)
    lab = to_lab(plate)
    # Chroma follows lightness down into the shadow: black takes no tint.
    weight = np.clip(lab[..., :1] / max(1.0, float(expected[0])), 0.0, 1.0)
    return from_lab((lab + shift * weight).astype(np.float32))
