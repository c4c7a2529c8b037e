"""The masker's training corpus on disk: cut-outs, then scenes and labelled photos by picture size.

Resumable, seeded. Labels are uint8: 0 backdrop .. 254 product, 255 unknown (does not count).
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from persona_img.errors import NotEnoughData
from persona_img.imaging.folder import (
    SUFFIXES,
    leave_out,
    list_photos,
    pictures_below,
    result_names,
    why_unreadable,
)
from persona_img.imaging.holdout import split_photos
from persona_img.imaging.matting import foreground
from persona_img.masking.classic import ClassicSettings, cut_out
from persona_img.masking.inputs import PRIOR_SCALE, SHAPES, border_prior, shape_of
from persona_img.masking.learning.scenes import Cutout, empty_floor, make_scene, mirrored
from persona_img.masking.leftover import backdrop_ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

UNKNOWN = 255
_CONFIDENT = 0.75
_BAKED_SHADOW = 92  # alpha of cut-outs up to this is shadow, not product
_LEAST_CUTOUTS = 8
_CONFLICT = 1.0  # log-likelihood ratio of colours that contradict the label
_CHUNK = 32


@dataclass(frozen=True)
class MaskCorpusSettings:
    """What to learn from.

    Attributes:
        photos: Folder of product photos.
        groups: CSV with ``image`` and ``sender_id`` of photos; whole senders are held out.
        cutouts: Folder of products with true alpha, PNG; None for none.
        cutout_groups: CSV like ``groups`` for cut-outs; whole families are held out.
        textures: Folder of material tile folders.
        scenes: Folders of further backdrops.
        leave_out: Stems of photos that are neither trained on nor held out.
        held_out: Share of senders never trained on.
        held_out_families: Share of cut-out families never trained on.
        max_photos: At most so many photos are cut out.
        made: Scenes to make.
        seed: Of everything random here.
    """

    photos: Path
    textures: Path
    groups: Path | None = None
    cutouts: Path | None = None
    cutout_groups: Path | None = None
    scenes: tuple[Path, ...] = ()
    leave_out: frozenset[str] = frozenset()
    held_out: float = 0.15
    held_out_families: float = 0.4
    max_photos: int = 1600
    made: int = 6000
    seed: int = 7


def cut_photos(
    settings: MaskCorpusSettings, folder: Path, *, held_out: bool = False, workers: int = 2
) -> list[Path]:
    """Cut products out of photos the classic way; returns the confident ones' files, by name.

    Each is one ``.npz`` (``rgb``, ``alpha``, ``label``, ``floor``) written whole or not at all;
    done ones are skipped. A photo that cannot be read is left out, with an
    :class:`UnreadablePhoto` warning.

    Args:
        settings: Names the photos.
        folder: Where the files go.
        held_out: Whether the held-out senders' photos are cut instead of the others.
        workers: Processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photos = split_photos(settings.photos, settings.groups, settings.held_out, settings.leave_out)[
        held_out
    ]
    rng = np.random.default_rng(settings.seed)
    chosen = [photos[i] for i in sorted(rng.permutation(len(photos))[: settings.max_photos])]
    names = result_names(list_photos(settings.photos))
    jobs = [(p, folder / f"{names[p]}.npz") for p in chosen]
    todo = [job for job in jobs if not job[1].exists()]
    if todo:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            done = pool.map(_cut_one, todo, chunksize=8)
            for reason in tqdm(done, total=len(todo), desc="cut photos"):
                if reason is not None:
                    leave_out(reason)
    return [p for _, p in jobs if p.exists() and p.stat().st_size > 1024]


def load_shaped(path: Path) -> NDArray[np.uint8]:
    """A picture resized to the nearest of ``SHAPES``, uint8 (H, W, 3)."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    height, width = shape_of(upright.height, upright.width)
    return np.asarray(upright.resize((width, height), Image.Resampling.BOX))


def load_cutouts(settings: MaskCorpusSettings, *, held_out: bool = False) -> list[Cutout]:
    """Products with true alpha, long side at most 384 pixels; of held-out families or the rest."""
    if settings.cutouts is None:
        return []
    split = split_photos(settings.cutouts, settings.cutout_groups, settings.held_out_families)
    found = []
    for path in split[held_out]:
        try:
            with Image.open(path) as image:
                picture = image.convert("RGBA")
        except Exception as error:  # decoders raise many kinds on damaged files
            leave_out(why_unreadable(path, error))
            continue
        picture.thumbnail((384, 384), Image.Resampling.LANCZOS)
        rgba = np.asarray(picture)
        found.append(Cutout(np.ascontiguousarray(rgba[..., :3]), true_alpha(rgba[..., 3])))
    return found


def true_alpha(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Alpha without the shadow baked into a cut-out, uint8, same shape."""
    scaled = (alpha.astype(np.float32) - _BAKED_SHADOW) * (255 / (255 - _BAKED_SHADOW))
    return np.round(np.clip(scaled, 0, 255)).astype(np.uint8)


