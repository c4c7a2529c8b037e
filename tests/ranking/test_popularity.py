from __future__ import annotations

import pytest

from contracts.ranker import FEATURES, STYLES, RankerContract, feedback, no_feedback
from persona_img.domain.decision import Context
from persona_img.errors import InvalidInput
from persona_img.ranking.popularity import PopularityRanker


class TestPopularity(RankerContract):
    def make(self):
        return PopularityRanker(strength=300.0)

    @pytest.mark.parametrize("fit", [True, False])
    def test_without_feedback_everything_has_the_prior_rate(self, fit, tmp_path):
        ranker = PopularityRanker(prior_rate=0.04)
        if fit:
            ranker.fit(no_feedback(), FEATURES)
        ranker.save(tmp_path)
        for one in (ranker, PopularityRanker.load(tmp_path)):
            ranking = one.rank(Context("g0", "p0"), STYLES)
            assert set(ranking.scores) == {0.04}
            assert list(ranking.styles) == sorted(STYLES)
            assert one.rank(Context("g0", "p0"), STYLES[::-1]) == ranking

    def test_a_segment_with_few_impressions_is_ranked_like_everybody(self):
        everybody = feedback()[feedback()["segment"] == "g0"]
        few = everybody.head(5).assign(segment="new")
        ranker = self.make().fit(everybody, FEATURES)
        both = ranker.rank(Context("g0", "p0"), STYLES).styles[:2]
        ranker.fit(everybody._append(few), FEATURES)
        assert set(ranker.rank(Context("new", "p0"), STYLES).styles[:2]) == set(both)

    def test_a_prior_that_is_none_is_refused(self):
        with pytest.raises(InvalidInput, match="prior_rate"):
            PopularityRanker(prior_rate=0.0)
