"""What came back since a ranker was fitted, and what it does to the chances of a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from persona_img.domain.decision import Slate
from persona_img.domain.feedback_table import weights_of
from persona_img.ranking.chances import weighed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from persona_img.domain.decision import DecisionTable
    from persona_img.domain.style import Style
    from persona_img.ranking.base import Policy, Ranker
    from persona_img.ranking.chances import Counted

_STILL = 1e-3
"""Change of a chance that is none."""

_PRIOR_SLOPE = 1.0
"""Spread that is expected of the slope of log-odds over the logarithm of the position."""

_NEWTON = 50


@runtime_checkable
class Updatable(Protocol):
    """A ranker that takes in later impressions without being fitted anew."""

    def updated(self, feedback: pd.DataFrame) -> Ranker:
        """It, knowing more."""


def revised_slates(
    plan: DecisionTable,
    served: DecisionTable,
    ranker: Ranker,
    policy: Policy,
    feedback: pd.DataFrame,
) -> dict[tuple[str, str], Slate]:
    """Slates whose chances are to change, from what a ranker knew and what came back since.

    A ranker that can be updated learns from all of it, across products and segments. Of any other
    each slate is moved by its own impressions alone. Both begin at the ranker's fit: how often this
    is called in between plays no part.

    Args:
        plan: What ``ranker`` planned, before any revision.
        served: The plan or the revision of it that is served.
        ranker: As it was fitted.
        policy: Makes chances of it.
        feedback: Of :func:`~persona_img.domain.feedback_table.weighed_feedback`: impressions of all
            arms that ``ranker`` has not learned from.

    Returns:
        (segment, product) to slate; those that would stay as they are served are left out.
    """
    counted: Mapping[tuple[str, str], Counted] = {}
    if isinstance(ranker, Updatable):
        ranker = ranker.updated(feedback)
        concerned = set(plan.slates)
    else:
        counted = counted_evidence(feedback)
        # What was moved before and has no impression any more goes back to the plan.
        moved = {p for p, slate in served.slates.items() if slate != plan.slates[p]}
        concerned = (set(counted) & set(plan.slates)) | moved
    told = concerned if isinstance(ranker, Updatable) else concerned & set(counted)
    asked = {p: [c.style for c in plan.slates[p].candidates] for p in sorted(told)}
    new = {place: plan.slates[place] for place in sorted(concerned)}
    for place, (styles, chances) in weighed(ranker, policy, asked, counted):
        new[place] = _with_chances(new[place], styles, chances)
    return {
        place: slate for place, slate in new.items() if _apart(slate, served.slates[place]) > _STILL
    }


def counted_evidence(feedback: pd.DataFrame) -> dict[tuple[str, str], Counted]:
    """Impressions and clicks by segment, product and style.

    An impression further down counts as the part of one at position 1 that has as many clicks; both
    it and its click as many times as its weight says.
    """
    if feedback.empty:
        return {}
    weight = weights_of(feedback)
    worth = weight * feedback["position"].to_numpy(dtype=np.float64) ** position_slope(feedback)
    names = ["segment", "product", "style_key"]
    sums = (
        feedback[names]
        .assign(shown=worth, clicks=weight * feedback["clicked"].to_numpy(dtype=np.float64))
        .groupby(names, sort=True, observed=True)
        .sum()
    )
    found: dict[tuple[str, str], Counted] = {}
    for (segment, product, key), row in zip(sums.index, sums.to_numpy(), strict=True):
        shown, clicks = row.tolist()
        # A click in fewer than one whole impression is still one.
        found.setdefault((segment, product), {})[key] = (max(shown, clicks), clicks)
    return found


def position_slope(feedback: pd.DataFrame) -> float:
    """By which power of its position an impression's clicks go down; 0 where nothing tells.

    Within each product, so that popular ones may stand first: clicks are Poisson, each product has
    a rate of its own, which is conditioned away.

    Args:
        feedback: Of :func:`~persona_img.domain.feedback_table.as_feedback`.
    """
    cells = feedback.groupby(["product", "position"], sort=True, observed=True)["clicked"]
    counts = cells.agg(["size", "sum"]).reset_index()
    product, _ = pd.factorize(counts["product"])
    x = np.log(counts["position"].to_numpy(dtype=np.float64))
    shown, clicks = (counts[name].to_numpy(dtype=np.float64) for name in ("size", "sum"))
    total = np.bincount(product, clicks)
    slope = 0.0
    for _ in range(_NEWTON):
        weight = shown * np.exp(slope * x)
        sums = np.bincount(product, weight)
        mean = np.bincount(product, weight * x) / sums
        spread = np.bincount(product, weight * x**2) / sums - mean**2
        gradient = clicks @ x - total @ mean - slope / _PRIOR_SLOPE**2
        step = gradient / (total @ spread + 1.0 / _PRIOR_SLOPE**2)
        slope += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-10:
            break
    return slope


def _with_chances(slate: Slate, styles: Sequence[Style], chances: Sequence[float]) -> Slate:
    chance = dict(zip(styles, chances, strict=True))
    return Slate(tuple(replace(c, probability=chance[c.style]) for c in slate.candidates))


def _apart(one: Slate, other: Slate) -> float:
    before = {c.style: c.probability for c in other.candidates}
    return max(abs(c.probability - before[c.style]) for c in one.candidates)
