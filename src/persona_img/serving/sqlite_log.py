"""A log in one SQLite file: an acknowledgement means that it is on the disk."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

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
from persona_img.serving.linking import Holds, Linking, asked_names, person_of, settle
from persona_img.serving.sqlite_file import BUSY_SECONDS, SqliteFile, connect
from persona_img.serving.sqlite_numbers import Choices, numbered
from persona_img.serving.sqlite_schema import check, prepare
from persona_img.serving.sqlite_writer import GroupWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

    from persona_img.domain.decision import Arms
    from persona_img.domain.feedback import Event
    from persona_img.domain.people import Link, Person
    from persona_img.serving.linking import Linked

_EVENT_SECONDS = 10.0
_PROBE = "~probe"  # no test is called so: names begin with a letter or digit
_PROBE_BYTES = 4096
_CODES = {kind: code for code, kind in enumerate(KINDS, start=1)}
_IMPRESSION = _CODES["impression"]
_TOKENS = re.compile("[0-9a-f]{24}")
_ASKED = 64
_Key = tuple["bytes | str", int]

_DECISION = """
    o.test, s.shopper, o.product, c.segment, c.arm, c.style_key, c.digest, d.propensity,
    c.policy_version, d.decided_at
"""
_PARTS = """
    JOIN shoppers s USING (shopper_id) JOIN choices c USING (choice_id)
    JOIN offers o ON o.offer_id = c.offer_id
"""
_SEEN_HERE = f"""
SELECT {_DECISION} FROM decisions d {_PARTS}
WHERE d.shopper_id = (SELECT shopper_id FROM shoppers WHERE shopper = ?) AND d.offer_id
"""
_SEEN_ONE = f"{_SEEN_HERE} = (SELECT offer_id FROM offers WHERE test = ? AND product = ?)"
_SEEN = f"""
{_SEEN_HERE} IN (
    SELECT offer_id FROM offers WHERE test = ? AND product IN (SELECT value FROM json_each(?))
)
"""
_SEEN_BY_ALL = f"""
SELECT {_DECISION} FROM decisions d {_PARTS}
WHERE d.shopper_id IN (
    SELECT shopper_id FROM shoppers WHERE shopper IN (SELECT value FROM json_each(?))
) AND d.offer_id IN (
    SELECT offer_id FROM offers WHERE test = ? AND product IN (SELECT value FROM json_each(?))
) AND c.arm = ?
"""
_PERSON = """
SELECT name, login, unit FROM links WHERE login = (SELECT login FROM links WHERE name = ?)
"""
_FIRST_SEEN = """
SELECT s.shopper, o.test, min(d.decided_at) FROM shoppers s
JOIN decisions d USING (shopper_id) JOIN offers o USING (offer_id)
WHERE s.shopper IN (SELECT value FROM json_each(?)) GROUP BY s.shopper, o.test
"""
_EARLIER = f"""
SELECT d.decision_id, {_DECISION} FROM earlier d {_PARTS}
WHERE d.decision_id IN (SELECT value FROM json_each(?))
"""


class SqliteEventLog:
    """:class:`~persona_img.serving.base.EventLog` in a file on a local disk.

    Several processes may use the same file; each has its own writing thread, and SQLite lets one
    of them write at a time.

    Args:
        path: The file; made if it is not there, in a folder that is, and brought up to date if it
            is of an earlier version. SQLite keeps ``-wal`` and ``-shm`` files beside it: move the
            three together, or close the log first.

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
        self._writer = GroupWriter(
            self._file.writing, self._path, begin=lambda db: db.execute("BEGIN IMMEDIATE")
        )
        self._choices = Choices(lambda: self._writer.commits)

    def open_test(self, arms: Arms) -> None:
        """See :meth:`EventLog.open_test`."""
        self._writer.write(lambda db: _open_test(db, arms))

    def seen(
        self,
        test: str,
        shopper: str,
        products: Collection[str],
        *,
        others: Collection[str] = (),
        arm: str = "",
    ) -> Mapping[str, Seen]:
        """See :meth:`EventLog.seen`."""
        if others:
            asked = (json.dumps([shopper, *others]), test, json.dumps([*products]), arm)
            rows = self._file.read(_SEEN_BY_ALL, asked)
        elif len(products) == 1:
            rows = self._file.read(_SEEN_ONE, (shopper, test, *products))
        else:
            rows = self._file.read(_SEEN, (shopper, test, json.dumps([*products])))
        by_product: dict[str, list[Decision]] = {}
        for row in rows:
            by_product.setdefault(row[2], []).append(Decision(*row))
        found = {product: seen_of(some) for product, some in by_product.items()}
        return {product: seen for product, seen in found.items() if seen is not None}

    def link(
        self, links: Sequence[Link], now: float, *, tests: Collection[str] = ()
    ) -> tuple[Linked, ...]:
        """See :meth:`EventLog.link`."""
        done = self._writer.write(lambda db: _link(db, links, now, tests), seconds=_EVENT_SECONDS)
        return tuple(done.outcomes)

    def person(self, shopper: str) -> Person | None:
        """See :meth:`EventLog.person`."""
        return person_of(self._file.read(_PERSON, (shopper,)))

    def record_events(self, events: Sequence[Event]) -> Recorded:
        """See :meth:`EventLog.record_events`."""
        sound, rejected = sound_events(events)
        if not sound:
            return recorded(rejected)
        stored = self._writer.write(
            lambda db: _record(db, self._choices, sound), seconds=_EVENT_SECONDS
        )
        return recorded(rejected, stored)

    def earlier(self, names: Collection[str]) -> Mapping[str, Decision]:
        """See :meth:`EventLog.earlier`."""
        rows = self._file.read(_EARLIER, (json.dumps([*names]),))
        return {row[0]: Decision(*row[1:]) for row in rows}

    def feedback(
        self, test: str | None = None, *, within: float = ATTRIBUTION_SECONDS
    ) -> pd.DataFrame:
        """See :meth:`EventLog.feedback`."""
        # Tables of analysts: who serves never needs them, and they take long to import.
        from persona_img.serving.impressions import as_frame, selected
        from persona_img.serving.joining import joined
        from persona_img.serving.sqlite_reader import SqliteReader

        with SqliteReader(self._path) as reader:
            links = reader.links()
            found = (selected(some, test=test) for some in reader.impressions())
            return as_frame((joined(some, links) for some in found), within=within)

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


