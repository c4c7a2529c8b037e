"""Which of two pictures of one product is clicked more: labels that can be trusted, or none.

Clicks on pictures are few and mean many things: who saw it, where it stood, which week it was. So
two pictures are compared only where chance alone decided between them: in one segment and one
revision of a plan, within which every picture of a slate has one propensity. An impression counts
by what its place in the list was worth; both pictures need enough of them; and the order has to be
the same in both halves of the time, or the pair is no label.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from persona_img.domain.feedback_table import as_feedback
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput
from persona_img.ranking.evidence import position_slope

IMPRESSIONS = 500
"""Fewest impressions that each picture of a pair needs, counted as :func:`picture_pairs` does."""

_COLUMNS = (
    "product", "segment", "style_key", "digest", "policy_version", "position", "shown_at",
    "clicked",
)  # fmt: skip
_WHERE = ["product", "segment", "policy_version", "half"]
_PAIR = ["product", "one", "other"]


def picture_pairs(feedback: pd.DataFrame, *, impressions: float = IMPRESSIONS) -> pd.DataFrame:
    """Labels: pairs of pictures of one product whose order is known.

    Rates are compared as Mantel and Haenszel do, cell by cell of segment, revision and half, so
    that chances that moved with the evidence favour nobody, however small a cell is; halves are
    those of the product's own impressions. An impression counts at its position as
    :func:`~persona_img.ranking.evidence.position_slope` says.

    Args:
        feedback: Of :func:`~persona_img.domain.feedback_table.as_feedback`; the original photo and
            impressions without a variant are left out.
        impressions: Fewest of each picture in the cells in which both were shown, as if at
            position 1; where one was shown more, the number of even ones that tell as much.

    Returns:
        One row per label, sorted: product, one, other (digests, ``one`` the smaller), share (0..1:
        of the clicks on both, equally shown, those on ``one``) and clicks (above 0: how many the
        share is known as well as).

    Raises:
        InvalidInput: a column is missing, a value is not what its column holds, or no impression
            is asked for.

    References:
        Mantel and Haenszel 1959, JNCI 22; KwaiMind (2026) labels only what was shown 2,000 times
        and keeps its order over 7, 14 and 30 days.
    """
    if not impressions > 0:
        raise InvalidInput(f"impressions {impressions}: a picture needs some; give more than 0")
    rows = as_feedback(feedback, _COLUMNS)
    slope = position_slope(rows)
    shown = rows["digest"].notna() & (rows["style_key"] != ORIGINAL.key)
    cells = _cells(rows[shown].reset_index(drop=True), slope)
    both = cells.merge(cells, on=_WHERE, suffixes=("", "_other"))
    both = both[both["digest"] < both["digest_other"]]
    both = both.rename(columns={"digest": "one", "digest_other": "other"})
    n, m = (both[name].to_numpy(dtype=np.float64) for name in ("shown", "shown_other"))
    c, d = (both[name].to_numpy(dtype=np.float64) for name in ("clicks", "clicks_other"))
    both = both.assign(won=c * m / (n + m), lost=d * n / (n + m), even=2.0 * n * m / (n + m))
    halves = both.groupby([*_PAIR, "half"])[["won", "lost", "even"]].sum().unstack("half")
    if halves.empty or halves.columns.get_level_values("half").nunique() < 2:
        return _labels(pd.DataFrame(columns=[*_PAIR, "share", "clicks"]))
    total = halves.T.groupby(level=0).sum().T  # a half without both adds nothing
    ahead = (halves["won"] - halves["lost"]).fillna(0.0)  # one half alone tells no order
    stable = (ahead[0] * ahead[1]) > 0
    kept = total[stable & (total["even"] >= impressions)]
    clicks = kept["won"] + kept["lost"]
    found = pd.DataFrame({"share": kept["won"] / clicks, "clicks": 2.0 * clicks})
    return _labels(found.reset_index())


def _labels(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"share": np.float64, "clicks": np.float64})


def _cells(rows: pd.DataFrame, slope: float) -> pd.DataFrame:
    """Impressions, as if at position 1, and clicks of each picture in each cell."""
    moment = rows["shown_at"].astype("int64")
    middle = moment.groupby(rows["product"]).transform("median")
    table = rows[["product", "segment", "policy_version", "digest"]].assign(
        half=(moment > middle).astype("int64"),
        shown=rows["position"].to_numpy(dtype=np.float64) ** slope,
        clicks=rows["clicked"].astype("float64"),
    )
    return table.groupby([*_WHERE, "digest"], sort=True).sum().reset_index()
