"""A log in one SQLite file: an acknowledgement means that it is on the disk."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.domain.decision import Decision
from persona_img.domain.feedback import FEEDBACK_COLUMNS, Event
from persona_img.errors import InvalidInput, StoreConflict, StoreFailed
from persona_img.serving.base import (
    Outcome,
    Recorded,
    check_decision,
    other_shares,
    recorded,
    sorted_out,
    sound_events,
    taken_id,
)
from persona_img.serving.feedback import feedback_frame
from persona_img.serving.sqlite_file import BUSY_SECONDS, SqliteFile, connect
from persona_img.serving.sqlite_writer import GroupWriter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from persona_img.domain.decision import Arms

_APPLICATION = 0x50494D47  # "PIMG": tells our files from other SQLite databases
_VERSION = 1
_EVENT_SECONDS = 10.0
_PROBE = "~probe"  # no test is called so: names begin with a letter or digit
_PROBE_BYTES = 4096

_SCHEMA = """
CREATE TABLE tests (
    test TEXT PRIMARY KEY,
    shares TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (
    decision_id TEXT PRIMARY KEY,
    test TEXT NOT NULL,
    shopper TEXT NOT NULL,
    product TEXT NOT NULL,
    segment TEXT NOT NULL,
    arm TEXT NOT NULL,
    style_key TEXT NOT NULL,
    digest TEXT,
    propensity REAL NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    policy_version TEXT NOT NULL,
    decided_at REAL NOT NULL,
    UNIQUE (test, shopper, product, policy_version)
) STRICT;
CREATE TABLE latest (
    test TEXT NOT NULL,
    shopper TEXT NOT NULL,
    product TEXT NOT NULL,
    decision_id TEXT NOT NULL REFERENCES decisions,
    digest TEXT,
    changes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (test, shopper, product)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    event_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('impression', 'click', 'conversion')),
    decision_id TEXT NOT NULL REFERENCES decisions,
    impression_id TEXT NOT NULL,
    occurred_at REAL NOT NULL,
    position INTEGER NOT NULL CHECK (position >= 1)
) STRICT, WITHOUT ROWID;
"""

_DECISION_FIELDS = tuple(field.name for field in fields(Decision))
_EVENT_FIELDS = tuple(field.name for field in fields(Event))
_DECISION = ", ".join(_DECISION_FIELDS)
_EVENT = ", ".join(_EVENT_FIELDS)
_KNOWN = ", ".join(f"d.{name}" for name in FEEDBACK_COLUMNS[:10])

_FEEDBACK = f"""
SELECT {_KNOWN}, i.position, i.occurred_at, ifnull(o.clicked, 0), ifnull(o.converted, 0)
FROM events i
JOIN decisions d ON d.decision_id = i.decision_id
LEFT JOIN (
    SELECT impression_id, decision_id,
        max(kind = 'click') AS clicked, max(kind = 'conversion') AS converted
    FROM events WHERE kind <> 'impression' GROUP BY impression_id, decision_id
) o ON o.impression_id = i.event_id AND o.decision_id = i.decision_id
WHERE i.kind = 'impression' AND (:test IS NULL OR d.test = :test)
ORDER BY i.occurred_at, i.event_id
"""


class SqliteEventLog:
    """:class:`~persona_img.serving.base.EventLog` in a file on a local disk.

    Several processes may use the same file; each has its own writing thread, and SQLite lets one
    of them write at a time.

    Args:
        path: The file; made if it is not there, in a folder that is. SQLite keeps ``-wal`` and
            ``-shm`` files beside it: move the three together, or close the log first.

    Raises:
        InvalidInput: the path cannot hold a log.
        StoreConflict: the file is a log of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        with closing(connect(self._path)) as db:
            _prepare(db, self._path)
            # While the first connection is open: closing the last one costs a checkpoint.
            self._file = SqliteFile(self._path, _check)
        self._writer = GroupWriter(self._file.writing, self._path)

    def open_test(self, arms: Arms) -> None:
        """See :meth:`EventLog.open_test`."""
        self._writer.write(lambda db: _open_test(db, arms))

    def record_decision(self, decision: Decision, *, seconds: float | None = None) -> Decision:
        """See :meth:`EventLog.record_decision`."""
        check_decision(decision)
        return self._writer.write(
            lambda db: _record_decision(db, decision),
            seconds=BUSY_SECONDS if seconds is None else seconds,
        )

    def latest_decision(self, test: str, shopper: str, product: str) -> Decision | None:
        """See :meth:`EventLog.latest_decision`."""
        row = self._file.read_one(
            f"SELECT {_DECISION} FROM decisions WHERE decision_id = (SELECT decision_id "
            "FROM latest WHERE test = ? AND shopper = ? AND product = ?)",
            (test, shopper, product),
        )
        return Decision(*row) if row else None

    def change_count(self, test: str, shopper: str, product: str) -> int:
        """See :meth:`EventLog.change_count`."""
        row = self._file.read_one(
            "SELECT changes FROM latest WHERE test = ? AND shopper = ? AND product = ?",
            (test, shopper, product),
        )
        return int(row[0]) if row else 0

    def record_events(self, events: Sequence[Event]) -> Recorded:
        """See :meth:`EventLog.record_events`."""
        sound, rejected = sound_events(events)
        if not sound:
            return recorded(rejected)
        stored = self._writer.write(lambda db: _record_events(db, sound), seconds=_EVENT_SECONDS)
        return recorded(rejected, stored)

    def feedback(self, test: str | None = None) -> pd.DataFrame:
        """See :meth:`EventLog.feedback`."""
        # A connection of its own: a long scan holds up neither decisions nor commits.
        with closing(connect(self._path, new=False)) as db:
            return feedback_frame(db.execute(_FEEDBACK, {"test": test}).fetchall())

    def probe(self, *, seconds: float | None = None) -> None:
        """See :meth:`EventLog.probe`."""
        self._writer.write(_write_and_read, seconds=BUSY_SECONDS if seconds is None else seconds)
        self._file.read_one("SELECT 1 FROM tests")
        self._file.check()

    def close(self) -> None:
        """See :meth:`EventLog.close`."""
        self._writer.close()
        self._file.close()


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN IMMEDIATE")
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    empty = db.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    if empty:
        for statement in filter(str.strip, _SCHEMA.split(";")):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {_VERSION}")
    elif owner != _APPLICATION:
        raise InvalidInput(f"{path}: a database of another program; name another file")
    elif version != _VERSION:
        raise StoreConflict(
            f"{path}: log version {version}, this program reads {_VERSION}; name another file"
        )
    db.execute("COMMIT")


