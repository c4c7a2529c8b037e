"""What every Policy must do; each policy's tests inherit it and say how to make one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from persona_img.domain.decision import Candidate, Context, Ranking, Slate, ranking_of
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import EmptySlate, InvalidInput
from persona_img.ranking.base import Evidence, Policy


def a_ranking(rates: list[float], product: str = "p") -> Ranking:
    styles = [ORIGINAL, *(Style(f"surface=s{i}") for i in range(1, len(rates)))]
    return ranking_of(Context("g", product), styles, rates)


def check_chances(policy: Policy, rates: list[float], least: float) -> None:
    """What holds for every slate of up to eight; hypothesis finds the slates."""
    ranking = a_ranking(rates)
    chances = policy.probabilities(ranking)
    assert chances.shape == (len(rates),)
    assert chances.dtype == np.float64
    assert np.all(chances > 0)
    assert np.all(chances >= least - 1e-15)
    assert abs(math.fsum(chances) - 1.0) <= 1e-12
    slate = Slate(
        tuple(
            Candidate(style, None, float(chance))
            for style, chance in zip(ranking.styles, chances, strict=True)
        )
    )
    assert any(c.style.is_original for c in slate.candidates)


class PolicyContract:
    def make(self) -> Policy:
        raise AssertionError("say how to make one")

    def test_a_slate_without_the_original_is_refused(self):
        ranking = ranking_of(Context("g", "p"), [Style("surface=s1")], [0.1])
        with pytest.raises(EmptySlate):
            self.make().probabilities(ranking)

    def test_evidence_of_another_slate_is_refused(self):
        with pytest.raises(InvalidInput, match="one each"):
            self.make().probabilities(a_ranking([0.1, 0.2]), Evidence(np.ones(3), np.zeros(3)))

    def test_the_same_ranking_has_the_same_chances(self):
        ranking = a_ranking([0.03, 0.04, 0.05])
        one, two = (self.make().probabilities(ranking) for _ in range(2))
        assert np.array_equal(one, two)

    def test_a_better_style_has_no_lesser_chance(self):
        chances = self.make().probabilities(a_ranking([0.02, 0.20]))
        assert chances[0] >= chances[1]

    def test_it_chooses_as_often_as_it_says(self):
        ranking, policy = a_ranking([0.03, 0.04, 0.05, 0.02]), self.make()
        chances = policy.probabilities(ranking)
        rng = np.random.default_rng(2)
        choices = [policy.choose(ranking, rng) for _ in range(600)]
        for style, chance in zip(ranking.styles, chances, strict=True):
            drawn = [c for c in choices if c.style == style]
            assert all(c.propensity == chance for c in drawn)
            spread = math.sqrt(chance * (1 - chance) / len(choices))
            assert abs(len(drawn) / len(choices) - chance) < 4.5 * spread
