"""The integral against closed forms, enumeration and draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.stats import beta, norm

from persona_img.ranking.best import best_of_betas, best_of_normals

SPREAD = st.floats(1e-3, 3.0)
MEAN = st.floats(-5.0, 5.0)


@settings(max_examples=150, deadline=None)
@given(mean=st.tuples(MEAN, MEAN), spread=st.tuples(SPREAD, SPREAD))
def test_two_normals_have_a_closed_form(mean, spread):
    found = best_of_normals(np.array(mean), np.array(spread))
    assert found[0] == pytest.approx(norm.cdf((mean[0] - mean[1]) / np.hypot(*spread)), abs=1e-9)
    assert found.sum() == pytest.approx(1.0, abs=1e-15)


@settings(max_examples=25, deadline=None)
@given(
    slate=st.lists(st.tuples(st.floats(-1.0, 1.0), st.floats(0.02, 1.0)), min_size=3, max_size=6)
)
def test_several_normals_agree_with_draws(slate):
    mean, spread = (np.array(column) for column in zip(*slate, strict=True))
    draws = np.random.default_rng(1).normal(mean, spread, (200_000, len(mean)))
    counted = np.bincount(draws.argmax(axis=1), minlength=len(mean)) / len(draws)
    assert best_of_normals(mean, spread) == pytest.approx(counted, abs=0.006)


def test_the_order_is_no_matter_and_equals_share():
    mean, spread = np.array([0.1, 0.3, 0.2, 0.3]), np.array([0.4, 0.1, 0.3, 0.1])
    found = best_of_normals(mean, spread)
    assert found[1] == pytest.approx(found[3], abs=1e-14)
    for turn in itertools.permutations(range(4)):
        assert best_of_normals(mean[list(turn)], spread[list(turn)]) == pytest.approx(
            found[list(turn)], abs=1e-12
        )


def test_betas_agree_with_a_sum_over_a_fine_grid():
    hits, misses = np.array([60.0, 90.0, 70.0]), np.array([1900.0, 1950.0, 1500.0])
    grid = np.linspace(0, 0.12, 400_001)
    below = beta.cdf(grid[:, None], hits, misses)
    steps, middle = np.diff(below, axis=0), (below[1:] + below[:-1]) / 2
    summed = [steps[:, i] @ np.delete(middle, i, axis=1).prod(axis=1) for i in range(len(hits))]
    assert best_of_betas(hits, misses) == pytest.approx(summed, abs=1e-7)


def test_integer_betas_have_a_closed_form():
    """P(Beta(a, b) < Beta(c, d)) as a finite sum (Cook 2005) for whole c."""
    from scipy.special import betaln

    a, b, c, d = 7.0, 40.0, 5.0, 60.0
    exact = sum(
        np.exp(betaln(a + i, b + d) - np.log(d + i) - betaln(1 + i, d) - betaln(a, b))
        for i in range(int(c))
    )
    found = best_of_betas(np.array([a, c]), np.array([b, d]))
    assert found[1] == pytest.approx(exact, abs=1e-9)


def by_fine_pieces(density, below, ends):
    """(S,), slate by slate: both functions evaluated everywhere, on pieces a deviate wide."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.unique(ends)
    half = np.diff(edges)[:, None] / 2
    x = ((edges[:-1] + edges[1:])[:, None] / 2 + half * nodes).ravel()
    under, weight = below(x), (half * weights).ravel()
    own = density(x)
    found = [weight @ (own[i] * np.delete(under, i, axis=0).prod(axis=0)) for i in range(len(own))]
    return np.array(found) / np.sum(found)


DEVIATES = np.array([-8.5, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8.5])


@pytest.mark.parametrize("kind", ["usual", "wild", "alike", "far apart"])
def test_many_slates_of_normals_are_what_each_is_alone(kind):
    rng = np.random.default_rng(4)
    mean, spread = {
        "usual": (rng.normal(0, 0.3, (400, 5)), rng.uniform(0.02, 0.4, (400, 5))),
        "wild": (rng.normal(0, 3, (400, 6)), 10 ** rng.uniform(-4, 1, (400, 6))),
        "alike": (np.zeros((3, 8)), np.full((3, 8), 0.7)),
        "far apart": (np.arange(12.0).reshape(3, 4) * 50, np.full((3, 4), 0.1)),
    }[kind]
    wanted = [
        by_fine_pieces(
            lambda x, m=m, s=s: norm.pdf(x, m, s),
            lambda x, m=m, s=s: special.ndtr((x - m) / s),
            m + s * DEVIATES,
        )
        for m, s in ((m[:, None], s[:, None]) for m, s in zip(mean, spread, strict=True))
    ]
    found = best_of_normals(mean, spread)
    assert found == pytest.approx(np.array(wanted), abs=1e-12)
    assert best_of_normals(mean[1], spread[1]) == pytest.approx(found[1], abs=1e-15)


@pytest.mark.parametrize("least", [0.3, 1.0, 8.0, 60.0, 50_000.0])
def test_many_slates_of_betas_are_what_each_is_alone(least):
    rng = np.random.default_rng(5)
    hits = least * rng.uniform(1.0, 1.2, (60, 5))
    misses = hits * rng.uniform(10.0, 11.0, (60, 5))
    lower, upper = special.ndtr(DEVIATES[:6]), special.ndtr(-DEVIATES[6:])
    wanted = [
        by_fine_pieces(
            # Either is exact where the other is not: with hardly any hits, and with very many.
            lambda x, a=a, b=b: np.exp(beta.logpdf(x, a, b)) if least < 1 else beta.pdf(x, a, b),
            lambda x, a=a, b=b: special.betainc(a, b, x),
            np.hstack([special.betaincinv(a, b, lower), special.betainccinv(a, b, upper)]),
        )
        for a, b in ((a[:, None], b[:, None]) for a, b in zip(hits, misses, strict=True))
    ]
    found = best_of_betas(hits, misses)
    assert found == pytest.approx(np.array(wanted), abs=1e-12)
    assert best_of_betas(hits[1], misses[1]) == pytest.approx(found[1], abs=1e-15)


def test_slates_that_bend_and_slates_that_do_not_may_be_mixed():
    hits = np.array([[60.0, 70.0], [0.5, 0.7], [90.0, 50.0]])
    misses = 20.0 * hits
    found = best_of_betas(hits, misses)
    for number in range(3):
        alone = best_of_betas(hits[number], misses[number])
        assert found[number] == pytest.approx(alone, abs=1e-15)


def test_hardly_any_hits_are_no_error():
    # Their densities have no bound, and scipy's own overflows at some of the nodes.
    assert best_of_betas(np.full(2, 0.05), np.full(2, 0.5)) == pytest.approx(0.5)
    found = best_of_betas(np.array([0.002, 0.002, 0.05]), np.array([2000.0, 2000.0, 10.0]))
    assert found[0] == pytest.approx(found[1], abs=1e-12)
    assert found[0] < found[2]
