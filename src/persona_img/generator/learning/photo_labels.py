"""Names for the backdrops of merchants' own photos: measured, and told apart as a person did.

A person looked at some hundred photos and said what each lies on and where its light comes from.
A small classifier learns that from measurements of the backdrop, and names the photos a generator
is trained on, as far as it can be trusted to; all others stay without a name.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.imaging.backdrop import backdrop_features
from persona_img.imaging.folder import list_photos, photo_named
from persona_img.imaging.light import LIGHTS
from persona_img.imaging.photo import load_photo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.masking.base import Masker

OTHER, UNCLEAR = "other", "unclear"
"""A surface that is none of ours; a light that nobody can tell."""
MIRRORED = {"side": "side-right", "side-right": "side"}
"""Lights that a mirror turns into each other; ours come from the left."""
_COLUMNS = ("image", "sender_id", "surface", "light")
_FOLDS = 5
_LEAST = 10  # examples of a name, or it is not learned


@dataclass(frozen=True)
class LabelSettings:
    """How photos are named.

    Attributes:
        photos: Folder of the photos that were looked at.
        labels: CSV with ``image``, ``sender_id``, ``surface``, ``light``, what a person saw.
        surfaces: Names that may be given.
        precision: Share of given names that shall be right, on photos of other senders.
        trees: Of the classifier.
        seed: Of the classifier and its folds.
    """

    photos: Path
    labels: Path
    surfaces: tuple[str, ...]
    precision: float = 0.9
    trees: int = 400
    seed: int = 7


def read_labels(path: Path, surfaces: Sequence[str]) -> list[dict[str, str]]:
    """What a person saw.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a column is missing, a name is not known, or a photo stands there twice.
    """
    if not path.exists():
        raise NotFound(f"{path}: no labels; a CSV with {', '.join(_COLUMNS)}")
    with path.open(newline="", encoding="utf-8") as lines:
        table = csv.DictReader(lines)
        missing = [c for c in _COLUMNS if c not in (table.fieldnames or ())]
        if missing:
            raise InvalidInput(
                f"{path}: no column {', '.join(missing)}; name {', '.join(_COLUMNS)}"
            )
        rows = list(table)
    known = {"surface": {*surfaces, OTHER}, "light": {*LIGHTS, *MIRRORED, UNCLEAR}}
    seen: set[str] = set()
    for row in rows:
        for name, values in known.items():
            if row[name] not in values:
                choices = ", ".join(sorted(values))
                raise InvalidInput(f"{path}: {row['image']}: {name}={row[name]}; one of {choices}")
        if row["image"] in seen:
            raise InvalidInput(f"{path}: {row['image']} stands there twice; keep one")
        seen.add(row["image"])
    return rows


def label_photos(settings: LabelSettings, masker: Masker, work: Path, out: Path) -> dict[str, Any]:
    """Name the cut-out photos of a training; returns how far the names are to be trusted.

    Args:
        settings: How.
        masker: Cuts the products of the photos that were looked at; unsure ones are left out.
        work: The folder that ``train-generator`` works in; what is measured is kept there too.
        out: CSV of ``image``, ``surface``, ``light``; empty where no name is given.

    Returns:
        ``photos`` learned from and ``senders``; for ``surface`` and ``light`` the :func:`quality`
        of names on photos of senders that were not learned from; ``named``, photos of the training
        that were given a name, of how many.

    Raises:
        NotFound: ``work`` holds no cut-out photos, or there are no labels.
        InvalidInput: labels that cannot be.
        NotEnoughData: too few photos of two names.
    """
    rows = read_labels(settings.labels, settings.surfaces)
    cut = sorted(p for p in (work / "cut").glob("*.npz") if p.stat().st_size > 1024)
    if not cut:
        raise NotFound(f"{work}: no cut-out photos; give the folder train-generator works in")
    there = cache(lambda: list_photos(settings.photos))  # not where all is measured already
    folder = work / "measured"
    folder.mkdir(exist_ok=True)
    found = [
        (row, pair)
        for row in tqdm(rows, desc="measure")
        if (pair := _looked_at(there, settings.labels, row["image"], masker, folder)) is not None
    ]
    if not found:
        raise NotEnoughData(
            f"{settings.labels}: the product could be cut out of none of {len(rows)} photos with "
            f"confidence; label others"
        )
    groups = np.array([row["sender_id"] for row, _ in found])
    asked = np.stack([_measured(path, folder) for path in tqdm(cut, desc="measure training")])
    report: dict[str, Any] = {"photos": len(found), "senders": len(set(groups)), "named": {}}
    names: dict[str, list[str]] = {}
    for attribute, none in (("surface", OTHER), ("light", UNCLEAR)):
        told = np.array([row[attribute] for row, _ in found])
        features = np.stack([pair for _, pair in found])
        namer = Namer(features, told, none, settings)
        report[attribute] = report_of = quality(namer, groups, settings)
        given = namer.names(asked, report_of["threshold"])
        ours = set(settings.surfaces if attribute == "surface" else LIGHTS)
        names[attribute] = [name if name in ours else "" for name in given]
        report["named"][attribute] = sum(map(bool, names[attribute]))
    report["named"]["of"] = len(cut)
    partial = out.with_name(out.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(("image", "surface", "light"))
        writer.writerows(zip([p.stem for p in cut], names["surface"], names["light"], strict=True))
    partial.replace(out)
    return report


class Namer:
    """Tells names apart by measurements.

    Args:
        features: float32 (N, 2, F): of each photo, and of it in a mirror.
        told: Names, (N,).
        none: The name that says there is none.
        settings: Trees and seed. A name of fewer than ten photos counts as ``none``.

    Raises:
        NotEnoughData: fewer than two names are left.
    """

    def __init__(
        self, features: NDArray[np.float32], told: NDArray[Any], none: str, settings: LabelSettings
    ) -> None:
        values, counts = np.unique(told, return_counts=True)
        few = set(values[counts < _LEAST])
        self.features, self.none, self.settings = features, none, settings
        self.told = np.array([none if name in few else name for name in told])
        if len(set(self.told)) < 2:
            raise NotEnoughData(
                f"{dict(zip(values, counts.tolist(), strict=True))}: two names with {_LEAST} "
                f"photos each are needed; label more"
            )
        self.classifier = self.fitted(np.ones(len(told), dtype=bool))

    def fitted(self, rows: NDArray[np.bool_]) -> ExtraTreesClassifier:
        """A classifier of these rows, each of them mirrored as well.

        References:
            Geurts, Ernst, Wehenkel 2006, "Extremely randomized trees", Machine Learning 63.
        """
        mirrored = [MIRRORED.get(name, name) for name in self.told[rows]]
        trees = ExtraTreesClassifier(
            self.settings.trees,
            min_samples_leaf=2,
            max_features=0.3,
            random_state=self.settings.seed,
        )
        sides = np.concatenate([self.features[rows, 0], self.features[rows, 1]])
        return trees.fit(sides, [*self.told[rows], *mirrored])

    def names(self, features: NDArray[np.float32], threshold: float) -> list[str]:
        """Names of photos (M, F); empty below the threshold, and where there is none."""
        chances = self.classifier.predict_proba(features)
        best = self.classifier.classes_[chances.argmax(axis=1)]
        sure = chances.max(axis=1) >= threshold
        return [n if s and n != self.none else "" for n, s in zip(best, sure, strict=True)]


def quality(namer: Namer, groups: NDArray[np.str_], settings: LabelSettings) -> dict[str, Any]:
    """How well names are given to photos of senders that were not learned from.

    Returns:
        ``accuracy`` of all; per name its ``precision``, ``recall`` and ``photos``; ``confusion``,
        rows told and columns given, in the order of ``names``; ``threshold``, the lowest chance
        above which ten names or more are given, with the ``precision`` asked for; infinite where
        there is none;
        ``coverage``, share of the photos with a name to which it is given there, and the
        ``precision`` it has. The threshold is chosen on these very photos.
    """
    told = namer.told
    chances = np.zeros((len(told), len(namer.classifier.classes_)))
    classes = list(namer.classifier.classes_)
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=settings.seed)
    for learned, unseen in folds.split(told, told, groups):
        rows = np.zeros(len(told), dtype=bool)
        rows[learned] = True
        one = namer.fitted(rows)
        where = [classes.index(name) for name in one.classes_]
        chances[np.ix_(unseen, where)] = one.predict_proba(namer.features[unseen, 0])
    given, best = np.array(classes)[chances.argmax(axis=1)], chances.max(axis=1)
    precision, recall, _, photos = precision_recall_fscore_support(
        told, given, labels=classes, zero_division=np.nan
    )
    named, right = given != namer.none, given == told
    threshold = np.inf
    for level in np.unique(best[named])[::-1]:
        kept = named & (best >= level)
        if kept.sum() >= _LEAST and right[kept].mean() >= settings.precision:
            threshold = float(level)
    kept = named & (best >= threshold)
    return {
        "accuracy": float(right.mean()),
        "names": {
            name: {"precision": float(p), "recall": float(r), "photos": int(n)}
            for name, p, r, n in zip(classes, precision, recall, photos, strict=True)
        },
        "confusion": confusion_matrix(told, given, labels=classes).tolist(),
        "threshold": threshold,
        "precision": float(right[kept].mean()) if kept.any() else float("nan"),
        "coverage": float((kept & right).sum() / max(1, (told != namer.none).sum())),
    }


def names_of(path: Path) -> dict[str, tuple[str | None, str | None]]:
    """What :func:`label_photos` wrote: surface and light of each photo, None without a name.

    Raises:
        NotFound: there is no such file.
    """
    if not path.exists():
        raise NotFound(f"{path}: no names of photos; make them with `label-photos`")
    with path.open(newline="", encoding="utf-8") as lines:
        return {
            row["image"]: (row["surface"] or None, row["light"] or None)
            for row in csv.DictReader(lines)
        }


def _looked_at(
    photos: Callable[[], Sequence[Path]], table: Path, image: str, masker: Masker, folder: Path
) -> NDArray[np.float32] | None:
    """Measurements of a photo and of its mirror image, (2, F); None where its mask is unsure."""
    kept = folder / f"{image}.pair.npy"
    if not kept.exists():
        pixels = load_photo(photo_named(image, photos(), table)).pixels
        mask = masker.cut(pixels)
        pair = [np.full(1, np.nan, np.float32)] * 2
        if mask.trusted:
            sides = [(pixels, mask.alpha), (pixels[:, ::-1], mask.alpha[:, ::-1])]
            pair = [backdrop_features(*map(np.ascontiguousarray, side)) for side in sides]
        np.save(kept, np.stack(pair))
    found = np.load(kept)
    return None if np.isnan(found).any() else np.asarray(found, dtype=np.float32)


def _measured(path: Path, folder: Path) -> NDArray[np.float32]:
    """Measurements of a cut-out photo, (F,); 0 where there is no backdrop to measure."""
    kept = folder / f"{path.stem}.npy"
    if not kept.exists():
        with np.load(path) as one:
            np.save(kept, backdrop_features(one["rgb"], one["alpha"]))
    return np.nan_to_num(np.asarray(np.load(kept), dtype=np.float32))
