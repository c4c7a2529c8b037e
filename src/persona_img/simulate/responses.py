"""What happens to one shown picture, as a page tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.domain.decision import uniform

if TYPE_CHECKING:
    from persona_img.domain.feedback import EventKind
    from persona_img.simulate.visits import Visit

_CONVERSION_DELAY = 8 * 3600.0
_DRAWS = ("click", "click delay", "conversion", "conversion delay")


@dataclass(frozen=True)
class Reaction:
    """Something that a shopper did, as a page tells it to the service.

    Attributes:
        event_id: Depends on visit and position alone.
        kind: What it was.
        token: Of the answer that was shown.
        occurred_at: Unix seconds, UTC.
        position: In the list, from 1.
    """

    event_id: str
    kind: EventKind
    token: str
    occurred_at: float
    position: int


def response(
    visit: Visit, position: int, token: str, *, click: float, conversion: float, seed: int
) -> list[Reaction]:
    """Impression, perhaps a click seconds later, perhaps a conversion hours after that.

    Names and luck depend on seed, visit and position alone: whoever shows another picture at the
    same place meets the same luck.

    Args:
        visit: Whose.
        position: From 1.
        token: Of the answer that was shown there.
        click: Chance of a click.
        conversion: Chance that a click leads to a purchase.
        seed: The shop's.
    """
    luck = [uniform(str(seed), visit.visit, str(position), draw) for draw in _DRAWS]
    name = f"{visit.visit}-{position}"
    seen_at = visit.at + 0.4 * (position - 1)
    events = [Reaction(f"{name}-i", "impression", token, seen_at, position)]
    if luck[0] < click:
        clicked_at = seen_at + 1.0 - 9.0 * math.log1p(-luck[1])
        events.append(Reaction(f"{name}-c", "click", token, clicked_at, position))
        if luck[2] < conversion:
            at = clicked_at + 60.0 - _CONVERSION_DELAY * math.log1p(-luck[3])
            events.append(Reaction(f"{name}-b", "conversion", token, at, position))
    return events
