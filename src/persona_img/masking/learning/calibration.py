"""From signs of a wrong mask to the chance that it is right: logistic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from persona_img.errors import NotEnoughData
from persona_img.masking.confidence import SIGNS, chance_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_LEAST = 20  # masks of either kind
_BINS = 10


def fit_confidence(
    signs: Sequence[Mapping[str, float]],
    good: Sequence[bool],
    weight: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Weights of the signs and offset of the log-odds that a mask is good.

    Args:
        signs: Of each mask; see :func:`.confidence.signs_of`.
        good: Whether it is.
        weight: How much each mask counts; all the same if None.

    Raises:
        NotEnoughData: fewer than twenty good or twenty bad masks.
    """
    right = int(np.sum(good))
    if min(right, len(good) - right) < _LEAST:
        raise NotEnoughData(
            f"{right} good and {len(good) - right} bad masks; calibration needs {_LEAST} of each"
        )
    scaler = StandardScaler()
    scaled = scaler.fit_transform(_table(signs))
    model = LogisticRegression(C=1.0).fit(scaled, good, sample_weight=weight)
    weights = model.coef_[0] / scaler.scale_
    offset = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    named = zip(SIGNS, weights, strict=True)
    return {"offset": round(offset, 5), "weights": {n: round(float(w), 5) for n, w in named}}


def reliability(
    confidence: Mapping[str, Any], signs: Sequence[Mapping[str, float]], good: Sequence[bool]
) -> dict[str, Any]:
    """What a confidence is worth on masks it was not fitted on.

    Returns:
        ``examples``, ``good``, ``auc``, ``brier``, ``expected_error``; NaN where undefined.

    References:
        Expected calibration error over ten equal bins: Naeini, Cooper, Hauskrecht 2015.
    """
    chance = np.array([chance_of(one, confidence) for one in signs])
    truth = np.asarray(good, dtype=float)
    bins = np.minimum((chance * _BINS).astype(int), _BINS - 1)
    gaps = [
        (bins == b).mean() * abs(chance[bins == b].mean() - truth[bins == b].mean())
        for b in np.unique(bins)
    ]
    both = 0 < truth.sum() < len(truth)
    return {
        "examples": len(truth),
        "good": float(truth.mean()),
        "auc": float(roc_auc_score(truth, chance)) if both else float("nan"),
        "brier": float(brier_score_loss(truth, chance)),
        "expected_error": float(np.sum(gaps)),
    }


def least_chance(chance: Sequence[float], good: Sequence[bool], wanted: float = 0.94) -> float:
    """The smallest chance from which on the wanted share of masks is good.

    Args:
        chance: Of each mask, 0..1.
        good: Whether it is.
        wanted: Share of good ones among those with at least that chance.

    Returns:
        0.5 or more; where no bound is high enough, the largest chance seen.
    """
    order = np.argsort(-np.asarray(chance), kind="stable")
    ranked = np.asarray(chance)[order]
    share = np.cumsum(np.asarray(good)[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= wanted)
    return max(0.5, float(ranked[enough[-1] if len(enough) else 0]))


def _table(signs: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    return np.array([[one[name] for name in SIGNS] for one in signs], dtype=np.float64)
