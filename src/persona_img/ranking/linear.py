"""Logistic regression with a prior spread of its own for every column (scikit-learn)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from persona_img.ranking.base import Floats


def fit_logistic(
    columns: Floats, spread: Floats, clicks: Floats, misses: Floats
) -> tuple[Floats, float]:
    """The most likely effects under independent normal priors around 0.

    Args:
        columns: (n, D), one row per cell of equal impressions.
        spread: (D,), prior standard deviation of each effect, > 0.
        clicks: (n,), clicked impressions of the cell.
        misses: (n,), impressions without a click.

    Returns:
        float64 (D,) effects on the log-odds, and the intercept, which has no prior.
    """
    # With columns multiplied by the spread, one ridge penalty of 1 is the normal prior.
    scaled = columns * spread
    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8, max_iter=100)
    hit, missed = clicks > 0, misses > 0
    model.fit(
        np.vstack([scaled[hit], scaled[missed]]),
        np.repeat([1, 0], [hit.sum(), missed.sum()]),
        sample_weight=np.concatenate([clicks[hit], misses[missed]]),
    )
    return np.asarray(model.coef_[0] * spread, dtype=np.float64), float(model.intercept_[0])


def slope_of(hit: Floats, log_odds: Floats, weight: Floats | None = None) -> float:
    """Slope of the outcome's log-odds over the predicted ones: 1 where they are calibrated.

    Args:
        hit: (n,), 0 or 1, both of them.
        log_odds: (n,), predicted.
        weight: (n,), how many each counts as; all the same if None.
    """
    model = LogisticRegression(C=np.inf, solver="newton-cholesky")
    return float(model.fit(log_odds[:, None], hit, weight).coef_[0, 0])
