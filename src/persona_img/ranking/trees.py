"""LightGBM's trees on top of log-odds that are known already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import lightgbm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from persona_img.ranking.base import Floats

Trees: TypeAlias = lightgbm.Booster

_STOPPED = 20
"""Trees that may bring nothing before growing stops."""


@dataclass(frozen=True)
class Cells:
    """n rows of equal impressions.

    Attributes:
        columns: float32 (n, F), NaN where a number is unknown.
        clicks: (n,), clicked impressions.
        misses: (n,), impressions without a click; with the clicks above 0.
        known: (n,), log-odds that the trees begin from.
    """

    columns: NDArray[np.float32]
    clicks: Floats
    misses: Floats
    known: Floats

    def dataset(self, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        """The share of clicks, as often as impressions were met: nothing is copied."""
        shown = self.clicks + self.misses
        return lightgbm.Dataset(
            self.columns,
            self.clicks / shown,
            weight=shown,
            init_score=self.known,
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
        # As "binary" of a row for the clicks and one for the misses, in one row.
        "objective": "cross_entropy",
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
