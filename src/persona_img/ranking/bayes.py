"""A ranker that knows how well it knows: additive effects with learned priors, on sparse columns.

About six impressions per picture is all there is, so nothing is learned per picture. Attribute
values are shared by all; segments, categories, both together, pairs of values and single products
differ from that as far as the clicks insist, values and pairs also with a product's price, and how
far each kind usually differs is learned too.
What is predicted is a posterior mean, so the best of many is not overrated for being lucky.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.special import expit

from persona_img.domain.decision import Context, Ranking, ranking_of
from persona_img.domain.feedback_table import weighed_feedback
from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.ranking.base import Floats, Predicted, RankingFeatures, check_styles
from persona_img.ranking.columns import PHOTO, Names
from persona_img.ranking.counts import Counts
from persona_img.ranking.effects import Design, Effects, Met, independent
from persona_img.ranking.explained import effects_table
from persona_img.ranking.memory import half_life_of
from persona_img.ranking.posterior import (
    HELPING,
    JOINT,
    Posterior,
    fit_posterior,
    most_likely,
    updated_posterior,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from persona_img.domain.style import Style
    from persona_img.ranking.columns import Places

SPREADS: Mapping[str, float] = {
    "base": 10.0,
    "place": 1.0,
    "segment": 0.3,
    "product": 0.3,
    "text": 0.3,
    "segment x text": 0.15,
    "value": 0.07,
    PHOTO: 0.2,
    "pair": 0.01,
    "segment x value": 0.04,
    f"segment x {PHOTO}": 0.05,
    "text x value": 0.02,
    f"text x {PHOTO}": 0.03,
    f"product x {PHOTO}": 0.03,
    "number x value": 0.05,
    "number x pair": 0.02,
    "segment x number x value": 0.03,
    "segment x text x value": 0.02,
    "product x value": 0.02,
}
"""Expected spreads of effects on the log-odds by kind; ``text`` stands for any text column, and
``number`` for any of :data:`~persona_img.ranking.columns.NUMBERS`.

