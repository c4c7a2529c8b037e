"""Policies: from predicted click rates to chances of being shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from persona_img.domain.decision import Choice, Ranking
from persona_img.errors import EmptySlate, InvalidInput
from persona_img.ranking.base import Predicted
from persona_img.ranking.best import best_of_betas, best_of_normals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from persona_img.ranking.base import Evidence, Floats

_NEWTON = 30

_LEAST_FLOOR = 0.25
"""Part of the floor that is left to a slate of which nothing has a chance against the photo."""


class _OfMany(ABC):
    """A policy that weighs one slate as it weighs many."""

    @abstractmethod
    def chances(
        self,
        predicted: Predicted,
        photo: NDArray[np.int64],
        shown: Floats | None = None,
        clicks: Floats | None = None,
    ) -> Floats:
        """(N, S), of many slates; see :class:`~persona_img.ranking.chances.Weighing`."""

    def probabilities(self, ranking: Ranking, evidence: Evidence | None = None) -> Floats:
        """(S,) chances of one slate, in the ranking's order."""
        size = len(ranking.styles)
        photos = [style.is_original for style in ranking.styles]
        if not any(photos):
            raise EmptySlate(
                f"{ranking.context}: no original among {size} styles; it is always one"
            )
        if evidence is not None and len(evidence.clicks) != size:
            raise InvalidInput(
                f"evidence on {len(evidence.clicks)} of {size} styles; give one each"
            )
        spreads = None if ranking.spreads is None else np.array([ranking.spreads])
        counted = () if evidence is None else (evidence.impressions[None], evidence.clicks[None])
        predicted = Predicted(np.array([ranking.scores]), spreads)
        found: Floats = self.chances(predicted, np.array([photos.index(True)]), *counted)[0]
        return found

    def choose(self, ranking: Ranking, rng: np.random.Generator) -> Choice:
        """A style drawn with :meth:`probabilities`, and the probability it had."""
        probabilities = self.probabilities(ranking)
        index = int(rng.choice(len(probabilities), p=probabilities))
        return Choice(ranking.styles[index], float(probabilities[index]))


class UniformPolicy(_OfMany):
    """Every style alike: the most informative log, and what a shop without any knowledge does."""

    name = "uniform"

    def chances(
        self,
        predicted: Predicted,
        photo: NDArray[np.int64],
        shown: Floats | None = None,
        clicks: Floats | None = None,
    ) -> Floats:
        """(N, S), of many slates; see :class:`~persona_img.ranking.chances.Weighing`."""
        size = predicted.scores.shape[1]
        return _summing_to_one(np.full(predicted.scores.shape, 1.0 / size))


class EpsilonGreedyPolicy(_OfMany):
    """The best style, and with probability ``epsilon`` any.

    Evidence is not weighed here: without a prior strength a count and a prediction have no common
    scale. Use :class:`ThompsonPolicy` for that.

    Args:
        epsilon: In (0, 1]; each of S styles has at least epsilon / S. Styles that are best together
            share the rest.
    """

    name = "epsilon-greedy"

    def __init__(self, epsilon: float = 0.1) -> None:
        if not 0.0 < epsilon <= 1.0:
            raise InvalidInput(f"epsilon {epsilon}: give a share above 0, at most 1")
        self.epsilon = epsilon

    def chances(
        self,
        predicted: Predicted,
        photo: NDArray[np.int64],
        shown: Floats | None = None,
        clicks: Floats | None = None,
    ) -> Floats:
        """(N, S), of many slates; see :class:`~persona_img.ranking.chances.Weighing`."""
        scores = predicted.scores
        best = scores == scores.max(axis=1, keepdims=True)
        share = best / best.sum(axis=1, keepdims=True)
        return _summing_to_one(self.epsilon / scores.shape[1] + (1.0 - self.epsilon) * share)


