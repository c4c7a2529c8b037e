"""How a product is shown on its photo, and from how far above: told by a small classifier.

Taught on photos that somebody looked at (``experiments/pose``). It knows no person, so it never
says ``worn``: that, and whatever it gets wrong, the shop tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.domain.pose import POSES, checked_pose, usual_category
from persona_img.errors import InvalidInput
from persona_img.imaging.pose_features import (
    gradient_features,
    ground_features,
    outline_features,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LEAST_SURE = 0.6
"""Chance below which a pose is a guess; chosen on held-out senders, ``experiments/pose``."""

KINDS: Mapping[str, frozenset[str]] = {
    "footwear": frozenset({"boots", "sandals", "shoes", "sneakers"}),
    "headwear": frozenset({"beanie", "cap", "hat"}),
    "small": frozenset(
        {"bag", "ball", "belt", "book", "card", "cushion", "glasses", "gloves", "jewellery",
         "necklace", "notebook", "phone", "pillow", "plate", "ring", "rucksack", "scarf", "socks",
         "sunglasses", "tie", "tote", "toy", "umbrella", "wallet", "watch"}
    ),
}  # fmt: skip
"""Kinds of things that are photographed alike, by names of ``domain.pose.SIZES``; what is neither
in one of them nor in :data:`UPRIGHT` is a garment."""

UPRIGHT = frozenset(
    {"bottle", "bowl", "box", "candle", "chair", "cup", "glass", "jar", "lamp", "mug", "plant",
     "pot", "vase"}
)  # fmt: skip
"""What stands wherever it is. Hardly any of the photos show one, so what a category of these says
is not learned but stated, in ``_UPRIGHT_ODDS``."""

LEAST_PITCH, MOST_PITCH = 6.0, 35.0
"""Degrees between which :func:`pitch_of` answers."""

_UPRIGHT_ODDS = {"lying": 1.0, "standing": 20.0, "hanging": 0.05}
_BASE = 256  # columns at which a base is measured
_HALF = 128
_STEEP = 1.5  # rows a column: where the lower contour is steeper, the base ends and the side begins
_INNER = 0.92  # of half a base: beyond, one pixel of its outline moves the arch too much
_FITS = 4
_PIECE = 0.2  # of the largest piece: smaller ones stand on nothing


@dataclass(frozen=True)
class Pose:
    """How a product is shown.

    Attributes:
        chances: Probability of each of :data:`.domain.pose.POSES`; they sum to 1.

    Example:
        >>> pose = Pose.told("hanging")
        >>> pose.likely, pose.unsure
        ('hanging', False)
    """

    chances: Mapping[str, float]

    @classmethod
    def told(cls, pose: str) -> Pose:
        """What the shop says of its product.

        Raises:
            BadCatalog: no such pose.
            InvalidInput: it is empty.
        """
        known = checked_pose(pose)
        if not known:
            raise InvalidInput(f"pose {pose!r}: it is empty; ask pose_of where nobody told it")
        return cls({name: float(name == known) for name in POSES})

    @property
    def likely(self) -> str:
        """The most probable pose."""
        return max(self.chances, key=self.chances.__getitem__)

    @property
    def unsure(self) -> bool:
        """Whether the most probable pose is a guess, see :data:`LEAST_SURE`."""
        return self.chances[self.likely] < LEAST_SURE

    @property
    def safe(self) -> str:
        """The pose to act on: lying where it is unsure, for a flat lay fits everything."""
        return "lying" if self.unsure else self.likely


def pose_of(
    photo: NDArray[np.uint8], alpha: NDArray[np.uint8], category: str | None = None
) -> Pose:
    """Pose of the product on a photo.

    Args:
        photo: uint8 sRGB (H, W, 3); of a cut-out with anything even where it is transparent.
        alpha: uint8 (H, W), 255 is product.
        category: What kind of thing it is, as the shop writes it; None where unknown.

    Raises:
        InvalidInput: another type or shape, or no product in the mask.
    """
    _check(alpha)
    if photo.dtype != np.uint8 or photo.shape != (*alpha.shape, 3):
        raise InvalidInput(
            f"photo {photo.dtype} {photo.shape}: give uint8 {(*alpha.shape, 3)}, as the mask is"
        )
    network = _network()
    scaled = (pose_features(photo, alpha, category) - network["mean"]) / network["spread"]
    known = np.nan_to_num(np.clip(scaled, -4, 4))
    hidden = np.maximum(known @ network["hidden"] + network["hidden_bias"], 0)
    logits = (hidden @ network["out"] + network["out_bias"]).astype(np.float64)
    names = [str(name) for name in network["poses"]]
    raised = np.exp(logits - logits.max()) * pose_odds(category, names)
    chances = dict.fromkeys(POSES, 0.0)
    for name, chance in zip(names, raised / raised.sum(), strict=True):
        chances[name] += float(chance)  # lying has two: from above, and from half above
    return Pose(chances)


def pose_features(
    photo: NDArray[np.uint8], alpha: NDArray[np.uint8], category: str | None
) -> NDArray[np.float32]:
    """What the classifier sees; NaN where nothing can be said.

    Returns:
        float32 (F,): outline, gradients, backdrop, whether the backdrop says something, kind.
    """
    ground = ground_features(photo, alpha)
    if not np.isfinite(ground).all():  # one even backdrop is as good as another, so it is one
        photo = np.where(alpha[..., None] < _HALF, np.uint8(255), photo)
    return np.concatenate(
        [
            outline_features(alpha),
            gradient_features(photo, alpha),
            ground,
            [float(np.isfinite(ground).all())],
            kind_features(category),
        ]
    ).astype(np.float32)


def pose_odds(category: str | None, poses: Sequence[str]) -> NDArray[np.float64]:
    """What a category alone says of poses, as factors (P,) of their chances; ones for most."""
    if usual_category(category or "") in UPRIGHT:
        return np.array([_UPRIGHT_ODDS[name] for name in poses])
    return np.ones(len(poses))


def kind_features(category: str | None) -> NDArray[np.float32]:
    """Which kind of thing a category names: one of four, or none where that says nothing."""
    found = np.zeros(len(KINDS) + 1, np.float32)
    name = usual_category(category or "")
    if name is not None and name not in UPRIGHT:
        found[next((i for i, k in enumerate(KINDS.values()) if name in k), len(KINDS))] = 1
    return found


def pitch_of(alpha: NDArray[np.uint8]) -> float:
    """From how far above a standing product is seen, judged by what it stands on.

    A round base of radius r seen from p degrees above the plane has a lower contour that is half an
    ellipse with the axes r and r · sin p. So an arch is fitted to the lower contour of each piece
    (a tilt beside it, so that a pair seen from an angle is no arch), and p taken from its height
    over half its width. A box's corner comes out about right, too; a flat bottom says nothing of
    the viewpoint and gives the least.

    Args:
        alpha: uint8 (H, W), 255 is product.

    Returns:
        Degrees, 6 to 35.

    Raises:
        InvalidInput: another type or shape, or no product in the mask.
    """
    _check(alpha)
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats((alpha >= 128).astype(np.uint8))
    areas = boxes[1:count, cv2.CC_STAT_AREA]
    sines, weights = [], []
    for i in np.flatnonzero(areas >= _PIECE * areas.max()) + 1:
        left, top, width, height = boxes[i, : cv2.CC_STAT_AREA]
        piece = pieces[top : top + height, left : left + width] == i
        sines.append(_sine(piece))
        weights.append(float(areas[i - 1]))
    sine = float(np.average(sines, weights=weights))
    return float(np.clip(np.degrees(np.arcsin(np.clip(sine, 0, 1))), LEAST_PITCH, MOST_PITCH))


def _sine(piece: NDArray[np.bool_]) -> float:
    """Height of the arch that a piece stands on, over half its width; 0 for a flat bottom."""
    scale = _BASE / piece.shape[1]
    size = (_BASE, max(8, round(piece.shape[0] * scale)))
    soft = cv2.resize(piece.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    filled = (soft >= 0.5).any(axis=0)
    lowest = np.where(filled, size[1] - 1 - (soft >= 0.5)[::-1].argmax(axis=0), -1).astype(float)
    smooth = cv2.GaussianBlur(lowest[None].astype(np.float32), (0, 0), 1.5)[0]
    steep = np.abs(np.gradient(smooth)) > _STEEP
    foot = int(np.median(np.flatnonzero(lowest == lowest.max())))
    start, end = foot, foot
    while start > 0 and not steep[start - 1]:
        start -= 1
    while end < _BASE - 1 and not steep[end + 1]:
        end += 1
    run = (end - start + 1) / 2
    if run < 4:
        return 0.0
    x, y = np.arange(start, end + 1) - (start + end) / 2, lowest[start : end + 1]
    sine = 0.0
    for _ in range(_FITS):  # an arch is steep before its end: half a width is found with its height
        half = run * np.hypot(_STEEP, sine) / _STEEP
        u = np.clip(x / half, -_INNER, _INNER)
        table = np.stack([np.ones_like(u), u, np.sqrt(1 - u**2)], axis=1)
        fitted, *_ = np.linalg.lstsq(table[u == x / half], y[u == x / half], rcond=None)
        sine = max(0.0, float(fitted[2]) / half)
    return sine


def _check(alpha: NDArray[np.uint8]) -> None:
    if alpha.dtype != np.uint8 or alpha.ndim != 2:
        raise InvalidInput(f"mask {alpha.dtype} {alpha.shape}: give uint8 (H, W)")
    if not (alpha >= 128).any():
        raise InvalidInput("mask with no product: give one with pixels of at least 128")


@cache
def _network() -> dict[str, NDArray[np.float32]]:
    with as_file(files("persona_img") / "assets" / "pose.npz") as path, np.load(path) as table:
        return {name: table[name] for name in table.files}
