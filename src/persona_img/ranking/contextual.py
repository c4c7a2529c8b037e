"""A policy learned from anybody's log: any actions, any context, 0 or 1 as reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.offpolicy.policies import UNKNOWN, PolicyTable
from persona_img.ranking.best import best_of_normals
from persona_img.ranking.effects import independent
from persona_img.ranking.posterior import Posterior, fit_posterior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.offpolicy.log import BanditLog
    from persona_img.offpolicy.policies import Origin
    from persona_img.ranking.base import Floats

_SPREADS = {"base": 10.0, "action": 0.2, "context": 0.3, "action x context": 0.1, "cell": 0.05}
"""Expected spreads of effects on the log-odds, by kind."""

_FLOOR = 0.02
_PER_ACTION = 0.1


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned.

    Attributes:
        policy: Probabilities by context, and a row for others.
        spreads: By kind of effect, as learned: how far it moves log-odds.
        impressions: That were learned from.
    """

    policy: PolicyTable
    spreads: dict[str, float]
    impressions: int


def learn(log: BanditLog, *, floor: float | None = None, origin: Origin = UNKNOWN) -> Learned:
    """Thompson probabilities, exact: the chance that an action is the best, mixed with a floor.

    Actions, values of context columns, both together, and whole contexts each have effects whose
    spread is learned, so that what few impressions say moves little. How the log was chosen needs
    not be known where its choices looked at no more than the context.

    Args:
        log: n impressions with rewards of 0 and 1.
        floor: Least probability of an action, in (0, 1 / A]; None is min(0.02, 0.1 / A).
        origin: Noted in the policy.

    Raises:
        InvalidInput: other rewards, or a floor outside its range.
        NotEnoughData: rewards that are all alike, or a single action.
    """
    count = len(log.actions)
    if not np.isin(log.reward, (0.0, 1.0)).all():
        raise InvalidInput(
            f"rewards from {log.reward.min():g} to {log.reward.max():g}; learning needs 0 and 1: "
            "log whether it was clicked, or sold"
        )
    if np.ptp(log.reward) == 0 or count < 2:
        raise NotEnoughData(
            f"{int(log.reward.sum())} of {len(log)} rewards are 1, of {count} actions; a fit needs "
            "some of both, and two actions"
        )
    least = min(_FLOOR, _PER_ACTION / count) if floor is None else floor
    if not 0.0 < least <= 1.0 / count:
        raise InvalidInput(f"floor {least}: above 0 and at most 1 / {count} actions")
    names = list(log.context.columns)
    contexts, code = _contexts(log)
    cells, inverse = np.unique(
        np.stack([code[log.place], log.action], 1), axis=0, return_inverse=True
    )
    inverse = inverse.ravel()
    clicks = np.bincount(inverse, log.reward, minlength=len(cells))
    shown = np.bincount(inverse, minlength=len(cells)).astype(np.float64)
    columns = _Columns(contexts, count, cells)
    posterior = fit_posterior(
        columns.of(cells[:, 0], cells[:, 1]),
        columns.block,
        np.array(list(_SPREADS.values())),
        np.asarray(clicks, dtype=np.float64),
        np.asarray(shown - clicks, dtype=np.float64),
        learned=np.array([kind != "base" for kind in _SPREADS]),
    )
    rows = []
    for place in [*range(len(contexts)), -1]:
        best = _best(columns, posterior, place, count)
        chance = least + (1.0 - count * least) * best
        values = [None] * len(names) if place < 0 else list(contexts.iloc[place])
        rows += [
            [*values, action, float(p)]
            for action, p in zip(log.actions, chance / chance.sum(), strict=True)
        ]
        if not names:
            break
    table = pd.DataFrame(rows, columns=[*names, "action", "probability"])
    spreads = dict(zip(_SPREADS, posterior.spread.tolist(), strict=True))
    return Learned(PolicyTable(tuple(names), table, origin), spreads, len(log))


def _contexts(log: BanditLog) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Distinct contexts of those that were met, and (P,) the code of each place's."""
    if not len(log.context.columns):
        return pd.DataFrame(index=range(1)), np.zeros(len(log.allowed), np.int64)
    met = np.unique(log.place)
    groups = log.context.iloc[met].groupby(list(log.context.columns), sort=True)
    code = np.full(len(log.allowed), -1, dtype=np.int64)
    code[met] = groups.ngroup().to_numpy(dtype=np.int64)
    first = log.context.iloc[met].drop_duplicates().sort_values(list(log.context.columns))
    return first.reset_index(drop=True), code


class _Columns:
    """Indicator columns of contexts and actions, by kind of effect."""

    def __init__(self, contexts: pd.DataFrame, actions: int, cells: NDArray[np.int64]) -> None:
        self._codes = [np.unique(contexts[n].astype(str), return_inverse=True)[1] for n in contexts]
        sizes = [int(code.max()) + 1 for code in self._codes]
        self._actions = actions
        self._cells = {tuple(cell): i for i, cell in enumerate(cells.tolist())}
        widths = [1, actions, *sizes, *(actions * size for size in sizes)]
        kinds = [0, 1, *([2] * len(sizes)), *([3] * len(sizes))]
        if sizes:
            widths.append(len(cells))
            kinds.append(4)
        self._starts = np.concatenate([[0], np.cumsum(widths)])
        self.block = np.repeat(kinds, widths)

    def of(self, context: NDArray[np.int64], action: NDArray[np.int64]) -> sparse.csr_array:
        """(m, D) for pairs; context -1 is one that nobody met."""
        rows, columns = [], []
        every = np.arange(len(action))

        def add(part: int, code: NDArray[np.int64], known: NDArray[np.bool_]) -> None:
            rows.append(every[known])
            columns.append(self._starts[part] + code[known])

        always = np.ones(len(action), dtype=bool)
        add(0, np.zeros(len(action), np.int64), always)
        add(1, action, always)
        met, number = context >= 0, len(self._codes)
        for j, code in enumerate(self._codes):
            own = code[np.maximum(context, 0)]
            size = int(code.max()) + 1
            add(2 + j, own, met)
            add(2 + number + j, action * size + own, met)
        if number:
            pairs = zip(context.tolist(), action.tolist(), strict=True)
            cell = np.array([self._cells.get(pair, -1) for pair in pairs], dtype=np.int64)
            add(2 + 2 * number, cell, cell >= 0)
        row, column = np.concatenate(rows), np.concatenate(columns)
        shape = (len(action), int(self._starts[-1]))
        return sparse.csr_array((np.ones(len(row)), (row, column)), shape=shape)


def _best(columns: _Columns, posterior: Posterior, place: int, count: int) -> Floats:
    """(A,) chances to be the best of all actions in one context."""
    pairs = columns.of(np.full(count, place), np.arange(count))
    met = np.unique(pairs.indices)
    design = pairs[:, met].toarray()
    covariance = design @ posterior.covariance(met.astype(np.int64)) @ design.T
    return best_of_normals(design @ posterior.mean[met], np.sqrt(independent(covariance)))
