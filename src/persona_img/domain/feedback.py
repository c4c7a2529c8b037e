"""What came back: events, and the table that joins them to decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from persona_img.errors import InvalidInput

EventKind = Literal["impression", "click", "conversion"]

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
``propensity`` float64; the others str (``digest`` may be None).
"""


@dataclass(frozen=True)
class Event:
    """Something that happened to a shown picture.

    Attributes:
        event_id: Given by the sender; the same event sent again is counted once.
        kind: ``impression``, ``click`` or ``conversion``.
        decision_id: Decision whose picture it happened to.
        impression_id: ``event_id`` of the impression that was clicked or led to the purchase;
            its own ``event_id`` for an impression.
        occurred_at: Unix seconds, UTC.
        position: Place in the list where the picture stood, from 1.

    Example:
        >>> Event("e1", "impression", "d1", impression_id="e1", occurred_at=1.77e9).position
        1
    """

    event_id: str
    kind: EventKind
    decision_id: str
    impression_id: str
    occurred_at: float
    position: int = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(EventKind):
            raise InvalidInput(f"event kind {self.kind!r}: use {', '.join(get_args(EventKind))}")
        for name in ("event_id", "decision_id", "impression_id"):
            if not getattr(self, name):
                raise InvalidInput(f"event {self.event_id!r}: {name} is empty")
        if self.position < 1:
            raise InvalidInput(f"event {self.event_id}: position {self.position}; the first is 1")
        if self.kind == "impression" and self.impression_id != self.event_id:
            raise InvalidInput(
                f"impression {self.event_id}: impression_id must be its own event_id"
            )
