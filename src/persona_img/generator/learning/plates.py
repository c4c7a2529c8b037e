"""Pictures the generator learns from: a plate is a backdrop with the product's shadow, without it.

Two sources. *Made* plates are sets around real silhouettes (:mod:`.made_plates`); style labels are
exact. *Photo* plates are merchants' own photographs; their colour is measured, surface and light are
unknown (null) unless ``photo_labels`` names them, and the product's area does not count in the loss.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from persona_img.errors import InvalidInput
from persona_img.imaging.colour import from_lab, mean_lab, to_lab
from persona_img.imaging.light import LIGHTS, apply_light, illumination

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Surface:
    """One material the generator can make.

    Attributes:
        tiles: Seamless square uint8 tiles of the material.
        lightness: Mean L* of its plates, 0..100.
        scale: Lower and upper bound of a tile's size, in shares of the picture's short side.
        natural: Its own (a*, b*) under the neutral palette.
        dye: Share of a palette's colour it takes; wood is stained, not painted.
    """

    tiles: tuple[NDArray[np.uint8], ...]
    lightness: float
    scale: tuple[float, float]
    natural: tuple[float, float]
    dye: float = 1.0

    def colour(self, chroma: tuple[float, float]) -> NDArray[np.float32]:
        """Mean Lab of its plates under a palette of (a*, b*) offset ``chroma``, float32 (3,)."""
        a, b = (n + self.dye * c for n, c in zip(self.natural, chroma, strict=True))
        return np.array([self.lightness, a, b], dtype=np.float32)


@dataclass(frozen=True)
class Plate:
    """A training picture.

    Attributes:
        rgb: uint8 (H, W, 3), the backdrop to learn.
        mask: float32 (H, W) 0..1, the product's silhouette.
        product: uint8 (H, W, 3), the product on mid-grey.
        surface: Name, or None where unknown.
        light: Name, or None where unknown.
        colour: Mean Lab of the unshadowed backdrop, float32 (3,).
        known: float32 (H, W), 1 where ``rgb`` is backdrop and counts in the loss.
        scene: Name, or None where unknown.
    """

    rgb: NDArray[np.uint8]
    mask: NDArray[np.float32]
    product: NDArray[np.uint8]
    surface: str | None
    light: str | None
    colour: NDArray[np.float32]
    known: NDArray[np.float32]
    scene: str | None = None


def surface_names(spec: Path) -> tuple[str, ...]:
    """Names of the materials listed in a TOML file; see :func:`load_surfaces`.

    Raises:
        InvalidInput: the file cannot be read, or names none.
    """
    return tuple(_tables(spec))


def _tables(spec: Path) -> dict[str, Any]:
    try:
        tables: dict[str, Any] = tomllib.loads(spec.read_text(encoding="utf-8")).get("surface", {})
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{spec}: cannot be read ({error}); give a TOML file") from error
    if not tables:
        raise InvalidInput(f"{spec}: no [surface.NAME] table; name at least one surface")
    return tables


def load_surfaces(spec: Path, textures: Path) -> dict[str, Surface]:
    """Materials listed in a TOML file, with their tiles.

    Args:
        spec: ``[surface.NAME]`` tables: ``tiles`` (file stems below ``textures``, each in the
            folder named by the part before ``_``), ``lightness``, ``scale``, ``natural``.
        textures: Folder of tile folders.

    Raises:
        InvalidInput: a listed tile is missing or the file names no surface.
    """
    surfaces = {}
    for name, table in _tables(spec).items():
        tiles = []
        for stem in table["tiles"]:
            path = textures / stem.rsplit("_", 1)[0] / f"{stem}.jpg"
            if not path.exists():
                raise InvalidInput(f"{spec}: surface {name}: no tile {path}; correct the list")
            tiles.append(np.asarray(Image.open(path).convert("RGB")))
        surfaces[name] = Surface(
            tiles=tuple(tiles),
            lightness=float(table["lightness"]),
            scale=(float(table["scale"][0]), float(table["scale"][1])),
            natural=(float(table["natural"][0]), float(table["natural"][1])),
            dye=float(table.get("dye", 1.0)),
        )
    return surfaces


def tile_plate(
    surface_name: str,
    surface: Surface,
    light_name: str,
    chroma: tuple[float, float],
    product: tuple[NDArray[np.uint8], NDArray[np.float32]],
    rng: np.random.Generator,
) -> Plate:
    """A tile of known style under a real product's silhouette, laid flat.

    What the judge of styles learns from and distances are measured to; the generator learns from
    :mod:`.made_plates`.

    Args:
        surface_name: Its label.
        surface: The material.
        light_name: A key of ``LIGHTS``.
        chroma: Palette's (a*, b*) offset from the material's own colour.
        product: The product's picture, uint8 (H, W, 3), and its mask, float32 (H, W).
        rng: Source of tile, scale, turn and jitter.
    """
    rgb, mask = product
    size = mask.shape
    material = _material(surface, size, chroma, rng)
    colour = mean_lab(material, np.ones(size, dtype=np.float32))
    lit = apply_light(material, illumination(mask, LIGHTS[light_name], rng))
    return Plate(
        rgb=_to_bytes(lit),
        mask=mask,
        product=on_grey(rgb, mask),
        surface=surface_name,
        light=light_name,
        colour=colour,
        known=np.ones(size, dtype=np.float32),
    )


def photo_plate(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.float32],
    surface: str | None = None,
    light: str | None = None,
) -> Plate:
    """A merchant's own photo as a plate: everything but the product and its rim is known."""
    rim = max(3, round(0.02 * min(mask.shape)))
    near = cv2.dilate((mask > 0.05).astype(np.float32), np.ones((2 * rim + 1, 2 * rim + 1)))
    known = np.asarray(1.0 - near, dtype=np.float32)
    return Plate(
        rgb=rgb,
        mask=mask,
        product=on_grey(rgb, mask),
        surface=surface,
        light=light,
        colour=mean_lab(rgb, known),
        known=known,
    )


