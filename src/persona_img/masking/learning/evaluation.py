"""How good maskers are on pictures nobody trained on, and what their confidence is worth."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.imaging.folder import (
    leave_out,
    photo_named,
    pictures_below,
    why_unreadable,
)
from persona_img.imaging.holdout import held_out, rows_of
from persona_img.masking.classic import ClassicMasker, coarse_cut
from persona_img.masking.confidence import chance_of, signs_of
from persona_img.masking.floor_lines import painted
from persona_img.masking.learned import LearnedMasker
from persona_img.masking.learning.calibration import fit_confidence, least_chance, reliability
from persona_img.masking.learning.corpus import MaskCorpus, MaskCorpusSettings, cut_photos
from persona_img.masking.learning.measures import score_mask
from persona_img.masking.opinions import COLOURS, MARGIN, NETWORK, opinions_of
from persona_img.masking.refine import refine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.masking.base import Masker
    from persona_img.masking.learned import NetworkMasker
    from persona_img.masking.learning.measures import MaskScore

GOOD_IOU = 0.95
_HELD_OUT_PHOTOS = 240
_HELD_OUT_SCENES = 400
_VERIFIED_SIDE = 1024
_SMOOTH = Image.Resampling.BILINEAR


@dataclass(frozen=True, eq=False)
class Example:
    """A picture with its true mask.

    Attributes:
        rgb: uint8 (H, W, 3).
        truth: uint8 (H, W), 255 is product. None where people found every masker's mask wrong and
            nobody drew a right one: a mask of it is not counted as good.
    """

    rgb: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None


def evaluate(
    checkpoint: Path,
    settings: MaskCorpusSettings,
    work: Path,
    composites: Path | None = None,
    verified: Path | None = None,
) -> dict[str, Any]:
    """Calibrate a learned masker, compare it with the classic one, write ``report.json``.

    Args:
        checkpoint: The learned masker; its ``config.json`` is given the confidence.
        settings: What it was trained on, and so what it was not.
        work: Cache of the held-out scenes.
        composites: Folder of further pictures with exact masks; see :func:`held_out_composites`.
        verified: Table of photos whose masks were looked at; see :func:`verified_photos`.

    Returns:
        ``confidence`` from :func:`calibrate`, and tables from :func:`compare` of the ``scenes`` and
        ``photos`` that the confidence was not fitted on and of ``composites``.
    """
    scenes = held_out_scenes(settings, work)
    photos = [] if verified is None else verified_photos(verified, settings.photos)
    report: dict[str, Any] = {"confidence": calibrate(checkpoint, scenes, photos)}
    maskers: list[Masker] = [ClassicMasker(), LearnedMasker(checkpoint)]
    report["scenes"] = compare(maskers, scenes[1::2])
    if photos:
        report["photos"] = compare(maskers, photos[1::2])
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
    family = {r["image"]: r["sender_id"] for r in rows_of(groups, ("image", "sender_id"))}
    listed = rows_of(folder / "meta.csv", ("id", "product"))
    unknown = sorted({r["product"] for r in listed} - family.keys())
    if unknown:
        raise InvalidInput(f"{groups}: no family of {unknown[0]}, which {folder} shows; add it")
    rows = [r for r in listed if held_out(family[r["product"]], share)]
    found = []
    for row in rows:
        with Image.open(folder / f"{row['id']}_image.jpg") as image:
            rgb = np.asarray(image.convert("RGB"))
        with Image.open(folder / f"{row['id']}_mask.png") as image:
            found.append(Example(rgb, np.asarray(image.convert("L"))))
    return found


def verified_photos(table: Path, photos: Path) -> list[Example]:
    """Real photos whose masks somebody looked at, long side at most 1024 pixels.

    Args:
        table: CSV with ``image``, a photo's stem, and ``right``: ``neither`` where no mask was;
            otherwise a folder beside the table, named like it, holds the right one as
            ``<image>.png``, of any size.
        photos: Folder of the photos, looked through with its folders.

    Raises:
        NotFound: a photo of the table, or a mask, is not there.
        InvalidInput: the table cannot be read, or names a photo that could be two.
    """
    files = pictures_below(photos)
    found = []
    for row in rows_of(table, ("image", "right")):
        path = photo_named(row["image"], files, table)
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
        except Exception as error:  # decoders raise many kinds on damaged files
            leave_out(why_unreadable(path, error))
            continue
        upright.thumbnail((_VERIFIED_SIDE, _VERIFIED_SIDE), Image.Resampling.LANCZOS)
        truth = None
        if row["right"] != "neither":
            drawn = table.with_suffix("") / f"{row['image']}.png"
            if not drawn.is_file():
                raise NotFound(f"{drawn}: no mask, which {table} says is there; add it")
            with Image.open(drawn) as image:
                truth = np.asarray(image.convert("L").resize(upright.size, _SMOOTH))
        found.append(Example(np.asarray(upright), truth))
    return found


def compare(maskers: Sequence[Masker], examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Mean scores of each masker by its name.

    Returns:
        ``iou``, ``boundary_f``, ``outline_f``, ``hole_error`` (of products with holes), ``good``
        (share without a wrong piece and with IoU of at least 0.95), ``shown`` (share trusted),
        ``good_shown`` (share of those that are good) and ``pictures``.
    """
    table = {}
    for masker in maskers:
        scores, trusted = [], []
        for example in tqdm(examples, desc=masker.name):
            found = masker.cut(example.rgb)
            scores.append(_score(found.alpha, example))
            trusted.append(found.trusted)
        good = np.array([_good(s) for s in scores])
        shown = np.array(trusted)
        known = [s for s in scores if s is not None]
        table[masker.name] = {
            "iou": float(np.mean([s.iou for s in known])),
            "boundary_f": float(np.nanmean([s.boundary_f for s in known])),
            "outline_f": float(np.nanmean([s.outline_f for s in known])),
            "hole_error": _mean([s.hole_error for s in known]),
            "good": float(good.mean()),
            "shown": float(shown.mean()),
            "good_shown": float(good[shown].mean()) if shown.any() else float("nan"),
            "pictures": len(scores),
        }
    return table


