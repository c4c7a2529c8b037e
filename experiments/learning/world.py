"""Worlds that the learning is tried in, what was seen in them, and the best that could be done."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from persona_img import loop, wiring
from persona_img.assets import ASSETS
from persona_img.demo.run import HISTORY_DAYS, ROUND_DAYS, START
from persona_img.demo.size import FULL, spread
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import Arms
from persona_img.domain.feedback import Event, Showing
from persona_img.domain.style import ORIGINAL
from persona_img.profiles.frame import FrameFeatureSource
from persona_img.serving.decide import CONTROL
from persona_img.settings import Settings
from persona_img.simulate.clicks import POSITION
from persona_img.simulate.shop import PRODUCTS_PER_VISIT, SimulatedShop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from persona_img.domain.decision import Decision
    from persona_img.domain.style import StyleSpace
    from persona_img.serving.decide import Decider

    Floats = NDArray[np.float64]

WORLDS = ("usual", "worse", "equal", "flip", "shuffled", "interacting")
"""As drawn; every variant worse than the photo; every picture alike; tastes turned round after the
third round; segments dealt at random; tastes that turn with the price and the rest of the style."""

VISITS = 3.0
"""Mean visits per shopper and round, whatever the demo has: 3,000 shoppers see 36,000 pictures."""

ARMS = Arms("hero", {"control": 0.2, "personalized": 0.8})


@dataclass(frozen=True)
class World:
    """A simulated shop, and what a real one would know of it.

    Attributes:
        shop: The shoppers.
        catalog: Its products.
        space: Its styles.
        profiled: Segments and features from a history of sixty days.
        name: Of :data:`WORLDS`.
    """

    shop: SimulatedShop
    catalog: Catalog
    space: StyleSpace
    profiled: loop.Profiled
    name: str

    def in_round(self, number: int) -> SimulatedShop:
        """The shop with the tastes of a round."""
        if self.name != "flip" or number <= 3:
            return self.shop
        return self.shop.with_tastes(-self.shop.tastes.effect)

    def round(self, number: int) -> Round:
        """Everybody who comes in a round."""
        shop = self.in_round(number)
        start = START + timedelta(days=ROUND_DAYS * (number - 1))
        rows = [
            (f"{visit.visit}-{position}", visit.shopper, product, position, visit.at, seen)
            for visit in shop.visits(number, start, ROUND_DAYS, visits_per_shopper=VISITS)
            for position, (product, seen) in enumerate(
                zip(visit.products, visit.seen, strict=True), 1
            )
        ]
        columns = ("decision_id", "shopper", "product", "position", "at", "seen")
        frame = pd.DataFrame(rows, columns=columns)
        luck = np.random.default_rng([shop.seed, number]).random(len(frame))
        return Round(shop, frame, luck, start.timestamp())


@dataclass(frozen=True)
class Served:
    """What came of some impressions.

    Attributes:
        feedback: As the log would return it.
        clicks: True clicks to be expected of what the personalised arm was shown.
        photo: The same, had it been shown the photo each time.
    """

    feedback: pd.DataFrame
    clicks: float
    photo: float


@dataclass(frozen=True)
class Round:
    """Impressions to come, in the order of time.

    Attributes:
        shop: The shoppers, with the tastes of the round.
        coming: decision_id, shopper, product, position, at, seen.
        luck: (n,), below whose true click rate an impression is clicked, whatever is shown.
        start: Unix seconds.
    """

    shop: SimulatedShop
    coming: pd.DataFrame
    luck: Floats
    start: float

    def parts(self, count: int) -> Iterator[slice]:
        """The impressions of equally long parts of the round."""
        ends = self.start + ROUND_DAYS * 86400.0 * np.arange(1, count) / count
        places = np.searchsorted(self.coming["at"].to_numpy(), ends).tolist()
        for first, last in itertools.pairwise([0, *places, len(self.coming)]):
            yield slice(first, last)

    def served(self, part: slice, decider: Decider) -> Served:
        """What ``decider`` shows in a part of the round, and what is clicked."""
        rows = self.coming.iloc[part]
        decided: dict[tuple[str, str], Decision] = {}
        made, looks = [], list[Event]()
        for shopper, product, at in zip(rows["shopper"], rows["product"], rows["at"], strict=True):
            # Within a part nothing moves, so who comes back sees the same.
            place = (shopper, product)
            if place not in decided:
                decided[place] = one = decider.decide(shopper, product, at)
                name = f"{self.shop.seed}-{shopper}-{product}-{at}"
                looks.append(Event(name, "impression", Showing(name, one, at), at))
            made.append(decided[place])
        decider.log.record_events(looks)  # what was seen is kept in the next part
        key = [decision.style_key for decision in made]
        arm = np.array([decision.arm for decision in made], dtype=object)
        who = (list(rows["shopper"]), list(rows["product"]))
        seen = {"position": list(rows["position"]), "exposures": list(rows["seen"])}
        rates = self.shop.click_probabilities(*who, key, **seen)
        photo = self.shop.click_probabilities(*who, [ORIGINAL.key] * len(rows), **seen)
        feedback = rows.drop(columns=["seen", "at"]).assign(
            segment=[decision.segment for decision in made],
            arm=arm,
            style_key=key,
            propensity=[decision.propensity for decision in made],
            test=ARMS.test,
            digest=[decision.digest for decision in made],
            policy_version=[decision.policy_version for decision in made],
            shown_at=pd.to_datetime(rows["at"], unit="s", utc=True),
            clicked=(self.luck[part] < rates).astype("int64"),
            converted=np.int64(0),
        )
        chosen = arm != CONTROL
        return Served(feedback, float(rates[chosen].sum()), float(photo[chosen].sum()))


def made(name: str, seed: int, shoppers: int) -> World:
    """A world of the demo's size: 44 products, about 36,000 impressions a round."""
    shipped = list(Catalog.load(ASSETS / "catalog" / "products.csv"))
    catalog = Catalog(spread(shipped, FULL.products))
    settings = Settings(home=Path("unused"))
    space = wiring.style_space(settings)
    form = name if name in ("interacting", "personal") else "additive"
    shop = SimulatedShop(catalog, space, shoppers=shoppers, seed=seed, form=form)
    effect = shop.tastes.effect.copy()
    if name == "worse":
        # The best variant of each group and category is 3 % below the photo, the mean one 13 %.
        variants = effect[:, :, 1:]
        effect[:, :, 1:] = 0.3 * (variants - variants.max(axis=2, keepdims=True)) - 0.03
        shop = shop.with_tastes(effect)
    elif name == "equal":
        shop = shop.with_tastes(np.zeros_like(effect), leaning=False)
    with TemporaryDirectory() as folder:
        profiled = loop.profile(
            shop.interactions(HISTORY_DAYS, START),
            catalog,
            FrameFeatureSource(Path(folder)),
            as_of=START,
            count=settings.learn.segments,
            least=settings.learn.least_shoppers,
            seed=seed,
        )
    if name == "shuffled":
        known = sorted(profiled.segments)
        order = np.random.default_rng([seed, 7]).permutation(len(known))
        groups = [profiled.segments[known[i]] for i in order]
        profiled = replace(profiled, segments=dict(zip(known, groups, strict=True)))
    return World(shop, catalog, space, profiled, name)


