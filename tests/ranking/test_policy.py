from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.policy import PolicyContract, a_ranking, check_chances
from persona_img.errors import InvalidInput
from persona_img.ranking.base import Evidence
from persona_img.ranking.policy import EpsilonGreedyPolicy, ThompsonPolicy, UniformPolicy

POLICIES = [
    (UniformPolicy(), 1 / 8),
    (EpsilonGreedyPolicy(0.2), 0.2 / 8),
    (ThompsonPolicy(floor=0.02, draws=500, seed=4), 0.02),
]


@pytest.mark.parametrize(("policy", "least"), POLICIES, ids=lambda x: getattr(x, "name", None))
@settings(max_examples=60, deadline=None)
@given(rates=st.lists(st.floats(0.0, 1.0, allow_nan=False), min_size=1, max_size=8))
def test_chances_keep_the_floor_sum_to_one_and_make_a_slate(policy, least, rates):
    check_chances(policy, rates, least)


class TestUniform(PolicyContract):
    def make(self):
        return UniformPolicy()


class TestEpsilonGreedy(PolicyContract):
    def make(self):
        return EpsilonGreedyPolicy(0.2)

    def test_equally_good_styles_share(self):
        chances = self.make().probabilities(a_ranking([0.3, 0.3, 0.1, 0.1]))
        assert chances == pytest.approx([0.45, 0.45, 0.05, 0.05])

    @pytest.mark.parametrize("epsilon", [0.0, 1.5, float("nan")])
    def test_a_share_that_explores_nothing_is_refused(self, epsilon):
        with pytest.raises(InvalidInput, match="epsilon"):
            EpsilonGreedyPolicy(epsilon)


class TestThompson(PolicyContract):
    def make(self):
        return ThompsonPolicy(floor=0.02, draws=500, seed=4)

    def test_without_a_difference_everything_is_about_as_likely(self):
        chances = ThompsonPolicy(draws=8000).probabilities(a_ranking([0.03] * 5))
        assert np.abs(chances - 0.2).max() < 0.03

    def test_the_chance_is_that_of_being_best(self):
        a, b = (0.03 * 500, 0.97 * 500), (0.05 * 500, 0.95 * 500)
        rng = np.random.default_rng(0)
        exact = (rng.beta(*b, 200_000) > rng.beta(*a, 200_000)).mean()
        policy = ThompsonPolicy(floor=0.01, draws=20_000, prior_strength=500)
        chances = policy.probabilities(a_ranking([0.03, 0.05]))
        assert chances[0] == pytest.approx(0.01 + 0.98 * exact, abs=0.015)

    def test_evidence_moves_the_chances(self):
        ranking, policy = a_ranking([0.03, 0.03]), self.make()
        evidence = Evidence(np.array([4000.0, 4000.0]), np.array([80.0, 200.0]))
        assert policy.probabilities(ranking, evidence)[1] > 0.9

    def test_a_stronger_prior_explores_less(self):
        ranking = a_ranking([0.03, 0.05])
        weak, strong = (
            ThompsonPolicy(prior_strength=k).probabilities(ranking) for k in (100, 5000)
        )
        assert strong.max() > weak.max()

    def test_contexts_have_their_own_draws(self):
        policy = self.make()
        one, two = (policy.probabilities(a_ranking([0.03] * 4, p)) for p in ("p", "q"))
        assert not np.array_equal(one, two)

    def test_a_floor_that_cannot_be_kept_is_refused(self):
        with pytest.raises(InvalidInput, match="lower the floor"):
            ThompsonPolicy(floor=0.3).probabilities(a_ranking([0.1] * 4))
        with pytest.raises(InvalidInput, match="floor"):
            ThompsonPolicy(floor=0.0)
        with pytest.raises(InvalidInput, match="prior_strength"):
            ThompsonPolicy(prior_strength=0.0)


def test_evidence_with_more_clicks_than_impressions_is_refused():
    with pytest.raises(InvalidInput, match="clicks"):
        Evidence(np.array([1.0]), np.array([2.0]))
    with pytest.raises(InvalidInput, match="twice"):
        Evidence(np.ones(2), np.ones(3))
