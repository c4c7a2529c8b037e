"""A log in one SQLite file: an acknowledgement means that it is on the disk."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_img.domain.decision import Decision
from persona_img.domain.feedback import ATTRIBUTION_SECONDS, KINDS
from persona_img.errors import StoreFailed
from persona_img.serving.base import (
    ACCEPTED,
    Outcome,
    Recorded,
    Seen,
    again,
    other_shares,
    recorded,
    seen_of,
    sound_events,
)
from persona_img.serving.feedback import feedback_frame
from persona_img.serving.sqlite_file import BUSY_SECONDS, SqliteFile, connect
from persona_img.serving.sqlite_schema import check, prepare
from persona_img.serving.sqlite_writer import GroupWriter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

    from persona_img.domain.decision import Arms
    from persona_img.domain.feedback import Event

_EVENT_SECONDS = 10.0
_PROBE = "~probe"  # no test is called so: names begin with a letter or digit
_PROBE_BYTES = 4096
_CODES = {kind: code for code, kind in enumerate(KINDS, start=1)}
_TOKENS = re.compile("[0-9a-f]{24}")

_DECISION = """
    o.test, s.shopper, o.product, c.segment, c.arm, c.style_key, c.digest, d.propensity,
    c.policy_version, d.decided_at
"""
_PARTS = """
    JOIN shoppers s USING (shopper_id) JOIN choices c USING (choice_id)
    JOIN offers o ON o.offer_id = c.offer_id
"""
_SEEN = f"""
SELECT {_DECISION} FROM decisions d {_PARTS}
WHERE d.shopper_id = (SELECT shopper_id FROM shoppers WHERE shopper = ?) AND d.offer_id IN (
    SELECT offer_id FROM offers WHERE test = ? AND product IN (SELECT value FROM json_each(?))
)
"""
_EARLIER = f"""
SELECT d.decision_id, {_DECISION} FROM earlier d {_PARTS}
WHERE d.decision_id IN (SELECT value FROM json_each(?))
"""


def _outcome(kind: int) -> str:
    """Whether an event of this kind counts for impression i, as ``domain.feedback.counts``."""
    return f"""EXISTS (
        SELECT 1 FROM events e WHERE e.showing = i.showing AND e.kind = {kind}
        AND e.occurred_at - i.occurred_at <= :within
        AND max(e.occurred_at - i.occurred_at, e.occurred_at - i.occurred_at + e.skew - i.skew) >= 0
    )"""


# The name of a showing of before is that of its decision, up to the impression's behind it.
_FEEDBACK = f"""
SELECT
    iif(typeof(i.showing) = 'blob', lower(hex(i.showing)),
        substr(i.showing, 1, instr(i.showing || char(31), char(31)) - 1)),
    o.test, s.shopper, o.product, c.segment, c.arm, c.style_key, c.digest, i.propensity,
    c.policy_version, i.position, i.occurred_at, {_outcome(2)}, {_outcome(3)}
FROM events i {_PARTS}
WHERE i.kind = 1 AND (:test IS NULL OR o.test = :test)
ORDER BY i.occurred_at, i.showing
"""


class SqliteEventLog:
    """:class:`~persona_img.serving.base.EventLog` in a file on a local disk.

    Several processes may use the same file; each has its own writing thread, and SQLite lets one
    of them write at a time.

    Args:
        path: The file; made if it is not there, in a folder that is, and brought up to date if it
            is of version 1. SQLite keeps ``-wal`` and ``-shm`` files beside it: move the three
            together, or close the log first.

    Raises:
        InvalidInput: the path cannot hold a log.
        StoreConflict: the file is a log of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        with closing(connect(self._path)) as db:
            prepare(db, self._path)
            # While the first connection is open: closing the last one costs a checkpoint.
            self._file = SqliteFile(self._path, check)
        self._writer = GroupWriter(self._file.writing, self._path)

    def open_test(self, arms: Arms) -> None:
        """See :meth:`EventLog.open_test`."""
        self._writer.write(lambda db: _open_test(db, arms))

    def seen(self, test: str, shopper: str, products: Collection[str]) -> Mapping[str, Seen]:
        """See :meth:`EventLog.seen`."""
        rows = self._file.read(_SEEN, (shopper, test, json.dumps([*products])))
        by_product: dict[str, list[Decision]] = {}
        for row in rows:
            by_product.setdefault(row[2], []).append(Decision(*row))
        found = {product: seen_of(some) for product, some in by_product.items()}
        return {product: seen for product, seen in found.items() if seen is not None}

    def record_events(self, events: Sequence[Event]) -> Recorded:
        """See :meth:`EventLog.record_events`."""
        sound, rejected = sound_events(events)
        if not sound:
            return recorded(rejected)
        stored = self._writer.write(lambda db: _record(db, sound), seconds=_EVENT_SECONDS)
        return recorded(rejected, stored)

    def earlier(self, names: Collection[str]) -> Mapping[str, Decision]:
        """See :meth:`EventLog.earlier`."""
        rows = self._file.read(_EARLIER, (json.dumps([*names]),))
        return {row[0]: Decision(*row[1:]) for row in rows}

    def feedback(
        self, test: str | None = None, *, within: float = ATTRIBUTION_SECONDS
    ) -> pd.DataFrame:
        """See :meth:`EventLog.feedback`."""
        # A connection of its own: a long scan holds up neither decisions nor commits.
        with closing(connect(self._path, new=False)) as db:
            asked = {"test": test, "within": within}
            return feedback_frame(db.execute(_FEEDBACK, asked).fetchall())

    def probe(self, *, seconds: float | None = None) -> None:
        """See :meth:`EventLog.probe`."""
        self._writer.write(_write_and_read, seconds=BUSY_SECONDS if seconds is None else seconds)
        self._file.read("SELECT 1 FROM tests")
        self._file.check()

    def close(self) -> None:
        """See :meth:`EventLog.close`."""
        self._writer.close()
        self._file.close()


