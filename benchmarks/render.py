"""What a variant costs: the loop that one writes with diffusers, beside ours, in one run.

Run ``python benchmarks/render.py``; it takes a few minutes. Both have the same checkpoint, the same
photographs, masker, styles and number of cores. The stock loop samples 30 steps for one picture
after the other, with guidance, as diffusers' pipelines do by default, and pastes the product back;
it judges nothing and proves nothing. The figures of a run are to be compared with each other only:
the machine's load is in all of them.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from persona_img import wiring
from persona_img.assets import ASSETS
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.imaging.distance import backdrop_patches, sliced_wasserstein
from persona_img.imaging.matting import product_of
from persona_img.imaging.photo import Photo, load_photo, png_bytes
from persona_img.rendering.compose import Placed
from persona_img.rendering.enhance import Spot
from persona_img.rendering.framing import frame_of
from persona_img.rendering.proof.adherence import StyleJudge, alike
from persona_img.reports.evaluation import Asked, references, resized, spread
from persona_img.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from persona_img.imaging.frame import Frame
    from persona_img.rendering.renderer import BackdropRenderer

HERE = Path(__file__).parents[1] / "experiments" / "render"
PHOTOS = ("jacket-01", "hat-01", "knitwear-02", "skirt-01")
STEPS, GUIDANCE = 30, 2.0
Made = tuple[Asked, "NDArray[np.uint8]", "NDArray[np.uint8]"]
"""What was asked for, the picture, the product on it."""


def stock(
    pipeline: BackdropPipeline, renderer: BackdropRenderer, one: Asked, guidance: float
) -> Made:
    """One variant as a loop around a pipeline makes it: cut, sample, enlarge, paste, save."""
    cut = renderer.mask(one.photo)
    frame = frame_of(cut.alpha, one.style.values["framing"])
    placed = Placed.of(frame, one.photo.pixels, cut.alpha, product_of(one.photo, cut.alpha))
    size = renderer.backdrops.size(frame.height, frame.width)
    spot = Spot.of((frame.height, frame.width), size)
    small = torch.from_numpy(np.array(spot.shrink(placed.on_grey(), size)))
    mask = torch.from_numpy(np.array(spot.shrink(placed.alpha, size))).float() / 255
    made = pipeline(
        small.permute(2, 0, 1)[None].float() / 127.5 - 1,
        mask[None, None],
        [one.style.values],
        steps=STEPS,
        guidance=guidance,
        seeds=[one.seed],
    ).images[0]
    plate = spot.cut(made.permute(1, 2, 0).numpy())
    large = Image.fromarray(np.round(plate * 255).astype(np.uint8)).resize(
        (frame.width, frame.height), Image.Resampling.LANCZOS
    )
    large.paste(Image.fromarray(placed.product), mask=Image.fromarray(placed.alpha))
    picture = np.asarray(large)
    png_bytes(picture)
    return one, picture, placed.alpha


def ours(renderer: BackdropRenderer, asked: Sequence[Asked], workers: int) -> list[Made]:
    """All variants, a photograph's styles together, ``workers`` photographs at once."""
    photos = {a.photo.digest: a.photo for a in asked}

    def of_photo(photo: Photo) -> list[Made]:
        jobs = [a for a in asked if a.photo.digest == photo.digest]
        by_seed = {a.seed: a for a in jobs}
        styles, seeds = [a.style for a in jobs], [a.seed for a in jobs]
        variants = renderer.render_many(photo, styles, seeds, on_rejected=lambda *_: None)
        return [(by_seed[v.seed], v.pixels, v.alpha) for v in variants]

    with ThreadPoolExecutor(workers) as pool:
        return [made for some in pool.map(of_photo, photos.values()) for made in some]


def quality(
    made: Sequence[Made], judge: StyleJudge, renderer: BackdropRenderer
) -> tuple[float, float, int]:
    """Share of attributes recognised, distance from real material, product pixels changed."""
    right, patches, changed = [], [], 0
    for one, picture, alpha in made:
        for name, value in judge.recognised(picture, alpha).items():
            asked = one.style.values[name]
            if asked in judge.values(name):  # of what it was not taught it can say nothing
                right.append(alike(name, asked, value))
        patches.append(backdrop_patches(picture, alpha, 48, np.random.default_rng(one.seed)))
        cut = renderer.mask(one.photo)
        frame: Frame = frame_of(cut.alpha, one.style.values["framing"])
        core = frame.place(cut.alpha, 0) == 255
        changed += int((frame.place(one.photo.pixels, 0) != picture).any(axis=2)[core].sum())
    laid = references([one for one, _, _ in made], renderer, HERE / "materials")
    real = [one.turns[0][0] for one in laid.values()]
    return float(np.mean(right)), sliced_wasserstein(patches, real), changed


def main() -> None:
    """Time both at two sizes and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--styles", type=int, default=8, help="for each photograph")
    parser.add_argument("--stock", type=int, default=8, help="variants of the stock loop")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1600])
    given = parser.parse_args()
    cv2.setNumThreads(1)
    settings = Settings.load()
    space, judge = wiring.style_space(settings), StyleJudge(HERE / "judge.npz")
    renderer = wiring.renderer(settings)
    pipeline = BackdropPipeline.from_pretrained(
        settings.render.checkpoint, dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    console = Console(highlight=False)
    for side in given.sides:
        photos = [
            resized(load_photo(ASSETS / "catalog" / "photos" / f"{name}.jpg"), side)
            for name in PHOTOS
        ]
        asked = spread(photos, space, given.styles, seed=5, renderer=renderer)
        ours(renderer, asked[:1], 1)  # both warm
        stock(pipeline, renderer, asked[0], GUIDANCE)
        some = asked[:: max(1, len(asked) // given.stock)]
        rows: list[tuple[str, float, list[Made]]] = []
        for guidance in (GUIDANCE, 1.0):
            start = time.perf_counter()
            made = [stock(pipeline, renderer, one, guidance) for one in some]
            name = f"stock, {STEPS} steps, guidance {guidance:g}"
            rows.append((name, (time.perf_counter() - start) / len(made), made))
        for workers in dict.fromkeys((1, given.workers)):
            start = time.perf_counter()
            made = ours(renderer, asked, workers)
            name = f"ours, {workers} at once, judged and certified"
            rows.append((name, (time.perf_counter() - start) / len(made), made))
        table = Table(title=f"{side} px", width=100)
        for head in ("", "variants", "s each", "throughput", "style", "distance", "changed"):
            table.add_column(head, justify="left" if not head else "right")
        same = {one.seed for one in some}
        for name, seconds, made in rows:
            # Of the same variants in every row: those that the stock loop made.
            compared = [one for one in made if one[0].seed in same]
            style, distance, changed = quality(compared, judge, renderer)
            ratio = f"{rows[0][1] / seconds:.1f}x"
            cells = (name, len(made), f"{seconds:.3f}", ratio, f"{style:.3f}", f"{distance:.3f}")
            table.add_row(*map(str, cells), str(changed))
        console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"most memory of the process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
