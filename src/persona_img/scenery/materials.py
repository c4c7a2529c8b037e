"""Real materials: which surfaces there are, how large a tile is, and how it takes colour and light.

A folder of materials is JPEG tiles and one ``materials.toml``. There is always the shipped one; a
folder of ``persona-img materials add`` adds to it, and wins where a name is in both.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.imaging.colour import lab_of, to_lab
from persona_img.scenery.scenes import SCENES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Colour = tuple[float, float, float]
"""CIE Lab."""
TABLE = "materials.toml"
REPEATS = ("quilt", "scattered", "tile", "woven")
"""``quilt``: pieces of it are sewn together where more is seen than one tile; ``scattered``: they
may lie any way round, for stones and crumbs, of which each would be known again; ``tile``: it is
laid edge to edge, for boards and tiles, whose lines must go on; ``woven``: so is cloth, and threads
that are finer than a pixel are not shown at all, for they would make bands (moiré)."""
_LEAST_SIDE = 256
_MOST_CM = 1000.0
_DYED = 3.5  # in a*, b*: less is a white stone in another light


@dataclass(frozen=True)
class Tile:
    """One photographed piece of a material.

    Attributes:
        file: Its colours, a JPEG beside the table; seamless.
        cm: How wide the piece is, centimetres.
        normal: Its normals (OpenGL: green is up), a JPEG; None where there are none.
        turn: Whether it may be laid turned by a quarter.
        close: It is only for products so near that every other piece would have to be shown this
            many times smaller than it is, to be sharp; None is for all.
        dyed: It is only for what is dyed: stone of a colour has other veins than white stone.
        joints: It shows tiles with joints, which no solid piece has.
        source: Where it comes from.
        licence: Under which it may be shown.
    """

    file: str
    cm: float
    normal: str | None = None
    turn: bool = True
    close: float | None = None
    dyed: bool = False
    joints: bool = False
    source: str = ""
    licence: str = "CC0-1.0"


@dataclass(frozen=True)
class Surface:
    """A material as a style names it.

    Attributes:
        name: Value of the attribute ``surface``.
        lab: Mean CIE Lab undyed.
        dye: How far it takes a palette's colour, 0..1.
        gloss: Share of light it mirrors when looked at from above, 0..1.
        repeat: One of ``REPEATS``.
        tiles: Its pieces; at least one.
        pale: L* it has when it is dyed; None where that stays.
        scenes: Where it is laid when nobody asks for it: sand is no table; none given is anywhere.
        folder: Where they lie.
    """

    name: str
    lab: tuple[float, float, float]
    dye: float
    gloss: float
    repeat: str
    tiles: tuple[Tile, ...]
    folder: Path
    pale: float | None = None
    scenes: tuple[str, ...] = ()

    def colour(self, chroma: tuple[float, float]) -> tuple[float, float, float]:
        """Mean Lab under a palette of (a*, b*) offset ``chroma``."""
        lightness, a, b = self.lab
        if self.pale is not None and any(chroma):
            lightness = self.pale
        return lightness, a + self.dye * chroma[0], b + self.dye * chroma[1]

    def is_dyed(self, colour: Colour) -> bool:
        """Whether a colour is so far from its own that other stone has it."""
        away = np.hypot(colour[1] - self.lab[1], colour[2] - self.lab[2])
        return self.pale is not None and bool(away > _DYED)

    def tiles_for(self, colour: Colour, *, solid: bool = False) -> tuple[Tile, ...]:
        """Pieces that it may be laid from in a colour: where it is dyed, the one of nearest hue.

        Args:
            colour: Mean Lab asked for.
            solid: Whether it is one block: without joints then, where there is such a piece, be
                it for what is near.
        """
        if solid:
            whole = tuple(replace(tile, close=None) for tile in self.tiles if not tile.joints)
            if any(not tile.dyed for tile in whole) and len(whole) < len(self.tiles):
                return replace(self, tiles=whole).tiles_for(colour)
        if not any(tile.dyed for tile in self.tiles) or not self.is_dyed(colour):
            return tuple(tile for tile in self.tiles if not tile.dyed)

        def away(tile: Tile) -> float:
            _, a, b = mean_of(pixels_of(self.folder / tile.file))
            return float(np.hypot(a - colour[1], b - colour[2]))

        return (min(self.tiles, key=away),)


class Materials:
    """The shipped materials, and those of a folder.

    Args:
        folder: Holds a ``materials.toml``; None for none.

    Attributes:
        surfaces: Surface by name.

    Raises:
        InvalidInput: no such table, or it breaks a rule; the message names it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.surfaces = read_table(shipped()) | ({} if folder is None else read_table(folder))
        self._digest: str | None = None

    def surface(self, name: str) -> Surface:
        """The surface of that name.

        Raises:
            UnknownStyle: there is none.
        """
        if name not in self.surfaces:
            raise UnknownStyle(
                f"surface={name}: there are {', '.join(sorted(self.surfaces))}; choose one"
            )
        return self.surfaces[name]

    def fingerprint(self) -> str:
        """Hex digest of table and tiles."""
        if self._digest is None:
            seen = {"folder": "", "scenes": ""}  # neither changes a pixel
            table = {n: asdict(s) | seen for n, s in sorted(self.surfaces.items())}
            parts = {
                f"{surface.name}/{name}": _digest_of(surface.folder / name)
                for surface in self.surfaces.values()
                for tile in surface.tiles
                for name in (tile.file, tile.normal)
                if name is not None
            }
            self._digest = digest_of([table, parts])
        return self._digest


