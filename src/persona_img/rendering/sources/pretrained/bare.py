"""What a model is shown: the product on bare ground, without any shadow, at the model's size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.light import illumination, to_srgb
from persona_img.scenery.layer import paper
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import PLAINEST
from persona_img.scenery.subject import USUAL_CM, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from persona_img.scenery.materials import Materials


def bare_ground(
    materials: Materials,
    mask: NDArray[np.float32],
    style: Mapping[str, str],
    seed: int,
    lab: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Ground on which nothing lies: the style's material where that lies flat, else even paper.

    Args:
        materials: Where surfaces lie.
        mask: float32 (h, w), the product; it says how large the material is, and casts no shadow.
        style: Attribute to value.
        seed: Of the material's place, and of a window's panes.
        lab: Mean Lab of the ground.

    Returns:
        float32 sRGB 0..1 (h, w, 3).
    """
    flat = style.get("scene", PLAINEST) == PLAINEST
    surface = style.get("surface") if flat else None
    known = surface if surface in materials.surfaces else None
    lying = {name: value for name, value in style.items() if name not in ("scene", "season")}
    alpha = np.round(mask * 255).astype(np.uint8)
    subject = Subject(alpha, "lying", USUAL_CM["lying"])
    plan = Plan.of(subject, lying, materials, lab, known, seed)
    ground, height, width = plan.ground(), mask.shape[0], mask.shape[1]
    if ground is None:
        linear = paper(height, width, lab, None)
    else:
        across, down = plan.chance(2).random(2)
        linear = ground.flat((height, width), subject.per_cm, (float(across), float(down)))
    light = plan.light if flat else replace(plan.light, panes=False)
    nothing = np.zeros_like(mask)
    return to_srgb(linear * illumination(nothing, light, panes=plan.chance(6)))


def pasted(
    ground: NDArray[np.float32], product: NDArray[np.float32], mask: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The product on a ground of its size, float32 (h, w, 3)."""
    return np.asarray(ground + mask[..., None] * (product - ground), dtype=np.float32)


def resized(picture: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Values 0..1 at another (h, w): by area to fewer pixels, else smoothly."""
    if picture.shape[:2] == tuple(size[:2]):
        return picture
    less = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if less else cv2.INTER_CUBIC
    sized = cv2.resize(picture, (size[1], size[0]), interpolation=method)
    return np.asarray(np.clip(sized, 0.0, 1.0), dtype=np.float32)
