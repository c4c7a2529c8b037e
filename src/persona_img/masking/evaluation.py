"""How good maskers are on pictures nobody trained on, and what their confidence is worth."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from persona_img.imaging.holdout import held_out
from persona_img.masking.calibration import fit_confidence, reliability
from persona_img.masking.classic import ClassicMasker
from persona_img.masking.confidence import signs_of
from persona_img.masking.corpus import MaskCorpus, MaskCorpusSettings, cut_photos
from persona_img.masking.learned import LearnedMasker, mask_of, shrunk
from persona_img.masking.measures import score_mask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.masking.base import Masker

GOOD_IOU = 0.95
_HELD_OUT_PHOTOS = 240
_HELD_OUT_SCENES = 400


@dataclass(frozen=True, eq=False)
class Example:
    """A picture with its true mask.

    Attributes:
        rgb: uint8 (H, W, 3).
        truth: uint8 (H, W), 255 is product.
    """

    rgb: NDArray[np.uint8]
    truth: NDArray[np.uint8]


def evaluate(
    checkpoint: Path, settings: MaskCorpusSettings, work: Path, composites: Path | None = None
) -> dict[str, Any]:
    """Calibrate a learned masker, compare it with the classic one, write ``report.json``.

    Args:
        checkpoint: The learned masker; its ``config.json`` is given the confidence.
        settings: What it was trained on, and so what it was not.
        work: Cache of the held-out scenes.
        composites: Folder of further pictures with exact masks; see :func:`held_out_composites`.

    Returns:
        ``confidence`` from :func:`calibrate`, and tables from :func:`compare` of ``scenes`` that
        the confidence was not fitted on and of ``composites``.
    """
    scenes = held_out_scenes(settings, work)
    report: dict[str, Any] = {"confidence": calibrate(checkpoint, scenes)}
    maskers: list[Masker] = [ClassicMasker(), LearnedMasker(checkpoint)]
    report["scenes"] = compare(maskers, scenes[1::2])
    if composites is not None and settings.cutout_groups is not None:
        found = held_out_composites(composites, settings.cutout_groups, settings.held_out_families)
        report["composites"] = compare(maskers, found)
    text = json.dumps(report, indent=1) + "\n"
    (checkpoint / "report.json").write_text(text, encoding="utf-8")
    return report


def held_out_scenes(settings: MaskCorpusSettings, work: Path) -> list[Example]:
    """Scenes of products, senders and backdrops that were never trained on."""
    chosen = replace(settings, max_photos=_HELD_OUT_PHOTOS, made=_HELD_OUT_SCENES)
    cut = cut_photos(chosen, work / "cut-held-out", held_out=True)
    corpus = MaskCorpus.build(chosen, work / "held-out", cut, held_out=True)
    found = []
    for arrays in corpus.shapes.values():
        for i in np.flatnonzero(np.asarray(arrays["real"]) == 0):
            label = np.array(arrays["label"][i])
            if (label > 127).mean() > 0.01:
                found.append(Example(np.array(arrays["rgb"][i]), label))
    return found


def held_out_composites(folder: Path, groups: Path, share: float) -> list[Example]:
    """Composites ``NNN_image.jpg`` with ``NNN_mask.png`` whose product families are held out.

    Args:
        folder: Composites; ``meta.csv`` names each one's product.
        groups: CSV with ``image`` and ``sender_id``, the product's family.
        share: Of families that are held out.
    """
    with groups.open(newline="", encoding="utf-8") as lines:
        family = {row["image"]: row["sender_id"] for row in csv.DictReader(lines)}
    with (folder / "meta.csv").open(newline="", encoding="utf-8") as lines:
        rows = [r for r in csv.DictReader(lines) if held_out(family[r["product"]], share)]
    found = []
    for row in rows:
        with Image.open(folder / f"{row['id']}_image.jpg") as image:
            rgb = np.asarray(image.convert("RGB"))
        with Image.open(folder / f"{row['id']}_mask.png") as image:
            found.append(Example(rgb, np.asarray(image.convert("L"))))
    return found


def compare(maskers: Sequence[Masker], examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Mean scores of each masker by its name.

    Returns:
        ``iou``, ``boundary_f``, ``good`` (share without a wrong piece and with IoU of at least
        0.95), ``shown`` (share trusted), ``good_shown`` (share of those that are good) and
        ``pictures``.
    """
    table = {}
    for masker in maskers:
        scores, trusted = [], []
        for example in tqdm(examples, desc=masker.name):
            found = masker.cut(example.rgb)
            scores.append(score_mask(found.alpha, example.truth))
            trusted.append(found.trusted)
        good = np.array([s.clean and s.iou >= GOOD_IOU for s in scores])
        shown = np.array(trusted)
        table[masker.name] = {
            "iou": float(np.mean([s.iou for s in scores])),
            "boundary_f": float(np.nanmean([s.boundary_f for s in scores])),
            "good": float(good.mean()),
            "shown": float(shown.mean()),
            "good_shown": float(good[shown].mean()) if shown.any() else float("nan"),
            "pictures": len(scores),
        }
    return table


def calibrate(checkpoint: Path, examples: Sequence[Example]) -> dict[str, Any]:
    """Learn what the confidence's signs are worth, and keep that with the checkpoint.

    Every second example teaches, the others are what the figures are measured on.

    Returns:
        ``examples``, ``good`` (share), ``auc``, ``brier`` and ``expected_error`` (mean distance
        of the stated from the observed chance over ten bins).
    """
    masker = LearnedMasker(checkpoint)
    signs, good = [], []
    for example in tqdm(examples, desc="calibrate"):
        small = shrunk(example.rgb)
        straight, mirrored = masker.probabilities(small)
        _, binary = mask_of(straight, mirrored)
        signs.append(signs_of(small, straight, mirrored, binary))
        score = score_mask(masker.cut(example.rgb).alpha, example.truth)
        good.append(score.clean and score.iou >= GOOD_IOU)
    confidence = fit_confidence(signs[::2], good[::2])
    config = checkpoint / "config.json"
    facts = json.loads(config.read_text(encoding="utf-8")) | {"confidence": confidence}
    config.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return reliability(confidence, signs[1::2], good[1::2])
