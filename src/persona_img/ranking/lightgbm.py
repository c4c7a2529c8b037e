"""A ranker of additive effects with prior spreads, and LightGBM on what they leave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np
import pandas as pd

from persona_img.domain.decision import Context, Ranking, ranking_of
from persona_img.domain.style import Style
from persona_img.errors import NotEnoughData, NotFound
from persona_img.ranking.base import Floats, RankingFeatures, check_feedback, check_styles
from persona_img.ranking.encoding import Encoding, Rows, Spread
from persona_img.ranking.linear import fit_logistic

_CELL = ["segment", "product", "style_key", "position"]
_MIN_CLICKS = 20


class LightGBMRanker:
    name = "lightgbm"

    def __init__(self, *, rounds: int = 30, spread: Spread | None = None, num_threads: int = 1, seed: int = 0, params=None, init=True) -> None:
        self.rounds = rounds
        self.spread = spread or Spread()
        self.num_threads = num_threads
        self.seed = seed
        self.params = params or {}
        self.init = init

    def fit(self, feedback: pd.DataFrame, features: RankingFeatures) -> Self:
        check_feedback(feedback)
        cells = feedback.groupby(_CELL, sort=True)["clicked"].agg(["size", "sum"]).reset_index()
        clicks = cells["sum"].to_numpy(dtype=np.float64)
        misses = cells["size"].to_numpy(dtype=np.float64) - clicks
        self._encoding = Encoding.of(feedback, features)
        rows = Rows(list(cells["segment"]), list(cells["product"]), list(cells["style_key"]), cells["position"].to_numpy(dtype=np.float64))
        columns, spread = self._encoding.linear(rows, self.spread)
        if self.init:
            self._coef, self._bias = fit_logistic(columns, spread, clicks, misses)
        else:
            self._coef = np.zeros(len(spread)); r=clicks.sum()/(clicks.sum()+misses.sum()); self._bias = float(np.log(r/(1-r)))
        known = columns @ self._coef + self._bias
        self._booster = None
        if self.rounds:
            trees = self._encoding.trees(rows)
            n=len(rows.segment)
            data = lightgbm.Dataset(np.vstack([trees, trees]), np.repeat([1, 0], n), weight=np.concatenate([clicks, misses]), init_score=np.concatenate([known, known]))
            params = dict(objective="binary", num_leaves=8, learning_rate=0.05, min_data_in_leaf=1, min_sum_hessian_in_leaf=5.0, lambda_l2=20.0, feature_fraction=0.7, boost_from_average=False, verbosity=-1, deterministic=True, force_row_wise=True, num_threads=self.num_threads, seed=self.seed, max_bin=63) | self.params
            self._booster = lightgbm.train(params, data, num_boost_round=self.rounds)
        return self

    def rank(self, context: Context, styles: Sequence[Style]) -> Ranking:
        check_styles(context, styles)
        n = len(styles)
        rows = Rows([context.segment] * n, [context.product] * n, [s.key for s in styles], np.ones(n))
        columns, _ = self._encoding.linear(rows, self.spread)
        z = columns @ self._coef + self._bias
        if self._booster is not None:
            z = z + self._booster.predict(self._encoding.trees(rows), raw_score=True)
        return ranking_of(context, styles, 1 / (1 + np.exp(-z)))
