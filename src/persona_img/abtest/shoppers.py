"""Feedback folded to one row per shopper, the unit that was randomised."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from persona_img.abtest.metrics import SHOPPER
from persona_img.domain.feedback_table import as_feedback
from persona_img.errors import InvalidInput, NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

READ = ("shopper", "arm", "segment", "shown_at", "clicked", "converted")
"""Columns of feedback that are read of each impression."""


@dataclass(frozen=True, eq=False)
class Exposed:
    """Who saw something in one test.

    Attributes:
        table: Indexed by shopper, sorted: ``arm`` and ``segment`` str, ``impressions``, ``clicks``
            and ``conversions`` float64. ``segment`` is that of the first impression.
        crossed: Shoppers seen in more than one arm. They are not in the table: nobody can say
            which arm moved them.
        mixed: Shoppers of ``joined`` who were seen in more than one arm. They are in the table, in
            the arm that they are served.
        until: The moment up to which impressions were read; None where all were.
    """

    table: pd.DataFrame
    crossed: tuple[str, ...] = ()
    until: pd.Timestamp | None = None
    mixed: tuple[str, ...] = ()


def per_shopper(
    feedback: pd.DataFrame,
    test: str,
    arms: Sequence[str],
    *,
    first: int | None = None,
    joined: Mapping[str, str] = MappingProxyType({}),
) -> Exposed:
    """Impressions, clicks and conversions of each exposed shopper of one test.

    Args:
        feedback: One row per impression; columns of
            :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`, rows in any order, types as
            :func:`~persona_img.domain.feedback_table.as_feedback` takes them.
        test: Its name; rows of other tests are left out.
        arms: Names of its arms.
        first: Only impressions up to the moment when so many shoppers had come, crossed ones
            included; all while they have not. None for all.
        joined: Shoppers who came under several names before it was known that they are one, and the
            arm that each is served since: where they saw several, they count for that one.

    Raises:
        InvalidInput: a missing column, a missing name, an unknown arm, or ``clicked``/``converted``
            other than 0 and 1.
        NotEnoughData: no impression of this test.
    """
    rows = as_feedback(feedback, READ, test=test)
    if rows.empty:
        tests = ", ".join(sorted({str(t) for t in feedback["test"].dropna().unique()}))
        raise NotEnoughData(
            f"no impression of test {test!r}; the feedback holds {tests or 'nothing'}"
        )
    _check_arms(rows, arms)
    until = None
    if first is not None:
        came = rows.groupby("shopper")["shown_at"].min().sort_values()
        if len(came) >= first:
            until = came.iloc[first - 1]
            rows = rows[rows["shown_at"] <= until]
    seen = rows.groupby("shopper")["arm"].nunique()
    several = seen.index[seen > 1]
    known = several.isin(list(joined))
    crossed, mixed = several[~known], several[known]
    rows = rows[~rows["shopper"].isin(crossed)]
    # Ties in time are broken by name: the result must not depend on the order of the rows.
    rows = rows.sort_values(["shopper", "shown_at", "segment"], kind="stable")
    served = rows["shopper"].isin(mixed)
    rows.loc[served, "arm"] = rows.loc[served, "shopper"].map(joined)
    folded = rows.groupby("shopper", sort=True).agg(
        arm=("arm", "first"),
        segment=("segment", "first"),
        impressions=("clicked", "size"),
        clicks=("clicked", "sum"),
        conversions=("converted", "sum"),
    )
    numbers = dict.fromkeys(("impressions", "clicks", "conversions"), "float64")
    return Exposed(
        folded.astype(numbers),
        tuple(sorted(map(str, crossed))),
        until,
        tuple(sorted(map(str, mixed))),
    )


def columns_of(table: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Columns of :data:`persona_img.abtest.metrics.SHOPPER` of a table of shoppers, by name."""
    return {name: table[name].to_numpy(dtype=np.float64) for name in SHOPPER}


def _check_arms(rows: pd.DataFrame, arms: Sequence[str]) -> None:
    unknown = sorted(set(rows["arm"]) - set(arms))
    if unknown:
        shoppers = rows.loc[rows["arm"].isin(unknown), "shopper"].nunique()
        raise InvalidInput(
            f"arm {unknown[0]!r} is not in this test, and {shoppers} shoppers are in "
            f"{', '.join(unknown)}; its arms: {', '.join(arms)}; name every arm that was served"
        )
