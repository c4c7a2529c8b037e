"""What a ranker and a policy are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from persona_img.errors import EmptySlate, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from persona_img.domain.decision import Choice, Context, Ranking
    from persona_img.domain.style import Style

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RankingFeatures:
    """What is known of segments and products; numbers are measured, text is categories.

    Attributes:
        segments: Indexed by segment, one row each; numeric columns.
        products: Indexed by product, one row each; numeric columns and text columns of few values,
            e.g. ``category``.

    Example:
        >>> import pandas as pd
        >>> RankingFeatures(
        ...     segments=pd.DataFrame({"size": [120.0]}, index=["home-cooks"]),
        ...     products=pd.DataFrame({"category": ["mug"]}, index=["AB 12/3"]),
        ... ).products.loc["AB 12/3", "category"]
        'mug'
    """

    segments: pd.DataFrame
    products: pd.DataFrame

    def __post_init__(self) -> None:
        for name, table in (("segments", self.segments), ("products", self.products)):
            repeated = table.index[table.index.duplicated()].unique()
            if len(repeated):
                raise InvalidInput(f"{name}: {repeated[0]!r} has several rows; give each one row")
        text = set(self.segments.columns) - set(self.segments.select_dtypes("number").columns)
        if text:
            raise InvalidInput(f"segments: columns {sorted(text)} are not numeric; leave them out")


@dataclass(frozen=True)
class Evidence:
    """What was counted since the ranker was fitted, style by style, in the ranking's order.

    Attributes:
        impressions: float64 (S,), >= 0.
        clicks: float64 (S,), between 0 and the impressions.
    """

    impressions: Floats
    clicks: Floats

    def __post_init__(self) -> None:
        if self.impressions.shape != self.clicks.shape or self.clicks.ndim != 1:
            raise InvalidInput(
                f"impressions {self.impressions.shape}, clicks {self.clicks.shape}: give (S,) twice"
            )
        if np.any(self.clicks < 0) or np.any(self.clicks > self.impressions):
            raise InvalidInput("evidence with clicks outside 0..impressions; count each click once")


class Ranker(Protocol):
    """A learned ordering of styles for a segment and a product."""

    name: str

    def fit(self, feedback: pd.DataFrame, features: RankingFeatures) -> Self:
        """Learn from counted impressions, all earlier ones forgotten.

        Args:
            feedback: ``domain.feedback.FEEDBACK_COLUMNS``, of any types that
                :func:`~persona_img.domain.feedback_table.weighed_feedback` takes; call it first.
                It may say in ``weight`` how many impressions each counts as.
            features: Of the segments and products in it.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
            NotEnoughData: a fit would be undefined; which rankers need how much is theirs to say.
        """

    def rank(self, context: Context, styles: Sequence[Style]) -> Ranking:
        """The styles by predicted click rate at position 1, best first.

        Segments, products, attributes and values that were never seen are ranked by what is known
        about the rest.

        Raises:
            EmptySlate: no style.
        """

    def save(self, folder: str | Path) -> None:
        """Write into the folder, text only; it is created where missing."""

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The inverse of :meth:`save`: ranks the same.

        Raises:
            NotFound: the folder holds no ranker of this kind.
        """


class Policy(Protocol):
    """Turns a ranking into probabilities, so that everything stays measurable."""

    name: str

    def probabilities(self, ranking: Ranking, evidence: Evidence | None = None) -> Floats:
        """Chance of showing each style of the slate.

        Args:
            ranking: One slate, S styles, the original photo among them.
            evidence: Impressions and clicks per style; None is none.

        Returns:
            float64 (S,), in the ranking's order, each > 0 and at least what the policy keeps for
            the log, summing to 1 within 1e-12. The same ranking and evidence give the same numbers.

        Raises:
            EmptySlate: the original is not in the slate.
            InvalidInput: the floor is too high for S styles, or evidence of another length.
        """

    def choose(self, ranking: Ranking, rng: np.random.Generator) -> Choice:
        """A style drawn with :meth:`probabilities`, and the probability it had."""


@dataclass(frozen=True)
class Predicted:
    """What is known of N slates of S styles each, without their names.

    Attributes:
        scores: float64 (N, S), predicted click rates in [0, 1].
        spreads: float64 (N, S), as :attr:`~persona_img.domain.decision.Ranking.spreads`; None where
            the ranker cannot tell.
    """

    scores: Floats
    spreads: Floats | None = None


def check_styles(context: Context, styles: Sequence[Style]) -> None:
    """Raise where there is nothing to rank."""
    if not styles:
        raise EmptySlate(f"{context}: no styles to rank; the original is always one")
