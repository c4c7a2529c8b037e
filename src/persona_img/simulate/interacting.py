"""Tastes that no sum of attribute values describes: interactions are worth finding here.

Nothing here was measured on people. A product is cheap or dear to group g by a price of the group's
own, between the lower and the upper third of the shop's prices; half of one attribute's values are
"busy". Of the A attributes, drawn in this order at random:

* one is liked as in the additive world;
* for half of the others, at least one, what cheap products gain by a value, dear ones lose;
* for the rest the sign turns both with the price and with whether the style is busy: a palette
  helps a cheap product in a busy scene, and a dear one in a quiet scene.

So averages over products say little of single ones. All of it can be learned from what a ranker is
given: the segment, the product's price, and the style's values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

THRESHOLD = (1 / 3, 2 / 3)
"""Between which quantiles of the prices a group's own threshold lies."""

DISAGREEING = 0.1
"""Share of values that a group dislikes although the others like them, or the other way round."""


def interacting(
    shown: Floats,
    strength: Floats,
    sizes: Sequence[int],
    prices: Floats,
    groups: int,
    rng: np.random.Generator,
) -> Floats:
    """Sums by group, product and style, before they are centred and scaled.

    Args:
        shown: (T - 1, V), 1 where the style has the value.
        strength: (V,), how much a value is liked, and by its sign whether.
        sizes: Values of each attribute, in the order of the columns; they add up to V.
        prices: (P,), of the products; an unknown one (NaN) is dear.
        groups: G.
        rng: Of everything random.

    Returns:
        float64 (G, P, T - 1).
    """
    order = [int(attribute) for attribute in rng.permutation(len(sizes))]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    plain, others = order[:1], order[1:]
    priced = others[: (len(others) + 1) // 2]
    role = np.where(np.isin(owner, plain), 0, np.where(np.isin(owner, priced), 1, 2))
    mine = np.flatnonzero(owner == order[0])
    busy = shown[:, rng.permutation(mine)[: (len(mine) + 1) // 2]].sum(axis=1) > 0
    known = prices[~np.isnan(prices)]
    limit = np.quantile(known, rng.uniform(*THRESHOLD, groups)) if len(known) else np.zeros(groups)
    cheap = np.where(prices[None, :] <= limit[:, None], 1.0, -1.0)[:, :, None]
    disagrees = np.where(rng.random((groups, len(strength))) < DISAGREEING, -1.0, 1.0)
    own = strength * disagrees
    alone, by_price, by_both = ((own * (role == r)) @ shown.T for r in range(3))
    crowded = np.where(busy, 1.0, -1.0)
    return np.asarray(
        alone[:, None, :] + cheap * (by_price + by_both * crowded)[:, None, :], dtype=np.float64
    )
