"""Sparse rows that differ in one number alone, kept once: a picture's cells at all positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.ranking.base import Floats


@dataclass(frozen=True)
class Repeated:
    """n rows of D columns, of which many are alike but for one number.

    A million cells of a shop are a quarter as many pictures at some positions; memory, and what
    every product with the columns takes, go with those.

    Attributes:
        distinct: Sparse (m, D), nothing in ``column``.
        place: int64 (n,), which of these a row is.
        own: float64 (n,), a row's number in ``column``.
        column: Where that is.

    Example:
        >>> shared = sparse.csr_array(np.array([[1.0, 0.0], [2.0, 0.0]]))
        >>> rows = Repeated(shared, np.array([0, 0, 1]), np.array([5.0, 6.0, 7.0]), 1)
        >>> (rows @ np.array([1.0, 10.0])).tolist()
        [51.0, 61.0, 72.0]
    """

    distinct: sparse.csr_array
    place: NDArray[np.int64]
    own: Floats
    column: int

    @classmethod
    def of(cls, columns: sparse.csr_array) -> Repeated:
        """Rows each of its own."""
        rows = columns.shape[0]
        return cls(columns, np.arange(rows), np.zeros(rows), 0)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, D)."""
        return len(self.place), self.distinct.shape[1]

    def __matmul__(self, vector: Floats) -> Floats:
        """(n,) the rows times (D,)."""
        found = (self.distinct @ vector)[self.place] + self.own * vector[self.column]
        return np.asarray(found, dtype=np.float64)

    def sums(self, values: Floats) -> Floats:
        """(D,) the columns times (n,)."""
        found = self._across @ self._gathered(values)
        found[self.column] += values @ self.own
        return np.asarray(found, dtype=np.float64)

    def gram(self, weight: Floats, count: int) -> Floats:
        """(count, count) products of the first columns with each other, rows weighed by (n,)."""
        first = self.distinct[:, :count]
        scaled = sparse.diags_array(np.sqrt(self._gathered(weight))) @ first
        made = np.asarray((scaled.T @ scaled).toarray(), dtype=np.float64)
        if self.column < count:
            beside = first.T @ self._gathered(weight * self.own)
            made[self.column] += beside
            made[:, self.column] += beside
            made[self.column, self.column] += weight @ self.own**2
        return made

    def squares(self, weight: Floats) -> Floats:
        """(D,) products of the columns with themselves, rows weighed by (n,)."""
        squared = self._across.copy()
        squared.data **= 2
        found = squared @ self._gathered(weight)
        found[self.column] += weight @ self.own**2
        return np.asarray(found, dtype=np.float64)

    def _gathered(self, values: Floats) -> Floats:
        """(m,) sums over the rows that are alike."""
        found = np.bincount(self.place, values, minlength=self.distinct.shape[0])
        return np.asarray(found, dtype=np.float64)

    @cached_property
    def _across(self) -> sparse.csr_array:
        return self.distinct.T.tocsr()
