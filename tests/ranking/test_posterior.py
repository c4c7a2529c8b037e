"""Against dense linear algebra, a general optimiser, and effects that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.special import expit

from persona_img.ranking.posterior import (
    fit_posterior,
    most_likely,
    most_likely_each,
    updated_posterior,
)

BLOCK = np.array([0, 1, 1, 1, 1, 2, 2, 2])
GUESS = np.array([10.0, 0.3, 0.1])


def a_case(seed: int = 1, rows: int = 60):
    rng = np.random.default_rng(seed)
    columns = (rng.random((rows, len(BLOCK))) < 0.4).astype(np.float64)
    columns[:, 0] = 1.0
    columns[:, 7] *= rng.normal(1.0, 0.5, rows)
    shown = rng.integers(1, 200, rows) * rng.choice([1.0, 0.5], rows)
    clicks = shown * rng.uniform(0.0, 0.15, rows)
    return columns, clicks, shown - clicks


def dense(columns, clicks, misses, spread):
    """The peak by BFGS, and the inverse of the curvature there."""
    precision = 1.0 / spread[BLOCK] ** 2

    def loss(mean):
        score = columns @ mean
        likelihood = (clicks + misses) @ np.logaddexp(0, score) - clicks @ score
        return likelihood + 0.5 * precision @ mean**2

    found = optimize.minimize(loss, np.zeros(len(BLOCK)), tol=1e-12).x
    chance = expit(columns @ found)
    weight = (clicks + misses) * chance * (1 - chance)
    curvature = columns.T @ (weight[:, None] * columns) + np.diag(precision)
    return found, curvature


def test_it_is_the_dense_laplace_posterior():
    columns, clicks, misses = a_case()
    made = fit_posterior(sparse.csr_array(columns), BLOCK, GUESS, clicks, misses)
    mean, curvature = dense(columns, clicks, misses, GUESS)
    assert made.mean == pytest.approx(mean, abs=1e-4)
    assert made.joint == pytest.approx(np.linalg.inv(curvature), abs=1e-4)
    assert len(made.rest) == 0
    assert made.spread == pytest.approx(GUESS)
    some = np.array([5, 0, 2])
    assert made.covariance(some) == pytest.approx(made.joint[np.ix_(some, some)])


def test_effects_beyond_the_joint_ones_have_the_same_peak_and_variances_of_their_own():
    columns, clicks, misses = a_case()
    matrix = sparse.csr_array(columns)
    full = fit_posterior(matrix, BLOCK, GUESS, clicks, misses)
    part = fit_posterior(matrix, BLOCK, GUESS, clicks, misses, joint=5)
    _, curvature = dense(columns, clicks, misses, GUESS)
    assert part.mean == pytest.approx(full.mean, abs=1e-5)
    assert part.joint == pytest.approx(np.linalg.inv(curvature[:5, :5]), abs=1e-4)
    assert part.rest == pytest.approx(1 / np.diag(curvature)[5:], abs=1e-4)
    some = part.covariance(np.array([6, 1, 7]))
    assert some[0, 0] == part.rest[1]
    assert some[1, 1] == part.joint[1, 1]
    assert some[0, 1] == some[0, 2] == 0.0


@pytest.mark.parametrize("truth", [0.03, 0.5])
def test_the_spread_is_learned(truth):
    rng = np.random.default_rng(3)
    effects = rng.normal(0, truth, 150)
    columns = sparse.csr_array(np.hstack([np.ones((150, 1)), np.eye(150)]))
    shown = np.full(150, 40_000.0)
    clicks = rng.binomial(40_000, expit(-3 + effects)).astype(np.float64)
    made = fit_posterior(
        columns,
        np.repeat([0, 1], [1, 150]),
        np.array([10.0, 0.1]),
        clicks,
        shown - clicks,
        learned=np.array([False, True]),
    )
    assert made.spread[0] == 10.0
    assert made.spread[1] == pytest.approx(truth, rel=0.35)


def test_nothing_seen_of_a_block_leaves_it_as_guessed():
    columns, clicks, misses = a_case()
    columns[:, 5:] = 0.0
    made = fit_posterior(
        sparse.csr_array(columns),
        BLOCK,
        GUESS,
        clicks,
        misses,
        learned=np.array([False, True, True]),
    )
    assert made.spread[2] == pytest.approx(GUESS[2])
    assert made.mean[5:] == pytest.approx(np.zeros(3))
    assert np.diag(made.joint)[5:] == pytest.approx(np.full(3, GUESS[2] ** 2))


@pytest.mark.parametrize("joint", [91, 41])
def test_doubted_blocks_count_by_what_speaks_for_them(joint):
    """Two blocks of forty; what none of them does is doubted away, what both do is not."""
    rng = np.random.default_rng(4)
    columns = rng.integers(0, 2, (3000, 81)).astype(np.float64)
    columns[:, 0] = 1.0
    block, guess = np.repeat([0, 1, 2], [1, 40, 40]), np.array([10.0, 0.05, 0.05])
    doubted, shown = np.array([False, True, True]), np.full(3000, 60.0)
    for truly in (0.0, 0.08):
        effects = np.concatenate([[-2.5], rng.normal(0, truly, 80)])
        clicks = rng.binomial(60, expit(columns @ effects)).astype(np.float64)
        given = (sparse.csr_array(columns), block, guess, clicks, shown - clicks)
        plain = fit_posterior(*given, learned=doubted, joint=joint)
        made = fit_posterior(*given, learned=doubted, doubted=doubted, joint=joint)
        assert made.spread[0] == plain.spread[0]
        if truly:
            assert made.spread[1:] == pytest.approx(plain.spread[1:], rel=0.1)
            assert np.corrcoef(made.mean[1:], effects[1:])[0, 1] > 0.8
        else:
            assert np.all(made.spread[1:] < 0.6 * plain.spread[1:])
            assert np.linalg.norm(made.mean[1:]) < 0.6 * np.linalg.norm(plain.mean[1:])


@pytest.mark.parametrize("truly", [0.25, 4.0])
def test_alike_blocks_tell_each_other_how_far_effects_spread(truly):
    """Twenty blocks of two effects each: alone none of them says much against its guess."""
    rng = np.random.default_rng(5)
    columns = rng.integers(0, 2, (3000, 41)).astype(np.float64)
    columns[:, 0] = 1.0
    block, guess = np.repeat(np.arange(21), [1, *[2] * 20]), np.array([10.0, *[0.1] * 20])
    learned, shown = np.arange(21) > 0, np.full(3000, 60.0)
    effects = np.concatenate([[-2.5], rng.normal(0, 0.1 * truly, 40)])
    clicks = rng.binomial(60, expit(columns @ effects)).astype(np.float64)
    given = (sparse.csr_array(columns), block, guess, clicks, shown - clicks)
    alone = fit_posterior(*given, learned=learned)
    together = fit_posterior(*given, learned=learned, alike=learned)
    nobody = fit_posterior(*given, learned=learned, alike=~learned)
    assert nobody.spread.tolist() == alone.spread.tolist()
    wrong = [np.abs(np.log(m.spread[1:] / (0.1 * truly))).mean() for m in (alone, together)]
    assert wrong[1] < 0.5 * wrong[0]


@pytest.mark.parametrize("joint", [8, 5])
def test_what_comes_later_is_learned_as_if_it_had_come_at_once(joint):
    """Laplace's approximation is of the first part's peak, which many clicks hold in place."""
    columns, clicks, misses = a_case(rows=400)
    matrix = sparse.csr_array(columns)
    early, late = np.arange(400) < 300, np.arange(400) >= 300
    first = fit_posterior(matrix[early], BLOCK, GUESS, clicks[early], misses[early], joint=joint)
    both = updated_posterior(matrix[late], first, clicks[late], misses[late])
    at_once = fit_posterior(matrix, BLOCK, GUESS, clicks, misses, joint=joint)
    tolerance = 0.02 if joint == 8 else 0.08  # beyond the joint ones correlations are lost
    assert both.mean == pytest.approx(at_once.mean, abs=tolerance)
    assert np.diag(both.joint) == pytest.approx(np.diag(at_once.joint), rel=0.1)
    assert np.all(np.diag(both.joint) < np.diag(first.joint))
    assert both.spread == pytest.approx(first.spread)


def test_an_update_may_be_made_in_parts_and_by_nothing():
    columns, clicks, misses = a_case(rows=300)
    matrix = sparse.csr_array(columns)
    known = fit_posterior(matrix[:100], BLOCK, GUESS, clicks[:100], misses[:100])
    one = updated_posterior(matrix[100:], known, clicks[100:], misses[100:])
    half = updated_posterior(matrix[100:200], known, clicks[100:200], misses[100:200])
    two = updated_posterior(matrix[200:], half, clicks[200:], misses[200:])
    assert two.mean == pytest.approx(one.mean, abs=0.02)
    same = updated_posterior(matrix[:1], known, np.zeros(1), np.zeros(1))
    assert same.mean == pytest.approx(known.mean, abs=1e-6)
    assert same.joint == pytest.approx(known.joint, rel=1e-3, abs=1e-8)


def test_a_search_that_may_end_early_ends_near_the_peak():
    columns, clicks, misses = a_case()
    matrix = sparse.csr_array(columns)

    def loss(mean):
        score = columns @ mean
        likelihood = (clicks + misses) @ np.logaddexp(0, score) - clicks @ score
        return likelihood + 0.5 * (GUESS[BLOCK] ** -2.0) @ mean**2

    def found(enough):
        counted = [(clicks, misses)]
        return loss(next(most_likely_each(matrix, GUESS[BLOCK], counted, enough=enough)))

    best = loss(most_likely(matrix, GUESS[BLOCK], clicks, misses))
    assert best < found(0.01) + 1e-12 < best + 0.01
    assert found(1e9) > best + 0.01


def test_the_most_likely_effects_alone_are_those_of_the_whole_posterior():
    columns, clicks, misses = a_case()
    matrix = sparse.csr_array(columns)
    whole = fit_posterior(matrix, BLOCK, GUESS, clicks, misses)
    found = most_likely(matrix, GUESS[BLOCK], clicks, misses, joint=3)
    assert found == pytest.approx(whole.mean, abs=1e-5)


def test_cells_counted_in_several_ways_are_each_found_as_if_alone():
    """The search goes on with the curvature and the effects of the one before."""
    columns, clicks, misses = a_case()
    matrix = sparse.csr_array(columns)
    fade = np.random.default_rng(1).random(len(clicks)) ** 3
    counted = [(clicks, misses), (fade * clicks, fade * misses), (0.02 * clicks, 0.02 * misses)]
    found = list(most_likely_each(matrix, GUESS[BLOCK], counted, joint=3))
    assert np.abs(found[0] - found[2]).max() > 0.01
    for each, (some, others) in zip(found, counted, strict=True):
        alone = most_likely(matrix, GUESS[BLOCK], some, others)
        assert each == pytest.approx(alone, abs=1e-5)