@dataclass(frozen=True)
class Truth:
    """Expected click rates of a world at its first round.

    Attributes:
        photo: Of the original for everybody.
        single: Of the one best style for everybody.
        segment: Of the best style of each segment and product.
        individual: Of the best style of each shopper and product.
        rate: float64 (K, P, T), by segment, product and style, weighted by traffic.
    """

    photo: float
    single: float
    segment: float
    individual: float
    rate: Floats


def truth_of(world: World) -> Truth:
    """By enumeration of every shopper, product, style and position."""
    shop, styles = world.shop, world.shop.tastes.styles
    shoppers = list(shop.shoppers["shopper"])
    segments = sorted(set(world.profiled.segments.values()) | {world.profiled.default_segment})
    code = np.array(
        [segments.index(world.profiled.segments.get(s, world.profiled.default_segment))
         for s in shoppers]
    )  # fmt: skip
    activity = shop.shoppers["activity"].to_numpy()
    weight = shop._browsing * (activity / activity.sum())[:, None]
    who = np.arange(len(shoppers))
    clicks, people = shop._clicks, shop._people
    own = people.leaning @ shop.tastes.onehot.T
    rate = np.zeros((len(segments), weight.shape[1], len(styles)))
    individual = 0.0
    for what in range(weight.shape[1]):
        # One call for the photo; the styles' log-odds add to its own, and positions to both.
        photo = clicks.click(who, what, 0, 1, 0)
        kind = clicks.kind[what]
        odds = (photo / (1 - photo))[:, None] * np.exp(own + shop.tastes.effect[people.group, kind])
        ranks = np.arange(1, PRODUCTS_PER_VISIT + 1) ** -POSITION
        chances = sum(odds / (odds + factor) for factor in ranks) / len(ranks)
        chances *= weight[:, [what]]
        individual += float(chances.max(axis=1).sum())
        for segment in range(len(segments)):
            rate[segment, what] = chances[code == segment].sum(axis=0)
    return Truth(
        photo=float(rate[:, :, 0].sum()),
        single=float(rate.sum(axis=(0, 1)).max()),
        segment=float(rate.max(axis=2).sum()),
        individual=individual,
        rate=rate,
    )


def told_spreads(world: World) -> dict[str, float]:
    """Spreads of the effects as they were drawn, for a learner that is told the form of tastes."""
    tastes = world.shop.tastes
    look = tastes.onehot[1:]
    pairs = [
        look[:, i] * look[:, j]
        for i in range(look.shape[1])
        for j in range(i)
        if (look[:, i] * look[:, j]).any()
    ]
    segments = sorted(set(world.profiled.segments.values()))
    groups = world.shop._people.group
    mixed = []
    for segment in segments:
        mine = [world.profiled.segments.get(s) == segment for s in world.shop.shoppers["shopper"]]
        share = np.bincount(groups[mine], minlength=len(tastes.effect)) / max(sum(mine), 1)
        mixed.append(np.einsum("g,gct->ct", share, tastes.effect[:, :, 1:]))
    effect = np.array(mixed)
    mean = effect.mean(axis=(0, 1))

    def fitted(target: Floats, columns: Floats) -> tuple[float, Floats]:
        found = np.linalg.lstsq(columns, target - target.mean(), rcond=None)[0]
        return float(np.sqrt(np.mean(found**2))), target - target.mean() - columns @ found

    value, left = fitted(mean, look)
    pair, _ = fitted(left, np.array(pairs).T)
    by_segment = [fitted(e, look)[0] for e in effect.mean(axis=1) - mean]
    by_category = [fitted(e, look)[0] for e in effect.mean(axis=0) - mean]
    return {
        "value": max(value, 1e-3),
        "pair": max(pair, 1e-3),
        "segment x value": max(float(np.sqrt(np.mean(np.square(by_segment)))), 1e-3),
        "text x value": max(float(np.sqrt(np.mean(np.square(by_category)))), 1e-3),
        "photo": 0.05,
        "segment x photo": 0.03,
        "text x photo": 0.01,
        "product x photo": 1e-3,
        "number x value": 1e-3,
        "number x pair": 1e-3,
        "segment x number x value": 1e-3,
        "segment x text x value": 1e-3,
        "product x value": 1e-3,
    }
