"""Bayesian logistic regression on sparse columns, its prior spreads learned from the data.

Effects of one block have independent normal priors around 0 with one standard deviation. The
posterior is Laplace's: normal around the most likely effects, with the curvature there. The first
columns, which most rows share, are joint; those beyond :data:`JOINT` are taken as independent of
the rest, for a matrix of all would not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import expit

from persona_img.ranking.repeated import Repeated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from scipy import sparse

    from persona_img.ranking.base import Floats

JOINT = 2000
"""Most columns with a joint covariance: 32 MB, and under a second to invert."""

HELPING = 300
"""Effects whose curvature helps the search along; how many does not move what is found."""

_ANCHOR = 8.0
"""How many effects the prior guess of a block's spread is worth."""

_LOOSE = 1.0
"""The same of a doubted block: of what may not be there nobody knows how large it is."""

_COMMON = 1.0
"""How many effects the guesses of alike blocks are worth, all in all: together they say what none
of them says alone, that there is more or less of everything."""

_LEAST = 1e-10
"""Least variance that is believed of a block."""

_ODDS = 1.0
"""Log-odds that doubted blocks are there, before any data."""

_ROUNDS, _STILL = 10, 0.03
"""Most updates of the spreads, and the relative change that is none."""

_BENT = 2
"""Updates before which the curvature is taken anew; the posterior's own is always new."""

_NEWTON, _GRADIENT = 50, 1e-9
_NEAR = 1e-2
"""Log-posterior, nats: a step towards effects by which only spreads are updated that gained less is
the last; those of the posterior itself are searched to the end."""

_ROUGHLY = 1e-2
"""Relative error left to a Newton step: the next one begins nearer, and finer ones cost a quarter
of a fit (Dembo, Eisenstat, Steihaug 1982, "Inexact Newton Methods")."""


@dataclass(frozen=True)
class Posterior:
    """D effects on the log-odds.

    Attributes:
        mean: float64 (D,).
        joint: float64 (J, J), covariance of the first J.
        rest: float64 (D - J,), variances of the others.
        spread: float64 (B,), prior standard deviation by block, as learned.
    """

    mean: Floats
    joint: Floats
    rest: Floats
    spread: Floats

    def covariance(self, columns: NDArray[np.int64]) -> Floats:
        """(K, K) of some effects."""
        size = len(self.joint)
        first = columns < size
        made = np.zeros((len(columns), len(columns)))
        made[np.ix_(first, first)] = self.joint[np.ix_(columns[first], columns[first])]
        late = np.flatnonzero(~first)
        made[late, late] = self.rest[columns[late] - size]
        return made


def fit_posterior(
    columns: sparse.csr_array | Repeated,
    block: NDArray[np.int64],
    guess: Floats,
    clicks: Floats,
    misses: Floats,
    *,
    learned: NDArray[np.bool_] | None = None,
    doubted: NDArray[np.bool_] | None = None,
    alike: NDArray[np.bool_] | None = None,
    joint: int = JOINT,
) -> Posterior:
    """Effects and their uncertainty.

    Args:
        columns: (n, D), one row per cell of equal impressions.
        block: (D,) codes of blocks, 0..B-1.
        guess: (B,) prior standard deviations expected, > 0.
        clicks: (n,), >= 0; fractions where old impressions count less.
        misses: (n,), the same of impressions without a click.
        learned: (B,) whether the spread is learned; None learns none.
        doubted: (B,) blocks that may not be there, all or none of them: their effects spread the
            less, the less the data speak for them. None doubts none; only learned ones can be.
        alike: (B,) blocks of which all may spread by the same factor less than guessed, or more;
            None is none; only learned ones can be.
        joint: Columns with a joint covariance.

    References:
        MacKay 1992, "Bayesian Interpolation", Neural Computation: the spread by which a block's
        effects are most likely, here held near the guess where few effects say anything, and alike
        blocks' near each other (Gelman 2006, "Prior distributions for variance parameters in
        hierarchical models", Bayesian Analysis, groups few blocks so). Dickey
        1971, "The Weighted Likelihood Ratio", Ann. Math. Stat.: what speaks for doubted blocks.
    """
    problem = _Problem(columns, clicks, misses, min(joint, columns.shape[1]))
    spread = guess.astype(np.float64).copy()
    learned = np.zeros(len(spread), dtype=bool) if learned is None else learned
    doubted = np.zeros(len(spread), dtype=bool) if doubted is None else doubted & learned
    alike = np.zeros(len(spread), dtype=bool) if alike is None else alike & learned
    anchor = np.where(doubted, _LOOSE, _ANCHOR)
    count = np.bincount(block, minlength=len(spread))
    mean = np.zeros(columns.shape[1])
    problem.bend(mean)
    known: Posterior | None = None
    for number in range(_ROUNDS if learned.any() else 0):
        prior = _Prior.around_zero(spread[block])
        mean = problem.peak(mean, prior, _NEAR)
        # The curvature hardly moves with the spreads, and it is what takes long.
        if number < _BENT:
            problem.bend(mean)
        covariance, variance = problem.uncertainty(prior)
        known = Posterior(mean, covariance, variance[len(covariance) :], spread)
        told = count - np.bincount(block, variance / spread[block] ** 2, minlength=len(spread))
        told = np.maximum(told, 1e-9)
        squares = np.bincount(block, mean**2, minlength=len(spread))
        likely = np.log(np.maximum(squares / told, _LEAST))
        expected = np.log(guess**2)
        # The common factor, as blocks tell it whose own ones vary by what their anchors leave.
        heard = np.where(alike, told * anchor / (told + anchor), 0.0)
        expected = expected + alike * (heard @ (likely - expected)) / (heard.sum() + _COMMON)
        new = np.exp(0.5 * (anchor * expected + told * likely) / (anchor + told))
        new = np.where(learned & (count > 0), new, spread)
        moved = np.abs(new / spread - 1.0).max()
        spread = new
        if moved < _STILL:
            break
    if known is not None and doubted.any():
        # Of effects that are there with this chance, and else 0: what they vary by all in all.
        speaks = _spoken_for(known, np.flatnonzero(doubted[block]), block)
        spread = np.where(doubted, spread * np.sqrt(expit(_ODDS + speaks)), spread)
    prior = _Prior.around_zero(spread[block])
    mean = problem.peak(mean, prior)
    problem.bend(mean)
    covariance, variance = problem.uncertainty(prior)
    return Posterior(mean, covariance, variance[len(covariance) :], spread)


