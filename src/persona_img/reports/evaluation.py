"""What variants are worth, in figures: style, distance from real material, proof, defects, speed.

The judge is another than the gate's, the tiles that count as real are not those that sources paint
with, the products were never trained on: what is measured here should not steer what is shown.
"""

from __future__ import annotations

import csv
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image
from skimage.metrics import mean_squared_error, structural_similarity
from tqdm import tqdm

from persona_img.errors import NotEnoughData, RenderRejected
from persona_img.generator.learning.plates import Surface, tile_plate
from persona_img.imaging.cutout import scaled
from persona_img.imaging.distance import backdrop_patches, sliced_wasserstein
from persona_img.imaging.frame import Frame
from persona_img.imaging.photo import Photo, pixel_digest
from persona_img.rendering.framing import frame_of
from persona_img.rendering.proof.certificate import verify
from persona_img.scenery.materials import materials_of, palettes
from persona_img.variants.store import write_variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.domain.style import Style, StyleSpace
    from persona_img.rendering.base import Variant
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.rendering.renderer import BackdropRenderer

_PATCHES = 48
_SIDE = 256
_SCALES = (0.8, 1.2)
_CLOSE_LOOK = 8  # one in so many variants: similarity of pictures takes longer than the rest


@dataclass(frozen=True, eq=False)
class Asked:
    """A variant to make: of which photograph, in which style, with which seed."""

    photo: Photo
    style: Style
    seed: int

    @property
    def product(self) -> str:
        """The photograph's name."""
        return Path(self.photo.source or self.photo.digest[:12]).stem


@dataclass(frozen=True, eq=False)
class Shown:
    """A variant that passed the gate.

    Attributes:
        asked: What was asked for.
        digest: SHA-256 of its pixels, hex: what somebody looked at, whatever the file says of it.
        source: Who painted it.
        picture: uint8 (h, w, 3), small.
    """

    asked: Asked
    digest: str
    source: str
    picture: NDArray[np.uint8]


def spread(photos: Sequence[Photo], space: StyleSpace, each: int, *, seed: int) -> list[Asked]:
    """Styles for photographs: drawn, each surface as often as the others.

    Args:
        photos: Photographs.
        space: Of the styles.
        each: Styles for each photograph.
        seed: Of the draw and of the variants.
    """
    surfaces = space.attributes["surface"]
    asked: list[Asked] = []
    for i, photo in enumerate(photos):
        rng = np.random.default_rng([seed, i])
        for k in range(each):
            surface = surfaces[(i * each + k) % len(surfaces)]
            fitting = [s for s in space.styles()[1:] if s.values["surface"] == surface]
            style = fitting[int(rng.integers(len(fitting)))]
            asked.append(Asked(photo, style, seed * 1000 + len(asked)))
    return asked


