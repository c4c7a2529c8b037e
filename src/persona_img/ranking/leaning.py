"""What shoppers' traits add to a ranker's predictions, learned from clicks.

A ranker predicts for segments. What is left is told by what is known of single shoppers: their
activity, price level, freshest event, categories and factors, each as it was when the picture was
shown. The effects of each trait on the attribute values have a prior spread of their own, which is
learned, so that traits that tell nothing move nothing; and they are kept only where they would have
predicted later clicks better, piece by piece, each from all that came before it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from scipy import sparse
from scipy.special import logit

from persona_img.domain.decision import Context
from persona_img.domain.feedback_table import as_feedback
from persona_img.domain.leaning import FARTHEST, Leaning
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput
from persona_img.ranking.posterior import fit_posterior

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from persona_img.domain.decision import Ranking
    from persona_img.ranking.base import Floats, Ranker

AXES = 6
"""Directions in which traits that come in families, such as factors, are told apart."""

MOST = 200_000
"""Newest impressions that are learned from; more change little and cost much."""

LEAST_CLICKS = 200
"""Fewest clicks on either side of the moment that later is told from earlier by."""

CUTS = (0.4, 0.6, 0.8)
"""Shares of the impressions that foretell those up to the next. One cut alone judges by so few
clicks that what had earned was given up and learned again from one training to the next."""

_SPREADS = (10.0, 1.0, 1.0, 0.1, 0.02)
"""Expected of: everything, the known log-odds, the position, a trait, a trait on a value."""

_LEARNED = (False, False, False, True, True)


@runtime_checkable
class Sharp(Protocol):
    """A policy whose chances can be turned to a shopper."""

    floor: float

    def sharpness(self, rankings: Sequence[Ranking]) -> float:
        """By which power of its odds a style's chance to be best grows."""


@dataclass(frozen=True)
class Leant:
    """What was learned, and how well it told the future.

    Attributes:
        leaning: None where later clicks were not told better than by the ranker alone.
        gain: Log-likelihood gained an impression on later ones than were learned from, in nats.
        error: Standard error of the gain, by shopper.
        reason: Why there is no leaning; empty where there is one.
    """

    leaning: Leaning | None
    gain: float
    error: float
    reason: str = ""


def fit_leaning(
    feedback: pd.DataFrame,
    traits: pd.DataFrame,
    ranker: Ranker,
    *,
    families: Sequence[str] = ("share_", "factor_"),
) -> Leant:
    """What traits add to a ranker's log-odds.

    Args:
        feedback: n counted impressions, of all arms.
        traits: float64 (n, D), a named column a trait, as known when each impression was shown, in
            the order of ``feedback``; NaN where unknown.
        ranker: Fitted; what it predicts is taken as known.
        families: How names of traits begin that are told apart along a few common axes.

    Returns:
        The leaning, kept only where earlier impressions tell later clicks better with it, by more
        than one standard error.

    Raises:
        InvalidInput: other rows of traits than of impressions.
    """
    if len(feedback) != len(traits):
        raise InvalidInput(f"{len(traits)} rows of traits, {len(feedback)} impressions: give each")
    feedback = as_feedback(feedback).reset_index(drop=True)
    order = np.argsort(feedback["shown_at"].to_numpy(), kind="stable")[-MOST:]
    feedback = feedback.iloc[order].reset_index(drop=True)
    numbers = traits.to_numpy(dtype=np.float64)[order]
    clicks = feedback["clicked"].to_numpy(dtype=np.float64)
    cuts = [int(len(feedback) * share) for share in CUTS]
    least = min(clicks[: cuts[0]].sum(), clicks[cuts[0] :].sum())
    if least < LEAST_CLICKS:
        told = f"{least:.0f} clicks on one side of the moment that later is told from earlier by"
        return Leant(None, 0.0, 0.0, f"{told}; {LEAST_CLICKS} are needed")
    measured = _Measured.of(feedback["segment"].to_numpy(dtype=object), numbers)
    axes = _axes([str(name) for name in traits.columns], measured.away, tuple(families))
    problem = _Problem.of(feedback, measured.away @ axes.T, ranker)
    gain, error = problem.foretold(cuts, feedback["shopper"].to_numpy(dtype=object))
    if not gain > error:
        reason = (
            f"later clicks are not told better by shoppers' traits: {gain:+.2e} ± {error:.0e} nats "
            "an impression"
        )
        return Leant(None, gain, error, reason)
    weights = problem.weights(slice(None)) @ axes
    leaning = Leaning(
        tuple(str(name) for name in traits.columns),
        problem.values,
        measured.centre,
        tuple(measured.spread.tolist()),
        tuple(tuple(row) for row in weights.tolist()),
    )
    return Leant(leaning, gain, error)


