"""A log in PostgreSQL: an acknowledgement means that the database has committed it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

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
from persona_img.serving.postgres.opening import engine, failures, place
from persona_img.serving.postgres.schema import (
    CHOICES,
    DECISIONS,
    EVENTS,
    FACTS,
    LINKS,
    TESTS,
    WRITING,
    migrate,
)
from persona_img.serving.sqlite_writer import GroupWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pandas as pd
    from sqlalchemy import Connection

    from persona_img.domain.decision import Arms
    from persona_img.domain.feedback import Event
    from persona_img.domain.people import Link, Person
    from persona_img.serving.linking import Linked

_STATEMENT_SECONDS = 10.0
_READ_SECONDS = 2.0
_LOOK_SECONDS = 0.4  # a shop that links nobody is not asked who is who at every decision
_PROBE = "~probe"  # no test is called so: names begin with a letter or digit
_CODES = {kind: code for code, kind in enumerate(KINDS, start=1)}
_IMPRESSION = _CODES["impression"]

_SEEN = (
    select(DECISIONS, *(CHOICES.c[name] for name in FACTS))
    .join(CHOICES, CHOICES.c.choice_id == DECISIONS.c.choice_id)
    .where(
        DECISIONS.c.shopper.in_(bindparam("shoppers", expanding=True)),
        CHOICES.c.test == bindparam("test"),
        CHOICES.c.product.in_(bindparam("products", expanding=True)),
    )
)


class PostgresEventLog:
    """:class:`~persona_img.serving.base.EventLog` in a database, for any number of services.

    Each service has one writing thread and writes what waits in one transaction; the database lets
    one of them write at a time.

    Args:
        url: As in ``postgresql://shop:secret@db.internal/persona``. Tables are made, or brought up
            to date, where the user may do so.

    Raises:
        InvalidInput: no address of a PostgreSQL database.
        StoreConflict: a newer program's tables.
        StoreFailed: it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._reading = engine(url, seconds=_READ_SECONDS)
        self._writing = engine(url, connections=1, seconds=_STATEMENT_SECONDS)
        with failures(self._writing), self._writing.begin() as db:
            migrate(db)
        self._linked, self._next_look = False, 0.0
        self._writer = GroupWriter(
            self._connection, place(self._writing), begin=lambda db: db.execute(WRITING)
        )

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
        asked = {"shoppers": [shopper, *others], "test": test, "products": [*products]}
        with failures(self._reading), self._reading.connect() as db:
            rows = db.execute(_SEEN, asked).mappings().all()
        by_product: dict[str, list[Decision]] = {}
        for row in rows:
            if others and row["arm"] != arm:
                continue
            facts = {name: row[name] for name in row if name != "choice_id"}
            one = Decision(**(facts | {"digest": row["digest"] or None}))
            by_product.setdefault(one.product, []).append(one)
        found = {product: seen_of(some) for product, some in by_product.items()}
        return {product: seen for product, seen in found.items() if seen is not None}

    def link(
        self, links: Sequence[Link], now: float, *, tests: Collection[str] = ()
    ) -> tuple[Linked, ...]:
        """See :meth:`EventLog.link`."""
        done = self._writer.write(
            lambda db: _link(db, links, now, tests), seconds=_STATEMENT_SECONDS
        )
        self._next_look = 0.0
        return tuple(done.outcomes)

    def person(self, shopper: str) -> Person | None:
        """See :meth:`EventLog.person`."""
        if not self._linked and time.monotonic() < self._next_look:
            return None
        names = select(LINKS.c.name, LINKS.c.login, LINKS.c.unit)
        of = select(LINKS.c.login).where(LINKS.c.name == shopper).scalar_subquery()
        with failures(self._reading), self._reading.connect() as db:
            if not self._linked:
                self._linked = db.execute(select(LINKS.c.name).limit(1)).first() is not None
                self._next_look = time.monotonic() + _LOOK_SECONDS
                if not self._linked:
                    return None
            return person_of(db.execute(names.where(LINKS.c.login == of)).all())

    def record_events(self, events: Sequence[Event]) -> Recorded:
        """See :meth:`EventLog.record_events`."""
        sound, rejected = sound_events(events)
        if not sound:
            return recorded(rejected)
        stored = self._writer.write(lambda db: _record(db, sound), seconds=_STATEMENT_SECONDS)
        return recorded(rejected, stored)

    def earlier(self, names: Collection[str]) -> Mapping[str, Decision]:
        """None: it is younger than tokens."""
        return {}

    def feedback(
        self, test: str | None = None, *, within: float = ATTRIBUTION_SECONDS
    ) -> pd.DataFrame:
        """See :meth:`EventLog.feedback`."""
        # Tables of analysts: who serves never needs them, and they take long to import.
        from persona_img.serving.impressions import as_frame, selected
        from persona_img.serving.joining import joined
        from persona_img.serving.postgres.reader import PostgresReader

        with PostgresReader(self._url) as reader:
            links = reader.links()
            found = (selected(some, test=test) for some in reader.impressions())
            return as_frame((joined(some, links) for some in found), within=within)

    def probe(self, *, seconds: float | None = None) -> None:
        """See :meth:`EventLog.probe`."""
        wait = _STATEMENT_SECONDS if seconds is None else seconds
        self._writer.write(_write_and_read, seconds=wait)

    def close(self) -> None:
        """See :meth:`EventLog.close`."""
        self._writer.close()
        self._reading.dispose()
        self._writing.dispose()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with failures(self._writing), self._writing.connect() as db:
            yield db


