"""How long a test takes, by when shoppers came before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.feedback_table import as_feedback
from persona_img.errors import NotEnoughData

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_DAY = 86_400.0


@dataclass(frozen=True, eq=False)
class Arrivals:
    """When shoppers were seen for the first time.

    A new test begins as the history did: at first everybody is new, later those who come back are
    not. Beyond the history they go on coming as in its second half.

    Attributes:
        days: float64 (n,), in order: days from the first impression to each shopper's own.
        span: Days from the first impression to the last.
    """

    days: NDArray[np.float64]
    span: float

    @classmethod
    def of(cls, feedback: pd.DataFrame, test: str) -> Arrivals:
        """Of a test's feedback, all arms together.

        Raises:
            NotEnoughData: less than a day of it, or nobody new in its second half.
        """
        rows = as_feedback(feedback, ("shopper", "shown_at"), test=test)
        shown, span = rows["shown_at"], days_logged(feedback, test)
        if span < 1:
            raise NotEnoughData(
                f"test {test}: {span:.1f} days of impressions do not tell how many shoppers come; "
                "a day is the least, or say --shoppers-per-day"
            )
        first = rows.groupby("shopper")["shown_at"].min()
        days = np.sort((first - shown.min()).dt.total_seconds().to_numpy(dtype=np.float64) / _DAY)
        if not (days > span / 2).any():
            raise NotEnoughData(
                f"test {test}: nobody new came in the second half of {span:.1f} days; say how many "
                "shoppers will, --shoppers-per-day"
            )
        return cls(days, span)

    @property
    def late(self) -> float:
        """New shoppers a day, in the second half."""
        return float((self.days > self.span / 2).sum() / (self.span / 2))

    def days_for(self, shoppers: int) -> int:
        """Days until so many shoppers have come, at least 1."""
        if shoppers <= len(self.days):
            return max(1, math.ceil(float(self.days[shoppers - 1])))
        return math.ceil(self.span + (shoppers - len(self.days)) / self.late)

    def shoppers_in(self, days: float) -> int:
        """Shoppers who come in so many days."""
        if days <= self.span:
            return int(np.searchsorted(self.days, days, side="right"))
        return int(len(self.days) + (days - self.span) * self.late)


def days_logged(feedback: pd.DataFrame, test: str) -> float:
    """Days from a test's first impression to its last; 0 without any."""
    shown = as_feedback(feedback, ("shown_at",), test=test)["shown_at"]
    return 0.0 if shown.empty else (shown.max() - shown.min()).total_seconds() / _DAY
