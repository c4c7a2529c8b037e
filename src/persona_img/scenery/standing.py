"""Sets for what stands: table, podium, shelf, floor and wall, in perspective."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.light import to_linear
from persona_img.scenery.layer import Layer, paper
from persona_img.scenery.lens import defocused, focused_at
from persona_img.scenery.podium import Drum, Sweep
from persona_img.scenery.shade import Blocker, clear_around, contact, lit, touching
from persona_img.scenery.views import graded, view_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.scenery.camera import Camera
    from persona_img.scenery.laying import Laid
    from persona_img.scenery.plan import Plan

Point = tuple["NDArray[np.float32]", "NDArray[np.float32]", "NDArray[np.float32]"]
_LIGHT_SIDE = 280  # long side at which light is worked out
_CONTACT_SIDE = 900
_EDGE = 0.42  # of the way from the horizon to the base: where a table ends
_HIGHEST_EDGE = 0.20  # of the canvas: it ends below that
_SHARP_BEFORE, _SHARP_BEHIND = 0.35, 1.5  # of a lens's own blur: shops stop their lenses down
_PODIUM_PITCH = 12.5  # degrees: looked at from higher, a podium is a plate
_PITCHES = 8  # tried from there to the photograph's own, where a base would hang over the edge
_PODIUM = 0.66, 0.34  # of the product's width, and of its height: its radius
_SHELF = 0.16, 0.25  # of the product's height: how far a shelf reaches before it and behind
_MARGIN = 1.03  # times what stands on it
_FOOT = 0.90  # of the room below the product: its foot is above that, or out of the picture
_LEAST_SIDE = 0.28  # of its radius: less of its side with its foot would be a slab
_BRIGHTEST = 1.5  # of open floor
_BOUNCED = 0.5  # light from the paper on what looks down on it
_PAPER_WALL = 0.90  # how bright upright paper is
_PANE = 1.2, 1.0  # a window's pane, wide and tall, of the product's longest side
_BARS = 0.07, 0.12  # of a pane: its upright bar, and its level one
_SKIRTING = 7.0  # cm: lower ones are not made
_WALL = 0.35  # of a wall's own contrast: with all of it, limewash is stains behind what is small
_BLOCK = 0.75  # of its material's contrast a podium has: with all of it the eye goes to the block
_CAUGHT = 0.22  # light that a podium's edge mirrors: without it lid and side run into one another
_WINDOWS = 8  # drawn, of which the one whose bars keep clearest of the product is taken
_IN_BARS, _IN_LIGHT = 0.76, 1.08  # light in the shade of a window's bars, and between them
_IN_PANE = 0.35, 0.80  # where in its pane's light a product may stand
_TURNED = -6.0, 14.0  # degrees by which the window's wall may be turned away from the camera
_MIRRORED = 0.03, 0.25  # of the height: how far down a reflection fades, and more by gloss
_SKY = 0.75  # linear: an even light that a polished surface mirrors
_ROUGH = 0.09  # gloss that any table has before a bright view
_BRIGHTER = 1.5  # times its picture a view is, whose lights were rolled off
_SPREAD = 0.12, 0.08  # of the height: how far a table blurs what it mirrors, up and across
_GRADES = {"room": (0.30, 0.4), "outdoor": (0.10, 0.0)}
"""By scene: how much of a surface's hue its view takes on, and of its own cast loses. Walls may be
of any colour; grass may not."""
_FRESNEL = 0.85  # of what a polished stone mirrors at a grazing look, beside its gloss


@dataclass(frozen=True, eq=False)
class _Piece:
    """One surface of a set, the far ones first.

    Attributes:
        linear: Its light, float32 (h, w, 3).
        mask: What it covers, float32 (h, w).
        own: Whether it is of the style's surface.
        far: Whether it is far behind.
        shade: Share of its light that what stands takes away, float32 (h, w); None is nothing.
    """

    linear: NDArray[np.float32]
    mask: NDArray[np.float32]
    own: bool = False
    far: bool = False
    shade: NDArray[np.float32] | None = None


class Stage:
    """The set around what stands; see :class:`.build.SceneSet`.

    Args:
        plan: What it is built from; its product stands.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.camera = plan.subject.camera()
        self.depth = plan.subject.depth
        top, left, bottom, right = plan.subject.box
        per_cm = plan.subject.per_cm
        self.tall, self.wide = (bottom - top) / per_cm, (right - left) / per_cm
        self.table = plan.scene.table
        radius, middle = (
            max(_PODIUM[0] * self.wide, _PODIUM[1] * self.tall, 0.75 * self.depth),
            0.5 * self.depth,
        )
        if self.table == "podium":
            self.camera, radius, middle = self._podium_under(radius)
        base, horizon = self.camera.y, self.camera.horizon
        edge = max(horizon + _EDGE * (base - horizon), _HIGHEST_EDGE * self.camera.height)
        self.end = max(self.camera.depth_at(edge), 1.2 * self.depth)
        if self.table == "table":
            self.wall = 1.6 * self.end + 0.3 * self.tall
        elif self.table == "shelf":
            self.wall = self.depth + max(_SHELF[1] * self.tall, 0.9 * self.depth)
            self.front = -max(_SHELF[0] * self.tall, 0.9 * self.depth)
        else:
            self.wall = min(self.end, self.depth + 0.45 * max(self.tall, self.wide))
        room = (self.camera.height - base) / per_cm
        self.drum, self.sweep = self._podium_before(radius, middle, room)
        self._lights: dict[str, NDArray[np.float32]] = {}
        self._shades: dict[str, NDArray[np.float32]] = {}
        self.thick = max(
            0.035 * max(self.tall, self.wide), 0.10 * (self.camera.height - base) / per_cm
        )

    def draw(self, height: int, width: int, *, even: bool) -> Layer:
        """All layers, at a size of the canvas's shape."""
        camera = self.camera.scaled(height, width)
        if self.table == "podium":
            pieces = [self._paper(camera, even=even), *self._podium(camera, even=even)]
        else:
            pieces = [self._far(camera, even=even)]
        if self.table == "table":
            pieces.append(self._top(camera, pieces[0], even=even))
        elif self.table == "shelf":
            pieces += self._shelf(camera, even=even)
        elif self.table == "floor":
            pieces += self._floor_and_wall(camera, even=even)
        linear = pieces[0].linear.copy()
        surface = np.zeros((height, width), dtype=np.float32)
        far = pieces[0].mask.copy() if pieces[0].far else 0 * surface
        shade = 0 * surface if pieces[0].shade is None else pieces[0].shade
        for piece in pieces[1:]:
            share = piece.mask[..., None]
            linear += share * (piece.linear - linear)
            shade = shade + piece.mask * ((0 if piece.shade is None else piece.shade) - shade)
            surface += piece.mask * ((1.0 if piece.own else 0.0) - surface)
            far *= 1.0 - piece.mask
        return Layer(linear, surface, far, shade)

    def contact(self, alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :meth:`.build.SceneSet.contact`."""
        height, width = alpha.shape
        scale = min(1.0, _CONTACT_SIDE / max(height, width))
        size = max(1, round(scale * height)), max(1, round(scale * width))
        small = cv2.resize(alpha, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        taken = self.plan.subject.camera().scaled(*size)
        dark = contact(small.astype(np.float32) / 255, taken, self.depth)
        if self.table == "shelf":
            # What touches the lid darkens the lid: on the front below it that would be a stain.
            below = np.arange(size[0], dtype=np.float32) - taken.row_of(self.front)
            lid = np.clip(0.5 - below, 0, 1)[:, None]
            dark = np.asarray(1.0 - (1.0 - dark) * lid, dtype=np.float32)
        return np.asarray(cv2.resize(dark, (width, height), interpolation=cv2.INTER_LINEAR))

    def in_focus(self, height: int, width: int) -> NDArray[np.bool_]:
        """Rows of the floor that are no further than the product, bool (h, w)."""
        camera = self.camera.scaled(height, width)
        blur = self.plan.scene.blur * min(height, width)
        near = self._focus(camera, blur) < 0.6
        rows = np.arange(height)
        near &= (rows > camera.row_of(self.depth)) & (rows > camera.horizon)
        return np.repeat(near[:, None], width, axis=1)

    # What is far behind, and what is near.

    def _far(self, camera: Camera, *, even: bool) -> _Piece:
        plan, size = self.plan, (camera.height, camera.width)
        whole = np.ones(size, dtype=np.float32)
        if plan.view is not None:
            radius = plan.scene.view_blur * min(size)
            ends = camera.row_of(self.end)
            chance = plan.view_chance(self._view)
            view = view_of(plan.view, size, camera.horizon, radius, chance, ends, plan.calm)
            grade = _GRADES.get(plan.scene.name, _GRADES["room"])
            return _Piece(graded(view, plan.colour, *grade), whole, far=True)
        x, y = camera.wall(self.wall)
        wall = (
            self._material(plan, camera, (x, y), False, even=even)
            * self._shaded(camera, "wall")[..., None]
        )
        radius = plan.scene.blur * min(size)
        return _Piece(defocused(wall, radius), whole, shade=self._shade(camera, "wall"))

    def _top(self, camera: Camera, behind: _Piece, *, even: bool) -> _Piece:
        x, z, _ = camera.floor()
        edge = camera.row_of(self.end)
        linear = self._material(self.plan, camera, (x, z), True, even=even)
        linear *= self._shaded(camera, "floor")[..., None]
        far = _mirrored_far(behind.linear, camera.horizon) if behind.far else None
        linear = self._sheen(linear, camera, far)
        blur = self.plan.scene.blur * min(camera.height, camera.width)
        linear = focused_at(linear, self._focus(camera, blur))
        soft = max(0.6, 0.45 * blur * self.end / (self.end + camera.away))
        rows = (np.arange(camera.height, dtype=np.float32) - edge) / (1.6 * soft)
        mask = np.clip(0.5 + 0.5 * np.tanh(rows), 0, 1)[:, None].repeat(camera.width, axis=1)
        shade = self._shade(camera, "floor")
        return _Piece(linear, mask.astype(np.float32), own=True, shade=shade)

    def _podium_under(self, radius: float) -> tuple[Camera, float, float]:
        """From where a podium is looked at, how wide it is and where its axis stands.

        What the photograph shows of a base further up stands further back, the more so the flatter
        the podium is looked at; no part of the base may look over its edge.

        Args:
            radius: Of the podium, where that is enough.

        Returns:
            The camera; the radius and the axis's z, centimetres.
        """
        taken = self.camera
        lowest, touch = touching(self.plan.subject.alpha >= 128, taken, self.depth)
        columns = np.flatnonzero(touch > 0)
        across = (columns - taken.x) / taken.focal
        need = middle = 0.0
        camera = taken
        for pitch in np.linspace(min(taken.pitch, _PODIUM_PITCH), taken.pitch, _PITCHES):
            camera = replace(taken, pitch=float(pitch))
            away = np.array([camera.depth_at(float(row)) for row in lowest[columns]])
            middle = max(0.5 * self.depth, 0.5 * float(away.max()))
            cosine = float(np.cos(np.radians(pitch)))
            reach = np.hypot(across * (camera.away + away * cosine), away - middle)
            need = _MARGIN * float(reach.max())
            if need <= radius:
                break
        return camera, max(radius, need), middle

    def _podium_before(self, radius: float, middle: float, room: float) -> tuple[Drum, Sweep]:
        """What a product stands on, its foot well in the picture or well outside, and the paper.

        Args:
            radius: Of the podium.
            middle: How far behind the product's front its axis is.
            room: Centimetres of the picture below the product.
        """
        sine = float(np.sin(np.radians(self.camera.pitch)))
        front = (radius - middle) * sine  # how far below the base its lid reaches
        seen = _FOOT * room - front - 0.06 * radius  # of its side, with its foot in the picture
        tall = min(seen, 0.9 * radius) if seen > _LEAST_SIDE * radius else 2.0 * room + radius
        drum = Drum(radius, tall, middle)
        return drum, Sweep(-tall, drum.z + 1.6 * radius, 2.2 * max(radius, self.tall))

    def _paper(self, camera: Camera, *, even: bool) -> _Piece:
        """Studio paper, behind and below a podium."""
        size = (camera.height, camera.width)
        linear = paper(*size, self.plan.wall, None if even else self.plan.chance(4))
        linear *= self._shaded(camera, "paper")[..., None]
        shade = self._shade(camera, "paper")
        return _Piece(linear, np.ones(size, dtype=np.float32), shade=shade)

    def _podium(self, camera: Camera, *, even: bool) -> list[_Piece]:
        plan, drum = self.plan, self.drum
        x, z, _ = camera.floor()
        lid = self._material(plan, camera, (x, z), True, even=even)
        lid *= self._shaded(camera, "floor")[..., None]
        lid = self._sheen(lid, camera)
        shade = self._shade(camera, "floor")
        share, angle, y = drum.side(camera)
        at = (angle * np.float32(drum.radius), y)
        side = self._material(plan, camera, at, True, even=even, seen=share > 0)
        side *= self._side_light(camera, angle, y)[..., None]
        return [
            _Piece(side, share, own=False),
            _Piece(lid, drum.lid(camera), own=True, shade=shade),
        ]

    def _side_light(
        self, camera: Camera, angle: NDArray[np.float32], y: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Factor on the light of the podium's side: round, its foot darker, its edge caught."""
        lamp, drum = self.plan.lamp, self.drum
        right, up, away = drum.normal(angle, y)
        # The sun's height makes open floor 1; a lamp from the side may be brighter than that.
        facing = right * lamp.toward[0] + up * lamp.toward[1] + away * lamp.toward[2]
        direct = np.minimum(np.clip(facing, 0, None) / lamp.toward[1], _BRIGHTEST)
        sky = 0.5 + 0.5 * up
        bounced = (1.0 - sky) * _BOUNCED * (1.0 - 0.5 * np.exp(-(y + drum.tall) / drum.radius))
        foot = 1.0 - 0.45 * np.exp(-np.clip(y + drum.tall, 0, None) / (0.10 * drum.radius))
        light = (1.0 - lamp.ambient) * direct + (lamp.ambient * sky + bounced) * foot
        edge = drum.edge(y)
        light += np.float32(_CAUGHT) * 4 * edge * (1 - edge)
        return np.asarray(light * self._falloff(camera), dtype=np.float32)

    def _shelf(self, camera: Camera, *, even: bool) -> list[_Piece]:
        front = self.front
        size = (camera.height, camera.width)
        rows = np.arange(camera.height, dtype=np.float32)[:, None].repeat(camera.width, axis=1)
        x, z, _ = camera.floor()
        lid = self._material(self.plan, camera, (x, z), True, even=even)
        lid *= self._shaded(camera, "floor")[..., None]
        lid = self._sheen(lid, camera)
        near, far = camera.row_of(front), camera.row_of(self.wall)
        # The board covers the lid's last row: were both mixed there, the wall would shine through.
        top = np.clip(rows - far + 0.5, 0, 1) * (rows < near + 1)
        fx, fy = camera.wall(front)
        face = self._material(self.plan, camera, (fx, fy), True, even=even)
        lamp = self.plan.lamp
        bright = 0.70 * lamp.ambient + (1 - lamp.ambient) * max(0.15, -lamp.toward[2] + 0.25)
        face *= np.float32(bright + 0.1)
        board = np.clip((fy + self.thick) * camera.per_cm + 0.5, 0, 1) * np.clip(
            rows - near + 0.5, 0, 1
        )
        # Under the board the wall is in its shadow.
        under = np.clip(rows - (near + self.thick * camera.per_cm), 0, None)
        reach = 3.0 * self.thick * camera.per_cm
        dark = 1.0 - 0.55 * np.exp(-under / reach)
        wx, wy = camera.wall(self.wall)
        wall = self._material(self.plan, camera, (wx, wy), False, even=even)
        wall *= (self._shaded(camera, "wall") * dark)[..., None].astype(np.float32)
        mask = (rows > near).astype(np.float32)
        blur = self.plan.scene.blur * min(size)
        return [
            _Piece(defocused(wall, blur), mask, shade=self._shade(camera, "wall")),
            _Piece(lid, top.astype(np.float32), own=True, shade=self._shade(camera, "floor")),
            _Piece(face, board.astype(np.float32)),
        ]

    def _floor_and_wall(self, camera: Camera, *, even: bool) -> list[_Piece]:
        x, z, _ = camera.floor()
        floor = self._material(self.plan, camera, (x, z), True, even=even)
        floor *= self._shaded(camera, "floor")[..., None]
        floor = self._sheen(floor, camera)
        blur = self.plan.scene.blur * min(camera.height, camera.width)
        floor = focused_at(floor, self._focus(camera, blur))
        rows = np.arange(camera.height, dtype=np.float32)[:, None].repeat(camera.width, axis=1)
        edge = camera.row_of(self.wall)
        soft = max(0.8, 0.5 * blur)
        lower = np.clip((rows - edge) / soft + 0.5, 0, 1).astype(np.float32)
        _, y = camera.wall(self.wall)
        board = max(_SKIRTING, 0.07 * max(self.tall, self.wide) + 1.5)
        skirting = np.clip((board - y) * camera.per_cm / soft + 0.5, 0, 1)
        paint = np.full((camera.height, camera.width, 3), 0.80, dtype=np.float32)
        lip = np.exp(-(((board - y) / (0.12 * board)) ** 2))
        ground = np.exp(-np.clip(y, 0, None) / (0.10 * board))
        paint *= (self._shaded(camera, "wall") * (0.93 - 0.25 * lip) * (1 - 0.5 * ground))[
            ..., None
        ]
        floor *= (1.0 - 0.35 * np.exp(-np.clip(rows - edge, 0, None) / (0.02 * camera.height)))[
            ..., None
        ]
        plane = _Piece(floor, lower, own=True, shade=self._shade(camera, "floor"))
        if self.plan.on_counter:
            return [plane]
        board_before = _Piece(
            defocused(paint, 0.7 * blur),
            skirting.astype(np.float32),
            shade=self._shade(camera, "wall"),
        )
        return [board_before, plane]

    # Material and light.

    def _material(
        self,
        plan: Plan,
        camera: Camera,
        at: tuple[NDArray[np.float32], NDArray[np.float32]],
        own: bool,
        *,
        even: bool,
        seen: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """A surface as it is seen at those places (cm across and along), evenly lit.

        How finely it is read is what the pixels that are ``seen`` need, row by row; None is all.
        """
        size = (camera.height, camera.width)
        colour = plan.colour if own else plan.wall
        laid: Laid | None = None
        if not even:
            laid = plan.ground() if own else plan.behind()
        if laid is None:
            return paper(*size, colour, None if even else plan.chance(4))
        across = np.abs(np.gradient(at[0], axis=1))
        along = np.abs(np.gradient(at[1], axis=0))
        step = np.dstack([across, along]).astype(np.float32)
        if seen is not None:
            step = _of_rows(step, seen, 1.0 / camera.per_cm)
        shift = plan.chance(2 if own else 9).uniform(0, laid.cm, 2).astype(np.float32)
        seen_so = laid.read(at[0] + shift[0], at[1] + shift[1], np.maximum(step, 1e-4))
        if own and self.table != "podium":
            return seen_so
        flat = paper(*size, colour, None)
        return flat + np.float32(_BLOCK if own else _WALL) * (seen_so - flat)

    def _sheen(
        self,
        linear: NDArray[np.float32],
        camera: Camera,
        far: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """What a surface mirrors of what is behind: more the flatter it is looked at.

        Args:
            linear: Its own light, float32 (h, w, 3).
            camera: Sees it.
            far: What is mirrored in each pixel, as ``linear``; None is an even light.
        """
        # Before a garden or a window even rough wood shines where it is looked at that flatly.
        gloss = self.plan.gloss if far is None else self.plan.gloss + _ROUGH
        if gloss == 0.0:
            return linear
        right, up, on = camera.rays
        steep = np.clip(-up / np.sqrt(right * right + up * up + on * on), 0, 1)
        fresnel = gloss * (0.04 + _FRESNEL * (1.0 - steep) ** 4)
        sky = np.float32(_SKY) if far is None else far
        return np.asarray(linear + (sky - linear) * fresnel[..., None], dtype=np.float32)

    def _focus(self, camera: Camera, blur: float) -> NDArray[np.float32]:
        """Radius of the disc in each row of the floor, pixels."""
        rows = np.arange(camera.height)
        depth = np.array([camera.depth_at(max(float(row), camera.horizon + 1)) for row in rows])
        depth = np.clip(depth, -0.6 * camera.away, self.end)
        inner = np.where(depth > 0, np.maximum(depth - self.depth, 0), depth)
        share = np.where(inner < 0, _SHARP_BEFORE, _SHARP_BEHIND)
        radius = np.abs(share * blur * inner / (camera.away + inner))
        return np.asarray(radius, dtype=np.float32)

    def _shaded(self, camera: Camera, what: str) -> NDArray[np.float32]:
        """Factor on the light of ``floor``, ``wall`` or a podium's ``paper``, float32 (h, w)."""
        if what not in self._lights:
            self._lights[what] = self._light_on(what)
        size = (camera.width, camera.height)
        return np.asarray(cv2.resize(self._lights[what], size, interpolation=cv2.INTER_CUBIC))

    def _shade(self, camera: Camera, what: str) -> NDArray[np.float32]:
        """Share of the light there that product and podium take away, float32 (h, w), 0..1."""
        if what not in self._shades:
            self._shaded(camera, what)
        size = (camera.width, camera.height)
        return np.asarray(cv2.resize(self._shades[what], size, interpolation=cv2.INTER_LINEAR))

    def _light_on(self, what: str) -> NDArray[np.float32]:
        """Light at the small size; what of it is taken away is kept in ``_shades``."""
        scale = min(1.0, _LIGHT_SIDE / max(self.camera.height, self.camera.width))
        size = (
            max(1, round(scale * self.camera.height)),
            max(1, round(scale * self.camera.width)),
        )
        camera, lamp = self.camera.scaled(*size), self.plan.lamp
        alpha = self.plan.subject.alpha
        small = cv2.resize(alpha, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        taken = self.plan.subject.camera().scaled(*size)
        blocker = Blocker(small.astype(np.float32) / np.float32(255), camera, self.depth, taken)
        if what == "wall":
            x, y = camera.wall(self.wall)
            point = x, y, 0 * x + np.float32(self.wall)
            light = lit(point, True, blocker, lamp)
        elif what == "paper":
            point, rise = self.sweep.seen(camera)
            lies, stands = (lit(point, up, blocker, lamp, self.drum) for up in (False, True))
            light = (rise * lies + (1.0 - rise) * stands) * self.drum.contact(point)
        else:
            x, z, _ = camera.floor()
            point = x, 0 * x, z
            light = lit(point, False, blocker, lamp)
        self._shades[what] = np.clip(1.0 - light, 0, 1).astype(np.float32)
        light *= self._falloff(camera)
        if what == "paper":
            light *= _PAPER_WALL + rise * (1 - _PAPER_WALL)
        if what == "wall":
            light *= np.linspace(0.92, 1.02, size[0], dtype=np.float32)[:, None]
        if lamp.panes:
            panes = _panes_on(self.plan, point, self._window)
            light *= panes + clear_around(blocker.alpha) * (_IN_LIGHT - panes)
        return light.astype(np.float32)

    @cached_property
    def _view(self) -> int:
        """Which of the views that chance may draw is calmest behind the product."""
        return self.plan.calmest_view(self.camera.horizon, self.camera.row_of(self.end))

    @cached_property
    def _window(self) -> int:
        """Which of the windows that chance may draw keeps its bars clearest of the product."""
        height, width = self.camera.height, self.camera.width
        scale = min(1.0, _LIGHT_SIDE / max(height, width))
        camera = self.camera.scaled(max(1, round(scale * height)), max(1, round(scale * width)))
        small = cv2.resize(
            self.plan.subject.alpha, (camera.width, camera.height), interpolation=cv2.INTER_AREA
        )
        near = clear_around(small.astype(np.float32) / np.float32(255))
        x, y = camera.wall(self.wall)
        wall = x, y, 0 * x + np.float32(self.wall)
        dark = [
            float((near * (_IN_LIGHT - _panes_on(self.plan, wall, one))).sum())
            for one in range(_WINDOWS)
        ]
        return int(np.argmin(dark))

    def _falloff(self, camera: Camera) -> NDArray[np.float32]:
        """How much brighter the lamp's side is, float32 (1, w)."""
        lamp = self.plan.lamp
        columns = (np.arange(camera.width, dtype=np.float32) - camera.x) / camera.width
        side = float(np.sign(lamp.toward[0]) or -1.0)
        return np.asarray(1.0 + lamp.falloff * side * columns[None], dtype=np.float32)

    def mirrors(self, height: int, width: int) -> NDArray[np.float32]:
        """Where its surface is that could mirror the product, float32 (h, w), 0..1."""
        if self.table == "podium":
            return self.drum.lid(self.camera.scaled(height, width))
        return np.ones((height, width), dtype=np.float32)


def _mirrored_far(view: NDArray[np.float32], horizon: float) -> NDArray[np.float32]:
    """What a table mirrors of a far view in each pixel, blurred as by a rough surface.

    Args:
        view: Linear light, float32 (h, w, 3).
        horizon: Row at which it is mirrored; it may lie above the picture.

    Returns:
        Linear light, float32 (h, w, 3).
    """
    height, width = view.shape[:2]
    scale = min(1.0, _LIGHT_SIDE / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    small = cv2.resize(view, size, interpolation=cv2.INTER_AREA)
    edge = scale * horizon
    # Above the picture a view goes on as at its upper border.
    below = np.abs(np.arange(size[1]) - edge)
    rows = np.clip(np.round(edge - below), 0, size[1] - 1).astype(np.intp)
    upright, across = (max(0.8, share * size[1]) for share in _SPREAD)
    soft = cv2.GaussianBlur(small[rows], (0, 0), across, sigmaY=upright)
    large = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large * np.float32(_BRIGHTER), dtype=np.float32)


def _of_rows(
    step: NDArray[np.float32], seen: NDArray[np.bool_], usual: float
) -> NDArray[np.float32]:
    """Each row's steps are the median of what is seen of it; the usual where nothing is."""
    out = np.full_like(step, usual)
    for row in np.flatnonzero(seen.any(axis=1)):
        out[row] = np.median(step[row, seen[row]], axis=0)
    return out


def _panes_on(plan: Plan, point: Point, window: int = 0) -> NDArray[np.float32]:
    """A window's bright panes at points of any surface, float32 (h, w), 0.76..1.08.

    The window is in the wall to the lamp's side, its bars upright and level. Every point is
    followed along the light back into that wall, so floor, wall and podium show panes of one
    window; the product stands in the light of one.

    Args:
        plan: Says where the light comes from.
        point: Right, up and away of each pixel's point, centimetres.
        window: Which of those that chance may draw.
    """
    draw = np.random.default_rng([*plan.chance(6).integers(2**31, size=2), window])
    right, up, away = plan.lamp.toward
    turn = np.radians(draw.uniform(*_TURNED))
    along, out = (np.sin(turn), np.cos(turn)), (np.cos(turn), -np.sin(turn))  # x and z
    side = np.float32(np.sign(right) or 1.0)  # a lamp to the right has the mirrored window
    x, y, z = side * point[0], point[1], point[2]
    right *= float(side)
    time = (x * out[0] + z * out[1]) / (right * out[0] + away * out[1])
    wide, tall = _PANE[0] * plan.subject.cm, _PANE[1] * plan.subject.cm
    a = ((x - time * right) * along[0] + (z - time * away) * along[1]) / wide
    b = (y - time * up) / tall
    a, b = a + draw.uniform(*_IN_PANE), b + draw.uniform(*_IN_PANE)
    lit_here = (a % 1.0 > _BARS[0]) & (b % 1.0 > _BARS[1])
    soft = cv2.GaussianBlur(lit_here.astype(np.float32), (0, 0), 0.012 * min(x.shape))
    return np.asarray(_IN_BARS + (_IN_LIGHT - _IN_BARS) * soft, dtype=np.float32)


def reflection(
    linear: NDArray[np.float32],
    product: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    camera: Camera,
    plan: Plan,
    within: NDArray[np.float32],
) -> NDArray[np.float32]:
    """A plate with the product mirrored below the line it stands on, faint, blurred and fading.

    Every column is mirrored about its own lowest pixel, for that is where it touches: mirrored
    about one row, what stands further back would begin apart from the product, as a stain. What is
    held above the floor is not mirrored.

    Args:
        linear: Linear light, float32 (H, W, 3), of the canvas's size.
        product: uint8 (H, W, 3), the product's own colours.
        alpha: uint8 (H, W).
        camera: That took the photograph, of the canvas's size.
        plan: Says how glossy the surface is, and how deep the product.
        within: Where the surface is, float32 (H, W), 0..1.
    """
    height = alpha.shape[0]
    lowest, touch = touching(alpha >= 128, camera, plan.subject.depth)
    touched = np.flatnonzero(touch > 0)
    length = (_MIRRORED[0] + _MIRRORED[1] * plan.gloss) * height
    below = min(height - 1 - int(lowest[touched].min()), round(4.0 * length)) if len(touched) else 0
    if below < 3:
        return linear
    soft = max(0.8, 0.004 * height), max(1.6, 0.016 * height)
    margin = round(3 * soft[1])
    columns = np.arange(max(0, touched[0] - margin), min(alpha.shape[1], touched[-1] + margin + 1))
    down = np.arange(below)[:, None]
    rows = lowest[columns][None] - down
    share = alpha[np.maximum(rows, 0), columns].astype(np.float32) / np.float32(255)
    share *= (rows >= 0) * touch[columns]
    colour = to_linear(product[np.maximum(rows, 0), columns].astype(np.float32) / np.float32(255))
    mirrored = np.dstack([colour * share[..., None], share])
    near, far = (cv2.GaussianBlur(mirrored, (0, 0), one, sigmaY=2 * one) for one in soft)
    # What is further from a surface that is not quite flat is mirrored less sharply.
    fade = np.exp(-down / length).astype(np.float32)
    mirrored = far + fade[..., None] * (near - far)
    # Beside what touches, the line of contact goes on: drawn from its own lowest pixel, what is
    # blurred would hang from a handle, and end at the last column.
    ground = np.round(np.interp(columns, touched, lowest[touched])).astype(np.intp)
    rows = ground[None] + 1 + down
    place = np.minimum(rows, height - 1), columns
    strength = np.float32(plan.gloss * 0.55) * fade * (rows < height) * within[place]
    out = linear.copy()
    seen = rows < height
    mixed = linear[place] * (1.0 - strength * mirrored[..., 3])[..., None]
    mixed += strength[..., None] * mirrored[..., :3]
    out[place[0][seen], np.broadcast_to(columns, seen.shape)[seen]] = mixed[seen]
    return out
