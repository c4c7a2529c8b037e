from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ranker import FEATURES, PRODUCTS, SEGMENTS, STYLES, feedback, no_feedback
from persona_img.domain.decision import Context
from persona_img.domain.feedback_table import as_feedback
from persona_img.domain.style import ORIGINAL
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.evidence import counted_evidence, position_slope, revised_slates
from persona_img.ranking.lightgbm import LightGBMRanker
from persona_img.ranking.policy import ThompsonPolicy
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.slates import decision_table

POLICY = ThompsonPolicy()
SHOWN = [ORIGINAL, *STYLES[1:4]]


def plan(ranker):
    slates = {(g, p): SHOWN for g in SEGMENTS for p in PRODUCTS}
    return decision_table(
        ranker, POLICY, slates, segments={}, default_segment="g0", policy_version="v1"
    )


def some(rows, seed=3):
    """Later impressions of what the plan shows."""
    table = feedback(rows, seed)
    return as_feedback(table[table["style_key"].isin([s.key for s in SHOWN])])


def chances(slate):
    return {c.style: c.probability for c in slate.candidates}


RANKERS = {
    "popularity": lambda: PopularityRanker(),
    "linear": lambda: LightGBMRanker(rounds=0),
    "bayes": lambda: BayesRanker(half_life=14.0),
}


@pytest.fixture(scope="module", params=sorted(RANKERS))
def ranker(request):
    return RANKERS[request.param]().fit(feedback(4000, 9), FEATURES)


def test_without_news_nothing_moves(ranker):
    table = plan(ranker)
    nothing = as_feedback(no_feedback())
    assert revised_slates(table, table, ranker, POLICY, nothing) == {}


def test_chances_stay_chances_and_the_floor_is_kept(ranker):
    table = plan(ranker)
    changed = revised_slates(table, table, ranker, POLICY, some(8000))
    assert changed
    for place, slate in changed.items():
        assert slate.pictures == table.slates[place].pictures
        found = chances(slate).values()
        assert sum(found) == pytest.approx(1.0, abs=1e-12)
        assert min(found) >= POLICY.floor - 1e-12


def test_neither_the_order_of_rows_nor_the_calls_in_between_matter(ranker):
    table, rows = plan(ranker), some(6000)
    at_once = table.revised(revised_slates(table, table, ranker, POLICY, rows))
    now = table
    for upto in (1000, 2500, len(rows)):
        changed = revised_slates(table, now, ranker, POLICY, rows.iloc[:upto])
        now = now.revised(changed) if changed else now
    shuffled = rows.sample(frac=1.0, random_state=5)
    assert revised_slates(table, at_once, ranker, POLICY, shuffled) == {}
    for place, slate in now.slates.items():
        wanted = chances(at_once.slates[place])
        for style, chance in chances(slate).items():
            assert chance == pytest.approx(wanted[style], abs=3e-3)


def test_what_is_clicked_is_shown_more_often(ranker):
    table, rows = plan(ranker), some(20_000)
    liked = SHOWN[2]
    rng = np.random.default_rng(0)
    rate = np.where(rows["style_key"] == liked.key, 0.3, 0.03)
    rows = as_feedback(rows.assign(clicked=(rng.random(len(rows)) < rate).astype("int64")))
    changed = revised_slates(table, table, ranker, POLICY, rows)
    for place, slate in table.slates.items():
        before, after = chances(slate), chances(changed.get(place, slate))
        assert after[liked] > max(before[liked], 0.5), place


def test_what_bayes_hears_of_one_product_it_knows_of_the_others():
    ranker = BayesRanker(half_life=14.0).fit(feedback(4000, 9), FEATURES)
    table, rows = plan(ranker), some(20_000)
    liked = SHOWN[2]
    rate = np.where(rows["style_key"] == liked.key, 0.3, 0.03)
    rng = np.random.default_rng(0)
    rows = rows.assign(clicked=(rng.random(len(rows)) < rate).astype("int64"))
    of_one = as_feedback(rows[rows["product"] == "p0"])
    changed = revised_slates(table, table, ranker, POLICY, of_one)
    assert ("g0", "p3") in changed
    assert chances(changed["g0", "p3"])[liked] > chances(table.slates["g0", "p3"])[liked]


def test_a_slate_whose_evidence_is_gone_goes_back_to_its_plan():
    ranker = PopularityRanker().fit(feedback(4000, 9), FEATURES)
    table, rows = plan(ranker), some(9000)
    moved = table.revised(revised_slates(table, table, ranker, POLICY, rows))
    back = revised_slates(table, moved, ranker, POLICY, as_feedback(no_feedback()))
    assert back
    assert all(slate == table.slates[place] for place, slate in back.items())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), slope=st.sampled_from([0.0, -0.4, -1.0]))
def test_the_slope_is_found_although_popular_products_stand_first(seed, slope):
    rng = np.random.default_rng(seed)
    n = 60_000
    product = rng.integers(6, size=n)
    # Product 5 is clicked ten times as often as product 0, and stands first.
    position = np.clip(1 + rng.poisson((5 - product) * 0.7), 1, 8)
    rate = 0.04 * 1.6**product * position**slope
    table = pd.DataFrame(
        {
            "product": [f"p{p}" for p in product],
            "position": position,
            "clicked": (rng.random(n) < rate).astype("int64"),
        }
    )
    assert position_slope(table) == pytest.approx(slope, abs=0.12)


def test_where_all_stand_alike_there_is_no_slope():
    assert position_slope(as_feedback(feedback(500)).assign(position=3)) == 0.0


def test_evidence_is_counted_as_if_all_stood_first():
    rows = some(3000)
    slope = position_slope(rows)
    found = counted_evidence(rows)
    one = rows[(rows["segment"] == "g1") & (rows["product"] == "p2")]
    for key, part in one.groupby("style_key"):
        shown, clicks = found["g1", "p2"][key]
        assert clicks == part["clicked"].sum()
        assert shown == pytest.approx(max((part["position"] ** slope).sum(), clicks))
    assert sum(c for cells in found.values() for _, c in cells.values()) == rows["clicked"].sum()


def test_evidence_that_counts_less_is_less():
    rows = some(3000)
    whole, half = counted_evidence(rows), counted_evidence(rows.assign(weight=0.5))
    for place, cells in whole.items():
        for key, (shown, clicks) in cells.items():
            assert half[place][key] == pytest.approx((shown / 2, clicks / 2))


def test_an_updated_ranker_leaves_the_first_alone_and_hears_nothing_of_nothing():
    ranker = BayesRanker(half_life=14.0).fit(feedback(4000, 9), FEATURES)
    before = ranker.rank(Context("g0", "p0"), STYLES)
    same = ranker.updated(as_feedback(no_feedback()))
    assert same.rank(Context("g0", "p0"), STYLES) == before
    other = ranker.updated(some(4000))
    assert ranker.rank(Context("g0", "p0"), STYLES) == before
    after = other.rank(Context("g0", "p0"), STYLES)
    assert after != before
    assert np.mean(after.spreads) < np.mean(before.spreads)
