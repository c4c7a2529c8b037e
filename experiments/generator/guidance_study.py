"""What weights of single attributes are worth, on a checkpoint that is guided.

Run ``python experiments/generator/guidance_study.py CHECKPOINT``: a teacher, for a student has its
guidance built in. Plates are painted from noise alone, the same products, styles and seeds in every
row, and pasted over by the product at the plate's own size. Colour error is measured as in the
report of a training; the gate's judge, which shares nothing with the painter, says how probable it
finds the surface, the palette and the light that were asked for.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from persona_img import wiring
from persona_img.generator.guidance import ORDER, Guidance
from persona_img.imaging.colour import mean_lab
from persona_img.imaging.matting import product_of
from persona_img.imaging.photo import list_photos, load_photo
from persona_img.rendering.compose import Placed
from persona_img.rendering.enhance import Spot
from persona_img.rendering.framing import frame_of
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.sources.diffusion import DiffusionBackdrops
from persona_img.reports.evaluation import spread
from persona_img.settings import Settings

if TYPE_CHECKING:
    from persona_img.reports.evaluation import Asked

FOLDERS = [Path(__file__).parents[1] / "render" / name for name in ("products", "unseen")]
EACH = 4
ROWS: tuple[Guidance, ...] = (
    1.0,
    2.0,
    *(
        {"surface": 2.0, "palette": 2.0, "light": 2.0} | {n: w}
        for n in ORDER
        for w in (1.0, 3.0, 4.0)
    ),
    {"surface": 3.0, "palette": 3.0, "light": 2.0},
)


def figures(source: DiffusionBackdrops, asked: list[Asked], judge: StyleJudge) -> dict[str, float]:
    """Means over the plates of one row."""
    found: dict[str, list[float]] = {}
    for one in asked:
        alpha = one.photo.alpha
        assert alpha is not None
        frame = frame_of(alpha, one.style.values["framing"])
        size = source.size(frame.height, frame.width)
        placed = Placed.of(frame, one.photo.pixels, alpha, product_of(one.photo, alpha))
        spot = Spot.of((frame.height, frame.width), size)
        product, small = spot.shrink(placed.on_grey(), size), spot.shrink(placed.alpha, size)
        mask = small.astype(np.float32) / 255
        started = time.perf_counter()
        plate = source.plates(product, mask, [one.style.values], [one.seed])[0]
        seconds = time.perf_counter() - started
        far = 1.0 - cv2.dilate(mask, np.ones((31, 31), np.uint8))
        off = (mean_lab(plate, far) - np.array(source.colour(one.style.values)))[1:]
        share = mask[..., None]
        picture = np.round(product * share + 255 * plate * (1 - share)).astype(np.uint8)
        chances = judge.chances(picture, small)
        values = {"colour error": float(np.linalg.norm(off)), "seconds": seconds}
        values |= {name: chances[name][one.style.values[name]] for name in ORDER}
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: float(np.nanmean(values)) for name, values in found.items()}


def main(checkpoint: Path) -> None:
    """Print the table."""
    photos = [load_photo(path) for folder in FOLDERS for path in list_photos(folder)]
    asked = spread(photos, wiring.style_space(Settings.load()), EACH, seed=5)
    judge, columns = StyleJudge(), ("colour error", *ORDER, "seconds")
    table = Table("surface", "palette", "light", *columns, title=f"{len(asked)} plates from noise")
    for guidance in track(ROWS, "rows", console=Console(stderr=True)):
        weights = guidance if isinstance(guidance, dict) else dict.fromkeys(ORDER, guidance)
        row = figures(DiffusionBackdrops(checkpoint, guidance=guidance), asked, judge)
        table.add_row(*(f"{weights[n]:g}" for n in ORDER), *(f"{row[c]:.3f}" for c in columns))
    Console().print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
