"""What a GPU adds to rendering: the checkpoint's plates on it, beside this machine's CPU.

Run ``python benchmarks/render_gpu.py`` where a GPU is, ``--tiny`` where none is. Every plate is of
a product of its own, from the host's memory and back into it. The CPU's plates are painted as the
renderer does it, each by one thread, and as many at once as ``--workers``; ratios are to the best
of those. "off" is the mean distance, of 255 levels, from the CPU's float32 plate; the GPU's float32
is as torch leaves it, convolutions in TF32.

Then what a GPU could give whole variants at most: cutting, composing, judging and encoding stay on
the CPU, so no variant costs less than they do. The figures of a run are to be compared with each
other only.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import torch
from timing import CONSOLE, Row, attempt, begin, keep, measure, options, table

from persona_img import wiring
from persona_img.assets import ASSETS
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.imaging.photo import load_photo
from persona_img.rendering.sources.diffusion import DiffusionBackdrops
from persona_img.reports.evaluation import resized, spread
from persona_img.settings import Settings
from persona_img.threads import one_thread

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from persona_img.rendering.renderer import BackdropRenderer
    from persona_img.reports.evaluation import Asked

STRENGTH = 0.6  # as shipped
STARTS = {"from noise": None, "from a tile": STRENGTH}
PLATE = (288, 224)  # of an upright photograph, as the checkpoint was trained
PHOTOS = ("jacket-01", "dress-04", "knitwear-01", "jacket-04")
SIDES = {False: (512, 1600), True: (160,)}  # by --tiny


@dataclass(frozen=True)
class Setting:
    """How the checkpoint is put on the GPU: codec and denoiser; the style encoder stays float32."""

    name: str
    dtype: torch.dtype
    channels_last: bool = False
    compiled: bool = False


SETTINGS = (
    Setting("float32", torch.float32),
    Setting("float16", torch.float16),
    Setting("bfloat16", torch.bfloat16),
    Setting("bfloat16, channels last", torch.bfloat16, channels_last=True),
)
COMPILED = Setting("bfloat16, channels last, compiled", torch.bfloat16, True, True)


@dataclass(frozen=True, eq=False)
class Canvases:
    """Products to paint plates for, in the host's memory, as the renderer has them."""

    product: Tensor
    mask: Tensor
    start: Tensor
    styles: tuple[Mapping[str, str], ...]

    @classmethod
    def of(cls, count: int, size: tuple[int, int]) -> Canvases:
        """Noise in an ellipse, on calm starts, in the styles in turn."""
        rows, columns = (torch.linspace(-1, 1, n) for n in size)
        inside = (rows[:, None] / 0.8) ** 2 + (columns[None] / 0.6) ** 2 < 1
        mask = inside.float().expand(count, 1, *size).contiguous()
        noise = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1)) - 0.5
        known = [style.values for style in wiring.style_space(Settings.load()).styles()[1:]]
        styles = tuple(known[i % len(known)] for i in range(count))
        return cls(noise * mask, mask, 0.4 + 0.1 * noise, styles)

    def paint(self, pipeline: BackdropPipeline, which: slice, strength: float | None) -> Tensor:
        """Plates of some of them, (B, 3, H, W) in the host's memory again."""
        start: Row = {} if strength is None else {"start": self.start[which], "strength": strength}
        seeds = range(len(self.styles))[which]
        product, mask, styles = self.product[which], self.mask[which], self.styles[which]
        return pipeline(product, mask, styles, seeds=seeds, **start).images.cpu()


def checkpoint(setting: Setting, device: torch.device) -> BackdropPipeline:
    """The shipped checkpoint as ``setting`` says."""
    pipeline = BackdropPipeline.from_pretrained(ASSETS / "checkpoint", local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.style_encoder.to(device)
    for part in (pipeline.codec, pipeline.denoiser):
        part.to(device, setting.dtype)
        if setting.channels_last:
            part.to(memory_format=torch.channels_last)
    if setting.compiled:
        for part in (pipeline.codec.encoder, pipeline.codec.decoder, pipeline.denoiser):
            part.compile(dynamic=False)
    return pipeline


def paint_at_once(
    pipeline: BackdropPipeline, canvases: Canvases, workers: int, strength: float | None
) -> None:
    """One plate for each worker, each by one thread."""

    def one(i: int) -> None:
        with one_thread():
            canvases.paint(pipeline, slice(i, i + 1), strength)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(workers)))


def cpu_plates(canvases: Canvases, given: Namespace) -> tuple[list[Row], dict[str, Tensor]]:
    """Rows of the CPU, and the first plate it paints from each start."""
    device = torch.device("cpu")
    pipeline, rows, first = checkpoint(SETTINGS[0], device), [], {}
    for start, strength in STARTS.items():
        first[start] = canvases.paint(pipeline, slice(1), strength)[0]
        for workers in dict.fromkeys((1, given.workers)):
            run = partial(paint_at_once, pipeline, canvases, workers, strength)
            run()
            what: Row = {"setting": f"CPU, {workers} at once", "start": start, "levels_off": 0.0}
            # The price is the GPU's.
            rows.append(what | measure(run, workers, device, given) | {"cost_per_thousand": None})
    return rows, first


