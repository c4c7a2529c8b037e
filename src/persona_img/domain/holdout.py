"""Shoppers who are never personalised, whatever is tested."""

from __future__ import annotations

from dataclasses import dataclass

from persona_img.domain.decision import Arms
from persona_img.errors import InvalidInput


@dataclass(frozen=True)
class Holdout:
    """A share of the shoppers who see photos over all A/B tests, and are in none of them.

    Who they are depends on the holdout's name and the shopper alone, so it is independent of the
    arms of every test of another name, and stays when the next test begins. What they see is logged
    under the holdout's name, as ``control`` of it.

    Attributes:
        name: Of the holdout: the salt, and the test of its impressions. A new one draws anew.
        share: Of all shoppers, between 0 and 1, both excluded.

    Example:
        >>> Holdout("holdout", 0.05).includes("anna")
        False
    """

    name: str
    share: float

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise InvalidInput(f"share {self.share}: give a part between 0 and 1, e.g. 0.05")

    @property
    def arms(self) -> Arms:
        """The holdout as a log remembers it: the held out against everybody else."""
        return Arms(self.name, {"control": self.share, "tested": 1.0 - self.share})

    def includes(self, shopper: str) -> bool:
        """Whether a shopper is held out, the same at every call and on every machine."""
        return self.arms.assign(shopper) == "control"
