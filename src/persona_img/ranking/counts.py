"""Impressions as counts: by what was shown to whom, where and on which day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from persona_img.domain.feedback_table import weights_of
from persona_img.ranking.columns import Places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.ranking.base import Floats

_DAY = 86400


@dataclass(frozen=True)
class Counts:
    """n cells of equal segment, product, style and position, each on the days it was met.

    Whole days are counted first and weighed then: the order of the rows moves no digit. An
    impression counts as many times as its ``weight`` says.

    Attributes:
        places: The cells.
        cell: int64 (m,), codes of cells, not decreasing.
        age: int64 (m,), days before the last one.
        clicks: float64 (m,), on that day.
        shown: float64 (m,), on that day.
    """

    places: Places
    cell: NDArray[np.int64]
    age: NDArray[np.int64]
    clicks: Floats
    shown: Floats

    @classmethod
    def of(cls, feedback: pd.DataFrame) -> Counts:
        """Counts of what :func:`~persona_img.domain.feedback_table.weighed_feedback` returns."""
        code, names = {}, {}
        for column in ("segment", "product", "style_key"):
            code[column], found = pd.factorize(feedback[column], sort=True)
            names[column] = [str(name) for name in found]
        position, places = pd.factorize(feedback["position"], sort=True)
        day = days_of(feedback)
        age = day.max() - day
        sizes = (len(names["product"]), len(names["style_key"]), len(places))
        cell = code["segment"].astype(np.int64)
        for size, part in zip(sizes, (code["product"], code["style_key"], position), strict=True):
            cell = cell * size + part
        cells, where = np.unique(cell, return_inverse=True)
        ages, when = np.unique(age, return_inverse=True)
        met, place = np.unique(where * len(ages) + when, return_inverse=True)
        weight = weights_of(feedback)
        clicked = weight * feedback["clicked"].to_numpy(dtype=np.float64)
        rest, position = np.divmod(cells, sizes[2])
        rest, style = np.divmod(rest, sizes[1])
        segment, product = np.divmod(rest, sizes[0])
        made = Places(
            segment,
            product,
            style,
            np.asarray(places, dtype=np.float64)[position],
            names["segment"],
            names["product"],
            names["style_key"],
        )
        clicks = np.asarray(np.bincount(place, clicked), dtype=np.float64)
        shown = np.asarray(np.bincount(place, weight), dtype=np.float64)
        return cls(made, met // len(ages), ages[met % len(ages)], clicks, shown)

    def weighed(self, half_life: float) -> tuple[Floats, Floats]:
        """(n,) clicks and misses of the cells, an impression of the last day counting 1.

        Args:
            half_life: Days after which an impression counts half.
        """
        weight = 0.5 ** (self.age / half_life)
        size = len(self.places.position)
        clicks = np.bincount(self.cell, weight * self.clicks, minlength=size).astype(np.float64)
        shown = np.bincount(self.cell, weight * self.shown, minlength=size).astype(np.float64)
        return clicks, np.maximum(shown - clicks, 0.0)


def days_of(feedback: pd.DataFrame) -> NDArray[np.int64]:
    """(N,) days since 1970, UTC, on which the impressions were shown."""
    seconds = feedback["shown_at"].dt.as_unit("s").astype("int64").to_numpy()
    return np.asarray(seconds // _DAY, dtype=np.int64)
