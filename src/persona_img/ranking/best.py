"""The chance that each of several independent unknowns is the largest, by quadrature.

Style i is best with the chance that all others are below it: the integral of its density times the
others' distribution functions. Between the quantiles of all of them the integrand is smooth, so a
Gauss-Legendre rule on each piece is exact to many digits, and unlike draws it has no noise to log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.ranking.base import Floats

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_DEVIATES = np.array([-8.5, -6.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.5])
_LARGEST = 1e300


def best_of_normals(mean: Floats, spread: Floats) -> Floats:
    """Chances to be the largest of independent normals.

    Args:
        mean: (S,).
        spread: (S,) standard deviations, > 0.

    Returns:
        float64 (S,), >= 0, summing to 1.
    """
    ends = mean[:, None] + spread[:, None] * _DEVIATES

    def density(x: Floats) -> Floats:
        z = (x - mean[:, None]) / spread[:, None]
        found = np.exp(-0.5 * z**2) / (spread[:, None] * np.sqrt(2.0 * np.pi))
        return np.asarray(found, dtype=np.float64)

    def below(x: Floats) -> Floats:
        return np.asarray(special.ndtr((x - mean[:, None]) / spread[:, None]), dtype=np.float64)

    return _integrated(ends, density, below)


def best_of_betas(hits: Floats, misses: Floats) -> Floats:
    """Chances to be the largest of independent Beta(hits, misses); both (S,), > 0."""
    a, b = hits[:, None], misses[:, None]
    ends = special.betaincinv(a, b, special.ndtr(_DEVIATES))

    def density(x: Floats) -> Floats:
        found = np.asarray(stats.beta.pdf(x, a, b), dtype=np.float64)
        return np.minimum(found, _LARGEST)

    def below(x: Floats) -> Floats:
        return np.asarray(special.betainc(a, b, x), dtype=np.float64)

    return _integrated(ends, density, below)


def _integrated(
    ends: Floats, density: Callable[[Floats], Floats], below: Callable[[Floats], Floats]
) -> Floats:
    """(S,) integrals over the pieces between all (S, E) ends."""
    edges = np.unique(ends)
    half = np.diff(edges)[:, None] / 2.0
    middle = (edges[:-1] + edges[1:])[:, None] / 2.0
    x = (middle + half * _NODES).ravel()
    weight = (half * _WEIGHTS).ravel()
    under = below(x)
    found = np.array(
        [
            weight @ (own * np.delete(under, i, axis=0).prod(axis=0))
            for i, own in enumerate(density(x))
        ]
    )
    return np.asarray(found / found.sum(), dtype=np.float64)
