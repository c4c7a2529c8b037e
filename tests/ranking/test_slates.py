from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ranker import FEATURES, feedback
from contracts.ranker import PRODUCTS as PRODUCTS_KNOWN
from contracts.ranker import SPACE as CONTRACT_SPACE
from persona_img.domain.decision import Context, ranking_of
from persona_img.domain.style import ORIGINAL, StyleSpace
from persona_img.errors import InvalidInput
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.policy import ThompsonPolicy, UniformPolicy
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.slates import decision_table, plan_slates
from simulate.worlds import shipped_space

SPACE = shipped_space()
SEGMENTS = [f"g{i}" for i in range(6)]
PRODUCTS = [f"p{i:02d}" for i in range(40)]


class Opinionated(PopularityRanker):
    """Knows what each segment wants: its own surface, and window light."""

    wants: ClassVar = dict(zip(SEGMENTS, SPACE.attributes["surface"], strict=False))

    def rank(self, context, styles):
        def rate(style):
            fits = style.values.get("surface") == self.wants[context.segment]
            return 0.02 + 0.02 * fits + 0.01 * (style.values.get("light") == "window")

        return ranking_of(context, styles, [rate(style) for style in styles])


def distinct(slates, product):
    return {s for (_, p), styles in slates.items() if p == product for s in styles} - {ORIGINAL}


@settings(max_examples=15, deadline=None)
@given(
    size=st.integers(1, 6), extra=st.integers(0, 4), seed=st.integers(0, 99), known=st.booleans()
)
def test_slates_have_their_size_the_original_and_few_variants(size, extra, seed, known):
    ranker = Opinionated() if known else PopularityRanker()
    slates = plan_slates(
        ranker, SPACE, SEGMENTS, PRODUCTS[:3], size=size, pool=size + extra, seed=seed
    )
    assert set(slates) == {(g, p) for g in SEGMENTS for p in PRODUCTS[:3]}
    for styles in slates.values():
        assert styles[0] == ORIGINAL
        assert len(set(styles)) == len(styles) == size + 1
        assert all(SPACE.check(s) == s for s in styles)
    assert all(len(distinct(slates, p)) <= size + extra for p in PRODUCTS[:3])


def test_without_knowledge_all_values_are_tried_about_equally_often():
    slates = plan_slates(PopularityRanker(), SPACE, SEGMENTS, PRODUCTS, seed=1)
    planned = [s for p in PRODUCTS for s in distinct(slates, p)]
    assert len(set(planned)) > 200
    for attribute, values in SPACE.attributes.items():
        counts = Counter(s.values[attribute] for s in planned)
        assert set(counts) == set(values)
        assert max(counts.values()) < 1.5 * min(counts.values())


def test_knowledge_is_used_and_some_of_the_slate_still_explores():
    slates = plan_slates(Opinionated(), SPACE, SEGMENTS, PRODUCTS[:8], size=5, pool=12, seed=1)
    for (segment, _), styles in slates.items():
        surfaces = [s.values["surface"] for s in styles[1:]]
        assert Opinionated.wants[segment] in surfaces
    shown = {s for styles in slates.values() for s in styles[1:]}
    assert any(s.values["light"] != "window" for s in shown)


def test_the_same_seed_plans_the_same_and_another_differently():
    one, same, other = (
        plan_slates(PopularityRanker(), SPACE, SEGMENTS, PRODUCTS[:4], seed=s) for s in (1, 1, 2)
    )
    assert one == same != other


def test_a_small_space_is_shown_whole():
    space = StyleSpace({"light": ("soft", "sun")})
    slates = plan_slates(PopularityRanker(), space, ["g0"], ["p0"], seed=1)
    assert set(slates["g0", "p0"]) == set(space.styles())


@pytest.mark.parametrize("bad", [{"size": 0}, {"size": 9, "pool": 8}, {"explore": 1.5}])
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(InvalidInput):
        plan_slates(PopularityRanker(), SPACE, SEGMENTS, PRODUCTS[:1], seed=1, **bad)


def test_a_table_holds_the_policy_s_chances_and_the_variants():
    slates = plan_slates(Opinionated(), SPACE, SEGMENTS, PRODUCTS[:2], seed=1)
    digests = {(p, s.key): f"{p}-{s.key}" for p in PRODUCTS[:2] for s in SPACE.styles()[1:]}
    policy = ThompsonPolicy()
    table = decision_table(
        Opinionated(),
        policy,
        slates,
        segments={"ann": "g1"},
        default_segment="g0",
        policy_version="v1",
        digests=digests,
    )
    assert set(table.slates) == set(slates)
    for (segment, product), slate in table.slates.items():
        assert {c.style for c in slate.candidates} == set(slates[segment, product])
        for c in slate.candidates:
            assert c.probability >= 0.02
            assert c.digest == (None if c.style.is_original else f"{product}-{c.style.key}")
    assert table.slate("ann", "p00")[0] == "g1"


