"""A reward model that never saw the shopper it speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from persona_img.offpolicy.logged import Predicted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.offpolicy.log import BanditLog
    from persona_img.offpolicy.logged import Floats

FOLDS = 3
_MET = 50
"""Most values of a context column of which each has an effect with every action."""

_RARE = 5.0
"""Impressions at the overall mean that a fold without any contrast is worth."""


def predicted(log: BanditLog, chances: Floats, *, seed: int) -> Predicted:
    """What is expected of each impression, by models that did not see its shopper.

    An additive one of actions, context and both together: logistic where rewards are 0 and 1, ridge
    else. Doubly robust estimates need it to be better than nothing, not to be right.

    Args:
        log: n impressions.
        chances: float64 (P, A), the target's.
        seed: Of the folds.

    References:
        Chernozhukov et al. 2018, "Double/debiased machine learning": the fit on other folds.
    """
    fold = log.dealt(seed, FOLDS)
    shown, expected = np.zeros(len(log)), np.zeros(len(log))
    pairs = _columns(log, log.action, log.place)
    count = len(log.actions)
    place = np.repeat(np.arange(len(log.context)), count)
    grid = _columns(log, np.tile(np.arange(count), len(log.context)), place)
    for part in range(FOLDS):
        here = fold == part
        if not here.any():
            continue
        guess = _fitted(pairs[~here], log.reward[~here])
        shown[here] = guess(pairs[here])
        worth = (guess(grid).reshape(chances.shape) * chances).sum(axis=1)
        expected[here] = worth[log.place[here]]
    return Predicted(shown, expected)


def _fitted(columns: sparse.csr_array, reward: Floats) -> Any:
    """A function from columns to expected rewards."""
    binary = bool(np.isin(reward, (0.0, 1.0)).all())
    if len(reward) == 0 or np.ptp(reward) == 0:
        usual = float(reward.mean()) if len(reward) else 0.0
        return lambda some: np.full(some.shape[0], usual)
    if binary:
        logistic = LogisticRegression(C=0.3, max_iter=300).fit(columns, reward)
        return lambda some: logistic.predict_proba(some)[:, 1]
    ridge = Ridge(alpha=_RARE, solver="lsqr").fit(columns, reward)
    return lambda some: ridge.predict(some)


def _columns(
    log: BanditLog, action: NDArray[np.int64], place: NDArray[np.int64]
) -> sparse.csr_array:
    """(m, D): one column an action, a value of the context, and both where values are few."""
    parts, width = [action], len(log.actions)
    for name in log.context.columns:
        values, code = np.unique(log.context[name].astype(str), return_inverse=True)
        parts.append(width + code[place])
        width += len(values)
        if len(values) <= _MET:
            parts.append(width + action * len(values) + code[place])
            width += len(values) * len(log.actions)
    column = np.stack(parts, axis=1)
    rows = np.repeat(np.arange(len(action)), column.shape[1])
    ones = np.ones(column.size)
    return sparse.csr_array((ones, (rows, column.ravel())), shape=(len(action), width))