@lru_cache(maxsize=4)
def materials_of(folder: Path | None) -> Materials:
    """:class:`Materials`, read once."""
    return Materials(folder)


def shipped() -> Path:
    """Folder of the materials that come with the package."""
    return Path(str(files("persona_img"))) / "assets" / "materials"


@lru_cache(maxsize=1)
def palettes() -> Mapping[str, tuple[float, float]]:
    """What each palette adds to (a*, b*) of a fully dyed surface."""
    text = (files("persona_img") / "assets" / "palettes.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)["palette"]
    return {name: (float(a), float(b)) for name, (a, b) in table.items()}


def colour_asked(style: Mapping[str, str], materials: Materials) -> Colour:
    """Mean Lab that a style asks of its surface: its own colour, or the surface's in its palette.

    Raises:
        UnknownStyle: no such surface or palette.
        InvalidInput: the style names no surface.
    """
    if "surface" not in style:
        raise InvalidInput(f"style {dict(style)}: it names no surface; add surface=…")
    known = materials.surface(style["surface"])
    if "colour" in style:
        return lab_of(style["colour"])
    palette = style.get("palette", "neutral")
    if palette not in palettes():
        raise UnknownStyle(f"palette={palette}: choose from {', '.join(palettes())}")
    return known.colour(palettes()[palette])


@lru_cache(maxsize=8)
def pixels_of(path: Path) -> NDArray[np.uint8]:
    """A tile's pixels, uint8 sRGB (t, t, 3), read-only; squared by what is in its middle.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InvalidInput(f"{path}: no material's tile ({error}); correct {TABLE}") from error
    side = min(pixels.shape[:2])
    top, left = ((n - side) // 2 for n in pixels.shape[:2])
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    square.setflags(write=False)
    return square


@lru_cache(maxsize=1024)
def side_of(path: Path) -> int:
    """Pixels that a tile is wide, see :func:`pixels_of`; only its header is read.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return min(image.size)
    except OSError as error:
        raise InvalidInput(f"{path}: no material's tile ({error}); correct {TABLE}") from error


def mean_of(pixels: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Mean CIE Lab of a tile."""
    small = cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_AREA)
    lightness, a, b = to_lab(small.astype(np.uint8)).reshape(-1, 3).mean(axis=0)
    return float(lightness), float(a), float(b)


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_table(folder: Path) -> dict[str, Surface]:
    """Surfaces of one folder's table, by name.

    Raises:
        InvalidInput: no such table, or it breaks a rule.
    """
    path = folder / TABLE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("surface", {})
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{path}: no such file; make one with `persona-img materials add`"
        ) from error
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}); give a TOML file") from error
    if not table:
        raise InvalidInput(f"{path}: no [surface.NAME] table; name at least one surface")
    return {name: _surface(path, name, values) for name, values in table.items()}


def _surface(path: Path, name: str, values: Mapping[str, Any]) -> Surface:
    where = f"{path}: surface {name}"
    try:
        tiles = tuple(Tile(**one) for one in values["tile"])
        lightness, a, b = (float(v) for v in values["lab"])
        made = Surface(
            name,
            (lightness, a, b),
            float(values.get("dye", 1.0)),
            float(values.get("gloss", 0.0)),
            str(values.get("repeat", "quilt")),
            tiles,
            path.parent,
            None if values.get("pale") is None else float(values["pale"]),
            tuple(str(scene) for scene in values.get("scenes", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{where}: {error!r}; see docs/materials") from error
    if made.repeat not in REPEATS:
        raise InvalidInput(f"{where}: repeat={made.repeat!r}; choose from {', '.join(REPEATS)}")
    for label, value in (("dye", made.dye), ("gloss", made.gloss)):
        if not 0.0 <= value <= 1.0:
            raise InvalidInput(f"{where}: {label}={value}; give a share from 0 to 1")
    for scene in made.scenes:
        if scene not in SCENES:
            raise InvalidInput(f"{where}: scenes={scene!r}; choose from {', '.join(SCENES)}")
    if not tiles:
        raise InvalidInput(f"{where}: no tile; give at least one [[surface.{name}.tile]]")
    for tile in tiles:
        if not 0.0 < tile.cm <= _MOST_CM:
            raise InvalidInput(f"{where}: {tile.file}: cm={tile.cm}; give its width, up to 1000")
        if tile.close is not None and tile.close < 1.0:
            raise InvalidInput(f"{where}: {tile.file}: close={tile.close}; give at least 1")
        for file in (tile.file, tile.normal):
            if file is not None and not (path.parent / file).is_file():
                raise InvalidInput(f"{where}: no file {path.parent / file}; correct the table")
    if all(tile.close is not None or tile.dyed for tile in tiles):
        raise InvalidInput(
            f"{where}: no tile for every distance and colour; give a [[surface.{name}.tile]] "
            "without close and dyed"
        )
    return made
