from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from contracts.ranker import FEATURES, PRODUCTS, SEGMENTS, STYLES
from persona_img.domain.feedback_table import as_feedback
from persona_img.domain.style import ORIGINAL
from persona_img.ranking.bayes import SPREADS, BayesRanker
from persona_img.ranking.memory import HALF_LIVES, half_life_of


def weeks(liked, *, rows=6000, seed=0, appeal=None):
    """Impressions of one week for each surface that is liked then; of none, of the photo alone.

    ``appeal`` says how many times as often products are clicked.
    """
    appeal = appeal or dict.fromkeys(PRODUCTS, 1.0)
    rng = np.random.default_rng(seed)
    parts = []
    for number, surface in enumerate(liked):
        some = STYLES if surface else [ORIGINAL]
        style = [some[i] for i in rng.integers(len(some), size=rows)]
        product = rng.choice(list(appeal), rows)
        rate = [0.14 if s.values.get("surface") == surface else 0.05 for s in style]
        rate *= np.array([appeal[name] for name in product])
        parts.append(
            pd.DataFrame(
                {
                    "decision_id": [f"{number}-{n}" for n in range(rows)],
                    "test": "hero",
                    "shopper": [f"s{n % 700}" for n in range(rows)],
                    "product": product,
                    "segment": rng.choice(SEGMENTS, rows),
                    "arm": "personalized",
                    "style_key": [s.key for s in style],
                    "digest": None,
                    "propensity": 1 / len(STYLES),
                    "policy_version": "v1",
                    "position": 1,
                    "shown_at": pd.Timestamp("2026-01-05", tz="UTC")
                    + pd.to_timedelta(7 * number + rng.random(rows) * 7, unit="D"),
                    "clicked": (rng.random(rows) < rate).astype("int64"),
                    "converted": 0,
                }
            )
        )
    return as_feedback(pd.concat(parts, ignore_index=True))


def test_quiet_weeks_are_all_remembered():
    assert half_life_of(weeks(["wood"] * 5), FEATURES, SPREADS) == math.inf


def test_a_flip_of_tastes_shortens_the_memory_and_is_not_forgotten_at_once():
    flipped = half_life_of(weeks(["wood", "wood", "stone", "stone"]), FEATURES, SPREADS)
    assert flipped <= 14
    assert half_life_of(weeks(["wood", "wood", *["stone"] * 3]), FEATURES, SPREADS) <= 14


def test_quiet_weeks_before_a_change_say_nothing_against_it():
    """Over all of them together a memory of a week loses to the longest one."""
    rows = weeks([*["wood"] * 5, "stone", "stone"], rows=2200)
    assert half_life_of(rows, FEATURES, SPREADS) <= 14


def test_weeks_of_the_photo_alone_say_nothing_of_tastes():
    """They tell how often products are clicked, and that does not change."""
    liked, many = ["wood", "wood", "stone", "stone", "", "", ""], np.geomspace(0.2, 3.0, 100)
    rows = weeks(liked, rows=4000, appeal={f"p{n}": times for n, times in enumerate(many)})
    assert half_life_of(rows, FEATURES, SPREADS) <= 14


def test_the_order_of_rows_plays_no_part():
    rows = weeks(["wood", "stone", "stone"], rows=1500)
    shuffled = rows.sample(frac=1.0, random_state=1)
    assert half_life_of(rows, FEATURES, SPREADS) == half_life_of(shuffled, FEATURES, SPREADS)


@pytest.mark.parametrize("liked", [["wood"], ["wood", "stone"]])
def test_less_than_three_weeks_have_nothing_to_forget(liked):
    rows = weeks(liked, rows=500)
    rows = rows[rows["shown_at"] < rows["shown_at"].min() + pd.Timedelta(days=12)]
    assert half_life_of(rows, FEATURES, SPREADS) == math.inf


def test_a_week_without_a_click_says_nothing():
    rows = weeks(["wood"] * 3, rows=500)
    assert half_life_of(rows.assign(clicked=0), FEATURES, SPREADS) == math.inf


def test_of_very_many_impressions_some_shoppers_are_enough(monkeypatch):
    monkeypatch.setattr("persona_img.ranking.memory._ENOUGH", 16000)
    rows = weeks(["wood", "wood", "stone", "stone"])
    assert half_life_of(rows, FEATURES, SPREADS) <= 14


def test_a_ranker_says_what_it_remembers_and_keeps_it(tmp_path):
    ranker = BayesRanker().fit(weeks(["wood", "wood", "stone", "stone"], rows=3000), FEATURES)
    assert ranker.memory in HALF_LIVES
    ranker.save(tmp_path)
    assert BayesRanker.load(tmp_path).memory == ranker.memory
    assert BayesRanker(half_life=3.0).fit(weeks(["wood"], rows=500), FEATURES).memory == 3.0
