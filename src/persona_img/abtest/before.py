"""What a test is planned from: control in an earlier log, seen for as long as the test will run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.abtest.arrivals import days_logged
from persona_img.abtest.design import Baseline
from persona_img.errors import NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from persona_img.abtest.record import Record


@dataclass(frozen=True, eq=False)
class Before:
    """An earlier test's log.

    How much a shopper varies depends on how long shoppers are watched: a test sees of each what
    came from the first impression to its own end. The first days of a log show the same.

    Attributes:
        feedback: As for :meth:`ABTest.analyze`.
        test: The earlier test.
    """

    feedback: pd.DataFrame
    test: str

    def over(self, draft: Record, days: int) -> tuple[Baseline, str]:
        """The primary metric in control, as a test of so many days would see it.

        Args:
            draft: The record to come; its size is not read.
            days: Whole days of the log, from its beginning; all of it where it is shorter.

        Returns:
            The metric, and where it comes from in words.

        Raises:
            NotEnoughData: as for :meth:`Baseline.measured`.
        """
        logged = days_logged(self.feedback, self.test)
        found = Baseline.measured(self.feedback, self.test, read=draft.ab_test(), days=days)
        basis = f"measured in control of {self.test}, clustered by shopper, over "
        if days <= math.ceil(logged):
            return found, basis + f"the first {days} of {logged:.1f} days of its log"
        return found, basis + (
            f"all {logged:.1f} days of its log; the test takes {days}, of which the log does not "
            "tell how shoppers vary over so long"
        )

    def to_find(
        self, draft: Record, power: float, takes: Callable[[int], int]
    ) -> tuple[Baseline, str]:
        """The same over as many days as the test takes that finds the draft's minimal effect.

        Args:
            draft: As for :meth:`over`.
            power: Chance to find it.
            takes: Shoppers to the days until they have come.

        Raises:
            NotEnoughData: as for :meth:`Baseline.measured`, of the whole log.
        """
        short, long = 0, max(1, math.ceil(days_logged(self.feedback, self.test)))
        found = self.over(draft, long)
        need = takes(draft.needed(found[0], power))
        if need > long:
            return self.over(draft, need)
        while long - short > 1:  # the fewest days that are enough for what is seen in them
            middle = (short + long) // 2
            try:
                one = self.over(draft, middle)
                enough = takes(draft.needed(one[0], power)) <= middle
            except NotEnoughData:
                enough = False
            if enough:
                found, long = one, middle
            else:
                short = middle
        return found
