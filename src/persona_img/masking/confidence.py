"""How much to trust the learned masker: signs of a wrong piece, and the chance that there is none.

A network's own probabilities say little about a hole it never saw. So the mask is looked at from
outside as well: in a mirror, against the photo's colours, for pieces that continue the backdrop.
What the signs are worth is learned on scenes whose masks are known (``calibration.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from persona_img.masking.classic import told_apart
from persona_img.masking.leftover import without_leftovers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SIGNS = ("doubt", "blob", "mirror", "leftover", "colours", "pieces", "apart")
"""Names of what :func:`signs_of` measures."""
_BAND = 3  # pixels beside the outline, where doubt is only softness
_UNSURE = (0.12, 0.88)
_LEAST = 1e-4  # of the product: smaller areas count as this


def signs_of(
    small: NDArray[np.uint8],
    straight: NDArray[np.float32],
    mirrored: NDArray[np.float32],
    binary: NDArray[np.uint8],
    other: NDArray[np.uint8] | None = None,
) -> dict[str, float]:
    """What may tell a wrong mask.

    Args:
        small: uint8 (h, w, 3), what the network saw.
        straight: float32 (h, w), its probabilities.
        mirrored: float32 (h, w), its probabilities in a mirror, mirrored back.
        binary: uint8 (h, w), 1 is product.
        other: uint8 (h, w), what another way of cutting found; None where none was asked.

    Returns:
        By name in ``SIGNS``. ``doubt``, ``blob``, ``mirror``, ``leftover``, ``pieces`` and
        ``apart`` are log10 of areas as shares of the product (unsure away from the outline, its
        largest piece, largest piece in which the mirror disagrees, pieces that continue the
        backdrop, product outside the two largest pieces, largest piece in which the other cut
        disagrees); ``colours`` is 0..1, how well colours agree with the cut.
    """
    area = max(1.0, float(binary.sum()))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BAND + 1, 2 * _BAND + 1))
    near = cv2.morphologyEx(binary, cv2.MORPH_GRADIENT, kernel) > 0
    mean = (straight + mirrored) / 2
    unsure = (mean > _UNSURE[0]) & (mean < _UNSURE[1])
    apart = (straight > 0.5) != (mirrored > 0.5)
    left = (binary > 0) & (without_leftovers(small, binary) == 0)
    sizes = _sizes(binary > 0)
    areas = {
        "doubt": float((unsure & ~near).sum()),
        "blob": max(_sizes(unsure & ~near), default=0.0),
        "mirror": max(_sizes(_opened(apart)), default=0.0),
        "leftover": float(left.sum()),
        "pieces": sum(sorted(sizes)[:-2]),
        "apart": 0.0 if other is None else max(_sizes(_opened(binary != other)), default=0.0),
    }
    signs = {name: float(np.log10(_LEAST + value / area)) for name, value in areas.items()}
    return signs | {"colours": told_apart(small, binary) if binary.any() else 0.0}


def checks_of(
    small: NDArray[np.uint8],
    straight: NDArray[np.float32],
    mirrored: NDArray[np.float32],
    binary: NDArray[np.uint8],
    calibration: Mapping[str, Any] | None,
    other: NDArray[np.uint8] | None = None,
) -> dict[str, float]:
    """Scores in 0..1, 1 is good.

    Args:
        small: See :func:`signs_of`.
        straight: See :func:`signs_of`.
        mirrored: See :func:`signs_of`.
        binary: See :func:`signs_of`.
        calibration: ``weights`` by sign and ``offset`` of the log-odds; None where the network was
            never calibrated. ``least`` is the chance from which nobody need look, 0.5 without.
        other: See :func:`signs_of`.

    Returns:
        ``area``, ``border`` and ``sure``: the chance that no piece is wrong, 0 if it is not known,
        stretched so that ``least`` is 0.5.
    """
    share = float(binary.mean())
    if share == 0.0 or share == 1.0:
        return dict.fromkeys(("area", "border", "sure"), 0.0)
    ring = np.ones(binary.shape, dtype=bool)
    thick = max(2, round(0.02 * min(binary.shape)))
    ring[thick:-thick, thick:-thick] = False
    touching = float(binary[ring].mean())
    sure = 0.0
    if calibration is not None:
        signs = signs_of(small, straight, mirrored, binary, other)
        least = calibration.get("least", 0.5)
        sure = float(np.interp(chance_of(signs, calibration), (0, least, 1), (0, 0.5, 1)))
    return {
        "area": float(np.clip((share - 0.005) / 0.015, 0, 1) * np.clip((0.9 - share) / 0.1, 0, 1)),
        "border": float(np.clip((0.6 - touching) / 0.2, 0, 1)),
        "sure": sure,
    }


def chance_of(signs: Mapping[str, float], calibration: Mapping[str, Any]) -> float:
    """The chance, 0..1, that a mask with these signs has no wrong piece."""
    odds = calibration["offset"] + sum(w * signs[n] for n, w in calibration["weights"].items())
    return float(1 / (1 + np.exp(-odds)))


def _opened(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    kernel = np.ones((3, 3), np.uint8)
    return cv2.morphologyEx(area.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0


def _sizes(area: NDArray[np.bool_]) -> list[float]:
    count, _, stats, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8), connectivity=8)
    return [float(stats[i, cv2.CC_STAT_AREA]) for i in range(1, count)]
