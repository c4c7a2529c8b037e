from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import norm

from contracts.policy import PolicyContract, a_ranking, check_chances
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput
from persona_img.ranking.base import Evidence
from persona_img.ranking.policy import (
    EpsilonGreedyPolicy,
    SquareCBPolicy,
    ThompsonPolicy,
    UniformPolicy,
)

POLICIES = [
    (UniformPolicy(), 1 / 8),
    (EpsilonGreedyPolicy(0.2), 0.2 / 8),
    (ThompsonPolicy(floor=0.02), 0.02),
    (SquareCBPolicy(floor=0.02), 0.02),
]


@pytest.mark.parametrize(("policy", "least"), POLICIES, ids=lambda x: getattr(x, "name", None))
@settings(max_examples=60, deadline=None)
@given(rates=st.lists(st.floats(0.0, 1.0, allow_nan=False), min_size=1, max_size=8))
def test_chances_keep_the_floor_sum_to_one_and_make_a_slate(policy, least, rates):
    check_chances(policy, rates, least)


class TestUniform(PolicyContract):
    def make(self):
        return UniformPolicy()


class TestSquareCB(PolicyContract):
    def make(self):
        return SquareCBPolicy()

    def test_a_gap_of_one_over_gamma_is_shown_once_in_three_of_two(self):
        chances = SquareCBPolicy(floor=1e-9, gamma=1000.0).probabilities(a_ranking([0.040, 0.041]))
        assert chances == pytest.approx([2 / 3, 1 / 3], abs=1e-6)

    def test_equally_good_styles_share(self):
        chances = SquareCBPolicy(floor=1e-9).probabilities(a_ranking([0.04, 0.04, 0.04]))
        assert chances == pytest.approx([1 / 3] * 3, abs=1e-6)

    def test_what_is_expected_to_do_harm_gets_the_floor(self):
        ranking = a_ranking([0.04, 0.03, 0.05])
        chances = dict(
            zip(ranking.styles, SquareCBPolicy(floor=0.02).probabilities(ranking), strict=True)
        )
        assert chances[Style("surface=s1")] == pytest.approx(0.02)

    def test_evidence_moves_it(self):
        ranking = a_ranking([0.04, 0.04])
        shown, clicks = np.array([2000.0, 2000.0]), np.array([40.0, 160.0])
        before, after = (
            SquareCBPolicy().probabilities(ranking, e) for e in (None, Evidence(shown, clicks))
        )
        assert after[1] > before[1] + 0.1

    @pytest.mark.parametrize(("name", "value"), [("floor", 0.0), ("gamma", 0.0)])
    def test_what_cannot_be_is_refused(self, name, value):
        with pytest.raises(InvalidInput, match=name):
            SquareCBPolicy(**{name: value})


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
        return ThompsonPolicy(floor=0.02)

    def test_without_a_difference_everything_is_about_as_likely(self):
        chances = ThompsonPolicy().probabilities(a_ranking([0.03] * 5))
        assert chances == pytest.approx([0.2] * 5, abs=1e-9)

    def test_the_chance_is_that_of_being_best(self):
        a, b = (0.03 * 500, 0.97 * 500), (0.05 * 500, 0.95 * 500)
        rng = np.random.default_rng(0)
        exact = (rng.beta(*b, 200_000) > rng.beta(*a, 200_000)).mean()
        policy = ThompsonPolicy(floor=0.01, prior_strength=500)
        chances = policy.probabilities(a_ranking([0.03, 0.05]))
        assert chances[0] == pytest.approx(0.01 + 0.98 * exact, abs=0.004)

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

    def test_spreads_say_how_much_is_explored(self):
        ranking = a_ranking([0.030, 0.031])
        sure, unsure = (
            self.make().probabilities(replace(ranking, spreads=(spread, spread)))
            for spread in (0.005, 0.5)
        )
        assert sure[0] > 0.97
        assert unsure[0] < 0.6

    def test_the_chance_is_that_of_the_normals_too(self):
        ranking = replace(a_ranking([0.05, 0.055]), spreads=(0.1, 0.2))
        mean = [np.log(r / (1 - r)) for r in ranking.scores]
        exact = norm.cdf((mean[0] - mean[1]) / np.hypot(0.1, 0.2))
        chances = ThompsonPolicy(floor=0.01, assurance=0.5).probabilities(ranking)
        assert chances[0] == pytest.approx(0.01 + 0.98 * exact, abs=1e-9)

    def test_what_is_not_sure_enough_to_beat_the_photo_has_the_floor(self):
        """The variant is better with a chance of norm.cdf(0.5) = .69."""
        odds = np.log(0.05 / 0.95) + np.array([0.0, 0.5 * np.hypot(0.1, 0.2)])
        ranking = replace(a_ranking(list(1 / (1 + np.exp(-odds)))), spreads=(0.1, 0.2))
        asked = {0.5: 0.69, 0.68: 0.69, 0.70: 0.02, 0.75: 0.02}
        for assurance, chance in asked.items():
            policy = ThompsonPolicy(floor=0.02, assurance=assurance)
            found = dict(zip(ranking.styles, policy.probabilities(ranking), strict=True))
            assert found[ORIGINAL] == pytest.approx(1 - found[Style("surface=s1")])
            expected = chance if chance == 0.02 else 0.02 + 0.96 * norm.cdf(0.5)
            assert found[Style("surface=s1")] == pytest.approx(expected, abs=1e-6)

    def test_a_photo_that_nobody_knows_is_held_on_to(self):
        """What is sure of itself is not sure to be better than what is not known."""
        ranking = replace(a_ranking([0.05, 0.055, 0.0551]), spreads=(0.01, 0.01, 0.5))
        assert ranking.styles[2].is_original
        assert ThompsonPolicy(floor=0.02, assurance=0.67).probabilities(ranking)[
            2
        ] == pytest.approx(0.96)

    @pytest.mark.parametrize("spreads", [None, (0.3,) * 4])
    def test_what_is_expected_to_do_harm_has_the_floor_and_the_photo_the_rest(self, spreads):
        rates = [0.05, 0.049, 0.048, 0.051]
        ranking = replace(a_ranking(rates), spreads=spreads)
        policy = ThompsonPolicy(floor=0.02, assurance=0.5)
        chances = dict(zip(ranking.styles, policy.probabilities(ranking), strict=True))
        better = Style("surface=s3")
        for style, chance in chances.items():
            if style not in (ORIGINAL, better):
                assert chance == 0.02
        assert chances[ORIGINAL] > chances[better] > 0.02
        worse = replace(a_ranking([0.05, 0.04, 0.03]), spreads=spreads and spreads[:3])
        hope = 2 * norm.cdf((logit(0.04) - logit(0.05)) / np.hypot(0.3, 0.3)) if spreads else 1.0
        assert self.make().probabilities(worse)[0] == pytest.approx(1 - 0.04 * hope)

    @given(
        st.lists(st.floats(0.01, 0.2), min_size=2, max_size=6),
        st.lists(st.floats(0.01, 0.6), min_size=6, max_size=6),
    )
    def test_the_floor_is_less_only_where_nothing_is_expected_to_beat_the_photo(self, rates, wide):
        """A quarter is left, however sure it is; and all of a slate have the same."""
        ranking = replace(a_ranking(rates), spreads=tuple(wide[: len(rates)]))
        chances = self.make().probabilities(ranking)
        photo = ranking.styles.index(ORIGINAL)
        others = np.delete(chances, photo)
        assert others.min() >= 0.005 - 1e-15
        if np.delete(ranking.scores, photo).max() >= ranking.scores[photo]:
            assert others.min() >= 0.02 - 1e-15
        else:
            assert others == pytest.approx(np.full(len(others), others[0]))

    def test_what_is_all_but_sure_to_lose_is_shown_a_quarter_as_often(self):
        ranking = replace(a_ranking([0.05, 0.02, 0.02]), spreads=(0.05,) * 3)
        assert self.make().probabilities(ranking).tolist() == pytest.approx([0.99, 0.005, 0.005])
        unsure = replace(a_ranking([0.05, 0.0499, 0.02]), spreads=(0.5,) * 3)
        assert self.make().probabilities(unsure)[2] == pytest.approx(0.02, rel=0.01)

    def test_evidence_can_turn_the_photo_s_advantage(self):
        ranking = replace(a_ranking([0.05, 0.04]), spreads=(0.2, 0.2))
        evidence = Evidence(np.array([4000.0, 4000.0]), np.array([160.0, 280.0]))
        before, after = (self.make().probabilities(ranking, e) for e in (None, evidence))
        hope = 2 * norm.cdf((logit(0.04) - logit(0.05)) / np.hypot(0.2, 0.2))
        assert before[1] == pytest.approx(0.02 * hope)
        assert after[1] > 0.9

    def test_evidence_on_a_normal_is_laplace_s_posterior(self):
        """Against the same integral on a grid, with the likelihood as it is."""
        ranking = replace(a_ranking([0.03, 0.035]), spreads=(0.25, 0.15))
        shown, clicks = np.array([900.0, 1500.0]), np.array([36.0, 45.0])
        grid = np.linspace(-6, -1, 20_001)
        densities = []
        for rate, spread, n, k in zip(ranking.scores, ranking.spreads, shown, clicks, strict=True):
            log = norm.logpdf(grid, np.log(rate / (1 - rate)), spread)
            log = log + k * grid - n * np.logaddexp(0, grid)
            density = np.exp(log - log.max())
            densities.append(density / density.sum())
        exact = float(densities[0] @ (np.cumsum(densities[1]) - densities[1] / 2))
        evidence = Evidence(shown[[0, 1]], clicks[[0, 1]])
        found = ThompsonPolicy(floor=1e-6, assurance=0.5).probabilities(ranking, evidence)
        photo = [s.is_original for s in ranking.styles].index(True)
        if photo == 1:
            assert found[0] == pytest.approx(exact, abs=0.01)
        else:
            assert found[1] == pytest.approx(1 - exact, abs=0.01)

    def test_a_floor_that_cannot_be_kept_is_refused(self):
        with pytest.raises(InvalidInput, match="lower the floor"):
            ThompsonPolicy(floor=0.3).probabilities(a_ranking([0.1] * 4))
        with pytest.raises(InvalidInput, match="floor"):
            ThompsonPolicy(floor=0.0)
        with pytest.raises(InvalidInput, match="prior_strength"):
            ThompsonPolicy(prior_strength=0.0)
        for assurance in (0.49, 1.0, float("nan")):
            with pytest.raises(InvalidInput, match="assurance"):
                ThompsonPolicy(assurance=assurance)


def test_evidence_with_more_clicks_than_impressions_is_refused():
    with pytest.raises(InvalidInput, match="clicks"):
        Evidence(np.array([1.0]), np.array([2.0]))
    with pytest.raises(InvalidInput, match="twice"):
        Evidence(np.ones(2), np.ones(3))