def evaluate_source(
    renderer: BackdropRenderer,
    asked: Sequence[Asked],
    judge: StyleJudge,
    tiles: Path,
) -> tuple[dict[str, Any], list[Shown]]:
    """Figures of one source of backdrops.

    Args:
        renderer: Renders from it.
        asked: What to make, photographs one after the other.
        judge: Of styles; another than the renderer's own.
        tiles: Folder of a folder of tiles for each surface; the source must not paint with them.

    Returns:
        What was shown, and: ``asked``; ``shown``, share of them that passed the gate;
        ``fell_back``, share of the shown that another source painted; ``adherence``, share of
        attributes of the shown that the judge recognises, also by attribute; ``distance``, sliced
        Wasserstein distance from pictures on real tiles of the same products and styles, and
        ``distance_floor``, of two sets of such pictures from each other; ``copies`` of training
        pictures and the largest correlation with one, ``nearest``; ``changed``, product pixels that
        differ from the photographs; ``verified``, share whose files pass verification;
        ``edge_psnr`` (dB, of the mean error) and ``edge_ssim`` of the product with its edge;
        ``seconds`` for each variant.

    Raises:
        NotEnoughData: nothing was shown.
    """
    shown: list[Shown] = []
    right: dict[str, list[bool]] = {}
    patches, edges, nearest, changed, verified = [], [], [], 0, 0
    reasons: dict[str, int] = {}

    def refused(style: Style, error: RenderRejected) -> None:
        text = str(error).split("passed the gate: ")[-1].split(" (")[0]
        reasons[text] = reasons.get(text, 0) + 1

    started, aside = time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for photo, jobs in tqdm(_by_photo(asked), desc=renderer.backdrops.name):
            styles, seeds = [a.style for a in jobs], [a.seed for a in jobs]
            waiting = {(a.style.key, a.seed): a for a in jobs}
            for variant in renderer.render_many(photo, styles, seeds, on_rejected=refused):
                pause = time.perf_counter()
                one = waiting[variant.style.key, variant.seed]
                alpha = variant.alpha
                for name, value in judge.recognised(variant.pixels, alpha).items():
                    right.setdefault(name, []).append(value == variant.style.values[name])
                rng = np.random.default_rng([len(shown), 5])
                patches.append(backdrop_patches(variant.pixels, alpha, _PATCHES, rng))
                if len(shown) % _CLOSE_LOOK == 0:
                    edges.append(_edge(variant, photo))
                nearest.append(variant.gate.scores["copy"])
                changed += variant.certificate.core_changed + variant.certificate.core_outside
                files = write_variant(variant, Path(folder), variant.digest[:16])
                verified += verify(files["variant"], photo).passed
                source = str(variant.certificate.recipe["backdrops"])
                shown.append(
                    Shown(one, pixel_digest(variant.pixels), source, _small(variant.pixels))
                )
                aside += time.perf_counter() - pause
    if not shown:
        raise NotEnoughData(f"{renderer.backdrops.name}: none of {len(asked)} variants was shown")
    seconds = (time.perf_counter() - started - aside) / len(asked)
    real = [[*references(asked, renderer, tiles, turn)] for turn in (0, 1)]
    every = [x for values in right.values() for x in values]
    return {
        "asked": len(asked),
        "shown": len(shown) / len(asked),
        "fell_back": sum(s.source != renderer.backdrops.name for s in shown) / len(shown),
        "adherence": float(np.mean(every)) if every else float("nan"),
        **{f"adherence_{name}": float(np.mean(values)) for name, values in right.items()},
        "distance": sliced_wasserstein(patches, real[0]),
        "distance_floor": sliced_wasserstein(real[1], real[0]),
        "copies": int((np.array(nearest) > 0.95).sum()),
        "nearest": float(np.max(nearest)),
        "changed": changed,
        "verified": verified / len(shown),
        "edge_psnr": _psnr(float(np.mean([error for error, _ in edges]))),
        "edge_ssim": float(np.mean([ssim for _, ssim in edges])),
        "seconds": seconds,
        "refused": dict(sorted(reasons.items(), key=lambda item: -item[1])),
    }, shown


