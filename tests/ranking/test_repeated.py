"""Against the same rows written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from persona_img.ranking.repeated import Repeated


@pytest.fixture(params=["alike", "alone"])
def rows(request: pytest.FixtureRequest) -> tuple[Repeated, np.ndarray]:
    rng = np.random.default_rng(4)
    distinct = (rng.random((5, 7)) < 0.5) * rng.normal(size=(5, 7))
    if request.param == "alone":
        return Repeated.of(sparse.csr_array(distinct)), distinct
    distinct[:, 2] = 0.0
    place, own = rng.integers(5, size=23), rng.normal(size=23)
    written = distinct[place]
    written[:, 2] = own
    return Repeated(sparse.csr_array(distinct), place, own, 2), written


def test_products_are_those_of_the_rows_written_out(rows: tuple[Repeated, np.ndarray]) -> None:
    made, written = rows
    rng = np.random.default_rng(5)
    effects, values = rng.normal(size=7), rng.normal(size=len(written))
    assert made.shape == written.shape
    assert made @ effects == pytest.approx(written @ effects)
    assert made.sums(values) == pytest.approx(written.T @ values)


@pytest.mark.parametrize("count", [2, 5, 7])
def test_so_are_weighed_products_of_columns(rows: tuple[Repeated, np.ndarray], count: int) -> None:
    made, written = rows
    weight = np.random.default_rng(6).random(len(written))
    wanted = written.T @ (weight[:, None] * written)
    assert made.gram(weight, count) == pytest.approx(wanted[:count, :count])
    assert made.squares(weight) == pytest.approx(np.diag(wanted))
