"""The report that travels with a checkpoint: how good, on photos it never saw, and not by heart."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from persona_img.generator.buckets import bucket_of
from persona_img.generator.learning.corpus import CorpusSettings, list_photos
from persona_img.generator.learning.made_plates import make_plate
from persona_img.generator.learning.plates import load_rgb, on_grey
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.imaging.colour import mean_lab
from persona_img.imaging.copies import CopyIndex
from persona_img.imaging.folder import leave_out, why_unreadable
from persona_img.masking.classic import ClassicSettings, cut_out
from persona_img.scenery.materials import materials_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_COPY = 0.95
_CM = 65.0  # longest side of a garment as it lies


def index_training(work: Path, checkpoint: Path) -> CopyIndex:
    """Index of the training photos, written beside the weights as ``training_pictures.npz``."""
    pictures, known = [], []
    for path in sorted((work / "cut").glob("*.npz")):
        if path.stat().st_size > 1024:
            with np.load(path) as one:
                pictures.append(one["rgb"])
                known.append(1.0 - one["alpha"].astype(np.float32) / 255)
    index = CopyIndex.of(pictures, known)
    index.save(checkpoint / "training_pictures.npz")
    return index


def evaluate(
    checkpoint: Path,
    corpus: CorpusSettings,
    index: CopyIndex,
    *,
    photos: int = 24,
    steps: tuple[int, ...] = (4, 8, 30),
    guidance: float = 2.0,
    seed: int = 11,
) -> dict[str, Any]:
    """Figures on held-out photos; writes ``report.json`` and ``samples.png`` into ``checkpoint``.

    Returns:
        ``codec_psnr_db`` on made plates of held-out products; per number of steps
        ``colour_error`` (mean CIE76 distance of the plate's lit part from what the style asks)
        and ``seconds``; ``nearest_training`` (largest and 99th percentile correlation) and
        ``copies`` (plates above 0.95).
    """
    pipeline = BackdropPipeline.from_pretrained(
        checkpoint, dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    products = _held_out_products(corpus, photos, seed)
    styles = _spread_styles(pipeline, len(products), seed)
    report: dict[str, Any] = {
        "photos": len(products),
        "guidance": guidance,
        "parameters": {
            name: sum(p.numel() for p in getattr(pipeline, name).parameters())
            for name in ("codec", "denoiser", "style_encoder")
        },
        "codec_psnr_db": _codec_psnr(pipeline, corpus, products, seed),
        "steps": {},
    }
    shown: list[NDArray[np.uint8]] = []
    for count in steps:
        started = time.perf_counter()
        errors, nearest, row = [], [], []
        for i, ((rgb, mask), style) in enumerate(
            tqdm(list(zip(products, styles, strict=True)), desc=f"{count} steps")
        ):
            plate = _plate(pipeline, rgb, mask, style, count, guidance, seed + i)
            asked = np.array(pipeline.style_encoder.colour_of(style["surface"], style["palette"]))
            far = 1.0 - cv2.dilate(mask, np.ones((31, 31), np.uint8))
            errors.append(float(np.linalg.norm((mean_lab(plate, far) - asked)[1:])))
            nearest.append(index.nearest(plate)[0])
            row.append(
                np.round(rgb * mask[..., None] + plate * (1 - mask[..., None])).astype(np.uint8)
            )
        shown = row
        report["steps"][str(count)] = {
            "colour_error": float(np.nanmean(errors)),
            "seconds_each": (time.perf_counter() - started) / len(products),
            "nearest_training_max": float(np.max(nearest)),
            "nearest_training_p99": float(np.percentile(nearest, 99)),
            "copies": int((np.array(nearest) > _COPY).sum()),
        }
    (checkpoint / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _sheet(shown).save(checkpoint / "samples.jpg", quality=88)
    return report


def _held_out_products(
    corpus: CorpusSettings, count: int, seed: int
) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    _, unseen = list_photos(corpus)
    order = np.random.default_rng(seed).permutation(len(unseen))
    found = []
    for i in order:
        try:
            with Image.open(unseen[i]) as image:
                width, height = image.size
            rgb = load_rgb(unseen[i], bucket_of(height, width))
        except Exception as error:  # decoders raise many kinds on damaged files
            leave_out(why_unreadable(unseen[i], error))
            continue
        cut = cut_out(rgb, ClassicSettings(side=288))
        if cut.confidence >= 0.85:
            found.append((rgb, cut.alpha.astype(np.float32) / np.float32(255)))
        if len(found) == count:
            break
    return found


def _spread_styles(pipeline: BackdropPipeline, count: int, seed: int) -> list[dict[str, str]]:
    config = pipeline.style_encoder.config
    every = list(itertools.product(config.surfaces, config.lights, config.palettes))
    order = np.random.default_rng(seed).permutation(len(every))
    chosen = [every[order[i % len(every)]] for i in range(count)]
    return [{"surface": s, "light": x, "palette": p} for s, x, p in chosen]


def _plate(
    pipeline: BackdropPipeline,
    rgb: NDArray[np.uint8],
    mask: NDArray[np.float32],
    style: dict[str, str],
    steps: int,
    guidance: float,
    seed: int,
) -> NDArray[np.uint8]:
    product = torch.from_numpy(on_grey(rgb, mask)).permute(2, 0, 1)[None].float() / 127.5 - 1
    silhouette = torch.from_numpy(mask)[None, None]
    made = pipeline(
        product, silhouette, [style], steps=steps, guidance=guidance, seeds=[seed]
    ).images
    return np.asarray((made[0].permute(1, 2, 0) * 255).round().byte().numpy())


def _codec_psnr(
    pipeline: BackdropPipeline,
    corpus: CorpusSettings,
    products: list[tuple[NDArray[np.uint8], NDArray[np.float32]]],
    seed: int,
) -> float:
    materials = materials_of(corpus.materials)
    rng = np.random.default_rng(seed)
    names, lights = sorted(materials.surfaces), list(pipeline.style_encoder.config.lights)
    errors = []
    for i, product in enumerate(products):
        style = {"surface": names[i % len(names)], "light": lights[i % len(lights)]}
        plate = make_plate(style, (0.0, 0.0), product, materials, rng, cm=_CM).rgb
        signed = torch.from_numpy(plate).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            back = pipeline.codec.decode(pipeline.codec.encode(signed)).clamp(-1, 1)
        errors.append(float((back - signed).square().mean()))
    return 10 * float(np.log10(4 / np.mean(errors)))


def _sheet(pictures: list[NDArray[np.uint8]], columns: int = 8) -> Image.Image:
    height, width = 256, 256
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for i, picture in enumerate(pictures):
        one = Image.fromarray(picture)
        one.thumbnail((width - 4, height - 4))
        sheet.paste(one, ((i % columns) * width + 2, (i // columns) * height + 2))
    return sheet
