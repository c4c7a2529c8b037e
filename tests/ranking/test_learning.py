"""The loop learns: the truth of the simulator says so, over five seeds."""

from __future__ import annotations

import pytest

from persona_img.ranking.lightgbm import LightGBMRanker
from persona_img.ranking.policy import ThompsonPolicy, UniformPolicy
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.slates import decision_table, plan_slates
from persona_img.simulate.shop import SimulatedShop
from simulate.worlds import a_catalog, features_of, feedback_of, segmented, shipped_space

PRODUCTS = 40


def a_table(shop, ranker, policy, segments, version, seed):
    slates = plan_slates(
        ranker,
        shipped_space(),
        sorted(set(segments.values())),
        [p.product for p in a_catalog(PRODUCTS)],
        size=5,
        pool=8,
        seed=seed,
    )
    return decision_table(
        ranker, policy, slates, segments=segments, default_segment="g0", policy_version=version
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_round_two_beats_control_and_round_one_in_truth(seed):
    catalog = a_catalog(PRODUCTS)
    shop = SimulatedShop(catalog, shipped_space(), shoppers=3000, seed=seed)
    segments = segmented(shop, catalog, 6)
    features = features_of(catalog, segments)
    first = a_table(shop, PopularityRanker(), UniformPolicy(), segments, "r1", seed)
    feedback = feedback_of(shop, first, 1)
    ranker = LightGBMRanker(seed=seed).fit(feedback, features)
    policy = ThompsonPolicy()
    second = a_table(shop, ranker, policy, segments, "r2", seed + 100)
    control, one, two = shop.true_rate(), shop.true_rate(first), shop.true_rate(second)
    lifts = f"round 1 {one / control - 1:+.1%}, round 2 {two / control - 1:+.1%}"
    print(f"seed {seed}: {feedback['clicked'].sum()} clicks; true {control:.4f}, {lifts}")
    assert 20_000 < len(feedback) < 27_000
    assert two > control
    assert two > one