def on_grey(rgb: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The product alone on mid-grey: what the denoiser is told about the product."""
    mixed = rgb * mask[..., None] + 127.0 * (1.0 - mask[..., None])
    return np.asarray(np.round(mixed), dtype=np.uint8)


def load_rgb(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture, centre-cropped and resized to (height, width)."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
        fitted = ImageOps.fit(upright, (size[1], size[0]), Image.Resampling.LANCZOS)
        return np.asarray(fitted)


def _material(
    surface: Surface,
    size: tuple[int, int],
    chroma: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """A sheet of the material, float32 0..1 (H, W, 3), lit evenly."""
    tile = surface.tiles[rng.integers(len(surface.tiles))]
    height, width = size
    side = round(rng.uniform(*surface.scale) * min(size))
    if rng.random() < 0.5:
        tile = np.flip(tile, axis=int(rng.integers(2)))
    lab = to_lab(np.ascontiguousarray(tile))
    around = np.pad(lab, ((4, 4), (4, 4), (0, 0)), mode="wrap")
    scale = side / tile.shape[0]
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    border = round(4 * scale)
    big = cv2.resize(around, (side + 2 * border, side + 2 * border), interpolation=method)
    lab = big[border : border + side, border : border + side]
    if lab.shape[0] < 1:
        raise InvalidInput(f"a tile of {side} px is too small; raise the surface's scale")
    top, left = rng.integers(side), rng.integers(side)
    rows = (np.arange(height) + top) % side
    columns = (np.arange(width) + left) % side
    sheet = lab[rows][:, columns].copy()
    mean = lab.reshape(-1, 3).mean(0)
    target = surface.colour(chroma) + np.array(
        [3.0, 1.2, 1.2], dtype=np.float32
    ) * rng.standard_normal(3)
    # A painted or dyed material keeps its relief, and less of its own colour's spread.
    contrast = np.array([1.0, 0.6, 0.6], dtype=np.float32)
    return from_lab(((sheet - mean) * contrast + target).astype(np.float32))


def _to_bytes(rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.round(np.clip(rgb, 0, 1) * 255), dtype=np.uint8)
