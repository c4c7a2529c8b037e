"""What a ranker would have earned, against a shop whose truth is computed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from contracts.ranker import PRODUCTS, SEGMENTS, truth
from persona_img.domain.decision import Context, ranking_of
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.ranking.policy import EpsilonGreedyPolicy, ThompsonPolicy, UniformPolicy
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.value import value_of

from .test_promotion import SHOWN, TABLE, log


class Knowing(PopularityRanker):
    """Knows the truth."""

    name = "knowing"

    def rank(self, context, styles):
        return ranking_of(context, styles, [truth(context.segment, s) for s in styles])


def true_value(ranker, policy) -> float:
    """Of the log's mixture of contexts, computed style by style."""
    rates = []
    for number in range(1, 1500, 2):  # the shoppers outside control
        segment = SEGMENTS[number % 3 % 2]
        for product in PRODUCTS:
            ranking = ranker.rank(Context(segment, product), SHOWN)
            chances = policy.probabilities(ranking)
            mine = zip(ranking.styles, chances, strict=True)
            rates.append(sum(2 * truth(segment, s) * p for s, p in mine))
    return float(np.mean(rates))


@pytest.mark.slow
@pytest.mark.parametrize("policy", [EpsilonGreedyPolicy(0.1), ThompsonPolicy(), UniformPolicy()])
def test_the_estimates_cover_the_truth(policy):
    made = value_of(log(rows=30_000), Knowing(), policy, tables=[TABLE], seed=1)
    expected = true_value(Knowing(), policy)
    for estimate in (made.ips, made.snips, made.replay):
        assert abs(estimate.value - expected) < 4 * estimate.standard_error
    assert made.snips.standard_error <= made.ips.standard_error
    assert made.mean_weight == pytest.approx(1.0, abs=0.1)
    assert made.coverage == 1.0
    assert made.warnings == ()
    assert (made.ranker, made.policy) == ("knowing", policy.name)


def test_who_shows_what_was_shown_earns_what_was_seen():
    made = value_of(log(), PopularityRanker(), UniformPolicy(), tables=[TABLE], seed=1)
    seen = log().query("arm != 'control'")["clicked"].mean()
    assert made.seen.value == pytest.approx(seen)
    assert made.ips.value == pytest.approx(seen)
    assert made.snips.value == pytest.approx(seen)
    assert made.effective == pytest.approx(1.0)


def test_a_better_ranker_earns_more_and_control_is_not_judged():
    best, worst = (
        value_of(log(), ranker, EpsilonGreedyPolicy(0.1), tables=[TABLE], seed=1)
        for ranker in (Knowing(), PopularityRanker())
    )
    assert best.snips.low > worst.seen.value
    assert best.seen.impressions == int((log()["arm"] != "control").sum())
    with pytest.raises(NotEnoughData, match="outside control"):
        value_of(log().query("arm == 'control'"), Knowing(), UniformPolicy(), seed=1)


def test_order_and_types_do_not_matter():
    plain = value_of(log(), Knowing(), ThompsonPolicy(), tables=[TABLE], seed=1)
    kinds = log().sample(frac=1, random_state=2).convert_dtypes(dtype_backend="pyarrow")
    assert value_of(kinds, Knowing(), ThompsonPolicy(), tables=[TABLE], seed=1) == plain


def test_replay_says_why_it_is_not_there():
    chosen = log()["arm"] != "control"
    odd = log().assign(propensity=np.where(chosen & (log().index % 2 == 0), 0.2, 0.3))
    made = value_of(odd, Knowing(), UniformPolicy(), tables=[TABLE], seed=1)
    assert made.replay is None
    assert "propensities differ" in made.replay_reason
    assert "propensities differ" in made.table()
    assert "SNIPS" in made.table()
    assert any("propensities look wrong" in w for w in made.warnings)
    assert "warning: weights average" in made.table()
    assert json.loads(json.dumps(made.to_dict()))["replay"] is None


def test_slates_nobody_knows_are_left_out_and_said():
    missing = log()[(log()["product"] == "p0") | (log()["style_key"] != SHOWN[1].key)]
    made = value_of(missing, Knowing(), UniformPolicy(), seed=1)
    assert made.coverage < 0.5
    assert any("known whole" in w for w in made.warnings)
    known = [replace(TABLE, policy_version="other"), TABLE]
    assert value_of(missing, Knowing(), UniformPolicy(), tables=known, seed=1).coverage == 1.0


def test_what_is_no_feedback_is_refused():
    with pytest.raises(InvalidInput, match="lacks propensity"):
        value_of(log().drop(columns="propensity"), Knowing(), UniformPolicy(), seed=1)
    with pytest.raises(InvalidInput, match="confidence"):
        value_of(log(), Knowing(), UniformPolicy(), tables=[TABLE], seed=1, confidence=95)