@dataclass(frozen=True)
class _Measured:
    """Traits from the means of the shoppers' segments.

    Attributes:
        centre: Segment to means.
        spread: (D,) standard deviations within segments.
        away: (n, D) deviations; 0 where unknown.
    """

    centre: dict[str, tuple[float, ...]]
    spread: Floats
    away: Floats

    @classmethod
    def of(cls, segment: NDArray[np.object_], numbers: Floats) -> _Measured:
        known = np.isfinite(numbers)
        filled = np.where(known, numbers, 0.0)
        away, centre = np.zeros_like(numbers), {}
        for name in sorted(set(segment)):
            mine = segment == name
            mean = filled[mine].sum(axis=0) / np.maximum(known[mine].sum(axis=0), 1)
            centre[str(name)] = tuple(mean.tolist())
            away[mine] = np.where(known[mine], numbers[mine] - mean, 0.0)
        spread = np.sqrt((away**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
        # What does not vary within segments tells no two shoppers apart.
        spread = np.where(spread > 1e-9, spread, 1.0)
        return cls(centre, spread, np.clip(away / spread, -FARTHEST, FARTHEST))


def _axes(names: Sequence[str], away: Floats, families: tuple[str, ...]) -> Floats:
    """(A, D): traits of no family as they are, those of families along their main axes."""
    alone = np.array([i for i, n in enumerate(names) if not n.startswith(families)], np.int64)
    shared = np.array([i for i, n in enumerate(names) if n.startswith(families)], np.int64)
    count = min(AXES, len(shared))
    made = np.zeros((len(alone) + count, len(names)))
    made[np.arange(len(alone)), alone] = 1.0
    if count:
        some = away[:, shared]
        size, direction = np.linalg.eigh(some.T @ some / max(len(some), 1))
        main = direction[:, ::-1][:, :count].T
        # A direction and its opposite are one; a rule makes equal inputs equal bytes.
        main *= np.sign(main[np.arange(count), np.abs(main).argmax(axis=1)])[:, None]
        length = np.sqrt(np.maximum(size[::-1][:count], 1e-9))[:, None]
        made[np.ix_(np.arange(len(alone), len(made)), shared)] = main / length
    return made


@dataclass(frozen=True)
class _Problem:
    """Clicks, by what the ranker knows and by traits.

    Attributes:
        values: V pairs (attribute, value).
        columns: (n, 3 + A + A (V + 1)): one, known log-odds, log position, A axes, and these with
            each value and the photo.
        axes: A.
        clicks: (n,).
    """

    values: tuple[tuple[str, str], ...]
    columns: sparse.csr_array
    axes: int
    clicks: Floats

    @classmethod
    def of(cls, feedback: pd.DataFrame, along: Floats, ranker: Ranker) -> _Problem:
        keys, style = np.unique(feedback["style_key"].to_numpy(dtype=str), return_inverse=True)
        looks = [Style(str(key)) for key in keys]
        values = tuple(sorted({pair for look in looks for pair in look.values.items()}))
        place = {pair: code for code, pair in enumerate(values)}
        most = max([len(look.values) for look in looks] + [1])
        codes = np.full((len(looks), most), -1)
        for row, look in enumerate(looks):
            mine = [len(values)] if look.is_original else [place[p] for p in look.values.items()]
            codes[row, : len(mine)] = mine
        rows, axes = along.shape
        position = np.log(feedback["position"].to_numpy(dtype=np.float64))
        dense = np.column_stack([np.ones(rows), _known(feedback, looks, style, ranker), position])
        crossed = []
        for part in codes[style].T:
            met = np.flatnonzero(part >= 0)
            column = part[met, None] * axes + np.arange(axes)
            at = (np.repeat(met, axes), column.ravel())
            shape = (rows, axes * (len(values) + 1))
            crossed.append(sparse.coo_array((along[met].ravel(), at), shape=shape))
        columns = sparse.hstack(
            [sparse.coo_array(np.hstack([dense, along])), sum(crossed[1:], crossed[0])],
            format="csr",
        )
        columns.eliminate_zeros()
        clicks = feedback["clicked"].to_numpy(dtype=np.float64)
        return cls(values, columns, axes, clicks)

    @property
    def plain(self) -> int:
        """Columns that tell no two styles apart by traits."""
        return 3 + self.axes

    def fitted(self, rows: slice, *, crossed: bool) -> Floats:
        """All effects, learned from some rows; without traits on values where not ``crossed``."""
        size = self.columns.shape[1] if crossed else self.plain
        # Of which kind, and of the last kind a block for each axis.
        kind = np.array([0, 1, 2, 3, *[4] * (self.axes if crossed else 0)])
        own = np.tile(4 + np.arange(self.axes), len(self.values) + 1)
        block = np.concatenate([[0, 1, 2], np.full(self.axes, 3), own])
        clicks = self.clicks[rows]
        found = fit_posterior(
            self.columns[rows, :][:, :size].tocsr(),
            block[:size].astype(np.int64),
            np.array(_SPREADS)[kind],
            clicks,
            1.0 - clicks,
            learned=np.array(_LEARNED)[kind],
        )
        return np.concatenate([found.mean, np.zeros(self.columns.shape[1] - size)])

    def foretold(self, cuts: Sequence[int], shopper: NDArray[np.object_]) -> tuple[float, float]:
        """Mean gain in log-likelihood behind the first cut, and its error, by shopper.

        What lies between two cuts is told by what was learned before the first of them.
        """
        gains = []
        for start, end in itertools.pairwise([*cuts, len(self.clicks)]):
            clicks = self.clicks[start:end]
            told = []
            for crossed in (False, True):
                score = self.columns[start:end] @ self.fitted(slice(0, start), crossed=crossed)
                told.append(clicks * score - np.logaddexp(0.0, score))
            gains.append(told[1] - told[0])
        gain = np.concatenate(gains)
        _, who = np.unique(shopper[cuts[0] :].astype(str), return_inverse=True)
        sums = np.bincount(who, gain - gain.mean())
        return float(gain.mean()), float(np.sqrt((sums**2).sum()) / len(gain))

    def weights(self, rows: slice) -> Floats:
        """(V + 1, A) log-odds of the axes with each value, and with the photo."""
        found = self.fitted(rows, crossed=True)[self.plain :]
        return found.reshape(len(self.values) + 1, self.axes)


def _known(
    feedback: pd.DataFrame, looks: Sequence[Style], style: NDArray[np.int64], ranker: Ranker
) -> Floats:
    """(n,) log-odds of a click at position 1, as the ranker predicts them."""
    made = np.zeros(len(feedback))
    for place, mine in feedback.groupby(["segment", "product"]):
        segment, product = map(str, place)
        rows = mine.index.to_numpy()
        met, where = np.unique(style[rows], return_inverse=True)
        ranking = ranker.rank(Context(segment, product), [looks[i] for i in met])
        score = dict(zip(ranking.styles, ranking.scores, strict=True))
        rates = np.clip([score[looks[i]] for i in met], 1e-6, 1 - 1e-6)
        made[rows] = logit(rates)[where]
    return made
