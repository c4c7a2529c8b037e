"""What goes over the wire: its shape and its limits."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from persona_img.errors import InvalidInput
from persona_img.serving.base import Outcome, Rule
from persona_img.serving.receive import Sent

if TYPE_CHECKING:
    from persona_img.serving.base import Recorded

MAX_EVENTS = 1000
MAX_PAGE = 100
MAX_BODY = 2**20
_SHOWN_ERRORS = 3

NAME = r"^[A-Za-z0-9._:@+/=~|-]{1,128}$"
"""Names that clients give: shoppers, events. Fits UUIDs, e-mail hashes and base64."""

TOKEN = r"^[A-Za-z0-9_-]{1,4096}$"
"""Tokens as answers carry them."""

Name = Annotated[str, Field(pattern=NAME, max_length=128)]
_NAME = re.compile(NAME[1:-1])
_KINDS = Literal["impression", "click", "conversion", "dismiss", "survey"]


class Picture(BaseModel):
    """One file of a picture, for ``srcset``."""

    url: str
    width: int = Field(ge=1, description="Pixels.")
    type: Literal["image/avif", "image/webp", "image/jpeg"]


class Shown(BaseModel):
    """The answer of ``GET /v1/variant``."""

    counted: bool = Field(
        description="Whether this is a decision of the test. If not, show the picture and send no "
        "events about it: nothing could be decided or logged, and this is the original photo."
    )
    token: str | None = Field(
        description="To be sent with every event about this picture, as it is; null where it is "
        "not counted."
    )
    expires_at: float | None = Field(
        description="Unix seconds from which on no event with this token is taken."
    )
    test: str
    arm: str | None = Field(description="Null where it is not counted, like the segment.")
    segment: str | None
    style: str = Field(description="`attribute=value` pairs, or `original`.")
    digest: str | None = Field(description="Names the variant; null is the original photo.")
    propensity: float | None = Field(gt=0, le=1, description="Null where it is not counted.")
    policy_version: str | None = Field(description="Null where it is not counted.")
    image_url: str = Field(
        description="Path of the picture on this server, or by `[serve] photo_url` the address of "
        "a photo that this server does not know; use it as it is."
    )
    pictures: list[Picture] = Field(
        description="The same picture smaller, by format and width, for `<source srcset>`; empty "
        "while it is being made. Their bytes never change: let a CDN keep them."
    )
    alt: str = Field(description="What the picture shows: the product's title.")


class OnPage(Shown):
    """One picture of the answer of ``POST /v1/decisions``."""

    product: str
    image_url: str | None = Field(  # type: ignore[assignment]
        description="As for one picture; null for a product that this server does not know, and "
        "not where its photo lies: show what the page has."
    )


class Page(BaseModel):
    """The answer of ``POST /v1/decisions``."""

    decisions: list[OnPage] = Field(description="In the order asked.")


class PageIn(BaseModel):
    """The body of ``POST /v1/decisions``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    shopper: Name
    products: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        min_length=1, max_length=MAX_PAGE, description="What is on the page."
    )
    consent: bool = Field(
        default=True, description="False of a shopper who said no: photos, and nothing is kept."
    )


class Ready(BaseModel):
    """The answer of ``GET /readyz``."""

    status: Literal["ready"]
    test: str
    policy_version: str
    hindrance: str | None = Field(
        default=None,
        description="What is not as it should be, and does no harm; left out if all is.",
    )


class EventIn(BaseModel):
    """One event as it is sent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: _KINDS
    token: Annotated[str, Field(pattern=TOKEN)] | None = Field(
        default=None, description="Of the answer whose picture it happened to."
    )
    event_id: Name | None = Field(
        default=None,
        description="Yours: the same one sent again is the same event. Left out, it is named after "
        "token and kind.",
    )
    occurred_at: float | None = Field(
        default=None,
        ge=0,
        lt=253_402_300_800,
        description="Unix seconds, UTC, by your clock; left out, when it was received. Taken as "
        "lying between when the picture was answered and when the event was received.",
    )
    position: int = Field(default=1, ge=1, le=100_000, description="Place in the list, from 1.")
    value: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="What a conversion was worth."
    )
    rating: int | None = Field(default=None, ge=1, le=5, description="Of a survey.")
    decision_id: Name | None = Field(
        default=None, description="Instead of a token, of a decision of before there were tokens."
    )
    impression_id: Name | None = Field(
        default=None,
        description="With a decision_id: the impression's event_id; an impression names itself.",
    )


class EventBatch(BaseModel):
    """The body of ``POST /v1/events``; each event is checked on its own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    events: list[Any] = Field(max_length=MAX_EVENTS)


class _Sound(BaseModel):
    """A batch without fault, as nearly all are: read in one go."""

    model_config = ConfigDict(extra="forbid", strict=True)

    events: list[EventIn] = Field(max_length=MAX_EVENTS)