def _write_and_read(db: sqlite3.Connection) -> None:
    """Write a row of several pages, read it, take it away: there is room, and nobody sees it."""
    db.execute("INSERT INTO tests VALUES (?, hex(zeroblob(?)))", (_PROBE, _PROBE_BYTES))
    (found,) = db.execute("SELECT length(shares) FROM tests WHERE test = ?", (_PROBE,)).fetchone()
    db.execute("DELETE FROM tests WHERE test = ?", (_PROBE,))
    if found != 2 * _PROBE_BYTES:
        raise StoreFailed("what was written is not what is read", "corrupt")


def _open_test(db: sqlite3.Connection, arms: Arms) -> None:
    query = "SELECT shares FROM tests WHERE test = ?"
    row = db.execute(query, (arms.test,)).fetchone()
    if row is None:
        shares = json.dumps(dict(arms.shares))
        db.execute("INSERT INTO tests VALUES (?, ?)", (arms.test, shares))
    elif list((known := json.loads(row[0])).items()) != list(arms.shares.items()):
        raise other_shares(arms, known)


def _record(db: sqlite3.Connection, events: Mapping[int, Event]) -> dict[int, Outcome]:
    """What became of each event."""
    names = _Numbers(db)
    return {place: _record_one(db, names, event) for place, event in events.items()}


def _record_one(db: sqlite3.Connection, names: _Numbers, event: Event) -> Outcome:
    decision, code = event.showing.decision, _CODES[event.kind]
    showing = _showing(event.showing.showing_id)
    stored = db.execute(
        "SELECT event_id FROM events WHERE showing = ? AND kind = ?", (showing, code)
    ).fetchone()
    if stored is not None:
        return again(event, stored[0])
    shopper = names.shopper(decision.shopper)
    offer = names.offer(decision.test, decision.product)
    choice = names.choice(offer, decision)
    decided_at, propensity = float(decision.decided_at), float(decision.propensity)
    db.execute(
        "INSERT INTO events (showing, kind, event_id, shopper_id, choice_id, propensity, "
        "decided_at, occurred_at, received_at, skew, position, value, rating) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            showing,
            code,
            event.event_id,
            shopper,
            choice,
            propensity,
            decided_at,
            float(event.occurred_at),
            _number(event.received_at),
            float(event.skew),
            int(event.position),
            _number(event.value),
            _number(event.rating),
        ),
    )
    if event.kind == "impression":
        db.execute(
            "INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?, ?)",
            (shopper, offer, decided_at, choice, propensity),
        )
    return ACCEPTED


class _Numbers:
    """Numbers of names, for one call: what another transaction knows may be rolled back."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[tuple[Any, ...], int] = {}

    def shopper(self, shopper: str) -> int:
        return self._of("shoppers", "shopper_id", ("shopper",), (shopper,))

    def offer(self, test: str, product: str) -> int:
        return self._of("offers", "offer_id", ("test", "product"), (test, product))

    def choice(self, offer: int, decision: Decision) -> int:
        facts = (offer, decision.policy_version, decision.style_key, decision.segment)
        columns = ("offer_id", "policy_version", "style_key", "segment", "arm", "digest")
        return self._of("choices", "choice_id", columns, (*facts, decision.arm, decision.digest))

    def _of(
        self, table: str, number: str, columns: tuple[str, ...], values: tuple[Any, ...]
    ) -> int:
        found = self._known.get(values)
        if found is None:
            # As the index says it, so that the index is used.
            same = " AND ".join(
                f"ifnull({column}, '') = ifnull(?, '')" if column == "digest" else f"{column} = ?"
                for column in columns
            )
            row = self._db.execute(f"SELECT {number} FROM {table} WHERE {same}", values).fetchone()
            if row is None:
                marks = ", ".join("?" * len(values))
                made = self._db.execute(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", values
                )
                row = (made.lastrowid,)
            found = self._known[values] = int(row[0])
        return found


def _showing(showing_id: str) -> bytes | str:
    return bytes.fromhex(showing_id) if _TOKENS.fullmatch(showing_id) else showing_id


def _number(value: float | None) -> float | None:
    # NumPy's numbers are numbers to us, but not to SQLite.
    return None if value is None else float(value)
