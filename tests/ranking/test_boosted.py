from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from contracts.ranker import FEATURES, SEGMENTS, STYLES, RankerContract, likes_wood
from persona_img.domain.decision import Context
from persona_img.errors import InvalidInput, NotFound
from persona_img.ranking.base import RankingFeatures
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.boosted import BoostedRanker

GOODS = [f"p{n:02d}" for n in range(12)]
PRICED = RankingFeatures(
    FEATURES.segments,
    # A number that the Bayesian ranker does not read: what turns with it is for the trees.
    pd.DataFrame(
        {"category": "hat", "popularity": np.arange(12.0) + 5.0}, index=GOODS
    ),
)  # fmt: skip


@cache
def log(turning: bool, *, rows: int = 40_000, seed: int = 1) -> pd.DataFrame:
    """Two weeks; wood sells rare hats, and where it is ``turning`` spoils popular ones."""
    rng = np.random.default_rng(seed)
    product = rng.integers(12, size=rows)
    style = [STYLES[i] for i in rng.integers(len(STYLES), size=rows)]
    wood = np.array([s.values.get("surface") == "wood" for s in style], dtype=float)
    popular = product >= 6
    odds = logit(0.08) + 0.6 * wood * np.where(popular & turning, -1.0, 1.0)
    return pd.DataFrame(
        {
            "decision_id": [f"d{n}" for n in range(rows)],
            "test": "hero",
            "shopper": [f"s{n % 3000}" for n in range(rows)],
            "product": [GOODS[p] for p in product],
            "segment": rng.choice(SEGMENTS, rows),
            "arm": "personalized",
            "style_key": [s.key for s in style],
            "digest": None,
            "propensity": 1 / len(STYLES),
            "policy_version": "v1",
            "position": 1,
            "shown_at": pd.Timestamp("2026-01-05", tz="UTC")
            + pd.to_timedelta(rng.random(rows) * 14, unit="D"),
            "clicked": (rng.random(rows) < expit(odds)).astype("int64"),
            "converted": 0,
        }
    )


@cache
def turned() -> BoostedRanker:
    return BoostedRanker(half_life=float("inf")).fit(log(True), PRICED)


class TestBoosted(RankerContract):
    def make(self):
        return BoostedRanker()


def test_what_is_not_additive_is_learned_and_judged_on_later_days():
    ranker = turned()
    assert ranker.worth.rounds > 0
    assert ranker.worth.gain > ranker.worth.error > 0
    assert ranker.worth.slope == pytest.approx(1.0, abs=0.25)
    rare, popular = (
        np.mean([likes_wood(ranker, p) for p in some]) for some in (GOODS[:6], GOODS[6:])
    )
    assert rare > 0.3
    assert popular < -0.3
    # A product that was never shown has the number too.
    one = pd.DataFrame({"category": "hat", "popularity": [15.5]}, index=["new"])
    new = RankingFeatures(PRICED.segments, pd.concat([PRICED.products, one]))
    ranker = BoostedRanker(half_life=float("inf")).fit(log(True), new)
    assert likes_wood(ranker, "new") < -0.1
    assert abs(likes_wood(BayesRanker(half_life=float("inf")).fit(log(True), new), "new")) < 0.1


def test_trees_are_judged_by_what_impressions_count_as():
    table = log(True, rows=20_000)
    often = np.arange(len(table)) % 3 == 0
    counted = table.assign(weight=np.where(often, 2.0, 1.0))
    twice = pd.concat([table, table[often]])
    one, two, plain = (
        BoostedRanker(half_life=float("inf")).fit(some, PRICED).worth
        for some in (counted, twice, table)
    )
    assert one.rounds == two.rounds > 0
    assert (one.gain, one.error) == pytest.approx((two.gain, two.error), rel=1e-3)
    assert plain.gain != pytest.approx(two.gain, rel=1e-2)


def test_where_effects_add_up_it_is_the_bayesian_ranker_or_hardly_differs():
    ranker = BoostedRanker(half_life=float("inf")).fit(log(False), PRICED)
    base = BayesRanker(half_life=float("inf")).fit(log(False), PRICED)
    assert ranker.worth.rounds == 0 or ranker.worth.gain < 1.0
    if ranker.worth.rounds == 0:
        context = Context("g1", "p03")
        assert ranker.rank(context, STYLES) == base.rank(context, STYLES)


def test_few_days_and_few_clicks_grow_no_trees():
    few = log(True)[log(True)["shown_at"] < pd.Timestamp("2026-01-11", tz="UTC")]
    assert BoostedRanker().fit(few, PRICED).worth.rounds == 0
    assert BoostedRanker().fit(log(True).head(3000), PRICED).worth.rounds == 0


def test_with_trees_everything_at_once_is_what_one_after_the_other_says(tmp_path):
    ranker = turned()
    rng = np.random.default_rng(2)
    for one in (ranker, ranker.drawn(rng), ranker.updated(log(True, rows=4000, seed=2))):
        found = one.scores(SEGMENTS, [*GOODS[:3], "nothing"], STYLES)
        for k, segment in enumerate(SEGMENTS):
            for p, product in enumerate([*GOODS[:3], "nothing"]):
                ranking = one.rank(Context(segment, product), STYLES)
                scores = dict(zip(ranking.styles, ranking.scores, strict=True))
                assert found[k, p] == pytest.approx([scores[s] for s in STYLES], abs=1e-9)
    ranker.save(tmp_path)
    loaded = BoostedRanker.load(tmp_path)
    assert loaded.worth == ranker.worth
    assert loaded.rank(Context("g0", "p07"), STYLES) == ranker.rank(Context("g0", "p07"), STYLES)
    (tmp_path / "trees.txt").unlink()
    with pytest.raises(NotFound, match="trees"):
        BoostedRanker.load(tmp_path)


def test_it_is_as_sure_as_the_bayesian_ranker():
    ranking = turned().rank(Context("g0", "p01"), STYLES)
    base = BayesRanker(half_life=float("inf")).fit(log(True), PRICED)
    wanted = base.rank(Context("g0", "p01"), STYLES)
    assert sorted(ranking.spreads) == pytest.approx(sorted(wanted.spreads))


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"num_threads": 0}, {"half_life": 0.0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidInput):
        BoostedRanker(**wrong)