def _check(db: sqlite3.Connection) -> None:
    """Refuse what is no log of this version; reads the newest decision, so the file's end."""
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if (owner, version) != (_APPLICATION, _VERSION):
        raise StoreFailed("another program's database, or another version's", "corrupt")
    db.execute("SELECT * FROM decisions ORDER BY rowid DESC LIMIT 1").fetchone()


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


def _record_decision(db: sqlite3.Connection, decision: Decision) -> Decision:
    row = db.execute(
        f"SELECT {_DECISION} FROM decisions "
        "WHERE test = ? AND shopper = ? AND product = ? AND policy_version = ?",
        (decision.test, decision.shopper, decision.product, decision.policy_version),
    ).fetchone()
    if row is not None:
        decision = Decision(*row)
    else:
        taken = "SELECT 1 FROM decisions WHERE decision_id = ?"
        if db.execute(taken, (decision.decision_id,)).fetchone():
            raise taken_id(decision)
        values = _row(decision, _DECISION_FIELDS)
        db.execute(f"INSERT INTO decisions ({_DECISION}) VALUES ({_marks(values)})", values)
    db.execute(
        "INSERT INTO latest (test, shopper, product, decision_id, digest) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET changes = changes + (digest IS NOT excluded.digest), "
        "decision_id = excluded.decision_id, digest = excluded.digest",
        (
            decision.test,
            decision.shopper,
            decision.product,
            decision.decision_id,
            decision.digest,
        ),
    )
    return decision


def _record_events(db: sqlite3.Connection, events: dict[int, Event]) -> dict[int, Outcome]:
    """What became of each; rejects before it writes."""
    asked = {event.decision_id for event in events.values()}
    known = _found(db, "SELECT decision_id FROM decisions WHERE decision_id IN", asked)
    names = {event.event_id for event in events.values()}
    rows = _found(db, f"SELECT {_EVENT} FROM events WHERE event_id IN", names)
    stored = {row[0]: Event(*row) for row in rows}
    outcomes, new = sorted_out(events, {row[0] for row in known}, stored)
    if new:
        values = [_row(event, _EVENT_FIELDS) for event in new]
        db.executemany(f"INSERT INTO events ({_EVENT}) VALUES ({_marks(values[0])})", values)
    return outcomes


def _found(db: sqlite3.Connection, query: str, names: Iterable[str]) -> list[tuple[Any, ...]]:
    # One parameter for any number of names: the statement stays the same, and is compiled once.
    return db.execute(
        f"{query} (SELECT value FROM json_each(?))", (json.dumps([*names]),)
    ).fetchall()


def _row(value: Decision | Event, names: tuple[str, ...]) -> tuple[Any, ...]:
    # NumPy's numbers are numbers to us, but not to SQLite.
    values = [getattr(value, name) for name in names]
    return tuple(x.item() if isinstance(x, np.generic) else x for x in values)


def _marks(values: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(values))