def gpu_plates(
    setting: Setting,
    canvases: Canvases,
    first: Mapping[str, Tensor],
    device: torch.device,
    given: Namespace,
) -> list[Row]:
    """Rows of one setting on the GPU, from each start in every batch that fits."""
    pipeline, rows = checkpoint(setting, device), []

    def one(start: str, batch: int) -> Row:
        if setting.compiled:
            torch.compiler.reset()  # one shape at a time: there is a limit of shapes
        run = partial(canvases.paint, pipeline, slice(batch), STARTS[start])
        off = float((run()[0] - first[start]).abs().mean()) * 255
        what: Row = {"setting": setting.name, "start": start}
        what["levels_off"] = off if math.isfinite(off) else None
        return what | measure(run, batch, device, given)

    for start in STARTS:
        for batch in given.batches:
            row = attempt(partial(one, start, batch))
            if row is None:
                CONSOLE.print(f"{setting.name}: a batch of {batch} {start} does not fit")
            else:
                rows.append(row)
    return rows


def measure_plates(device: torch.device, given: Namespace) -> list[Row]:
    """Rows of the CPU, then of the GPU; ``ratio`` is to the CPU's best from the same start."""
    count = max(*given.batches, given.workers)
    canvases = Canvases.of(count, (32, 32) if given.tiny else PLATE)
    rows, first = cpu_plates(canvases, given)
    best = {
        start: max(row["per_second"] for row in rows if row["start"] == start) for start in STARTS
    }
    for setting in (*SETTINGS, COMPILED) if given.compile else SETTINGS:
        rows += gpu_plates(setting, canvases, first, device, given)
    return [row | {"ratio": row["per_second"] / best[row["start"]]} for row in rows]


def print_plates(rows: list[Row]) -> None:
    """A table from noise, one from a tile."""
    heads = ("", "batch", "s a call", "plates/s", "ratio", "GiB", "per 1000", "off")
    names = ["setting", "batch", "seconds", "per_second", "ratio", "memory_gib"]
    names += ["cost_per_thousand", "levels_off"]
    for start in STARTS:
        cells = ([row[name] for name in names] for row in rows if row["start"] == start)
        table(f"Plates {start}", heads, cells)


class Watched(DiffusionBackdrops):
    """The shipped source of backdrops; it knows for how many seconds it has been painting."""

    painting = 0.0

    def plates(self, *args: Any, **kwargs: Any) -> list[NDArray[Any]]:
        """See :class:`persona_img.rendering.base.BackdropSource`."""
        start = time.perf_counter()
        made = super().plates(*args, **kwargs)
        self.painting += time.perf_counter() - start
        return made

    def forget(self) -> None:
        """Count from zero again."""
        self.painting = 0.0


def stages_of(
    renderer: BackdropRenderer, source: Watched, asked: list[Asked]
) -> list[dict[str, float]]:
    """Seconds by stage of every variant of one photograph, ``painting`` apart.

    ``sheet`` is what else belongs to the plate: the tile it starts from, in the style's light. A
    style that is rejected counts nowhere.
    """
    found = []
    styles, seeds = [one.style for one in asked], [one.seed for one in asked]
    variants = renderer.render_many(
        asked[0].photo, styles, seeds, on_rejected=lambda style, error: source.forget()
    )
    source.forget()
    for variant in variants:
        stages = dict(variant.seconds)
        sheet = stages.pop("plate") - source.painting
        stages["mask"] /= len(asked)  # one mask for all of them
        found.append(stages | {"sheet": sheet, "painting": source.painting})
        source.forget()
    return found


def variant_ceiling(side: int, given: Namespace) -> Row:
    """Mean CPU seconds of a variant, one at a time; ``ratio_at_most`` if painting took no time."""
    settings = Settings.load()
    renderer, source = wiring.renderer(settings), Watched(ASSETS / "checkpoint", strength=STRENGTH)
    renderer.backdrops = source
    folder, names = ASSETS / "catalog" / "photos", PHOTOS[:1] if given.tiny else PHOTOS
    photos = [resized(load_photo(folder / f"{name}.jpg"), side) for name in names]
    each = 2 if given.tiny else 8
    asked = spread(photos, wiring.style_space(settings), each, seed=5, renderer=renderer)
    stages_of(renderer, source, asked[:1])  # everything is read
    made = [
        one
        for i in range(0, len(asked), each)
        for one in stages_of(renderer, source, asked[i : i + each])
    ]
    stages = {name: statistics.fmean(one[name] for one in made) for name in made[0]}
    painting = stages.pop("painting")
    rest = sum(stages.values())
    row: Row = {"side": side, "variants": len(made), "stages": stages, "cpu_seconds": rest}
    row["refused"] = len(asked) - len(made)
    return row | {"painting_seconds": painting, "ratio_at_most": (rest + painting) / rest}


def print_ceiling(rows: list[Row]) -> None:
    """What is left to the CPU, and what that allows."""
    heads = ("px", *rows[0]["stages"], "all", "painting", "ratio at most")
    names = ("cpu_seconds", "painting_seconds", "ratio_at_most")
    cells = ([row["side"], *row["stages"].values(), *map(row.get, names)] for row in rows)
    table("Ceiling: CPU seconds of a variant whose plate costs nothing", heads, cells)


def main() -> None:
    """Measure and print plates, then what they can be worth to whole variants."""
    parser = options(__doc__)
    parser.add_argument("--batches", type=int, nargs="+", help="of plates (1 8 32 128 256)")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--plates", action="store_true", help="no whole variants")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="your CPU cores")
    given = parser.parse_args()
    given.batches = given.batches or ([1, 2] if given.tiny else [1, 8, 32, 128, 256])
    if min(*given.batches, given.workers) < 1:
        parser.error("--batches and --workers: give whole numbers above 0")
    device, results = begin(given)
    cv2.setNumThreads(1)
    results["plates"] = measure_plates(device, given)
    print_plates(results["plates"])
    keep(given, results)
    if given.plates:
        return
    results["ceiling"] = [variant_ceiling(side, given) for side in SIDES[given.tiny]]
    print_ceiling(results["ceiling"])
    keep(given, results)


if __name__ == "__main__":
    main()
