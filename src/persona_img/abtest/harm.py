"""What does harm for certain, however often one looks: a whole arm, or one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from persona_img.abtest.metrics import CTR
from persona_img.abtest.sequential import EARLIEST, always_valid_width
from persona_img.domain.feedback_table import weights_of
from persona_img.domain.style import ORIGINAL
from persona_img.errors import NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from persona_img.abtest.analysis import ABTest
    from persona_img.abtest.report import ABReport, Comparison

    Codes = NDArray[np.int64]
    Floats = NDArray[np.float64]

_CONTROL = "control"
_PLANNED = 2000
"""Shoppers at which a picture's interval is narrowest."""

_NOTHING = 1e-12
_LEAST_KEPT = 0.05
"""Part of a residual that is at least taken to be left by the fit."""

_SLATE = ("policy_version", "segment", "position")

_ALL = 2.1097428012
"""The sum of 1 / (n ln² n) over all n from 2."""


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
    """Why a test has to stop: an arm that loses what decides, clicks, or what is guarded.

    The metric that decides and CTR may lose nothing, guardrails up to the margin; CTR as a
    guardrail too. Where the split of shoppers fails, nobody can say what an arm does, and nothing
    is said.

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
    rules = protected(report, test.guardrail_margin)
    rules += [(found, 0.0) for found in report.secondary if found.metric == CTR.name]
    for found, margin in rules:
        # NaN, where there is too little to say, is not below anything.
        if found.always_high < -margin:
            return (
                f"{found.metric} of {found.arm} {found.lift:+.1%} against control, at most "
                f"{found.always_high:+.1%} however often one looks"
                + (f", where {-margin:.0%} was tolerated" if margin else "")
            )
    return ""


def protected(report: ABReport, margin: float) -> list[tuple[Comparison, float]]:
    """What an arm may not lose: of each comparison, how much of it is tolerated.

    Args:
        report: Of the test.
        margin: What its guardrails tolerate.
    """
    return [
        *((found, 0.0) for found in report.comparisons),
        *((found, margin) for found in report.guardrails),
    ]


def harmful_pictures(feedback: pd.DataFrame, *, confidence: float = 0.95) -> list[Harmful]:
    """Pictures that do harm for certain, worst first.

    A picture and the photo are compared where chance alone chose between them: within the slates of
    one segment and policy version, at one position. Where shoppers' own chances chose, impressions
    count as the segment's would (``weight``), or who likes what would do. Errors are by shopper,
    and the intervals hold
    at every look and for all pictures together, also those to come: the k-th picture that was shown
    may be accused falsely with a chance of :func:`spent`, whatever is shown after it.

    Args:
        feedback: Of :func:`~persona_img.domain.feedback_table.as_feedback`, with or without a
            ``weight``: see :func:`~persona_img.domain.feedback_table.weighed_feedback`.
        confidence: That no picture is ever accused falsely, in (0, 1).
    """
    chosen = feedback[feedback["arm"] != _CONTROL]
    photo = (chosen["style_key"] == ORIGINAL.key).to_numpy()
    chosen = chosen[photo | chosen["digest"].notna().to_numpy()]
    names = ["product", "style_key", "digest"]
    first = (
        chosen[chosen["style_key"] != ORIGINAL.key]
        .groupby(names, sort=True, observed=True)["shown_at"]
        .min()
        .sort_values(kind="stable")
    )
    if first.empty:
        return []
    share = {picture: spent(number + 1) for number, picture in enumerate(first.index)}
    found = [
        one
        for product, seen in _by_product(chosen)
        for one in _harmful(product, seen, share, 1.0 - confidence)
    ]
    return sorted(found, key=lambda one: (one.high, one.product, one.style_key))


def spent(number: int) -> float:
    """The part of the whole chance of error that goes to the k-th of endlessly many questions.

    1 / ((k + 1) ln²(k + 1)), over the sum of all. It falls hardly faster than Bonferroni's, and of
    what was asked before nothing has to be taken back when more is asked.

    Args:
        number: k, from 1: in the order of first impressions, which nothing later can change.
    """
    return 1.0 / (_ALL * (number + 1) * math.log(number + 1) ** 2)


@dataclass(frozen=True)
class _Seen:
    """n impressions of one product, as codes, in an order that is not the log's.

    Attributes:
        picture: int64 (n,), into ``pictures``.
        pictures: Style key and digest; the photo's has none.
        shopper: int64 (n,).
        slate: int64 (n,): segment, policy version and position.
        clicked: float64 (n,).
        weight: float64 (n,), how many impressions each counts as.
    """

    picture: Codes
    pictures: list[tuple[str, str | None]]
    shopper: Codes
    slate: Codes
    clicked: Floats
    weight: Floats


def _by_product(chosen: pd.DataFrame) -> Iterator[tuple[str, _Seen]]:
    """Products by name, each with what was seen of it."""

    def coded(*names: str) -> tuple[Codes, Codes]:
        """Codes of rows in the order of the values, and a row of each."""
        code = np.zeros(len(chosen), dtype=np.int64)
        for name in names:
            own, values = pd.factorize(chosen[name], sort=True)
            code = code * (len(values) + 1) + own
        _, row, code = np.unique(code, return_index=True, return_inverse=True)
        return row, code

    product_row, product = coded("product")
    picture_row, picture = coded("style_key", "digest")
    _, shopper = coded("shopper")
    _, slate = coded(*_SLATE)
    clicked = chosen["clicked"].to_numpy(dtype=np.float64)
    weight = weights_of(chosen)
    # Sums of floats depend on the order; the order of the log must not.
    order = np.lexsort((weight, clicked, picture, slate, shopper, product))
    styles, digests = (chosen[name].to_numpy(dtype=object) for name in ("style_key", "digest"))
    pictures = [
        (str(styles[row]), None if styles[row] == ORIGINAL.key else str(digests[row]))
        for row in picture_row
    ]
    products = chosen["product"].to_numpy(dtype=object)[product_row]
    ends = np.searchsorted(product[order], np.arange(len(products) + 1))
    for name, start, end in zip(products, ends, ends[1:], strict=False):
        mine = order[start:end]
        yield (
            str(name),
            _Seen(picture[mine], pictures, shopper[mine], slate[mine], clicked[mine], weight[mine]),
        )


def _harmful(
    product: str, seen: _Seen, share: Mapping[tuple[str, str, str], float], alpha: float
) -> Iterator[Harmful]:
    photo = np.array([digest is None for _, digest in seen.pictures])[seen.picture]
    if len(np.unique(seen.shopper[photo])) < EARLIEST:
        return
    for number in np.unique(seen.picture[~photo]):
        own = seen.picture == number
        if len(np.unique(seen.shopper[own])) < EARLIEST:
            continue
        # Elsewhere the photo tells nothing of this picture.
        rows = own | (photo & np.isin(seen.slate, seen.slate[own]))
        difference, error, shoppers = _compared(
            seen.shopper[rows], seen.slate[rows], seen.clicked[rows], own[rows], seen.weight[rows]
        )
        if not error >= 0.0:
            continue
        key, digest = seen.pictures[number]
        assert digest is not None
        width = always_valid_width(
            shoppers, planned=_PLANNED, alpha=alpha * share[product, key, digest]
        )
        high = difference + width * error
        if high < 0.0:
            yield Harmful(product, key, digest, difference, high, shoppers)


def _compared(
    shopper: Codes, slate: Codes, clicked: Floats, picture: NDArray[np.bool_], weight: Floats
) -> tuple[float, float, int]:
    """Difference in click rate within slates, and its standard error by shopper.

    Weighted least squares with an intercept for each slate; the error is the sandwich, with
    shoppers as clusters (Liang and Zeger 1986), of residuals that are enlarged by what the fit
    took from them (Bell and McCaffrey 2002, their leverage by its largest part): each revision
    has slates of its own, with few shoppers.

    Args:
        shopper: (n,) codes.
        slate: (n,) codes; positions are slates of their own.
        clicked: (n,), 0 or 1.
        picture: (n,), whether it was the picture, and not the photo.
        weight: (n,), how many impressions each counts as.

    Returns:
        Both, and how many shoppers they are of; NaN where fewer than the earliest that is read saw
        the picture, or the photo, in slates of both.
    """
    _, shopper = np.unique(shopper, return_inverse=True)
    _, slate = np.unique(slate, return_inverse=True)
    count = np.bincount(slate, weight)
    treated = picture - (np.bincount(slate, weight * picture) / count)[slate]
    clicked = clicked - (np.bincount(slate, weight * clicked) / count)[slate]
    # A slate in which only one of them was seen compares nothing.
    told = np.abs(treated) > _NOTHING
    sides = [len(np.unique(shopper[told & (picture == side)])) for side in (False, True)]
    seen = len(np.unique(shopper[told]))
    if min(sides) < EARLIEST:
        return math.nan, math.nan, seen
    squares = (weight * treated) @ treated
    difference = float((weight * treated) @ clicked / squares)
    both = shopper * len(count) + slate
    _, place = np.unique(both, return_inverse=True)
    size = np.bincount(place, weight)
    leverage = size[place] * (1.0 / count[slate] + treated**2 / squares)
    # All that a slate has of a shopper's alone was fitted, and tells nothing.
    kept = np.maximum(1.0 - leverage, _LEAST_KEPT)
    score = weight * treated * (clicked - difference * treated) / np.sqrt(kept)
    error = math.sqrt(float((np.bincount(shopper, score) ** 2).sum())) / float(squares)
    return difference, error, seen
