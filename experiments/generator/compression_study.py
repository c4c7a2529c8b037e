"""What smaller or faster weights of the shipped checkpoint cost in plates.

The same products, styles and seeds are painted in every row, one step from a real tile and the
checkpoint's own steps from noise, and pasted over by the product at the plate's own size. Colour
error is measured as in the report of a training; the gate's judge, which shares nothing with the
painter, names surface, palette and light; the distance is from real tiles that no source paints
with. PSNR is of the mean error from the float32 plates.

Seconds are of the processor, not of the clock, on one thread: other work on the machine slows them,
but does not count in them. Every photograph's first plate is painted by the baseline as well, just
before, and the ratio is the median of these pairs. Nothing is trained here; what is quantised with
ranges of activations learns them from products that are not measured. All rows take about twelve
minutes of one core; a compiler for C++ must be there for ``compile``.

Example:
    $ python experiments/generator/compression_study.py
    $ python experiments/generator/compression_study.py --styles 1 --rows int8 layout
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from diffusers.utils import logging
from plate_jobs import WAYS, Job
from safetensors.torch import save
from smaller_weights import (
    Tensors,
    channels_last,
    compiled,
    dynamic_int8,
    in_bf16,
    rounded,
    sparse,
    static_int8,
    without_channels,
)
from tqdm import tqdm

from persona_img import wiring
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.imaging.distance import backdrop_patches, sliced_wasserstein
from persona_img.imaging.photo import list_photos, load_photo
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.sources.diffusion import DiffusionBackdrops
from persona_img.reports.evaluation import references, spread
from persona_img.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

RENDER = Path(__file__).parents[1] / "render"
PATCHES = 48
FEW = 6
"""One in so many plates where a row takes minutes for each."""
COSTS = ("", "s before", "MB", "zipped", "s, tile", "× float32", "s, noise", "× float32")
PLATES = (
    "",
    *(f"{name}, {way}" for way in WAYS for name in ("PSNR", "colour", "style", "distance")),
)


@dataclass(frozen=True, eq=False)
class Row:
    """Something to do to the weights.

    Attributes:
        name: What was done.
        group: What it can be chosen by.
        change: Does it to a freshly loaded pipeline, with jobs to learn ranges from, and returns
            what would be stored.
        few: Whether it is so slow that only one in ``FEW`` plates is painted.
    """

    name: str
    group: str
    change: Callable[[BackdropPipeline, Sequence[Job]], Tensors]
    few: bool = False


CODEC = ("encoder", "decoder")
NARROWED = ("denoiser", "decoder")
ROWS = (
    Row("float32 on disk", "formats", partial(rounded, dtype=torch.float32)),
    Row("float16 on disk, as shipped", "formats", rounded),
    Row("bf16 on disk", "formats", partial(rounded, dtype=torch.bfloat16)),
    Row("int8 on disk", "formats", partial(rounded, int8=True)),
    Row("channels last", "layout", channels_last),
    Row("compiled", "compile", compiled),
    Row("bf16 arithmetic", "bf16", in_bf16, few=True),
    Row("int8 linear layers, dynamic", "int8", dynamic_int8),
    Row("int8 convolutions, every one", "int8", partial(static_int8, ends=0)),
    Row("int8 inner convolutions", "int8", static_int8),
    Row("– of the codec alone", "int8", partial(static_int8, networks=CODEC)),
    Row("– of the denoiser alone", "int8", partial(static_int8, networks=("denoiser",))),
    Row("– and linear layers", "int8", partial(static_int8, linear=True)),
    *(
        Row(name, "channels", partial(without_channels, share=share, networks=networks))
        for name, share, networks in (
            ("10 % of channels removed", 0.1, NARROWED),
            ("25 % of channels removed", 0.25, NARROWED),
            ("– of the denoiser alone", 0.25, ("denoiser",)),
            ("– of the decoder alone", 0.25, ("decoder",)),
            ("40 % of channels removed", 0.4, NARROWED),
        )
    ),
    *(
        Row(f"{100 * share:.0f} % of weights zero", "sparse", partial(sparse, share=share))
        for share in (0.3, 0.5, 0.7)
    ),
)


def load(checkpoint: Path) -> BackdropPipeline:
    """The shipped weights, in float32."""
    pipeline = BackdropPipeline.from_pretrained(checkpoint, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def timed(work: Callable[[], NDArray[np.float32]]) -> tuple[float, NDArray[np.float32]]:
    """Seconds of this process, on all its threads, and what was made."""
    started = time.process_time()
    made = work()
    return time.process_time() - started, made


def costs(found: Tensors) -> list[str]:
    """Megabytes as stored, and zipped."""
    data = save({name: weight.contiguous() for name, weight in found.items()})
    return [f"{len(data) / 1e6:.1f}", f"{len(zlib.compress(data)) / 1e6:.1f}"]


class Study:
    """Measures rows against float32.

    Args:
        checkpoint: Folder in diffusers format.
        jobs: Plates to paint, those of a photograph one after the other.
        learn: Plates that ranges of activations are learned from.
        real: Patches of pictures on real tiles.
        each: Plates of a photograph.
    """

    def __init__(
        self,
        checkpoint: Path,
        jobs: Sequence[Job],
        learn: Sequence[Job],
        real: list[list[NDArray[np.float32]]],
        each: int,
    ) -> None:
        self.checkpoint, self.jobs, self.learn = checkpoint, jobs, learn
        self.real, self.each, self.judge = real, each, StyleJudge()
        self.baseline = load(checkpoint)
        self.wanted = {
            way: [job.paint(self.baseline, way) for job in tqdm(jobs, f"float32 from {way}")]
            for way in WAYS
        }

    def measure(self, row: Row) -> tuple[list[str], list[str]]:
        """A line of the table of costs, and one of the table of plates."""
        pipeline = load(self.checkpoint)
        before = sum(os.times()[:4])  # with the compiler's processes
        found = row.change(pipeline, self.learn)
        numbers = range(0, len(self.jobs), FEW if row.few else 1)
        sizes = {} if row.few else {self.jobs[i].alpha.shape: self.jobs[i] for i in numbers}
        # Not the square first: a compiler that has seen one takes height and width to be equal.
        for _, job in sorted(sizes.items()):
            for way in WAYS:
                job.paint(pipeline, way)
        cost = [f"{sum(os.times()[:4]) - before:.0f}", *costs(found)]
        figures: list[str] = []
        for way in WAYS:
            plates, seconds, ratios = [], [], []
            for i in tqdm(numbers, f"{row.name} from {way}", leave=False):
                paint = partial(self.jobs[i].paint, way=way)
                paired = row.few or i % self.each == 0
                usual = timed(partial(paint, self.baseline))[0] if paired else 0.0
                took, plate = timed(partial(paint, pipeline))
                plates.append(plate)
                seconds.append(took)
                ratios += [usual / took] if paired else []
            cost += [f"{np.median(seconds):.3f}", f"{np.median(ratios):.2f}"]
            figures += self.figures(numbers, plates, way)
        return cost, figures

    def figures(
        self, numbers: Sequence[int], plates: Sequence[NDArray[np.float32]], way: str
    ) -> list[str]:
        """PSNR, dB; colour error; share of attributes recognised; distance from real tiles."""
        errors, colours, right, patches = [], [], [], []
        for i, plate in zip(numbers, plates, strict=True):
            job = self.jobs[i]
            errors.append(float(np.square(plate - self.wanted[way][i]).mean()))
            colours.append(job.colour_error(plate))
            picture = job.pasted(plate)
            seen = self.judge.recognised(picture, job.alpha)
            right += [value == job.asked.style.values[name] for name, value in seen.items()]
            rng = np.random.default_rng([i, 5])
            patches.append(backdrop_patches(picture, job.alpha, PATCHES, rng))
        error = float(np.mean(errors))
        psnr = f"{-10 * np.log10(error):.1f}" if error > 0 else "equal"
        if len(plates) < len(self.jobs):
            return [psnr, "", "", ""]
        distance = sliced_wasserstein(patches, self.real)
        return [psnr, f"{np.nanmean(colours):.2f}", f"{np.mean(right):.3f}", f"{distance:.3f}"]


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; its first column is text."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *lines))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    groups = list(dict.fromkeys(row.group for row in ROWS))
    parser.add_argument("--styles", type=int, default=2, help="of each product")
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=groups,
        default=groups,
        metavar="GROUP",
        help=f"to measure: {', '.join(groups)}",
    )
    given = parser.parse_args()
    cv2.setNumThreads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", message=".*torch.ao.quantization")
    settings = Settings.load()
    space, source = wiring.style_space(settings), DiffusionBackdrops(settings.render.checkpoint)
    photos, others = (
        [load_photo(path) for path in list_photos(RENDER / name)] for name in ("products", "unseen")
    )
    renderer = wiring.renderer(settings)
    asked = spread(photos, space, given.styles, seed=5, renderer=renderer)
    laid = references(asked, renderer, RENDER / "materials").values()
    real, again = ([one.turns[turn][0] for one in laid] for turn in (0, 1))
    jobs = [Job.of(one, source) for one in asked]
    learn = [Job.of(one, source) for one in spread(others, space, 1, seed=6, renderer=renderer)]
    study = Study(settings.render.checkpoint, jobs, learn, real, given.styles)
    cost, plates = [], []
    # Compiled code is kept in a folder of its own, or the second run would not compile.
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        for row in tqdm([row for row in ROWS if row.group in given.rows], "rows"):
            line, figures = study.measure(row)
            cost.append([row.name, *line])
            plates.append([row.name, *figures])
    floor = sliced_wasserstein(again, real)
    print(f"{len(jobs)} plates of {len(photos)} products; real material from real: {floor:.3f}\n")
    print(markdown(COSTS, cost), markdown(PLATES, plates), sep="\n\n")


if __name__ == "__main__":
    main()