def speed(
    renderer: BackdropRenderer, photo: Photo, styles: Sequence[Style], sides: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Seconds for each variant of one photograph in a batch of styles, by long side and stage.

    Returns:
        By side: ``each``, the whole batch with its mask divided by the number of styles, and the
        mean seconds of each stage; ``mask`` is for the photograph.
    """
    found = {}
    for side in sides:
        sized = resized(photo, side)
        list(renderer.render_many(sized, styles[:1], [1], on_rejected=_ignore))
        started = time.perf_counter()
        seeds = range(len(styles))
        made = list(renderer.render_many(sized, styles, seeds, on_rejected=_ignore))
        each = (time.perf_counter() - started) / len(styles)
        stages = {
            name: [v.seconds[name] for v in made] for name in (made[0].seconds if made else ())
        }
        found[str(side)] = {"each": each} | {n: float(np.mean(v)) for n, v in stages.items()}
    return found


def pictures_of(
    renderer: BackdropRenderer, photos: Sequence[Photo], space: StyleSpace, *, each: int = 3
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Variants of photographs with a mask of their own, as pictures with an exact mask.

    Returns:
        uint8 (H, W, 3) and uint8 (H, W) of each.
    """
    found = []
    for one in spread(photos, space, each, seed=3):
        for variant in renderer.render_many(
            one.photo, [one.style], [one.seed], on_rejected=_ignore
        ):
            found.append((variant.pixels, variant.alpha))
    return found


def no_defect_rate(labels: Path, shown: Sequence[Shown]) -> dict[str, Any]:
    """What people who looked at the shown variants found.

    Args:
        labels: CSV with ``product``, ``style``, ``digest`` and ``defect``: empty, or a class.
        shown: What is shown now.

    Returns:
        ``looked_at``, variants with a label for these very pixels; ``no_defect``, share of those
        without one, NaN where nobody looked; ``changed``, labels whose picture is another now;
        ``defects`` by class.
    """
    now = {(s.asked.product, s.asked.style.key): s.digest for s in shown}
    with labels.open(newline="", encoding="utf-8") as lines:
        rows = [r for r in csv.DictReader(lines) if (r["product"], r["style"]) in now]
    same = [r for r in rows if now[r["product"], r["style"]] == r["digest"]]
    defects: dict[str, int] = {}
    for row in same:
        if row["defect"]:
            defects[row["defect"]] = defects.get(row["defect"], 0) + 1
    free = len(same) - sum(defects.values())
    return {
        "looked_at": len(same),
        "no_defect": free / len(same) if same else float("nan"),
        "changed": len(rows) - len(same),
        "defects": defects,
    }


def _ignore(style: Style, error: RenderRejected) -> None:
    """What the gate refuses is counted by what is missing."""


def _by_photo(asked: Sequence[Asked]) -> list[tuple[Photo, list[Asked]]]:
    groups: dict[str, list[Asked]] = {}
    for one in asked:
        groups.setdefault(one.photo.digest, []).append(one)
    return [(jobs[0].photo, jobs) for jobs in groups.values()]


def _edge(variant: Variant, photo: Photo) -> tuple[float, float]:
    """Mean squared error, 8-bit levels, and SSIM of product and edge; all else is grey in both."""
    certificate, alpha = variant.certificate, variant.alpha
    frame = Frame(*certificate.size, *certificate.offset)
    before, after = frame.place(photo.pixels, 127), variant.pixels.copy()
    before[alpha < 128], after[alpha < 128] = 127, 127
    seen = alpha >= 128
    error = float(mean_squared_error(before[seen], after[seen]))
    return error, float(structural_similarity(before, after, channel_axis=2))


def _psnr(error: float) -> float:
    """Decibels of a mean squared error in 8-bit levels; infinite for none."""
    return float(10 * np.log10(255**2 / error)) if error > 0 else float("inf")


def references(
    asked: Sequence[Asked], renderer: BackdropRenderer, tiles: Path, turn: int
) -> list[list[NDArray[np.float32]]]:
    """Patches of the same products on real tiles in the same styles."""
    surfaces = _surfaces(tiles, {one.style.values["surface"] for one in asked})
    found = []
    for photo, jobs in _by_photo(asked):
        cut = renderer.mask(photo)
        for one in jobs:
            style = one.style.values
            frame = frame_of(cut.alpha, style.get("framing", "centred"))
            scale = _SIDE / max(frame.width, frame.height)
            size = (max(32, round(frame.width * scale)), max(32, round(frame.height * scale)))
            area = cv2.INTER_AREA
            rgb = cv2.resize(frame.place(photo.pixels, 127), size, interpolation=area)
            alpha = cv2.resize(frame.place(cut.alpha, 0), size, interpolation=area)
            rng = np.random.default_rng([one.seed, 9, turn])
            mask = alpha.astype(np.float32) / np.float32(255)
            plate = tile_plate(
                style["surface"],
                surfaces[style["surface"]],
                style["light"],
                palettes()[style["palette"]],
                (np.asarray(rgb, dtype=np.uint8), mask),
                rng,
            )
            found.append(backdrop_patches(plate.rgb, np.asarray(alpha, np.uint8), _PATCHES, rng))
    return found


def _surfaces(tiles: Path, names: Iterable[str]) -> Mapping[str, Surface]:
    found = {}
    for name in sorted(names):
        material = materials_of(None).surface(name)
        files = sorted((tiles / name).glob("*.jpg"))
        if not files:
            raise NotEnoughData(f"{tiles}: no tile of {name}; give a folder of them")
        lightness, a, b = material.lab
        pixels = tuple(np.asarray(Image.open(f).convert("RGB")) for f in files)
        found[name] = Surface(pixels, lightness, _SCALES, (a, b), material.dye)
    return found


def _small(pixels: NDArray[np.uint8], side: int = 400) -> NDArray[np.uint8]:
    scale = min(1.0, side / max(pixels.shape[:2]))
    size = (round(scale * pixels.shape[1]), round(scale * pixels.shape[0]))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def resized(photo: Photo, side: int) -> Photo:
    """The photograph with its long side at ``side`` pixels."""
    scale = side / max(photo.pixels.shape[:2])
    if photo.cut_out and photo.alpha is not None:
        height, width = photo.alpha.shape
        size = round(scale * width), round(scale * height)
        return Photo.of(*scaled(photo.pixels, photo.alpha, size), photo.source, cut_out=True)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(photo.pixels, None, fx=scale, fy=scale, interpolation=method)
    alpha = photo.alpha
    if alpha is not None:
        alpha = cv2.resize(alpha, pixels.shape[1::-1], interpolation=method).astype(np.uint8)
    return Photo.of(np.asarray(pixels, dtype=np.uint8), alpha, photo.source)
