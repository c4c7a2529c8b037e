"""Policies: from predicted click rates to chances of being shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from persona_img.domain.decision import Choice, Ranking
from persona_img.errors import EmptySlate, InvalidInput
from persona_img.ranking.best import best_of_betas, best_of_normals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.ranking.base import Evidence, Floats

_NEWTON = 30


class UniformPolicy:
    """Every style alike: the most informative log, and what a shop without any knowledge does."""

    name = "uniform"

    def probabilities(self, ranking: Ranking, evidence: Evidence | None = None) -> Floats:
        """1/S for each of S styles."""
        _check(ranking, evidence, floor=0.0)
        return _summing_to_one(np.full(len(ranking.styles), 1.0 / len(ranking.styles)))

    def choose(self, ranking: Ranking, rng: np.random.Generator) -> Choice:
        """A style drawn with :meth:`probabilities`, and the probability it had."""
        return _drawn(ranking, self.probabilities(ranking), rng)


class EpsilonGreedyPolicy:
    """The best style, and with probability ``epsilon`` any.

    Args:
        epsilon: In (0, 1]; each of S styles has at least epsilon / S. Styles that are best together
            share the rest.
    """

    name = "epsilon-greedy"

    def __init__(self, epsilon: float = 0.1) -> None:
        if not 0.0 < epsilon <= 1.0:
            raise InvalidInput(f"epsilon {epsilon}: give a share above 0, at most 1")
        self.epsilon = epsilon

    def probabilities(self, ranking: Ranking, evidence: Evidence | None = None) -> Floats:
        """Epsilon / S each, and 1 - epsilon on the best.

        Evidence is not weighed here: without a prior strength a count and a prediction have no
        common scale. Use :class:`ThompsonPolicy` for that.
        """
        _check(ranking, evidence, floor=0.0)
        scores = np.array(ranking.scores)
        best = scores == scores.max()
        return _summing_to_one(
            self.epsilon / len(scores) + (1.0 - self.epsilon) * best / best.sum()
        )

    def choose(self, ranking: Ranking, rng: np.random.Generator) -> Choice:
        """A style drawn with :meth:`probabilities`, and the probability it had."""
        return _drawn(ranking, self.probabilities(ranking), rng)


class ThompsonPolicy:
    """The chance that a style is the best, mixed with a floor; what does harm gets the floor alone.

    What is known of a style's click rate is a normal posterior of its log-odds where the ranking
    has spreads, else a Beta posterior: the predicted rate, worth ``prior_strength`` impressions.
    Evidence counted since is added to either. The chance to be best is integrated, not sampled.

    A style that is expected to earn less than the original photo keeps the floor, and the photo
    gets what it had: nobody's shop is worse off for a style that may yet turn out well.

    Args:
        floor: Least chance of every style, in (0, 1 / S].
        prior_strength: Impressions that a prediction without a spread is worth: the fewer, the more
            exploration.

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

    def __init__(self, *, floor: float = 0.02, prior_strength: float = 2000.0) -> None:
        if not 0.0 < floor < 1.0:
            raise InvalidInput(f"floor {floor}: give a probability between 0 and 1, both excluded")
        if not prior_strength > 0:
            raise InvalidInput(f"prior_strength {prior_strength}: must be > 0")
        self.floor = floor
        self.prior_strength = prior_strength

    def probabilities(self, ranking: Ranking, evidence: Evidence | None = None) -> Floats:
        """Floor + (1 - S floor) * the chance to be best."""
        _check(ranking, evidence, floor=self.floor)
        size = len(ranking.styles)
        rates = np.clip(np.array(ranking.scores), 1e-6, 1 - 1e-6)
        shown = np.zeros(size) if evidence is None else evidence.impressions
        clicks = np.zeros(size) if evidence is None else evidence.clicks
        if ranking.spreads is None:
            hits = rates * self.prior_strength + clicks
            misses = (1 - rates) * self.prior_strength + shown - clicks
            expected, best = hits / (hits + misses), best_of_betas(hits, misses)
        else:
            mean, spread = _updated(logit(rates), np.array(ranking.spreads), shown, clicks)
            expected, best = mean, best_of_normals(mean, spread)
        photo = [style.is_original for style in ranking.styles].index(True)
        harmful = expected < expected[photo]
        best[photo] += best[harmful].sum()
        best[harmful] = 0.0
        return _summing_to_one(self.floor + (1.0 - size * self.floor) * best)

    def choose(self, ranking: Ranking, rng: np.random.Generator) -> Choice:
        """A style drawn with :meth:`probabilities`, and the probability it had."""
        return _drawn(ranking, self.probabilities(ranking), rng)

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


def _updated(mean: Floats, spread: Floats, shown: Floats, clicks: Floats) -> tuple[Floats, Floats]:
    """Normal posteriors of log-odds after more impressions: Laplace's, by Newton's method."""
    precision = spread**-2
    found = mean
    for _ in range(_NEWTON):
        chance = expit(found)
        slope = shown * chance - clicks + precision * (found - mean)
        step = slope / (shown * chance * (1.0 - chance) + precision)
        # Far from the peak the curvature misleads; a bounded step cannot run away.
        found = found - np.clip(step, -1.0, 1.0)
    chance = expit(found)
    return found, (precision + shown * chance * (1.0 - chance)) ** -0.5


def _check(ranking: Ranking, evidence: Evidence | None, *, floor: float) -> None:
    size = len(ranking.styles)
    if not any(style.is_original for style in ranking.styles):
        raise EmptySlate(f"{ranking.context}: no original among {size} styles; it is always one")
    if floor * size > 1.0:
        raise InvalidInput(f"floor {floor} times {size} styles is above 1; lower the floor")
    if evidence is not None and len(evidence.clicks) != size:
        raise InvalidInput(f"evidence on {len(evidence.clicks)} of {size} styles; give one each")


def _summing_to_one(probabilities: Floats) -> Floats:
    """Rounding put right at the largest, which no floor can feel."""
    probabilities = probabilities.copy()
    probabilities[probabilities.argmax()] += 1.0 - probabilities.sum()
    return probabilities


def _drawn(ranking: Ranking, probabilities: Floats, rng: np.random.Generator) -> Choice:
    index = int(rng.choice(len(probabilities), p=probabilities))
    return Choice(ranking.styles[index], float(probabilities[index]))
