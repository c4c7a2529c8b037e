"""Many slates at once beside one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from contracts.ranker import FEATURES, PRODUCTS, SEGMENTS, STYLES, feedback
from persona_img.domain.decision import ranking_of
from persona_img.domain.style import ORIGINAL
from persona_img.errors import EmptySlate
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.boosted import BoostedRanker
from persona_img.ranking.chances import weighed
from persona_img.ranking.lightgbm import LightGBMRanker
from persona_img.ranking.policy import EpsilonGreedyPolicy, ThompsonPolicy, UniformPolicy
from persona_img.ranking.popularity import PopularityRanker

RANKERS = {
    "popularity": PopularityRanker,
    "linear": lambda: LightGBMRanker(rounds=0),
    "lightgbm": LightGBMRanker,
    "bayes": lambda: BayesRanker(half_life=14.0),
    "few joint": lambda: BayesRanker(half_life=14.0, joint=15),
    "boosted": lambda: BoostedRanker(half_life=14.0),
}


class OneByOne:
    """A ranker that is asked for one slate at a time."""

    def __init__(self, ranker):
        self.name, self.rank = ranker.name, ranker.rank


def slates():
    """Of three sizes, in any order."""
    rng = np.random.default_rng(6)
    made = {}
    for place in itertools.product([*SEGMENTS, "stranger"], [*PRODUCTS, "unheard of"]):
        count = int(rng.integers(0, 3)) * 2
        some = [STYLES[1:][i] for i in rng.choice(len(STYLES) - 1, count, replace=False)]
        made[place] = [*some, ORIGINAL]
    return made


@pytest.mark.parametrize("policy", [ThompsonPolicy(), EpsilonGreedyPolicy(0.1), UniformPolicy()])
@pytest.mark.parametrize("name", sorted(RANKERS))
def test_together_they_have_the_chances_that_each_has_alone(name, policy):
    ranker = RANKERS[name]().fit(feedback(6000, 2), FEATURES)
    asked = slates()
    counted = {
        ("g0", "p1"): {STYLES[1].key: (300.0, 20.0), ORIGINAL.key: (400.0, 9.0)},
        ("g1", "p0"): {STYLES[2].key: (100.0, 1.0)},
    }
    found = list(weighed(ranker, policy, asked, counted))
    alone = list(weighed(OneByOne(ranker), policy, asked, counted))
    assert [place for place, _ in found] == list(asked)
    for (place, (styles, chances)), (_, (wanted, their)) in zip(found, alone, strict=True):
        assert styles == wanted, place
        assert chances == pytest.approx(their, abs=1e-12)


def test_a_slate_without_the_photo_is_named():
    asked = {("g0", "p0"): [ORIGINAL, STYLES[1]], ("g1", "p0"): STYLES[1:3]}
    with pytest.raises(EmptySlate, match="no original among 2"):
        list(weighed(PopularityRanker(), ThompsonPolicy(), asked))


def test_who_ranks_otherwise_than_the_class_it_comes_from_is_asked_one_by_one():
    class Turned(PopularityRanker):
        def rank(self, context, styles):
            # Alike they would go by key, and the photo's comes last.
            wanted = [0.9 if style == ORIGINAL else 0.1 for style in styles]
            return ranking_of(context, styles, wanted)

    asked = {("g0", "p0"): [ORIGINAL, STYLES[3]]}
    [(_, (styles, _))] = weighed(Turned(), ThompsonPolicy(), asked)
    assert styles[0] == ORIGINAL
