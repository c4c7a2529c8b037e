"""Estimators against a synthetic shop whose truth is computed, not estimated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.domain.decision import Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.ranking.evaluation import (
    Logged,
    doubly_robust,
    dr_contributions,
    effective_size,
    ips,
    logged_under,
    replay,
    snips,
    summarised,
)

RATES = np.array([0.05, 0.10, 0.20])
TARGET = np.array([0.1, 0.2, 0.7])
SKEWED = np.array([0.6, 0.3, 0.1])
UNIFORM = np.full(3, 1 / 3)
TRUTH = float(TARGET @ RATES)
MODEL = np.array([0.08, 0.08, 0.15])
"""A reward model that is wrong everywhere."""


def a_log(seed: int, logging=SKEWED, shoppers: int = 300, each: int = 6):
    """Eager and idle shoppers, so that impressions of one shopper are alike."""
    rng = np.random.default_rng(seed)
    n = shoppers * each
    shopper = np.repeat([f"s{i}" for i in range(shoppers)], each).astype(object)
    eager = np.repeat(rng.choice([0.2, 1.8], shoppers), each)
    action = rng.choice(3, n, p=logging)
    reward = (rng.random(n) < eager * RATES[action]).astype(float)
    return Logged(shopper, reward, logging[action], TARGET[action]), action


def estimated(seed: int) -> dict[str, object]:
    logged, action = a_log(seed)
    uniform, _ = a_log(seed + 10_000, UNIFORM)
    return {
        "ips": ips(logged),
        "snips": snips(logged),
        "dr": doubly_robust(logged, MODEL[action], np.full(len(action), TARGET @ MODEL)),
        "replay": replay(uniform, seed=seed),
    }


@pytest.fixture(scope="module")
def many():
    return [estimated(seed) for seed in range(400)]


@pytest.mark.parametrize("name", ["ips", "snips", "dr", "replay"])
def test_it_is_right_on_average_and_its_interval_covers_the_truth_as_often_as_it_says(many, name):
    values = np.array([one[name].value for one in many])
    assert abs(values.mean() - TRUTH) < 4 * values.std() / np.sqrt(len(values))
    covered = np.mean([one[name].low <= TRUTH <= one[name].high for one in many])
    assert 0.92 <= covered <= 0.98
    errors = np.array([one[name].standard_error for one in many])
    assert errors.mean() == pytest.approx(values.std(), rel=0.12)


def test_alike_impressions_widen_the_interval():
    logged, _ = a_log(1, UNIFORM, shoppers=100, each=60)
    alone = np.array([f"row{i}" for i in range(len(logged.reward))], dtype=object)
    contributions = logged.weight * logged.reward
    clustered = summarised(contributions, logged.shopper, 0.95).standard_error
    assert clustered > 1.5 * summarised(contributions, alone, 0.95).standard_error


def test_a_perfect_model_leaves_only_the_clicks_own_noise():
    logged, action = a_log(3)
    perfect = dr_contributions(logged, logged.reward, np.full(len(action), 0.5))
    assert perfect == pytest.approx(0.5)


def test_the_policy_that_logged_is_worth_what_was_seen():
    logged, _ = a_log(4)
    itself = Logged(logged.shopper, logged.reward, logged.propensity, logged.propensity)
    assert ips(itself).value == pytest.approx(logged.reward.mean())
    assert snips(itself).value == pytest.approx(logged.reward.mean())
    assert effective_size(itself.weight) == pytest.approx(len(logged.reward))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_log_does_not_move_a_digit(seed):
    logged, action = a_log(5)
    uniform, _ = a_log(6, UNIFORM)
    turn = np.random.default_rng(seed).permutation(len(action))

    def turned(log):
        columns = (log.shopper, log.reward, log.propensity, log.target)
        return Logged(*(column[turn] for column in columns))

    assert ips(turned(logged)) == ips(logged)
    assert snips(turned(logged)) == snips(logged)
    assert replay(turned(uniform), seed=3) == replay(uniform, seed=3)
    assert effective_size(turned(logged).weight) == effective_size(logged.weight)


def test_effective_size_of_one_heavy_row_is_one():
    assert effective_size(np.array([5.0, 0.0, 0.0])) == 1.0
    assert effective_size(np.zeros(3)) == 0.0


def test_replay_refuses_a_log_that_was_not_uniform():
    with pytest.raises(InvalidInput, match="snips"):
        replay(a_log(1)[0], seed=1)


def test_what_is_undefined_is_an_error():
    nobody = Logged(np.array(["a", "b"], dtype=object), np.ones(2), np.ones(2), np.zeros(2))
    with pytest.raises(NotEnoughData, match="nothing that was logged"):
        snips(nobody)
    with pytest.raises(NotEnoughData, match="no draw"):
        replay(nobody, seed=1)
    with pytest.raises(NotEnoughData, match="1 shopper"):
        summarised(np.ones(2), np.array(["a", "a"], dtype=object), 0.95)
    empty = np.array([])
    with pytest.raises(NotEnoughData, match="no logged"):
        Logged(empty.astype(object), empty, empty, empty)


@pytest.mark.parametrize(
    ("propensity", "target"), [([0.0], [0.5]), ([1.5], [0.5]), ([np.nan], [0.5]), ([0.5], [1.2])]
)
def test_impossible_probabilities_are_refused(propensity, target):
    with pytest.raises(InvalidInput):
        Logged(np.array(["a"], dtype=object), np.ones(1), np.array(propensity), np.array(target))


def test_feedback_is_seen_with_the_table_s_chances():
    sun = Style("light=sun")
    slate = Slate((Candidate(ORIGINAL, None, 0.3), Candidate(sun, "d", 0.7)))
    table = DecisionTable("v2", {("g", "p"): slate}, {}, "g")
    feedback = pd.DataFrame(
        {
            "shopper": ["a", "b", "c", "d"],
            "segment": "g",
            "product": ["p", "p", "p", "bare"],
            "style_key": ["light=sun", "original", "light=moon", "original"],
            "propensity": 0.5,
            "clicked": [1, 0, 1, 0],
        }
    )
    logged = logged_under(feedback, table)
    assert logged.target.tolist() == [0.7, 0.3, 0.0, 1.0]
    assert logged.reward.tolist() == [1.0, 0.0, 1.0, 0.0]
    kinds = dict.fromkeys(feedback.columns, "category") | {"clicked": "boolean"}
    assert ips(logged_under(feedback.astype(kinds), table)) == ips(logged)
    numbers = logged_under(feedback.assign(shopper=[1, 2, 3, 4]), table)
    assert list(numbers.shopper) == ["1", "2", "3", "4"]
    with pytest.raises(InvalidInput, match="lacks propensity"):
        logged_under(feedback.drop(columns="propensity"), table)
