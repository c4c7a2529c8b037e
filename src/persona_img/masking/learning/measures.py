"""How good a mask is, where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOLERANCE = 0.0075  # of the diagonal: how far two outlines may lie apart
_HOLE = 0.0002  # of the picture
_PIECE = 0.001  # of the picture: smaller wrong pieces are not seen


@dataclass(frozen=True)
class MaskScore:
    """A mask against the truth.

    Attributes:
        iou: Intersection over union, 0..1.
        boundary_f: F measure of the outlines, 0..1, within 0.75 % of the diagonal.
        outline_f: The same within one pixel.
        kept: Area of the largest piece of backdrop that was kept, share of the product.
        lost: Area of the largest piece of product that was lost, share of the product.
        hole_error: Share of the area of the truth's holes that was taken for product; NaN where
            it has none of 0.02 % of the picture or more.
    """

    iou: float
    boundary_f: float
    outline_f: float
    kept: float
    lost: float
    hole_error: float = float("nan")

    @property
    def clean(self) -> bool:
        """No wrong piece that a shopper would see."""
        return self.kept == 0 and self.lost == 0


def score_mask(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> MaskScore:
    """Compare two alphas at one half.

    Args:
        found: uint8 (H, W).
        truth: uint8 (H, W), with some product in it.

    Returns:
        Scores; ``boundary_f`` and ``outline_f`` are NaN where the truth fills the frame.

    References:
        Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object
        Segmentation": the boundary measure.
    """
    got, want = found > 127, truth > 127
    product = float(want.sum())
    return MaskScore(
        iou=float((got & want).sum() / max(1, (got | want).sum())),
        boundary_f=_boundary_f(got, want, max(1, round(_TOLERANCE * float(np.hypot(*want.shape))))),
        outline_f=_boundary_f(got, want, 1),
        kept=largest_piece(got & ~want) / product,
        lost=largest_piece(want & ~got) / product,
        hole_error=_hole_error(got, want),
    )


def largest_piece(wrong: NDArray[np.bool_]) -> float:
    """Pixels of the largest connected piece that is no thin line; 0 where all are too small."""
    side = max(3, round(0.012 * min(wrong.shape))) | 1
    opened = cv2.morphologyEx(
        wrong.astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side), np.uint8)
    )
    count, _, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return 0.0
    most = float(stats[1:, cv2.CC_STAT_AREA].max())
    return most if most >= _PIECE * wrong.size else 0.0


def _hole_error(got: NDArray[np.bool_], want: NDArray[np.bool_]) -> float:
    outside = np.pad(~want, 1, constant_values=True).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    sizes = stats[:, cv2.CC_STAT_AREA]
    hole = (sizes >= _HOLE * want.size) & (np.arange(count) > 0)
    hole[pieces[0, 0]] = False
    inside = hole[pieces][1:-1, 1:-1]
    return float((got & inside).sum() / inside.sum()) if inside.any() else float("nan")


def _boundary_f(got: NDArray[np.bool_], want: NDArray[np.bool_], reach: int) -> float:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    ours, theirs = _outline(got), _outline(want)
    if not theirs.any():
        return float("nan")
    if not ours.any():
        return 0.0
    precision = float((ours & (cv2.dilate(theirs.astype(np.uint8), disc) > 0)).sum() / ours.sum())
    recall = float((theirs & (cv2.dilate(ours.astype(np.uint8), disc) > 0)).sum() / theirs.sum())
    return 2 * precision * recall / max(1e-9, precision + recall)


def _outline(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Product pixels beside backdrop; the frame is no outline."""
    inner = cv2.erode(area.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    return area & (inner == 0)
