"""Feedback as a table: its types, and files of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from persona_img.domain.decision import plan_of
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTEGERS = ("position", "clicked", "converted")


def feedback_frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows as a frame with the documented types, also when there are none.

    Args:
        rows: One tuple per impression in the order of ``FEEDBACK_COLUMNS``; ``shown_at`` as Unix
            seconds, rounded to the microsecond.
    """
    columns: dict[str, Any] = {}
    for index, name in enumerate(FEEDBACK_COLUMNS):
        values = [row[index] for row in rows]
        if name == "shown_at":
            micros = np.rint(np.asarray(values, dtype=np.float64) * 1e6).astype("datetime64[us]")
            columns[name] = pd.Series(micros).dt.tz_localize("UTC")
        elif name in _INTEGERS:
            columns[name] = np.asarray(values, dtype=np.int64)
        elif name == "propensity":
            columns[name] = np.asarray(values, dtype=np.float64)
        else:
            columns[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(columns, columns=list(FEEDBACK_COLUMNS))


def of_policy(feedback: pd.DataFrame, version: str) -> pd.DataFrame:
    """The impressions that one plan answers for, its revisions among them.

    Those whose picture was withdrawn are among them: control has none of these, so the personalized
    arm alone would lose impressions without them.
    """
    plans = {name: plan_of(name) for name in feedback["policy_version"].unique()}
    return feedback[feedback["policy_version"].map(plans) == plan_of(version)]


def save_feedback(feedback: pd.DataFrame, path: str | Path) -> Path:
    """Write feedback as ``.csv``, ``.parquet`` or ``.arrow`` (Feather), whole or not at all.

    Raises:
        InvalidInput: the name ends otherwise.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    if path.suffix == ".csv":
        feedback.to_csv(partial, index=False)
    elif path.suffix == ".parquet":
        feedback.to_parquet(partial, index=False)
    elif path.suffix == ".arrow":
        feedback.to_feather(partial)
    else:
        raise InvalidInput(f"{path}: end the name in .csv, .parquet or .arrow")
    partial.replace(path)
    return path
