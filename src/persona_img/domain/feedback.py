"""What came back: showings, their events, and the table that joins both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from persona_img.domain.decision import Decision

EventKind = Literal["impression", "click", "conversion", "dismiss", "survey"]

KINDS: tuple[EventKind, ...] = get_args(EventKind)
"""All kinds of events."""

ATTRIBUTION_SECONDS = 7 * 86400.0
"""For how long after an impression a click or conversion counts for it, where nobody says else."""

BEFORE_TOKENS = "\x1f"
"""Between decision_id and impression_id in the id of a showing of before there were tokens."""

_RATINGS = (None, 1, 2, 3, 4, 5)

FEEDBACK_COLUMNS = (
    "decision_id",
    "test",
    "shopper",
    "product",
    "segment",
    "arm",
    "style_key",
    "digest",
    "propensity",
    "policy_version",
    "position",
    "shown_at",
    "clicked",
    "converted",
)
"""Columns of feedback: one row per counted impression, in the order they were shown.

``position`` int64 from 1; ``shown_at`` datetime64[us, UTC]; ``clicked``, ``converted`` int64 0/1;
``propensity`` float64; the others str (``digest`` may be None). ``decision_id`` names the answer
whose picture was shown: every impression has its own, but for those of before there were tokens.
"""


@dataclass(frozen=True)
class Showing:
    """One answer of the service: a decision, given out once.

    Attributes:
        showing_id: Tells it from every other answer: 24 hexadecimal digits.
        decision: What was answered.
        answered_at: Unix seconds, UTC. A decision that is kept is answered again and again.
    """

    showing_id: str
    decision: Decision
    answered_at: float


@dataclass(frozen=True)
class Event:
    """Something that happened to a shown picture, once for each kind and showing.

    Attributes:
        event_id: Given by the sender: the same one again is the same event, sent again.
        kind: One of :data:`KINDS`.
        showing: The answer whose picture it happened to.
        occurred_at: Unix seconds, UTC; by the sender's clock, within what the server's allows.
        received_at: By the server's clock; None where it is not known.
        skew: Seconds that the sender's clock said more than ``occurred_at``.
        position: Place in the list where the picture stood, from 1.
        value: What a conversion was worth, 0 or more, in the shop's currency; None is not told.
        rating: Of a survey, 1 to 5; None for other kinds.

    Example:
        >>> from persona_img.domain.decision import Decision
        >>> about = ("hero", "anna", "mug", "cooks", "personalized", "original", None, 0.25, "v1")
        >>> showing = Showing("0" * 24, Decision(*about, decided_at=1.77e9), answered_at=1.77e9)
        >>> Event("e1", "impression", showing, occurred_at=1.77e9).position
        1
    """

    event_id: str
    kind: EventKind
    showing: Showing
    occurred_at: float
    received_at: float | None = None
    skew: float = 0.0
    position: int = 1
    value: float | None = None
    rating: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(f"event kind {self.kind!r}: use {', '.join(KINDS)}")
        if not (self.event_id and self.showing.showing_id):
            raise InvalidInput(f"event {self.event_id!r}: give it and its showing a name")
        if self.position < 1:
            raise InvalidInput(f"event {self.event_id}: position {self.position}; the first is 1")
        if self.value is not None and (self.kind != "conversion" or not 0 <= self.value < math.inf):
            raise InvalidInput(
                f"event {self.event_id!r}: value {self.value}; a conversion has one, 0 or more"
            )
        if (self.rating is not None) != (self.kind == "survey") or self.rating not in _RATINGS:
            raise InvalidInput(
                f"event {self.event_id!r}: rating {self.rating}; a survey has one, 1 to 5"
            )


def counts(event: tuple[float, float], impression: tuple[float, float], within: float) -> bool:
    """Whether a click or conversion counts for the impression of its showing.

    Not if it came later than the window, nor before the impression by the server's bounded times
    and by the senders' own clocks: one of both orders may be wrong alone, where a clock is ahead
    and events arrive in another order, or where two machines sent them.

    Args:
        event: Its occurred_at and skew.
        impression: The same of the impression.
        within: Seconds of the window.
    """
    bounded = event[0] - impression[0]
    own = bounded + event[1] - impression[1]
    return max(bounded, own) >= 0 and bounded <= within