def _spoken_for(known: Posterior, columns: NDArray[np.int64], block: NDArray[np.int64]) -> float:
    """Log of how much likelier the data are with K effects than if all of them were 0.

    For nested models that is the ratio of the densities at 0, before the data and after them: no
    fit without the effects is needed. Of effects beyond the joint ones the variances given all
    others are taken for their own, which are larger: there it says too much.
    """
    prior = known.spread[block[columns]]
    mean = known.mean[columns] / prior
    covariance = known.covariance(columns) / np.outer(prior, prior)
    factor = np.linalg.cholesky(covariance)
    away = linalg.solve_triangular(factor, mean, lower=True)
    return float(np.log(np.diag(factor)).sum() + 0.5 * away @ away)


def most_likely(
    columns: sparse.csr_array | Repeated,
    spread: Floats,
    clicks: Floats,
    misses: Floats,
    *,
    joint: int = JOINT,
) -> Floats:
    """(D,) effects alone, without their uncertainty.

    Args:
        columns: As for :func:`fit_posterior`.
        spread: (D,) prior standard deviations, > 0.
        clicks: As for :func:`fit_posterior`.
        misses: As for :func:`fit_posterior`.
        joint: Columns whose joint curvature helps the search along.
    """
    (mean,) = most_likely_each(columns, spread, [(clicks, misses)], joint=joint)
    return mean


def most_likely_each(
    columns: sparse.csr_array | Repeated,
    spread: Floats,
    counted: Iterable[tuple[Floats, Floats]],
    *,
    joint: int = JOINT,
    enough: float = 0.0,
) -> Iterator[Floats]:
    """(D,) effects as :func:`most_likely` finds them, of cells that are counted in several ways.

    Each search begins where the one before it ended, and with the curvature of the first, by how
    much is counted: to take it costs as much as a search.

    Args:
        columns: As for :func:`fit_posterior`.
        spread: (D,) prior standard deviations, > 0.
        counted: Clicks and misses of the cells, as for :func:`fit_posterior`.
        joint: Columns whose joint curvature helps the search along.
        enough: Log-posterior, nats: a step of the search that gained less is its last. The next
            one would have gained about the square of that.
    """
    prior = _Prior.around_zero(spread)
    mean = np.zeros(columns.shape[1])
    problem: _Problem | None = None
    for clicks, misses in counted:
        if problem is None:
            problem = _Problem(columns, clicks, misses, min(joint, columns.shape[1]))
            problem.bend(mean)
        else:
            problem.recount(clicks, misses)
        mean = problem.peak(mean, prior, enough)
        yield mean


def updated_posterior(
    columns: sparse.csr_array | Repeated, known: Posterior, clicks: Floats, misses: Floats
) -> Posterior:
    """What is known after more impressions: the posterior before is the prior now.

    Args:
        columns: (n, D), as for :func:`fit_posterior`, of the cells that were met since.
        known: Of the D effects.
        clicks: As for :func:`fit_posterior`.
        misses: As for :func:`fit_posterior`.
    """
    prior = _Prior.known(known)
    problem = _Problem(columns, clicks, misses, len(known.joint))
    problem.bend(known.mean)
    mean = problem.peak(known.mean, prior)
    problem.bend(mean)
    covariance, variance = problem.uncertainty(prior)
    return Posterior(mean, covariance, variance[len(covariance) :], known.spread)


