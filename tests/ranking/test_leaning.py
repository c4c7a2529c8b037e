from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from contracts.ranker import FEATURES, PRODUCTS, SEGMENTS, STYLES
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.domain.leaning import Leaning
from persona_img.domain.style import ORIGINAL
from persona_img.errors import InvalidInput
from persona_img.ranking import leaning as module
from persona_img.ranking.leaning import LEAST_CLICKS, fit_leaning
from persona_img.ranking.policy import ThompsonPolicy
from persona_img.ranking.popularity import PopularityRanker

START = datetime(2026, 3, 2, tzinfo=UTC)
LIKED = sorted({pair for style in STYLES for pair in style.values.items()})[0]
OTHER = sorted({pair for style in STYLES for pair in style.values.items()})[1]
TRAITS = ["views", "price_level", "factor_00", "factor_01"]


def a_log(rows: int, turn: float, seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Impressions in which one value gains ``turn`` log-odds with each deviation of the views."""
    rng = np.random.default_rng(seed)
    shown = [ORIGINAL, *STYLES]
    style = rng.integers(len(shown), size=rows)
    who = rng.integers(rows // 12, size=rows)
    own = rng.normal(size=(rows // 12, len(TRAITS)))[who]
    likes = np.array([LIKED in s.values.items() for s in shown])[style]
    odds = -1.5 + 0.4 * own[:, 1] + turn * own[:, 0] * likes
    log = pd.DataFrame(
        {
            "decision_id": [f"d{n}" for n in range(rows)],
            "test": "hero",
            "shopper": [f"s{n}" for n in who],
            "product": np.array(PRODUCTS, dtype=object)[rng.integers(len(PRODUCTS), size=rows)],
            "segment": np.array(SEGMENTS, dtype=object)[who % len(SEGMENTS)],
            "arm": "personalized",
            "style_key": [shown[s].key for s in style],
            "digest": None,
            "propensity": 1.0 / len(shown),
            "position": rng.integers(1, 5, size=rows),
            "policy_version": "v1",
            "shown_at": [START + timedelta(minutes=n) for n in range(rows)],
            "clicked": (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int),
            "converted": 0,
        }
    )
    # Segments differ in level: a trait counts from the segment's own mean.
    level = (who % len(SEGMENTS))[:, None] * np.array([5.0, 0.0, 0.0, 0.0])
    return log[list(FEEDBACK_COLUMNS)], pd.DataFrame(own + level, columns=TRAITS)


def ranker(log: pd.DataFrame) -> PopularityRanker:
    return PopularityRanker().fit(log, FEATURES)


@pytest.fixture(scope="module")
def leant():
    # Most traits of most shops say little, so a few thousand impressions are not believed.
    log, traits = a_log(60_000, 0.5)
    return fit_leaning(log, traits, ranker(log))


def test_what_a_trait_adds_to_a_value_is_found(leant):
    assert leant.reason == ""
    assert leant.gain > 2 * leant.error > 0
    away = np.zeros(len(TRAITS))
    away[0] = 1.0
    leaning: Leaning = leant.leaning
    segment = SEGMENTS[1]
    known = np.array(leaning.centre[segment]) + away * np.array(leaning.spread)
    odds = dict(zip([*leaning.values, "photo"], leaning.odds(segment, known), strict=True))
    # Every style but the photo has one of two lights: what tells is how far these are apart.
    apart = odds.pop(LIKED) - odds.pop(OTHER)
    assert apart == pytest.approx(0.5, abs=0.2)
    assert max(map(abs, odds.values())) < 0.12


def test_later_clicks_are_told_piece_by_piece_each_from_what_came_before(monkeypatch):
    log, traits = a_log(20_000, 0.8)
    known = ranker(log)
    whole = fit_leaning(log, traits, known)
    pieces, ends = [], [*(int(len(log) * share) for share in module.CUTS), len(log)]
    for start, end in itertools.pairwise(ends):
        monkeypatch.setattr(module, "CUTS", (start / end,))
        one = fit_leaning(log.head(end), traits.head(end), known)
        pieces.append(one.gain * (end - start))
    assert len(pieces) > 1
    assert whole.gain == pytest.approx(sum(pieces) / (len(log) - ends[0]), rel=0.05)
    assert whole.error < 0.8 * one.error


def test_means_are_the_segments_own(leant):
    views = [leant.leaning.centre[name][0] for name in SEGMENTS]
    assert np.diff(views) == pytest.approx([5.0] * (len(SEGMENTS) - 1), abs=0.4)


def test_traits_that_tell_nothing_are_not_kept():
    """Where none matters one in six is kept by chance, and what is kept moves little."""
    kept = []
    for seed in range(10):
        log, traits = a_log(4000, 0.0, seed)
        found = fit_leaning(log, traits, ranker(log))
        if found.leaning is not None:
            kept.append(np.abs(found.leaning.weights).max())
        else:
            assert "not told better" in found.reason
    assert len(kept) <= 5
    assert max(kept, default=0.0) < 0.12


def test_the_order_of_the_rows_moves_nothing():
    log, traits = a_log(4000, 0.6)
    order = np.random.default_rng(1).permutation(len(log))
    one = fit_leaning(log, traits, ranker(log))
    other = fit_leaning(
        log.iloc[order].reset_index(drop=True),
        traits.iloc[order].reset_index(drop=True),
        ranker(log),
    )
    assert one == other


def test_unknown_traits_say_nothing():
    log, traits = a_log(9000, 0.8)
    traits = traits.assign(views=traits["views"].where(np.arange(9000) % 3 > 0))
    found = fit_leaning(log, traits, ranker(log)).leaning
    unknown = np.full(len(TRAITS), np.nan)
    np.testing.assert_array_equal(found.odds(SEGMENTS[0], unknown), 0.0)


def test_few_clicks_are_said_to_be_few():
    log, traits = a_log(300, 0.5)
    found = fit_leaning(log, traits, ranker(log))
    assert found.leaning is None
    assert f"{LEAST_CLICKS} are needed" in found.reason


def test_traits_of_other_impressions_are_refused():
    log, traits = a_log(300, 0.5)
    with pytest.raises(InvalidInput, match="299 rows of traits, 300 impressions"):
        fit_leaning(log, traits.iloc[:-1], ranker(log))


def test_the_surer_a_ranker_the_sharper_its_chances():
    log, _ = a_log(300, 0.5)
    known = ranker(log)
    from persona_img.domain.decision import Context

    ranking = known.rank(Context(SEGMENTS[0], PRODUCTS[0]), [ORIGINAL, *STYLES])
    sure = ThompsonPolicy(prior_strength=8000).sharpness([ranking])
    unsure = ThompsonPolicy(prior_strength=2000).sharpness([ranking])
    assert sure == pytest.approx(2 * unsure)