Lifts that large shops report for pictures are a few per cent, so effects of single values are
small; that the photo differs from all variants together is less surprising.
"""

_FIXED = ("base", "place")
_DOUBTED = ("number x value", "number x pair", "segment x number x value")
"""Kinds that count the less, the less the data speak for them: they have many columns, and tastes
may have nothing to do with the price."""

_TASTES = ("value", "pair")
"""Ends of kinds that tell variants apart. How strong tastes are at all is asked of all of them: who
overrates them believes the luckiest of many variants, and shows it instead of a better photo."""

_DOCUMENT, _COVARIANCE = "bayes.json", "bayes-covariance.txt"


class BayesRanker:
    """Click rates at position 1 with their uncertainty, from segment, product and style.

    Args:
        half_life: Days after which an impression counts half, > 0; infinity forgets nothing. None
            for what would have predicted the last weeks best
            (:func:`~persona_img.ranking.memory.half_life_of`).
        spreads: Expected prior spreads by kind, for those that are to differ from :data:`SPREADS`.
        learned: Whether the spreads follow the data; else they stay as given.
        joint: Most effects of which the joint uncertainty is kept.

    Attributes:
        memory: The half-life that was used, days; NaN before it is fitted.

    References:
        Hill et al. 2017, "An Efficient Bandit Algorithm for Realtime Multivariate Optimization",
        KDD: a probit regression over attributes and their pairs, for Thompson sampling. We add
        segments, categories and products, and learn the spreads as MacKay 1992 does.
    """

    name = "bayes"

    def __init__(
        self,
        *,
        half_life: float | None = None,
        spreads: Mapping[str, float] | None = None,
        learned: bool = True,
        joint: int = JOINT,
    ) -> None:
        self.spreads = {**SPREADS, **(spreads or {})}
        if not (half_life is None or half_life > 0) or joint < 1:
            raise InvalidInput(f"half_life {half_life}, joint {joint}: both must be above 0")
        if set(self.spreads) != set(SPREADS) or not all(s > 0 for s in self.spreads.values()):
            raise InvalidInput(
                f"spreads {spreads}: numbers above 0, of {', '.join(sorted(SPREADS))}"
            )
        self.half_life = half_life
        self.learned = learned
        self.joint = joint
        self.memory = math.nan
        self._fitted: Effects | None = None
        self._sure = False

    def fit(self, feedback: pd.DataFrame, features: RankingFeatures) -> Self:
        """Learn from counted impressions of all arms, later ones counting more.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
            NotEnoughData: no click, or no impression without one.
        """
        return self.learned_from(weighed_feedback(feedback), features)

    def learned_from(self, feedback: pd.DataFrame, features: RankingFeatures) -> Self:
        """:meth:`fit`, of what :func:`~persona_img.domain.feedback_table.weighed_feedback` returns.

        Raises:
            NotEnoughData: as for :meth:`fit`.
        """
        if not 0 < feedback["clicked"].sum() < len(feedback):
            raise NotEnoughData(
                f"{feedback['clicked'].sum()} clicks in {len(feedback)} impressions; a fit needs "
                "some of both: wait, or rank with PopularityRanker"
            )
        half_life = self.half_life
        if half_life is None:
            half_life = half_life_of(feedback, features, self.spreads)
        counts = Counts.of(feedback)
        clicks, misses = counts.weighed(half_life)
        names = Names.of(counts.places, features)
        design = Design.of(names, counts.places, clicks, misses, self.spreads)
        posterior = fit_posterior(
            design.matrix,
            design.block,
            design.expected,
            clicks,
            misses,
            learned=np.array([self.learned and k.name not in _FIXED for k in design.kinds]),
            doubted=np.array([self.learned and k.name in _DOUBTED for k in design.kinds]),
            alike=np.array([k.name.endswith(_TASTES) for k in design.kinds]),
            joint=self.joint,
        )
        # As it is kept on disk, so that a loaded ranker says the same.
        joint = posterior.joint.astype(np.float32).astype(np.float64)
        self._sure = False
        self.memory = half_life
        self._fitted = Effects(
            names,
            design.kinds,
            Posterior(posterior.mean, joint, posterior.rest, posterior.spread),
        )
        return self

    def foretelling(
        self, feedback: pd.DataFrame, features: RankingFeatures
    ) -> Callable[[Places], Floats]:
        """What it would say, had it learned its effects from a part of its impressions alone.

        How long it remembers and how far effects of a kind spread, two dozen numbers, stay as all
        its impressions taught: to learn these, and how sure it is, is most of the work of a fit.

        Args:
            feedback: Of :func:`~persona_img.domain.feedback_table.weighed_feedback`, some with and
                some without a click.
            features: That it was fitted with.

        Returns:
            (n,) log-odds of cells, as :meth:`log_odds`.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        counts = Counts.of(feedback)
        clicks, misses = counts.weighed(self.memory)
        names = Names.of(counts.places, features)
        design = Design.of(names, counts.places, clicks, misses, self.spreads)
        spread = self._fitted.posterior.spread[design.block]
        mean = most_likely(design.matrix, spread, clicks, misses, joint=HELPING)
        return lambda places: design.rows(places) @ mean

    def log_odds(self, places: Places) -> Floats:
        """(n,) predicted log-odds of a click in cells, at their positions.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        return self._fitted.rows(places) @ self._fitted.posterior.mean

    def updated(self, feedback: pd.DataFrame) -> BayesRanker:
        """This ranker after later impressions: what it knew is where it begins.

        Nothing is forgotten, and what it never met in its fit it does not learn of.

        Args:
            feedback: As for :meth:`fit`, of impressions that it was not fitted on.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
            NotEnoughData: it was never fitted.
        """
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        ranker = BayesRanker(
            half_life=self.half_life, spreads=self.spreads, learned=self.learned, joint=self.joint
        )
        ranker.memory, ranker._fitted = self.memory, self._fitted
        feedback = weighed_feedback(feedback)
        if len(feedback):
            counts = Counts.of(feedback)
            posterior = updated_posterior(
                self._fitted.rows(counts.places),
                self._fitted.posterior,
                *counts.weighed(math.inf),
            )
            ranker._fitted = replace(self._fitted, posterior=posterior)
        return ranker

    def rank(self, context: Context, styles: Sequence[Style]) -> Ranking:
        """The styles by predicted click rate at position 1, each with its spread.

        Raises:
            EmptySlate: no style.
            NotEnoughData: it was never fitted.
        """
        check_styles(context, styles)
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        ordered = sorted(styles)
        keys = [style.key for style in ordered]
        if self._sure:
            score = self._fitted.scores([context.segment], [context.product], keys)[0, 0]
            return ranking_of(context, ordered, expit(score).tolist())
        score, covariance = self._fitted.predicted(context.segment, context.product, keys)
        spread = np.sqrt(independent(covariance))
        return ranking_of(context, ordered, expit(score).tolist(), spread.tolist())

    def predicted(
        self, contexts: Sequence[Context], styles: Sequence[Sequence[Style]]
    ) -> Predicted:
        """What :meth:`rank` says of N slates of S styles each, in the order given, not rounded.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        by_product: dict[str, list[int]] = {}
        for number, context in enumerate(contexts):
            by_product.setdefault(context.product, []).append(number)
        score = np.zeros((len(contexts), len(styles[0]) if styles else 0))
        spread = np.ones_like(score)
        for product, mine in by_product.items():
            # A product's slates are taken from one pool, so its styles are few.
            keys = sorted({style.key for number in mine for style in styles[number]})
            place = {key: column for column, key in enumerate(keys)}
            column = np.array([[place[s.key] for s in styles[number]] for number in mine])
            row = np.arange(len(mine))[:, None]
            segments = [contexts[number].segment for number in mine]
            if self._sure:
                score[mine] = self._fitted.scores(segments, [product], keys)[row, 0, column]
                continue
            found, covariance = self._fitted.of_product(product, segments, keys)
            score[mine] = found[row, column]
            own = covariance[row[:, :, None], column[:, :, None], column[:, None, :]]
            spread[mine] = np.sqrt(independent(own))
        return Predicted(np.asarray(expit(score), dtype=np.float64), None if self._sure else spread)

    def scores(
        self, segments: Sequence[str], products: Sequence[str], styles: Sequence[Style]
    ) -> Floats:
        """Predicted click rates at position 1 of everything with everything, as :meth:`rank` says.

        Returns:
            float64 (K, P, S), for K segments, P products and S styles, in the order given.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        found = self._fitted.scores(segments, products, [style.key for style in styles])
        return np.asarray(expit(found), dtype=np.float64)

    def drawn(self, rng: np.random.Generator) -> BayesRanker:
        """A ranker as it may truly be, drawn from the posterior; it is sure, and has no spreads.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        ranker = BayesRanker(
            half_life=self.half_life, spreads=self.spreads, learned=self.learned, joint=self.joint
        )
        posterior = replace(self._fitted.posterior, mean=self._fitted.drawn(rng))
        ranker._fitted = replace(self._fitted, posterior=posterior)
        ranker.memory = self.memory
        ranker._sure = True
        return ranker

    def effects(self) -> pd.DataFrame:
        """See :meth:`~persona_img.ranking.explained.Explained.effects`.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; fit or load it first")
        return effects_table(self._fitted)

    def save(self, folder: str | Path) -> None:
        """Write ``bayes.json``, and the joint covariance's lower half as base64 of float32.

        Raises:
            NotEnoughData: it was never fitted.
        """
        if self._fitted is None:
            raise NotEnoughData("this ranker was never fitted; there is nothing to save")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        posterior = self._fitted.posterior
        document = {
            "kind": self.name,
            "half_life": self.half_life,
            "memory": self.memory,
            "spreads": self.spreads,
            "learned": self.learned,
            "joint": self.joint,
            "names": self._fitted.names.as_dict(),
            "kinds": [kind.as_dict() for kind in self._fitted.kinds],
            "mean": posterior.mean.tolist(),
            "rest": posterior.rest.tolist(),
            "spread": posterior.spread.tolist(),
        }
        text = json.dumps(document, sort_keys=True)
        (folder / _DOCUMENT).write_text(text, encoding="utf-8")
        lower = posterior.joint[np.tril_indices(len(posterior.joint))].astype("<f4")
        (folder / _COVARIANCE).write_bytes(base64.encodebytes(lower.tobytes()))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The inverse of :meth:`save`."""
        path = Path(folder) / _DOCUMENT
        if not path.exists():
            raise NotFound(f"{path}: no Bayes ranker; save one there first")
        covariance = path.with_name(_COVARIANCE)
        if not covariance.exists():
            raise NotFound(f"{covariance}: missing beside {_DOCUMENT}; save the ranker again")
        document = json.loads(path.read_text(encoding="utf-8"))
        ranker = cls(
            half_life=document["half_life"],
            spreads=document["spreads"],
            learned=document["learned"],
            joint=document["joint"],
        )
        mean, rest = (np.array(document[k], dtype=np.float64) for k in ("mean", "rest"))
        size = len(mean) - len(rest)
        lower = np.frombuffer(base64.decodebytes(covariance.read_bytes()), dtype="<f4")
        joint = np.zeros((size, size))
        joint[np.tril_indices(size)] = lower
        joint = np.tril(joint) + np.tril(joint, -1).T
        ranker.memory = document["memory"]
        ranker._fitted = Effects(
            Names.from_dict(document["names"]),
            tuple(Met.from_dict(kind) for kind in document["kinds"]),
            Posterior(mean, joint, rest, np.array(document["spread"], dtype=np.float64)),
        )
        return ranker
