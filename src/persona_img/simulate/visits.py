"""Who comes when, and which products the shop lists for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datetime import datetime

    from persona_img.simulate.tastes import Floats


@dataclass(frozen=True)
class Visit:
    """A shopper in front of a list of products.

    Attributes:
        visit: Unique name within the shop; events are named after it.
        shopper: Who.
        products: What is listed, from position 1.
        at: Unix seconds, UTC.
        seen: How often the shopper was shown each product earlier in the same round.
    """

    visit: str
    shopper: str
    products: tuple[str, ...]
    at: float
    seen: tuple[int, ...]


def planned(
    shoppers: tuple[str, ...],
    products: tuple[str, ...],
    activity: Floats,
    browsing: Floats,
    *,
    prefix: str,
    start: datetime,
    days: float,
    visits_per_shopper: float,
    products_per_visit: int,
    rng: np.random.Generator,
) -> list[Visit]:
    """Visits of one round in the order in which they happen.

    The listed products are drawn without replacement with chances ``browsing`` (N, P) and stand in
    random order, so that a position says nothing about the product.
    """
    counts = rng.poisson(activity * visits_per_shopper)
    who = np.repeat(np.arange(len(shoppers)), counts)
    moments = start.timestamp() + rng.random(len(who)) * days * 86400
    # The largest of log-weight plus Gumbel noise are a draw without replacement.
    keys = np.log(browsing[who]) + rng.gumbel(size=(len(who), len(products)))
    listed = np.argsort(-keys, axis=1)[:, :products_per_visit]
    listed = rng.permuted(listed, axis=1)
    seen: Counter[tuple[int, int]] = Counter()
    visits = []
    for number, row in enumerate(np.argsort(moments, kind="stable")):
        pairs = [(int(who[row]), int(product)) for product in listed[row]]
        visits.append(
            Visit(
                visit=f"{prefix}v{number:06d}",
                shopper=shoppers[who[row]],
                products=tuple(products[product] for _, product in pairs),
                at=round(float(moments[row]), 3),
                seen=tuple(seen[pair] for pair in pairs),
            )
        )
        seen.update(pairs)
    return visits
