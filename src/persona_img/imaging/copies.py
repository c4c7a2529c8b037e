"""Is a generated backdrop a copy of a training picture? An index that travels with a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SIDE = 16
_LEAST_SPREAD = 2.5
"""Backdrops flatter than this (8-bit levels, after light's slope) look alike without copying."""
_LEAST_CELLS = 60


@dataclass(frozen=True)
class CopyIndex:
    """Training pictures at 16 x 16.

    Attributes:
        grey: uint8 (N, 16, 16).
        known: bool (N, 16, 16), True where the picture shows backdrop.
    """

    grey: NDArray[np.uint8]
    known: NDArray[np.bool_]

    @classmethod
    def of(
        cls, pictures: Sequence[NDArray[np.uint8]], known: Sequence[NDArray[np.floating]]
    ) -> CopyIndex:
        """Index of pictures (H, W, 3) and where they show backdrop (H, W), 1 is backdrop."""
        grey = [_small(p) for p in pictures]
        seen = [
            cv2.resize(k.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) > 0.7
            for k in known
        ]
        return cls(
            np.array(grey, dtype=np.uint8).reshape(-1, _SIDE, _SIDE),
            np.array(seen, dtype=bool).reshape(-1, _SIDE, _SIDE),
        )

    def save(self, path: Path) -> None:
        """Write one ``.npz``."""
        np.savez_compressed(path, grey=self.grey, known=self.known)

    @classmethod
    def load(cls, path: Path) -> CopyIndex:
        """Read what :meth:`save` wrote."""
        with np.load(path) as stored:
            return cls(stored["grey"], stored["known"])

    def nearest(self, plate: NDArray[np.uint8]) -> tuple[float, int]:
        """The training picture most like a plate.

        Correlation of structure over the cells where the training picture shows backdrop, after a
        plane (light falling off to one side) is taken from both: two evenly lit walls are not
        copies of each other.

        Args:
            plate: uint8 (H, W, 3).

        Returns:
            Correlation in -1..1 and index; (0.0, -1) where nothing can be compared.
        """
        best, where = 0.0, -1
        mine = _small(plate).astype(np.float64)
        for i, (grey, known) in enumerate(zip(self.grey, self.known, strict=True)):
            if known.sum() < _LEAST_CELLS:
                continue
            a, b = _flat(mine, known), _flat(grey.astype(np.float64), known)
            spread = a.std(), b.std()
            if min(spread) < _LEAST_SPREAD:
                continue
            correlation = float((a * b).mean() / (spread[0] * spread[1]))
            if correlation > best:
                best, where = correlation, i
        return best, where


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(
        cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )


def _flat(grey: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values at known cells without their best plane, mean 0."""
    y, x = np.nonzero(known)
    plane = np.column_stack([np.ones(len(x)), x, y])
    values = grey[known]
    fit, *_ = np.linalg.lstsq(plane, values, rcond=None)
    return np.asarray(values - plane @ fit, dtype=np.float64)
