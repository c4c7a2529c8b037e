"""A ranker of additive effects with prior spreads, and LightGBM on what they leave unexplained.

About six impressions per picture is all there is, so nothing is learned per picture: attribute
values are pooled over products and segments, and segments, categories and pairs of values only
differ from that as far as the clicks insist (:mod:`persona_img.ranking.encoding`). Trees come last,
strongly regularised, for what is not additive.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from persona_img.domain.decision import Context, Ranking, ranking_of
from persona_img.domain.feedback_table import weighed_cells, weighed_feedback
from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.ranking.base import Floats, Predicted, RankingFeatures, check_styles
from persona_img.ranking.encoding import Encoding, Rows, Spread
from persona_img.ranking.linear import fit_logistic
from persona_img.ranking.trees import Cells, Trees, grown, read_trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from persona_img.domain.style import Style

MIN_CLICKS = 20
"""Fewest clicks, and fewest impressions without one, that a fit is made of."""

_CELL = ["segment", "product", "style_key", "position"]
_DOCUMENT, _TREES = "ranker.json", "trees.txt"


class LightGBMRanker:
    """Calibrated click rates at position 1 from segment, product and style.

    Impressions of equal segment, product, style and position are one row with two weights. The
    position is a feature in training and fixed at 1 in ranking.

    Args:
        rounds: Trees, >= 0; none leaves the additive effects alone.
        spread: Prior spreads of the additive effects.
        num_threads: Of LightGBM; more than one can hang in a forked process.
        seed: Of the columns that each tree may use.

    References:
        Hill et al. 2017, "An Efficient Bandit Algorithm for Realtime Multivariate Optimization",
        KDD: values and pairs share what they learn. We add segments and categories.
        Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS.
    """

    name = "lightgbm"

    def __init__(
        self,
        *,
        rounds: int = 30,
        spread: Spread | None = None,
        num_threads: int = 1,
        seed: int = 0,
    ) -> None:
        if rounds < 0 or num_threads < 1:
            raise InvalidInput(f"{rounds} rounds, {num_threads} threads: at least 0 and 1")
        self.rounds = rounds
        self.spread = spread or Spread()
        self.num_threads = num_threads
        self.seed = seed
        self._encoding: Encoding | None = None
        self._effects: Floats = np.zeros(0)
        self._intercept = 0.0
        self._trees: Trees | None = None

    def fit(self, feedback: pd.DataFrame, features: RankingFeatures) -> Self:
        """Learn from counted impressions of all arms.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
            NotEnoughData: fewer than :data:`MIN_CLICKS` clicks, or impressions without one.
        """
        feedback = weighed_feedback(feedback)
        cells = weighed_cells(feedback, _CELL).reset_index()
        clicks = cells["clicks"].to_numpy(dtype=np.float64)
        misses = cells["shown"].to_numpy(dtype=np.float64) - clicks
        clicked = int(feedback["clicked"].sum())
        if min(clicked, len(feedback) - clicked) < MIN_CLICKS:
            raise NotEnoughData(
                f"{clicked} clicks and {len(feedback) - clicked} impressions without one; a fit "
                f"needs {MIN_CLICKS} of each: wait, or rank with PopularityRanker"
            )
        encoding = Encoding.of(feedback, features)
        rows = Rows(
            segment=list(cells["segment"]),
            product=list(cells["product"]),
            style_key=list(cells["style_key"]),
            position=cells["position"].to_numpy(dtype=np.float64),
        )
        columns, spread = encoding.linear(rows, self.spread)
        self._effects, self._intercept = fit_logistic(columns, spread, clicks, misses)
        known = columns @ self._effects + self._intercept
        self._trees = self._grown(encoding.trees(rows.places()), clicks, misses, known)
        self._encoding = encoding
        return self

    def rank(self, context: Context, styles: Sequence[Style]) -> Ranking:
        """The styles by predicted click rate at position 1.

        Raises:
            EmptySlate: no style.
            NotEnoughData: it was never fitted.
        """
        check_styles(context, styles)
        if self._encoding is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        n = len(styles)
        rows = Rows(
            [context.segment] * n, [context.product] * n, [s.key for s in styles], np.ones(n)
        )
        columns, _ = self._encoding.linear(rows, self.spread)
        log_odds = columns @ self._effects + self._intercept
        if self._trees is not None:
            log_odds = log_odds + self._trees.predict(
                self._encoding.trees(rows.places()), raw_score=True, num_threads=self.num_threads
            )
        return ranking_of(context, styles, (1.0 / (1.0 + np.exp(-log_odds))).tolist())

    def predicted(
        self, contexts: Sequence[Context], styles: Sequence[Sequence[Style]]
    ) -> Predicted:
        """What :meth:`rank` says of N slates of S styles each, in the order given, not rounded.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._encoding is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        size = len(styles[0]) if styles else 0
        rows = Rows(
            [context.segment for context in contexts for _ in range(size)],
            [context.product for context in contexts for _ in range(size)],
            [style.key for some in styles for style in some],
            np.ones(len(contexts) * size),
        )
        log_odds = self._encoding.added(rows, self._effects) + self._intercept
        if self._trees is not None and len(rows.position):
            log_odds = log_odds + self._trees.predict(
                self._encoding.trees(rows.places()), raw_score=True, num_threads=self.num_threads
            )
        return Predicted((1.0 / (1.0 + np.exp(-log_odds))).reshape(len(contexts), size))

    def save(self, folder: str | Path) -> None:
        """Write ``ranker.json`` and, where there are trees, LightGBM's own ``trees.txt``.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._encoding is None:
            raise NotEnoughData("this ranker was never fitted; there is nothing to save")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "kind": self.name,
            "rounds": self.rounds,
            "spread": asdict(self.spread),
            "seed": self.seed,
            "encoding": self._encoding.as_dict(),
            "effects": self._effects.tolist(),
            "intercept": self._intercept,
        }
        if self._trees is not None:
            (folder / _TREES).write_text(self._trees.model_to_string(), encoding="utf-8")
        text = json.dumps(document, indent=1, sort_keys=True)
        (folder / _DOCUMENT).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The inverse of :meth:`save`."""
        path = Path(folder) / _DOCUMENT
        if not path.exists():
            raise NotFound(f"{path}: no LightGBM ranker; save one there first")
        document = json.loads(path.read_text(encoding="utf-8"))
        ranker = cls(
            rounds=document["rounds"], spread=Spread(**document["spread"]), seed=document["seed"]
        )
        ranker._encoding = Encoding.from_dict(document["encoding"])
        ranker._effects = np.array(document["effects"], dtype=np.float64)
        ranker._intercept = document["intercept"]
        if ranker.rounds:
            trees = path.with_name(_TREES)
            if not trees.exists():
                raise NotFound(f"{trees}: missing beside {_DOCUMENT}; save the ranker again")
            ranker._trees = read_trees(trees.read_text(encoding="utf-8"))
        return ranker

    def _grown(
        self, columns: NDArray[np.float32], clicks: Floats, misses: Floats, known: Floats
    ) -> Trees | None:
        """Trees on top of known log-odds."""
        if not self.rounds:
            return None
        cells = Cells(columns, clicks, misses, known)
        return grown(cells, self.rounds, seed=self.seed, num_threads=self.num_threads)
