"""What a style asks of a set, before anything is drawn: materials, lamp, season, and all chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import UnknownStyle
from persona_img.imaging.light import LIGHTS, Light
from persona_img.scenery.laying import Laid, laid
from persona_img.scenery.scenes import (
    APART,
    LIES,
    STANDS,
    Scene,
    scene_for,
    scene_of,
    tells,
)
from persona_img.scenery.seasons import Season, season_of
from persona_img.scenery.shade import LAMPS, Lamp
from persona_img.scenery.views import calmest, kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.scenery.materials import Colour, Materials
    from persona_img.scenery.subject import Subject

_WALL = "limewash"
_EVEN = 0.006  # blur: out of focus by more, a wall's grain is clouds
_RECEDES = 1.3  # more of a plane is seen where it recedes
_AGAIN = 1.2
"""So many times a tile may be seen on a flat lay before it is sewn: what comes again can be chosen
there, see :meth:`.laying.Laid.begin`, and a whole tile shows less twice than a quilt of it."""
_VIEWS = 6  # drawn, of which the calmest behind the product is taken
_VIEW_SIDE = 160  # of the canvas on which that is told
_STANDS_ON_FLOORS = 35.0  # cm of a product's longest side: what is smaller stands on a counter
_PALEST, _APART = 91.0, 9.0  # L*: a wall is pale, and never as light as the table


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything a set is built from.

    Attributes:
        subject: The product.
        scene: Where it is.
        colour: Mean Lab asked of the surface.
        wall: Mean Lab of what is behind.
        surface: Name of the surface; None is even paper.
        gloss: Of the surface.
        light: On a plane that is looked at from above.
        lamp: On what stands.
        season: None for none.
        view: Kind of what is seen far behind; None for a wall or nothing.
        seed: Of all that is left to chance.
        materials: Where surfaces lie.
        calm: How much of a far view's contrast is taken out, 0..1, for text to stand before it.
    """

    subject: Subject
    scene: Scene
    colour: Colour
    wall: Colour
    surface: str | None
    gloss: float
    light: Light
    lamp: Lamp
    season: Season | None
    view: str | None
    seed: int
    materials: Materials
    calm: float = 0.0

    @classmethod
    def of(
        cls,
        subject: Subject,
        style: Mapping[str, str],
        materials: Materials,
        colour: Colour,
        surface: str | None,
        seed: int,
    ) -> Plan:
        """The plan of a style.

        Args:
            subject: The product.
            style: Attribute to value; ``scene``, ``light``, ``palette`` and ``season`` count.
            materials: Where surfaces lie.
            colour: Mean Lab asked of the surface.
            surface: Its name; None is even paper.
            seed: Of tiles, views and props.

        Raises:
            UnknownStyle: a scene, light or season that there is not.
        """
        scene = scene_of(scene_for(style, subject.pose))
        name = style.get("light", "soft")
        if name not in LIGHTS:
            raise UnknownStyle(f"light={name}: choose from {', '.join(LIGHTS)}")
        season = style.get("season")
        thick = subject.thick * subject.per_cm / min(subject.alpha.shape)
        light, lamp = LIGHTS[name].over(thick), LAMPS[name]
        if subject.taken.side > 0:
            light, lamp = light.mirrored(), lamp.mirrored()
        view = scene.far if scene.far in kinds() else None
        if view is not None and season in kinds():
            view = season
        known = None if surface is None else materials.surface(surface)
        return cls(
            subject,
            scene,
            colour,
            _behind(colour),
            surface,
            0.0 if known is None else known.gloss,
            light,
            lamp,
            None if season in (None, "none") else season_of(str(season)),
            view,
            seed,
            materials,
        )

    @property
    def flat(self) -> bool:
        """Whether the plane is looked at from above, or is a wall that a product hangs on."""
        return self.scene.table == "flat" or self.subject.pose != "standing"

    @property
    def rests(self) -> str:
        """What the product's shadow falls on, see :data:`.scenes.LIES`."""
        return APART if self.far_only else LIES if self.flat else STANDS

    @property
    def on_counter(self) -> bool:
        """Whether the product is so small that it stands on a counter, not on a floor."""
        return self.subject.cm < _STANDS_ON_FLOORS

    @property
    def on_block(self) -> bool:
        """Whether it stands on one piece: a podium, a board, or a counter's top."""
        if self.flat:
            return False
        table = self.scene.table
        return table in ("podium", "shelf") or (table == "table" and self.on_counter)

    @property
    def far_only(self) -> bool:
        """Whether nothing but what is far behind is seen."""
        return self.flat and self.view is not None

    @property
    def tells(self) -> tuple[str, ...]:
        """Attributes of the style that can be seen; see :func:`.scenes.tells`."""
        return tells(self.scene.name, self.rests)

    def chance(self, what: int) -> np.random.Generator:
        """Chance of one part of the set, the same at every size."""
        return np.random.default_rng([self.seed, 3, what])

    def view_chance(self, draw: int) -> np.random.Generator:
        """Chance of one of the views that may be seen far behind, the same at every size."""
        return np.random.default_rng([self.seed, 3, 5, draw])

    def calmest_view(self, horizon: float, ends: float | None = None) -> int:
        """Which of those draws leaves the product freest.

        Args:
            horizon: Of its canvas, rows.
            ends: Row of its canvas below which something nearer is seen.
        """
        assert self.view is not None
        height, width = self.subject.alpha.shape
        scale = min(1.0, _VIEW_SIDE / max(height, width))
        size = max(1, round(scale * width)), max(1, round(scale * height))
        small = cv2.resize(self.subject.alpha, size, interpolation=cv2.INTER_AREA)
        draws = [self.view_chance(one) for one in range(_VIEWS)]
        below = None if ends is None else scale * ends
        product = small.astype(np.float32) / np.float32(255)
        return calmest(self.view, product, scale * horizon, draws, below)

    def ground(self) -> Laid | None:
        """The surface, ready to be laid at any size up to the canvas's; None for even paper."""
        if self.surface is None:
            return None
        toward = self.lamp.toward[0], self.lamp.toward[2]
        if self.flat:
            toward = -self.light.shadow_offset[0], self.light.shadow_offset[1]
        return self._laid(self.surface, self.colour, toward, 0)

    def behind(self) -> Laid | None:
        """The wall, ready to be laid; None where all is even paper, or it is too far to be more."""
        if self.surface is None or _WALL not in self.materials.surfaces:
            return None
        if self.scene.blur > _EVEN:
            return None
        return self._laid(_WALL, self.wall, self.lamp.toward[:2], 1)

    def _laid(
        self,
        name: str,
        colour: Colour,
        side: tuple[float, float],
        what: int,
    ) -> Laid:
        per_cm = self.subject.per_cm
        seen = max(self.subject.alpha.shape) / per_cm
        length = max(1e-6, float(np.hypot(*side)))
        toward = self.lamp.rake * side[0] / length, self.lamp.rake * side[1] / length
        # Grain runs along a table and a shelf; how a floor lies is left to chance.
        turned = None if what == 0 and self.subject.pose == "lying" else False
        return laid(
            self.materials.surface(name),
            colour,
            toward,
            self.chance(what),
            cm=seen / _AGAIN if self.flat else _RECEDES * seen,
            per_cm=per_cm,
            turned=turned,
            solid=what == 0 and self.on_block,
        )


def _behind(colour: Colour) -> Colour:
    """A wall's colour: the table's hue, paler, and never as light as the table."""
    lightness, a, b = colour
    wall = _PALEST if lightness < _PALEST - _APART else lightness - _APART
    return wall, 0.30 * a + 0.3, 0.22 * b + 2.0