def _link(
    db: sqlite3.Connection, links: Sequence[Link], now: float, tests: Collection[str]
) -> Linking:
    names = json.dumps(asked_names(links))
    logins = db.execute(
        "SELECT name, login FROM links WHERE name IN (SELECT value FROM json_each(?))", (names,)
    ).fetchall()
    people = db.execute(
        "SELECT login, min(unit), count(*) FROM links "
        "WHERE login IN (SELECT value FROM json_each(?)) GROUP BY login",
        (names,),
    ).fetchall()

    seen = db.execute(_FIRST_SEEN, (names,)).fetchall()
    done = settle(links, Holds.of(logins, people, seen, tests))
    db.executemany("INSERT INTO links VALUES (?, ?, ?, ?)", [(*row, now) for row in done.rows])
    return done


def _record(
    db: sqlite3.Connection, choices: Choices, events: Mapping[int, Event]
) -> dict[int, Outcome]:
    """What became of each event. Statements are of all of them: each costs more than its row."""
    keys = {
        place: (_showing(event.showing.showing_id), _CODES[event.kind])
        for place, event in events.items()
    }
    stored = _stored(db, {showing for showing, _ in keys.values()})
    outcomes: dict[int, Outcome] = {}
    new: dict[_Key, Event] = {}
    for place, event in events.items():
        known = stored.get(keys[place])
        if known is None:
            stored[keys[place]], outcomes[place] = event.event_id, ACCEPTED
            new[keys[place]] = event
        else:
            outcomes[place] = again(event, known)
    if new:
        try:
            _insert(db, choices, new)
        except sqlite3.IntegrityError:
            choices.forget()  # a file that was written over in its place has other numbers
            raise
    return outcomes


def _stored(db: sqlite3.Connection, showings: set[bytes | str]) -> dict[_Key, str]:
    """The event_id by showing and kind, of those that are there."""
    found: dict[_Key, str] = {}
    asked = list(showings)
    for start in range(0, len(asked), _ASKED):
        some = asked[start : start + _ASKED]
        # Filled up, so that there is one statement, compiled once.
        some += [some[0]] * (_ASKED - len(some)) if len(asked) > 1 else []
        marks = ", ".join("?" * len(some))
        query = f"SELECT showing, kind, event_id FROM events WHERE showing IN ({marks})"
        found |= {(showing, kind): name for showing, kind, name in db.execute(query, some)}
    return found


def _insert(db: sqlite3.Connection, choices: Choices, events: Mapping[_Key, Event]) -> None:
    shoppers = numbered(db, {event.showing.decision.shopper for event in events.values()})
    rows, seen = [], []
    for (showing, code), event in events.items():
        decision = event.showing.decision
        shopper = shoppers[decision.shopper]
        offer, choice = choices.numbers(db, decision)
        # NumPy's numbers are numbers to us, but not to SQLite.
        decided_at, propensity = float(decision.decided_at), float(decision.propensity)
        if code == _IMPRESSION:
            seen.append((shopper, offer, decided_at, choice, propensity))
        rows.append(
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
            )
        )
    db.executemany(
        "INSERT INTO events (showing, kind, event_id, shopper_id, choice_id, propensity, "
        "decided_at, occurred_at, received_at, skew, position, value, rating) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    db.executemany("INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?, ?)", seen)


def _showing(showing_id: str) -> bytes | str:
    return bytes.fromhex(showing_id) if _TOKENS.fullmatch(showing_id) else showing_id


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
