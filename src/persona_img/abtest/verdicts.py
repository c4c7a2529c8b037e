"""What the numbers of an A/B test allow to say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from persona_img.abtest.report import ArmSummary, Comparison, SampleRatio, Verdict
from persona_img.abtest.statistics import sample_ratio_p

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A split this unlikely means broken assignment or logging; the customary threshold.
_SRM_ALPHA = 0.001
# Below these the normal approximation of a lift is poor: clicks are rare and skewed.
_FEW_SHOPPERS = 200
_FEW_CLICKS = 30


def sample_ratio(arms: Sequence[ArmSummary]) -> SampleRatio:
    """Whether the arms got their shares of the shoppers; each is checked against control.

    Args:
        arms: Two or more, control first.
    """
    control, *others = arms
    found = [p for arm in others for p in _split(control, arm, len(others))]
    if not found:
        total = sum(arm.shoppers for arm in arms)
        return SampleRatio(math.nan, None, f"{total} shoppers are too few to check the split")
    p = min(1.0, len(others) * min(found))
    return SampleRatio(p, p >= _SRM_ALPHA)


def _split(control: ArmSummary, arm: ArmSummary, checks: int) -> Iterator[float]:
    """P-value of one arm's split against control; nothing where no split could fail."""
    both, share = control.shoppers + arm.shoppers, arm.share / control.share
    if not both:
        return
    extreme = min(sample_ratio_p(0, both, share), sample_ratio_p(both, 0, share))
    if checks * extreme < _SRM_ALPHA:
        yield sample_ratio_p(control.shoppers, arm.shoppers, share)


def of_lift(found: Comparison, alpha: float, *, trusted: bool, early: bool) -> Verdict:
    """The verdict on a lift.

    Before the planned number of shoppers only the interval that holds at every look counts;
    after it, p-value and interval must both exclude "no difference".
    """
    if found.reason:
        return "undefined"
    if not trusted:
        return "do not trust"
    low, high = (found.always_low, found.always_high) if early else (found.low, found.high)
    sure = early or found.p < alpha
    if sure and low > 0:
        return "better"
    if sure and high < 0:
        return "worse"
    return "too early" if early else "no difference shown"


def of_guardrail(found: Comparison, margin: float, *, trusted: bool) -> Verdict:
    """``holds`` where a loss beyond the margin is excluded, ``harmed`` where a loss is shown."""
    if found.reason:
        return "undefined"
    if not trusted:
        return "do not trust"
    if found.high < 0:
        return "harmed"
    return "holds" if found.low > -margin else "unclear"


def of_segment(found: Comparison, *, trusted: bool) -> Verdict:
    """``exploratory``: with many segments one looks better by chance."""
    if found.reason:
        return "undefined"
    return "exploratory" if trusted else "do not trust"


def warnings(
    arms: Sequence[ArmSummary], ratio: SampleRatio, planned: int | None
) -> tuple[str, ...]:
    """What to know before acting on the report, worst first."""
    return tuple(_warnings(arms, ratio, planned))


def _warnings(arms: Sequence[ArmSummary], ratio: SampleRatio, planned: int | None) -> Iterator[str]:
    if ratio.ok is False:
        seen = ", ".join(f"{arm.arm} {arm.shoppers} (share {arm.share:g})" for arm in arms)
        yield (
            f"the split fails its check: {seen}. Shoppers are missing from an arm; do not "
            "trust the lifts before assignment and logging are repaired"
        )
    total = sum(arm.shoppers for arm in arms)
    if planned is not None and total < planned:
        yield (
            f"{total} of {planned} planned shoppers: p and interval hold for one look at the end; "
            "before it, read the interval that holds at any look"
        )
    for arm in arms:
        if arm.shoppers < _FEW_SHOPPERS or arm.clicks < _FEW_CLICKS:
            yield (
                f"arm {arm.arm} has {arm.shoppers} shoppers and {arm.clicks} clicks: below "
                f"{_FEW_SHOPPERS} and {_FEW_CLICKS} intervals and p-values are rough"
            )
