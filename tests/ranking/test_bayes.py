from __future__ import annotations

from contracts.ranker import RankerContract
from persona_img.ranking.bayes import BayesRanker


class TestBayes(RankerContract):
    def make(self):
        return BayesRanker()
