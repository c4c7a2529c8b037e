"""Estimators against a synthetic shop whose truth is computed, not estimated."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy.estimators import (
    best_shrinkage,
    best_threshold,
    clipped_contributions,
    dm_contributions,
    dr_contributions,
    dros_contributions,
    ips,
    ips_contributions,
    replay,
    replay_contributions,
    sndr_contributions,
    snips,
    snips_contributions,
    switch_dr_contributions,
)
from persona_img.offpolicy.intervals import summarised
from persona_img.offpolicy.logged import Logged, Predicted, effective_size

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
        "dr": summarised(
            dr_contributions(logged, predicted(action)),
            logged.shopper,
            0.95,
        ),
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
    perfect = dr_contributions(logged, Predicted(logged.reward, np.full(len(action), 0.5)))
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


def test_a_reward_that_is_no_number_is_refused():
    with pytest.raises(InvalidInput, match="1 rewards are no finite number"):
        Logged(np.array(["a", "b"], dtype=object), np.array([1.0, np.nan]), np.ones(2), np.ones(2))
    with pytest.raises(InvalidInput, match="did not converge"):
        Predicted(np.array([np.inf]), np.array([0.1]))
    with pytest.raises(InvalidInput, match="one of each"):
        Predicted(np.zeros(2), np.zeros(3))


def predicted(action) -> Predicted:
    return Predicted(MODEL[action], np.full(len(action), TARGET @ MODEL))


def by_hand(name: str, rows: list[tuple[int, float]], logging) -> float:
    """An estimate from its textbook formula, impression by impression in plain Python."""
    n = len(rows)
    weights = [TARGET[a] / logging[a] for a, _ in rows]
    rewards = [r for _, r in rows]
    missed = [r - MODEL[a] for a, r in rows]
    model = sum(TARGET[a] * MODEL[a] for a in range(3))
    if name == "ips":
        return sum(w * r for w, r in zip(weights, rewards, strict=True)) / n
    if name == "clipped":
        return sum(min(w, 2.0) * r for w, r in zip(weights, rewards, strict=True)) / n
    if name == "snips":
        return sum(w * r for w, r in zip(weights, rewards, strict=True)) / sum(weights)
    if name == "dm":
        return model
    if name == "dr":
        return model + sum(w * d for w, d in zip(weights, missed, strict=True)) / n
    if name == "sndr":
        return model + sum(w * d for w, d in zip(weights, missed, strict=True)) / sum(weights)
    if name == "switch":
        return model + sum(w * d for w, d in zip(weights, missed, strict=True) if w <= 2.0) / n
    shrunk = [3.0 * w / (w * w + 3.0) for w in weights]
    return model + sum(w * d for w, d in zip(shrunk, missed, strict=True)) / n


ESTIMATORS = {
    "ips": lambda log, _: ips_contributions(log),
    "clipped": lambda log, _: clipped_contributions(log, 2.0),
    "snips": lambda log, _: snips_contributions(log),
    "dm": lambda _, model: dm_contributions(model),
    "dr": dr_contributions,
    "sndr": sndr_contributions,
    "switch": lambda log, model: switch_dr_contributions(log, model, 2.0),
    "dros": lambda log, model: dros_contributions(log, model, 3.0),
}


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_every_estimator_agrees_with_its_formula_on_every_log_there_could_be(name):
    outcomes = list(itertools.product(range(3), (0.0, 1.0)))
    for rows in itertools.product(outcomes, repeat=3):
        action = np.array([a for a, _ in rows])
        reward = np.array([r for _, r in rows])
        shopper = np.array(["a", "b", "c"], dtype=object)
        logged = Logged(shopper, reward, SKEWED[action], TARGET[action])
        found = ESTIMATORS[name](logged, predicted(action)).mean()
        assert found == pytest.approx(by_hand(name, list(rows), SKEWED), abs=1e-12)


@pytest.mark.parametrize("name", ["ips", "dr"])
def test_over_every_log_there_could_be_it_is_right_to_the_last_digits(name):
    mean = 0.0
    outcomes = list(itertools.product(range(3), (0.0, 1.0)))
    for rows in itertools.product(outcomes, repeat=2):
        action = np.array([a for a, _ in rows])
        reward = np.array([r for _, r in rows])
        chance = np.prod(SKEWED[action] * np.where(reward > 0, RATES[action], 1 - RATES[action]))
        shopper = np.array(["a", "b"], dtype=object)
        logged = Logged(shopper, reward, SKEWED[action], TARGET[action])
        mean += chance * ESTIMATORS[name](logged, predicted(action)).mean()
    assert mean == pytest.approx(TRUTH, abs=1e-12)


def test_replay_agrees_with_counting():
    uniform, action = a_log(7, UNIFORM)
    sure = np.where(action == 2, 1.0, 0.0)  # a target that always shows the third
    only = Logged(uniform.shopper, uniform.reward, uniform.propensity, sure)
    counted = float(np.mean(uniform.reward[action == 2]))
    assert replay_contributions(only, seed=5).mean() == pytest.approx(counted, abs=1e-12)
    assert counted != pytest.approx(uniform.reward.mean(), abs=0.01)


def test_at_their_ends_estimators_are_their_neighbours():
    logged, action = a_log(8)
    model = predicted(action)
    dr = dr_contributions(logged, model)
    np.testing.assert_allclose(switch_dr_contributions(logged, model, 1e9), dr, atol=1e-12)
    np.testing.assert_allclose(dros_contributions(logged, model, 1e15), dr, atol=1e-10)
    np.testing.assert_allclose(switch_dr_contributions(logged, model, 1e-9), model.expected)
    np.testing.assert_allclose(dros_contributions(logged, model, 1e-15), model.expected, atol=1e-9)
    blind = Predicted(np.zeros(len(action)), np.zeros(len(action)))
    np.testing.assert_allclose(sndr_contributions(logged, blind), snips_contributions(logged))
    np.testing.assert_allclose(clipped_contributions(logged, 1e9), ips_contributions(logged))


def test_where_weights_are_heavy_shrinking_is_nearer_to_the_truth_than_doubly_robust():
    rare = np.array([0.70, 0.28, 0.02])  # the target's favourite is hardly ever shown
    truth = float(TARGET @ RATES)
    good = RATES * 1.1
    errors: dict[str, list[float]] = {"dr": [], "dros": [], "switch": []}
    for seed in range(200):
        logged, action = a_log(seed, rare, shoppers=60, each=4)
        model = Predicted(good[action], np.full(len(action), TARGET @ good))
        dr = dr_contributions(logged, model)
        shrinkage, threshold = best_shrinkage(logged, model), best_threshold(logged, model)
        errors["dr"].append(dr.mean() - truth)
        errors["dros"].append(dros_contributions(logged, model, shrinkage).mean() - truth)
        errors["switch"].append(switch_dr_contributions(logged, model, threshold).mean() - truth)
    squared = {name: np.mean(np.square(found)) for name, found in errors.items()}
    assert squared["dros"] < 0.5 * squared["dr"]
    assert squared["switch"] < 0.8 * squared["dr"]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_parameter_that_means_nothing_is_refused(bad):
    logged, action = a_log(9)
    for made in (
        lambda: clipped_contributions(logged, bad),
        lambda: switch_dr_contributions(logged, predicted(action), bad),
        lambda: dros_contributions(logged, predicted(action), bad),
    ):
        with pytest.raises(InvalidInput, match="finite number above 0"):
            made()


def test_a_target_that_shows_nothing_logged_has_no_best_parameter():
    nobody = Logged(np.array(["a", "b"], dtype=object), np.ones(2), np.ones(2), np.zeros(2))
    model = Predicted(np.zeros(2), np.zeros(2))
    for found in (best_threshold, best_shrinkage):
        with pytest.raises(NotEnoughData, match="nothing that was logged"):
            found(nobody, model)
