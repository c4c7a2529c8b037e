"""``/demo-shop``: a shop's page with the snippet in it, where one may be several shoppers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from persona_img.errors import NotFound
from persona_img.serving.addresses import photo_path
from persona_img.serving.pages import page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastapi import FastAPI
    from fastapi.responses import Response

    from persona_img.domain.catalog import Catalog, Product
    from persona_img.domain.decision import Arms, DecisionTable
    from persona_img.domain.holdout import Holdout
    from persona_img.serving.decide import Decider

_MOST = 12
_MOST_SEGMENTS = 6


@dataclass(frozen=True)
class Visitor:
    """Somebody whom the page can be seen as.

    Attributes:
        shopper: The name that decisions are asked for.
        label: What the page calls them.
        about: What is known of them.
    """

    shopper: str
    label: str
    about: str


def visitors(
    table: DecisionTable,
    arms: Arms,
    holdout: Holdout | None = None,
    treated: str = "personalized",
) -> list[Visitor]:
    """A shopper of each segment who sees variants, and one who sees photos.

    Of each the first by name whose arm is the one wanted; nobody of the holdout.
    """
    found: dict[str, str] = {}
    photos = ""
    for shopper in sorted(table.segments):
        if holdout is not None and holdout.includes(shopper):
            continue
        segment = table.segments[shopper]
        if arms.assign(shopper) != treated:
            photos = photos or shopper
        else:
            found.setdefault(segment, shopper)
    people = [
        Visitor(shopper, segment.replace("-", " "), f"shopper {shopper}, in segment {segment}")
        for segment, shopper in sorted(found.items())[:_MOST_SEGMENTS]
    ]
    if photos:
        people.append(
            Visitor(photos, "control group", f"shopper {photos}, who sees the photos as they are")
        )
    return people


def shown_products(catalog: Catalog, table: DecisionTable) -> list[Product]:
    """The first products on offer of which there are variants to choose from."""
    choice = {product for (_, product), slate in table.slates.items() if len(slate.candidates) > 1}
    return [product for product in catalog.on_offer if product.product in choice][:_MOST]


def add_demo_shop(
    app: FastAPI,
    catalog: Callable[[], Catalog],
    decider: Decider,
    counts: Callable[[], Mapping[str, int]],
    cdn_url: str = "",
) -> None:
    """Add ``/demo-shop`` and ``/demo-shop/counts``; what is clicked there counts.

    Args:
        app: Where to.
        catalog: What is on sale.
        decider: Says what is served now, and to whom.
        counts: Events that were kept, by kind, since the service started.
        cdn_url: Where pictures come from, if not from here.
    """

    def demo_shop(shopper: str | None = None) -> Response:
        """The page, seen as one of the visitors."""
        served = decider.table
        people = visitors(served, decider.arms, decider.holdout)
        if not people:
            raise NotFound("no shoppers are known; run `persona-img profile` and prepare")
        known: Sequence[Visitor] = [one for one in people if one.shopper == shopper]
        me = known[0] if known else people[0]
        return page(
            "demo-shop.html",
            pictures=["{0.scheme}://{0.netloc}".format(urlsplit(cdn_url))] if cdn_url else [],
            products=[(one, photo_path(one)) for one in shown_products(catalog(), served)],
            visitors=people,
            me=me,
            test=decider.arms.test,
        )

    def demo_shop_counts() -> dict[str, int]:
        """What was counted, for the page."""
        return dict(counts())

    app.get("/demo-shop", include_in_schema=False)(demo_shop)
    app.get("/demo-shop/counts", include_in_schema=False)(demo_shop_counts)
