"""How shoppers of one segment differ in what they like, by what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from persona_img.domain.decision import Slate
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from persona_img.domain.style import Style

Floats = NDArray[np.float64]

FARTHEST = 3.0
"""Deviations from the segment's mean beyond which a trait says no more."""


@dataclass(frozen=True)
class Leaning:
    """What a shopper's traits add to the log-odds of a click, style by style.

    Traits count from the mean of the shopper's segment: a shopper of whom nothing is known, and the
    average one, lean nowhere and get what the segment gets.

    Attributes:
        traits: D names of numbers known of a shopper.
        values: V pairs (attribute, value).
        centre: Segment to the D means of its shoppers; of other segments nothing is known.
        spread: D standard deviations, > 0.
        weights: V + 1 rows of D log-odds a deviation: of each value, and last of the photo.

    Example:
        >>> values, weights = (("surface", "marble"),), ((0.1,), (0.0,))
        >>> leaning = Leaning(("price_level",), values, {"cooks": (0.5,)}, (0.2,), weights)
        >>> leaning.odds("cooks", np.array([0.9])).tolist()
        [0.2, 0.0]
    """

    traits: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    centre: Mapping[str, tuple[float, ...]]
    spread: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        size = len(self.traits)
        if (
            len(self.spread) != size
            or any(len(mean) != size for mean in self.centre.values())
            or [len(row) for row in self.weights] != [size] * (len(self.values) + 1)
        ):
            raise InvalidInput(
                f"{size} traits, {len(self.values)} values: give {size} means a segment, {size} "
                f"spreads, and {len(self.values) + 1} rows of {size} weights"
            )
        if not all(s > 0 for s in self.spread):
            raise InvalidInput(f"spreads {self.spread}: give each trait one above 0")

    def deviations(self, segment: str, known: Floats) -> Floats:
        """(…, D) traits as deviations from the segment's mean; what is unknown is none."""
        if segment not in self.centre:
            return np.zeros_like(known)
        away = (known - np.array(self.centre[segment])) / np.array(self.spread)
        near = np.clip(np.nan_to_num(away, nan=0.0), -FARTHEST, FARTHEST)
        return np.asarray(near, dtype=np.float64)

    def odds(self, segment: str, known: Floats) -> Floats:
        """What each value, and last the photo, gains with shoppers of a segment.

        Args:
            segment: Theirs.
            known: float64 (…, D), NaN where a trait is unknown.

        Returns:
            float64 (…, V + 1) log-odds.
        """
        return np.asarray(self.deviations(segment, known) @ self._weights.T, dtype=np.float64)

    def adds(self, styles: Sequence[Style], segment: str, known: Floats) -> Floats:
        """(…, S) log-odds that S styles gain; as for :meth:`odds`."""
        look = np.zeros((len(styles), len(self.values) + 1))
        for row, style in enumerate(styles):
            if style.is_original:
                look[row, -1] = 1.0
            for pair in style.values.items():
                if pair in self._place:
                    look[row, self._place[pair]] = 1.0
        return np.asarray(self.odds(segment, known) @ look.T, dtype=np.float64)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "traits": self.traits,
            "values": self.values,
            "centre": {segment: list(mean) for segment, mean in self.centre.items()},
            "spread": self.spread,
            "weights": self.weights,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Leaning:
        """The inverse of :meth:`as_dict`."""
        return cls(
            tuple(stored["traits"]),
            tuple((attribute, value) for attribute, value in stored["values"]),
            {segment: tuple(mean) for segment, mean in stored["centre"].items()},
            tuple(stored["spread"]),
            tuple(tuple(row) for row in stored["weights"]),
        )

    @cached_property
    def _weights(self) -> Floats:
        return np.array(self.weights, dtype=np.float64).reshape(-1, len(self.traits))

    @cached_property
    def _place(self) -> dict[tuple[str, str], int]:
        return {pair: place for place, pair in enumerate(self.values)}


@dataclass(frozen=True)
class Personal:
    """A slate's chances for one shopper instead of the segment's average.

    A segment's chances say how likely each style is the best of the slate. If errors of what is
    believed of two styles differ by a logistic distribution, another ``d`` on the log-odds of a
    style multiplies these odds by exp(``sharpness`` d), which is done here. Floors stay: what the
    policy shows for the log's sake alone, what does harm among it, is shown no more often.

    Attributes:
        leaning: What shoppers' traits add.
        sharpness: Above 0; the surer the ranker, the larger.
        floor: Chance of every candidate that the policy keeps for the log, in [0, 1).
    """

    leaning: Leaning
    sharpness: float
    floor: float

    def __post_init__(self) -> None:
        if not (self.sharpness > 0 and 0 <= self.floor < 1):
            raise InvalidInput(
                f"sharpness {self.sharpness}, floor {self.floor}: give one above 0, and a chance"
            )

    def chances(self, slate: Slate, segment: str, known: Floats) -> Floats:
        """(…, S) chances of the slate's candidates, for shoppers of a segment.

        Args:
            slate: The segment's.
            segment: Theirs.
            known: float64 (…, D), NaN where a trait is unknown.
        """
        base = np.array([c.probability for c in slate.candidates])
        floor = min(self.floor, float(base.min()))
        best = np.maximum(base - floor, 0.0)
        adds = self.leaning.adds([c.style for c in slate.candidates], segment, known)
        tilt = self.sharpness * adds
        tilted = best * np.exp(tilt - tilt.max(axis=-1, keepdims=True))
        total = tilted.sum(axis=-1, keepdims=True)
        share = np.divide(tilted, total, out=np.zeros_like(tilted), where=total > 0)
        return floor + (1.0 - len(base) * floor) * share if best.any() else base + 0.0 * adds

    def slate(self, slate: Slate, segment: str, known: Floats) -> Slate:
        """The slate as it is for one shopper, ``known`` (D,)."""
        chances = self.chances(slate, segment, known)
        chances[chances.argmax()] += 1.0 - chances.sum()
        return Slate(
            tuple(
                replace(candidate, probability=float(chance))
                for candidate, chance in zip(slate.candidates, chances, strict=True)
            )
        )