def label_of(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A confident cut as a label: unknown where the colours contradict it.

    Args:
        rgb: uint8 (H, W, 3).
        alpha: uint8 (H, W).

    Returns:
        uint8 (H, W): 0..254, or 255 where it is not known.
    """
    cut = (alpha > 127).astype(np.uint8)
    ratio = backdrop_ratio(rgb, cut)
    doubtful = np.where(cut > 0, ratio > _CONFLICT, ratio < -_CONFLICT).astype(np.uint8)
    doubtful = cv2.morphologyEx(doubtful, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    doubtful = cv2.dilate(doubtful, np.ones((5, 5), np.uint8))
    label = np.minimum(alpha, UNKNOWN - 1)
    label[doubtful > 0] = UNKNOWN
    return label


def _cut_one(job: tuple[Path, Path]) -> str | None:
    """Cut one photo out; why it cannot be read, if so."""
    source, target = job
    cv2.setNumThreads(1)
    try:
        rgb = load_shaped(source)
    except Exception as error:  # decoders raise many kinds on damaged files
        return why_unreadable(source, error)
    mask = cut_out(rgb, ClassicSettings(side=384))
    partial = target.with_suffix(".part")
    with partial.open("wb") as out:
        if mask.confidence >= _CONFIDENT:
            seed = int.from_bytes(source.stem.encode()[:8], "little")
            floor = empty_floor(rgb, mask.alpha, np.random.default_rng(seed))
            np.savez(
                out,
                rgb=rgb,
                alpha=mask.alpha,
                label=label_of(rgb, mask.alpha),
                floor=np.zeros((0, 0, 3), np.uint8) if floor is None else floor,
            )
    partial.replace(target)  # an empty file says: looked at, not confident
    return None


class MaskCorpus:
    """Labelled pictures in memory-mapped arrays, one set per shape."""

    _FIELDS = ("rgb", "label", "prior", "real")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shapes: dict[tuple[int, int], dict[str, NDArray[np.uint8]]] = {}
        for shape in SHAPES:
            if _file(folder, "rgb", shape).exists():
                self.shapes[shape] = {
                    f: np.load(_file(folder, f, shape), mmap_mode="r") for f in self._FIELDS
                }

    @classmethod
    def build(
        cls,
        settings: MaskCorpusSettings,
        folder: Path,
        cut: list[Path],
        *,
        held_out: bool = False,
        workers: int = 2,
    ) -> MaskCorpus:
        """Make all scenes and write them with the photos; does nothing where that is done.

        Raises:
            NotEnoughData: fewer than eight products could be cut out.
        """
        if (folder / "corpus.json").exists():
            return cls(folder)
        if len(cut) < _LEAST_CUTOUTS:
            raise NotEnoughData(
                f"{len(cut)} products could be cut out; training needs {_LEAST_CUTOUTS}: add photos"
            )
        folder.mkdir(parents=True, exist_ok=True)
        shapes = [SHAPES[i % len(SHAPES)] for i in range(settings.made)]
        for path in cut:
            with np.load(path) as one:
                shapes.append(one["label"].shape)
        writers = {s: _Writer(folder, s, shapes.count(s)) for s in SHAPES if s in shapes}
        with ProcessPoolExecutor(
            workers, get_context("spawn"), _load_parts, (settings, cut, held_out)
        ) as pool:
            made = pool.map(_make_one, range(settings.made), chunksize=_CHUNK)
            for rgb, label, prior in tqdm(made, total=settings.made, desc="make scenes"):
                writers[label.shape].add(rgb, label, prior, real=False)
        for path in tqdm(cut, desc="keep photos"):
            with np.load(path) as one:
                rgb, label = one["rgb"], one["label"]
            writers[label.shape].add(rgb, label, border_prior(rgb), real=True)
        (folder / "corpus.json").write_text(json.dumps({"made": settings.made, "real": len(cut)}))
        return cls(folder)


class _Parts:
    """What scenes are made of, loaded once in each process."""

    def __init__(self, settings: MaskCorpusSettings, cut: list[Path], held_out: bool) -> None:
        self.settings, self.cut, self.held_out = settings, cut, held_out
        self.cutouts = load_cutouts(settings, held_out=held_out)
        self.tiles = list(_backdrop_files(sorted(settings.textures.glob("*/*")), held_out))
        pictures = [p for folder in settings.scenes for p in pictures_below(folder)]
        self.pictures = list(_backdrop_files(pictures, held_out))

    def product(self, rng: np.random.Generator) -> Cutout:
        if self.cutouts and rng.random() < 0.25:
            return self.cutouts[int(rng.integers(len(self.cutouts)))]
        with np.load(self.cut[int(rng.integers(len(self.cut)))]) as one:
            rgb, alpha = one["rgb"], one["alpha"]
        return Cutout(foreground(rgb, alpha), alpha)

    def backdrop(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        kind = rng.random()
        if kind < 0.35:
            with np.load(self.cut[int(rng.integers(len(self.cut)))]) as one:
                floor: NDArray[np.uint8] = one["floor"]
            if floor.size:
                return floor
        if kind < 0.5 and self.pictures:
            picture = _limited(self.pictures[int(rng.integers(len(self.pictures)))])
            return _plain(rng) if picture is None else picture
        if kind < 0.6 or not self.tiles:
            return _plain(rng)
        tile = _limited(self.tiles[int(rng.integers(len(self.tiles)))])
        if tile is None:
            return _plain(rng)
        side = int(tile.shape[0] * rng.uniform(0.6, 3))
        tile = np.asarray(cv2.resize(tile, (side, side), interpolation=cv2.INTER_CUBIC))
        return mirrored(tile, (400, 400), rng)


_PARTS: list[_Parts] = []


def _load_parts(settings: MaskCorpusSettings, cut: list[Path], held_out: bool) -> None:
    cv2.setNumThreads(1)
    _PARTS[:] = [_Parts(settings, cut, held_out)]


def _make_one(index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    parts = _PARTS[0]
    rng = np.random.default_rng([parts.settings.seed, index, parts.held_out])
    product, backdrops = parts.product(rng), [parts.backdrop(rng) for _ in range(2)]
    rgb, alpha = make_scene(product, backdrops, SHAPES[index % len(SHAPES)], rng)
    return rgb, np.minimum(alpha, UNKNOWN - 1), border_prior(rgb)


def _backdrop_files(paths: Sequence[Path], held_out: bool) -> Iterator[Path]:
    """Pictures for one side of the split: every seventh place, in all of its views, is held out."""
    for path in paths:
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        place = re.sub(r"_y\d.*$", "", path.stem)
        if (sum(place.encode()) % 7 == 0) == held_out:
            yield path


def _plain(rng: np.random.Generator) -> NDArray[np.uint8]:
    colour = rng.integers(30, 250) + rng.normal(0, 12, 3)
    return np.broadcast_to(np.clip(colour, 0, 255).astype(np.uint8), (384, 384, 3)).copy()


def _limited(path: Path) -> NDArray[np.uint8] | None:
    """A backdrop of bounded size; None, with a warning, where it cannot be read."""
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except Exception as error:  # decoders raise many kinds on damaged files
        leave_out(why_unreadable(path, error))
        return None
    picture.thumbnail((800, 800))
    return np.asarray(picture)


class _Writer:
    def __init__(self, folder: Path, shape: tuple[int, int], count: int) -> None:
        small = (shape[0] // PRIOR_SCALE, shape[1] // PRIOR_SCALE)
        sizes = {"rgb": (*shape, 3), "label": shape, "prior": small, "real": ()}
        self.at = 0
        self.arrays = {
            name: np.lib.format.open_memmap(
                _file(folder, name, shape), mode="w+", dtype=np.uint8, shape=(count, *size)
            )
            for name, size in sizes.items()
        }

    def add(
        self,
        rgb: NDArray[np.uint8],
        label: NDArray[np.uint8],
        prior: NDArray[np.uint8],
        *,
        real: bool,
    ) -> None:
        values = {"rgb": rgb, "label": label, "prior": prior, "real": np.uint8(real)}
        for name, value in values.items():
            self.arrays[name][self.at] = value
        self.at += 1


def _file(folder: Path, name: str, shape: tuple[int, int]) -> Path:
    return folder / f"{name}-{shape[0]}x{shape[1]}.npy"
