"""Backdrops of real material without a network: the tile itself, or noise that has its spectrum.

Both are instant and need no weights. ``library`` shows the photographed tile: planks, veins, weave.
``gaussian`` shows a texture that never was: right for plaster, linen and concrete, which are all
grain; wood and marble, whose planks and veins are in the phases, turn into clouds of their colours.
``Over`` lets the diffusion model go on from either.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.imaging.colour import lab_of
from persona_img.imaging.light import LIGHTS
from persona_img.rendering.sources.material import sheet_of, spot_noise
from persona_img.rendering.tone import Lighting, light_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.imaging.copies import CopyIndex
    from persona_img.rendering.base import BackdropSource
    from persona_img.rendering.sources.material import Sheet

_SIDE = 320  # its tiles are of 128 px: a larger plate holds no more of them


@dataclass(frozen=True)
class Material:
    """A surface without a palette.

    Attributes:
        lab: Mean CIE Lab.
        dye: How far it takes a palette's colour, 0..1.
    """

    lab: tuple[float, float, float]
    dye: float


@lru_cache(maxsize=1)
def materials() -> dict[str, Material]:
    """The shipped materials by the name of their surface."""
    table = tomllib.loads(_asset("materials.toml"))["material"]
    return {
        n: Material((v["lab"][0], v["lab"][1], v["lab"][2]), v["dye"]) for n, v in table.items()
    }


@lru_cache(maxsize=1)
def palettes() -> dict[str, tuple[float, float]]:
    """What each palette adds to (a*, b*) of a fully dyed surface."""
    table = tomllib.loads(_asset("palettes.toml"))["palette"]
    return {name: (float(a), float(b)) for name, (a, b) in table.items()}


class LibraryBackdrops:
    """A real CC0 tile of the surface, in the palette's colour and the style's light.

    Args:
        side: Long side of its plates, pixels.
    """

    name = "library"
    shows: tuple[str, ...] = ("surface", "palette", "light")

    def __init__(self, side: int = _SIDE) -> None:
        if side < 64:
            raise InvalidInput(f"side={side}: plates need at least 64 pixels")
        self.side = side

    def fingerprint(self) -> str:
        """Hex digest of tiles, colours, lights and size."""
        lights = {name: asdict(light) for name, light in LIGHTS.items()}
        colours = [{n: asdict(m) for n, m in materials().items()}, palettes()]
        return digest_of([f"{self.name}-1", self.side, _tiles_digest(), colours, lights])

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The canvas's own shape, its long side at most ``side``."""
        scale = min(1.0, self.side / max(height, width))
        return max(1, round(scale * height)), max(1, round(scale * width))

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """Lab of the dyed material: the style's colour, or its palette's.

        Raises:
            UnknownStyle: no such surface or palette.
            InvalidInput: the style names no surface.
        """
        surface, palette = style.get("surface"), style.get("palette", "neutral")
        if surface is None:
            raise InvalidInput(f"style {dict(style)}: there are tiles of surfaces; name one")
        if surface not in materials():
            raise UnknownStyle(f"surface={surface}: there are tiles of {', '.join(materials())}")
        if "colour" in style:
            return lab_of(style["colour"])
        if palette not in palettes():
            raise UnknownStyle(f"palette={palette}: choose from {', '.join(palettes())}")
        material, (da, db) = materials()[surface], palettes()[palette]
        lightness, a, b = material.lab
        return lightness, a + material.dye * da, b + material.dye * db

    def material(self, style: Mapping[str, str]) -> str | None:
        """The surface: what lies beyond the plate's own pixels is completed from its tile."""
        return style.get("surface")

    def plates(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """The start where there is one, which is such a sheet; otherwise a sheet of its own."""
        begin = starts or [None] * len(styles)
        return [
            self._plate(mask, style, seed, start)
            for style, seed, start in zip(styles, seeds, begin, strict=True)
        ]

    def training_pictures(self) -> CopyIndex | None:
        """None: it learned from nothing, and its tiles are free to be shown."""
        return None

    def _plate(
        self,
        mask: NDArray[np.float32],
        style: Mapping[str, str],
        seed: int,
        start: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        colour, light = self.colour(style), light_of(style.get("light", "soft"))
        if start is not None:
            return start
        rng = np.random.default_rng(seed)
        sheet = sheet_of(style["surface"], (mask.shape[0], mask.shape[1]), rng)
        if sheet is None:
            raise UnknownStyle(f"surface={style['surface']}: the package ships no tile of it")
        return self._laid(sheet, rng).lit(colour, Lighting(mask, light), rng)

    def _laid(self, sheet: Sheet, rng: np.random.Generator) -> Sheet:
        return sheet


class GaussianBackdrops(LibraryBackdrops):
    """Noise with the colours and the spectrum of the surface's tile.

    Args:
        side: Long side of its plates, pixels.

    References:
        Galerne, Gousseau, Morel 2011, "Random Phase Textures: Theory and Synthesis", TIP; Galerne,
        Leclaire, Moisan 2014, "A Texton for Fast and Flexible Gaussian Texture Synthesis".
    """

    name = "gaussian"

    def material(self, style: Mapping[str, str]) -> str | None:
        """None: a tile's own lines do not belong on its noise."""
        return None

    def _laid(self, sheet: Sheet, rng: np.random.Generator) -> Sheet:
        return replace(sheet, tile=spot_noise(sheet.tile, sheet.tile.shape[0], rng))


class Over:
    """A source that goes on from the plates of another.

    Args:
        painter: Goes on, as far as its ``strength`` lets it.
        ground: Paints what is gone on from.
    """

    def __init__(self, painter: BackdropSource, ground: BackdropSource) -> None:
        self.painter, self.ground = painter, ground
        self.name = f"{painter.name}-over-{ground.name}"
        self.shows = painter.shows

    def fingerprint(self) -> str:
        """Hex digest of both."""
        return digest_of(["over-1", self.painter.fingerprint(), self.ground.fingerprint()])

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The painter's."""
        return self.painter.size(height, width)

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """The painter's."""
        return self.painter.colour(style)

    def material(self, style: Mapping[str, str]) -> str | None:
        """The ground's."""
        return self.ground.material(style)

    def plates(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """The painter's, begun with the ground's."""
        grounds = self.ground.plates(product, mask, styles, seeds, starts)
        return self.painter.plates(product, mask, styles, seeds, grounds)

    def training_pictures(self) -> CopyIndex | None:
        """The painter's."""
        return self.painter.training_pictures()


def _asset(name: str) -> str:
    return (files("persona_img") / "assets" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _tiles_digest() -> str:
    folder = files("persona_img") / "assets" / "textures"
    parts = {
        f"{surface}/{tile.name}": hashlib.sha256(tile.read_bytes()).hexdigest()
        for surface in sorted(materials())
        if (folder / surface).is_dir()
        for tile in sorted((folder / surface).iterdir(), key=lambda e: e.name)
        if tile.name.endswith(".jpg")
    }
    return digest_of(parts)
