"""What the numbers of one comparison allow to say, at any look or at the one that was planned."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from persona_img.abtest.moments import Moments
from persona_img.abtest.sequential import EARLIEST, UNPLANNED, always_valid_p, always_valid_width
from persona_img.abtest.statistics import compare_moments, too_thin
from persona_img.abtest.table_report import Compared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from persona_img.abtest.metrics import Metric
    from persona_img.abtest.moments import Ratio
    from persona_img.abtest.report import Verdict
    from persona_img.abtest.table_report import Read

_SURE = ("better", "worse")


@dataclass(frozen=True)
class Rules:
    """How a comparison is judged.

    Attributes:
        read: Whether at any look, or at the one that was planned.
        plan: Units of all arms together; None without a plan.
        shares: Arm to planned share.
        control: The arm that others are compared with.
        done: Whether the planned units have come.
        failed: Why nothing may be read; empty where all checks passed.
        unit: What a unit is called.
    """

    read: Read
    plan: int | None
    shares: Mapping[str, float]
    control: str
    done: bool
    failed: str
    unit: str

    def compared(
        self, metric: Metric, control: Moments, arm: Moments, level: float, tuned_at: float
    ) -> Compared:
        """One arm against control, at a level, in an interval tuned for another."""
        below = "denominator" if "denominator" in control.columns else None
        ratio: Ratio = ("numerator", below)
        before: Ratio | None = ("before", None) if "before" in control.columns else None
        event = metric.of.removesuffix("s")
        found = compare_moments(
            control, arm, ratio, 1 - level, event, unit=self.unit, covariate=before
        )
        thin = found.reason
        for one in (control, arm):
            thin = thin or too_thin(one, ratio, event, self.unit)
            if one.units < EARLIEST and not thin:
                thin = f"arm {one.arm} has {one.units} {self.unit}s; a verdict needs {EARLIEST}"
        blank = Compared(
            metric.name, arm.arm, found.control, found.treatment, found.lift,
            math.nan, math.nan, math.nan, "undefined", thin, p_at_one_look=found.p,
        )  # fmt: skip
        if thin:
            return blank
        low, high, p = found.low, found.high, found.p
        if self.read == "any look":
            share = self.shares[self.control] + self.shares[arm.arm]
            planned = max(1.0, (self.plan or UNPLANNED) * share)
            units = control.units + arm.units
            p = always_valid_p(
                found.lift, found.log_error, units, planned=planned, tuned_at=tuned_at
            )
            width = always_valid_width(units, planned=planned, alpha=level, tuned_at=tuned_at)
            centre, reach = math.log1p(found.lift), width * found.log_error
            low, high = math.expm1(centre - reach), math.expm1(centre + reach)
        if math.isnan(low) or math.isnan(high):
            return replace(blank, reason="its interval is undefined: values too large, or too few")
        return replace(
            blank, low=low, high=high, p=p, verdict=self.verdict(low, high, p, level),
            reason=self.failed,
        )  # fmt: skip

    def verdict(self, low: float, high: float, p: float, level: float) -> Verdict:
        """What an interval allows to say; nothing where a check failed."""
        if self.failed:
            return "do not read"
        if self.read == "at the plan" and not self.done:
            return "too early"
        if p <= level and low > 0:
            return "better"
        if p <= level and high < 0:
            return "worse"
        return "no difference shown" if self.done else "too early"

    def by_segment(
        self,
        metric: Metric,
        segments: Mapping[str, Mapping[str, Moments]],
        others: Sequence[str],
        alpha: float,
    ) -> tuple[Compared, ...]:
        """Each segment's comparison, at levels that Holm's rule allows.

        The chance of any false verdict, over all segments and arms together, is at most ``alpha``:
        the smallest p is compared at ``alpha / m``, the next at ``alpha / (m - 1)``, until one is
        not sure; the rest are not either. Intervals are of the level each was compared at.

        References:
            Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
            Journal of Statistics 6.
        """
        pairs = [
            (name, arm, arms.get(self.control, nobody(self.control, arms)), here)
            for name, arms in segments.items()
            for arm in others
            for here in (arms.get(arm, nobody(arm, arms)),)
        ]
        m = len(pairs)

        def at(pair: tuple[str, str, Moments, Moments], level: float) -> Compared:
            name, _, control, arm = pair
            return replace(self.compared(metric, control, arm, level, alpha / m), segment=name)

        first = [at(pair, alpha / m) for pair in pairs]
        order = sorted(
            range(m), key=lambda i: (math.isnan(first[i].p), first[i].p, pairs[i][0], pairs[i][1])
        )
        result = list(first)
        level, sure = alpha / m, True
        for rank, i in enumerate(order):
            if sure:
                level = alpha / (m - rank)
            told = at(pairs[i], level)
            if not sure and told.verdict in _SURE:
                told = replace(told, verdict="no difference shown" if self.done else "too early")
            sure = sure and told.verdict in _SURE
            result[i] = told
        return tuple(result)


def nobody(arm: str, others: Mapping[str, Moments]) -> Moments:
    """An arm without a unit, with the columns of others."""
    # Somebody is always there, or nothing would be compared.
    columns = next(iter(others.values())).columns
    return Moments.of(arm, {name: np.zeros(0) for name in columns})
