"""The chance that each of several independent unknowns is the largest, by quadrature.

Style i is best with the chance that all others are below it: the integral of its density times the
others' distribution functions. Between the quantiles of all of them the integrand is smooth, so a
Gauss-Legendre rule on each piece is exact to many digits, and unlike draws it has no noise to log.
The distribution functions are integrals of the densities on the same nodes, which costs a tenth of
evaluating them. Many slates go at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import legendre
from scipy import special, stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.ranking.base import Floats

_NODES, _WEIGHTS = legendre.leggauss(12)
_DEVIATES = np.array([-8.5, -5.0, -2.5, 0.0, 2.5, 5.0, 8.5])
_FARTHER = np.array([-9.5, *_DEVIATES[1:-1], 9.5])
"""Of smooth betas, whose tail above is longer than a normal's."""

_CLOSER = np.array([-8.5, -6.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.5])
"""Of the others."""

_LARGEST = 690.0
"""Logarithm of the largest density."""

_SMOOTH = 8.0
"""Hits and misses from which a beta's density is integrated, and not its function evaluated: with
fewer it bends sharply at 0 or 1."""

_AT_ONCE = 1 << 15
"""Most numbers of one array: what stays in the processor's cache."""


def _indefinite() -> Floats:
    """(Q, Q): from values at the nodes to integrals from -1 to each node, by Legendre's series."""
    order = np.arange(len(_NODES))
    series = (order + 0.5) * _WEIGHTS[:, None] * legendre.legvander(_NODES, len(order) - 1)
    along = legendre.legvander(_NODES, len(order)).T
    before = np.vstack([-np.ones(len(order)), along[:-2]])
    return np.asarray(series @ ((along[1:] - before) / (2 * order[:, None] + 1)))


_UNTIL = _indefinite()


def best_of_normals(mean: Floats, spread: Floats) -> Floats:
    """Chances to be the largest of independent normals.

    Args:
        mean: (S,), or (N, S) for N slates.
        spread: The same of standard deviations, > 0.

    Returns:
        float64, the same shape, >= 0, each slate's summing to 1.
    """
    return _by_slate(mean, spread, _of_normals)


def best_of_betas(hits: Floats, misses: Floats) -> Floats:
    """Chances to be the largest of independent Beta(hits, misses).

    Args:
        hits: (S,), or (N, S) for N slates, > 0.
        misses: The same.

    Returns:
        As :func:`best_of_normals`.
    """
    smooth = np.minimum(hits, misses).min(axis=-1) >= _SMOOTH
    if np.all(smooth):
        return _by_slate(hits, misses, _of_betas)
    if hits.ndim == 1 or not np.any(smooth):
        return _by_slate(hits, misses, _of_bent_betas)
    found = np.zeros_like(hits)
    found[smooth] = _by_slate(hits[smooth], misses[smooth], _of_betas)
    found[~smooth] = _by_slate(hits[~smooth], misses[~smooth], _of_bent_betas)
    return found


