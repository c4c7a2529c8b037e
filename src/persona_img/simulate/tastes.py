"""Hidden tastes: what the simulated shoppers like, written down so that nobody mistakes it.

Everything here is invented. Group g has, for every category c and style t, a number of log-odds
that the style adds to a click on the original photograph (0 for the original itself):

    effect[g, c, t] = scale_g * centred(sum of attribute values' parts
                                        + attribute x category parts
                                        + a few attribute x attribute parts) + drift_g

About half of each attribute's values are liked and the others disliked, some attributes mattering
more; groups agree on that but for one value in five. ``scale_g`` is set so that the group's best
style, averaged over categories, adds 0.30 to 0.48 log-odds (click rate about +34 to +60 %);
``drift_g`` puts the average style at about -4 to +3 %. So roughly half of all styles are worse than
the photograph the merchant took.

That is the form ``additive``. In the form ``interacting`` (:mod:`persona_img.simulate.interacting`)
most of what a value adds depends on the product's price and on the rest of the style; effects are
by product, and as large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from persona_img.simulate.interacting import interacting

if TYPE_CHECKING:
    from persona_img.domain.style import Style, StyleSpace

Floats = NDArray[np.float64]

STRENGTH = (0.7, 1.3)
"""How much a value is liked or disliked, before the attribute's importance: lowest, highest."""

DISAGREEING = 0.2
"""Share of values that a group dislikes although the others like them, or the other way round."""

BY_CATEGORY, BY_PAIR = 0.25, 0.3
"""Spread of a category's part, relative to the value's strength, and of a pair's part."""

IMPORTANCE = (1.0, 0.4)
"""Weight of the attribute that matters most, and of the one that matters least."""

PAIRS = 6
"""How many pairs of values have a part of their own."""

BEST = (0.30, 0.48)
"""Log-odds that a group's best style adds, averaged over categories: lowest, highest."""

DRIFT = (-0.05, 0.01)
"""Log-odds of the average style: lowest, highest."""


@dataclass(frozen=True)
class Tastes:
    """What G groups like, over C categories, K kinds of product and T styles in V attribute values.

    The kinds are the categories where tastes are additive, and single products where they interact.

    Attributes:
        categories: C names, sorted.
        styles: T styles, the original first.
        values: V pairs (attribute, value), in the order of the style space.
        onehot: float64 (T, V), 1 where the style has the value; the original's row is 0.
        effect: float64 (G, K, T), log-odds added to a click; 0 for the original.
        interest: float64 (G, C), log-odds of a click on the original at position 1, relative to the
            shop's base rate.
        browsing: float64 (G, C), log weight with which the group looks at the category.
    """

    categories: tuple[str, ...]
    styles: tuple[Style, ...]
    values: tuple[tuple[str, str], ...]
    onehot: Floats
    effect: Floats
    interest: Floats
    browsing: Floats

    @classmethod
    def drawn(
        cls,
        space: StyleSpace,
        categories: tuple[str, ...],
        *,
        groups: int,
        rng: np.random.Generator,
        prices: Floats | None = None,
    ) -> Tastes:
        """Tastes at random; the same generator state gives the same tastes.

        Args:
            space: Styles there are tastes for.
            categories: C names, sorted.
            groups: How many groups.
            rng: Of everything random.
            prices: float64 (P,), of the products that tastes interact with; None draws additive
                tastes, whose kinds of product are the categories.
        """
        styles = tuple(space.styles())
        values = tuple((name, value) for name, vs in space.attributes.items() for value in vs)
        onehot = np.array(
            [[float(s.values.get(name) == value) for name, value in values] for s in styles]
        )
        browsing = rng.normal(0.0, 1.0, (groups, len(categories)))
        sizes = [len(vs) for vs in space.attributes.values()]
        strength = _strength(sizes, rng)
        if prices is None:
            raw = _additive(onehot[1:], strength, groups, len(categories), rng)
        else:
            raw = interacting(onehot[1:], strength, sizes, prices, groups, rng)
        effect = _scaled(raw, rng)
        interest = 0.2 * browsing + rng.normal(0.0, 0.15, browsing.shape)
        return cls(categories, styles, values, onehot, effect, interest, browsing)

    def described(self) -> pd.DataFrame:
        """What each group likes, value by value.

        Returns:
            Columns group (int), attribute, value (str), log_odds (float64: mean effect of the
            styles with this value, over categories, minus the mean of all styles).
        """
        shown = self.onehot[1:]
        mean = self.effect[:, :, 1:].mean(axis=1)
        by_value = (mean - mean.mean(axis=1, keepdims=True)) @ shown / shown.sum(axis=0)
        rows = [
            (group, *self.values[v], by_value[group, v])
            for group in range(len(by_value))
            for v in range(len(self.values))
        ]
        return pd.DataFrame(rows, columns=["group", "attribute", "value", "log_odds"])


def _additive(
    shown: Floats, strength: Floats, groups: int, categories: int, rng: np.random.Generator
) -> Floats:
    """(G, C, T - 1) sums as the module's docstring defines; ``strength`` (V,) of the values."""
    count = shown.shape[1]
    disagrees = np.where(rng.random((groups, 1, count)) < DISAGREEING, -1.0, 1.0)
    own = strength * disagrees
    by_category = np.abs(strength) * rng.normal(0.0, BY_CATEGORY, (1, categories, count))
    return np.asarray((own + by_category) @ shown.T + _pairs(shown, rng), dtype=np.float64)


def _scaled(raw: Floats, rng: np.random.Generator) -> Floats:
    """(G, K, T) effects of sums (G, K, T - 1): centred, and as large as the docstring says."""
    groups, kinds, variants = raw.shape
    raw = raw - raw.mean(axis=2, keepdims=True)
    best = rng.uniform(*BEST, (groups, 1, 1))
    drift = rng.uniform(*DRIFT, (groups, 1, 1))
    peak = raw.max(axis=2, keepdims=True).mean(axis=1, keepdims=True)
    effect = np.zeros((groups, kinds, variants + 1))
    effect[:, :, 1:] = raw * ((best - drift) / peak) + drift
    return effect


def _strength(sizes: list[int], rng: np.random.Generator) -> Floats:
    """(V,) parts that groups share: about half of each attribute's values are liked."""
    importance = rng.permutation(np.linspace(*IMPORTANCE, len(sizes)))
    parts = []
    for size, weight in zip(sizes, importance, strict=True):
        liked = rng.permutation(
            np.where(np.arange(size) < (size + rng.integers(2)) // 2, 1.0, -1.0)
        )
        parts.append(weight * liked * rng.uniform(*STRENGTH, size))
    return np.concatenate(parts)


def _pairs(shown: Floats, rng: np.random.Generator) -> Floats:
    """(T - 1,) parts of pairs of values that meet in some style."""
    together = np.argwhere(np.triu(shown.T @ shown, k=1) > 0)
    chosen = together[rng.permutation(len(together))[:PAIRS]]
    parts = rng.normal(0.0, BY_PAIR, len(chosen))
    return np.asarray((shown[:, chosen[:, 0]] * shown[:, chosen[:, 1]]) @ parts, dtype=np.float64)
