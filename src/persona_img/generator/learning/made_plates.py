"""Made plates: sets of real materials around real silhouettes, never twice in the same light.

What is asked of a plate is known exactly: scene, surface, palette and light. What the generator is
not told, how bright and of what cast the photograph is, from which side the light comes, and the
season's props, it finds in what it starts from, and learns to keep.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from persona_img.generator.learning.plates import Plate, on_grey
from persona_img.scenery.build import SceneSet
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import PLAINEST, scene_of
from persona_img.scenery.subject import Subject, Taken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from persona_img.imaging.light import Light
    from persona_img.scenery.materials import Materials
    from persona_img.scenery.shade import Lamp

_OFF = np.array([3.0, 1.2, 1.2])  # Lab: so far plates stray from the colour they are named by
_EXPOSURE, _CAST = 0.12, 0.03
_SPREAD = 0.15  # relative, of a light's lengths and strengths
_TURN = 0.12  # of where a lamp stands, shares of its distance


def make_plate(
    style: Mapping[str, str],
    chroma: tuple[float, float],
    product: tuple[NDArray[np.uint8], NDArray[np.float32]],
    materials: Materials,
    rng: np.random.Generator,
    *,
    cm: float,
    pitch: float = 12.0,
) -> Plate:
    """A plate of known style around a product's silhouette.

    Args:
        style: ``surface`` and ``light``; ``scene`` and ``season`` where they are not the plainest.
        chroma: Palette's (a*, b*) offset from the material's own colour.
        product: The product's picture, uint8 (H, W, 3), and its mask, float32 (H, W) in 0..1. It
            lies in a flat-lay and stands in every other scene.
        materials: Where the surface lies.
        rng: Of all that differs between two plates of a style.
        cm: Longest side of the product, centimetres.
        pitch: Degrees by which the camera looks down on what stands.

    Raises:
        UnknownStyle: a value that there is not.
        InvalidInput: an empty mask, or a size that is not above 0.
    """
    rgb, mask = product
    plan = made_plan(style, chroma, mask, materials, rng, cm=cm, pitch=pitch)
    return plate_of(plan, style, SceneSet(plan), rgb, mask)


def plate_of(
    plan: Plan,
    style: Mapping[str, str],
    built: SceneSet,
    rgb: NDArray[np.uint8],
    mask: NDArray[np.float32],
) -> Plate:
    """What a set looks like, as a plate of its mask's size; see :func:`make_plate`."""
    height, width = mask.shape
    seen = built.draw(height, width).srgb
    return Plate(
        rgb=np.round(seen * 255).astype(np.uint8),
        mask=mask,
        product=on_grey(rgb, mask),
        surface=plan.surface,
        light=style["light"],
        colour=np.array(plan.colour, dtype=np.float32),
        known=np.ones(mask.shape, dtype=np.float32),
        scene=plan.scene.name,
    )


def made_plan(
    style: Mapping[str, str],
    chroma: tuple[float, float],
    mask: NDArray[np.float32],
    materials: Materials,
    rng: np.random.Generator,
    *,
    cm: float,
    pitch: float = 12.0,
) -> Plan:
    """The plan of such a plate; a generator in the same state gives the same light."""
    scene = scene_of(style.get("scene", PLAINEST))
    side = float(rng.choice((-1.0, 1.0)))
    exposure = float(np.exp(_EXPOSURE * rng.standard_normal()))
    cast = 1.0 + _CAST * rng.standard_normal(3)
    red, green, blue = (float(v) for v in cast / cast.mean())
    surface = materials.surface(style["surface"])
    lightness, a, b = surface.colour(chroma) + _OFF * rng.standard_normal(3)
    subject = Subject(
        np.round(mask * 255).astype(np.uint8),
        "lying" if scene.name == PLAINEST else "standing",
        cm,
        pitch,
        Taken(side, exposure, (red, green, blue)),
    )
    colour = float(np.clip(lightness, 5, 99)), float(a), float(b)
    plan = Plan.of(subject, style, materials, colour, surface.name, int(rng.integers(2**31)))
    return replace(plan, light=_light(plan.light, rng), lamp=_lamp(plan.lamp, rng))


def _light(light: Light, rng: np.random.Generator) -> Light:
    def near(value: float, spread: float = _SPREAD) -> float:
        return float(value * (1.0 + spread * rng.standard_normal()))

    return replace(
        light,
        shadow_offset=(near(light.shadow_offset[0]), near(light.shadow_offset[1])),
        shadow_blur=max(0.002, near(light.shadow_blur)),
        shadow_strength=min(0.85, max(0.0, near(light.shadow_strength))),
        ambient_blur=max(0.01, near(light.ambient_blur)),
        ambient_strength=min(0.6, max(0.0, near(light.ambient_strength))),
        gradient=near(light.gradient, 2 * _SPREAD),
    )


def _lamp(lamp: Lamp, rng: np.random.Generator) -> Lamp:
    right, up, away = lamp.toward + _TURN * rng.standard_normal(3)
    up, away = max(up, 0.3), min(away, -0.02)
    length = float(np.sqrt(right * right + up * up + away * away))
    return replace(
        lamp,
        toward=(float(right) / length, float(up) / length, float(away) / length),
        spread=lamp.spread * float(np.exp(_SPREAD * rng.standard_normal())),
        ambient=float(np.clip(lamp.ambient + 0.05 * rng.standard_normal(), 0.2, 0.8)),
        falloff=lamp.falloff * float(1.0 + 2 * _SPREAD * rng.standard_normal()),
    )
