"""Events as they are sent: each brings its token back, and is told what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.domain.feedback import BEFORE_TOKENS, Event, Showing
from persona_img.errors import InvalidInput
from persona_img.serving.base import Outcome, recorded
from persona_img.serving.token import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from persona_img.domain.decision import Decision
    from persona_img.domain.feedback import EventKind
    from persona_img.serving.base import EventLog, Recorded
    from persona_img.serving.token import Signer


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as its sender tells it.

    Attributes:
        kind: What happened.
        token: Of the answer whose picture it happened to; None where a decision_id names it.
        event_id: The sender's name for it; None for one made of token and kind.
        occurred_at: Unix seconds by the sender's clock; None for when it was received.
        position: Place in the list where the picture stood, from 1.
        value: Of a conversion.
        rating: Of a survey.
        decision_id: Of a decision of before there were tokens.
        impression_id: With a decision_id: the event_id of the impression.
    """

    kind: EventKind
    token: str | None = None
    event_id: str | None = None
    occurred_at: float | None = None
    position: int = 1
    value: float | None = None
    rating: int | None = None
    decision_id: str | None = None
    impression_id: str | None = None


class Receiver:
    """Takes events in: proves their tokens, bounds their clocks, stores them.

    A sender's clock is believed within what the server's allows: nothing happens to a picture
    before it was answered, nor after the event was received. What lies outside is moved to the
    nearer end, not refused, for a wrong clock does not make a click untrue; how far it was moved
    is kept.

    Args:
        log: Where to.
        signer: Proves tokens.
        test: The A/B test that runs; events of another are not taken.
        holdout: Name of the holdout, whose events are taken too, also of one that has ended: its
            pages are open yet. None where there was none.
        trusting: Whether senders' clocks are believed whatever they say, as those of simulated
            shoppers are.
    """

    def __init__(
        self,
        log: EventLog,
        signer: Signer,
        test: str,
        *,
        holdout: str | None = None,
        trusting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._log, self._signer, self._test = log, signer, test
        self._tests = {test, holdout}
        self._trusting = trusting

    def record(self, sent: Mapping[int, Sent], now: float) -> Recorded:
        """Store what can be stored.

        Args:
            sent: By place in the call.
            now: When it was received, Unix seconds.

        Returns:
            An outcome for each, in the order of their places. Accepted and duplicate ones are on
            the disk.

        Raises:
            StoreFailed: nothing of this call is stored; it may be repeated.
        """
        names = {one.decision_id for one in sent.values() if one.decision_id is not None}
        earlier = self._log.earlier(names) if names else {}
        trusting = self._trusting()
        events: dict[int, Event] = {}
        refused: dict[int, Outcome] = {}
        for place, one in sent.items():
            try:
                events[place] = self._event(one, earlier, now, trusting)
            except Refused as error:
                refused[place] = Outcome("rejected", str(error), error.rule)
            except InvalidInput as error:
                refused[place] = Outcome("rejected", str(error), "unreadable")
        found = self._log.record_events(list(events.values())) if events else recorded()
        return recorded(refused, dict(zip(events, found.outcomes, strict=True)))

    def _event(
        self, sent: Sent, earlier: Mapping[str, Decision], now: float, trusting: bool
    ) -> Event:
        if sent.token is not None:
            if sent.decision_id is not None:
                raise InvalidInput(
                    "token: send the one that the answer carried, and no decision_id"
                )
            showing = self._signer.read(sent.token, now)
        else:
            showing = _before_tokens(sent, earlier)
        if showing.decision.test not in self._tests:
            raise Refused(
                f"token of A/B test {showing.decision.test!r}; {self._test!r} runs here",
                "other-test",
            )
        told = now if sent.occurred_at is None else sent.occurred_at
        at = told if trusting else max(showing.answered_at, min(told, now))
        return Event(
            sent.event_id or f"{sent.kind}-{showing.showing_id}",
            sent.kind,
            showing,
            at,
            received_at=now,
            skew=told - at,
            position=sent.position,
            value=sent.value,
            rating=sent.rating,
        )


def _before_tokens(sent: Sent, earlier: Mapping[str, Decision]) -> Showing:
    name, impression = sent.decision_id, sent.impression_id
    if name is None or impression is None or sent.event_id is None:
        raise InvalidInput("token: missing; send the one that the answer carried")
    if sent.kind == "impression" and impression != sent.event_id:
        raise InvalidInput(f"impression {sent.event_id!r}: impression_id must be its own event_id")
    if name not in earlier:
        raise Refused(
            f"decision_id {name!r} is unknown; send the token that the answer carried", "unknown"
        )
    decision = earlier[name]
    return Showing(f"{name}{BEFORE_TOKENS}{impression}", decision, decision.decided_at)
