"""What the numbers of an A/B test allow to say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from persona_img.abtest.report import ArmSummary, Comparison, SampleRatio, Verdict
from persona_img.abtest.split import check_split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# A split this unlikely means broken assignment or logging; the customary threshold.
_SRM_ALPHA = 0.001
# Below these the normal approximation of a lift is poor: clicks are rare and skewed.
_FEW_SHOPPERS = 200
_FEW_CLICKS = 30
# A stray shopper with two names is nothing; more than this is a fault. As GrowthBook warns.
_MANY_CROSSED = 0.01


def sample_ratio(arms: Sequence[ArmSummary]) -> SampleRatio:
    """Whether the arms got their shares of the shoppers: one test over all of them.

    Args:
        arms: All that were planned, also those nobody was seen in; in any order.
    """
    found = check_split([a.shoppers for a in arms], [a.share for a in arms], _SRM_ALPHA)
    if math.isnan(found.p):
        total = sum(arm.shoppers for arm in arms)
        return SampleRatio(math.nan, None, f"{total} shoppers are too few to check the split")
    return SampleRatio(found.p, found.p >= _SRM_ALPHA, method=found.method)


def of_lift(
    found: Comparison, alpha: float, *, trusted: bool, early: bool, any_look: bool
) -> Verdict:
    """The verdict on a lift.

    With ``any_look`` only the interval that holds at every look counts, also after the plan. Else
    nothing does before the plan, and then p-value and interval must both exclude "no difference".
    """
    if found.reason:
        return "undefined"
    if not trusted:
        return "do not read"
    low, high = (found.always_low, found.always_high) if any_look else (found.low, found.high)
    if any_look and math.isnan(low):
        return "too early"  # of so few shoppers no interval holds at every look
    sure = any_look or (not early and found.p < alpha)
    if sure and low > 0:
        return "better"
    if sure and high < 0:
        return "worse"
    return "too early" if early else "no difference shown"


def of_guardrail(found: Comparison, margin: float, *, trusted: bool, any_look: bool) -> Verdict:
    """``holds`` where a loss beyond the margin is excluded, ``harmed`` where a loss is shown.

    With ``any_look`` by the interval that holds at every look.
    """
    if found.reason:
        return "undefined"
    if not trusted:
        return "do not read"
    low, high = (found.always_low, found.always_high) if any_look else (found.low, found.high)
    if high < 0:
        return "harmed"
    return "holds" if low > -margin else "unclear"


def of_segment(found: Comparison, *, trusted: bool) -> Verdict:
    """``exploratory``: with many segments one looks better by chance."""
    if found.reason:
        return "undefined"
    return "exploratory" if trusted else "do not read"


def warnings(
    arms: Sequence[ArmSummary], ratio: SampleRatio, planned: int | None, crossed: int = 0
) -> tuple[str, ...]:
    """What to know before acting on the report, worst first.

    Args:
        arms: All of them.
        ratio: Whether they got their shares.
        planned: Exposed shoppers the test was planned for; None without, or when they have come.
        crossed: Shoppers that were left out because they were in several arms.
    """
    return tuple(_warnings(arms, ratio, planned, crossed))


def joined_warnings(mixed: int, total: int) -> tuple[str, ...]:
    """What to know of shoppers whose names were joined.

    Args:
        mixed: Those whose names had seen several arms.
        total: Shoppers that were compared.
    """
    if not mixed:
        return ()
    who = "shopper whose names were linked" if mixed == 1 else "shoppers whose names were linked"
    return (
        f"{mixed} {who} had seen several arms before ({mixed / total:.1%}); each counts for the "
        "arm that is served since, which draws the arms together",
    )


def holdout_warnings(tested: int, linked: int = 0) -> tuple[str, ...]:
    """What to know of the holdout.

    Args:
        tested: Its shoppers who were left out because they were in the test too.
        linked: Those of whom one name was held out and another was in the test.
    """
    return (*_tested(tested), *_linked(linked))


def _linked(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    who = "shopper was" if count == 1 else "shoppers were"
    return (
        f"{count} {who} held out by one name and in the test by another, before the names were "
        "linked: left out of the holdout, and of the test where the person is held out since",
    )


def _tested(tested: int) -> tuple[str, ...]:
    if not tested:
        return ()
    were = "shopper of the holdout was" if tested == 1 else "shoppers of the holdout were"
    return (
        f"{tested} {were} in the test too, and left out of the holdout: it began or ended while "
        "the test ran; begin both together",
    )


def bot_warnings(bots: int, limits: Mapping[str, float]) -> tuple[str, ...]:
    """Who was left out as no shopper.

    Args:
        bots: How many.
        limits: Column to the value beyond which they were.
    """
    if not bots:
        return ()
    told = ", ".join(f"{name} over {limit:,.0f}" for name, limit in sorted(limits.items()))
    were = "shopper was" if bots == 1 else "shoppers were"
    return (f"{bots:,} {were} left out as no shopper does that: {told}",)


def _warnings(
    arms: Sequence[ArmSummary], ratio: SampleRatio, planned: int | None, crossed: int
) -> Iterator[str]:
    total = sum(arm.shoppers for arm in arms)
    if ratio.ok is False:
        shares = math.fsum(arm.share for arm in arms)
        seen = ", ".join(
            f"{a.arm} {a.shoppers} of {total * a.share / shares:.0f} expected" for a in arms
        )
        yield (
            f"the split fails its check: {seen}. Shoppers are missing from an arm; do not read "
            "the lifts before assignment and logging are repaired"
        )
    if crossed:
        share = crossed / (crossed + total)
        many = "; that many say that the assignment is broken" if share > _MANY_CROSSED else ""
        were = "shopper was" if crossed == 1 else "shoppers were"
        yield (
            f"{crossed} {were} seen in several arms ({share:.1%}) and left out: each should keep "
            f"one{many}"
        )
    if planned is not None and total < planned:
        yield (
            f"{total} of {planned} planned shoppers: p and the usual interval hold for one look at "
            "the end; before it, read the interval that holds at any look"
        )
    for arm in arms:
        if arm.shoppers < _FEW_SHOPPERS or arm.clicks < _FEW_CLICKS:
            yield (
                f"arm {arm.arm} has {arm.shoppers} shoppers and {arm.clicks} clicks: below "
                f"{_FEW_SHOPPERS} and {_FEW_CLICKS} intervals and p-values are rough"
            )
