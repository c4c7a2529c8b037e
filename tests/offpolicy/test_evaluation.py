"""Evaluation of anybody's log: against logs whose truth is known, and what it refuses to say."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from persona_img.errors import InvalidInput
from persona_img.offpolicy.evaluation import evaluate
from persona_img.offpolicy.log import BanditLog, as_log
from persona_img.offpolicy.policies import uniform_chances
from persona_img.offpolicy.reward_model import predicted

ROLES = {"shopper": "user", "action": "style", "reward": "click", "propensity": "p"}
RATES = np.array([[0.10, 0.20, 0.30], [0.30, 0.20, 0.10]])  # by device, of felt, linen, oak
CHANCES = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])  # with which they were shown


def log(users: int, seed: int = 1, *, visits: int = 3, chances: np.ndarray = CHANCES) -> BanditLog:
    """Users who come a few times, half of them by phone."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), visits)
    device = user % 2
    shown = np.array([rng.choice(3, p=chances[d]) for d in device])
    table = pd.DataFrame(
        {
            "user": user,
            "device": np.array(["desk", "phone"])[device],
            "style": np.array(["felt", "linen", "oak"])[shown],
            "click": (rng.random(len(user)) < RATES[device, shown]).astype(int),
            "p": chances[device, shown],
        }
    )
    return as_log(table, ROLES, ("device",))


def test_the_chosen_estimate_and_its_gain_hold_the_truth():
    best = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    held = {"value": 0, "gain": 0}
    truth, logged = 0.30, (RATES * CHANCES).sum(axis=1).mean()
    for seed in range(20):
        said = evaluate(log(400, seed), best, target="best", seed=seed)
        assert said.chosen == "DR"
        assert said.gain is not None
        value = said.estimates["DR"]
        held["value"] += value.low <= truth <= value.high
        held["gain"] += said.gain.low <= truth - logged <= said.gain.high
    assert min(held.values()) >= 17  # 19 of 95 %


def test_every_estimator_is_there_or_says_why_it_is_not():
    seen = log(200)
    said = evaluate(seen, uniform_chances(seen), target="uniform", seed=1)
    names = {"IPS", "clipped", "SNIPS", "DM", "DR", "SNDR", "switch-DR", "DRos"}
    assert set(said.estimates) == names
    assert "uniform log" in said.undefined["replay"]
    even = np.full((2, 3), 1 / 3)
    told = evaluate(log(200, chances=even), CHANCES, target="other", seed=1)
    assert set(told.estimates) == names | {"replay"}
    assert not told.undefined
    assert "* DR" in told.table()


def test_where_weights_are_heavy_the_self_normalised_is_read_and_it_is_said_why():
    rare = np.array([[0.02, 0.49, 0.49], [0.49, 0.49, 0.02]])
    seen = log(2000, chances=rare)
    target = np.array([[0.9, 0.05, 0.05], [0.05, 0.05, 0.9]])
    said = evaluate(seen, target, target="rare", seed=1)
    assert said.chosen == "SNDR"
    assert "weights reach 45" in said.reason


@pytest.mark.parametrize(
    ("users", "chances", "words"),
    [
        (1000, np.array([[0.002, 0.499, 0.499], [0.499, 0.499, 0.002]]), "worth .* shoppers"),
        (12, CHANCES, "12 shoppers; 20 are the fewest"),
    ],
)
def test_where_the_overlap_is_thin_nothing_is_estimated(users, chances, words):
    target = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    said = evaluate(log(users, chances=chances), target, target="rare", seed=1)
    assert said.estimates == {}
    assert said.gain is None
    assert any(re.search(words, reason) for reason in said.refused)
    assert "refused: " in said.table()
    json.dumps(said.to_dict(), allow_nan=False)


def test_what_is_refused_is_estimated_for_study_alone():
    seen = log(12)
    said = evaluate(seen, uniform_chances(seen), target="uniform", seed=1, anyway=True)
    assert said.refused
    assert {"IPS", "DR"} <= set(said.estimates)
    assert said.chosen == ""
    assert said.gain is None
    assert "not to be believed" in said.table()


def test_what_was_never_shown_is_not_estimated():
    seen = log(300, chances=np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]]))
    table = pd.DataFrame(
        {
            "user": seen.shopper,
            "style": np.array(seen.actions)[seen.action],
            "could": "felt|linen|oak",
            "click": seen.reward,
            "p": seen.propensity,
        }
    )
    never = as_log(table, {**ROLES, "slate": "could"})
    said = evaluate(never, np.array([[0.5, 0.3, 0.2]]), target="new", seed=1)
    assert any("20.0% of the target's choices" in reason for reason in said.refused)
    assert said.estimates == {}