class Unsure(Opinionated):
    """Truly, perhaps, what it ranks last is best."""

    def drawn(self, rng):
        class Turned(Opinionated):
            def rank(self, context, styles):
                ranking = super().rank(context, styles)
                return ranking_of(
                    context, ranking.styles, [1.0 - score for score in ranking.scores]
                )

        return Turned()


def test_what_is_explored_is_what_may_be_best():
    segments, products = list(SEGMENTS), PRODUCTS[:4]
    given = {"size": 4, "pool": 4, "explore": 0.25, "seed": 1}
    slates = plan_slates(Unsure(), SPACE, segments, products, **given)
    assert slates == plan_slates(Unsure(), SPACE, segments, products, **given)
    styles = SPACE.styles()[1:]
    for (segment, product), slate in slates.items():
        worst = Opinionated().rank(Context(segment, product), styles).scores[-1]
        scores = Opinionated().rank(Context(segment, product), list(slate[1:])).scores
        assert min(scores) == worst
        assert len(slate) == 5


def test_a_style_without_a_variant_is_refused():
    slates = plan_slates(PopularityRanker(), SPACE, ["g0"], ["p00"], seed=1)
    with pytest.raises(InvalidInput, match="no variant"):
        decision_table(
            PopularityRanker(),
            UniformPolicy(),
            slates,
            segments={},
            default_segment="g0",
            policy_version="v1",
            digests={},
        )


@pytest.mark.parametrize("ranker", [Opinionated(), PopularityRanker()])
def test_the_order_of_products_segments_and_styles_is_no_matter(ranker):
    plain = plan_slates(ranker, SPACE, SEGMENTS, PRODUCTS[:6], seed=1)
    turned_space = StyleSpace(
        {name: SPACE.attributes[name][::-1] for name in reversed(SPACE.attributes)}, SPACE.forbidden
    )
    turned = plan_slates(ranker, turned_space, SEGMENTS[::-1], PRODUCTS[5::-1], seed=1)
    assert turned == plain
    assert next(iter(turned)) == (SEGMENTS[-1], PRODUCTS[5])


class OneByOne:
    """A ranker that predicts one context at a time, as most do."""

    name = "one by one"

    def __init__(self, ranker):
        self._ranker = ranker

    def rank(self, context, styles):
        return self._ranker.rank(context, styles)

    def drawn(self, rng):
        return OneByOne(self._ranker.drawn(rng))


def test_a_plan_does_not_depend_on_how_many_are_predicted_and_planned_at_once(monkeypatch):
    ranker = BayesRanker(half_life=14.0).fit(feedback(rows=1500), FEATURES)
    products = [*PRODUCTS_KNOWN, "new", "newer"]
    # Of two rankers some draw is dealt to several products, which are told together.
    monkeypatch.setattr("persona_img.ranking.slates._DRAWS", 2)
    plans = []
    for some, at_once, held in (
        (ranker, 1 << 21, 1 << 23),
        (ranker, 1, 1 << 23),
        (ranker, 1 << 21, 1),
        (OneByOne(ranker), 1 << 21, 1 << 23),
    ):
        monkeypatch.setattr("persona_img.ranking.slates._AT_ONCE", at_once)
        monkeypatch.setattr("persona_img.ranking.slates._HELD", held)
        plans.append(plan_slates(some, CONTRACT_SPACE, ["g1", "g0"], products, size=3, pool=4,
                                 explore=0.75, seed=3))  # fmt: skip
    assert plans[0] == plans[1] == plans[2] == plans[3]
    assert len(set(plans[0].values())) > 1


def test_a_product_that_fits_no_style_keeps_its_photo():
    slates = plan_slates(
        Opinionated(), SPACE, SEGMENTS, PRODUCTS[:2], seed=1,
        fits=lambda product, style: product != PRODUCTS[0],
    )  # fmt: skip
    assert {slates[g, PRODUCTS[0]] for g in SEGMENTS} == {(ORIGINAL,)}
    assert all(len(slates[g, PRODUCTS[1]]) == 6 for g in SEGMENTS)
