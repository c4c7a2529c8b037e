"""Is a generated backdrop a copy of a training picture? An index that travels with a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
_PLANE = np.column_stack(
    [np.ones(_SIDE * _SIDE), *(np.mgrid[0:_SIDE, 0:_SIDE].reshape(2, -1)[::-1] - (_SIDE - 1) / 2)]
)
"""1, x and y of each cell, (256, 3)."""


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
        if not len(self.grey):
            return 0.0, -1
        known, theirs, cells = self._known, self._structures, self._cells
        grey = _small(plate).reshape(-1).astype(np.float64)
        # Of a picture without its plane only sums over known cells are needed, and the plane is
        # orthogonal to what is left of the training pictures.
        moments = known @ (grey[:, None] * _PLANE)
        fit = np.einsum("nij,nj->ni", self._solvers, moments)
        power = np.maximum(known @ grey**2 - (fit * moments).sum(axis=1), 0.0)
        mine = np.sqrt(power / cells)
        enough = (cells >= _LEAST_CELLS) & (np.minimum(mine, self._spreads) >= _LEAST_SPREAD)
        product = np.where(enough, mine * self._spreads, np.inf)
        correlation = theirs @ grey / cells / product
        where = int(np.argmax(correlation))
        return (float(correlation[where]), where) if correlation[where] > 0 else (0.0, -1)

    @cached_property
    def _known(self) -> NDArray[np.float64]:
        return self.known.reshape(len(self.known), -1).astype(np.float64)

    @cached_property
    def _cells(self) -> NDArray[np.float64]:
        """Known cells of each training picture, at least 1."""
        return np.asarray(np.maximum(self._known.sum(axis=1), 1.0))

    @cached_property
    def _spreads(self) -> NDArray[np.float64]:
        return np.asarray(np.sqrt((self._structures**2).sum(axis=1) / self._cells))

    @cached_property
    def _solvers(self) -> NDArray[np.float64]:
        """Moments over the known cells of each training picture to its best plane, (N, 3, 3)."""
        normal = np.einsum("nc,ci,cj->nij", self._known, _PLANE, _PLANE, optimize=True)
        # A picture with next to no known cells has no plane; it is left out by their number.
        return np.asarray(np.linalg.inv(normal + 1e-9 * np.eye(3)))

    @cached_property
    def _structures(self) -> NDArray[np.float64]:
        """Training pictures at their known cells without their best plane, 0 elsewhere."""
        known, grey = self._known, self.grey.reshape(len(self.grey), -1).astype(np.float64)
        fit = np.einsum("nij,nj->ni", self._solvers, (known * grey) @ _PLANE)
        return np.asarray(known * (grey - fit @ _PLANE.T), dtype=np.float64)


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(
        cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
