"""The first gate: what a variant must be before anybody sees it. Every threshold stands here.

They lie between variants that people looked at and the same with a defect put in on purpose: see
``experiments/render``, where each rule's precision and recall stand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import mean_lab, to_lab
from persona_img.rendering.proof.measure import (
    distinct,
    grounding,
    plate_mottle,
    plate_noise,
    plate_spread,
    rim,
    sharpness,
    standing,
)
from persona_img.scenery.scenes import APART, LIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.imaging.copies import CopyIndex
    from persona_img.rendering.compose import Placed
    from persona_img.rendering.proof.measure import Look, ProductReport
    from persona_img.scenery.build import SceneSet

_SIDE = 288  # long side at which plates are judged: the checkpoint's own


@dataclass(frozen=True)
class Rule:
    """A score and where it must lie; an undefined score (NaN) never passes.

    Attributes:
        score: Its name.
        says: What is wrong when it does not pass.
        least: Lowest value that passes.
        most: Highest value that passes.
        photo: Whether it depends on the photograph alone, so that another seed cannot help.
        optional: Whether a picture passes on which it cannot be measured at all.
    """

    score: str
    says: str
    least: float = -math.inf
    most: float = math.inf
    photo: bool = False
    optional: bool = False

    def passes(self, scores: Mapping[str, float]) -> bool:
        """Whether its score lies between the bounds."""
        if self.optional and self.score not in scores:
            return True
        return self.least <= scores.get(self.score, math.nan) <= self.most


RULES = (
    Rule("mask_confidence", "the product may be cut out wrongly", least=0.5, photo=True),
    Rule("core_changed", "product pixels differ from the photograph", most=0),
    Rule("core_outside", "the framing cuts the product", most=0, photo=True),
    Rule(
        "product_share",
        "the product is too small or fills the picture",
        least=0.05,
        most=0.85,
        photo=True,
    ),
    Rule("rim", "the old backdrop shows along the outline", most=0.10, optional=True),
    Rule("silhouette_growth", "the backdrop looks as if the product went on", most=0.005),
    Rule("grounding", "the product floats: no shadow beside it", least=0.2, optional=True),
    Rule("distinct", "the product cannot be told from the backdrop", least=4.5),
    Rule("plate_spread", "the backdrop is blank", least=0.5),
    Rule("plate_noise", "the backdrop is noise", most=2.0),
    Rule("sharpness", "the backdrop is softer than the product", least=0.35, optional=True),
    Rule("plate_mottle", "the backdrop is blotched", most=2.5),
    Rule("colour_error", "the backdrop has not the colour asked for", most=6.0, optional=True),
    Rule("adherence", "the picture does not show the style", least=0.1, optional=True),
    Rule("text_contrast", "text could not be read in its room", least=4.5, optional=True),
    Rule("copy", "the backdrop is nearly a training picture", most=0.95),
)
OWN_RULES = tuple(rule for rule in RULES if rule.score != "plate_mottle")
"""Where a shop's own backdrop is painted: it may be as uneven as the shop's floor and lamps are."""


@dataclass(frozen=True)
class GateReport:
    """What the gate measured.

    Attributes:
        passed: Whether every rule passed.
        scores: Score by name.
        reasons: One line per rule that did not pass.
        final: Whether a rule that depends on the photograph alone failed.
    """

    passed: bool
    scores: Mapping[str, float]
    reasons: tuple[str, ...]
    final: bool = False


def judge(scores: Mapping[str, float], rules: Sequence[Rule] = RULES) -> GateReport:
    """Scores against rules; a score that is missing passes optional rules only."""
    failed = [rule for rule in rules if not rule.passes(scores)]
    reasons = tuple(
        f"{rule.says} ({rule.score} {scores.get(rule.score, math.nan):.3g}, allowed "
        f"{rule.least:.3g}..{rule.most:.3g})"
        for rule in failed
    )
    return GateReport(not failed, dict(scores), reasons, any(rule.photo for rule in failed))


def plate_scores(
    plate: NDArray[np.float32],
    start: NDArray[np.float32],
    expected: NDArray[np.float32],
    area: NDArray[np.float32],
    training: CopyIndex | None,
) -> dict[str, float]:
    """Scores of a backdrop alone; of noise and blotches what the painter added to its set counts.

    Args:
        plate: float32 sRGB 0..1 (h, w, 3); judged at 288 px at most.
        start: The set, of the same shape.
        expected: Mean Lab (3,) that its open area should have.
        area: float32 (h, w), above 0 where it is open.
        training: Pictures the source learned from.
    """
    scale = _SIDE / max(area.shape)
    if scale < 1:
        size = (max(1, round(scale * area.shape[1])), max(1, round(scale * area.shape[0])))
        plate, start = (
            np.asarray(cv2.resize(x, size, interpolation=cv2.INTER_AREA), np.float32)
            for x in (plate, start)
        )
        area = np.asarray(cv2.resize(area, size, interpolation=cv2.INTER_NEAREST), np.float32)
    error = np.linalg.norm(mean_lab(plate, area) - expected)
    as_bytes, lab, was = np.round(plate * 255).astype(np.uint8), to_lab(plate), to_lab(start)
    return {
        "plate_spread": plate_spread(lab),
        "plate_noise": max(0.0, plate_noise(lab) - plate_noise(was)),
        "plate_mottle": _more(plate_mottle(lab, area), plate_mottle(was, area)),
        "colour_error": float(error),
        "copy": training.nearest(as_bytes)[0] if training is not None else 0.0,
    }


def sharpness_scores(
    pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], built: SceneSet
) -> dict[str, float]:
    """How fine the surface is beside the product, at full size; nothing where it is even paper.

    Args:
        pixels: uint8 sRGB (H, W, 3), the finished picture.
        alpha: uint8 (H, W), the product on it.
        built: The set that is shown.
    """
    if built.plan.surface is None or built.plan.far_only:
        return {}
    found = sharpness(pixels, alpha, built.in_focus(alpha.shape))
    return {} if np.isnan(found) else {"sharpness": found}


def _more(now: float, before: float) -> float:
    return max(0.0, now - before) if now == now else now


def picture_scores(
    look: Look,
    placed: Placed,
    product: ProductReport,
    confidence: float,
    rests: str,
    *,
    cut_out: bool = False,
) -> dict[str, float]:
    """Scores of the finished picture: the product's pixels, size and outline.

    Args:
        look: The picture.
        placed: The product on the same canvas.
        product: What was measured on the variant.
        confidence: Of the mask, 0..1.
        rests: ``LIES``, ``STANDS`` or ``APART``: what its shadow falls on.
        cut_out: Whether the photograph came without a backdrop, of which nothing can be left.
    """
    left = {} if cut_out else {"rim": rim(look, placed.look)}
    if rests != APART:
        left["grounding"] = grounding(look) if rests == LIES else standing(look)
    return {
        "mask_confidence": confidence,
        "core_changed": float(product.changed),
        "core_outside": float(product.outside),
        "product_share": float((placed.alpha >= 128).mean()),
        **left,
        "silhouette_growth": product.growth,
        "distinct": distinct(look),
    }
