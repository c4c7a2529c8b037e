"""A log in memory, for simulation studies: same answers as on disk, gone with the process."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from persona_img.domain.feedback import ATTRIBUTION_SECONDS, BEFORE_TOKENS, FEEDBACK_COLUMNS, counts
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
from persona_img.serving.linking import Holds, person_of, settle

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

    from persona_img.domain.decision import Arms, Decision
    from persona_img.domain.feedback import Event
    from persona_img.domain.people import Link, Person
    from persona_img.serving.linking import Linked

_known = attrgetter(*FEEDBACK_COLUMNS[1:10])


class MemoryEventLog:
    """:class:`~persona_img.serving.base.EventLog` that does not outlive its process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tests: dict[str, dict[str, float]] = {}
        self._seen: dict[tuple[str, str, str], list[Decision]] = {}
        self._events: dict[tuple[str, str], Event] = {}
        self._links: dict[str, tuple[str, str, str]] = {}

    def open_test(self, arms: Arms) -> None:
        """See :meth:`EventLog.open_test`."""
        with self._lock:
            known = self._tests.setdefault(arms.test, dict(arms.shares))
        if list(known.items()) != list(arms.shares.items()):
            raise other_shares(arms, known)

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
        names = (shopper, *others)
        with self._lock:
            found = {
                p: seen_of(
                    one
                    for name in names
                    for one in self._seen.get((test, name, p), ())
                    if not others or one.arm == arm
                )
                for p in products
            }
        return {product: seen for product, seen in found.items() if seen is not None}

    def link(
        self, links: Sequence[Link], now: float, *, tests: Collection[str] = ()
    ) -> tuple[Linked, ...]:
        """See :meth:`EventLog.link`."""
        with self._lock:
            rows = list(self._links.values())
            names = Counter((login, unit) for _, login, unit in rows)
            known = Holds.of(
                [row[:2] for row in rows],
                [(*one, count) for one, count in names.items()],
                [
                    (name, test, one.decided_at)
                    for (test, name, _), some in self._seen.items()
                    for one in some
                ],
                tests,
            )
            done = settle(links, known)
            self._links |= {row[0]: row for row in done.rows}
        return tuple(done.outcomes)

    def person(self, shopper: str) -> Person | None:
        """See :meth:`EventLog.person`."""
        with self._lock:
            if shopper not in self._links:
                return None
            login = self._links[shopper][1]
            return person_of([row for row in self._links.values() if row[1] == login])

    def record_events(self, events: Sequence[Event]) -> Recorded:
        """See :meth:`EventLog.record_events`."""
        sound, rejected = sound_events(events)
        outcomes: dict[int, Outcome] = {}
        with self._lock:
            for place, event in sound.items():
                key = (event.showing.showing_id, event.kind)
                if key in self._events:
                    outcomes[place] = again(event, self._events[key].event_id)
                    continue
                self._events[key], outcomes[place] = event, ACCEPTED
                if event.kind == "impression":
                    self._see(event.showing.decision)
        return recorded(rejected, outcomes)

    def earlier(self, names: Collection[str]) -> Mapping[str, Decision]:
        """None: it is younger than tokens."""
        return {}

    def feedback(
        self, test: str | None = None, *, within: float = ATTRIBUTION_SECONDS
    ) -> pd.DataFrame:
        """See :meth:`EventLog.feedback`."""
        with self._lock:
            events = dict(self._events)
            units = {name: unit for name, _, unit in self._links.values()}
        impressions = [event for (_, kind), event in events.items() if kind == "impression"]
        impressions.sort(key=lambda event: (event.occurred_at, event.showing.showing_id))
        rows = []
        for seen in impressions:
            name, decision = seen.showing.showing_id, seen.showing.decision
            if test not in (None, decision.test):
                continue
            mine = (events.get((name, kind)) for kind in ("click", "conversion"))
            outcome = (
                one is not None
                and counts((one.occurred_at, one.skew), (seen.occurred_at, seen.skew), within)
                for one in mine
            )
            showing = name.partition(BEFORE_TOKENS)[0]
            decision = replace(decision, shopper=units.get(decision.shopper, decision.shopper))
            rows.append((showing, *_known(decision), seen.position, seen.occurred_at, *outcome))
        return feedback_frame(rows)

    def probe(self, *, seconds: float | None = None) -> None:
        """See :meth:`EventLog.probe`."""

    def close(self) -> None:
        """See :meth:`EventLog.close`."""

    def _see(self, decision: Decision) -> None:
        decisions = self._seen.setdefault((decision.test, decision.shopper, decision.product), [])
        if decision not in decisions:
            decisions.append(decision)
