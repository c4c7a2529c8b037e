"""How far a set of pictures is from another, without a pretrained network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.errors import NotEnoughData
from persona_img.imaging.colour import to_lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEVELS = 3
_PATCH = 7
_LEAK = 10  # pixels across: how far the pyramid carries the product into its surroundings
_PROJECTIONS = 256


def backdrop_patches(
    picture: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    count: int,
    rng: np.random.Generator,
    *,
    side: int | None = 256,
) -> list[NDArray[np.float32]]:
    """Patches of a picture's backdrop in three octaves of detail.

    Args:
        picture: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), the product, where no patch is taken.
        count: Patches in each octave.
        rng: Of the places.
        side: Long side at which the first octave is looked at, pixels; None looks at the picture
            as large as it is.

    Returns:
        Per level of the Laplacian pyramid, the coarsest being the picture itself at a quarter of
        ``side``, float32 (count, 147) in Lab; fewer rows, or none, where there is too little
        backdrop.
    """
    if side is not None:
        scale = side / max(alpha.shape)
        size = max(32, round(alpha.shape[1] * scale)), max(32, round(alpha.shape[0] * scale))
        picture, alpha = (
            cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (picture, alpha)
        )
    lab, mask = to_lab(picture.astype(np.uint8)), alpha
    found = []
    for level in range(_LEVELS):
        last = level == _LEVELS - 1
        below = lab if last else np.asarray(cv2.pyrDown(lab), dtype=np.float32)
        detail = lab if last else lab - cv2.pyrUp(below, dstsize=(lab.shape[1], lab.shape[0]))
        found.append(_cut(np.asarray(detail, dtype=np.float32), mask, count, rng))
        lab = below
        mask = cv2.resize(mask, (lab.shape[1], lab.shape[0]), interpolation=cv2.INTER_AREA)
    return found


def sliced_wasserstein(
    these: Sequence[Sequence[NDArray[np.float32]]],
    those: Sequence[Sequence[NDArray[np.float32]]],
    *,
    seed: int = 0,
) -> float:
    """Distance of two sets of pictures, by the patches :func:`backdrop_patches` took of each.

    Args:
        these: Per picture its levels.
        those: The pictures to compare with; their spread is the unit.
        seed: Of the projections.

    Returns:
        Mean over levels and projections of the distance between sorted projections, in standard
        deviations of ``those``; 0 for equal sets.

    Raises:
        NotEnoughData: no patch in one of the sets.

    References:
        Karras et al. 2018, "Progressive Growing of GANs", ICLR, section 5 (here in Lab, and in the
        units of the real pictures, so that a difference of colour or contrast counts).
    """
    rng = np.random.default_rng(seed)
    levels = []
    for level in range(_LEVELS):
        sets = [[p[level] for p in pictures if len(p[level])] for pictures in (these, those)]
        if not all(sets):
            raise NotEnoughData(f"{len(these)} and {len(those)} pictures: no patch of backdrop")
        ours, theirs = (np.concatenate(one) for one in sets)
        centre, spread = theirs.mean(axis=0), theirs.std(axis=0) + 1e-6
        across = rng.standard_normal((ours.shape[1], _PROJECTIONS))
        across /= np.linalg.norm(across, axis=0)
        # Quantiles of both at the same places: the sets need not be of equal size.
        share = (np.arange(512) + 0.5) / 512
        a = np.quantile((ours - centre) / spread @ across, share, axis=0)
        b = np.quantile((theirs - centre) / spread @ across, share, axis=0)
        levels.append(float(np.abs(a - b).mean()))
    return float(np.mean(levels))


def _cut(
    level: NDArray[np.float32],
    mask: NDArray[np.uint8],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    reach = _PATCH // 2
    kernel = np.ones((_PATCH + _LEAK, _PATCH + _LEAK), np.uint8)
    near = cv2.dilate((mask > 5).astype(np.uint8), kernel)
    near[:reach], near[-reach:], near[:, :reach], near[:, -reach:] = 1, 1, 1, 1
    rows, columns = np.nonzero(near == 0)
    if not rows.size:
        return np.empty((0, _PATCH * _PATCH * 3), dtype=np.float32)
    chosen = rng.integers(rows.size, size=count)
    windows = np.lib.stride_tricks.sliding_window_view(level, (_PATCH, _PATCH), axis=(0, 1))
    cut = windows[rows[chosen] - reach, columns[chosen] - reach]
    return np.ascontiguousarray(cut.reshape(count, -1), dtype=np.float32)
