"""Simulated shoppers in a real shop: a history of interactions, and visits to its service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.errors import StoreConflict
from persona_img.ingest.interactions.fields import SIMULATED
from persona_img.simulate.shop import SimulatedShop
from persona_img.simulate.traffic import drive

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import pandas as pd

    from persona_img.shop import Shop
    from persona_img.simulate.traffic import TrafficReport
    from persona_img.simulate.visits import Visit


def simulated_shoppers(shop: Shop, count: int) -> SimulatedShop:
    """Shoppers with hidden tastes for this shop's products and styles; the same at every call."""
    return SimulatedShop(shop.catalog.on_offer, shop.space, shoppers=count, seed=shop.settings.seed)


def simulate_history(
    shop: Shop, shoppers: SimulatedShop, days: float, until: datetime
) -> pd.DataFrame:
    """Past interactions, kept as the shop's own; they replace an earlier simulation's.

    Raises:
        StoreConflict: the shop holds interactions of real shoppers.
    """
    if any(source.name != SIMULATED for source in shop.interactions.sources()):
        raise StoreConflict(
            f"{shop.workspace.root}: holds interactions of real shoppers; simulate in another home"
        )
    interactions = shoppers.interactions(days, until)
    shop.mark_simulated()
    shop.interactions.append(interactions, source=SIMULATED, replace=True)
    return interactions


def simulate_visits(
    shop: Shop,
    shoppers: SimulatedShop,
    url: str,
    visits: list[Visit],
    on_visit: Callable[[Visit], None] = lambda _: None,
) -> TrafficReport:
    """Visits to the running service of a shop, over HTTP, as shoppers' browsers make them."""
    shop.mark_simulated()
    tokens = shop.settings.serve.tokens
    return drive(url, shoppers, visits, on_visit=on_visit, token=tokens[0] if tokens else None)
