"""What the pose classifier is worth, as tables; ``train.py`` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.pose import usual_category
from persona_img.imaging.pitch import LEAST_PITCH, MOST_PITCH
from persona_img.imaging.pose import KINDS, LEAST_SURE, UPRIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_WIDE = 1.35  # a shoe that is wider than this, for its height, is seen from the side


@dataclass(frozen=True)
class Found:
    """What came out of the folds.

    Attributes:
        every: All rows of ``labels.csv``.
        rows: Those that were learned from.
        poses: Their labels, numbered.
        chances: (views, N, P), each of a network that saw no photo of its sender.
        pitches: What ``pitch_of`` says of each, in degrees.
        features: (N, F), of the photos as they are.
    """

    every: list[dict[str, str]]
    rows: list[dict[str, str]]
    poses: NDArray[np.int_]
    chances: NDArray[np.float64]
    pitches: NDArray[np.float64]
    features: NDArray[np.float32]


def written(found: Found, views: Sequence[str], poses: Sequence[str], heat: float) -> str:
    """The report, as Markdown."""
    best = found.chances[0].argmax(axis=1)
    high = np.array([row["view"] == "high" for row in found.rows])
    ruled = _by_rule(found, poses)
    counts = ", ".join(f"{int((found.poses == i).sum())} {name}" for i, name in enumerate(poses))
    senders = len({row["sender_id"] for row in found.rows})
    lines = [
        "# What the pose classifier is worth",
        "",
        f"{len(found.rows):,} labelled photos of {senders} senders: {counts}. Five folds; no",
        "photo is judged by a network that saw another one of its sender. *Safe* is lying where",
        f"the chance is below {LEAST_SURE}. Temperature {heat:.2f}; it, that threshold and the",
        "network's size were chosen on these folds, so the figures are a little kind.",
        "",
        "| | accuracy | without view `high` | " + " | ".join(f"recall, {p}" for p in poses) + " |",
        "|---|---|---|" + "---|" * len(poses),
        _row("always lying", np.zeros_like(found.poses), found.poses, high, poses),
        _row("by rule", ruled, found.poses, high, poses),
    ]
    for view, chances in zip(views, found.chances, strict=True):
        lines.append(_row(view, chances.argmax(axis=1), found.poses, high, poses))
    safe = np.where(found.chances[0].max(axis=1) < LEAST_SURE, 0, best)
    lines.append(_row("as it is, safe", safe, found.poses, high, poses))
    lines += [
        "",
        "*By rule*: what is named a mug, bottle or the like stands; footwear stands where its",
        f"outline is {_WIDE} times wider than high; a garment hangs before a smooth backdrop (how",
        "smooth was chosen on these very photos). *Cut-out*: the same photos on white. *No",
        "category*: as if the shop had not said what it is. `high`: seen from some 35 to 60",
        "degrees, labelled lying, which is no sharp border; the network learns it apart.",
        "",
        "## Confusion",
        "",
        "| labelled | " + " | ".join(f"said {p}" for p in poses) + " | safe: "
        + " | safe: ".join(poses) + " |",
        "|---|" + "---|" * (2 * len(poses)),
    ]  # fmt: skip
    for i, name in enumerate(poses):
        cells = [
            int((column[found.poses == i] == j).sum())
            for column in (best, safe)
            for j in range(len(poses))
        ]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    lines += ["", "## Thresholds", "", "| least chance | accuracy of safe | share sure | "]
    lines[-1] += " | ".join(f"{p}: precision, recall" for p in poses[1:]) + " |"
    lines.append("|---|---|---|" + "---|" * (len(poses) - 1))
    for least in (0.0, 0.5, 0.6, 0.7, 0.8, 0.9):
        top = found.chances[0].max(axis=1)
        said = np.where(top < least, 0, best)
        cells = [f"{(said == found.poses).mean():.3f}", f"{(top >= least).mean():.2f}"]
        for i in range(1, len(poses)):
            called, true = said == i, found.poses == i
            right = int((called & true).sum())
            precision = right / called.sum() if called.any() else float("nan")
            cells.append(f"{precision:.2f}, {right / true.sum():.2f}")
        lines.append(f"| {least} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Calibration",
        "",
        "| chance | photos | mean chance | right |",
        "|---|---|---|---|",
    ]
    top, right = found.chances[0].max(axis=1), best == found.poses
    for low, up in (
        (0, 0.5),
        (0.5, 0.6),
        (0.6, 0.7),
        (0.7, 0.8),
        (0.8, 0.9),
        (0.9, 0.97),
        (0.97, 1.01),
    ):
        here = (top >= low) & (top < up)
        if here.any():
            means = f"{top[here].mean():.2f} | {right[here].mean():.2f}"
            lines.append(f"| {low:g} to {min(up, 1):g} | {here.sum()} | {means} |")
    return "\n".join([*lines, *_pitch(found), *_again(found)]) + "\n"


def _row(
    name: str,
    said: NDArray[np.int_],
    poses: NDArray[np.int_],
    high: NDArray[np.bool_],
    names: Sequence[str],
) -> str:
    right = said == poses
    recalls = (f"{right[poses == i].mean():.2f}" for i in range(len(names)))
    return (
        f"| {name} | {right.mean():.3f} | {right[~high].mean():.3f} | " + " | ".join(recalls) + " |"
    )


def _by_rule(found: Found, poses: Sequence[str]) -> NDArray[np.int_]:
    """The rule that the classifier is measured against."""
    names = [usual_category(row["category"]) for row in found.rows]
    wide = found.features[:, 0] > np.log(_WIDE)
    upright = np.array([name in UPRIGHT for name in names])
    shoe = np.array([name in KINDS["footwear"] for name in names])
    other = np.array([name in KINDS["headwear"] | KINDS["small"] for name in names])
    smooth = found.features[:, _smoothness(found.features)]
    lying, standing, hanging = (poses.index(name) for name in ("lying", "standing", "hanging"))
    stands = upright | (shoe & wide)

    def said(least: float) -> NDArray[np.int_]:
        hangs = ~(stands | shoe | other) & (smooth < least)
        return np.where(stands, standing, np.where(hangs, hanging, lying))

    tried = np.nanquantile(smooth, np.linspace(0, 0.5, 51))
    return said(max(tried, key=lambda least: float((said(least) == found.poses).mean())))


def _smoothness(features: NDArray[np.float32]) -> int:
    """Column of the finest detail of the backdrop's upper half: the first of its textures."""
    missing = np.flatnonzero(np.isnan(features).any(axis=0))
    return int(missing[0]) + 37


