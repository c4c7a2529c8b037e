"""What happens to one shown picture, as events."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from persona_img.domain.decision import uniform
from persona_img.domain.feedback import Event

if TYPE_CHECKING:
    from persona_img.simulate.visits import Visit

_CONVERSION_DELAY = 8 * 3600.0
_DRAWS = ("click", "click delay", "conversion", "conversion delay")


def response(
    visit: Visit, position: int, decision_id: str, *, click: float, conversion: float, seed: int
) -> list[Event]:
    """Impression, perhaps a click seconds later, perhaps a conversion hours after that.

    Names and luck depend on seed, visit and position alone: whoever shows another picture at the
    same place meets the same luck.

    Args:
        visit: Whose.
        position: From 1.
        decision_id: Decision that was shown there.
        click: Chance of a click.
        conversion: Chance that a click leads to a purchase.
        seed: The shop's.
    """
    luck = [uniform(str(seed), visit.visit, str(position), draw) for draw in _DRAWS]
    name = f"{visit.visit}-{position}"
    impression = f"{name}-i"
    seen_at = visit.at + 0.4 * (position - 1)
    events = [Event(impression, "impression", decision_id, impression, seen_at, position)]
    if luck[0] < click:
        clicked_at = seen_at + 1.0 - 9.0 * math.log1p(-luck[1])
        events.append(Event(f"{name}-c", "click", decision_id, impression, clicked_at, position))
        if luck[2] < conversion:
            at = clicked_at + 60.0 - _CONVERSION_DELAY * math.log1p(-luck[3])
            events.append(Event(f"{name}-b", "conversion", decision_id, impression, at, position))
    return events
