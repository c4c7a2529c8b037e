from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ranker import FEATURES, PRODUCTS, SEGMENTS, STYLES, feedback
from persona_img.domain.decision import ranking_of
from persona_img.errors import InvalidInput
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.proposals import expected_improvement, proposals


@pytest.fixture(scope="module")
def ranker():
    return BayesRanker(half_life=14.0).fit(feedback(), FEATURES)


class Told:
    """A ranker that says what it was told: style to click rate and spread."""

    name = "told"

    def __init__(self, told):
        self.told = told

    def rank(self, context, styles):
        rows = [self.told.get(style, (0.02, 0.1)) for style in styles]
        return ranking_of(context, styles, [r for r, _ in rows], [s for _, s in rows])


def test_what_everybody_likes_and_nobody_shows_comes_first(ranker):
    wood = [s for s in STYLES if s.values.get("surface") == "wood"]
    shown = {p: frozenset(s for s in STYLES if s not in wood) for p in PRODUCTS}
    found = proposals(ranker, SEGMENTS, PRODUCTS, STYLES, shown)
    for segment in SEGMENTS:
        mine = [p for p in found if p.segment == segment]
        assert {p.style for p in mine} == set(wood)
        assert [p.worth for p in mine] == sorted((p.worth for p in mine), reverse=True)
        likes_sun = mine[0].style.values["light"] == "sun"
        assert likes_sun == (segment == "g0")
    assert all(p.products == len(PRODUCTS) for p in found)


def test_what_was_shown_of_a_product_is_not_proposed_for_it(ranker):
    first, *rest = PRODUCTS
    shown = {first: frozenset(STYLES[:4]), **{p: frozenset(STYLES) for p in rest}}
    found = proposals(ranker, ["g0"], PRODUCTS, STYLES, shown)
    assert {p.style for p in found} == set(STYLES[4:])
    assert {p.products for p in found} == {1}
    assert proposals(ranker, ["g0"], rest, STYLES, shown) == []


def test_what_does_not_fit_a_product_is_not_proposed(ranker):
    found = proposals(
        ranker, ["g0"], PRODUCTS, STYLES, {}, fits=lambda p, s: s.values["light"] == "soft"
    )
    assert {p.style.values["light"] for p in found} == {"soft"}


def test_of_equals_the_one_less_known_is_worth_more():
    sure, unsure, better = STYLES[1:4]
    told = Told({sure: (0.03, 0.05), unsure: (0.03, 0.4), better: (0.05, 0.05)})
    found = {p.style: p for p in proposals(told, ["g0"], ["p0"], STYLES[:4], {"p0": {better}})}
    assert found[unsure].worth > found[sure].worth
    assert (found[unsure].rate, found[unsure].unsure) == (0.03, 0.4)
    assert set(found) == {sure, unsure}


def test_a_ranker_that_does_not_know_how_unsure_it_is_is_refused():
    cold = PopularityRanker().fit(feedback(), FEATURES)
    with pytest.raises(InvalidInput, match=r"popularity.*bayes"):
        proposals(cold, ["g0"], ["p0"], STYLES, {})


@settings(max_examples=50, deadline=None)
@given(
    mean=st.floats(-3, 3), spread=st.floats(0.01, 3), best=st.floats(-3, 3), more=st.floats(0, 1)
)
def test_improvement_is_never_negative_and_grows_with_hope_and_doubt(mean, spread, best, more):
    def worth(m, s):
        return expected_improvement(np.array([m]), np.array([s]), best).item()

    assert worth(mean, spread) >= max(0.0, mean - best) - 1e-9
    assert worth(mean + more, spread) >= worth(mean, spread) - 1e-12
    assert worth(mean, spread + more) >= worth(mean, spread) - 1e-12
    drawn = np.random.default_rng(0).normal(mean, spread, 20_000)
    truth = np.maximum(drawn - best, 0.0).mean()
    assert worth(mean, spread) == pytest.approx(truth, abs=0.05 * spread + 1e-6)