def _pitch(found: Found) -> list[str]:
    lines = [
        "",
        "## Pitch",
        "",
        "What `pitch_of` says of the photos of each view, in degrees, clipped to",
        f"{LEAST_PITCH:g} to {MOST_PITCH:g}. Nobody measured the true angles.",
        "",
        "| view | pose | photos | lower quartile | median | upper quartile |",
        "|---|---|---|---|---|---|",
    ]
    for view, pose in (("eye", "standing"), ("three-quarter", "standing"), ("high", "lying")):
        at = [row["view"] == view and row["pose"] == pose for row in found.rows]
        quartiles = np.quantile(found.pitches[np.array(at)], (0.25, 0.5, 0.75))
        lines.append(
            f"| {view} | {pose} | {sum(at)} | " + " | ".join(f"{q:.0f}" for q in quartiles) + " |"
        )
    return lines


def _again(found: Found) -> list[str]:
    twice = [row for row in found.every if row["pose_again"]]
    poses = sum(row["pose"] == row["pose_again"] for row in twice)
    views = sum(
        (row["pose"], row["view"]) == (row["pose_again"], row["view_again"]) for row in twice
    )
    return [
        "",
        "## The labels themselves",
        "",
        f"Of {len(twice)} photos labelled again without sight of the first label, {poses} got the",
        f"same pose and {views} the same pose and view.",
    ]