class EventOut(BaseModel):
    """What became of one event."""

    event_id: str | None = Field(description="As it was sent; null where that is no name.")
    outcome: Literal["accepted", "duplicate", "rejected"] = Field(
        description="Accepted and duplicate are on the disk; rejected is not stored."
    )
    rule: Rule | None = Field(description="Which rule a rejected one breaks, in a word.")
    reason: str | None = Field(
        description="Why it was rejected and what to do; mend it before it is sent again."
    )


class Counted(BaseModel):
    """The answer of ``POST /v1/events``, given once the events are on the disk."""

    accepted: int = Field(description="New events.")
    duplicates: int = Field(description="Events that had come before.")
    rejected: int = Field(description="Events that were not stored; the others were.")
    events: list[EventOut] = Field(description="One for each event, in the order sent.")


@dataclass(frozen=True)
class Batch:
    """Events as they came.

    Attributes:
        names: The event_id of each, in order; None where it is none.
        events: Those that can be read, by place.
        unreadable: Why the others cannot, by place.
    """

    names: tuple[str | None, ...]
    events: dict[int, Sent]
    unreadable: dict[int, Outcome]

    def answer(self, recorded: Recorded) -> dict[str, Any]:
        """The body of the answer.

        Args:
            recorded: What became of ``events``, in the order of their places.
        """
        outcomes = dict(zip(self.events, recorded.outcomes, strict=True)) | self.unreadable
        return {
            "accepted": recorded.new,
            "duplicates": recorded.duplicate,
            "rejected": recorded.rejected + len(self.unreadable),
            "events": [
                {
                    "event_id": name,
                    "outcome": outcomes[place].fate,
                    "rule": outcomes[place].rule or None,
                    "reason": outcomes[place].reason or None,
                }
                for place, name in enumerate(self.names)
            ],
        }


class Problem(BaseModel):
    """Every error's body."""

    detail: str = Field(description="The value, the rule, and what to do.")


EVENTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["events"],
    "additionalProperties": False,
    "properties": {
        "events": {"type": "array", "maxItems": MAX_EVENTS, "items": EventIn.model_json_schema()}
    },
}


def check_name(field: str, value: str) -> None:
    """Refuse what no client needs to name a shopper.

    Raises:
        InvalidInput: empty, over 128 characters, or other than letters, digits, ``._:@+/=~|-``.
    """
    if not _NAME.fullmatch(value):
        shown = value if len(value) <= 140 else value[:140] + "…"
        raise InvalidInput(
            f"{field} {shown!r}: use 1 to 128 letters, digits and ._:@+/=~|- ; hash other names"
        )


def parse_page(body: bytes) -> PageIn:
    """A page of a JSON body.

    Raises:
        InvalidInput: it is not JSON, or breaks a rule.
    """
    try:
        return PageIn.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInput(_explain(error, "body")) from error


def parse_events(body: bytes) -> Batch:
    """Events of a JSON body; one that cannot be read holds up no other.

    Raises:
        InvalidInput: the body is not JSON, not a batch, or a batch of too many events.
    """
    with contextlib.suppress(ValidationError):
        whole = _Sound.model_validate_json(body).events
        return Batch(
            tuple(one.event_id for one in whole),
            {place: Sent(**vars(one)) for place, one in enumerate(whole)},
            {},
        )
    try:
        # Unlike pydantic's own reader this one takes half a surrogate pair, in one event's text,
        # for that event's fault.
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"body: not JSON ({str(error)[:100]})") from error
    try:
        batch = EventBatch.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(_explain(error, "body")) from error
    events, unreadable = {}, {}
    for place, one in enumerate(batch.events):
        try:
            events[place] = Sent(**vars(EventIn.model_validate(one)))
        except ValidationError as error:
            unreadable[place] = Outcome("rejected", _explain(error, "event"), "unreadable")
    return Batch(tuple(map(_event_id, batch.events)), events, unreadable)


def _event_id(event: Any) -> str | None:
    name = event.get("event_id") if isinstance(event, dict) else None
    return name if isinstance(name, str) and _NAME.fullmatch(name) else None


def _explain(error: ValidationError, whole: str) -> str:
    problems = error.errors(include_url=False, include_context=False)
    lines = []
    for problem in problems[:_SHOWN_ERRORS]:
        place = ""
        for part in problem["loc"]:
            place += f"[{part}]" if isinstance(part, int) else f".{part}"
        given = "" if problem["type"] == "missing" else _brief(problem["input"])
        lines.append(f"{place.lstrip('.') or whole}{given}: {problem['msg']}")
    more = len(problems) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def _brief(value: Any) -> str:
    text = repr(value)
    return f" = {text if len(text) <= 60 else text[:60] + '…'}"
