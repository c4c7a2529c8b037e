"""What lies in the log's database, read as Arrow, so many events at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from sqlalchemy import text

from persona_img.errors import StoreConflict
from persona_img.serving.impressions import LATE, NAMES, SCHEMA, moments, outcome_columns
from persona_img.serving.joining import links_table
from persona_img.serving.postgres.opening import engine, failures, place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PAGE = 1 << 16  # events looked at in one go
_STEP = 20_000  # events that one call of prune() takes at most

_AFTER = "e.occurred_at - i.occurred_at"
# As ``domain.feedback.counts`` says it: before the impression by both clocks is no outcome of it.
_OUTCOME = f"""
    e.kind,
    CASE WHEN e.kind > 3 OR greatest({_AFTER}, {_AFTER} + e.skew - i.skew) >= 0 THEN {_AFTER} END,
    e.value, e.rating
"""
_HERE = "i.n > :after AND i.n <= :through AND i.kind = 1"
_IMPRESSIONS = text(f"""
SELECT i.n, i.showing, c.test, i.shopper, c.product, c.segment, c.arm, c.style_key,
    nullif(c.digest, ''), c.policy_version, i.propensity, i.position, i.occurred_at
FROM events i JOIN choices c USING (choice_id)
WHERE {_HERE} ORDER BY i.n
""")
_OUTCOMES = text(f"""
SELECT i.n, {_OUTCOME}
FROM events i JOIN events e ON e.showing = i.showing AND e.kind > 1
WHERE {_HERE}
""")
_LATE = text(f"""
SELECT i.showing, i.occurred_at, {_OUTCOME}
FROM events e JOIN events i ON i.showing = e.showing AND i.kind = 1
WHERE e.n > :after AND e.kind > 1 AND i.n <= :after
""")
# Of before there were tokens events that come again are told by those that are stored: they stay.
_PRUNE = text("""
DELETE FROM events WHERE n IN (
    SELECT n FROM events
    WHERE n < :through AND received_at < :before AND showing ~ '^[0-9a-f]{24}$'
    ORDER BY n LIMIT :step
)
""")


class PostgresReader:
    """A log as it was when this was opened; use it in a ``with``.

    Args:
        url: The database, of :class:`~persona_img.serving.postgres.log.PostgresEventLog`.

    Raises:
        StoreFailed: it cannot be read; so do all methods.
    """

    def __init__(self, url: str) -> None:
        self._engine = engine(url, connections=1)
        with failures(self._engine):
            self._db = self._engine.connect().execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self.last = int(self._db.scalar(text("SELECT coalesce(max(n), 0) FROM events")) or 0)
        """Number of the newest event; 0 where there is none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._engine.dispose()

    def mark(self, number: int) -> str:
        """What tells the event of a number from that of any other log; empty for number 0.

        Raises:
            StoreConflict: there is no such event.
        """
        if not number:
            return ""
        query = text("SELECT showing, kind FROM events WHERE n = :n")
        with failures(self._engine):
            row = self._db.execute(query, {"n": number}).first()
        if row is None:
            raise StoreConflict(
                f"{place(self._engine)}: has no event {number:,}, the last one that its archive "
                "knows; restore log and archive of one backup"
            )
        return f"{row[0]}/{row[1]}"

    def links(self) -> pa.Table:
        """Names that were linked: :data:`persona_img.serving.joining.LINKS`."""
        with failures(self._engine):
            rows = self._db.execute(text("SELECT name, login, unit, linked_at FROM links")).all()
        return links_table(rows)

    def impressions(self, after: int = 0) -> Iterator[pa.Table]:
        """Impressions numbered above ``after``, in order, with all that is known of each.

        Yields:
            Tables of :data:`persona_img.serving.impressions.SCHEMA`; none is empty.
        """
        for first in range(after, self.last, _PAGE):
            page = {"after": first, "through": min(first + _PAGE, self.last)}
            with failures(self._engine):
                rows = self._db.execute(_IMPRESSIONS, page).all()
                came = self._db.execute(_OUTCOMES, page).all() if rows else []
            if rows:
                yield _table(rows, came)

    def late(self, after: int) -> pa.Table:
        """What came above ``after`` of impressions that are not: :data:`LATE`."""
        with failures(self._engine):
            rows = self._db.execute(_LATE, {"after": after}).all()
        if not rows:
            return LATE.empty_table()
        showing, shown_at, *outcome = zip(*rows, strict=True)
        columns = [pa.array(showing, pa.string()), moments(shown_at)]
        # Every event is a row of its own: no two of them are one impression's.
        every = np.arange(len(rows))
        return pa.table([*columns, *outcome_columns(every, outcome, len(rows))], schema=LATE)


def prune(url: str, through: int, before: float) -> int:
    """Take some events away that the archive holds; what was seen stays.

    Args:
        url: The database.
        through: Number of an event; those below may go.
        before: Moment, Unix seconds, before which they were received.

    Returns:
        How many went; 0 where none is left.

    Raises:
        StoreFailed: it cannot be written.
    """
    writing = engine(url, connections=1)
    try:
        with failures(writing), writing.begin() as db:
            asked = {"through": through, "before": before, "step": _STEP}
            return db.execute(_PRUNE, asked).rowcount
    finally:
        writing.dispose()


def _table(rows: Sequence[Any], came: Sequence[Any]) -> pa.Table:
    n, showing, *names, propensity, position, shown_at = zip(*rows, strict=True)
    of, *outcome = zip(*came, strict=True) if came else [()] * 5
    return pa.table(
        [
            pa.array(showing, pa.string()),
            *(pa.array(one, pa.string()).dictionary_encode() for one in names[: len(NAMES)]),
            pa.array(propensity, pa.float64()),
            pa.array(position, pa.int32()),
            moments(shown_at),
            *outcome_columns(np.searchsorted(n, of), outcome, len(rows)),
        ],
        schema=SCHEMA,
    )