class ThompsonPolicy(_OfMany):
    """The chance that a style is the best, mixed with a floor; what does harm gets the floor alone.

    What is known of a style's click rate is a normal posterior of its log-odds where the ranking
    has spreads, else a Beta posterior: the predicted rate, worth ``prior_strength`` impressions.
    Evidence counted since is added to either. The chance to be best is integrated, not sampled.

    A style that does not beat the original photo with a chance of ``assurance`` keeps the floor,
    and the photo gets what it had: the photo is what the merchant chose, so it is for the variants
    to show that they earn more, and nobody's shop is worse off for one that may yet turn out well.
    Nor is a shop to pay for ever for being told so: where no style of a slate is expected to earn
    more than the photo, its floor is the part that the best of them still has of an even chance.

    Args:
        floor: Least chance of every style, in (0, 1 / S]; a quarter of it where, by spreads, all
            styles of a slate are all but sure to earn less than the photo.
        prior_strength: Impressions that a prediction without a spread is worth: the fewer, the more
            exploration.
        assurance: In [.5, 1); at .5 it is enough to be expected to earn more. Where predictions
            have no spread nobody knows how sure they are, and that is all that is asked.

    References:
        Chapelle and Li 2011, "An Empirical Evaluation of Thompson Sampling", NeurIPS. Scott 2010,
        "A modern Bayesian look at the multi-armed bandit". We log the probabilities and keep a
        floor, so that every decision can be evaluated later.

    Example:
        >>> from persona_img.domain.decision import Context, Ranking
        >>> from persona_img.domain.style import ORIGINAL, Style
        >>> styles = (Style.of({"surface": "linen"}), ORIGINAL)
        >>> ranking = Ranking(Context("home-cooks", "mug"), styles, (0.05, 0.02), (0.1, 0.1))
        >>> ThompsonPolicy(floor=0.02).probabilities(ranking).round(3).tolist()
        [0.98, 0.02]
    """

    name = "thompson"

    def __init__(
        self,
        *,
        floor: float = 0.02,
        prior_strength: float = 2000.0,
        assurance: float = 0.5,
    ) -> None:
        if not 0.0 < floor < 1.0:
            raise InvalidInput(f"floor {floor}: give a probability between 0 and 1, both excluded")
        if not prior_strength > 0:
            raise InvalidInput(f"prior_strength {prior_strength}: must be > 0")
        if not 0.5 <= assurance < 1.0:
            raise InvalidInput(f"assurance {assurance}: give a probability from .5, below 1")
        self.floor = floor
        self.prior_strength = prior_strength
        self.assurance = assurance

    def chances(
        self,
        predicted: Predicted,
        photo: NDArray[np.int64],
        shown: Floats | None = None,
        clicks: Floats | None = None,
    ) -> Floats:
        """(N, S), of many slates; see :class:`~persona_img.ranking.chances.Weighing`."""
        size = predicted.scores.shape[1]
        _check_floor(self.floor, size)
        rates = np.clip(predicted.scores, 1e-6, 1 - 1e-6)
        shown = np.zeros_like(rates) if shown is None else shown
        clicks = np.zeros_like(rates) if clicks is None else clicks
        if predicted.spreads is None:
            hits = rates * self.prior_strength + clicks
            misses = (1 - rates) * self.prior_strength + shown - clicks
            expected, best = hits / (hits + misses), best_of_betas(hits, misses)
            # Without spreads nobody knows how sure it is that they lose.
            floor = np.full((len(rates), 1), self.floor)
        else:
            mean, spread = _updated(logit(rates), predicted.spreads, shown, clicks)
            apart = _apart(spread, photo)
            # What they earn more than by the chance that is asked; of photos the mean.
            expected, best = mean - ndtri(self.assurance) * apart, best_of_normals(mean, spread)
            floor = self.floor * _hope(mean, apart, photo)
        return _summing_to_one(floor + (1.0 - size * floor) * _harmless(expected, best, photo))

    def sharpness(self, rankings: Sequence[Ranking]) -> float:
        """By which power of its odds a style's chance to be best grows, see ``domain.leaning``.

        Args:
            rankings: Of some slates, at least one.

        Returns:
            What makes a logistic distribution as wide as the difference of two styles' errors is,
            for the median style.
        """
        spreads: list[float] = []
        for ranking in rankings:
            if ranking.spreads is not None:
                spreads.extend(ranking.spreads)
            else:
                rates = np.clip(np.array(ranking.scores), 1e-6, 1 - 1e-6)
                spreads.extend((self.prior_strength * rates * (1 - rates)) ** -0.5)
        return float(np.pi / np.sqrt(6.0) / np.median(spreads))


