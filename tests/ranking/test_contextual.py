"""Learning a policy from anybody's log: what it finds, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy.log import BanditLog, as_log
from persona_img.ranking.contextual import learn

ROLES = {"action": "style", "reward": "click"}


def log(rows: int, rates: np.ndarray, seed: int = 1, context: bool = True) -> BanditLog:
    """Clicks at rates (devices, actions), shown uniformly."""
    rng = np.random.default_rng(seed)
    device = rng.integers(len(rates), size=rows)
    shown = rng.integers(rates.shape[1], size=rows)
    table = pd.DataFrame(
        {
            "device": np.array(["desk", "phone", "tablet"])[device],
            "style": np.array(["felt", "linen", "oak"])[shown],
            "click": (rng.random(rows) < rates[device, shown]).astype(int),
        }
    )
    return as_log(table, ROLES, ("device",) if context else ())


def test_each_context_gets_what_works_there_and_everything_keeps_a_chance():
    seen = log(30_000, np.array([[0.05, 0.05, 0.08], [0.08, 0.05, 0.05]]))
    policy = learn(seen).policy
    chances = policy.chances(seen)
    assert chances[0].argmax() == 2
    assert chances[1].argmax() == 0
    assert chances.max(axis=1).min() > 0.8
    assert chances.min() == pytest.approx(0.02)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)


def test_of_what_is_all_alike_nothing_is_made_much_of():
    chances = learn(log(3000, np.full((2, 3), 0.1))).policy.chances(log(3000, np.full((2, 3), 0.1)))
    assert chances.max() < 0.85
    few = log(60, np.full((2, 3), 0.3))
    assert learn(few).policy.chances(few).max() < 0.6


def test_a_context_that_nobody_met_gets_what_works_on_the_whole():
    seen = log(20_000, np.array([[0.05, 0.05, 0.09], [0.05, 0.05, 0.09]]))
    policy = learn(seen).policy
    row = {"device": "tablet", "style": "felt", "click": 0, "all": "felt|linen|oak"}
    other = as_log(pd.DataFrame([row]), {**ROLES, "slate": "all"}, ("device",))
    assert policy.chances(other)[0].argmax() == 2


def test_without_context_there_is_one_answer():
    seen = log(20_000, np.array([[0.05, 0.05, 0.09]]), context=False)
    policy = learn(seen, floor=0.1).policy
    assert policy.context == ()
    assert len(policy.table) == 3
    assert policy.chances(seen).min() == pytest.approx(0.1)


def test_the_same_log_says_the_same_in_any_order():
    seen = log(3000, np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]))
    rows = np.arange(len(seen))[::-1]
    table = pd.DataFrame(
        {
            "device": seen.context["device"].to_numpy()[seen.place],
            "style": np.array(seen.actions)[seen.action],
            "click": seen.reward,
        }
    ).iloc[rows]
    turned = learn(as_log(table, ROLES, ("device",))).policy.table
    pd.testing.assert_frame_equal(learn(seen).policy.table, turned)


def test_what_cannot_be_learned_from_is_refused():
    rates = np.array([[0.1, 0.2, 0.3]])
    with pytest.raises(NotEnoughData, match="0 of 50 rewards"):
        learn(log(50, 0 * rates))
    with pytest.raises(InvalidInput, match=r"floor 0.5: above 0 and at most 1 / 3"):
        learn(log(50, rates), floor=0.5)
    prices = pd.DataFrame({"style": ["oak", "felt"], "click": [3.5, 0.0]})
    with pytest.raises(InvalidInput, match=r"rewards from 0 to 3.5"):
        learn(as_log(prices, ROLES))
