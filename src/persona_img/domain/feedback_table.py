"""Feedback as whoever has it brings it, made into the one table that everything reads.

Analysis, rankers, the gate of promotion and off-policy evaluation all begin here, so that the same
impressions give the same numbers whatever pandas calls their types: categories with values nobody
has, strings of Arrow, nullable integers, numbers for names, any order of rows under any index.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pandas as pd

from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

REWARDS = ("click", "conversion")
"""What may be learned for."""

WEIGHT = "weight"
"""Column of how many impressions one counts as for what is learned, where they are not alike."""

_GRAINS = 2.0**20
"""Parts of an impression that weights are whole numbers of: their sums are exact, in any order."""

_FLAGS = ("clicked", "converted")
_OPTIONAL = ("digest",)
_WORDS = {"false": 0.0, "true": 1.0}
_TIMES = 'give times with a zone, e.g. feedback["shown_at"].dt.tz_localize("UTC")'
_ZONE = re.compile(r"(?:Z|[+-]\d\d(?::?\d\d)?)$", re.IGNORECASE)
_EXACT = 2.0**53  # whole numbers from here on are rounded in a float


def rewarded(feedback: pd.DataFrame, reward: str) -> pd.DataFrame:
    """The same impressions, whose ``clicked`` says whether the reward came.

    Whatever learns from clicks learns from that instead. A conversion belongs to the impression
    whose click it followed, as it was logged.

    Args:
        feedback: Of :func:`as_feedback`.
        reward: One of :data:`REWARDS`.

    Raises:
        InvalidInput: no such reward.
    """
    if reward not in REWARDS:
        raise InvalidInput(f"reward {reward!r}: choose from {', '.join(REWARDS)}")
    return feedback if reward == "click" else feedback.assign(clicked=feedback["converted"])


def as_feedback(
    feedback: pd.DataFrame, columns: Sequence[str] = FEEDBACK_COLUMNS, *, test: str | None = None
) -> pd.DataFrame:
    """The impressions with the documented types, in the order given; the input is left alone.

    Names may be text, categories or whole numbers (17 and "17" are one shopper); ``clicked`` and
    ``converted`` anything that says 0 or 1; ``shown_at`` times of any zone, or ISO text with one.
    Nothing is guessed: what is missing or says neither is an error.

    Args:
        feedback: One row per impression, under any index; other columns are left out.
        columns: Which of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS` are needed.
        test: Only this A/B test's rows, which alone are checked; None takes all.

    Returns:
        ``columns`` in the order asked, under a fresh index: see ``FEEDBACK_COLUMNS``.

    Raises:
        InvalidInput: not a frame, a column is missing or there twice, a name, time or number is
            missing, or a value is not what its column holds.
    """
    if not isinstance(feedback, pd.DataFrame):
        raise InvalidInput(f"feedback is a {type(feedback).__name__}; give a pandas DataFrame")
    needed = [*columns, *(["test"] if test is not None and "test" not in columns else [])]
    missing = [name for name in needed if name not in feedback.columns]
    if missing:
        raise InvalidInput(
            f"feedback lacks {', '.join(missing)}; it has {', '.join(map(str, feedback.columns))}"
        )
    twice = [name for name in needed if isinstance(feedback[name], pd.DataFrame)]
    if twice:
        raise InvalidInput(f"feedback has several columns {twice[0]}; keep one")
    rows = feedback[needed].reset_index(drop=True)
    if test is not None:
        # Rows without a test are nobody's here, and not worth an error.
        mine = (_names(rows["test"], "test", optional=True) == test).to_numpy(dtype=bool)
        rows = rows[mine].reset_index(drop=True)
    return pd.DataFrame({name: _typed(rows[name], name) for name in columns}, index=rows.index)


def weighed_feedback(feedback: pd.DataFrame) -> pd.DataFrame:
    """:func:`as_feedback`, and how many impressions each counts as in ``weight``.

    Args:
        feedback: One row per impression, with or without a column ``weight``, which is 1 where
            there is none.

    Returns:
        ``FEEDBACK_COLUMNS`` and ``weight``, float64 > 0, rounded to 2^-20: the order of rows moves
        no sum of them.

    Raises:
        InvalidInput: as for :func:`as_feedback`; a weight that is not a finite number above 0.
    """
    made = as_feedback(feedback)
    if WEIGHT not in feedback.columns:
        return made.assign(**{WEIGHT: 1.0})
    if isinstance(feedback[WEIGHT], pd.DataFrame):
        raise InvalidInput(f"feedback has several columns {WEIGHT}; keep one")
    given = feedback[WEIGHT].reset_index(drop=True)
    found = _numbers(given)
    bad = ~((found > 0) & (found < _EXACT / _GRAINS))
    if bad.any():
        rule = "give numbers above 0, and leave out what counts for nothing"
        raise _refused(WEIGHT, given, bad, rule)
    return made.assign(**{WEIGHT: np.maximum((found * _GRAINS).round(), 1.0) / _GRAINS})


def weights_of(feedback: pd.DataFrame) -> NDArray[np.float64]:
    """(n,) how many impressions each counts as; 1 where nothing is said."""
    if WEIGHT not in feedback.columns:
        return np.ones(len(feedback))
    return feedback[WEIGHT].to_numpy(dtype=np.float64)


def weighed_cells(feedback: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Impressions that are alike, as sums.

    Args:
        feedback: Of :func:`weighed_feedback`.
        by: Columns in which they are.

    Returns:
        Columns shown and clicks, float64, indexed by ``by``, sorted.
    """
    weight = weights_of(feedback)
    sums = feedback[[*by]].assign(shown=weight, clicks=weight * feedback["clicked"])
    return sums.groupby([*by], sort=True).sum()


def _typed(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    if name in _FLAGS:
        return _flags(values, name)
    if name == "position":
        return _positions(values)
    if name == "propensity":
        return _propensities(values)
    if name == "shown_at":
        return _moments(values)
    return _names(values, name, optional=name in _OPTIONAL)


def _refused(name: str, values: pd.Series[Any], bad: Any, rule: str) -> InvalidInput:
    """The error that shows the first bad value and counts them."""
    wrong = np.flatnonzero(np.asarray(bad, dtype=bool))
    first = values.astype(object).iloc[wrong[0]]
    return InvalidInput(
        f"{name} {first!r} in {len(wrong)} of {len(values)} impressions of the feedback: {rule}"
    )


def _names(values: pd.Series[Any], name: str, *, optional: bool) -> pd.Series[Any]:
    """Python strings, None where one is missing and may be."""
    plain = values.astype(object)
    if pd.api.types.infer_dtype(plain, skipna=True) not in ("string", "empty"):
        found = [None if _absent(value) else _name(value, name) for value in plain]
        plain = pd.Series(found, index=values.index, dtype=object)
    absent = plain.isna() | (plain == "")
    if absent.any():
        if not optional:
            raise InvalidInput(
                f"feedback has impressions without {name} ({absent.sum()} of {len(plain)}); "
                "every one needs it"
            )
        plain[absent] = None
    return plain


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _name(value: Any, column: str) -> str:
    """The text of a name that came as something else.

    Raises:
        InvalidInput: it is no name.
    """
    if isinstance(value, str | UUID):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    elif _is_whole(value):
        return str(int(value))
    raise InvalidInput(f"{column} {value!r} of the feedback: give text or whole numbers")


def _is_whole(value: Any) -> bool:
    """Whether it is a whole number, or the float it becomes where a column has gaps."""
    if isinstance(value, int | np.integer):
        return not isinstance(value, bool)
    if isinstance(value, Decimal):
        return value.is_finite() and value == value.to_integral_value()
    return (
        isinstance(value, float | np.floating)
        and float(value).is_integer()
        and -_EXACT < float(value) < _EXACT
    )


def _numbers(values: pd.Series[Any]) -> pd.Series[Any]:
    """float64; NaN where nothing was given or what was given is no number."""
    kind = getattr(values.dtype, "kind", "O")
    if kind in "biuf" and not isinstance(values.dtype, pd.CategoricalDtype):
        found = values.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        found = np.array([_number(value) for value in values], dtype=np.float64)
    return pd.Series(found, index=values.index, dtype=np.float64)


def _number(value: Any) -> float:
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower(), value)
    if isinstance(value, str | int | float | Decimal | np.number | np.bool_):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    return math.nan


def _flags(values: pd.Series[Any], name: str) -> pd.Series[Any]:
    found = _numbers(values)
    bad = ~found.isin([0.0, 1.0])
    if bad.any():
        raise _refused(name, values, bad, "give 0 or 1 for each impression")
    return found.astype(np.int64)


def _positions(values: pd.Series[Any]) -> pd.Series[Any]:
    found = _numbers(values)
    bad = ~((found >= 1) & (found == found.round()) & (found < _EXACT))
    if bad.any():
        raise _refused("position", values, bad, "places in the list are whole numbers from 1")
    return found.astype(np.int64)


def _propensities(values: pd.Series[Any]) -> pd.Series[Any]:
    found = _numbers(values)
    bad = ~((found > 0) & (found <= 1))
    if bad.any():
        rule = "log the probability with which it was chosen, above 0 and at most 1"
        raise _refused("propensity", values, bad, rule)
    return found


def _moments(values: pd.Series[Any]) -> pd.Series[Any]:
    """datetime64[us, UTC]."""
    if getattr(values.dtype, "kind", "O") == "M" and not isinstance(values.dtype, np.dtype):
        times = values  # of Arrow or of pandas; without a zone below
    else:
        bad = np.array([not _has_zone(value) for value in values], dtype=bool)
        if bad.any():
            raise _refused("shown_at", values, bad, _TIMES)
        times = values.astype(object)
    try:
        if getattr(getattr(times, "dt", None), "tz", "given") is None:
            raise _refused("shown_at", values, np.ones(len(values), dtype=bool), _TIMES)
        moments = pd.to_datetime(times, utc=True, format="ISO8601")
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidInput):
            raise
        said = str(error).partition("\n")[0].partition(", at position")[0]
        raise InvalidInput(f"shown_at of the feedback: {said}; {_TIMES}") from error
    if moments.isna().any():
        raise _refused("shown_at", values, moments.isna(), _TIMES)
    return moments.astype("datetime64[us, UTC]")


def _has_zone(value: Any) -> bool:
    if isinstance(value, str):
        return ":" in value and _ZONE.search(value.strip()) is not None
    return getattr(value, "tzinfo", None) is not None
