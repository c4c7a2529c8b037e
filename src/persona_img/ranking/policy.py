"""Policies: from predicted click rates to chances of being shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.decision import Choice, Ranking, uniform
from persona_img.errors import EmptySlate, InvalidInput

if TYPE_CHECKING:
    from persona_img.ranking.base import Evidence, Floats


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
    """The chance that a style is the best, mixed with a floor.

    A style's click rate has a Beta posterior: the predicted rate, worth ``prior_strength``
    impressions, and the evidence counted since. The chance to be best is found by simulation whose
    seed depends on ``seed`` and the context alone.

    Args:
        floor: Least chance of every style, in [0, 1 / S]; 0 is allowed only where no style's chance
            may come out as 0, so give more than 0 for logs that are evaluated off-policy.
        draws: Posterior draws; the chance's own standard error is at most 0.5 / sqrt(draws).
        prior_strength: Impressions that a prediction is worth: the fewer, the more exploration.
        seed: Of the simulation.

    References:
        Chapelle and Li 2011, "An Empirical Evaluation of Thompson Sampling", NeurIPS. Scott 2010,
        "A modern Bayesian look at the multi-armed bandit". We log the probabilities and keep a
        floor, so that every decision can be evaluated later.

    Example:
        >>> from persona_img.domain.decision import Context, Ranking
        >>> from persona_img.domain.style import ORIGINAL, Style
        >>> styles = (Style.of({"surface": "linen"}), ORIGINAL)
        >>> ranking = Ranking(Context("home-cooks", "mug"), styles, (0.05, 0.02))
        >>> chances = ThompsonPolicy(floor=0.02).probabilities(ranking)
        >>> bool(chances[0] > chances[1] >= 0.02)
        True
    """

    name = "thompson"

    def __init__(
        self,
        *,
        floor: float = 0.02,
        draws: int = 4000,
        prior_strength: float = 2000.0,
        seed: int = 0,
    ) -> None:
        if not 0.0 < floor < 1.0:
            raise InvalidInput(f"floor {floor}: give a probability between 0 and 1, both excluded")
        if draws < 1 or not prior_strength > 0:
            raise InvalidInput(f"{draws} draws, prior_strength {prior_strength}: both must be > 0")
        self.floor = floor
        self.draws = draws
        self.prior_strength = prior_strength
        self.seed = seed

    def probabilities(self, ranking: Ranking, evidence: Evidence | None = None) -> Floats:
        """Floor + (1 - S floor) * the chance to be best."""
        _check(ranking, evidence, floor=self.floor)
        size = len(ranking.styles)
        rates = np.clip(np.array(ranking.scores), 1e-6, 1 - 1e-6)
        clicks, misses = rates * self.prior_strength, (1 - rates) * self.prior_strength
        if evidence is not None:
            clicks = clicks + evidence.clicks
            misses = misses + evidence.impressions - evidence.clicks
        context = ranking.context
        stream = int(uniform(str(self.seed), context.segment, context.product) * 2**53)
        sampled = np.random.default_rng(stream).beta(clicks, misses, (self.draws, size))
        best = np.bincount(sampled.argmax(axis=1), minlength=size) / self.draws
        return _summing_to_one(self.floor + (1.0 - size * self.floor) * best)

    def choose(self, ranking: Ranking, rng: np.random.Generator) -> Choice:
        """A style drawn with :meth:`probabilities`, and the probability it had."""
        return _drawn(ranking, self.probabilities(ranking), rng)


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
