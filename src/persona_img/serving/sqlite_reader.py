"""What lies in the log's file, read as Arrow: all of it, or what came since.

SQLite hands out numbers, and each name once: nothing is made a Python string a million times. It
is read by the numbers of events, so many at a time, and memory does not grow with the log.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from persona_img.errors import StoreConflict
from persona_img.serving.impressions import LATE, NAMES, SCHEMA, moments, outcome_columns
from persona_img.serving.joining import links_table
from persona_img.serving.sqlite_file import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PAGE = 1 << 16  # events looked at in one go

_SHOWING = "iif(typeof({0}.showing) = 'blob', lower(hex({0}.showing)), {0}.showing)"
_AFTER = "e.occurred_at - i.occurred_at"
# As ``domain.feedback.counts`` says it: before the impression by both clocks is no outcome of it.
_OUTCOME = f"""
    e.kind,
    iif(e.kind > 3 OR max({_AFTER}, {_AFTER} + e.skew - i.skew) >= 0, {_AFTER}, NULL),
    e.value, e.rating
"""

_IMPRESSIONS = f"""
SELECT i.n, {_SHOWING.format("i")}, i.shopper_id, i.choice_id, i.propensity, i.position,
    i.occurred_at
FROM events i
WHERE i.n > ? AND i.n <= ? AND i.kind = 1
ORDER BY i.n
"""
_OUTCOMES = f"""
SELECT i.n, {_OUTCOME}
FROM events i CROSS JOIN events e ON e.showing = i.showing AND e.kind > 1
WHERE i.n > ? AND i.n <= ? AND i.kind = 1
"""
_LATE = f"""
SELECT {_SHOWING.format("i")}, i.occurred_at, {_OUTCOME}
FROM events e
JOIN events i ON i.showing = e.showing AND i.kind = 1
WHERE e.n > :after AND e.kind > 1 AND i.n <= :after
"""
_CHOICES = """
SELECT c.choice_id, o.test, o.product, c.segment, c.arm, c.style_key, c.digest, c.policy_version
FROM choices c JOIN offers o USING (offer_id)
WHERE c.choice_id IN (SELECT value FROM json_each(?))
"""
_SHOPPERS = """
SELECT shopper_id, shopper FROM shoppers
WHERE shopper_id IN (SELECT value FROM json_each(?))
"""


class SqliteReader:
    """A log as it was when this was opened; use it in a ``with``.

    Args:
        path: The file, of :class:`~persona_img.serving.sqlite_log.SqliteEventLog`.

    Raises:
        InvalidInput: no log is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # A connection of its own: a long scan holds up neither decisions nor commits.
        self._db = connect(path, new=False)
        self._db.execute("BEGIN")
        self.last: int = self._db.execute("SELECT ifnull(max(n), 0) FROM events").fetchone()[0]
        """Number of the newest event; 0 where there is none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def mark(self, number: int) -> str:
        """What tells the event of a number from that of any other log; empty for number 0.

        Raises:
            StoreConflict: there is no such event.
        """
        if not number:
            return ""
        query = f"SELECT {_SHOWING.format('e')}, e.kind FROM events e WHERE e.n = ?"
        row = self._db.execute(query, (number,)).fetchone()
        if row is None:
            raise StoreConflict(
                f"{self._path}: has no event {number:,}, the last one that its archive knows; "
                "restore log and archive of one backup"
            )
        return f"{row[0]}/{row[1]}"

    def links(self) -> pa.Table:
        """Names that were linked: :data:`persona_img.serving.joining.LINKS`."""
        rows = self._db.execute("SELECT name, login, unit, linked_at FROM links").fetchall()
        return links_table(rows)

    def impressions(self, after: int = 0) -> Iterator[pa.Table]:
        """Impressions numbered above ``after``, in order, with all that is known of each.

        Yields:
            Tables of :data:`persona_img.serving.impressions.SCHEMA`; none is empty.
        """
        for first in range(after, self.last, _PAGE):
            page = (first, min(first + _PAGE, self.last))
            rows = self._db.execute(_IMPRESSIONS, page).fetchall()
            if rows:
                yield self._table(rows, self._db.execute(_OUTCOMES, page).fetchall())

    def late(self, after: int) -> pa.Table:
        """What came above ``after`` of impressions that are not: :data:`LATE`."""
        rows = self._db.execute(_LATE, {"after": after}).fetchall()
        if not rows:
            return LATE.empty_table()
        showing, shown_at, *outcome = zip(*rows, strict=True)
        columns = [pa.array(showing, pa.string()), moments(shown_at)]
        # Every event is a row of its own: no two of them are one impression's.
        every = np.arange(len(rows))
        return pa.table([*columns, *outcome_columns(every, outcome, len(rows))], schema=LATE)

    def _table(self, rows: Sequence[tuple[Any, ...]], came: Sequence[tuple[Any, ...]]) -> pa.Table:
        n, showing, shopper, choice, propensity, position, shown_at = zip(*rows, strict=True)
        names = {"shopper": self._named(_SHOPPERS, shopper)[0]}
        facts = ("test", "product", "segment", "arm", "style_key", "digest", "policy_version")
        names |= dict(zip(facts, self._named(_CHOICES, choice), strict=True))
        of, *outcome = zip(*came, strict=True) if came else [()] * 5
        return pa.table(
            [
                pa.array(showing, pa.string()),
                *(names[name] for name in NAMES),
                pa.array(propensity, pa.float64()),
                pa.array(position, pa.int32()),
                moments(shown_at),
                *outcome_columns(np.searchsorted(n, of), outcome, len(rows)),
            ],
            schema=SCHEMA,
        )

    def _named(self, query: str, numbers: Sequence[int]) -> list[pa.DictionaryArray]:
        """Columns of names, by the numbers that the log has for them."""
        each, place = np.unique(numbers, return_inverse=True)
        found = self._db.execute(query, (json.dumps(each.tolist()),)).fetchall()
        columns = list(zip(*sorted(found), strict=True))[1:]
        codes = pa.array(place)
        return [pa.array(one, pa.string()).dictionary_encode().take(codes) for one in columns]
