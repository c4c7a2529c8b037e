"""Whether a new ranker's table may be shown to more shoppers, by what those who got it did."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

from persona_img.abtest.sequential import EARLIEST, always_valid_width
from persona_img.abtest.shoppers import per_shopper
from persona_img.abtest.split import check_split
from persona_img.abtest.statistics import Sample
from persona_img.errors import NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from persona_img.domain.decision import Ramp

STAGES = (0.1, 0.5)
"""Shares of the arm; behind the last one is all of it."""

HARM = 0.05
"""Chance that a challenger that does none is halted for harm, however often one looks."""

EARLY, LAST = 0.005, 0.04
"""Chance that a challenger that is no better is promoted: at any look of either stage, and at the
planned end; 5 % together."""

_CONTROL = "control"
_CHAMPION, _CHALLENGER = "champion", "challenger"
_SPLIT = 0.001
_FIRST = 0.05
"""Part of the planned impressions after which the first stage has seen that nothing breaks."""

Action = Literal["wait", "widen", "promote", "halt"]


@dataclass(frozen=True)
class RampVerdict:
    """What follows for a ramp.

    Attributes:
        action: ``wait``; ``widen`` to the next stage; ``promote``; or ``halt``.
        reason: Why, in plain words.
        lift: Click rate of the challenger's shoppers by the champion's, less 1; NaN where unknown.
        low: The least it is, however often one looks, with a chance of ``EARLY`` to be wrong.
        high: The most it is, with a chance of ``HARM``.
        impressions: Of the challenger's shoppers in this stage.
    """

    action: Action
    reason: str
    lift: float = math.nan
    low: float = math.nan
    high: float = math.nan
    impressions: int = 0


def judge(
    feedback: pd.DataFrame,
    ramp: Ramp,
    test: str,
    *,
    planned: int,
    joined: Collection[str] = (),
) -> RampVerdict:
    """What follows from one stage of a ramp.

    Shoppers are compared as they were dealt, whatever picture each has kept from before. A stage is
    judged on its own impressions, for shoppers of an earlier one were dealt otherwise. At any look
    harm halts, and what is better for certain is promoted. Else the last stage is read once, when
    both have seen the planned impressions.

    Args:
        feedback: Impressions shown since the stage began, of all arms.
        ramp: The stage.
        test: Name of the A/B test.
        planned: Impressions of the challenger's and of the champion's shoppers each, at which the
            last stage is read; fixed before it begins.
        joined: Shoppers who got another name since the stage began. They are left out: before, that
            name was dealt by itself.

    References:
        Xia, Bhardwaj, Dmitriev, Fabijan 2019, "Safe Velocity: A Practical Guide to Software
        Deployment at Scale using Controlled Rollout", ICSE-SEIP: ramps with guardrails.
    """
    rows = feedback[(feedback["test"] == test) & ~feedback["shopper"].isin(list(joined))]
    member = rows["shopper"].map({s: ramp.includes(test, s) for s in rows["shopper"].unique()})
    # Who is in control is in no group of the ramp.
    group = np.where(member.astype(bool), _CHALLENGER, _CHAMPION)
    group = np.where(rows["arm"] == _CONTROL, _CONTROL, group)
    try:
        shoppers = per_shopper(
            rows.assign(arm=group), test, (_CONTROL, _CHAMPION, _CHALLENGER)
        ).table
    except NotEnoughData:
        return RampVerdict("wait", "nothing was shown in this stage yet")
    samples = {
        arm: Sample(arm, own["clicks"].to_numpy(), own["impressions"].to_numpy())
        for arm in (_CONTROL, _CHAMPION, _CHALLENGER)
        for own in (shoppers[shoppers["arm"] == arm],)
    }
    new, old = samples[_CHALLENGER], samples[_CHAMPION]
    shown = int(new.denominator.sum())
    if min(new.shoppers, old.shoppers) < EARLIEST:
        return RampVerdict(
            "wait",
            f"{new.shoppers} shoppers of the challenger and {old.shoppers} of the champion were "
            f"seen in this stage; a comparison needs {EARLIEST} each",
            impressions=shown,
        )
    split = check_split([old.shoppers, new.shoppers], [1.0 - ramp.share, ramp.share], _SPLIT)
    if split.p < _SPLIT:
        return RampVerdict(
            "wait",
            f"{new.shoppers} of {new.shoppers + old.shoppers} shoppers where {ramp.share:.0%} were "
            f"to be dealt (p = {split.p:.1g}): assignment or logging is broken; nothing is judged",
            impressions=shown,
        )
    return _judged(new, old, samples[_CONTROL], ramp.share, planned)


def _judged(new: Sample, old: Sample, photo: Sample, share: float, planned: int) -> RampVerdict:
    shown, beside = int(new.denominator.sum()), int(old.denominator.sum())
    if not old.numerator.any():
        return RampVerdict("wait", "nobody of the champion's clicked yet", impressions=shown)
    # Per shopper, at which the intervals are narrowest: where the planned impressions are seen.
    each = (shown + beside) / (new.shoppers + old.shoppers)
    expected = max(1.0, 2 * planned / each)
    gain = _Gain.of(old, new)
    low, high = gain.at_any_look(expected, EARLY)[0], gain.at_any_look(expected, HARM)[1]

    def verdict(action: Action, reason: str) -> RampVerdict:
        said = (
            f"challenger {new.ratio:.2%} against champion {old.ratio:.2%} on {shown:,} and "
            f"{beside:,} impressions: {gain.lift:+.1%}, however often one looks between "
            f"{low:+.1%} and {high:+.1%}; {reason}"
        )
        return RampVerdict(action, said, gain.lift, low, high, shown)

    if high < 0.0:
        return verdict("halt", "it is worse")
    if photo.shoppers >= EARLIEST and photo.numerator.any():
        above_photo = _Gain.of(photo, new).at_any_look(expected, HARM)[1]
        if above_photo < 0.0:
            return verdict("halt", f"it is worse than the photo, {above_photo:+.1%} at most")
    if low > 0.0:
        return verdict("promote", "it is better")
    if share < STAGES[-1]:
        if shown >= _FIRST * planned:
            return verdict("widen", "nothing breaks")
        return verdict("wait", f"wider from {math.ceil(_FIRST * planned):,} impressions on")
    if min(shown, beside) < planned:
        return verdict("wait", f"read at {planned:,} impressions of both")
    least = gain.lift - NormalDist().inv_cdf(1.0 - LAST) * gain.error
    if least > 0.0:
        return verdict("promote", f"read at the planned end: at least {least:+.1%}")
    return verdict("halt", f"read at the planned end: that may be {least:+.1%}")


@dataclass(frozen=True)
class _Gain:
    """Difference of two click rates, as a part of the first.

    The difference, not the logarithm of the ratio: of an arm that hardly anybody clicks that one is
    far from normal, and harm would not be seen.
    """

    lift: float
    error: float
    shoppers: int

    @classmethod
    def of(cls, reference: Sample, new: Sample) -> _Gain:
        # Without a click nothing varies; one more than there was understates the harm.
        new = new if new.numerator.any() else _with_a_click(new)
        error = math.sqrt(sum(s.variance / s.shoppers for s in (reference, new)))
        lift = new.ratio / reference.ratio - 1.0
        return cls(lift, error / reference.ratio, reference.shoppers + new.shoppers)

    def at_any_look(self, expected: float, chance: float) -> tuple[float, float]:
        """Both ends, each wrong at any look at all with this chance."""
        width = always_valid_width(self.shoppers, planned=expected, alpha=2 * chance)
        return self.lift - width * self.error, self.lift + width * self.error


def _with_a_click(sample: Sample) -> Sample:
    clicks = sample.numerator.copy()
    clicks[0] = 1.0
    return replace(sample, numerator=clicks)
