"""Light on the surfaces around a standing product: soft shadows, and the dark where it touches.

The product's silhouette stands upright and is taken for the middle of a round body. A point of a
surface is dark as far as the light's disc, or the sky, hides behind it: so a shadow is crisp at the
foot and soft far off, and falls along floor and wall as their perspective asks.

References:
    Cook, Porter, Carpenter 1984, "Distributed Ray Tracing", SIGGRAPH: an area light by samples.
    Zhukov, Iones, Kronin 1998, "An Ambient Light Illumination Model": ambient occlusion.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.scenery.camera import Camera
    from persona_img.scenery.podium import Drum

_SKY_SLICES = (0.15, 0.8)  # of the product's depth, where its silhouette stands
_STEPS = 16  # along a ray to the lamp, between where it enters the body's room and leaves it
_SKY = 40
_SKY_BLUR = 3.0  # pixels: of one sample alone the silhouette would be seen as a ghost on the wall
_SKY_EVERY = 2  # pixels: so blurred, the sky is worked out at every second one
_SUNS = 32  # samples of a light's disc: as many as it needs to be wide
_FEWEST = 8
_FLAT = 1e-4  # of a ray's way: it stays at one depth
_BLUNT = 3  # exponent of a body's outline from above: 2 is an ellipse, whose ends throw no shadow
_AROUND = 0.50  # of the light around what touches that does not arrive, at most
_GAP = 0.05  # of the short side: how softly a light's pattern begins beside the product
_NEAREST, _FURTHEST = 0.04, 0.34  # of the short side: where a pattern begins, and where it is whole
_STANDS, _FREE = 0.25, 1.25  # of its depth as rows: lower than that it touches, higher it does not


@dataclass(frozen=True)
class Lamp:
    """How a standing product and its surroundings are lit.

    Attributes:
        toward: Unit vector to the light: right, up, away.
        spread: Radius of the light's disc, radians.
        ambient: Share of the light on open floor that comes from everywhere.
        falloff: Relative change of brightness from the lit side of the picture to the other.
        rake: How much of a surface's relief it shows, 0..1.
        panes: Whether it falls through a window.
    """

    toward: tuple[float, float, float]
    spread: float
    ambient: float
    falloff: float
    rake: float
    panes: bool = False

    def mirrored(self) -> Lamp:
        """The same from the other side."""
        right, up, away = self.toward
        return replace(self, toward=(-right, up, away))


def _unit(right: float, up: float, away: float) -> tuple[float, float, float]:
    length = float(np.sqrt(right * right + up * up + away * away))
    return right / length, up / length, away / length


LAMPS: dict[str, Lamp] = {
    "soft": Lamp(_unit(-0.55, 1.0, 0.22), 0.18, 0.34, 0.06, 0.20),
    "side": Lamp(_unit(-1.0, 0.75, -0.12), 0.16, 0.34, 0.36, 0.55),
    "sun": Lamp(_unit(-0.90, 1.0, -0.50), 0.034, 0.28, 0.06, 0.45),
    "window": Lamp(_unit(-0.95, 0.80, -0.22), 0.13, 0.42, 0.14, 0.45, panes=True),
}
"""By the attribute ``light``; all come from the left, and from the camera's side as in the
photographs they have to fit, but for a soft box, which hangs above: its short shadow falls where it
is seen, beside the product, and not behind it. See :meth:`Lamp.mirrored`."""


@dataclass(frozen=True, eq=False)
class Blocker:
    """A standing silhouette.

    Attributes:
        alpha: float32 (h, w) in 0..1, on the camera's picture.
        camera: Sees it.
        depth: How deep it is, centimetres.
        taken: The camera that took the photograph, of the same size, where a podium is looked at
            from less high.
    """

    alpha: NDArray[np.float32]
    camera: Camera
    depth: float
    taken: Camera | None = None
    _slices: dict[float, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _begins(self) -> NDArray[np.float32]:
        """How far back each column begins, of the depth, up to its middle, float32 (w,).

        Where its lower edge rises but touches, a body stands further back: before it is light.
        """
        lowest, touch = touching(self.alpha > 0.5, self.taken or self.camera, self.depth)
        back = np.array([self.camera.depth_at(float(row) + 1) for row in lowest])
        return np.where(touch > 0, np.clip(back / self.depth, 0, 0.5), 0).astype(np.float32)

    @cached_property
    def _thickness(self) -> NDArray[np.float32]:
        """How far from its middle plane each pixel's body reaches, of half the depth, 0..1.

        Bodies are round, and blunter than an ellipse: at the ends of its rows a shoe is still wide,
        and the shadow that it throws to its side begins at the shoe.

        References:
            Barr 1981, "Superquadrics and Angle-Preserving Transformations", IEEE CG&A 1(1).
        """
        solid = self.alpha > 0.5
        columns = np.arange(self.alpha.shape[1], dtype=np.float32)
        filled = solid.any(axis=1)
        first = np.where(filled, solid.argmax(axis=1), 0)
        last = np.where(filled, self.alpha.shape[1] - 1 - solid[:, ::-1].argmax(axis=1), 0)
        half = np.maximum((last - first + 1) / 2, 1.0)[:, None]
        out = (columns[None] - (first + last)[:, None] / 2) / half
        return np.asarray(np.clip(1 - out**_BLUNT, 0, 1) ** (1 / _BLUNT), dtype=np.float32)

    def _slice(self, share: float) -> NDArray[np.float32]:
        """The silhouette's part that is solid at a share of the depth, float32 (h, w)."""
        if share not in self._slices:  # light from dozens of directions asks for the same few
            solid = (self._thickness >= abs(2 * share - 1)) & (share >= self._begins)
            self._slices[share] = self.alpha * solid
        return self._slices[share]

    def hides(
        self,
        point: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
        toward: tuple[float, float, float],
        slices: tuple[float, ...],
    ) -> NDArray[np.float32]:
        """How much of what lies in a direction is hidden from points, float32, 0..1."""
        right, up, away = toward
        hidden = np.zeros(point[0].shape, dtype=np.float32)
        for share in slices:
            gap = np.float32(share * self.depth) - point[2]
            time = gap / np.float32(away if abs(away) > _FLAT else _FLAT)
            y = point[1] + time * np.float32(up)
            columns, rows = self.camera.pixel(point[0] + time * np.float32(right), y)
            seen = cv2.remap(
                self._slice(share), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
            )
            hidden = np.maximum(hidden, np.where(time > 0, seen, 0))
        return hidden

    def stops(
        self,
        point: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
        toward: tuple[float, float, float],
        phase: float,
    ) -> NDArray[np.float32]:
        """As :meth:`hides`, for a ray to the lamp: it is followed through the body.

        Light from the side passes between upright slices; steps along its ray do not miss what
        is low, and begin where the ray does, so that a shadow is whole where it meets the product.

        Args:
            point: Right, up and away of each pixel's point, centimetres.
            toward: Unit vector to the light.
            phase: Where in its part of the ray each step looks, 0..1.
        """
        hidden = np.zeros(point[0].shape, dtype=np.float32)
        right, up, away = (np.float32(v) for v in toward)
        if abs(away) < _FLAT:
            away = np.float32(_FLAT)
        left, top, most = self._room
        front, back = -point[2] / away, (np.float32(self.depth) - point[2]) / away
        begin = np.maximum(np.minimum(front, back), 0)
        end = np.minimum(np.maximum(front, back), (top - point[1]) / up)
        first, last = point[0] + begin * right, point[0] + end * right
        passes = (end > begin) & (np.maximum(first, last) > left) & (np.minimum(first, last) < most)
        if not passes.any():
            return hidden
        rows, columns = (np.flatnonzero(passes.any(axis=axis)) for axis in (1, 0))
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        x, y, z = (one[part] for one in point)
        begin, length = begin[part], np.maximum(end[part] - begin[part], 0)
        found = hidden[part]
        for step in range(_STEPS):
            time = begin + length * np.float32((step + phase) / _STEPS)
            at = self.camera.pixel(x + time * right, y + time * up)
            body = cv2.remap(self._solid, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            share = (z + time * away) / np.float32(self.depth)
            inside = (body[..., 1] >= np.abs(2 * share - 1)) & (share >= body[..., 2])
            np.maximum(found, body[..., 0] * inside, out=found)
        found *= passes[part]
        return hidden

    @cached_property
    def _solid(self) -> NDArray[np.float32]:
        """Body, thickness and where it begins, float32 (h, w, 3)."""
        begins = np.broadcast_to(self._begins, self.alpha.shape)
        return np.ascontiguousarray(np.dstack([self.alpha, self._thickness, begins]))

    @cached_property
    def _room(self) -> tuple[float, float, float]:
        """The least x, the most y and the most x of any of it, centimetres."""
        rows, columns = (np.flatnonzero((self.alpha > 0).any(axis=axis)) for axis in (1, 0))
        if len(rows) == 0:
            return 0.0, 0.0, 0.0
        x, y = self.camera.wall(0.0)
        up = float(y[rows[0]].max())
        across = x[np.ix_(rows, columns)]
        edge = 1.0 / self.camera.per_cm
        return float(across.min()) - edge, up + edge, float(across.max()) + edge


def lit(
    point: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    upright: bool,
    blocker: Blocker,
    lamp: Lamp,
    drum: Drum | None = None,
) -> NDArray[np.float32]:
    """Factor on a surface's linear light, float32 (h, w); 1 is open floor.

    Args:
        point: Right, up and away of each pixel's point, centimetres.
        upright: A wall; else it lies.
        blocker: What stands before the light.
        lamp: The light.
        drum: What it stands on, where that stands before the light too.
    """
    direct = np.zeros(point[0].shape, dtype=np.float32)
    suns = int(np.clip(_SUNS * lamp.spread / 0.5, _FEWEST, _SUNS))
    for index, toward in enumerate(_directions(lamp.toward, lamp.spread, suns)):
        hidden = blocker.stops(point, toward, (index + 0.5) / suns)
        direct += 1.0 - (hidden if drum is None else np.maximum(hidden, drum.hides(point, toward)))
    direct = cv2.GaussianBlur(direct, (0, 0), 0.8 + 18.0 * lamp.spread)  # what is between samples
    right, up, away = (np.ascontiguousarray(one[::_SKY_EVERY, ::_SKY_EVERY]) for one in point)
    coarse = right, up, away
    sky = np.zeros(coarse[0].shape, dtype=np.float32)
    total = 0.0
    for toward in _hemisphere(_SKY, upright):
        weight = -toward[2] if upright else toward[1]
        sky += np.float32(weight) * (1.0 - blocker.hides(coarse, toward, _SKY_SLICES))
        total += weight
    sky = cv2.GaussianBlur(sky, (0, 0), _SKY_BLUR / _SKY_EVERY)
    sky = cv2.resize(sky, direct.shape[::-1], interpolation=cv2.INTER_LINEAR)
    if drum is not None:
        sky *= drum.open_sky(point)
    return np.asarray(
        (1.0 - lamp.ambient) * direct / suns + lamp.ambient * sky / np.float32(total),
        dtype=np.float32,
    )


def touching(
    solid: NDArray[np.bool_], camera: Camera, depth: float
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The line on which a product stands: what is lowest, and how surely it touches the floor.

    A column's lowest pixel touches the floor where it is not further up than the product's depth
    looks from where it was photographed; a handle or a brim that is held higher does not.

    Args:
        solid: Where the product is, bool (h, w).
        camera: That took the photograph, of the same size.
        depth: How deep the product is, centimetres.

    Returns:
        Each column's lowest row, and its share from 0 (in the air, or nothing there) to 1, (w,).
    """
    lowest = solid.shape[0] - 1 - np.argmax(solid[::-1], axis=0)
    rises = np.where(solid.any(axis=0), camera.y - lowest, np.inf)
    reach = max(2.0, camera.y - camera.row_of(depth))
    touch = np.clip((_FREE - rises / reach) / (_FREE - _STANDS), 0, 1)
    return lowest, touch.astype(np.float32)


def contact(alpha: NDArray[np.float32], camera: Camera, depth: float) -> NDArray[np.float32]:
    """The dark line under a product that stands: factor on linear light, float32 (h, w), 0..1.

    Args:
        alpha: float32 (h, w) in 0..1.
        camera: That took the photograph, of the same size.
        depth: How deep the product is, centimetres.
    """
    height = alpha.shape[0]
    lowest, touch = touching(alpha > 0.5, camera, depth)
    if not touch.any():
        return np.ones_like(alpha)
    line = np.zeros_like(alpha)
    thick = max(1, round(0.006 * height))
    columns = np.flatnonzero(touch > 0)
    for column in columns:
        at = int(lowest[column])
        line[max(0, at - thick) : at + thick, column] = touch[column]
    tight = cv2.GaussianBlur(line, (0, 0), max(0.8, 0.0045 * height))
    wide = cv2.GaussianBlur(line, (0, 0), max(2.0, 0.016 * height), sigmaY=max(1.2, 0.008 * height))
    dark = np.clip(0.55 * np.minimum(1.4 * tight, 1) + 0.55 * np.minimum(1.6 * wide, 1), 0, 0.85)
    # Around it less of the room's light arrives: seen on a photograph further than on one line.
    broad = cv2.GaussianBlur(line, (0, 0), 0.045 * height, sigmaY=max(1.6, 0.020 * height))
    dark = 1.0 - (1.0 - dark) * (1.0 - _AROUND * np.minimum(2.5 * broad, 1))
    return np.asarray(1.0 - dark, dtype=np.float32)


def clear_around(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """How clear of a light's pattern a product's surroundings are kept, float32 (h, w), 0..1.

    No leaf's shadow falls on a photograph, and no window's bar: what stops at the product's outline
    would look as if it lay behind, so the product is in a gap between them.

    Args:
        mask: The product, float32 (h, w) in 0..1.
    """
    soft = _GAP * min(mask.shape)
    reach = np.ones((2 * round(soft) + 1, 2 * round(soft) + 1), np.uint8)
    near = cv2.GaussianBlur(cv2.dilate(mask, reach), (0, 0), soft)
    return np.asarray(np.clip(2.5 * near, 0, 1), dtype=np.float32)


def far_from(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """As :func:`clear_around`, for leaves: they fade over so long a way that no edge is seen.

    What ended close to the product would draw its outline once more, as a pale arch around it.
    """
    free = (mask < 0.5).astype(np.uint8)
    if free.all():
        return np.zeros_like(mask)
    away = cv2.distanceTransform(free, cv2.DIST_L2, 5) / np.float32(min(mask.shape))
    share = np.clip((away - _NEAREST) / (_FURTHEST - _NEAREST), 0, 1)
    fade = share * share * (3 - 2 * share)  # smoothstep
    return np.asarray(1.0 - cv2.GaussianBlur(fade, (0, 0), _GAP * min(mask.shape)), np.float32)


def _directions(
    toward: tuple[float, float, float], spread: float, count: int
) -> list[tuple[float, float, float]]:
    """Directions over a disc of light, evenly (Vogel's spiral)."""
    axis = np.array(toward)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    found = []
    for index in range(count):
        radius = np.tan(spread) * np.sqrt((index + 0.5) / count)
        angle = index * np.pi * (3 - np.sqrt(5))
        one = axis + radius * (np.cos(angle) * side + np.sin(angle) * other)
        one /= np.linalg.norm(one)
        found.append((float(one[0]), float(max(one[1], 0.02)), float(one[2])))
    return found


def _hemisphere(count: int, upright: bool) -> list[tuple[float, float, float]]:
    """Directions over the half of the world that a floor, or a wall, sees."""
    found = []
    for index in range(count):
        out = (index + 0.5) / count
        angle = index * np.pi * (3 - np.sqrt(5))
        around = np.sqrt(1 - out * out)
        a, b = float(around * np.cos(angle)), float(around * np.sin(angle))
        found.append((a, b, -float(out)) if upright else (a, float(out), b))
    return found
