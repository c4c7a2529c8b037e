"""How long impressions stay true, by what would have predicted the weeks that followed best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.decision import uniform
from persona_img.ranking.columns import Names, effects
from persona_img.ranking.counts import Counts, days_of
from persona_img.ranking.effects import Design
from persona_img.ranking.posterior import HELPING, most_likely_each

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from persona_img.ranking.base import Floats, RankingFeatures

HALF_LIVES = (math.inf, 28.0, 14.0, 7.0)
"""Days, the longest first: what is forgotten has to be learned again."""

_WEEK, _WEEKS = 7, 6
"""Days that are predicted at a time, and how many times at most."""

_ENOUGH_FOUND = 0.01
"""Log-likelihood by which memories may be misjudged for a shorter search."""

_CHANGED = 15.0
"""Log-likelihood that must speak for forgetting at all. Shoppers who come again, and tastes that no
sum of effects describes, gain short memories up to 10 in quiet weeks; a flip of tastes gains 45 and
more in the two weeks after it (simulated shops of 36,000 impressions a fortnight)."""

_LEAST_GAIN = 1.0
"""Log-likelihood that each shorter memory must gain over the one before it, besides."""

_ENOUGH = 200_000
"""Impressions that tell how long memory should be; of more, some shoppers' are taken."""


def half_life_of(
    feedback: pd.DataFrame, features: RankingFeatures, spreads: Mapping[str, float]
) -> float:
    """The half-life of :data:`HALF_LIVES` that would have predicted the last weeks best.

    Each week is predicted from the days before it. A memory is worth what it would have gained in
    the last week, the last two, or however many speak most for it: quiet weeks before a change say
    nothing against it, and what it was worth forgetting for stays counted in the weeks after it,
    until as many quiet ones have told that it is over.

    Args:
        feedback: Of :func:`~persona_img.domain.feedback_table.weighed_feedback`.
        features: Of the segments and products in it.
        spreads: Prior standard deviations by kind of effect.

    Returns:
        Days; infinity where nothing is older than a week that could be predicted.

    References:
        Dawid 1984, "Present position and potential developments: the prequential approach", JRSS A:
        what is believed is judged by what it says of data that it has not seen. Page 1954,
        "Continuous Inspection Schemes", Biometrika: the best of all times since which something
        may have changed.
    """
    feedback = _enough(feedback)
    day = days_of(feedback)
    asked = _LEAST_GAIN * np.arange(len(HALF_LIVES)) + np.where(np.isinf(HALF_LIVES), 0, _CHANGED)
    gained = np.zeros(len(HALF_LIVES))
    most = np.full(len(HALF_LIVES), -np.inf)
    for number in range(_WEEKS):
        last = day.max() - number * _WEEK
        week, before = (day > last - _WEEK) & (day <= last), day <= last - _WEEK
        # Of two weeks the first has no older days to forget.
        if last - day.min() < 2 * _WEEK - 1 or not (_varied(feedback[before]) and week.any()):
            break
        found = _predicted(feedback[before], feedback[week], features, spreads)
        gained = gained + found - found[0]
        most = np.maximum(most, gained)
    return HALF_LIVES[int((most - asked).argmax())]


def _predicted(
    before: pd.DataFrame,
    week: pd.DataFrame,
    features: RankingFeatures,
    spreads: Mapping[str, float],
) -> Floats:
    """Log-likelihood of a week after the days before it, by half-life.

    What is forgotten is what styles add. How often products are clicked at all is told by the
    photo, too: weeks that showed little else would speak for a long memory of tastes that they say
    nothing about.
    """
    taught, asked = Counts.of(before), Counts.of(week)
    names = Names.of(taught.places, features)
    design = Design.of(names, taught.places, *taught.weighed(math.inf), spreads)
    tastes = np.array([effect.style for effect in effects(names)])[design.block]
    lasting: Floats | None = None
    known = design.rows(asked.places)
    clicks, misses = asked.weighed(math.inf)
    found: list[float] = []
    for mean in most_likely_each(
        design.matrix,
        design.expected[design.block],
        (taught.weighed(half_life) for half_life in HALF_LIVES),
        joint=HELPING,
        enough=_ENOUGH_FOUND,
    ):
        lasting = mean if lasting is None else lasting
        score = known @ np.where(tastes, mean, lasting)
        found.append(float(clicks @ score - (clicks + misses) @ np.logaddexp(0.0, score)))
    return np.array(found)


def _enough(feedback: pd.DataFrame) -> pd.DataFrame:
    """Some shoppers' impressions, all of a shopper's or none, where there are very many."""
    share = _ENOUGH / len(feedback)
    if share >= 1.0:
        return feedback
    chosen = {s: uniform("memory", s) < share for s in feedback["shopper"].unique()}
    return feedback[feedback["shopper"].map(chosen)]


def _varied(feedback: pd.DataFrame) -> bool:
    return bool(0 < feedback["clicked"].sum() < len(feedback))
