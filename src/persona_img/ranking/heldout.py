"""Two rankers on the logged slates, impression by impression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from persona_img.domain.decision import Context, Ranking
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import NotEnoughData
from persona_img.offpolicy.estimators import dr_contributions
from persona_img.offpolicy.logged import Logged, Predicted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from persona_img.domain.decision import DecisionTable
    from persona_img.ranking.base import Floats, Policy, Ranker

CONTROL = "control"
_SUM_TOLERANCE = 1e-6
_DIGITS = 8

Column = NDArray[np.object_]

ServedSlates = Mapping[tuple[str, str, str], tuple[Style, ...]]
"""(policy version, segment, product) to the styles there was a choice of."""

_SLATE = ["policy_version", "segment", "product"]


def served_slates(tables: Iterable[DecisionTable]) -> ServedSlates:
    """The slates of tables that were served."""
    return {
        (table.policy_version, segment, product): tuple(sorted(c.style for c in slate.candidates))
        for table in tables
        for (segment, product), slate in table.slates.items()
    }


def observed_slates(feedback: pd.DataFrame) -> ServedSlates:
    """Slates of which every candidate was shown: their propensities sum to 1.

    A slate with candidates that were never shown, or shown with two propensities, is left out.
    """
    # One chance that was written twice with other last digits is one chance.
    rounded = feedback.assign(propensity=feedback["propensity"].round(_DIGITS))
    distinct = rounded[[*_SLATE, "style_key", "propensity"]].drop_duplicates()
    slates = {}
    for place, rows in distinct.groupby(_SLATE):
        keys = list(rows["style_key"])
        whole = abs(rows["propensity"].sum() - 1.0) <= _SUM_TOLERANCE
        if whole and len(set(keys)) == len(keys) and ORIGINAL.key in keys:
            version, segment, product = map(str, place)
            slates[version, segment, product] = tuple(Style(key) for key in sorted(keys))
    return slates


def judged(
    feedback: pd.DataFrame, tables: Iterable[DecisionTable]
) -> tuple[pd.DataFrame, ServedSlates, float]:
    """Impressions with a choice and a known slate, the slates, and the share that was kept.

    A slate of which a variant was withdrawn while it was served is not known: from the log nobody
    can tell which impressions still had the choice of it.
    """
    chosen = feedback[feedback["arm"] != CONTROL]
    if chosen.empty:
        raise NotEnoughData("no impression outside control; serve the personalized arm first")
    served = list(tables)
    known = {**observed_slates(chosen), **served_slates(served)}
    for place in _changed(chosen, served):
        known.pop(place, None)
    kept = chosen[[place in known for place in _places(chosen)]]
    if kept.empty:
        raise NotEnoughData("no slate was shown whole; pass the tables that were served")
    # Sums of floats depend on the order; neither the order of the log nor the shop's key, by which
    # decisions are named, may have a part in it.
    order = ["test", "policy_version", "shopper", "product", "shown_at", "position", "clicked"]
    ordered = kept.sort_values(order, kind="stable")
    return ordered, known, len(kept) / len(chosen)


def _changed(chosen: pd.DataFrame, tables: Iterable[DecisionTable]) -> set[tuple[str, str, str]]:
    """Slates whose original photo, and no other style, was shown with more chance than planned.

    That is how serving logs a withdrawal: the photo takes over what the variant had. Of a table
    that turns chances to single shoppers, such impressions have a policy version of their own.
    """
    tables = [table for table in tables if table.personal is None]
    planned = {
        (table.policy_version, segment, product): {c.style.key: c.probability for c in s.candidates}
        for table in tables
        for (segment, product), s in table.slates.items()
    }
    more, wrong = set(), set()
    logged = zip(_places(chosen), chosen["style_key"], chosen["propensity"], strict=True)
    for place, key, chance in logged:
        excess = chance - planned.get(place, {}).get(key, chance)
        if key == ORIGINAL.key and excess > _SUM_TOLERANCE:
            more.add(place)
        elif abs(excess) > _SUM_TOLERANCE:
            wrong.add(place)
    return more - wrong


def contributions(
    rows: pd.DataFrame, champion: Ranker, challenger: Ranker, policy: Policy, known: ServedSlates
) -> tuple[Column, Floats, Floats, Floats]:
    """Shopper, challenger's weight, and both rankers' contributions, impression by impression."""
    shopper = rows["shopper"].to_numpy(dtype=object)
    reward = rows["clicked"].to_numpy(dtype=np.float64)
    propensity = rows["propensity"].to_numpy(dtype=np.float64)
    seen = dict(_contexts(rows, champion, challenger, policy, known))
    cells = [
        seen[place].at(key) for place, key in zip(_places(rows), rows["style_key"], strict=True)
    ]
    old, new, shown, old_expected, new_expected = np.array(cells, dtype=np.float64).T
    logged_old = Logged(shopper, reward, propensity, old)
    logged_new = Logged(shopper, reward, propensity, new)
    return (
        shopper,
        logged_new.weight,
        dr_contributions(logged_old, Predicted(shown, old_expected)),
        dr_contributions(logged_new, Predicted(shown, new_expected)),
    )


@dataclass(frozen=True)
class _Judgement:
    """One slate as both rankers see it: by style key, chances and the predicted click rate."""

    old: dict[str, float]
    new: dict[str, float]
    rate: dict[str, float]

    def at(self, key: str) -> tuple[float, float, float, float, float]:
        """Chances of the style, its predicted rate, and both rankers' expected rates."""
        return (
            self.old.get(key, 0.0),
            self.new.get(key, 0.0),
            self.rate.get(key, 0.0),
            sum(self.old[k] * self.rate[k] for k in self.rate),
            sum(self.new[k] * self.rate[k] for k in self.rate),
        )


def _contexts(
    rows: pd.DataFrame, champion: Ranker, challenger: Ranker, policy: Policy, known: ServedSlates
) -> Iterator[tuple[tuple[str, str, str], _Judgement]]:
    for place in dict.fromkeys(_places(rows)):
        context, styles = Context(*place[1:]), known[place]
        old, new = champion.rank(context, styles), challenger.rank(context, styles)
        rate = {s.key: score for s, score in zip(new.styles, new.scores, strict=True)}
        judgement = _Judgement(_chances(policy, old), _chances(policy, new), rate)
        yield place, judgement


def _places(feedback: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Which slate each impression was drawn from."""
    columns = (feedback[name] for name in _SLATE)
    return zip(*columns, strict=True)


def _chances(policy: Policy, ranking: Ranking) -> dict[str, float]:
    found = policy.probabilities(ranking)
    return {s.key: float(p) for s, p in zip(ranking.styles, found, strict=True)}
