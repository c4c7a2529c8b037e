"""A log in memory, for simulation studies: same answers as on disk, gone with the process."""

from __future__ import annotations

import threading
from operator import attrgetter
from typing import TYPE_CHECKING

from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.serving.base import (
    Recorded,
    check_decision,
    other_shares,
    recorded,
    sorted_out,
    sound_events,
    taken_id,
)
from persona_img.serving.feedback import feedback_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from persona_img.domain.decision import Arms, Decision
    from persona_img.domain.feedback import Event

_known = attrgetter(*FEEDBACK_COLUMNS[:10])
_Place = tuple[str, str, str]


class MemoryEventLog:
    """:class:`~persona_img.serving.base.EventLog` that does not outlive its process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tests: dict[str, dict[str, float]] = {}
        self._decisions: dict[str, Decision] = {}
        self._by_policy: dict[tuple[_Place, str], Decision] = {}
        self._latest: dict[_Place, tuple[Decision, int]] = {}
        self._events: dict[str, Event] = {}

    def open_test(self, arms: Arms) -> None:
        """See :meth:`EventLog.open_test`."""
        with self._lock:
            known = self._tests.setdefault(arms.test, dict(arms.shares))
        if list(known.items()) != list(arms.shares.items()):
            raise other_shares(arms, known)

    def record_decision(self, decision: Decision, *, seconds: float | None = None) -> Decision:
        """See :meth:`EventLog.record_decision`."""
        check_decision(decision)
        place = (decision.test, decision.shopper, decision.product)
        with self._lock:
            stored = self._by_policy.get((place, decision.policy_version))
            if stored is None:
                if decision.decision_id in self._decisions:
                    raise taken_id(decision)
                stored = decision
                self._by_policy[place, decision.policy_version] = decision
                self._decisions[decision.decision_id] = decision
            before, changes = self._latest.get(place, (stored, 0))
            self._latest[place] = (stored, changes + (before.digest != stored.digest))
        return stored

    def latest_decision(self, test: str, shopper: str, product: str) -> Decision | None:
        """See :meth:`EventLog.latest_decision`."""
        latest = self._latest.get((test, shopper, product))
        return latest[0] if latest else None

    def change_count(self, test: str, shopper: str, product: str) -> int:
        """See :meth:`EventLog.change_count`."""
        latest = self._latest.get((test, shopper, product))
        return latest[1] if latest else 0

    def record_events(self, events: Sequence[Event]) -> Recorded:
        """See :meth:`EventLog.record_events`."""
        sound, rejected = sound_events(events)
        with self._lock:
            outcomes, new = sorted_out(sound, self._decisions, self._events)
            self._events.update((event.event_id, event) for event in new)
        return recorded(rejected, outcomes)

    def feedback(self, test: str | None = None) -> pd.DataFrame:
        """See :meth:`EventLog.feedback`."""
        with self._lock:
            events = list(self._events.values())
        happened = {(e.kind, e.impression_id, e.decision_id) for e in events}
        shown = sorted(
            (e for e in events if e.kind == "impression"), key=lambda e: (e.occurred_at, e.event_id)
        )
        rows = []
        for event in shown:
            decision = self._decisions[event.decision_id]
            if test is None or decision.test == test:
                same = (event.event_id, event.decision_id)
                outcome = (("click", *same) in happened, ("conversion", *same) in happened)
                rows.append((*_known(decision), event.position, event.occurred_at, *outcome))
        return feedback_frame(rows)

    def probe(self, *, seconds: float | None = None) -> None:
        """See :meth:`EventLog.probe`."""

    def close(self) -> None:
        """See :meth:`EventLog.close`."""
