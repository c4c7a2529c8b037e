"""Feedback folded to one row per shopper, the unit that was randomised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput, NotEnoughData

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_READ = ("test", "shopper", "arm", "segment", "shown_at", "clicked", "converted")


def per_shopper(feedback: pd.DataFrame, test: str, arms: Sequence[str]) -> pd.DataFrame:
    """Impressions, clicks and conversions of each exposed shopper of one test.

    Args:
        feedback: One row per impression; columns of
            :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`, rows in any order.
        test: Its name; rows of other tests are left out.
        arms: Names of its arms.

    Returns:
        Indexed by shopper, sorted: ``arm`` and ``segment`` str, ``impressions``, ``clicks`` and
        ``conversions`` float64. ``segment`` is that of the first impression.

    Raises:
        InvalidInput: a missing column, a missing name, an unknown arm, a shopper in two arms, or
            ``clicked``/``converted`` other than 0 and 1.
        NotEnoughData: no impression of this test.
    """
    missing = [c for c in _READ if c not in feedback.columns]
    if missing:
        raise InvalidInput(f"feedback lacks {', '.join(missing)}; give {', '.join(_READ)}")
    rows = feedback.loc[feedback["test"] == test, list(_READ)]
    if rows.empty:
        tests = ", ".join(sorted({str(t) for t in feedback["test"].unique()})) or "nothing"
        raise NotEnoughData(f"no impression of test {test!r}; the feedback holds {tests}")
    _check(rows, arms)
    # Ties in time are broken by name: the result must not depend on the order of the rows.
    rows = rows.sort_values(["shopper", "shown_at", "segment"], kind="stable")
    folded = rows.groupby("shopper", sort=True).agg(
        arm=("arm", "first"),
        segment=("segment", "first"),
        impressions=("clicked", "size"),
        clicks=("clicked", "sum"),
        conversions=("converted", "sum"),
    )
    return folded.astype(dict.fromkeys(("impressions", "clicks", "conversions"), "float64"))


def _check(rows: pd.DataFrame, arms: Sequence[str]) -> None:
    for name in ("shopper", "arm", "segment"):
        if rows[name].isna().any():
            raise InvalidInput(f"feedback has impressions without {name}; every one needs it")
    unknown = sorted(set(rows["arm"]) - set(arms))
    if unknown:
        raise InvalidInput(f"arm {unknown[0]!r} is not in this test; its arms: {', '.join(arms)}")
    for name in ("clicked", "converted"):
        wrong = rows.loc[~rows[name].isin([0, 1]), name]
        if not wrong.empty:
            raise InvalidInput(f"{name} {wrong.iloc[0]!r}: give 0 or 1 for each impression")
    seen = rows.groupby("shopper")["arm"].nunique()
    if (seen > 1).any():
        shopper = seen.index[seen > 1][0]
        both = ", ".join(sorted(rows.loc[rows["shopper"] == shopper, "arm"].unique()))
        raise InvalidInput(
            f"shopper {shopper!r} is in arms {both}: each keeps one; repair the assignment"
        )
