"""Light on the surfaces around a standing product: soft shadows, and the dark where it touches.

The product's silhouette stands upright, some thickness deep. A point of a surface is dark as far
as the light's disc, or the sky, hides behind it: so a shadow is crisp at the foot and soft far off,
and falls along floor and wall as their perspective asks.

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
_SUN_SLICES = (0.04, 0.18, 0.32, 0.46, 0.60, 0.74, 0.88, 0.98)
_SKY = 40
_SKY_BLUR = 3.0  # pixels: of one sample alone the silhouette would be seen as a ghost on the wall
_SUNS = 32  # samples of a light's disc: as many as it needs to be wide
_FEWEST = 8


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
    "soft": Lamp(_unit(-0.35, 1.0, -0.15), 0.50, 0.58, 0.06, 0.20),
    "side": Lamp(_unit(-1.0, 0.62, -0.10), 0.13, 0.40, 0.46, 0.55),
    "sun": Lamp(_unit(-0.80, 0.95, -0.42), 0.022, 0.36, 0.06, 0.45),
    "window": Lamp(_unit(-0.95, 0.80, -0.22), 0.07, 0.42, 0.14, 0.45, panes=True),
}
"""By the attribute ``light``; all come from the left and the camera's side, as in the photographs
they have to fit. See :meth:`Lamp.mirrored`."""


@dataclass(frozen=True, eq=False)
class Blocker:
    """A standing silhouette.

    Attributes:
        alpha: float32 (h, w) in 0..1, on the camera's picture.
        camera: Sees it.
        depth: How deep it is, centimetres.
    """

    alpha: NDArray[np.float32]
    camera: Camera
    depth: float
    _slices: dict[float, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _thickness(self) -> NDArray[np.float32]:
        """How far from its middle plane each pixel's body reaches, of half the depth, 0..1.

        Bodies are round: a row of the silhouette is the middle of an ellipse.
        """
        solid = self.alpha > 0.5
        columns = np.arange(self.alpha.shape[1], dtype=np.float32)
        filled = solid.any(axis=1)
        first = np.where(filled, solid.argmax(axis=1), 0)
        last = np.where(filled, self.alpha.shape[1] - 1 - solid[:, ::-1].argmax(axis=1), 0)
        half = np.maximum((last - first + 1) / 2, 1.0)[:, None]
        out = (columns[None] - (first + last)[:, None] / 2) / half
        return np.sqrt(np.clip(1 - out**2, 0, 1)).astype(np.float32)

    def _slice(self, share: float) -> NDArray[np.float32]:
        """The silhouette's part that is solid at a share of the depth, float32 (h, w)."""
        if share not in self._slices:  # light from dozens of directions asks for the same few
            self._slices[share] = self.alpha * (self._thickness >= abs(2 * share - 1))
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
            time = gap / np.float32(away if abs(away) > 1e-4 else 1e-4)
            y = point[1] + time * np.float32(up)
            columns, rows = self.camera.pixel(point[0] + time * np.float32(right), y)
            seen = cv2.remap(
                self._slice(share), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
            )
            hidden = np.maximum(hidden, np.where(time > 0, seen, 0))
        return hidden


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
    # A wide light blurs the slices of a silhouette into one another, a small one does not.
    slices = _SUN_SLICES if lamp.spread < 0.3 else _SUN_SLICES[::2]
    for toward in _directions(lamp.toward, lamp.spread, suns):
        hidden = blocker.hides(point, toward, slices)
        direct += 1.0 - (hidden if drum is None else np.maximum(hidden, drum.hides(point, toward)))
    # What lies between two samples; a wide light has more of them.
    between = 0.8 + 18.0 * lamp.spread if lamp.spread < 0.3 else _SKY_BLUR
    direct = cv2.GaussianBlur(direct, (0, 0), between)
    sky = np.zeros(point[0].shape, dtype=np.float32)
    total = 0.0
    for toward in _hemisphere(_SKY, upright):
        weight = -toward[2] if upright else toward[1]
        sky += np.float32(weight) * (1.0 - blocker.hides(point, toward, _SKY_SLICES))
        total += weight
    sky = cv2.GaussianBlur(sky, (0, 0), _SKY_BLUR)
    if drum is not None:
        sky *= drum.open_sky(point)
    return np.asarray(
        (1.0 - lamp.ambient) * direct / suns + lamp.ambient * sky / np.float32(total),
        dtype=np.float32,
    )


def contact(alpha: NDArray[np.float32], camera: Camera, depth: float) -> NDArray[np.float32]:
    """The dark line under a product that stands: factor on linear light, float32 (h, w), 0..1.

    A column's lowest pixel touches the floor where it is not further up than the product's depth
    looks from the camera's height.

    Args:
        alpha: float32 (h, w) in 0..1.
        camera: Of the same size.
        depth: How deep the product is, centimetres.
    """
    height = alpha.shape[0]
    solid = alpha > 0.5
    filled = solid.any(axis=0)
    if not filled.any():
        return np.ones_like(alpha)
    lowest = height - 1 - np.argmax(solid[::-1], axis=0)
    rises = np.where(filled, camera.y - lowest, np.inf)
    reach = max(2.0, camera.y - camera.row_of(depth))
    touch = np.clip(1.25 - rises / reach, 0, 1).astype(np.float32)
    line = np.zeros_like(alpha)
    thick = max(1, round(0.006 * height))
    columns = np.flatnonzero(touch > 0)
    for column in columns:
        at = int(lowest[column])
        line[max(0, at - thick) : at + thick, column] = touch[column]
    tight = cv2.GaussianBlur(line, (0, 0), max(0.8, 0.0045 * height))
    wide = cv2.GaussianBlur(line, (0, 0), max(2.0, 0.016 * height), sigmaY=max(1.2, 0.008 * height))
    dark = np.clip(0.55 * np.minimum(1.4 * tight, 1) + 0.55 * np.minimum(1.6 * wide, 1), 0, 0.85)
    return np.asarray(1.0 - dark, dtype=np.float32)


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
