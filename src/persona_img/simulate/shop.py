"""A simulated shop: nothing in it was measured on people, and every page that shows it says so.

There is no open data that joins product pictures with clicks per shopper, so the demo and the tests
invent it. What is invented:

* **Shoppers** have an age band, a device, a region, a log-normal activity, and a hidden taste
  group that leans on the age band and decides which categories they browse
  (:mod:`persona_img.simulate.people`).
* **Tastes** of the groups over styles are additive on the log-odds of a click, with a few
  interactions; a group's best style lifts its click rate by about a third to 60 % over the
  original photograph, the average style by about -4 to +3 %
  (:mod:`persona_img.simulate.tastes`). In shops of the form ``interacting`` they are as large, but
  most turn round with the product's price and with the rest of the style
  (:mod:`persona_img.simulate.interacting`). Each shopper differs a little from the group; in
  shops of the form ``personal`` much, by the own activity: what regulars like tires newcomers.
* **Clicks** happen at about 2-5 %, less often further down the list and the more often the
  product was seen in the same round (:mod:`persona_img.simulate.clicks`).
* **Conversions** follow about 12 % of clicks, hours later; regulars buy a little less after
  clicking a picture they do not know the shop by.

The same catalogue, style space, sizes and seed give the same shop, byte by byte; the same visit
shown the same styles gives the same events, whoever asks and in whatever order.
"""

from __future__ import annotations

import zlib
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from persona_img.errors import InvalidInput, NotFound
from persona_img.simulate import history, visits
from persona_img.simulate.clicks import ClickModel
from persona_img.simulate.people import People
from persona_img.simulate.responses import response
from persona_img.simulate.tastes import Floats, Tastes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd
    from numpy.typing import NDArray

    from persona_img.domain.catalog import Catalog
    from persona_img.domain.decision import DecisionTable
    from persona_img.domain.style import Style, StyleSpace
    from persona_img.simulate.responses import Reaction
    from persona_img.simulate.visits import Visit

PRODUCTS_PER_VISIT = 4

FORMS = ("additive", "interacting", "personal")
"""Of tastes: sums of what values add; what turns with the price and the rest of the style; sums,
in which much turns with how active the single shopper is."""

TURN = 0.12
"""Spread of what an attribute value gains with a deviation of a shopper's log activity, in shops of
the form ``personal``: log-odds. Five values together make about as much as two groups differ."""