class SquareCBPolicy(_OfMany):
    """Inverse gap weighting: a style is shown the less, the further its rate is below the best one.

    Each of S styles but the best gets 1 / (S + gamma gap) of what floors leave, the best the rest.
    Counted evidence moves the predicted rates as for :class:`ThompsonPolicy`, and what is expected
    to earn less than the original photo gives what it had to the photo, too. Unlike Thompson's, the
    chances depend on predicted rates alone: on no spread, which a ranker may overstate.

    Args:
        floor: Least chance of every style, in (0, 1 / S].
        gamma: Above 0; a gap of 1 / gamma in click rate takes one of two from a half to a third.
        prior_strength: Impressions that a prediction is worth beside counted evidence.

    References:
        Foster and Rakhlin 2020, "Beyond UCB: Optimal and Efficient Contextual Bandits with
        Regression Oracles", ICML.

    Example:
        >>> from persona_img.domain.decision import Context, Ranking
        >>> from persona_img.domain.style import ORIGINAL, Style
        >>> styles = (Style.of({"surface": "linen"}), ORIGINAL)
        >>> ranking = Ranking(Context("home-cooks", "mug"), styles, (0.05, 0.049))
        >>> SquareCBPolicy(gamma=2000.0, floor=0.02).probabilities(ranking).round(3).tolist()
        [0.74, 0.26]
    """

    name = "squarecb"

    def __init__(
        self, *, floor: float = 0.02, gamma: float = 2000.0, prior_strength: float = 2000.0
    ) -> None:
        if not 0.0 < floor < 1.0:
            raise InvalidInput(f"floor {floor}: give a probability between 0 and 1, both excluded")
        if not gamma > 0:
            raise InvalidInput(f"gamma {gamma}: must be > 0")
        if not prior_strength > 0:
            raise InvalidInput(f"prior_strength {prior_strength}: must be > 0")
        self.floor, self.gamma, self.prior_strength = floor, gamma, prior_strength

    def chances(
        self,
        predicted: Predicted,
        photo: NDArray[np.int64],
        shown: Floats | None = None,
        clicks: Floats | None = None,
    ) -> Floats:
        """(N, S), of many slates; see :class:`~persona_img.ranking.chances.Weighing`."""
        count, size = predicted.scores.shape
        _check_floor(self.floor, size)
        rates = predicted.scores
        if shown is not None and clicks is not None:
            rates = (rates * self.prior_strength + clicks) / (self.prior_strength + shown)
        best = rates.argmax(axis=1)
        gap = rates[np.arange(count), best][:, None] - rates
        weight = 1.0 / (size + self.gamma * gap)
        weight[np.arange(count), best] = 0.0
        weight[np.arange(count), best] = 1.0 - weight.sum(axis=1)
        return _summing_to_one(
            self.floor + (1.0 - size * self.floor) * _harmless(rates, weight, photo)
        )


def _check_floor(floor: float, size: int) -> None:
    if floor * size > 1.0:
        raise InvalidInput(f"floor {floor} times {size} styles is above 1; lower the floor")


def _harmless(expected: Floats, chances: Floats, photo: NDArray[np.int64]) -> Floats:
    """(N, S) chances, of which the photo has those of all that are expected to earn less."""
    slate = np.arange(len(expected))
    harmful = expected < expected[slate, photo][:, None]
    kept = np.where(harmful, 0.0, chances)
    kept[slate, photo] += np.where(harmful, chances, 0.0).sum(axis=1)
    return kept


def _apart(spread: Floats, photo: NDArray[np.int64]) -> Floats:
    """(N, S) standard deviations of how far styles are from the photo; 0 of the photo itself."""
    slate = np.arange(len(spread))
    apart = np.hypot(spread, spread[slate, photo][:, None])
    apart[slate, photo] = 0.0
    return np.asarray(apart, dtype=np.float64)


def _hope(mean: Floats, apart: Floats, photo: NDArray[np.int64]) -> Floats:
    """(N, 1) of an even chance to earn more than the photo, the part that the best style has."""
    ahead = mean - mean[np.arange(len(mean)), photo][:, None]
    known = np.divide(ahead, apart, out=np.full_like(mean, -np.inf), where=apart > 0)
    best = 2.0 * ndtr(known.max(axis=1, keepdims=True))
    return np.asarray(np.clip(best, _LEAST_FLOOR, 1.0), dtype=np.float64)


def _updated(mean: Floats, spread: Floats, shown: Floats, clicks: Floats) -> tuple[Floats, Floats]:
    """Normal posteriors of log-odds after more impressions: Laplace's, by Newton's method."""
    precision = spread**-2
    found = mean
    for _ in range(_NEWTON if shown.any() else 0):
        chance = expit(found)
        slope = shown * chance - clicks + precision * (found - mean)
        step = slope / (shown * chance * (1.0 - chance) + precision)
        # Far from the peak the curvature misleads; a bounded step cannot run away.
        found = found - np.clip(step, -1.0, 1.0)
    chance = expit(found)
    return found, (precision + shown * chance * (1.0 - chance)) ** -0.5


def _summing_to_one(probabilities: Floats) -> Floats:
    """Rounding of (N, S) put right at each slate's largest, which no floor can feel."""
    slate = np.arange(len(probabilities))
    probabilities[slate, probabilities.argmax(axis=1)] += 1.0 - probabilities.sum(axis=1)
    return probabilities
