"""A set: what the camera sees around a product, drawn at any size, in linear light.

Near and far are drawn as layers, the far ones first and out of focus; what lies nearer covers them.
Light and shadow are smooth, so they are worked out small and shared by every size.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import mean_lab
from persona_img.imaging.light import contact_on, illumination
from persona_img.scenery.layer import Layer, paper
from persona_img.scenery.seasons import far_lights, props_shadow
from persona_img.scenery.shade import far_from
from persona_img.scenery.standing import Stage, reflection
from persona_img.scenery.views import view_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.scenery.plan import Plan

_LIGHT_SIDE = 400  # long side, pixels, at which light is worked out
_NEAR = 0.06  # of the short side: this close to the product its shadow and colour reach
_LEAST_AREA = 0.02
_EYE = 0.42  # of the height: where the horizon is behind what is worn
_DRAWN = 6  # patterns of props' shadows, of which one is taken
_SHADED = 0.25  # of the light: more that is taken away is a shadow one sees


class SceneSet:
    """The set of one product, style and seed.

    Args:
        plan: What it is built from.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._stage = None if plan.flat else Stage(plan)
        self._begins: tuple[float, float] | None = None  # the ground, the same at every size

    def draw(self, height: int, width: int, *, even: bool = False) -> Layer:
        """The set without its product, at any size of the canvas's shape.

        Args:
            height: Pixels.
            width: Pixels.
            even: Every material is its own mean colour: what light alone makes of the set.
        """
        if self._stage is not None:
            layer = self._stage.draw(height, width, even=even)
        else:
            layer = self._flat(height, width, even=even)
        taken, season = self.plan.subject.taken, self.plan.season
        factor = np.array(taken.cast, dtype=np.float32) * np.float32(taken.exposure)
        if season is not None:
            factor = factor * np.array(season.tint, dtype=np.float32)
        linear = layer.linear * factor
        if season is not None:
            lights = None
            if layer.far.max() > 0:
                radius = max(2.0, 0.022 * min(height, width))
                lights = far_lights(season, (height, width), radius, self.plan.chance(7))
            if lights is None:
                # Leaves before the lamp throw no shadow on what is far behind; and none is
                # before a lamp indoors, where a shadow of fir would be a stain on the table.
                props = 1.0 - (1.0 - _enlarged(self._props, height, width)) * (1.0 - layer.far)
                linear *= props[..., None]
            if lights is not None:
                linear += lights * layer.far[..., None]
        return replace(layer, linear=linear.astype(np.float32))

    def area(self, height: int, width: int) -> NDArray[np.float32]:
        """Where the surface is open: not behind or beside the product, nor in its shadow; 0 or 1.

        Where the product leaves no such place, all of the surface that it leaves; where there is
        no surface, everything outside the product.
        """
        whole = _resized(self._open, height, width) > 0.99
        return np.asarray(whole, dtype=np.float32)

    @cached_property
    def expected(self) -> NDArray[np.float32]:
        """Mean Lab (3,) of the open area were every material even: the colour in this light."""
        return mean_lab(self._small.srgb, self._open)

    @cached_property
    def _open(self) -> NDArray[np.float32]:
        size = self._small_size
        mask = self._mask(*size)
        reach = max(1, round(_NEAR * min(size)))
        near = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
        surface = self._small.surface > 0.9
        outside = mask < 0.05
        if not surface.any():
            return np.asarray(outside, dtype=np.float32)
        light = self._small.linear.mean(axis=2)
        clear = surface & (near < 0.05)
        usual = float(np.median(light[clear])) if clear.any() else 0.0
        free = clear & (light > 0.86 * usual)
        if free.mean() >= _LEAST_AREA:
            return np.asarray(free, dtype=np.float32)
        rest = surface & outside
        return np.asarray(rest if rest.any() else outside, dtype=np.float32)

    def contact(self, alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The dark where product and surface touch: factor on linear light, (H, W), 0..1.

        Args:
            alpha: uint8 (H, W), the product on the canvas.
        """
        if self.plan.far_only:
            return np.ones(alpha.shape, dtype=np.float32)
        if self._stage is None:
            return contact_on(alpha, self.plan.light)
        return self._stage.contact(alpha)

    def in_focus(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Where the surface is as near as the product, bool (h, w), for a canvas of that size."""
        if self._stage is None:
            return np.full(size, self.plan.view is None)
        near = self._stage.in_focus(*size)
        return near & (_resized(self._small.surface, *size) > 0.9)

    def mirrored(
        self, linear: NDArray[np.float32], product: NDArray[np.uint8], alpha: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """A plate of the canvas's size with what a glossy surface mirrors of the product."""
        if self._stage is None or self.plan.gloss == 0.0:
            return linear
        within = self._stage.mirrors(*alpha.shape)
        return reflection(linear, product, alpha, self.plan.subject.camera(), self.plan, within)

    def _flat(self, height: int, width: int, *, even: bool) -> Layer:
        plan = self.plan
        if plan.view is not None:
            radius = plan.scene.view_blur * min(height, width)
            rng = plan.view_chance(self._view)
            far = view_of(plan.view, (height, width), _EYE * height, radius, rng, calm=plan.calm)
            whole = np.ones((height, width), dtype=np.float32)
            return Layer(far, 0 * whole, whole)
        scale = height / plan.subject.alpha.shape[0]
        per_cm = plan.subject.per_cm * scale
        laid = None if even else plan.ground()
        if laid is None:
            albedo = paper(height, width, plan.colour, None if even else plan.chance(4))
        else:
            if self._begins is None:
                subject = plan.subject
                self._begins = laid.begin(subject.alpha, subject.per_cm, plan.chance(2))
            albedo = laid.flat((height, width), per_cm, self._begins)
        albedo *= _enlarged(self._illumination, height, width)
        ones = np.ones((height, width), dtype=np.float32)
        return Layer(albedo, ones, 0 * ones)

    @cached_property
    def _view(self) -> int:
        """Which of the views that chance may draw is calmest behind the product."""
        return self.plan.calmest_view(_EYE * self.plan.subject.alpha.shape[0])

    def _mask(self, height: int, width: int) -> NDArray[np.float32]:
        alpha = self.plan.subject.alpha
        small = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.float32) / np.float32(255)

    @property
    def _small_size(self) -> tuple[int, int]:
        height, width = self.plan.subject.alpha.shape
        scale = min(1.0, _LIGHT_SIDE / max(height, width))
        return max(1, round(scale * height)), max(1, round(scale * width))

    @cached_property
    def _small(self) -> Layer:
        return self.draw(*self._small_size, even=True)

    @cached_property
    def _illumination(self) -> NDArray[np.float32]:
        light = self.plan.light
        # Where the panes of a window fall is chance; how long a shadow is, is not.
        return illumination(self._mask(*self._small_size), light, panes=self.plan.chance(6))

    @cached_property
    def _props(self) -> NDArray[np.float32]:
        season = self.plan.season
        if season is None:
            return np.ones(self._small_size, dtype=np.float32)
        clear = far_from(np.maximum(self._mask(*self._small_size), self._shaded))
        drawn = (
            props_shadow(season, self._small_size, np.random.default_rng([seed, one]))
            for seed in self.plan.chance(8).integers(2**31, size=1)
            for one in range(_DRAWN)
        )
        # Of what the gap cuts off only scraps are left: taken is what loses the least to it.
        factor = min(drawn, key=lambda f: _lost(1.0 - f, clear))
        return np.asarray(factor + clear * (1.0 - factor), dtype=np.float32)

    @property
    def _shaded(self) -> NDArray[np.float32]:
        """Where what stands throws its own shadow, float32 (h, w) of the small size, 0 or 1."""
        if self._stage is None:
            return np.zeros(self._small_size, dtype=np.float32)
        shade = self._stage.draw(*self._small_size, even=True).shade
        assert shade is not None
        return np.asarray(shade > _SHADED, dtype=np.float32)


def _lost(dark: NDArray[np.float32], clear: NDArray[np.float32]) -> float:
    """Which share of a pattern's darkness a gap takes away; all of it where there is none."""
    whole = float(dark.sum())
    return float((clear * dark).sum()) / whole if whole > 0 else 1.0


def _enlarged(small: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if small.shape[:2] == (height, width):
        return small
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, dtype=np.float32)


def _resized(small: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
