"""What the shoppers did before any picture was changed: views, carts, purchases."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from persona_img.simulate.tastes import Floats

CART_RATE, PURCHASE_RATE = 0.12, 0.35
"""Chance that a view is followed by a cart, and a cart by a purchase."""

CART_DELAY, PURCHASE_DELAY = timedelta(minutes=3), timedelta(hours=5)
"""Means of exponential delays."""


def interactions(
    shoppers: tuple[str, ...],
    products: tuple[str, ...],
    activity: Floats,
    browsing: Floats,
    *,
    days: float,
    until: datetime,
    views_per_day: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Interactions in the days before ``until``; what would come later is cut off.

    Args:
        shoppers: N identifiers.
        products: P identifiers.
        activity: (N,), 1 is the average shopper.
        browsing: (N, P), chances of looking at each product; rows sum to 1.
        days: Length of the history.
        until: Its end, with a time zone.
        views_per_day: Of a shopper of activity 1.
        rng: Source of everything random here.

    Returns:
        Columns shopper, product, kind (``view``, ``cart``, ``purchase``), occurred_at
        (datetime64[us, UTC]); in the order in which they occurred.
    """
    views = rng.poisson(activity * days * views_per_day)
    who = np.repeat(np.arange(len(shoppers)), views)
    bounds = np.cumsum(browsing, axis=1)
    what = (rng.random((len(who), 1)) >= bounds[who]).sum(axis=1)
    what = np.minimum(what, len(products) - 1)
    ago = rng.random(len(who)) * days * 86400
    carted = rng.random(len(who)) < CART_RATE
    cart_ago = ago - rng.exponential(CART_DELAY.total_seconds(), len(who))
    bought = carted & (rng.random(len(who)) < PURCHASE_RATE)
    buy_ago = cart_ago - rng.exponential(PURCHASE_DELAY.total_seconds(), len(who))
    kept = ((slice(None), ago, "view"), (carted, cart_ago, "cart"), (bought, buy_ago, "purchase"))
    table = pd.concat(
        [
            pd.DataFrame({"who": who[rows], "what": what[rows], "kind": kind, "ago": when[rows]})
            for rows, when, kind in kept
        ],
        ignore_index=True,
    )
    table = table[table["ago"] > 0].sort_values("ago", ascending=False, kind="stable")
    seconds = pd.to_timedelta((table["ago"] * 1e6).round().astype("int64"), unit="us")
    table["shopper"] = np.array(shoppers, dtype=object)[table["who"]]
    table["product"] = np.array(products, dtype=object)[table["what"]]
    table["occurred_at"] = (pd.Timestamp(until).tz_convert("UTC") - seconds).dt.as_unit("us")
    return table[["shopper", "product", "kind", "occurred_at"]].reset_index(drop=True)
