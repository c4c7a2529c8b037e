"""What every Policy must do; each policy's tests inherit it and say how to make one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from persona_img.domain.decision import Candidate, Context, Ranking, Slate, ranking_of
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import EmptySlate, InvalidInput
from persona_img.ranking.base import Evidence, Policy, Predicted
from persona_img.ranking.chances import Weighing


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

    @pytest.mark.parametrize("spread", [False, True])
    @pytest.mark.parametrize("told", [False, True])
    def test_many_slates_at_once_are_weighed_as_one_by_one(self, spread, told):
        policy = self.make()
        if not isinstance(policy, Weighing):
            pytest.skip("takes one at a time")
        rng = np.random.default_rng(8)
        slates = [a_ranking(rng.uniform(0.01, 0.2, 4).tolist()) for _ in range(300)]
        if spread:
            slates = [replace(s, spreads=tuple(rng.uniform(0.02, 0.5, 4))) for s in slates]
        shown = rng.integers(0, 900, (300, 4)).astype(np.float64)
        seen = [Evidence(row, (0.1 * row).round()) for row in shown] if told else [None] * 300
        wanted = [policy.probabilities(s, e) for s, e in zip(slates, seen, strict=True)]
        predicted = Predicted(
            np.array([s.scores for s in slates]),
            np.array([s.spreads for s in slates]) if spread else None,
        )
        photo = np.array([s.styles.index(ORIGINAL) for s in slates])
        counted = (shown, (0.1 * shown).round()) if told else ()
        found = policy.chances(predicted, photo, *counted)
        assert found == pytest.approx(np.array(wanted), abs=1e-12)
        assert np.abs(found.sum(axis=1) - 1.0).max() <= 1e-12

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
