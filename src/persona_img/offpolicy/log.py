"""Anybody's log: a table of who saw what, with which chance, and what came of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from persona_img.errors import InvalidInput, NotEnoughData, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from persona_img.offpolicy.logged import Floats

Codes = NDArray[np.int64]

ROLES = ("shopper", "action", "reward", "propensity", "slate")
"""What a column of a log can be, besides context."""

SPLIT = "|"
"""Between the actions of a slate that is a text."""

_NEEDED = ("action", "reward")
_BINS = 5
_DISTINCT = 20
"""A number with more values than these is context by quantiles."""


@dataclass(frozen=True, eq=False)
class BanditLog:
    """n logged impressions, each of one action out of a slate.

    Attributes:
        shopper: (n,) names: what is independent of each other; without a column each row.
        action: int64 (n,), codes into ``actions``.
        reward: float64 (n,), finite.
        propensity: float64 (n,) in (0, 1], or None where the log does not hold it.
        place: int64 (n,), codes of rows of ``context`` and ``allowed``.
        context: One row a distinct context and slate; columns of texts, in the order asked for.
        allowed: bool (P, A), the slate of each place.
        actions: (A,) names, sorted.
        digest: Hex sha256 of what was shown and what came of it, in any order.
        order: The same in the file's order.
        unit: The column that says who the shoppers are; empty where none does.
    """

    shopper: NDArray[np.object_]
    action: Codes
    reward: Floats
    propensity: Floats | None
    place: Codes
    context: pd.DataFrame
    allowed: NDArray[np.bool_]
    actions: tuple[str, ...]
    digest: str
    order: str
    unit: str

    def __len__(self) -> int:
        return len(self.reward)

    def only(self, rows: NDArray[np.bool_]) -> BanditLog:
        """Some of the impressions; places and actions stay as they are.

        Raises:
            NotEnoughData: none of them.
        """
        if not rows.any():
            raise NotEnoughData("no impression is left; give a larger log")
        return replace(
            self,
            shopper=self.shopper[rows],
            action=self.action[rows],
            reward=self.reward[rows],
            propensity=None if self.propensity is None else self.propensity[rows],
            place=self.place[rows],
        )

    def dealt(self, seed: int, parts: int) -> Codes:
        """(n,) a part 0..parts-1 of each impression, the same for all of a shopper's."""
        names, code = np.unique(self.shopper.astype(str), return_inverse=True)
        drawn = [
            int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") % parts
            for name in names
        ]
        return np.array(drawn, dtype=np.int64)[code]


def read_log(path: Path, roles: Mapping[str, str], context: Sequence[str] = ()) -> BanditLog:
    """A log from a CSV, Parquet or JSON Lines file.

    Args:
        path: The file.
        roles: Which column is what, by a name of :data:`ROLES`; ``action`` and ``reward`` at least.
        context: Columns that a policy may look at. Numbers with more than 20 values are cut at
            their quintiles.

    Raises:
        NotFound: no such file.
        InvalidInput: it cannot be read; a column is missing; a value is none that it may be.
        NotEnoughData: it holds no row.
    """
    return as_log(_table(path, [*roles.values(), *context]), roles, context)


def as_log(table: pd.DataFrame, roles: Mapping[str, str], context: Sequence[str] = ()) -> BanditLog:
    """The same from a table that was read; see :func:`read_log`."""
    _check(table, roles, context)
    action = _texts(table, roles["action"])
    reward = _numbers(table, roles["reward"], "leave rows without an outcome out")
    chance = None
    if "propensity" in roles:
        chance = _numbers(table, roles["propensity"], "log the chance of every choice")
        _refuse(
            table, roles["propensity"], ~((chance > 0) & (chance <= 1)), "a chance is in (0, 1]"
        )
    shopper = (
        _texts(table, roles["shopper"])
        if "shopper" in roles
        else np.arange(len(table)).astype(str).astype(object)
    )
    actions, allowed, slate = _slates(table, roles, action)
    code = pd.Index(actions).get_indexer(pd.Index(action)).astype(np.int64)
    seen = {name: _labels(table, name) for name in context}
    places = pd.DataFrame({**seen, "slate": slate})
    groups = places.groupby([*context, "slate"], sort=True)
    place = groups.ngroup().to_numpy().astype(np.int64)
    _, first = np.unique(place, return_index=True)
    shown = pd.DataFrame({"action": action, "reward": reward})
    rows = pd.util.hash_pandas_object(shown, index=False).to_numpy()
    return BanditLog(
        shopper=shopper,
        action=code,
        reward=reward,
        propensity=chance,
        place=place,
        context=places.loc[first, list(context)].reset_index(drop=True),
        allowed=allowed[slate[first]],
        actions=actions,
        digest=hashlib.sha256(np.sort(rows).tobytes()).hexdigest(),
        order=hashlib.sha256(rows.tobytes()).hexdigest(),
        unit=roles.get("shopper", ""),
    )


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        ".parquet": lambda: pd.read_parquet(path),
        ".csv": lambda: pd.read_csv(path, low_memory=False),
        ".jsonl": lambda: pd.read_json(path, lines=True),
    }
    if not path.exists():
        raise NotFound(f"{path}: no such log")
    if path.suffix.lower() not in readers:
        raise InvalidInput(f"{path}: a log is a file {', '.join(readers)}")
    try:
        table = readers[path.suffix.lower()]()
    except (OSError, ValueError, UnicodeError) as error:
        raise InvalidInput(f"{path}: cannot be read as a table ({error})") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InvalidInput(
            f"{path}: no column {', '.join(missing)}; there are "
            f"{', '.join(map(str, table.columns[:30]))}"
        )
    return table[list(dict.fromkeys(columns))]


