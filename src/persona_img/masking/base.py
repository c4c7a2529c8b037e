"""The Masker port: which pixels of a photo are the product, and how much to trust that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_CONFIDENCE = 0.5
"""Below this a person must supply or approve the mask."""


@dataclass(frozen=True, eq=False)
class ProductMask:
    """A product's alpha and how much to trust it.

    Attributes:
        alpha: uint8 (H, W), 255 is product, 0 is backdrop.
        confidence: 0..1, the weakest of ``checks``.
        checks: Named scores in 0..1, 1 is good.
        source: Name of the masker, or ``supplied``.
    """

    alpha: NDArray[np.uint8]
    confidence: float
    checks: dict[str, float]
    source: str

    @property
    def trusted(self) -> bool:
        """Whether it may be used without a person looking at it."""
        return self.confidence >= MIN_CONFIDENCE


@runtime_checkable
class Masker(Protocol):
    """Cuts products out of photos.

    Attributes:
        name: Short name for certificates and reports.
    """

    name: str

    def fingerprint(self) -> str:
        """Hex digest of everything a mask depends on besides the photo."""

    def cut(self, photo: NDArray[np.uint8]) -> ProductMask:
        """Mask of the one product in a photo.

        Args:
            photo: uint8 sRGB (H, W, 3).

        Returns:
            Alpha at the photo's own size with its confidence. Same photo, same bytes.
        """


def supplied(alpha: NDArray[np.uint8]) -> ProductMask:
    """A mask drawn by a person or another tool: trusted as it is."""
    return ProductMask(alpha=alpha, confidence=1.0, checks={"supplied": 1.0}, source="supplied")
