"""The integral against closed forms, enumeration and draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