def _write_and_read(db: Connection) -> None:
    db.execute(insert(TESTS).values(test=_PROBE, shares={}))
    if db.scalar(select(TESTS.c.shares).where(TESTS.c.test == _PROBE)) != {}:
        raise StoreFailed("what was written is not what is read", "corrupt")
    db.execute(delete(TESTS).where(TESTS.c.test == _PROBE))


def _open_test(db: Connection, arms: Arms) -> None:
    known = db.scalar(select(TESTS.c.shares).where(TESTS.c.test == arms.test))
    if known is None:
        db.execute(insert(TESTS).values(test=arms.test, shares=dict(arms.shares)))
    elif list(known.items()) != list(arms.shares.items()):
        raise other_shares(arms, known)


def _link(db: Connection, links: Sequence[Link], now: float, tests: Collection[str]) -> Linking:
    names = asked_names(links)
    query = select(LINKS.c.name, LINKS.c.login).where(LINKS.c.name.in_(names))
    logins = db.execute(query).all()
    people = db.execute(
        select(LINKS.c.login, func.min(LINKS.c.unit), func.count())
        .where(LINKS.c.login.in_(names))
        .group_by(LINKS.c.login)
    ).all()

    # One question for all names: nobody else writes meanwhile.
    seen = db.execute(
        select(DECISIONS.c.shopper, CHOICES.c.test, func.min(DECISIONS.c.decided_at))
        .join(CHOICES, DECISIONS.c.choice_id == CHOICES.c.choice_id)
        .where(DECISIONS.c.shopper.in_(names))
        .group_by(DECISIONS.c.shopper, CHOICES.c.test)
    ).all()
    done = settle(links, Holds.of(logins, people, seen, tests))
    if done.rows:
        rows = [
            {"name": name, "login": login, "unit": unit, "linked_at": now}
            for name, login, unit in done.rows
        ]
        db.execute(insert(LINKS), rows)
    return done


def _record(db: Connection, events: Mapping[int, Event]) -> dict[int, Outcome]:
    """What became of each event. Nobody else writes meanwhile."""
    keys = {place: (e.showing.showing_id, _CODES[e.kind]) for place, e in events.items()}
    query = select(EVENTS.c.showing, EVENTS.c.kind, EVENTS.c.event_id).where(
        EVENTS.c.showing.in_({showing for showing, _ in keys.values()})
    )
    stored = {(row.showing, row.kind): row.event_id for row in db.execute(query)}
    outcomes: dict[int, Outcome] = {}
    new: dict[tuple[str, int], Event] = {}
    for number, event in events.items():
        known = stored.get(keys[number])
        if known is None:
            stored[keys[number]], outcomes[number] = event.event_id, ACCEPTED
            new[keys[number]] = event
        else:
            outcomes[number] = again(event, known)
    if new:
        _insert(db, new)
    return outcomes


def _insert(db: Connection, events: Mapping[tuple[str, int], Event]) -> None:
    choices: dict[tuple[str, ...], int] = {}
    rows: list[dict[str, Any]] = []
    for (showing, code), event in events.items():
        decision = event.showing.decision
        facts = tuple(getattr(decision, name) or "" for name in FACTS)
        if facts not in choices:
            choices[facts] = _choice(db, dict(zip(FACTS, facts, strict=True)))
        rows.append(
            {
                "showing": showing,
                "kind": code,
                "event_id": event.event_id,
                "shopper": decision.shopper,
                "choice_id": choices[facts],
                # NumPy's numbers are numbers to us, but not to the database.
                "propensity": float(decision.propensity),
                "decided_at": float(decision.decided_at),
                "occurred_at": float(event.occurred_at),
                "received_at": _number(event.received_at),
                "skew": float(event.skew),
                "position": int(event.position),
                "value": _number(event.value),
                "rating": None if event.rating is None else int(event.rating),
            }
        )
    db.execute(insert(EVENTS), rows)
    names = [column.name for column in DECISIONS.columns]
    seen = [{name: row[name] for name in names} for row in rows if row["kind"] == _IMPRESSION]
    if seen:
        db.execute(upsert(DECISIONS).on_conflict_do_nothing(), seen)


def _choice(db: Connection, facts: dict[str, str]) -> int:
    query = select(CHOICES.c.choice_id).filter_by(**facts)
    found = db.scalar(query)
    if found is None:
        found = db.scalar(insert(CHOICES).values(**facts).returning(CHOICES.c.choice_id))
    assert found is not None
    return int(found)


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