def test_three_rows_never_have_a_plausible_answer():
    table = pd.DataFrame({"user": [1, 2, 3], "style": "oak", "click": [1, 0, 0], "p": 1.0})
    said = evaluate(as_log(table, ROLES), np.ones((1, 1)), target="oak", seed=1)
    assert said.refused
    assert not said.estimates


def test_rewards_that_are_all_alike_have_no_interval():
    seen = log(100)
    none = as_log(
        pd.DataFrame(
            {
                "user": seen.shopper,
                "style": np.array(seen.actions)[seen.action],
                "click": 0,
                "p": seen.propensity,
            }
        ),
        ROLES,
    )
    said = evaluate(none, uniform_chances(none), target="uniform", seed=1)
    assert any("rests on 0.0 rewards" in reason for reason in said.refused)


def test_wrong_propensities_are_noticed():
    seen = log(2000)
    wrong = as_log(
        pd.DataFrame(
            {
                "user": seen.shopper,
                "style": np.array(seen.actions)[seen.action],
                "click": seen.reward,
                "p": np.full(len(seen), 0.5),
            }
        ),
        ROLES,
    )
    said = evaluate(wrong, uniform_chances(wrong), target="uniform", seed=1)
    assert any("propensities are wrong" in reason for reason in said.refused)
    assert not said.estimates
    right = evaluate(seen, uniform_chances(seen), target="uniform", seed=1)
    assert not right.refused
    assert not right.warnings


def test_rare_choices_that_never_came_up_are_not_passed_over():
    # By desk oak is shown once in a million: 300 rows never show it, and no weight is heavy.
    seen = log(100, seed=3, chances=np.array([[0.499, 0.501 - 1e-6, 1e-6], [0.3, 0.3, 0.4]]))
    rows = seen.context["device"].to_numpy()[seen.place]
    assert not ((rows == "desk") & (seen.action == 2)).any()
    said = evaluate(seen, np.full((2, 3), 1 / 3), target="uniform", seed=1)
    assert any("never came up" in reason for reason in said.refused)


def test_without_shoppers_it_warns_and_without_propensities_it_refuses():
    seen = log(100)
    table = pd.DataFrame(
        {"style": np.array(seen.actions)[seen.action], "click": seen.reward, "p": seen.propensity}
    )
    roles = {k: v for k, v in ROLES.items() if k != "shopper"}
    nameless = as_log(table, roles)
    said = evaluate(nameless, uniform_chances(nameless), target="uniform", seed=1)
    assert any("who the shoppers are" in warning for warning in said.warnings)
    blind = as_log(table, {"action": "style", "reward": "click"})
    with pytest.raises(InvalidInput, match="no propensity"):
        evaluate(blind, uniform_chances(blind), target="uniform", seed=1)


def test_the_same_log_and_seed_say_the_same_in_any_order():
    seen = log(150)
    table = pd.DataFrame(
        {
            "user": seen.shopper,
            "device": seen.context["device"].to_numpy()[seen.place],
            "style": np.array(seen.actions)[seen.action],
            "click": seen.reward,
            "p": seen.propensity,
        }
    )
    turned = as_log(table[::-1], ROLES, ("device",))
    one = evaluate(seen, CHANCES[:, ::-1], target="t", seed=3)
    two = evaluate(turned, CHANCES[:, ::-1], target="t", seed=3)
    assert one.estimates["IPS"] == two.estimates["IPS"]
    assert one.estimates["DR"].value == pytest.approx(two.estimates["DR"].value, abs=1e-6)


def test_the_model_of_a_shopper_has_not_seen_them():
    # One user has all the clicks: a model that saw them would expect some of them.
    user = np.repeat(np.arange(90), 4)
    table = pd.DataFrame({"user": user, "style": "oak", "click": (user == 7).astype(int), "p": 1.0})
    seen = as_log(table, ROLES)
    shown = predicted(seen, np.ones((1, 1)), seed=1).shown
    assert (shown[user == 7] == 0).all()
    assert shown[user != 7].max() > 0


def test_the_model_knows_what_depends_on_the_context():
    said = predicted(log(3000), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), seed=1)
    device = log(3000).place
    assert said.expected[device == 0].mean() == pytest.approx(0.30, abs=0.04)
    assert said.expected[device == 1].mean() == pytest.approx(0.10, abs=0.04)
