"""The port of the log: what was decided, what happened to it, and what both say together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from persona_img.errors import InvalidInput, StoreConflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from persona_img.domain.decision import Arms, Decision
    from persona_img.domain.feedback import Event

_YEAR_10000 = 253_402_300_800.0
_LAST_POSITION = 2**31 - 1


@dataclass(frozen=True)
class Accepted:
    """What became of the events of one call.

    Attributes:
        new: Stored by this call.
        duplicate: Had been stored before, or stood in the call more than once.
    """

    new: int
    duplicate: int


class EventLog(Protocol):
    """Decisions and events, kept for good. Safe to call from several threads.

    Whatever a method has acknowledged by returning survives the end of the process (an adapter
    may say that it does not) and is counted once, however often it is sent again.
    """

    def open_test(self, arms: Arms) -> None:
        """Remember a test's arms, so that no shopper changes arm between two runs.

        Raises:
            StoreConflict: the test is known with other arms, shares or order of arms; each of
                them moves shoppers.
        """

    def record_decision(self, decision: Decision) -> Decision:
        """Store a decision and make it the latest of its shopper and product.

        Returns:
            The decision stored for this (test, shopper, product, policy_version): the first one
            that was recorded, which may differ from the one given.

        Raises:
            InvalidInput: its propensity is not in (0, 1], its time is not a date, or it
                holds unprintable text.
            StoreConflict: its decision_id names a decision of another shopper, product, test or
                policy.
            StoreFailed: it is not stored; the call may be repeated.
        """

    def latest_decision(self, test: str, shopper: str, product: str) -> Decision | None:
        """The decision that was recorded last for this shopper and product."""

    def change_count(self, test: str, shopper: str, product: str) -> int:
        """How often a decision showed another picture than the one before it.

        Counts what was decided, whether or not an impression came back: the shopper may have
        seen it. Going back to an earlier picture is a change too.
        """

    def record_events(self, events: Sequence[Event]) -> Accepted:
        """Store events, all or none; those stored before are left alone.

        An event may come before the impression that it belongs to: they are joined on reading.

        Raises:
            InvalidInput: an event's decision_id is unknown, its time is not a date, or it
                holds unprintable text.
            StoreConflict: an event_id was used for an event that differs in any field.
            StoreFailed: nothing of this call is stored; it may be repeated.
        """

    def feedback(self, test: str | None = None) -> pd.DataFrame:
        """One row per impression, with its decision and whether it was clicked and converted.

        A click or conversion counts for the impression with its impression_id *and* its
        decision_id, once however many came; without that impression it does not count. The
        result depends on the events alone, not on the order in which they arrived.

        Args:
            test: Only this A/B test; None takes all.

        Returns:
            Columns and types of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`, ordered by
            ``shown_at``, then by impression.
        """

    def close(self) -> None:
        """Finish what was begun and let go of files; closing twice does no harm."""


def check_decision(decision: Decision) -> None:
    """Refuse a decision that no log may hold.

    Raises:
        InvalidInput: see :meth:`EventLog.record_decision`.
    """
    name = f"decision {decision.decision_id!r}"
    if not 0 < decision.propensity <= 1:
        raise InvalidInput(f"{name}: propensity {decision.propensity}; it lies in (0, 1]")
    _check_time(name, "decided_at", decision.decided_at)
    texts = (decision.decision_id, decision.test, decision.shopper, decision.product)
    _check_text(name, (*texts, decision.segment, decision.arm, decision.style_key))
    _check_text(name, (decision.policy_version, decision.digest or ""))


def unique_events(events: Iterable[Event]) -> dict[str, Event]:
    """The events by event_id, each checked, in the order given.

    Raises:
        InvalidInput: see :meth:`EventLog.record_events`.
        StoreConflict: two of them share an event_id and differ.
    """
    unique: dict[str, Event] = {}
    for event in events:
        name = f"event {event.event_id!r}"
        _check_time(name, "occurred_at", event.occurred_at)
        _check_text(name, (event.event_id, event.decision_id, event.impression_id))
        if event.position > _LAST_POSITION:
            raise InvalidInput(f"{name}: position {event.position}; at most {_LAST_POSITION}")
        check_same(unique.setdefault(event.event_id, event), event)
    return unique


def check_same(stored: Event, event: Event) -> None:
    """Refuse an event that contradicts the stored one of the same event_id.

    Raises:
        StoreConflict: they differ.
    """
    if stored != event:
        raise StoreConflict(
            f"event {event.event_id!r} is stored as {stored}, sent as {event}; "
            "give every event its own event_id and send it unchanged"
        )


def other_shares(arms: Arms, known: Mapping[str, float]) -> StoreConflict:
    """The error for a test that was opened with other arms before."""
    return StoreConflict(
        f"A/B test {arms.test!r} runs with {dict(known)}, not {dict(arms.shares)}: shoppers would "
        "change arm; give the new split a new name"
    )


def taken_id(decision: Decision) -> StoreConflict:
    """The error for a decision_id that names another decision."""
    return StoreConflict(
        f"decision_id {decision.decision_id!r} names another decision; give each its own"
    )


def unknown_decision(event: Event) -> InvalidInput:
    """The error for an event whose decision was never recorded."""
    return InvalidInput(
        f"event {event.event_id!r}: decision_id {event.decision_id!r} is unknown; "
        "send the one that GET /v1/variant answered"
    )


def _check_time(name: str, field: str, seconds: float) -> None:
    if not (math.isfinite(seconds) and 0 <= seconds < _YEAR_10000):
        raise InvalidInput(f"{name}: {field} {seconds}; give Unix seconds, not milliseconds")


def _check_text(name: str, texts: Iterable[str]) -> None:
    for text in texts:
        if not text.isprintable():
            raise InvalidInput(
                f"{name}: {text!r} holds a character that cannot be printed; drop it"
            )
