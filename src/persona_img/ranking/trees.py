"""LightGBM's trees on top of log-odds that are known already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import lightgbm
import numpy as np

if TYPE_CHECKING:
    from persona_img.ranking.base import Floats

Trees: TypeAlias = lightgbm.Booster

_STOPPED = 20
"""Trees that may bring nothing before growing stops."""


@dataclass(frozen=True)
class Cells:
    """n rows of equal impressions.

    Attributes:
        columns: float64 (n, F), NaN where a number is unknown.
        clicks: (n,), clicked impressions.
        misses: (n,), impressions without a click.
        known: (n,), log-odds that the trees begin from.
    """

    columns: Floats
    clicks: Floats
    misses: Floats
    known: Floats

    def dataset(self, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        """Clicks and misses as weighted rows."""
        hit, missed = self.clicks > 0, self.misses > 0
        return lightgbm.Dataset(
            np.vstack([self.columns[hit], self.columns[missed]]),
            np.repeat([1, 0], [hit.sum(), missed.sum()]),
            weight=np.concatenate([self.clicks[hit], self.misses[missed]]),
            init_score=np.concatenate([self.known[hit], self.known[missed]]),
            reference=reference,
        )


def grown(
    cells: Cells, rounds: int, *, seed: int, num_threads: int = 1, judge: Cells | None = None
) -> Trees:
    """Trees that say what has to be added.

    Args:
        cells: To learn from.
        rounds: Trees, >= 1; at most, where there is a ``judge``.
        seed: Of the columns that each tree may use.
        num_threads: Of LightGBM; more than one can hang in a forked process.
        judge: Others, which say after how many trees to stop: ``best_iteration``.
    """
    parameters: dict[str, Any] = {
        "objective": "binary",
        "metric": "binary_logloss",
        "boost_from_average": False,
        "num_leaves": 8,
        "learning_rate": 0.05,
        # The hessian counts clicks, roughly: a leaf needs five.
        "min_sum_hessian_in_leaf": 5.0,
        "min_data_in_leaf": 1,
        "lambda_l2": 20.0,
        "feature_fraction": 0.7,
        "max_bin": 63,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": num_threads,
        "seed": seed,
        "verbosity": -1,
    }
    data = cells.dataset()
    if judge is None:
        return lightgbm.train(parameters, data, num_boost_round=rounds)
    return lightgbm.train(
        parameters,
        data,
        num_boost_round=rounds,
        valid_sets=[judge.dataset(data)],
        callbacks=[lightgbm.early_stopping(_STOPPED, verbose=False)],
    )


def read_trees(text: str) -> Trees:
    """Trees from what ``model_to_string`` gave."""
    return lightgbm.Booster(model_str=text)
