"""What a podium is made of: a drum that the product stands on, before paper that bends up.

Centimetres as in :mod:`.camera`: x to the right, y up from the lid, z away from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.scenery.camera import Camera

Points = tuple["NDArray[np.float32]", "NDArray[np.float32]", "NDArray[np.float32]"]
_BEVEL = 0.012, 0.16  # of the radius, and centimetres at most: how round the lid's edge is
_CONTACT, _CONTACT_REACH = 0.55, 0.045  # how dark the line at its foot is; of the radius
_OUTSIDE = 1.002  # of the radius: points under a drum are lit as those at its foot


@dataclass(frozen=True)
class Drum:
    """A cylinder that stands; its lid is at y = 0.

    Attributes:
        radius: Centimetres.
        tall: Centimetres from the floor to the lid.
        z: Of its axis; x is 0.
    """

    radius: float
    tall: float
    z: float

    def lid(self, camera: Camera) -> NDArray[np.float32]:
        """Where its lid is seen, float32 (h, w), 0..1."""
        x, z, seen = camera.floor()
        away = np.hypot(x, z - self.z)
        return np.where(seen, _covered(self.radius - away), 0).astype(np.float32)

    def side(
        self, camera: Camera
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Where its side is seen, and what of it.

        Returns:
            float32 (h, w) each: the share of each pixel that it covers, 0..1; the angle around the
            axis, radians, 0 toward the camera and positive to the right; the height y. Where a ray
            passes the drum by, angle and height are those of the point next to it.
        """
        right, up, on = camera.rays
        high, back = camera.place
        square = right * right + on * on
        half = (back - self.z) * on
        root = half * half - square * ((back - self.z) ** 2 - self.radius**2)
        time = (-half - np.sqrt(np.maximum(root, 0))) / square
        x, z = time * right, back + time * on - self.z
        y = (high + time * up).astype(np.float32)
        passes = np.abs(right * (self.z - back)) / np.sqrt(square)
        share = _covered(self.radius - passes) * _covered(y + self.tall) * _covered(-y)
        return share.astype(np.float32), np.arctan2(x, -z).astype(np.float32), y

    def normal(self, angle: NDArray[np.float32], y: NDArray[np.float32]) -> Points:
        """Unit normals of its side, whose upper edge is round, float32 (h, w) each."""
        # The edge turns from the side into the lid over the bevel.
        lean = self.edge(y) * np.float32(np.pi / 2.2)
        out = np.cos(lean)
        x, z = out * np.sin(angle), -out * np.cos(angle)
        return x.astype(np.float32), np.sin(lean).astype(np.float32), z.astype(np.float32)

    def edge(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        """How near to the lid's round edge a height of the side is, float32, 0..1."""
        bevel = min(_BEVEL[0] * self.radius, _BEVEL[1])
        return np.exp(np.minimum(y, 0) / np.float32(bevel)).astype(np.float32)

    def hides(self, point: Points, toward: tuple[float, float, float]) -> NDArray[np.float32]:
        """Whether it hides from points what lies in a direction, float32, 0 or 1.

        Points beside it count; those under it are seen as if they were at its foot.
        """
        x, y, z = self._beside(point)
        right, up, away = (np.float32(v) for v in toward)
        square = max(float(right * right + away * away), 1e-9)
        half = x * right + (z - self.z) * away
        root = half * half - square * (x * x + (z - self.z) ** 2 - self.radius**2)
        reach = np.sqrt(np.maximum(root, 0))
        enter, leave = (-half - reach) / square, (-half + reach) / square
        ahead = (root > 0) & (leave > 0)
        lowest = y + np.maximum(enter, 0) * up
        return (ahead & (lowest < 0)).astype(np.float32)

    def open_sky(self, point: Points) -> NDArray[np.float32]:
        """How much of the sky points of the floor see beside it, float32, 0.5..1.

        As before a wall of its height, as wide as it looks from there.
        """
        x, _, z = self._beside(point)
        gap = np.maximum(np.hypot(x, z - self.z) - self.radius, 0)
        steep = 1.0 - gap / np.hypot(gap, self.tall)
        wide = 2 / np.pi * np.arcsin(self.radius / (self.radius + gap))
        return np.asarray(1.0 - 0.5 * steep * wide, dtype=np.float32)

    def contact(self, point: Points) -> NDArray[np.float32]:
        """The dark line at its foot: factor on the light of points of the floor, float32, 0..1."""
        x, _, z = self._beside(point)
        gap = np.maximum(np.hypot(x, z - self.z) - self.radius, 0)
        dark = _CONTACT * np.exp(-gap / (_CONTACT_REACH * self.radius))
        return np.asarray(1.0 - dark, dtype=np.float32)

    def _beside(self, point: Points) -> Points:
        x, y, z = point
        away = np.maximum(np.hypot(x, z - self.z), 1e-6)
        push = np.maximum(1.0, _OUTSIDE * self.radius / away)
        out = x * push, y, self.z + (z - self.z) * push
        return out[0].astype(np.float32), out[1], out[2].astype(np.float32)


@dataclass(frozen=True)
class Sweep:
    """Studio paper: a floor that bends up into a wall without an edge.

    Attributes:
        level: Height y of the floor.
        begins: z at which it begins to bend.
        bend: Radius of the bend.
    """

    level: float
    begins: float
    bend: float

    def seen(self, camera: Camera) -> tuple[Points, NDArray[np.float32]]:
        """Which of its points the camera sees, and how far up their normals look.

        Returns:
            The points, float32 (h, w) each, and 1 (floor) to 0 (wall), float32 (h, w).
        """
        right, up, on = camera.rays
        high, back = camera.place
        _, flat, meets = camera.floor(self.level)
        x, y = camera.wall(self.begins + self.bend)
        z = np.full_like(x, self.begins + self.bend)
        rise = np.zeros_like(x)
        # The far side of a tube that lies across: centre (begins, level + bend).
        above, behind = high - self.level - self.bend, back - self.begins
        square = up * up + on * on
        half = above * up + behind * on
        root = half * half - square * (above * above + behind * behind - self.bend**2)
        time = (-half + np.sqrt(np.maximum(root, 0))) / square
        bent_y, bent_z = high + time * up, back + time * on
        bends = (root > 0) & (bent_y <= self.level + self.bend) & (bent_z >= self.begins)
        x = np.where(bends, time * right, x)
        y, z = np.where(bends, bent_y, y), np.where(bends, bent_z, z)
        rise = np.where(bends, (self.level + self.bend - bent_y) / self.bend, rise)
        lies = meets & (flat <= self.begins)
        across, _, _ = camera.floor(self.level)
        x, z = np.where(lies, across, x), np.where(lies, flat, z)
        y, rise = np.where(lies, self.level, y), np.where(lies, 1.0, rise)
        point = x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)
        return point, rise.astype(np.float32)


def _covered(inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of each pixel where a smooth quantity is above 0: it crosses a pixel as it slopes."""
    slope = np.hypot(np.gradient(inside, axis=0), np.gradient(inside, axis=1))
    return np.asarray(np.clip(inside / np.maximum(slope, 1e-9) + 0.5, 0, 1), dtype=np.float32)
