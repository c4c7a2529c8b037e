"""How a product is shown on its photo, and from how far above: told by a small classifier.

Taught on photos that somebody looked at (``experiments/pose``). It knows no person, so it never
says ``worn``: that, and whatever it gets wrong, the shop tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.pose import POSES, checked_pose, usual_category
from persona_img.errors import InvalidInput
from persona_img.imaging.mask_size import check_mask, no_larger
from persona_img.imaging.pitch import pitch_of as pitch_of
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

_UPRIGHT_ODDS = {"lying": 1.0, "standing": 20.0, "hanging": 0.05}
_HALF = 128


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
    check_mask(alpha)
    if photo.dtype != np.uint8 or photo.shape != (*alpha.shape, 3):
        raise InvalidInput(
            f"photo {photo.dtype} {photo.shape}: give uint8 {(*alpha.shape, 3)}, as the mask is"
        )
    photo, alpha = no_larger(photo), no_larger(alpha)
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


@cache
def _network() -> dict[str, NDArray[np.float32]]:
    with as_file(files("persona_img") / "assets" / "pose.npz") as path, np.load(path) as table:
        return {name: table[name] for name in table.files}