def _check(table: pd.DataFrame, roles: Mapping[str, str], context: Sequence[str]) -> None:
    strange = sorted(set(roles) - set(ROLES))
    if strange:
        raise InvalidInput(f"{', '.join(strange)}: a column is one of {', '.join(ROLES)}")
    for role in _NEEDED:
        if role not in roles:
            raise InvalidInput(f"no column is the {role}; say which, as in {role}=column")
    both = sorted(set(context) & {v for role, v in roles.items() if role != "shopper"})
    if both or len(set(context)) < len(context):
        raise InvalidInput(f"context {', '.join(both or context)}: a column has one part to play")
    if "slate" in context:
        raise InvalidInput("context slate: call that column otherwise")
    if not len(table):
        raise NotEnoughData("the log holds no row; an estimate would be undefined")


def _refuse(table: pd.DataFrame, column: str, wrong: NDArray[np.bool_], rule: str) -> None:
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        value = table[column].iloc[first]
        told = value.item() if isinstance(value, np.generic) else value
        raise InvalidInput(
            f"column {column}: {int(wrong.sum())} of {len(table)} values cannot be used, first "
            f"{told!r} in row {first + 1}; {rule}"
        )


def _numbers(table: pd.DataFrame, column: str, rule: str) -> Floats:
    found = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    _refuse(table, column, ~np.isfinite(found), rule)
    return found


def _texts(table: pd.DataFrame, column: str) -> NDArray[np.object_]:
    values = table[column]
    _refuse(table, column, values.isna().to_numpy(dtype=bool), "leave rows without a name out")
    return values.astype(str).to_numpy(dtype=object)


def _slates(
    table: pd.DataFrame, roles: Mapping[str, str], action: NDArray[np.object_]
) -> tuple[tuple[str, ...], NDArray[np.bool_], Codes]:
    """Names of all actions, the distinct slates (S, A), and (n,) codes of slates."""
    if "slate" not in roles:
        actions = tuple(sorted(set(action)))
        return actions, np.ones((1, len(actions)), dtype=bool), np.zeros(len(action), np.int64)
    column = roles["slate"]
    _refuse(table, column, table[column].isna().to_numpy(dtype=bool), "say what could be shown")
    texts = [SPLIT.join(_several(value)) for value in table[column]]
    names, code = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
    slates = [frozenset(name.split(SPLIT)) for name in names]
    absent = np.array([a not in slates[c] for a, c in zip(action, code, strict=True)], dtype=bool)
    _refuse(table, column, absent, "it must hold the action that was shown")
    actions = tuple(sorted(frozenset().union(*slates)))
    allowed = np.array([[name in slate for name in actions] for slate in slates], dtype=bool)
    return actions, allowed, code.astype(np.int64)


def _several(value: Any) -> list[str]:
    parts = value.split(SPLIT) if isinstance(value, str) else list(value)
    return sorted({str(part) for part in parts})


def _labels(table: pd.DataFrame, column: str) -> NDArray[np.object_]:
    """A context column as texts; numbers of many values by quintile, what is missing by ``-``."""
    values = table[column]
    number = pd.api.types.is_float_dtype(values) or pd.api.types.is_integer_dtype(values)
    if number and values.nunique() > _DISTINCT:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        edges = np.nanquantile(numbers, np.linspace(0, 1, _BINS + 1)[1:-1])
        bins = np.searchsorted(np.unique(edges), numbers, side="right")
        named = np.array([f"{column} {place + 1}" for place in range(_BINS + 1)], dtype=object)
        return np.where(np.isnan(numbers), "-", named[bins]).astype(object)
    return values.astype(object).where(values.notna(), "-").astype(str).to_numpy(dtype=object)