@dataclass(frozen=True)
class _Prior:
    """What is believed before: a normal distribution.

    Attributes:
        mean: (D,).
        core: Precision of the first J: (J,) where they are independent, else (J, J).
        rest: (D - J,) precisions of the others; of all of them where J is not said.
    """

    mean: Floats
    core: Floats
    rest: Floats

    @classmethod
    def around_zero(cls, spread: Floats) -> _Prior:
        """Independent effects, with (D,) standard deviations."""
        return cls(np.zeros(len(spread)), np.zeros(0), spread**-2.0)

    @classmethod
    def known(cls, posterior: Posterior) -> _Prior:
        """What a fit found out."""
        joint = posterior.joint
        # Rounded to float32, it may have lost definiteness by as much.
        slack = 1e-6 * np.diag(joint).max() if len(joint) else 0.0
        return cls(posterior.mean, _inverse(joint + slack * np.eye(len(joint))), 1 / posterior.rest)

    def precision(self, count: int) -> tuple[Floats, Floats]:
        """(count, count) of the first, and the other effects' own."""
        if len(self.core):
            return self.core, self.rest
        return np.diag(self.rest[:count]), self.rest[count:]

    def pull(self, vector: Floats) -> Floats:
        """(D,) the precision times a vector."""
        size = len(self.core)
        if not size:
            return self.rest * vector
        return np.concatenate([self.core @ vector[:size], self.rest * vector[size:]])


class _Problem:
    """The likelihood, and its curvature where it was bent last."""

    def __init__(
        self, columns: sparse.csr_array | Repeated, clicks: Floats, misses: Floats, joint: int
    ) -> None:
        self._columns = columns if isinstance(columns, Repeated) else Repeated.of(columns)
        self._clicks, self._shown = clicks, clicks + misses
        self._joint = joint
        self._bent = np.zeros((joint, joint))
        self._diagonal = np.zeros(columns.shape[1])

    def bend(self, mean: Floats) -> None:
        """Take the curvature at these effects."""
        weight = self._weight(mean)
        self._bent = self._columns.gram(weight, self._joint)
        self._diagonal = self._columns.squares(weight)

    def recount(self, clicks: Floats, misses: Floats) -> None:
        """Count the cells otherwise; the curvature is scaled by how much is counted."""
        before, self._clicks, self._shown = self._shown, clicks, clicks + misses
        less = float(self._shown.sum() / before.sum())
        self._bent = self._bent * less
        self._diagonal = self._diagonal * less

    def peak(self, mean: Floats, prior: _Prior, enough: float = 0.0) -> Floats:
        """The most likely effects, by Newton's method with preconditioned conjugate gradients."""
        core, rest = prior.precision(self._joint)
        factor = linalg.cho_factor(self._bent + core)
        rest = self._diagonal[self._joint :] + rest

        def towards(vector: Floats) -> Floats:
            first = linalg.cho_solve(factor, vector[: self._joint])
            return np.concatenate([first, vector[self._joint :] / rest])

        size = len(mean)
        near = LinearOperator((size, size), matvec=towards, dtype=np.float64)
        tolerance = _GRADIENT * max(float(self._shown.sum()), 1.0)
        value = self._loss(mean, prior)
        for _ in range(_NEWTON):
            chance = expit(self._columns @ mean)
            gradient = self._columns.sums(self._shown * chance - self._clicks)
            gradient += prior.pull(mean - prior.mean)
            if np.abs(gradient).max() <= tolerance:
                break
            weight = self._shown * chance * (1.0 - chance)

            def bent(vector: Floats, weight: Floats = weight) -> Floats:
                along = self._columns.sums(weight * (self._columns @ vector))
                return np.asarray(along + prior.pull(vector), dtype=np.float64)

            curvature = LinearOperator((size, size), matvec=bent, dtype=np.float64)
            step, _ = cg(curvature, gradient, M=near, rtol=_ROUGHLY, maxiter=200)
            length, before = 1.0, value
            while True:
                value = self._loss(mean - length * step, prior)
                if value <= before or length < 1e-6:
                    break
                length /= 2.0
            mean = mean - length * step
            if before - value <= max(enough, 1e-12 * abs(before)):
                break
        return mean

    def uncertainty(self, prior: _Prior) -> tuple[Floats, Floats]:
        """(J, J) covariance of the joint effects, and (D,) variances of all."""
        core, rest = prior.precision(self._joint)
        covariance = _inverse(self._bent + core)
        rest = 1.0 / (self._diagonal[self._joint :] + rest)
        return covariance, np.concatenate([np.diag(covariance), rest])

    def _loss(self, mean: Floats, prior: _Prior) -> float:
        score = self._columns @ mean
        likelihood = self._shown @ np.logaddexp(0.0, score) - self._clicks @ score
        away = mean - prior.mean
        return float(likelihood + 0.5 * prior.pull(away) @ away)

    def _weight(self, mean: Floats) -> Floats:
        chance = expit(self._columns @ mean)
        return np.asarray(self._shown * chance * (1.0 - chance), dtype=np.float64)


def _inverse(matrix: Floats) -> Floats:
    """Of a positive definite one."""
    factor, _ = linalg.cho_factor(matrix, lower=True)
    # A third of the work of solving for every unit vector.
    inverse, _ = linalg.lapack.dpotri(factor, lower=1)
    return np.asarray(np.tril(inverse) + np.tril(inverse, -1).T, dtype=np.float64)
