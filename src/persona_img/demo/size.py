"""How much of everything a demo takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.domain.catalog import Product


@dataclass(frozen=True)
class DemoSize:
    """How much of everything.

    Attributes:
        products: Products taken from the shipped catalogue, spread over its categories.
        shoppers: Simulated shoppers.
        visits: Mean visits per shopper and round.
        settings: The shop's, by group, where nobody asked for something else.
    """

    products: int
    shoppers: int
    visits: float
    settings: Mapping[str, Mapping[str, int | float]]


# So many shoppers that an arm of one half, as a shop has by default, tells what a ranker that
# learned from the round before is worth. Whether it is promoted is for the evidence to say.
FULL = DemoSize(
    products=44,
    shoppers=9000,
    visits=3.5,
    settings={
        "learn": {"slate": 4, "variants_per_product": 5},
        "render": {"steps": 8, "processes": 2},
    },
)
QUICK = DemoSize(
    products=8,
    shoppers=4000,
    visits=3.5,
    settings={
        "learn": {"slate": 3, "variants_per_product": 4},
        "render": {"steps": 6},
    },
)


def spread(products: list[Product], count: int) -> list[Product]:
    """The first ``count`` products when categories take turns; at most all of them."""
    by_category: dict[str, list[Product]] = {}
    for product in products:
        by_category.setdefault(product.category, []).append(product)
    turns = max(map(len, by_category.values()), default=0)
    ordered = [some[i] for i in range(turns) for some in by_category.values() if i < len(some)]
    return ordered[:count]
