"""Teaches the pose classifier, and measures it on senders it was not taught.

``python experiments/pose/train.py CLOTHING ALPHA WORK``: the folder of the clothing photos, that of
the cut-outs, and a folder for what is kept between runs (masks' features; remove it after a change
of ``imaging/pose_features.py`` or of the masker). Writes ``report.md`` here and the shipped
``assets/pose.npz``. On one thread the same photos give the same bytes.
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from report import Found, written
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm

from persona_img.assets import ASSETS
from persona_img.imaging.cutout import visible
from persona_img.imaging.photo import load_photo
from persona_img.imaging.pitch import pitch_of
from persona_img.imaging.pose import kind_features, pose_features, pose_odds
from persona_img.masking.learned import LearnedMasker

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
POSES = ("lying", "standing", "hanging")
LOOKS = (*POSES, "lying")  # the last as seen from half above: it looks like neither of the others
SEED, MEMBERS, UNITS, DECAY, ROUNDS, FOLDS = 12, 4, 24, 10.0, 16, 5
VIEWS = ("as it is", "no category", "cut-out", "cut-out, no category")
SHARES = (1.0, 0.5, 0.35, 0.2)  # how much each view counts in training


def main(photos: Path, cutouts: Path, work: Path) -> None:
    """Features, cross-validation by sender, report, and the shipped classifier of all."""
    with (HERE / "labels.csv").open(newline="", encoding="utf-8") as lines:
        every = list(csv.DictReader(lines))
    rows = [row for row in every if row["pose"] in POSES]
    table, pitches = _features(rows, photos, cutouts, work)
    poses = np.array([POSES.index(row["pose"]) for row in rows])
    looks = np.where([row["view"] == "high" and row["pose"] == "lying" for row in rows], 3, poses)
    senders = np.array([row["sender_id"] for row in rows])
    odds = np.array([pose_odds(row["category"], LOOKS) for row in rows])
    logits = np.zeros((len(VIEWS), len(rows), len(LOOKS)))
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for taught, unseen in tqdm(split.split(looks, looks, senders), total=FOLDS, desc="folds"):
        network = _taught(table[taught], looks[taught], senders[taught])
        for view in range(len(VIEWS)):
            seen = _view(table[unseen], view)[:, 0]
            logits[view, unseen] = _logits(network, seen)
    heat = _temperature(logits[0], looks)
    logits /= heat
    stated = np.stack([odds, np.ones_like(odds), odds, np.ones_like(odds)])
    chances = _softmax(logits + np.log(stated))
    chances = np.stack([chances[..., 0] + chances[..., 3], *np.moveaxis(chances, 2, 0)[1:3]], 2)
    found = Found(every, rows, poses, chances, pitches, table[:, 0, 0])
    (HERE / "report.md").write_text(written(found, VIEWS, POSES, heat), encoding="utf-8")
    network = _taught(table, looks, senders)
    network["out"], network["out_bias"] = network["out"] / heat, network["out_bias"] / heat
    kept = {name: value.astype(np.float32) for name, value in network.items()}
    np.savez_compressed(ASSETS / "pose.npz", poses=np.array(LOOKS), **kept)


def _features(
    rows: list[dict[str, str]], photos: Path, cutouts: Path, work: Path
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(N, 2, 2, F): as photographed or on white, straight or mirrored; and pitches (N,)."""
    work.mkdir(parents=True, exist_ok=True)
    masker = LearnedMasker(ASSETS / "masker")
    found, pitches = [], []
    for row in tqdm(rows, desc="features"):
        path = work / f"{row['image']}.npz"
        if not path.exists():
            file = cutouts / f"{row['image']}.png"
            photo = load_photo(file if file.exists() else photos / f"{row['image']}.jpg")
            alpha = masker.cut(photo.pixels).alpha if photo.alpha is None else photo.alpha
            pixels = visible(photo)
            white = np.where(alpha[..., None] < 128, np.uint8(255), pixels)
            both = [
                [
                    pose_features(*(np.ascontiguousarray(p[:, ::way]) for p in (rgb, alpha)), None)
                    for way in (1, -1)
                ]
                for rgb in (pixels, white)
            ]
            np.savez(path, features=np.array(both), pitch=pitch_of(alpha))
        with np.load(path) as one:
            features, pitch = one["features"], float(one["pitch"])
        kind = kind_features(row["category"])
        features[..., -len(kind) :] = kind
        found.append(features)
        pitches.append(pitch)
    return np.array(found), np.array(pitches)


def _view(table: NDArray[np.float32], view: int) -> NDArray[np.float32]:
    """(N, 2, F), straight and mirrored, of one of :data:`VIEWS`."""
    seen = table[:, view // 2].copy()
    if view % 2:
        seen[..., -len(kind_features(None)) :] = 0
    return seen


def _taught(
    table: NDArray[np.float32], looks: NDArray[np.int_], senders: NDArray[np.str_]
) -> dict[str, NDArray[np.floating]]:
    """Several small networks as one wide one, whose logits are the mean of theirs.

    A sender's many photos of one look count as the square root of their number, and so do looks.
    """
    often = Counter(zip(senders, looks, strict=True))
    weight = np.array([often[key] ** -0.5 for key in zip(senders, looks, strict=True)])
    for look in range(len(LOOKS)):
        weight[looks == look] /= weight[looks == look].sum() ** 0.5
    seen = np.concatenate(
        [_view(table, view)[:, way] for view in range(len(VIEWS)) for way in (0, 1)]
    )
    counted = np.concatenate([weight * share for share in SHARES for _ in (0, 1)])
    truth = np.tile(looks, 2 * len(VIEWS))
    mean, spread = np.nanmean(seen, axis=0), np.nanstd(seen, axis=0) + 1e-3
    scaled = _scaled({"mean": mean, "spread": spread}, seen)
    nets = []
    for member in range(MEMBERS):
        rng = np.random.default_rng([SEED, member])
        drawn = rng.choice(len(scaled), len(scaled), p=counted / counted.sum())
        net = MLPClassifier(
            (UNITS,), alpha=DECAY, max_iter=ROUNDS, batch_size=256, random_state=SEED + member
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            nets.append(net.fit(scaled[drawn], truth[drawn]))
    return {
        "mean": mean,
        "spread": spread,
        "hidden": np.concatenate([net.coefs_[0] for net in nets], axis=1),
        "hidden_bias": np.concatenate([net.intercepts_[0] for net in nets]),
        "out": np.concatenate([net.coefs_[1] for net in nets]) / MEMBERS,
        "out_bias": np.mean([net.intercepts_[1] for net in nets], axis=0),
    }


def _scaled(
    network: dict[str, NDArray[np.floating]], seen: NDArray[np.float32]
) -> NDArray[np.float64]:
    return np.nan_to_num(np.clip((seen - network["mean"]) / network["spread"], -4, 4))


def _logits(
    network: dict[str, NDArray[np.floating]], seen: NDArray[np.float32]
) -> NDArray[np.float64]:
    hidden = np.maximum(_scaled(network, seen) @ network["hidden"] + network["hidden_bias"], 0)
    return hidden @ network["out"] + network["out_bias"]


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _temperature(logits: NDArray[np.float64], looks: NDArray[np.int_]) -> float:
    """What logits are divided by to be calibrated (Guo and others 2017)."""
    tried = np.geomspace(0.4, 2.5, 64)
    right = np.arange(len(looks)), looks
    return float(min(tried, key=lambda heat: -np.log(_softmax(logits / heat)[right]).mean()))


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main(*(Path(argument) for argument in sys.argv[1:4]))
