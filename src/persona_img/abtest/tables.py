"""Anybody's table, folded to sufficient statistics by DuckDB, which only this module imports."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.abtest.metrics import ROWS
from persona_img.abtest.moments import Moments
from persona_img.abtest.robust import USUAL, Cap, limit_of
from persona_img.errors import InvalidInput, NotEnoughData, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from persona_img.abtest.metrics import Metric

_READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_json"}
_MEMORY = "1500MB"
ALL = "all"
"""Every policy version, pooled."""

_COUNTED = (
    "DOUBLE", "FLOAT", "DECIMAL", "BIGINT", "INTEGER", "HUGEINT", "SMALLINT", "TINYINT", "UBIGINT",
    "UINTEGER", "UHUGEINT", "USMALLINT", "UTINYINT",
)  # fmt: skip
# Of text each value is tried.
_NUMBERS = (*_COUNTED, "BOOLEAN", "VARCHAR")
_TOTALS = 366
"""Rows an arm that totals have at most: one a day of a year."""


@dataclass(frozen=True)
class Counted:
    """What a table holds, before anything is compared.

    Attributes:
        rows: Rows used.
        units: Arm to units, without those left out.
        crossed: Units in several arms; left out.
        bots: Units left out because one column is far beyond everybody's.
        limits: Column to the value beyond which a unit is left out.
        until: The moment up to which rows were used, as text; empty for all.
    """

    rows: int
    units: dict[str, int]
    crossed: int
    bots: int
    limits: dict[str, float]
    until: str = ""


class Table:
    """A Parquet, CSV or JSON Lines file with a row per impression or per unit.

    Use as a context manager. Memory stays below 1.5 GB; what does not fit goes to a folder that is
    deleted at the end.

    Args:
        path: The file, or a Parquet pattern such as ``log/*.parquet``.
        roles: Role to column; see :data:`persona_img.abtest.metrics.ROLES`.
        metrics: What is measured.
        policy: Only rows of this version; None for the newest there is, ``all`` for every one.
        counts: It holds totals of arms: no unit is needed.

    Raises:
        NotFound: no such file.
        InvalidInput: it cannot be read, a column is missing or no number, a value is missing, not
            finite or, of a denominator, below 0.
        NotEnoughData: it holds no row.
    """

    def __init__(
        self,
        path: Path,
        roles: Mapping[str, str],
        metrics: Sequence[Metric],
        *,
        policy: str | None = None,
        counts: bool = False,
    ) -> None:
        import duckdb

        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise InvalidInput(f"{path}: give a table ending in {', '.join(_READERS)}")
        if not any(path.parent.glob(path.name)):
            raise NotFound(f"{path}: no such table")
        self.path, self.roles, self.metrics = path, dict(roles), tuple(metrics)
        self._needed = ("arm",) if counts else ("arm", "unit")
        # Of totals, a column says how many units there were.
        self._numeric = ("before", "unit") if counts else ("before",)
        self._spill = tempfile.TemporaryDirectory(prefix="persona-img-")
        self._db = duckdb.connect(
            config={"memory_limit": _MEMORY, "temp_directory": self._spill.name}
        )
        try:
            self._all(f"CREATE VIEW everything AS FROM {reader}({_text(str(path))})")
            told = self._all("DESCRIBE everything")
            self._prepare({name: kind for name, kind, *_ in told}, policy)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file and of what was spilt."""
        self._db.close()
        self._spill.cleanup()

    def __enter__(self) -> Table:
        """Itself; closed at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def fold(self, first: int | None = None) -> Counted:
        """Bring the rows to one per unit; what follows is of these.

        Args:
            first: Only rows up to the moment when so many units had come, units in several arms
                included; all rows while they have not. None for all.

        Raises:
            InvalidInput: what was known of a unit before differs between its rows.
        """
        until = "" if first is None else self._cut(first)
        column = {role: _named(name) for role, name in self.roles.items()}
        picks = [
            f"min({column['arm']}::VARCHAR) AS arm",
            f"min({column['arm']}::VARCHAR) <> max({column['arm']}::VARCHAR) AS crossed",
            "count(*)::DOUBLE AS n_rows",
            *(f"sum({_named(c)}::DOUBLE) AS {_named('c_' + c)}" for c in self._summed),
        ]
        if "segment" in column:
            segment = f"{column['segment']}::VARCHAR"
            # The arm may have changed where it was seen later.
            seen = f"arg_min({segment}, {column['time']})" if "time" in column else ""
            picks.append(f"{seen or f'min({segment})'} AS segment")
        if "before" in column:
            before = f"{column['before']}::DOUBLE"
            picks.append(f"min({before}) AS known_before, min({before}) <> max({before}) AS moved")
        # The moment stays in DuckDB: as a value of Python it would lose its nanoseconds.
        where = f"WHERE {column['time']} <= (SELECT moment FROM cut)" if until else ""
        self._all(
            f"CREATE OR REPLACE TEMP TABLE units AS SELECT {column['unit']} AS unit, "
            f"{', '.join(picks)} FROM source {where} GROUP BY 1"
        )
        if "before" in column and self._one("SELECT count(*) FROM units WHERE moved"):
            raise InvalidInput(
                f"{self.roles['before']}: differs between rows of one unit; give what was known of "
                "it before the test, the same in each row"
            )
        return replace(self._left_out(), until=until)

    def cap(self, metric: Metric, quantile: float) -> Cap:
        """Where a metric is capped, of the units that were folded.

        Args:
            metric: The metric.
            quantile: Over all units of all arms, in (0, 1].
        """
        column = metric.by or metric.of
        value = self._counted(column)
        most = self._one(f"SELECT quantile_disc({value}, {quantile!r}) FROM kept")
        if most is None or not most > 0:  # so few have any that nobody has more than others
            return Cap(column, quantile, math.inf, 0)
        beyond = self._one(f"SELECT count(*) FROM kept WHERE {value} > {most!r}")
        return Cap(column, quantile, most, beyond)

    def moments(
        self, metric: Metric, cap: Cap | None = None, *, by: str | None = None
    ) -> dict[str, dict[str, Moments]]:
        """Sufficient statistics by group and arm, of the units that were folded.

        Args:
            metric: Of which: columns ``numerator``, ``denominator`` for a ratio, and ``before``
                where it is known.
            cap: For how much a unit counts at most; None for all that it has.
            by: ``segment``, for groups; None has one, ``""``.
        """
        top = self._counted(metric.of)
        below = None if metric.by is None else self._counted(metric.by)
        most = math.inf if cap is None else cap.most
        if math.isinf(most):
            columns = {"numerator": top} | ({} if below is None else {"denominator": below})
        elif below is None:
            columns = {"numerator": f"least({top}, {most!r})"}
        else:
            share = f"CASE WHEN {below} > {most!r} THEN {most!r} / {below} ELSE 1 END"
            columns = {"numerator": f"{top} * ({share})", "denominator": f"{below} * ({share})"}
        if "before" in self.roles:
            columns["before"] = "known_before"
        made = ", ".join(f"{value} AS {name}" for name, value in columns.items())
        names = tuple(columns)
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i:]]
        asked = [
            *(f"avg({name})" for name in names),
            *(f"max(abs({name}))" for name in names),
            *(f"covar_samp({a}, {b})" for a, b in pairs),
        ]
        group = "segment" if by == "segment" else "''"
        found = self._all(
            f"SELECT kind, arm, count(*), {', '.join(asked)} FROM "
            f"(SELECT arm, {group} AS kind, {made} FROM kept) GROUP BY kind, arm ORDER BY kind, arm"
        )
        result: dict[str, dict[str, Moments]] = {}
        for kind, arm, units, *numbers in found:
            k = len(names)
            mean, largest = np.array(numbers[:k]), np.array(numbers[k : 2 * k])
            covariance = np.full((k, k), math.nan)
            for (a, b), value in zip(pairs, numbers[2 * k :], strict=True):
                i, j = names.index(a), names.index(b)
                covariance[i, j] = covariance[j, i] = math.nan if value is None else value
            total = np.abs(mean) * units
            share = np.divide(largest, total, out=np.zeros(k), where=total > 0)
            result.setdefault(str(kind), {})[arm] = Moments(
                arm, names, units, mean, covariance, share
            )
        return result

    def dealt(self) -> dict[str, int] | None:
        """Arm to units, of a table that holds totals; None where it does not say.

        Raises:
            InvalidInput: there are parts of units.
        """
        if "unit" not in self.roles:
            return None
        unit, arm = _named(self.roles["unit"]), f"{_named(self.roles['arm'])}::VARCHAR"
        found = self._all(f"SELECT {arm}, sum({unit}::DOUBLE) FROM source GROUP BY 1 ORDER BY 1")
        for name, units in found:
            if not (float(units).is_integer() and units >= 0):
                raise InvalidInput(f"arm {name}: {units:g} units; totals are whole numbers")
        return {name: int(units) for name, units in found}

    def check_totals(self, metric: Metric) -> None:
        """Whether the rows can be totals of arms.

        Raises:
            InvalidInput: they are impressions or shoppers.
        """
        _, by = (_named(column) for column in metric.columns)
        arm = f"{_named(self.roles['arm'])}::VARCHAR"
        rows, arms, most = self._all(
            f"SELECT count(*), count(DISTINCT {arm}), max({by}::DOUBLE) FROM source"
        )[0]
        if (most <= 1 and rows > arms) or rows > _TOTALS * arms:
            raise InvalidInput(
                f"{self.path}: {rows:,} rows for {arms} arms, with at most {most:g} {metric.by} "
                "each: these are no totals; leave out --counts, and say which column is the unit: "
                "--map unit=…"
            )

    def totals(self, metric: Metric) -> dict[str, tuple[float, float]]:
        """Arm to the sums of a ratio's columns, of a table that holds totals."""
        of, by = (f"sum({_named(column)}::DOUBLE)" for column in metric.columns)
        arm = f"{_named(self.roles['arm'])}::VARCHAR"
        found = self._all(f"SELECT {arm}, {of}, {by} FROM source GROUP BY 1 ORDER BY 1")
        return {name: (events, trials) for name, events, trials in found}

    def _counted(self, column: str) -> str:
        return "n_rows" if column == ROWS and ROWS not in self._known else _named(f"c_{column}")

    @property
    def _summed(self) -> list[str]:
        wanted = dict.fromkeys(c for metric in self.metrics for c in metric.columns)
        return [c for c in wanted if c != ROWS or ROWS in self._known]

    def _prepare(self, known: Mapping[str, str], policy: str | None) -> None:
        self._known = known
        for role in self._needed:
            if role not in self.roles:
                raise InvalidInput(
                    f"--map without {role}: say which column it is, as in arm=variant,unit=user_id"
                )
        for name in dict.fromkeys((*self.roles.values(), *self._summed)):
            if name not in known:
                raise InvalidInput(f"{self.path}: no column {name!r}; there are {', '.join(known)}")
        for name in (*self._summed, *(self.roles[r] for r in self._numeric if r in self.roles)):
            if _plain(known[name]) not in _NUMBERS:
                raise InvalidInput(
                    f"{self.path}: {name} is {known[name]}, and no number; give a column of numbers"
                )
        time = self.roles.get("time")
        if time is not None and not _is_time(_plain(known[time])):
            raise InvalidInput(
                f"{self.path}: {time} is {known[time]}, whose order is none of time; give moments, "
                "dates or numbers"
            )
        self.policy, self.other_policies = self._versions(policy)
        where = ""
        if self.policy not in (None, ALL):
            where = f"WHERE {_named(self.roles['policy'])}::VARCHAR = {_text(str(self.policy))}"
        self._all(f"CREATE VIEW source AS SELECT * FROM everything {where}")
        self._check()

    def _versions(self, asked: str | None) -> tuple[str | None, tuple[str, ...]]:
        """Which version is used, and which are not; None without versions."""
        if "policy" not in self.roles:
            if asked is not None:
                raise InvalidInput(f"policy {asked!r}: say which column it is: --map policy=…")
            return None, ()
        if asked == ALL:
            return ALL, ()
        policy = _named(self.roles["policy"])
        lost = self._one(f"SELECT count(*) FROM everything WHERE {policy} IS NULL")
        if lost:
            raise InvalidInput(
                f"{self.path}: {self.roles['policy']} is missing in {lost:,} rows; mend or leave "
                "them out, and say in which arm they were"
            )
        order = f"min({_named(self.roles['time'])})," if "time" in self.roles else ""
        found = self._all(
            f"SELECT {policy}::VARCHAR FROM everything WHERE {policy} IS NOT NULL "
            f"GROUP BY 1 ORDER BY {order} 1"
        )
        versions = [str(one) for (one,) in found]
        listed = ", ".join(versions) or "none"
        if asked is None and len(versions) > 1 and not order:
            raise InvalidInput(
                f"{self.path}: {len(versions)} policy versions ({listed}), and no time says which "
                f"is newest; give --map time=… or --policy, which may be {ALL}"
            )
        if asked is not None and asked not in versions:
            raise InvalidInput(f"policy {asked!r}: there are {listed}; choose one, or {ALL}")
        used = versions[-1] if asked is None and versions else asked
        return used, tuple(one for one in versions if one != used)

    def _check(self) -> None:
        """One pass over the rows; each fault with its column and how often it occurs."""
        bottoms = {metric.by for metric in self.metrics if metric.by is not None}
        faults: list[tuple[str, str, str]] = []
        for name in dict.fromkeys(self.roles.values()):
            faults.append((name, f"{_named(name)} IS NULL", "is missing"))
        numbers = [*self._summed, *(self.roles[r] for r in self._numeric if r in self.roles)]
        for name in dict.fromkeys(numbers):
            value = f"{_named(name)}::DOUBLE"
            faults.append((name, f"{value} IS NULL", "is missing"))
            faults.append((name, f"NOT isfinite({value})", "is not finite"))
            if name in bottoms or any(name == m.of and m.by is not None for m in self.metrics):
                faults.append((name, f"{value} < 0", "is below 0"))
        counts = ", ".join(f"count(*) FILTER (WHERE {test})" for _, test, _ in faults)
        rows, *found = self._all(f"SELECT count(*), {counts} FROM source")[0]
        self.rows = int(rows)
        if not rows:
            raise NotEnoughData(f"{self.path}: no row to analyse; widen --policy, or give others")
        for (name, _, fault), number in zip(faults, found, strict=True):
            if number:
                raise InvalidInput(
                    f"{self.path}: {name} {fault} in {number:,} of {rows:,} rows; mend or leave "
                    "them out, and say in which arm they were"
                )

    def _cut(self, units: int) -> str:
        """The moment when so many units had come, in a table ``cut``; empty while they have not."""
        unit, time = (_named(self.roles[role]) for role in ("unit", "time"))
        self._all(
            f"CREATE OR REPLACE TEMP TABLE cut AS SELECT first AS moment FROM "
            f"(SELECT min({time}) AS first FROM source GROUP BY {unit}) "
            f"ORDER BY first LIMIT 1 OFFSET {units - 1:d}"
        )
        found = self._all("SELECT moment::VARCHAR FROM cut")
        return str(found[0][0]) if found else ""

    def _left_out(self) -> Counted:
        """Leave out who is in several arms, and what no shopper does."""
        columns = {
            one: self._counted(one)
            for metric in self.metrics
            if metric.by is not None
            for one in metric.columns
        }
        limits = {}
        for name, column in columns.items():
            usual = self._one(
                f"SELECT quantile_disc({column}, {USUAL!r}) FROM units WHERE NOT crossed"
            )
            limit = limit_of(usual)
            if limit is not None:
                limits[name] = limit
        beyond = [f"{columns[name]} > {limit!r}" for name, limit in limits.items()] or ["false"]
        self._all(
            f"CREATE OR REPLACE TEMP VIEW kept AS FROM units WHERE NOT crossed AND NOT "
            f"({' OR '.join(beyond)})"
        )
        rows, crossed, bots = self._all(
            "SELECT sum(n_rows), count(*) FILTER (WHERE crossed), "
            f"count(*) FILTER (WHERE NOT crossed AND ({' OR '.join(beyond)})) FROM units"
        )[0]
        arms = self._all("SELECT arm, count(*) FROM kept GROUP BY 1 ORDER BY 1")
        return Counted(int(rows), dict(arms), crossed, bots, limits)

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds; what DuckDB cannot do is said in our words."""
        import duckdb

        try:
            return self._db.execute(query).fetchall()
        except duckdb.ConversionException as error:
            raise InvalidInput(
                f"{self.path}: a column holds what is no number: {_first_line(error)}; mend it, or "
                "give another"
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise InvalidInput(
                f"{self.path}: does not fit {_MEMORY} of memory and {self._spill.name}; free some "
                "disk there, or set TMPDIR"
            ) from error
        except duckdb.Error as error:
            raise InvalidInput(
                f"{self.path}: cannot be read as a table: {_first_line(error)}; mend the file, or "
                "write it anew as Parquet"
            ) from error

    def _one(self, query: str) -> Any:
        return self._all(query)[0][0]


def _plain(kind: str) -> str:
    """``DECIMAL(18,3)`` as ``DECIMAL``; a list stays one."""
    return kind.partition("(")[0] if kind.endswith(")") else kind


def _is_time(kind: str) -> bool:
    """Whether the order of such values is that of time."""
    return kind in _COUNTED or (kind.startswith(("TIMESTAMP", "DATE")) and not kind.endswith("]"))


def _first_line(error: Exception) -> str:
    """What DuckDB says, without the query."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".;:") if lines else type(error).__name__


def _named(column: str) -> str:
    escaped = column.replace('"', '""')
    return f'"{escaped}"'


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
