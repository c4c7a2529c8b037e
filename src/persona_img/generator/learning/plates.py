"""Pictures the generator learns from: a plate is a backdrop with the product's shadow, without it.

Two sources. *Made* plates are sets around real silhouettes (:mod:`.made_plates`); style labels are
exact. *Photo* plates are merchants' own photographs; their colour is measured, surface and light
are unknown (null) unless ``photo_labels`` names them, and the product's area does not count in the
loss.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from persona_img.errors import InvalidInput
from persona_img.imaging.colour import mean_lab

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


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
    """Names of the materials listed in a TOML file, its ``[surface.NAME]`` tables.

    Raises:
        InvalidInput: the file cannot be read, or names none.
    """
    try:
        tables: dict[str, Any] = tomllib.loads(spec.read_text(encoding="utf-8")).get("surface", {})
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{spec}: cannot be read ({error}); give a TOML file") from error
    if not tables:
        raise InvalidInput(f"{spec}: no [surface.NAME] table; name at least one surface")
    return tuple(tables)


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
