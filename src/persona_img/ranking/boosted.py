"""The Bayesian ranker, and trees for what is not additive, where time has shown that they help."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from persona_img.domain.decision import ranking_of
from persona_img.domain.feedback_table import weighed_feedback, weights_of
from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.ranking.base import check_styles
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.columns import Places
from persona_img.ranking.counts import Counts, days_of
from persona_img.ranking.encoding import Encoding, Rows
from persona_img.ranking.explained import trees_table
from persona_img.ranking.linear import slope_of
from persona_img.ranking.trees import Cells, Trees, grown, read_trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from persona_img.domain.decision import Context, Ranking
    from persona_img.domain.style import Style
    from persona_img.ranking.base import Floats, Predicted, RankingFeatures

_EARLY = 0.75
"""Part of the days that the judged trees learn from; they are judged on the others."""

_LEAST_DAYS = 8
_LEAST_CLICKS = 200
"""Clicks on either side without which nobody could tell."""

_DOCUMENT, _TREES = "boosted.json", "trees.txt"


@dataclass(frozen=True)
class Worth:
    """What trees were worth on later days than those they had learned from.

    Attributes:
        rounds: Trees that predicted those days best; 0 where they were not kept.
        gain: Log-likelihood that they added, nats per thousand impressions; NaN where nobody could
            tell.
        error: Its standard error, by shopper.
        slope: Of the outcome's log-odds over the predicted: 1 where predictions are calibrated.
    """

    rounds: int
    gain: float = math.nan
    error: float = math.nan
    slope: float = math.nan


class BoostedRanker:
    """Click rates of :class:`~persona_img.ranking.bayes.BayesRanker`, corrected by trees.

    The trees begin from its log-odds. They are kept only where trees of the earlier days predicted
    the later ones better, by more than a standard error; else this is the Bayesian ranker. How
    sure it is it takes from there.

    Args:
        half_life: As for :class:`~persona_img.ranking.bayes.BayesRanker`.
        rounds: Most trees, >= 1.
        num_threads: Of LightGBM.
        seed: Of the columns that each tree may use.

    Attributes:
        worth: What the trees were worth; None before it is fitted.

    References:
        Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS.
    """

    name = "boosted"

    def __init__(
        self,
        *,
        half_life: float | None = None,
        rounds: int = 300,
        num_threads: int = 1,
        seed: int = 0,
    ) -> None:
        if rounds < 1 or num_threads < 1:
            raise InvalidInput(f"{rounds} rounds, {num_threads} threads: at least 1 of each")
        self.rounds, self.num_threads, self.seed = rounds, num_threads, seed
        self.worth: Worth | None = None
        self._base = BayesRanker(half_life=half_life)
        self._encoding: Encoding | None = None
        self._trees: Trees | None = None

    def fit(self, feedback: pd.DataFrame, features: RankingFeatures) -> Self:
        """Learn from counted impressions of all arms.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
            NotEnoughData: no click, or no impression without one.
        """
        feedback = weighed_feedback(feedback)
        self._base = BayesRanker(half_life=self._base.half_life).learned_from(feedback, features)
        self._encoding = Encoding.of(feedback, features)
        self.worth = self._judged(feedback, features)
        self._trees = None
        if self.worth.rounds:
            cells = self._cells(feedback, self._base.log_odds, self._encoding)
            self._trees = grown(
                cells, self.worth.rounds, seed=self.seed, num_threads=self.num_threads
            )
        return self

    def rank(self, context: Context, styles: Sequence[Style]) -> Ranking:
        """The styles by predicted click rate at position 1, each with its spread.

        Raises:
            EmptySlate: no style.
            NotEnoughData: it was never fitted.
        """
        check_styles(context, styles)
        ranking = self._base.rank(context, styles)
        if self._trees is None:
            return ranking
        added = self._added([context.segment], [context.product], ranking.styles)[0, 0]
        scores = expit(logit(np.array(ranking.scores)) + added)
        return ranking_of(context, ranking.styles, scores.tolist(), ranking.spreads)

    def predicted(
        self, contexts: Sequence[Context], styles: Sequence[Sequence[Style]]
    ) -> Predicted:
        """What :meth:`rank` says of N slates of S styles each, in the order given, not rounded.

        Raises:
            NotEnoughData: it was never fitted.
        """
        found = self._base.predicted(contexts, styles)
        if self._trees is None or self._encoding is None or not contexts:
            return found
        size = len(styles[0])
        rows = Rows(
            [context.segment for context in contexts for _ in range(size)],
            [context.product for context in contexts for _ in range(size)],
            [style.key for some in styles for style in some],
            np.ones(len(contexts) * size),
        )
        added = self._trees.predict(
            self._encoding.trees(rows.places()), raw_score=True, num_threads=self.num_threads
        )
        # Rounded as in a ranking, from which :meth:`rank` goes on.
        known = logit(found.scores.round(12)) + np.asarray(added).reshape(-1, size)
        return replace(found, scores=np.asarray(expit(known), dtype=np.float64))

    def scores(
        self, segments: Sequence[str], products: Sequence[str], styles: Sequence[Style]
    ) -> Floats:
        """Predicted click rates at position 1 of everything with everything, as :meth:`rank` says.

        Returns:
            float64 (K, P, S), for K segments, P products and S styles, in the order given.

        Raises:
            NotEnoughData: it was never fitted.
        """
        found = self._base.scores(segments, products, styles)
        if self._trees is not None:
            found = expit(logit(found) + self._added(segments, products, styles))
        return np.asarray(found, dtype=np.float64)

    def drawn(self, rng: np.random.Generator) -> BoostedRanker:
        """A ranker as it may truly be: effects drawn from the posterior, with the same trees.

        Raises:
            NotEnoughData: it was never fitted.
        """
        return self._with(self._base.drawn(rng))

    def updated(self, feedback: pd.DataFrame) -> BoostedRanker:
        """This ranker after later impressions, with the same trees.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
            NotEnoughData: it was never fitted.
        """
        return self._with(self._base.updated(feedback))

    def effects(self) -> pd.DataFrame:
        """See :meth:`~persona_img.ranking.explained.Explained.effects`; trees come last.

        Raises:
            NotEnoughData: it was never fitted.
        """
        found = self._base.effects()
        if self._trees is None or self._encoding is None:
            return found
        gain = self._trees.feature_importance("gain").astype(np.float64)
        return pd.concat([found, trees_table(self._encoding.names(), gain)], ignore_index=True)

    def save(self, folder: str | Path) -> None:
        """Write ``boosted.json``, the Bayesian ranker's files, and ``trees.txt`` of trees.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._encoding is None or self.worth is None:
            raise NotEnoughData("this ranker was never fitted; there is nothing to save")
        folder = Path(folder)
        self._base.save(folder)
        document = {
            "kind": self.name,
            "rounds": self.rounds,
            "seed": self.seed,
            "worth": vars(self.worth),
            "encoding": self._encoding.as_dict(),
        }
        if self._trees is not None:
            (folder / _TREES).write_text(self._trees.model_to_string(), encoding="utf-8")
        text = json.dumps(document, sort_keys=True)
        (folder / _DOCUMENT).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The inverse of :meth:`save`."""
        path = Path(folder) / _DOCUMENT
        if not path.exists():
            raise NotFound(f"{path}: no boosted ranker; save one there first")
        document = json.loads(path.read_text(encoding="utf-8"))
        ranker = cls(rounds=document["rounds"], seed=document["seed"])
        ranker.worth = Worth(**document["worth"])
        ranker._base = BayesRanker.load(folder)
        ranker._encoding = Encoding.from_dict(document["encoding"])
        if ranker.worth.rounds:
            trees = path.with_name(_TREES)
            if not trees.exists():
                raise NotFound(f"{trees}: missing beside {_DOCUMENT}; save the ranker again")
            ranker._trees = read_trees(trees.read_text(encoding="utf-8"))
        return ranker

    def _with(self, base: BayesRanker) -> BoostedRanker:
        made = BoostedRanker(rounds=self.rounds, num_threads=self.num_threads, seed=self.seed)
        made._base, made.worth = base, self.worth
        made._encoding, made._trees = self._encoding, self._trees
        return made

    def _judged(self, feedback: pd.DataFrame, features: RankingFeatures) -> Worth:
        """Trees of the earlier days on the later ones."""
        day = days_of(feedback)
        days = np.unique(day)
        early = day < days[min(int(_EARLY * len(days)), len(days) - 1)]
        clicks = feedback["clicked"].to_numpy()
        if (
            len(days) < _LEAST_DAYS
            or min(clicks[early].sum(), clicks[~early].sum()) < _LEAST_CLICKS
        ):
            return Worth(0)
        before, after = feedback[early], feedback[~early]
        foretold = self._base.foretelling(before, features)
        encoding = Encoding.of(before, features)
        taught, asked = (self._cells(some, foretold, encoding) for some in (before, after))
        trees = grown(
            taught, self.rounds, seed=self.seed, num_threads=self.num_threads, judge=asked
        )
        # Row by row, for shoppers are what varies.
        single = _by_row(after)
        known = foretold(single)
        columns = encoding.trees(single)
        added = np.asarray(
            trees.predict(columns, raw_score=True, num_threads=self.num_threads), dtype=np.float64
        )
        hit = after["clicked"].to_numpy(dtype=np.float64)
        weight = weights_of(after)
        gain = _likelihood(hit, known + added) - _likelihood(hit, known)
        mean = float(weight @ gain) / float(weight.sum())
        sums = np.bincount(pd.factorize(after["shopper"])[0], weight * (gain - mean))
        error = math.sqrt(float((sums**2).sum())) / float(weight.sum())
        kept = mean > error
        best = known + added if kept else known
        return Worth(
            int(trees.best_iteration) if kept else 0,
            1000.0 * mean,
            1000.0 * error,
            slope_of(hit, best, weight),
        )

    def _cells(
        self, feedback: pd.DataFrame, known: Callable[[Places], Floats], encoding: Encoding
    ) -> Cells:
        counts = Counts.of(feedback)
        clicks, misses = counts.weighed(self._base.memory)
        places = counts.places
        return Cells(encoding.trees(places), clicks, misses, known(places))

    def _added(
        self, segments: Sequence[str], products: Sequence[str], styles: Sequence[Style]
    ) -> Floats:
        """(K, P, S) what the trees add at position 1."""
        assert self._encoding is not None
        assert self._trees is not None
        keys = [style.key for style in styles]
        made = np.zeros((len(segments), len(products), len(keys)))
        for p, product in enumerate(products):
            rows = Rows(
                [segment for segment in segments for _ in keys],
                [product] * (len(segments) * len(keys)),
                keys * len(segments),
                np.ones(len(segments) * len(keys)),
            )
            found = self._trees.predict(
                self._encoding.trees(rows.places()), raw_score=True, num_threads=self.num_threads
            )
            made[:, p] = np.asarray(found).reshape(len(segments), len(keys))
        return made


def _by_row(feedback: pd.DataFrame) -> Places:
    code, names = {}, {}
    for column in ("segment", "product", "style_key"):
        code[column], found = pd.factorize(feedback[column], sort=True)
        names[column] = [str(name) for name in found]
    return Places(
        code["segment"],
        code["product"],
        code["style_key"],
        feedback["position"].to_numpy(dtype=np.float64),
        names["segment"],
        names["product"],
        names["style_key"],
    )


def _likelihood(hit: Floats, score: Floats) -> Floats:
    return np.asarray(hit * score - np.logaddexp(0.0, score), dtype=np.float64)
