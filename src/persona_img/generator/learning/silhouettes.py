"""Whose silhouettes sets are built around: photos that were cut out lie, cut-outs stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps

from persona_img.errors import BadPhoto, NotEnoughData
from persona_img.generator.buckets import BUCKETS
from persona_img.imaging.folder import pictures_below

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

STANDING = 0.6
"""Share of made plates on which the product stands, where there are such products."""
_LIES_CM, _STANDS_CM = (35.0, 100.0), (9.0, 42.0)
_SHARE = (0.35, 0.85)  # of the picture's height, that it is high
_BASE = (0.72, 0.93)  # row on which it stands, share of the height


@dataclass(frozen=True)
class Silhouette:
    """Whose silhouette a made plate has.

    Attributes:
        path: A cut-out photo (``rgb``, ``alpha``), or a picture with alpha.
        stands: Whether it is the latter, and stands.
        size: (height, width) of the plate.
        cm: Longest side of the product.
        seed: Of where it stands.
    """

    path: Path
    stands: bool
    size: tuple[int, int]
    cm: float
    seed: int

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Picture, uint8 (H, W, 3), and mask, float32 (H, W) in 0..1; mirrored half of the time.

        Raises:
            BadPhoto: a picture without a product, or without alpha.
        """
        rng = np.random.default_rng(self.seed)
        if self.stands:
            rgb, alpha = stood(_alone(self.path), self.size, rng)
        else:
            with np.load(self.path) as one:
                rgb, alpha = one["rgb"], one["alpha"]
        if rng.random() < 0.5:
            rgb, alpha = np.ascontiguousarray(rgb[:, ::-1]), np.ascontiguousarray(alpha[:, ::-1])
        return rgb, alpha.astype(np.float32) / np.float32(255)


def silhouettes(cut: list[Path], standing: Path | None, count: int, seed: int) -> list[Silhouette]:
    """Those of so many made plates.

    Args:
        cut: Photos that were cut out.
        standing: Folder of pictures with alpha, of products that stand; None: all lie.
        count: How many.
        seed: Of which, and how large.

    Raises:
        NotEnoughData: ``standing`` holds no picture.
    """
    stand = [] if standing is None else pictures_below(standing)
    if standing is not None and not stand:
        raise NotEnoughData(f"{standing}: no picture; give cut-outs with alpha of what stands")
    rng = np.random.default_rng([seed, 1])
    found = []
    for _ in range(count):
        stands = bool(stand) and rng.random() < STANDING
        paths = stand if stands else cut
        path = paths[int(rng.integers(len(paths)))]
        size = BUCKETS[int(rng.integers(len(BUCKETS)))] if stands else _size_of(path)
        cm = float(rng.uniform(*(_STANDS_CM if stands else _LIES_CM)))
        found.append(Silhouette(path, stands, size, cm, int(rng.integers(2**31))))
    return found


def stood(
    rgba: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A cut-out on the floor of a canvas: picture, uint8 (h, w, 3), and alpha, uint8 (h, w)."""
    height, width = size
    share = rng.uniform(*_SHARE)
    scale = min(share * height / rgba.shape[0], 1.1 * share * width / rgba.shape[1])
    high, wide = (max(2, round(scale * n)) for n in rgba.shape[:2])
    wide = min(wide, width)
    small = cv2.resize(rgba, (wide, high), interpolation=cv2.INTER_AREA)
    top = max(0, round(rng.uniform(*_BASE) * height) - high)
    left = round((width - wide) * rng.uniform(0.35, 0.65))
    rgb = np.full((height, width, 3), 127, dtype=np.uint8)
    alpha = np.zeros((height, width), dtype=np.uint8)
    place = slice(top, top + high), slice(left, left + wide)
    rgb[place], alpha[place] = small[..., :3], small[..., 3]
    return rgb, alpha


def _alone(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        rgba = np.array(ImageOps.exif_transpose(image).convert("RGBA"))
    solid = rgba[..., 3] > 127
    if solid.all() or not solid.any():
        raise BadPhoto(f"{path}: no product before transparency; give cut-outs with alpha")
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _size_of(path: Path) -> tuple[int, int]:
    with np.load(path) as one:
        return one["alpha"].shape[0], one["alpha"].shape[1]
