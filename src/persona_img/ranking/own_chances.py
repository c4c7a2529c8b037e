"""What shoppers saw by their own chances, counted as the segment's chances would have shown it.

A ranker learns what a segment clicks. Where chances are turned to single shoppers, a style is shown
more to those who like it, and its click rate among them is not the segment's. An impression counts
as many times as the segment's chance of it is larger than the chance it was drawn with: what was
shown to those who like it counts less, and more what was shown to the others.

The other way would be to tell the ranker what traits were believed to add, as known log-odds. It
loses no impressions, but believes the leaning, which is shrunk and only of traits on styles: what
shoppers differ in besides (how eager they are, how often they saw the product) would stay mixed
into the styles. And cells of equal impressions, which make a fit fast, would be gone. Chances are
known, not believed; and they turn little enough that the log stays worth most of its size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from persona_img.domain.feedback_table import WEIGHT, as_feedback
from persona_img.ranking.heldout import CONTROL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from persona_img.domain.decision import DecisionTable

_PLACE = ("policy_version", "segment", "product", "style_key")

MOST = 10.0
"""Impressions that one may count as. What is cut off there biases a fit towards what shoppers' own
chances showed; without it the few who were shown what they do not like would decide. Chances that
turn as odds to the power of four are told right within 4 %, of six within 13 %.
"""


def counted_for_segments(
    feedback: pd.DataFrame, tables: Iterable[DecisionTable], *, most: float = MOST
) -> pd.DataFrame:
    """The impressions with how many each counts as, in ``weight``, for a ranker to be fitted on.

    That is the chance in the segment's slate over the logged one, at most ``most``; and all of a
    segment's by what makes their sum the number of equal impressions that would tell as much
    (Kish 1965), or a ranker would be surer than it can be. The first is 1 where chances were the
    segment's: in control, of tables that turn none, of a shopper nobody knew; and where the
    segment's chance is not known: of tables that are not given, and of slates of which a variant
    was withdrawn while they were served.

    Args:
        feedback: One row per impression, as for :func:`as_feedback`.
        tables: What was served, of any policy version in the feedback.
        most: Above 0.

    Returns:
        ``FEEDBACK_COLUMNS`` and ``weight``, float64 in (0, ``most``], under a fresh index.

    Raises:
        InvalidInput: a column is missing, or a value is not what its column holds.
    """
    feedback = as_feedback(feedback)
    served = {table.policy_version: table for table in tables if table.personal is not None}
    weight = np.ones(len(feedback))
    turned = feedback["policy_version"].isin(served) & (feedback["arm"] != CONTROL)
    drawn = np.flatnonzero(turned)
    rows = feedback.iloc[drawn]
    # A picture was shown many times: its chance is looked up once.
    places = rows[[*_PLACE]]
    shown = [_planned(served, *place) for place in places.drop_duplicates().itertuples(index=False)]
    which = places.groupby([*_PLACE], sort=False).ngroup().to_numpy()
    planned = np.array(shown, dtype=np.float64)[which]
    logged = rows["propensity"].to_numpy(dtype=np.float64)
    found = np.where(np.isnan(planned), 1.0, np.minimum(planned / logged, most))
    segment, _ = pd.factorize(rows["segment"])
    told = np.bincount(segment, found) / np.bincount(segment, found**2)
    weight[drawn] = found * told[segment]
    return feedback.assign(**{WEIGHT: weight})


def _planned(
    served: Mapping[str, DecisionTable], version: str, segment: str, product: str, style: str
) -> float:
    """The segment's chance of a picture; NaN where its slate has none."""
    slate = served[version].slates.get((segment, product))
    chances = (c.probability for c in (slate.candidates if slate else ()) if c.style.key == style)
    return next(chances, math.nan)