def _by_slate(one: Floats, other: Floats, best: Callable[[Floats, Floats], Floats]) -> Floats:
    """Some slates after the others."""
    first, second = np.atleast_2d(one), np.atleast_2d(other)
    size = first.shape[1]
    some = max(1, _AT_ONCE // (size * len(_DEVIATES) * len(_NODES)))
    found = np.concatenate(
        [
            best(first[start : start + some], second[start : start + some])
            for start in range(0, max(len(first), 1), some)
        ]
    )
    return found.reshape(one.shape)


def _of_normals(mean: Floats, spread: Floats) -> Floats:
    ends = mean[..., None] + spread[..., None] * _DEVIATES
    top = 1.0 / (spread * np.sqrt(2.0 * np.pi))

    def density(x: Floats, style: int) -> Floats:
        z = (x - mean[:, style, None]) / spread[:, style, None]
        return np.asarray(top[:, style, None] * np.exp(-0.5 * z * z), dtype=np.float64)

    def below(x: Floats, style: int) -> Floats:
        z = (x - mean[:, style, None]) / spread[:, style, None]
        return np.asarray(special.ndtr(z), dtype=np.float64)

    return _integrated(ends, density, below)


def _of_betas(hits: Floats, misses: Floats) -> Floats:
    mean, total = hits / (hits + misses), hits + misses
    # About the quantiles, by the angle whose spread does not depend on the mean; the exact ones
    # would take longer than all the rest.
    angle = np.arcsin(np.sqrt(mean))[..., None] + _FARTHER / (2.0 * np.sqrt(total[..., None]))
    ends = np.sin(np.clip(angle, 0.0, np.pi / 2.0)) ** 2
    top = stats.beta.pdf(mean, hits, misses)

    def density(x: Floats, style: int) -> Floats:
        # From the mean on: with many hits the logarithms themselves would cancel.
        a, b, at = (some[:, style, None] for some in (hits, misses, mean))
        with np.errstate(divide="ignore"):  # at 0 and 1, where the density is none
            away = (a - 1.0) * np.log1p((x - at) / at)
            away += (b - 1.0) * np.log1p((at - x) / (1.0 - at))
        return np.asarray(top[:, style, None] * np.exp(away), dtype=np.float64)

    return _integrated(ends, density, _beta_below(hits, misses))


def _of_bent_betas(hits: Floats, misses: Floats) -> Floats:
    a, b = hits[..., None], misses[..., None]
    # From either end: what is missing to 1 would be rounded away.
    lower, upper = special.ndtr(_CLOSER), special.ndtr(-_CLOSER)
    ends = np.where(_CLOSER < 0, special.betaincinv(a, b, lower), special.betainccinv(a, b, upper))

    whole = special.betaln(hits, misses)

    def density(x: Floats, style: int) -> Floats:
        # Of less than one hit or miss it has no bound at 0 or 1.
        found = special.xlogy(hits[:, style, None] - 1.0, x) - whole[:, style, None]
        found += special.xlog1py(misses[:, style, None] - 1.0, -x)
        return np.asarray(np.exp(np.minimum(found, _LARGEST)), dtype=np.float64)

    return _integrated(ends, density, _beta_below(hits, misses), evaluated=True)


def _beta_below(hits: Floats, misses: Floats) -> Callable[[Floats, int], Floats]:
    def below(x: Floats, style: int) -> Floats:
        found = special.betainc(hits[:, style, None], misses[:, style, None], x)
        return np.asarray(found, dtype=np.float64)

    return below


def _integrated(
    ends: Floats,
    density: Callable[[Floats, int], Floats],
    below: Callable[[Floats, int], Floats],
    *,
    evaluated: bool = False,
) -> Floats:
    """(N, S) integrals over the pieces between all ends of a slate.

    Args:
        ends: (N, S, E), increasing along the last axis.
        density: Of a style at (N, M).
        below: Distribution function of a style at (N, M).
        evaluated: Whether that is evaluated at every node, and not integrated.
    """
    count, size, _ = ends.shape
    # Below the highest of the lowest ends one style is certainly larger than what is there.
    start = ends[:, :, 0].max(axis=1)[:, None]
    edges = np.maximum(np.sort(ends.reshape(count, -1), axis=1), start)
    empty = int((edges <= start).sum(axis=1).min()) - 1
    edges = edges[:, empty:]
    half = np.diff(edges)[..., None] / 2.0
    middle = (edges[:, :-1] + edges[:, 1:])[..., None] / 2.0
    x = (middle + half * _NODES).reshape(count, -1)
    pieces = (count, edges.shape[1] - 1, len(_NODES))
    weight = (half * _WEIGHTS).reshape(count, -1)
    own = [density(x, style) for style in range(size)]
    if evaluated:
        under = [below(x, style) for style in range(size)]
    else:
        under = []
        for style, found in enumerate(own):
            at_nodes = found.reshape(-1, len(_NODES))
            within = half * (at_nodes @ _UNTIL).reshape(pieces)
            whole = half[..., 0] * (at_nodes @ _WEIGHTS).reshape(pieces[:2])
            before = np.cumsum(whole, axis=1) - whole + below(start, style)
            under.append((before[..., None] + within).reshape(count, -1))
    # Products over all other styles: of those before and those behind.
    behind = [weight]
    for some in under[:0:-1]:
        behind.append(behind[-1] * some)
    before_it = np.ones_like(weight)
    found = np.zeros((count, size))
    for style in range(size):
        found[:, style] = (own[style] * before_it * behind[size - 1 - style]).sum(axis=1)
        before_it = before_it * under[style]
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float64)
