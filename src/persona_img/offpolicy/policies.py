"""Target policies for anybody's log: uniform, or a table of probabilities by context."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from persona_img.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.offpolicy.log import BanditLog
    from persona_img.offpolicy.logged import Floats

_KEY = b"persona-img"
_ACTION, _PROBABILITY = "action", "probability"
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Origin:
    """Where a table of probabilities comes from.

    Attributes:
        log: Digest of the log it was fitted to; empty where nobody knows.
        order: Digest of its rows in their order.
        unit: Its column of shoppers; empty for none.
        parts: Into so many parts the log's shoppers were dealt.
        held_out: The part it was not fitted to.
        seed: Of the dealing.
    """

    log: str = ""
    order: str = ""
    unit: str = ""
    parts: int = 1
    held_out: int = 0
    seed: int = 0

    def unseen(self, log: BanditLog) -> BanditLog | None:
        """Of the log it was fitted to, what it did not see; None of another log.

        Raises:
            InvalidInput: it is that log, read with other shoppers.
            NotEnoughData: it saw all of it.
        """
        if not self.log or self.log != log.digest:
            return None
        if self.unit != log.unit:
            raise InvalidInput(
                f"the policy learned from this log with shoppers in column {self.unit or 'none'}, "
                f"now it is {log.unit or 'none'}; name the same, or what it saw is judged"
            )
        if not self.unit and self.order != log.order:
            raise InvalidInput(
                "the policy learned from this log in another order, and rows without shoppers are "
                "told apart by their order alone; give the file as it was"
            )
        return log.only(log.dealt(self.seed, self.parts) == self.held_out)


UNKNOWN = Origin()
"""Of a policy that comes from anywhere."""


@dataclass(frozen=True, eq=False)
class PolicyTable:
    """Probabilities of actions by context.

    Attributes:
        context: Names of the context columns, perhaps none.
        table: Columns of the context (texts, or all missing: for a context that is not listed),
            ``action`` and ``probability``; each context's sum to 1.
        origin: Where it comes from.
    """

    context: tuple[str, ...]
    table: pd.DataFrame
    origin: Origin = UNKNOWN

    def __post_init__(self) -> None:
        named = [*self.context, _ACTION, _PROBABILITY]
        missing = [column for column in named if column not in self.table.columns]
        if missing:
            raise InvalidInput(f"no column {', '.join(missing)}; a policy has {', '.join(named)}")
        chance = self.table[_PROBABILITY].to_numpy(dtype=np.float64)
        if not np.all((chance >= 0) & (chance <= 1 + _TOLERANCE)):
            raise InvalidInput("a probability outside [0, 1]")
        if self.table.duplicated([*self.context, _ACTION]).any():
            raise InvalidInput("an action twice in one context; one probability each")
        total: dict[tuple[str, ...], float] = {}
        for key, one in zip(self._keys(self.table), chance, strict=True):
            total[key] = total.get(key, 0.0) + float(one)
        for key, whole in total.items():
            if abs(whole - 1.0) > _TOLERANCE:
                place = ", ".join(key) or "of others"
                raise InvalidInput(f"context {place}: probabilities sum to {whole:g}; make it 1")

    def chances(self, log: BanditLog) -> Floats:
        """(P, A) for each place of a log; on a slate that lacks an action the rest share its part.

        Raises:
            InvalidInput: the log lacks a context column, a place has no row and there is none for
                others, or none of a slate's actions has a probability.
        """
        missing = [name for name in self.context if name not in log.context.columns]
        if missing:
            raise InvalidInput(f"the policy looks at {', '.join(missing)}; give it with --context")
        known = {key: number for number, key in enumerate(dict.fromkeys(self._keys(self.table)))}
        own = np.array([known[key] for key in self._keys(self.table)])
        column = pd.Index(log.actions).get_indexer(pd.Index(self.table[_ACTION]))
        wide = np.zeros((len(known), len(log.actions)))
        shown = column >= 0
        wide[own[shown], column[shown]] = self.table[_PROBABILITY].to_numpy()[shown]
        keys = self._keys(log.context)
        others = known.get(("",) * len(self.context), -1)
        row = np.array([known.get(key, others) for key in keys])
        if (row < 0).any():
            first = ", ".join(keys[int(np.flatnonzero(row < 0)[0])])
            raise InvalidInput(f"the policy has no row for context {first}, and none for others")
        found = wide[row] * log.allowed
        total = found.sum(axis=1)
        if (total <= 0).any():
            place = int(np.flatnonzero(total <= 0)[0])
            raise InvalidInput(
                f"the policy gives no chance to any action of the slate of context "
                f"{tuple(log.context.iloc[place])}; the log's first actions are "
                f"{', '.join(log.actions[:5])}"
            )
        return np.asarray(found / total[:, None], dtype=np.float64)

    def save(self, path: Path) -> None:
        """Write it as Parquet, its origin in the file's metadata."""
        plain = pa.Table.from_pandas(self.table, preserve_index=False)
        facts = {"context": list(self.context), "origin": asdict(self.origin)}
        meta = {**(plain.schema.metadata or {}), _KEY: json.dumps(facts, sort_keys=True).encode()}
        pq.write_table(plain.replace_schema_metadata(meta), path)

    @classmethod
    def load(cls, path: Path) -> PolicyTable:
        """From Parquet or CSV, ours or anybody's: what is not action or probability is context.

        Raises:
            NotFound: no such file.
            InvalidInput: it is no table of probabilities.
        """
        if not path.exists():
            raise NotFound(f"{path}: no such policy")
        facts: dict[str, Any] = {}
        try:
            if path.suffix.lower() == ".csv":
                table = pd.read_csv(path)
            else:
                read = pq.read_table(path)
                table = read.to_pandas()
                facts = json.loads((read.schema.metadata or {}).get(_KEY, b"{}"))
        except (OSError, ValueError, UnicodeError, pa.ArrowInvalid) as error:
            raise InvalidInput(f"{path}: cannot be read as a table ({error})") from error
        rest = [str(c) for c in table.columns if c not in (_ACTION, _PROBABILITY)]
        context = tuple(facts.get("context", rest))
        if _ACTION in table.columns:
            table[_ACTION] = table[_ACTION].astype(str)
        for name in context:
            if name in table.columns:
                some = table[name].notna()
                table[name] = table[name].astype(object).where(~some, table[name].astype(str))
        try:
            return cls(context, table, Origin(**facts.get("origin", {})))
        except InvalidInput as error:
            raise InvalidInput(f"{path}: {error}") from error

    def _keys(self, table: pd.DataFrame) -> list[tuple[str, ...]]:
        """Each row's context; empty texts where it is missing."""
        if not self.context:
            return [()] * len(table)
        columns = [table[name].fillna("").astype(str) for name in self.context]
        return list(zip(*columns, strict=True))


def uniform_chances(log: BanditLog) -> Floats:
    """(P, A), the same for every action of a slate."""
    return np.asarray(log.allowed / log.allowed.sum(axis=1, keepdims=True), dtype=np.float64)