def _mean(values: Sequence[float]) -> float:
    """Mean of what is known; NaN where nothing is."""
    known = [v for v in values if v == v]
    return float(np.mean(known)) if known else float("nan")


def _score(alpha: NDArray[np.uint8], example: Example) -> MaskScore | None:
    return None if example.truth is None else score_mask(alpha, example.truth)


def _good(score: MaskScore | None) -> bool:
    return score is not None and score.clean and score.iou >= GOOD_IOU


def calibrate(
    checkpoint: Path, scenes: Sequence[Example], photos: Sequence[Example] = ()
) -> dict[str, Any]:
    """Learn what the learned masker's confidence is worth, and keep that with its checkpoint.

    Returns:
        The report of :func:`calibration_of`.
    """
    confidence, report = calibration_of(LearnedMasker(checkpoint), scenes, photos)
    config = checkpoint / "config.json"
    facts = json.loads(config.read_text(encoding="utf-8")) | {"confidence": confidence}
    config.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return report


def calibration_of(
    masker: NetworkMasker, scenes: Sequence[Example], photos: Sequence[Example] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Learn what the signs of a wrong mask are worth: of a network's cut, and of the colours'.

    Every second example teaches, the others are what the figures are measured on. Made scenes are
    harder than photos, and the same sign says less of a photo: all photos together count as much
    as all scenes. The least chance to be trusted is the one from which on 94 % of masks of photos,
    or of scenes where there are no photos, are good.

    Returns:
        Its confidence, and a report: ``scenes`` and ``photos``, where there are any, each with what
        :func:`.calibration.reliability` says of the network's cuts.

    Raises:
        NotEnoughData: fewer than twenty good or bad masks among those that teach.
    """
    judged = {"scenes": _judged(masker, scenes), "photos": _judged(masker, photos)}
    judged = {name: one for name, one in judged.items() if one}
    most = max((len(one[::2]) for one in judged.values()), default=0)
    teach = [pair for one in judged.values() for pair in one[::2]]
    weight = [most / len(one[::2]) for one in judged.values() for _ in one[::2]]
    confidence = fit_confidence(*_of(teach, NETWORK), weight)
    # Without enough cuts of either kind the colours only say where they disagree.
    with contextlib.suppress(NotEnoughData):
        confidence[COLOURS] = fit_confidence(*_of(teach, COLOURS), weight)
    seen = judged["photos"][::2] if "photos" in judged else teach
    chosen = [_chosen(pair, confidence) for pair in seen]
    least = round(least_chance([c for c, _ in chosen], [g for _, g in chosen]), 4)
    for one in (confidence, confidence.get(COLOURS, {})):
        one["least"] = least
    report = {n: reliability(confidence, *_of(one[1::2], NETWORK)) for n, one in judged.items()}
    return confidence, report


_Judged = dict[str, tuple[dict[str, float], bool]]
"""Of one example, by opinion: the signs of the cut, and whether it is good."""


def _judged(masker: NetworkMasker, examples: Sequence[Example]) -> list[_Judged]:
    found = []
    for example in tqdm(examples, desc="judge masks"):
        small, straight, mirrored = masker.views(example.rgb)
        cuts = opinions_of(small, straight, mirrored, coarse_cut(example.rgb))
        others = {NETWORK: cuts[COLOURS], COLOURS: cuts[NETWORK]}
        one = {}
        for name, cut in cuts.items():
            signs = signs_of(small, straight, mirrored, cut.binary, others[name].binary)
            edges = painted(example.rgb, small)
            one[name] = signs, _good(_score(refine(edges, cut.soft()), example))
        found.append(one)
    return found


def _of(judged: Sequence[_Judged], opinion: str) -> tuple[list[dict[str, float]], list[bool]]:
    """Signs of one opinion's cuts, and whether each is good."""
    return [one[opinion][0] for one in judged], [one[opinion][1] for one in judged]


def _chosen(one: _Judged, confidence: dict[str, Any]) -> tuple[float, bool]:
    """Chance of the cut that would be kept, and whether it is good."""
    own = chance_of(one[NETWORK][0], confidence), one[NETWORK][1]
    if COLOURS not in confidence:
        return own
    other = chance_of(one[COLOURS][0], confidence[COLOURS]), one[COLOURS][1]
    return other if other[0] > own[0] + MARGIN else own
