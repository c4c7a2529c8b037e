"""Two opinions of one photo: the network's cut and the colours', and the one more likely right.

A network knows what garments look like and is lost where floor and product confuse it; colours
know nothing of garments and are lost where both share some. They seldom fail on the same photo, and
where they agree either is hardly ever wrong: what they disagree in is a sign as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from persona_img.masking.confidence import checks_of
from persona_img.masking.holes import filled
from persona_img.masking.leftover import without_leftovers
from persona_img.masking.lines import without_line_ends
from persona_img.masking.rim import judged_by_colours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NETWORK, COLOURS = "network", "classic"
MARGIN = 0.1
"""So much surer the colours' cut must be; about as likely right, the network's is kept."""
_SOFT = 1.5  # pixels: how softly the colours' cut is taken for a chance
_BOUNDS = (0.05, 0.95)  # colours are never surer than this
_LEFTOVER = 0.005  # of the product: smaller pieces that look like floor may be its own
_SURE = 0.97  # chance at which what looks like floor is product none the less
_ISLAND = 0.004  # of the largest piece: smaller ones are specks
_STRAY = 0.05  # of the largest piece: smaller ones are no second shoe
_FAR = 0.06  # of the longer side: what is small and so far away lies on the floor or is part of it


@dataclass(frozen=True, eq=False)
class Opinion:
    """One cut of a small photo.

    Attributes:
        chance: float32 (h, w) in 0..1, product or not.
        binary: uint8 (h, w), 1 is product.
    """

    chance: NDArray[np.float32]
    binary: NDArray[np.uint8]

    def with_more(self, whole: NDArray[np.uint8]) -> Opinion:
        """This cut with what ``whole`` has beside it, surely product."""
        chance = np.where(whole > self.binary, 1.0, self.chance).astype(np.float32)
        return Opinion(chance, whole)

    def soft(self) -> NDArray[np.float32]:
        """The chance, 0 away from the product: what the edge at full size is made of."""
        near = cv2.dilate(self.binary, np.ones((3, 3), np.uint8)) > 0
        return np.where(near, self.chance, 0.0).astype(np.float32)


def asks_colours(confidence: Mapping[str, Any] | None) -> bool:
    """Whether a confidence was calibrated beside the colours' own cut."""
    return confidence is not None and "apart" in confidence["weights"]


def opinions_of(
    small: NDArray[np.uint8],
    straight: NDArray[np.float32],
    mirrored: NDArray[np.float32],
    coarse: NDArray[np.uint8] | None = None,
) -> dict[str, Opinion]:
    """The cuts of a photo, by ``NETWORK`` and ``COLOURS``.

    Args:
        small: uint8 (h, w, 3), what the network saw.
        straight: float32 (h, w), its probabilities.
        mirrored: float32 (h, w), its probabilities in a mirror, mirrored back.
        coarse: The colours' cut, uint8 0 or 1, of any size; None asks the network alone.
    """
    seen = ((straight + mirrored) / 2).astype(np.float32)
    found = {NETWORK: _mended(small, seen)}
    if coarse is not None:
        cut = cv2.resize(coarse.astype(np.float32), (small.shape[1], small.shape[0]))
        found[COLOURS] = _mended(
            small, np.clip(cv2.GaussianBlur(cut, (0, 0), _SOFT), *_BOUNDS), shaded=False, seen=seen
        )
    return found


def better(
    small: NDArray[np.uint8],
    straight: NDArray[np.float32],
    mirrored: NDArray[np.float32],
    opinions: Mapping[str, Opinion],
    confidence: Mapping[str, Any] | None,
) -> tuple[Opinion, dict[str, float]]:
    """The cut that is more likely right, with its checks; the network's where they are about level.

    Args:
        small: See :func:`opinions_of`.
        straight: See :func:`opinions_of`.
        mirrored: See :func:`opinions_of`.
        opinions: From :func:`opinions_of`.
        confidence: What signs say of the network's cut, and under ``classic`` of the colours'.
    """
    own = opinions[NETWORK]
    other = opinions.get(COLOURS)
    seen = None if other is None else other.binary
    checks = checks_of(small, straight, mirrored, own.binary, confidence, seen)
    if other is None or confidence is None:
        return own, checks
    second = checks_of(small, straight, mirrored, other.binary, confidence.get(COLOURS), own.binary)
    surer = min(second.values()) > min(checks.values()) + MARGIN
    return (other, second) if surer else (own, checks)


def without_specks(product: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The product without what is small and apart from it, uint8 0 or 1."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        product.astype(np.uint8), connectivity=4
    )
    if count < 2:
        return product.astype(np.uint8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = labels == 1 + int(areas.argmax())
    away = cv2.distanceTransform((~largest).astype(np.uint8), cv2.DIST_L2, 5)
    kept = [
        i
        for i, area in enumerate(areas, start=1)
        if area >= _STRAY * areas.max()
        or (area >= _ISLAND * areas.max() and away[labels == i].min() < _FAR * max(labels.shape))
    ]
    return np.isin(labels, kept).astype(np.uint8)


def _mended(
    small: NDArray[np.uint8],
    chance: NDArray[np.float32],
    *,
    shaded: bool = True,
    seen: NDArray[np.float32] | None = None,
) -> Opinion:
    """A cut without leftovers and specks, its outline judged by colours and its prints filled."""
    binary = without_specks(chance > 0.5)
    kept = without_leftovers(small, binary, least=_LEFTOVER * float(binary.mean()))
    kept |= ((binary > kept) & (chance > _SURE)).astype(np.uint8)
    chance = np.where(binary > kept, 0.0, chance).astype(np.float32)
    judged = judged_by_colours(small, chance, kept)
    binary = without_line_ends(small, without_specks(judged > 0.5), chance, _SURE)
    judged = np.where((judged > 0.5) & (binary == 0), 0.0, judged).astype(np.float32)
    return Opinion(judged, binary).with_more(
        filled(small, chance, binary, shaded=shaded, seen=seen)
    )
