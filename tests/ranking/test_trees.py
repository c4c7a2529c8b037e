from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from persona_img.ranking.trees import Cells, grown


def test_a_cell_is_its_clicks_and_its_misses() -> None:
    """One row of both, and a row for each, grow the same trees."""
    rng = np.random.default_rng(1)
    columns = rng.integers(0, 4, (600, 3)).astype(np.float32)
    shown = rng.integers(1, 60, 600).astype(np.float64)
    clicks = rng.binomial(shown.astype(int), expit(-2 + columns[:, 0] * columns[:, 1] / 4))
    clicks = clicks.astype(np.float64)
    known = rng.normal(-2.0, 0.2, 600)
    nothing = np.zeros(600)
    whole = grown(Cells(columns, clicks, shown - clicks, known), 30, seed=0)
    hit, missed = clicks > 0, shown > clicks
    both = np.concatenate([np.flatnonzero(hit), np.flatnonzero(missed)])
    apart = Cells(
        columns[both],
        np.concatenate([clicks[hit], nothing[missed]]),
        np.concatenate([nothing[hit], (shown - clicks)[missed]]),
        known[both],
    )
    found, wanted = (
        trees.predict(columns, raw_score=True) for trees in (whole, grown(apart, 30, seed=0))
    )
    assert np.ptp(found) > 0.5
    assert found == pytest.approx(wanted, abs=1e-4)
