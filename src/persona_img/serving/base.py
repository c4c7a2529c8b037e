"""The port of the log: what was decided, what happened to it, and what both say together."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Protocol

from persona_img.errors import InvalidInput, StoreConflict

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    import pandas as pd

    from persona_img.domain.decision import Arms, Decision
    from persona_img.domain.feedback import Event

WITHDRAWN = "~withdrawn"
"""Behind a policy version: its picture was withdrawn from a shopper who had it."""

PARTIAL = "~partial"
"""Behind the policy version of what was drawn, by a shopper's own chances, from a slate of which a
variant was withdrawn: what was offered is not what the table says."""

HINDRANCES = {
    "locked": "the log is locked by another program; wait until that is done, and try again",
    "full": "the log's disk is full; free some of it, and try again",
    "read-only": "the log is read-only; let it be written, and try again",
    "corrupt": "the log is corrupt; put a backup in its place",
    "missing": "the log is missing; put it back, or start the service again to begin a new one",
    "disk": "the log's disk answers with errors; look at it, and try again",
    "late": "the log's disk is too slow; try again",
    "closed": "the log is closed; open it again",
    "failed": "the log failed; try again",
}
"""What may hinder a log, by the ``reason`` of :class:`StoreFailed`, and what to do about it."""

_YEAR_10000 = 253_402_300_800.0
_LAST_POSITION = 2**31 - 1


Fate = Literal["accepted", "duplicate", "rejected"]


@dataclass(frozen=True)
class Outcome:
    """What became of one event.

    Attributes:
        fate: ``accepted``: stored by this call. ``duplicate``: had been stored before, or stands
            earlier in the call. ``rejected``: breaks a rule and is not stored, as if it had not
            been sent.
        reason: The rule that a rejected one breaks, and what to do; else empty.
    """

    fate: Fate
    reason: str = ""


ACCEPTED, DUPLICATE = Outcome("accepted"), Outcome("duplicate")


@dataclass(frozen=True)
class Recorded:
    """What became of the events of one call.

    Attributes:
        outcomes: One for each event, in the order given.
    """

    outcomes: tuple[Outcome, ...]

    @property
    def new(self) -> int:
        """Events stored by the call."""
        return self._number("accepted")

    @property
    def duplicate(self) -> int:
        """Events that were there already."""
        return self._number("duplicate")

    @property
    def rejected(self) -> int:
        """Events that were not stored."""
        return self._number("rejected")

    def _number(self, fate: Fate) -> int:
        return sum(outcome.fate == fate for outcome in self.outcomes)


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

    def record_decision(self, decision: Decision, *, seconds: float | None = None) -> Decision:
        """Store a decision and make it the latest of its shopper and product.

        Args:
            decision: What was decided.
            seconds: After which to give up where it cannot be stored; None waits for long.

        Returns:
            The decision stored for this (test, shopper, product, policy_version): the first one
            that was recorded, which may differ from the one given.

        Raises:
            InvalidInput: its propensity is not in (0, 1], its time is not a date, or it
                holds unprintable text.
            StoreConflict: its decision_id names a decision of another shopper, product, test or
                policy.
            StoreFailed: it is not stored, or not in time; the call may be repeated.
        """

    def latest_decision(self, test: str, shopper: str, product: str) -> Decision | None:
        """The decision that was recorded last for this shopper and product."""

    def change_count(self, test: str, shopper: str, product: str) -> int:
        """How often a decision showed another picture than the one before it.

        Counts what was decided, whether or not an impression came back: the shopper may have
        seen it. Going back to an earlier picture is a change too.
        """

    def record_events(self, events: Sequence[Event]) -> Recorded:
        """Store events; those stored before are left alone, and a bad one holds up no other.

        An event is rejected if its decision_id is unknown, its time is not a date, its position is
        out of range, it holds unprintable text, or its event_id was used for an event that differs
        in any field. Those that are not rejected are stored together, in one commit. An event may
        come before the impression that it belongs to: they are joined on reading.

        Returns:
            An outcome for each event. Whatever is accepted or duplicate has been stored.

        Raises:
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

    def probe(self, *, seconds: float | None = None) -> None:
        """Write and read, and leave nothing behind.

        Args:
            seconds: As for :meth:`record_decision`.

        Raises:
            StoreFailed: one of them does not work; its ``reason`` says what hinders it.
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


def sound_events(events: Sequence[Event]) -> tuple[dict[int, Event], dict[int, Outcome]]:
    """The events that break no rule of their own, and the rejections of the others, by place."""
    sound: dict[int, Event] = {}
    rejected: dict[int, Outcome] = {}
    for place, event in enumerate(events):
        try:
            _check_event(event)
        except InvalidInput as error:
            rejected[place] = Outcome("rejected", str(error))
        else:
            sound[place] = event
    return sound, rejected


def sorted_out(
    events: Mapping[int, Event], decisions: Container[str], stored: Mapping[str, Event]
) -> tuple[dict[int, Outcome], list[Event]]:
    """What becomes of sound events, and those that are to be stored.

    Args:
        events: By place in the call.
        decisions: Names of decisions; at least those of the events that were recorded.
        stored: Events by event_id; at least those of the events' names that were stored.
    """
    outcomes: dict[int, Outcome] = {}
    new: dict[str, Event] = {}
    for place, event in events.items():
        name = event.event_id
        known = stored.get(name) or new.get(name)
        if event.decision_id not in decisions:
            outcomes[place] = Outcome("rejected", _unknown_decision(event))
        elif known is None:
            outcomes[place] = ACCEPTED
            new[name] = event
        elif known == event:
            outcomes[place] = DUPLICATE
        else:
            outcomes[place] = Outcome("rejected", _taken(known, event))
    return outcomes, list(new.values())


def recorded(*found: Mapping[int, Outcome]) -> Recorded:
    """Outcomes by place, in the order of the places."""
    outcomes = {place: outcome for some in found for place, outcome in some.items()}
    return Recorded(tuple(outcomes[place] for place in sorted(outcomes)))


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


def _unknown_decision(event: Event) -> str:
    return (
        f"event {event.event_id!r}: decision_id {event.decision_id!r} is unknown; "
        "send the one that GET /v1/variant answered"
    )


def _taken(stored: Event, event: Event) -> str:
    differ = [
        f"{field.name} {getattr(stored, field.name)!r}, sent with {getattr(event, field.name)!r}"
        for field in fields(event)
        if getattr(stored, field.name) != getattr(event, field.name)
    ]
    return (
        f"event {event.event_id!r} is stored with {'; '.join(differ)}; "
        "give every event its own event_id and send it unchanged"
    )


def _check_event(event: Event) -> None:
    name = f"event {event.event_id!r}"
    _check_time(name, "occurred_at", event.occurred_at)
    _check_text(name, (event.event_id, event.decision_id, event.impression_id))
    if not 1 <= event.position <= _LAST_POSITION or event.position % 1:
        raise InvalidInput(
            f"{name}: position {event.position}; a whole number up to {_LAST_POSITION}"
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
