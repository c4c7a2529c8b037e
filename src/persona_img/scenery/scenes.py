"""The scenes a style may ask for, and which products they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from persona_img.errors import UnknownStyle

if TYPE_CHECKING:
    from collections.abc import Mapping

_FURTHER = 1.5  # times a table's end: what can be made out of a view competes with the product


@dataclass(frozen=True)
class Scene:
    """One scene.

    Attributes:
        name: Value of the attribute ``scene``.
        poses: Which products it fits: what lies would slide down a wall.
        far: What is behind: a ``wall``, a kind of :mod:`.views`, or nothing.
        table: How the product's plane is built.
        blur: Radius of what is far behind, share of the canvas's short side.
    """

    name: str
    poses: tuple[str, ...]
    far: str | None
    table: Literal["flat", "table", "podium", "shelf", "floor"]
    blur: float = 0.0

    @property
    def view_blur(self) -> float:
        """Radius of a view, share of the short side: it is further than the table's end."""
        return _FURTHER * self.blur


# The plainest first: what a style means that names none.
_ALL = (
    Scene("flat-lay", ("lying", "hanging", "worn"), None, "flat"),
    Scene("tabletop", ("standing",), "wall", "table", 0.010),
    Scene("podium", ("standing",), "wall", "podium", 0.004),
    Scene("shelf", ("standing",), "wall", "shelf", 0.0025),
    Scene("wall-floor", ("standing", "hanging"), "wall", "floor", 0.004),
    Scene("room", ("standing", "worn"), "room", "table", 0.016),
    Scene("outdoor", ("standing", "worn"), "outdoor", "table", 0.018),
)
PLAINEST = _ALL[0].name
"""What a generator is told of a style that names none."""
SCENES = {scene.name: scene for scene in _ALL}
"""By name."""
LIES, STANDS, APART = "lies", "stands", "apart"
"""How a product rests: on a plane seen from above or a wall, on a floor, or before what is far."""


def scene_of(name: str) -> Scene:
    """The scene of that name.

    Raises:
        UnknownStyle: there is none.
    """
    if name not in SCENES:
        raise UnknownStyle(f"scene={name}: choose from {', '.join(SCENES)}")
    return SCENES[name]


def scene_for(style: Mapping[str, str], pose: str) -> str:
    """The scene a style names; where it names none, the first that fits the pose."""
    if "scene" in style:
        return scene_of(style["scene"]).name
    return next(scene.name for scene in _ALL if pose in scene.poses)


def fits(scene: str, pose: str) -> bool:
    """Whether a product in a pose can be in a scene."""
    return pose in scene_of(scene).poses


def tells(scene: str, rests: str) -> tuple[str, ...]:
    """Attributes of a style that can be seen in a scene, by how the product rests in it.

    Before a far view there is no surface, of a shelf's there is a strip; what hangs on a wall could
    as well lie.
    """
    if rests == APART:
        return ("scene",)
    if rests == STANDS and scene_of(scene).table == "shelf":
        return ("light", "scene")
    seen = ("surface", "palette", "light")
    return seen if rests == LIES and scene_of(scene).table != "flat" else (*seen, "scene")
