"""What does harm for certain, however often one looks: a whole arm, or one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from persona_img.abtest.sequential import EARLIEST, always_valid_width
from persona_img.domain.style import ORIGINAL
from persona_img.errors import NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from persona_img.abtest.analysis import ABTest

_CONTROL = "control"
_PLANNED = 2000
"""Shoppers at which a picture's interval is narrowest."""

_NOTHING = 1e-12
_LEAST_KEPT = 0.05
"""Part of a residual that is at least taken to be left by the fit."""

_SLATE = ["policy_version", "segment", "position"]


@dataclass(frozen=True)
class Harmful:
    """A picture that is clicked less than its product's photo.

    Attributes:
        product: Product.
        style_key: Style of the picture.
        digest: The picture.
        difference: Click rate less the photo's, in the same slates and positions.
        high: What that is at most.
        shoppers: Who saw either.
    """

    product: str
    style_key: str
    digest: str
    difference: float
    high: float
    shoppers: int

    def __str__(self) -> str:
        return (
            f"clicked {100 * self.difference:+.2f} points against the photo in the same slates, at "
            f"most {100 * self.high:+.2f} however often one looks ({self.shoppers:,} shoppers)"
        )


def harm_of_arm(test: ABTest, feedback: pd.DataFrame) -> str:
    """Why a test has to stop: an arm that loses clicks, or conversions beyond the margin.

    Where the split of shoppers fails, nobody can say what an arm does, and nothing is said.

    Args:
        test: The test.
        feedback: As for :meth:`~persona_img.abtest.analysis.ABTest.analyze`.

    Returns:
        The reason, by intervals that hold at every look; empty where there is none.
    """
    try:
        report = replace(test, always_valid=True).analyze(feedback)
    except NotEnoughData:
        return ""
    if report.sample_ratio.ok is False:
        return ""
    rules = [(found, 0.0) for found in report.comparisons]
    rules += [
        (found, test.guardrail_margin)
        for found in report.guardrails
        if found.metric == "conversion rate"
    ]
    for found, margin in rules:
        # NaN, where there is too little to say, is not below anything.
        if found.always_high < -margin:
            return (
                f"{found.metric} of {found.arm} {found.lift:+.1%} against control, at most "
                f"{found.always_high:+.1%} however often one looks"
                + (f", where {-margin:.0%} was tolerated" if margin else "")
            )
    return ""


def harmful_pictures(feedback: pd.DataFrame, *, confidence: float = 0.95) -> list[Harmful]:
    """Pictures that do harm for certain, worst first.

    A picture and the photo are compared where chance alone chose between them: within the slates of
    one segment and policy version, at one position. Errors are by shopper, and the intervals hold
    at every look and for all pictures together (Bonferroni).

    Args:
        feedback: Of :func:`~persona_img.domain.feedback_table.as_feedback`.
        confidence: That no picture is accused falsely, in (0, 1).
    """
    # Sums of floats depend on the order; the order of the log must not.
    names = ["shopper", "shown_at", "style_key", *_SLATE, "clicked"]
    chosen = feedback[feedback["arm"] != _CONTROL].sort_values(names, kind="stable")
    pictures = chosen[chosen["style_key"] != ORIGINAL.key]
    count = len(pictures[["product", "style_key", "digest"]].drop_duplicates())
    if not count:
        return []
    alpha = (1 - confidence) / count
    found: list[Harmful] = []
    for product, rows in chosen.groupby("product", sort=True, observed=True):
        found.extend(_harmful(str(product), rows, alpha))
    return sorted(found, key=lambda one: (one.high, one.product, one.style_key))


def _harmful(product: str, rows: pd.DataFrame, alpha: float) -> Iterator[Harmful]:
    photo = rows[rows["style_key"] == ORIGINAL.key]
    shown = rows[rows["style_key"] != ORIGINAL.key].dropna(subset=["digest"])
    if photo["shopper"].nunique() < EARLIEST:
        return
    for (key, digest), own in shown.groupby(["style_key", "digest"], sort=True, observed=True):
        if own["shopper"].nunique() < EARLIEST:
            continue
        both = pd.concat([own, photo])
        difference, error, shoppers = _compared(both, np.repeat([1.0, 0.0], [len(own), len(photo)]))
        if not error >= 0.0:
            continue
        high = difference + always_valid_width(shoppers, planned=_PLANNED, alpha=alpha) * error
        if high < 0.0:
            yield Harmful(product, str(key), str(digest), difference, high, shoppers)


def _compared(rows: pd.DataFrame, picture: np.ndarray) -> tuple[float, float, int]:
    """Difference in click rate within slates and positions, and its standard error by shopper.

    Least squares with an intercept for each slate and position; the error is the sandwich, with
    shoppers as clusters (Liang and Zeger 1986), of residuals that are enlarged by what the fit took
    from them (Bell and McCaffrey 2002, their leverage by its largest part): each revision has
    slates of its own, with few shoppers.

    Returns:
        Both, and how many shoppers they are of; NaN where fewer than the earliest that is read saw
        the picture, or the photo, in slates of both.
    """
    shopper, _ = pd.factorize(rows["shopper"])
    slate = rows.groupby(_SLATE, sort=False, observed=True).ngroup().to_numpy()
    count = np.bincount(slate)
    treated = picture - (np.bincount(slate, picture) / count)[slate]
    clicked = rows["clicked"].to_numpy(dtype=np.float64)
    clicked = clicked - (np.bincount(slate, clicked) / count)[slate]
    # A slate in which only one of them was seen compares nothing.
    told = np.abs(treated) > _NOTHING
    sides = [len(np.unique(shopper[told & (picture == side)])) for side in (0.0, 1.0)]
    seen = len(np.unique(shopper[told]))
    if min(sides) < EARLIEST:
        return math.nan, math.nan, seen
    squares = treated @ treated
    difference = float(treated @ clicked / squares)
    own = pd.Series(treated).groupby([shopper, slate]).transform("size").to_numpy()
    leverage = own * (1.0 / count[slate] + treated**2 / squares)
    # All that a slate has of a shopper's alone was fitted, and tells nothing.
    kept = np.maximum(1.0 - leverage, _LEAST_KEPT)
    score = treated * (clicked - difference * treated) / np.sqrt(kept)
    error = math.sqrt(float((np.bincount(shopper, score) ** 2).sum())) / float(squares)
    return difference, error, seen
