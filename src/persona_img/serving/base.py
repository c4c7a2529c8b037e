"""The port of the log: what was seen, what happened to it, and what both say together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Protocol

from persona_img.domain.decision import plan_of
from persona_img.domain.feedback import ATTRIBUTION_SECONDS, BEFORE_TOKENS
from persona_img.errors import InvalidInput, StoreConflict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from persona_img.domain.decision import Arms, Decision
    from persona_img.domain.feedback import Event
    from persona_img.domain.people import Link, Person
    from persona_img.serving.linking import Linked

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
    "unreachable": "the log's database does not answer; start it, or mend the way to it",
    "disk": "the log's disk answers with errors; look at it, and try again",
    "late": "the log's disk is too slow; try again",
    "closed": "the log is closed; open it again",
    "failed": "the log failed; try again",
}
"""What may hinder a log, by the ``reason`` of :class:`StoreFailed`, and what to do about it."""

_YEAR_10000 = 253_402_300_800.0
_LAST_POSITION = 2**31 - 1


Fate = Literal["accepted", "duplicate", "rejected"]


Rule = Literal["", "unreadable", "forged", "expired", "other-test", "unknown", "replayed"]
"""What a rejected event breaks: it is no event; its token is not ours, too old, or of another test;
its decision_id is not known; or its token was used for another event of its kind."""


@dataclass(frozen=True)
class Outcome:
    """What became of one event.

    Attributes:
        fate: ``accepted``: stored by this call. ``duplicate``: had been stored before, or stands
            earlier in the call. ``rejected``: breaks a rule and is not stored, as if it had not
            been sent.
        reason: Why a rejected one is, and what to do; else empty.
        rule: Which rule it breaks, in a word; else empty.
    """

    fate: Fate
    reason: str = ""
    rule: Rule = ""


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


@dataclass(frozen=True)
class Seen:
    """What a shopper saw of a product.

    Attributes:
        latest: The decision of the picture that was seen last, by when it was drawn.
        changes: How often the shopper was drawn for by another plan, and saw what came of it.
    """

    latest: Decision
    changes: int


def seen_of(decisions: Iterable[Decision]) -> Seen | None:
    """What decisions with an impression say, of one shopper and product; None of none.

    It depends on the decisions alone, not on the order in which their impressions arrived. A change
    is another plan's draw, whether or not its picture is another: see
    :mod:`persona_img.serving.decide`.
    """
    # A picture that gives way to the photo keeps the time of its draw: the note behind its version
    # puts it behind.
    order = sorted(decisions, key=lambda d: (d.decided_at, d.policy_version, d.style_key))
    if not order:
        return None
    plans = [plan_of(one.policy_version) for one in order]
    return Seen(order[-1], sum(a != b for a, b in pairwise(plans)))


class Watched(Protocol):
    """Something that may not do what it should, and says so."""

    @property
    def hindrance(self) -> str:
        """What it does not do and what is done instead, in words for everybody; or empty."""


class EventLog(Protocol):
    """Events of what was shown, kept for good. Safe to call from several threads.

    Whatever a method has acknowledged by returning survives the end of the process (an adapter
    may say that it does not) and is counted once, however often it is sent again.
    """

    def open_test(self, arms: Arms) -> None:
        """Remember a test's arms, so that no shopper changes arm between two runs.

        Raises:
            StoreConflict: the test is known with other arms, shares or order of arms; each of
                them moves shoppers.
        """

    def seen(
        self,
        test: str,
        shopper: str,
        products: Collection[str],
        *,
        others: Collection[str] = (),
        arm: str = "",
    ) -> Mapping[str, Seen]:
        """What a shopper saw of some products, in one look; only of those with an impression.

        Args:
            test: Of what was seen.
            shopper: Who saw it.
            products: Of which products.
            others: Further names of the same person: what was seen under any of them counts.
            arm: With others, only what was seen in this arm: before they were linked, names may
                have been in several.

        Raises:
            StoreFailed: it cannot be read.
        """

    def link(
        self, links: Sequence[Link], now: float, *, tests: Collection[str] = ()
    ) -> tuple[Linked, ...]:
        """Remember that names are one person's, as :mod:`persona_img.serving.linking` says.

        Args:
            links: Settled one after the other, in one commit.
            now: Unix seconds.
            tests: The running test and the holdout. Which name of a pair is the unit goes by what
                was seen there; by what was seen in any test only where neither name saw anything
                there.

        Returns:
            An outcome for each. What is linked or known has been stored.

        Raises:
            StoreFailed: nothing of this call is stored; it may be repeated.
        """

    def person(self, shopper: str) -> Person | None:
        """Whose name it is; None for one that was never linked.

        Told within half a second of a :meth:`link` by any process.

        Raises:
            StoreFailed: it cannot be read.
        """

    def record_events(self, events: Sequence[Event]) -> Recorded:
        """Store events; those stored before are left alone, and a bad one holds up no other.

        Of a showing one event of each kind is stored. Another one of the kind is a duplicate if it
        has the same event_id, else rejected as replayed. An event is rejected too if its time is
        not a date, its position is out of range, its decision is one that nobody makes, or it
        holds unprintable text. Those that are not rejected are stored together, in one commit; an
        impression makes its decision one that was seen. An event may come before the impression
        that it belongs to: they are joined on reading.

        Returns:
            An outcome for each event. Whatever is accepted or duplicate has been stored.

        Raises:
            StoreFailed: nothing of this call is stored; it may be repeated.
        """

    def earlier(self, names: Collection[str]) -> Mapping[str, Decision]:
        """Decisions by the names that they had before there were tokens, as far as they are known.

        Raises:
            StoreFailed: they cannot be read.
        """

    def feedback(
        self, test: str | None = None, *, within: float = ATTRIBUTION_SECONDS
    ) -> pd.DataFrame:
        """One row per impression, with its decision and whether it was clicked and converted.

        A click or conversion counts for the impression of its showing, as
        :func:`persona_img.domain.feedback.counts` says; without an impression it does not count.
        The result depends on the events alone, not on the order in which they arrived.

        Args:
            test: Only this A/B test; None takes all.
            within: Seconds after the impression within which they count.

        Returns:
            Columns and types of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`, ordered by
            ``shown_at``, then by showing. A name that was linked stands under its person's unit,
            also where it was shown something before.
        """

    def probe(self, *, seconds: float | None = None) -> None:
        """Write and read, and leave nothing behind.

        Args:
            seconds: After which to give up where it cannot be written; None waits for long.

        Raises:
            StoreFailed: one of them does not work; its ``reason`` says what hinders it.
        """

    def close(self) -> None:
        """Finish what was begun and let go of files; closing twice does no harm."""


def sound_events(events: Sequence[Event]) -> tuple[dict[int, Event], dict[int, Outcome]]:
    """The events that break no rule of their own, and the rejections of the others, by place."""
    sound: dict[int, Event] = {}
    rejected: dict[int, Outcome] = {}
    for place, event in enumerate(events):
        try:
            _check_event(event)
        except InvalidInput as error:
            rejected[place] = Outcome("rejected", str(error), "unreadable")
        else:
            sound[place] = event
    return sound, rejected


def again(event: Event, stored: str) -> Outcome:
    """What becomes of an event of whose showing and kind one is stored, by its event_id."""
    if event.event_id == stored:
        return DUPLICATE
    reason = (
        f"event {event.event_id!r}: the {event.kind} of its token is stored as {stored!r}; "
        "a token counts once for each kind"
    )
    return Outcome("rejected", reason, "replayed")


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


def _check_event(event: Event) -> None:
    name, decision = f"event {event.event_id!r}", event.showing.decision
    _check_time(name, "occurred_at", event.occurred_at)
    _check_time(name, "received_at", event.received_at or 0.0)
    _check_time(name, "decided_at", decision.decided_at)
    if not math.isfinite(event.skew):
        raise InvalidInput(f"{name}: skew {event.skew}; a number of seconds")
    if not 0 < decision.propensity <= 1:
        raise InvalidInput(f"{name}: propensity {decision.propensity}; it lies in (0, 1]")
    texts = (decision.test, decision.shopper, decision.product, decision.segment, decision.arm)
    _check_text(name, (event.event_id, *texts, decision.style_key, decision.policy_version))
    _check_text(name, (decision.digest or "", event.showing.showing_id.replace(BEFORE_TOKENS, "")))
    if not 1 <= event.position <= _LAST_POSITION or event.position % 1:
        raise InvalidInput(
            f"{name}: position {event.position}; a whole number up to {_LAST_POSITION}"
        )


def _check_time(name: str, field: str, seconds: float) -> None:
    if not (math.isfinite(seconds) and 0 <= seconds < _YEAR_10000):
        raise InvalidInput(f"{name}: {field} {seconds}; give Unix seconds, not milliseconds")


def _check_text(name: str, texts: Sequence[str]) -> None:
    if "".join(texts).isprintable():
        return
    for text in texts:
        if not text.isprintable():
            raise InvalidInput(
                f"{name}: {text!r} holds a character that cannot be printed; drop it"
            )