class SimulatedShop:
    """Shoppers with hidden tastes in front of a catalogue.

    Args:
        catalog: What is on sale; tastes depend on the products' categories.
        space: Styles there are tastes for.
        shoppers: How many.
        seed: Of everything random.
        groups: Hidden taste groups.
        form: Of the tastes, of :data:`FORMS`.

    Attributes:
        seed: As given.
        shoppers: What a shop may know: shopper, age_band, device, region (str), activity (float64).
        tastes: The hidden truth; reports may show it, rankers must not.
    """

    def __init__(
        self,
        catalog: Catalog,
        space: StyleSpace,
        *,
        shoppers: int = 3000,
        seed: int,
        groups: int = 4,
        form: str = "additive",
    ) -> None:
        if form not in FORMS:
            raise InvalidInput(f"form {form!r} of tastes; give one of {', '.join(FORMS)}")
        if not len(catalog) or shoppers < 1 or groups < 1:
            raise InvalidInput(
                f"{len(catalog)} products, {shoppers} shoppers, {groups} groups: at least one each"
            )
        self.seed = seed
        self._products = tuple(p.product for p in catalog)
        categories = tuple(sorted({p.category for p in catalog}))
        category = np.array([categories.index(p.category) for p in catalog], dtype=np.int64)
        prices, kind = None, category
        if form == "interacting":
            prices = np.array([p.price for p in catalog], dtype=np.float64)
            kind = np.arange(len(catalog), dtype=np.int64)
        self.tastes = Tastes.drawn(
            space, categories, groups=groups, rng=self._rng("tastes"), prices=prices
        )
        self._people = People.drawn(shoppers, self.tastes, rng=self._rng("people"))
        if form == "personal":
            turn = self._rng("turn").normal(0.0, TURN, len(self.tastes.values))
            self._people = self._people.turned(turn)
        self.shoppers = self._people.observed
        rng = self._rng("products")
        appeal = rng.normal(0.0, 0.2, len(self._products))
        popularity = rng.normal(0.0, 0.4, len(self._products))
        self._clicks = ClickModel(self._people, self.tastes, category, kind, appeal)
        weights = np.exp(self._people.browsing[:, category] + popularity)
        self._browsing: Floats = weights / weights.sum(axis=1, keepdims=True)
        self._who = {shopper: i for i, shopper in enumerate(self._people.ids)}
        self._what = {product: i for i, product in enumerate(self._products)}
        self._style = {style.key: i for i, style in enumerate(self.tastes.styles)}

    def with_tastes(self, effect: Floats, *, leaning: bool = True) -> SimulatedShop:
        """The same shop, whose shoppers like other styles: for worlds that nobody would draw.

        Args:
            effect: (G, K, T) as ``tastes.effect``; 0 for the original.
            leaning: Whether each shopper still differs a little from the group.
        """
        if effect.shape != self.tastes.effect.shape or np.any(effect[:, :, 0] != 0.0):
            raise InvalidInput(
                f"effect {effect.shape}: give {self.tastes.effect.shape}, 0 for the original"
            )
        shop = copy(self)
        shop.tastes = replace(self.tastes, effect=effect)
        if not leaning:
            people = self._people
            shop._people = replace(people, leaning=np.zeros_like(people.leaning))
        shop._clicks = replace(self._clicks, tastes=shop.tastes, people=shop._people)
        return shop

    def interactions(
        self, days: float, until: datetime, *, views_per_day: float = 0.3
    ) -> pd.DataFrame:
        """History before any picture was changed: shopper, product, kind, occurred_at (UTC)."""
        _check_zone(until)
        return history.interactions(
            self._people.ids,
            self._products,
            self.shoppers["activity"].to_numpy(),
            self._browsing,
            days=days,
            until=until,
            views_per_day=views_per_day,
            rng=self._rng("history"),
        )

    def visits(
        self,
        round_index: int,
        start: datetime,
        days: float,
        *,
        visits_per_shopper: float = 2.0,
        products_per_visit: int = PRODUCTS_PER_VISIT,
    ) -> list[Visit]:
        """Visits of one round in the order of time; every round has its own.

        Args:
            round_index: Names the round; another round, other visits.
            start: With a time zone.
            days: Length of the round.
            visits_per_shopper: Mean over shoppers; each comes in proportion to the activity.
            products_per_visit: Products listed; all of them where the catalogue is smaller.
        """
        _check_zone(start)
        return visits.planned(
            self._people.ids,
            self._products,
            self.shoppers["activity"].to_numpy(),
            self._browsing,
            prefix=f"s{self.seed}r{round_index}",
            start=start,
            days=days,
            visits_per_shopper=visits_per_shopper,
            products_per_visit=products_per_visit,
            rng=self._rng(f"visits {round_index}"),
        )

    def respond(self, visit: Visit, shown: Sequence[tuple[str, Style, str]]) -> list[Reaction]:
        """What happens when the visit's products are shown in these styles.

        Args:
            visit: One of :meth:`visits`.
            shown: (product, style, token), from position 1.

        Returns:
            Impressions, clicks and conversions in the order of time; conversions may lie hours
            after the visit. Names of events depend on visit and position alone.
        """
        seen = dict(zip(visit.products, visit.seen, strict=True))
        rates = self.click_probabilities(
            [visit.shopper] * len(shown),
            [product for product, _, _ in shown],
            [style.key for _, style, _ in shown],
            position=range(1, len(shown) + 1),
            exposures=[seen.get(product, 0) for product, _, _ in shown],
        )
        buying = self._clicks.conversion(
            self._who[visit.shopper], [self._style[style.key] for _, style, _ in shown]
        )
        events = [
            event
            for row, (_, _, token) in enumerate(shown)
            for event in response(
                visit,
                row + 1,
                token,
                click=float(rates[row]),
                conversion=float(buying[row]),
                seed=self.seed,
            )
        ]
        return sorted(events, key=lambda event: event.occurred_at)

    def click_probability(
        self, shopper: str, product: str, style: Style, *, position: int = 1, exposures: int = 0
    ) -> float:
        """True chance of a click."""
        return float(
            self.click_probabilities(
                [shopper], [product], [style.key], position=[position], exposures=[exposures]
            )[0]
        )

    def click_probabilities(
        self,
        shoppers: Sequence[str],
        products: Sequence[str],
        style_keys: Sequence[str],
        *,
        position: Sequence[int],
        exposures: Sequence[int],
    ) -> Floats:
        """True chances of clicks, float64 (n,), for n rows given column by column."""
        return self._clicks.click(
            _rows(self._who, shoppers, "shopper"),
            _rows(self._what, products, "product"),
            _rows(self._style, style_keys, "style"),
            np.asarray(position),
            np.asarray(exposures),
        )

    def true_rate(
        self,
        table: DecisionTable | None = None,
        arm: str = "personalized",
        *,
        positions: int = PRODUCTS_PER_VISIT,
        traits: pd.DataFrame | None = None,
    ) -> float:
        """Exact expected click rate of an arm; no clicks are drawn.

        Every shopper counts by activity, every product by how often the shopper looks at it, every
        position from 1 to ``positions`` alike, every style by its probability in the slate; the
        product is seen for the first time.

        Args:
            table: What is served; None, or the arm ``control``, is the original for everybody.
            arm: Arm of the A/B test.
            positions: Products per visit.
            traits: What is known of shoppers, by shopper, in the columns of the table's leaning:
                whom it knows is shown what the own chances say. None is the segments' chances.
        """
        shoppers, products = len(self._people.ids), len(self._products)
        rate = np.zeros((shoppers, products))
        ranks = np.arange(1, positions + 1)
        table = None if arm == "control" else table
        for who, what, style, probability in self._served(table, traits):
            chances = self._clicks.click(who[:, None], what, style, ranks, 0)
            rate[who, what] += probability * chances.mean(axis=1)
        activity = self.shoppers["activity"].to_numpy()
        return float(activity @ (self._browsing * rate).sum(axis=1) / activity.sum())

    def _served(
        self, table: DecisionTable | None, traits: pd.DataFrame | None
    ) -> list[tuple[NDArray[np.int64], int, int, float | Floats]]:
        """(shoppers, product, style, probability): what whom is shown how often."""
        everybody = np.arange(len(self._people.ids))
        if table is None:
            return [(everybody, what, 0, 1.0) for what in range(len(self._products))]
        segment = np.array([table.segments.get(s, table.default_segment) for s in self._people.ids])
        known = None
        if table.personal is not None and traits is not None:
            names = list(table.personal.leaning.traits)
            known = traits.reindex(columns=names, index=self._people.ids).to_numpy(np.float64)
        served: list[tuple[NDArray[np.int64], int, int, float | Floats]] = []
        for name in sorted(set(segment)):
            who = np.flatnonzero(segment == name)
            for what, product in enumerate(self._products):
                slate = table.slates.get((str(name), product))
                if slate is None:
                    served.append((who, what, 0, 1.0))
                    continue
                chances: Floats | None = None
                if known is not None and table.personal is not None:
                    chances = table.personal.chances(slate, str(name), known[who])
                for place, candidate in enumerate(slate.candidates):
                    style = int(_rows(self._style, [candidate.style.key], "style")[0])
                    chance = candidate.probability if chances is None else chances[:, place]
                    served.append((who, what, style, chance))
        return served

    def _rng(self, purpose: str) -> np.random.Generator:
        """A stream of its own per purpose, so that asking for one never shifts another."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])


def _rows(index: dict[str, int], names: Sequence[str], kind: str) -> NDArray[np.int64]:
    try:
        return np.array([index[name] for name in names], dtype=np.int64)
    except KeyError as error:
        raise NotFound(f"{kind} {error.args[0]!r} is not in this simulated shop") from None


def _check_zone(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise InvalidInput(f"{moment.isoformat()} has no time zone; give one, e.g. timezone.utc")
