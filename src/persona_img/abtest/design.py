"""How many shoppers an A/B test needs, before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from persona_img.abtest.analysis import ABTest
from persona_img.abtest.sequential import always_valid_width
from persona_img.abtest.shoppers import READ, per_shopper
from persona_img.abtest.statistics import pair_lift, pair_size
from persona_img.domain.decision import Arms
from persona_img.domain.feedback_table import as_feedback
from persona_img.errors import InvalidInput, NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_ROUNDS, _CLOSE = 100, 1e-6
_PLANNED = 1_000
_DAY = 86_400.0

_HALVES = {"control": 0.5, "personalized": 0.5}


@dataclass(frozen=True)
class Baseline:
    """What is known of CTR, or of another metric, before the test.

    Attributes:
        ctr: Clicks per impression, in (0, 1); another metric's value, > 0, where it is no rate.
        variance: One shopper's share in its variance, > 0; its own variance is this by the number
            of shoppers.
        rate: Whether it is a rate below 1, and varies as such where it is higher; else its variance
            is taken to grow as it does.
    """

    ctr: float
    variance: float
    rate: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.ctr < (1 if self.rate else math.inf):
            raise InvalidInput(f"ctr {self.ctr}: a click rate between 0 and 1, e.g. 0.03")
        if not (self.variance > 0 and math.isfinite(self.variance)):
            raise InvalidInput(f"variance {self.variance}: must be > 0")

    @classmethod
    def assumed(
        cls, ctr: float, impressions_per_shopper: float, design_effect: float = 1.0
    ) -> Baseline:
        """A guess where there is no feedback yet.

        Args:
            ctr: Clicks per impression, in (0, 1).
            impressions_per_shopper: Mean over exposed shoppers, >= 1.
            design_effect: How many times CTR varies more than with independent impressions, >= 1
                because shoppers differ in taste and activity; 1.5 to 3 is usual.
        """
        if not impressions_per_shopper >= 1:
            raise InvalidInput(
                f"impressions_per_shopper {impressions_per_shopper}: who is exposed has 1 or more"
            )
        if not design_effect >= 1:
            raise InvalidInput(f"design_effect {design_effect}: independent impressions have 1")
        return cls(ctr, design_effect * ctr * (1 - ctr) / impressions_per_shopper)

    @classmethod
    def measured(
        cls,
        feedback: pd.DataFrame,
        test: str,
        arm: str = "control",
        *,
        read: ABTest | None = None,
        days: float | None = None,
    ) -> Baseline:
        """What an earlier test's arm showed, capped and without bots as the next one will be read.

        Shoppers seen in other arms too are left out.

        Args:
            feedback: As for :meth:`ABTest.analyze`.
            test: The earlier test.
            arm: Whose shoppers are like those of control to come.
            read: How the next test is read: its metric, caps and bot filter; None for CTR.
            days: Only what was shown in the first so many days, as a test of that length sees it:
                longer, and each shopper has shown more. None for all.

        Raises:
            InvalidInput: as :meth:`ABTest.analyze`.
            NotEnoughData: fewer than two shoppers or no event in the arm.
        """
        read = ABTest(test) if read is None else read
        metric = read.primary
        rows = as_feedback(feedback, ("test", *READ), test=test)
        if days is not None:
            age = (rows["shown_at"] - rows["shown_at"].min()).dt.total_seconds()
            rows = rows[age < days * _DAY]
        everybody = per_shopper(rows, test, sorted({arm, *rows["arm"]})).table
        kept = read.kept(everybody)
        found = kept.moments(metric, arm)
        events = float(kept.table.loc[kept.table["arm"] == arm, metric.of].sum())
        if found.units < 2 or not events:
            raise NotEnoughData(
                f"arm {arm} of {test}: {found.units} shoppers, {events:.0f} {metric.of}; two and "
                "one are the least, or use Baseline.assumed"
            )
        ratio = ("numerator", None if metric.by is None else "denominator")
        value = found.ratio(*ratio)
        return cls(value, found.variance(*ratio), rate=metric.by is not None and value < 1)


def required_shoppers(
    baseline: Baseline,
    lift: float,
    *,
    arms: Mapping[str, float] = _HALVES,
    power: float = 0.8,
    confidence: float = 0.95,
    any_look: bool = False,
) -> int:
    """Exposed shoppers, all arms together, to find a lift of CTR.

    The other arm is taken to vary as clicks at its own rate do: more where it is clicked more.

    Args:
        baseline: CTR before the test.
        lift: Relative difference to be found, > -1, not 0, and to a CTR below 1; 0.05 is +5 %.
        arms: Arm to share; with several beside control, each is compared at a corrected level.
        power: Chance to find it in the smallest arm, in (0, 1).
        confidence: 1 - chance of a false alarm over all arms, in (0, 1).
        any_look: Find it by the interval that holds at every look, when the shoppers have come.
            That takes nearly twice as many as one look, and is often sure sooner.

    Raises:
        InvalidInput: a value out of its range.
    """
    if not lift > -1 or lift == 0 or not math.isfinite(lift):
        raise InvalidInput(f"lift {lift}: relative, above -1 and not 0; 0.05 is +5 %")
    alpha = _alpha(arms, power, confidence, any_look)
    sizes = []
    for share in _others(arms):
        ratio = share / arms["control"]
        plan = {"alpha": alpha, "power": power, "ratio": ratio}
        both = pair_size(baseline.ctr, _variance(baseline, lift, ratio), lift, **plan)
        sizes.append(both / (share + arms["control"]))
    return math.ceil(max(sizes))


def minimal_detectable_lift(
    baseline: Baseline,
    shoppers: int,
    *,
    arms: Mapping[str, float] = _HALVES,
    power: float = 0.8,
    confidence: float = 0.95,
    any_look: bool = False,
) -> float:
    """Smallest relative lift of CTR that so many exposed shoppers, all arms together, find.

    The arguments are those of :func:`required_shoppers`, whose inverse it is.

    Raises:
        InvalidInput: a value out of its range, fewer than four shoppers for two arms, or so few
            that they find nothing short of a CTR of 1.
    """
    alpha = _alpha(arms, power, confidence, any_look)
    lifts = []
    for share in _others(arms):
        both = int(shoppers * (share + arms["control"]))
        if both * min(share, arms["control"]) / (share + arms["control"]) < 2:
            raise InvalidInput(f"{shoppers} shoppers leave an arm with fewer than two; plan more")
        plan = {"alpha": alpha, "power": power, "ratio": share / arms["control"]}
        lifts.append(_found(baseline, both, **plan))
    return max(lifts)


def _found(baseline: Baseline, both: int, **plan: float) -> float:
    """The lift that so many shoppers of two arms find, which itself widens what is found."""
    lift = 0.0
    for _ in range(_ROUNDS):
        variance = _variance(baseline, lift, plan["ratio"])
        before, lift = lift, pair_lift(baseline.ctr, variance, both, **plan)
        if abs(lift - before) <= _CLOSE * lift:
            break
    return lift


def _variance(baseline: Baseline, lift: float, ratio: float) -> float:
    """What both arms would have to vary by, alike, for the difference to vary as it does.

    Raises:
        InvalidInput: the lift makes a CTR of 1 or more.
    """
    ctr = baseline.ctr * (1 + lift)
    if not baseline.rate:
        return baseline.variance * (ratio + 1 + lift) / (ratio + 1)
    if ctr >= 1:
        raise InvalidInput(
            f"a lift of {lift:+.0%} on a CTR of {baseline.ctr:g} is no click rate; look for a "
            "smaller one, or plan more shoppers"
        )
    other = baseline.variance * ctr * (1 - ctr) / (baseline.ctr * (1 - baseline.ctr))
    # Means of n and ratio n shoppers: v / n + w / (ratio n), as if both were this by (1 + 1/ratio).
    return (baseline.variance * ratio + other) / (ratio + 1)


@dataclass(frozen=True)
class Plan:
    """A test before it starts.

    Attributes:
        baseline: CTR before it.
        lift: Relative difference it finds.
        power: Chance to find it.
        alpha: Chance of a false alarm.
        shoppers: Exposed shoppers it needs, all arms together: plan ``analyze --planned`` with it.
        by_arm: The same by arm.
        days: How long that takes; None where nobody said how many shoppers come.
    """

    baseline: Baseline
    lift: float
    power: float
    alpha: float
    shoppers: int
    by_arm: Mapping[str, int]
    days: int | None


def plan_test(
    baseline: Baseline,
    *,
    lift: float | None = None,
    shoppers: int | None = None,
    arms: Mapping[str, float] = _HALVES,
    power: float = 0.8,
    alpha: float = 0.05,
    shoppers_per_day: float | None = None,
    any_look: bool = False,
) -> Plan:
    """A plan from the lift that matters, or from the shoppers there will be.

    Args:
        baseline: CTR before the test.
        lift: Relative difference to be found; either this or ``shoppers``.
        shoppers: Exposed shoppers there will be, all arms together.
        arms: Arm to share.
        power: Chance to find the lift.
        alpha: Chance of a false alarm over all arms.
        shoppers_per_day: Shoppers exposed for the first time in a day, all arms together; those who
            come back count once.
        any_look: As for :func:`required_shoppers`.

    Raises:
        InvalidInput: a value out of its range, or both or neither of lift and shoppers.
    """
    if (lift is None) == (shoppers is None):
        raise InvalidInput("give either the lift to be found or the shoppers there will be")
    if shoppers_per_day is not None and not 0 < shoppers_per_day < math.inf:
        raise InvalidInput(f"shoppers_per_day {shoppers_per_day}: give a number above 0")
    sure = 1 - alpha
    if lift is None:
        assert shoppers is not None
        lift = minimal_detectable_lift(
            baseline, shoppers, arms=arms, power=power, confidence=sure, any_look=any_look
        )
    if shoppers is None:
        shoppers = required_shoppers(
            baseline, lift, arms=arms, power=power, confidence=sure, any_look=any_look
        )
    return Plan(
        baseline=baseline,
        lift=lift,
        power=power,
        alpha=alpha,
        shoppers=shoppers,
        by_arm={arm: math.ceil(round(shoppers * share, 6)) for arm, share in arms.items()},
        days=math.ceil(shoppers / shoppers_per_day) if shoppers_per_day else None,
    )


def _alpha(arms: Mapping[str, float], power: float, confidence: float, any_look: bool) -> float:
    """The level of one look that a lift has to be found at, of each arm."""
    Arms("design", arms)
    if len(arms) < 2:
        raise InvalidInput(f"arms {list(arms)}: nothing to compare control with; add one")
    for name, value in (("power", power), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InvalidInput(f"{name} {value}: choose between 0 and 1")
    alpha = (1 - confidence) / (len(arms) - 1)
    if not any_look:
        return alpha
    # How wide that interval is where it is narrowest depends on the level alone.
    width = always_valid_width(_PLANNED, planned=_PLANNED, alpha=alpha)
    return 2 * NormalDist().cdf(-width)


def _others(arms: Mapping[str, float]) -> list[float]:
    return [share for arm, share in arms.items() if arm != "control"]
