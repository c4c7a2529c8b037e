"""What a person's points are worth: a made-up person who always points at the worst mistake.

Run ``python experiments/masker/clicks.py COMPOSITES``, a folder of ``*_image.jpg`` whose masks
``*_mask.png`` are exact. Each click lies in the middle of the largest wrong area, is a keep or a
drop as the truth says, and is applied by ``masking.correct`` to what the one before left; how
interactive segmentation is judged since Xu et al. 2016 ("Deep Interactive Object Selection",
arXiv:1603.04042). Beside it: the same clicks as plain dabs. Prints a table.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from persona_img.assets import ASSETS
from persona_img.imaging.mask_file import load_mask
from persona_img.imaging.photo import load_photo
from persona_img.masking.correct import DAB, REACH, Stroke, correct
from persona_img.masking.learned import LearnedMasker

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLICKS = 5
SMALL = 2.0  # pixels to the rim of a mistake: nobody clicks on less
WORSE = 0.002  # of IoU


def main() -> None:
    """Click on every composite, and print what it came to."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("composites", type=Path)
    given.add_argument("--count", type=int, default=120, help="so many, drawn by chance")
    given.add_argument("--seed", type=int, default=1)
    asked = given.parse_args()
    images = sorted(asked.composites.glob("*_image.jpg"))
    drawn = np.random.default_rng(asked.seed).permutation(len(images))[: asked.count]
    masker = LearnedMasker(ASSETS / "masker")
    found: dict[str, list[list[float]]] = {"dabs": [], "corrected": []}
    for number in track(drawn, "photos"):
        image = images[number]
        photo = load_photo(image).pixels
        truth = load_mask(image.with_name(image.name.replace("_image.jpg", "_mask.png"))) > 127
        alpha = masker.cut(photo).alpha
        for name, reach in (("dabs", 0.0), ("corrected", REACH)):
            found[name].append(clicked(photo, alpha, truth, reach))
    table = Table("clicks", *map(str, range(CLICKS + 1)), "worse")
    for name, rows in found.items():
        values = np.array(rows)
        steps = np.diff(values, axis=1)
        worse = f"{(steps < -WORSE).sum()} of {(steps != 0).sum()}"
        table.add_row(f"{name}: IoU", *(f"{v:.4f}" for v in values.mean(axis=0)), worse)
        shares = (values > 0.98).mean(axis=0)
        table.add_row(f"{name}: over .98", *(f"{v:.0%}" for v in shares), "")
    Console().print(table)


def clicked(
    photo: NDArray[np.uint8], alpha: NDArray[np.uint8], truth: NDArray[np.bool_], reach: float
) -> list[float]:
    """IoU before the first click and after each."""
    longest, values = max(photo.shape[:2]), [iou(alpha, truth)]
    for _ in range(CLICKS):
        point = worst(alpha, truth)
        if point is not None:
            x, y = point
            radius = max(2, round(DAB * longest))
            stroke = Stroke(bool(truth[y, x]), (point,), radius, round(reach * longest))
            alpha = correct(photo, alpha, [stroke])
        values.append(iou(alpha, truth))
    return values


def worst(alpha: NDArray[np.uint8], truth: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The middle of the largest mistake (x, y); None where only rims are wrong."""
    wrong = np.pad((alpha > 127) != truth, 1).astype(np.uint8)
    depth = cv2.distanceTransform(wrong, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return None if depth[y, x] < SMALL else (int(x), int(y))


def iou(alpha: NDArray[np.uint8], truth: NDArray[np.bool_]) -> float:
    """Overlap over union."""
    product = alpha > 127
    return float((product & truth).sum() / max(1, (product | truth).sum()))


if __name__ == "__main__":
    main()
