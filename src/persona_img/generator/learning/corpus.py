"""The training corpus on disk: cut-out photos, then plates by picture size. Resumable, seeded."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from persona_img.errors import NotEnoughData
from persona_img.generator.buckets import BUCKETS, bucket_of
from persona_img.generator.learning.made_plates import make_plate
from persona_img.generator.learning.plates import Plate, load_rgb, photo_plate
from persona_img.generator.learning.silhouettes import Silhouette, silhouettes
from persona_img.imaging.folder import leave_out, result_names, why_unreadable
from persona_img.imaging.folder import list_photos as photos_in
from persona_img.imaging.holdout import split_photos
from persona_img.imaging.light import LIGHTS
from persona_img.masking.classic import ClassicSettings, cut_out
from persona_img.scenery.materials import materials_of
from persona_img.scenery.scenes import PLAINEST, SCENES
from persona_img.scenery.seasons import SEASONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_MIN_CONFIDENCE = 0.75
_LEAST_PHOTOS = 8
_SEASONAL = 0.25  # share of made plates in a season's look


@dataclass(frozen=True)
class CorpusSettings:
    """What to learn from.

    Attributes:
        photos: Folder of product photos.
        palettes: Name to (a*, b*) offset.
        materials: Folder of materials; None is the shipped one.
        standing: Folder of pictures with alpha, of products that stand; None: everything lies.
        scenes: Folders of further pictures, for the codec only.
        groups: CSV with ``image`` and ``sender_id``; whole groups are held out. None: by file.
        names: CSV of photos' surfaces and lights, of ``label-photos``. None: they have no names.
        held_out: Share of groups never trained on.
        max_photos: At most so many photos are cut out.
        made: Plates to make.
        seed: Of everything random here.
    """

    photos: Path
    palettes: dict[str, tuple[float, float]]
    materials: Path | None = None
    standing: Path | None = None
    scenes: tuple[Path, ...] = ()
    groups: Path | None = None
    names: Path | None = None
    held_out: float = 0.15
    max_photos: int = 2600
    made: int = 7000
    seed: int = 7


def list_photos(settings: CorpusSettings) -> tuple[list[Path], list[Path]]:
    """Photos to train on and photos held out; see :func:`split_photos`."""
    return split_photos(settings.photos, settings.groups, settings.held_out)


def cut_photos(settings: CorpusSettings, folder: Path, *, workers: int = 2) -> list[Path]:
    """Cut products out of the training photos; returns the confident ones' files, by name.

    Each is one ``.npz`` (``rgb``, ``alpha``) written whole or not at all; done ones are skipped.
    A photo that cannot be read is left out, with an :class:`UnreadablePhoto` warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photos, _ = list_photos(settings)
    rng = np.random.default_rng(settings.seed)
    chosen = [photos[i] for i in sorted(rng.permutation(len(photos))[: settings.max_photos])]
    names = result_names(photos_in(settings.photos))
    found = {p: folder / f"{names[p]}.npz" for p in chosen}
    todo = [(p, target) for p, target in found.items() if not target.exists()]
    if todo:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            done = pool.map(_cut_one, todo, chunksize=8)
            for reason in tqdm(done, total=len(todo), desc="cut photos"):
                if reason is not None:
                    leave_out(reason)
    return [p for p in found.values() if p.exists() and p.stat().st_size > 1024]


def _cut_one(job: tuple[Path, Path]) -> str | None:
    """Cut one photo out; why it cannot be read, if so."""
    source, target = job
    cv2.setNumThreads(1)
    from PIL import Image, ImageOps

    try:
        with Image.open(source) as image:
            width, height = ImageOps.exif_transpose(image).size
        rgb = load_rgb(source, bucket_of(height, width))
    except Exception as error:  # decoders raise many kinds on damaged files
        return why_unreadable(source, error)
    mask = cut_out(rgb, ClassicSettings(side=288))
    partial = target.with_suffix(".part")
    with partial.open("wb") as out:
        if mask.confidence >= _MIN_CONFIDENCE:
            np.savez(out, rgb=rgb, alpha=mask.alpha)
    partial.replace(target)  # an empty file says: looked at, not confident
    return None


class Corpus:
    """Plates in memory-mapped arrays, one set per bucket."""

    _FIELDS = ("rgb", "mask", "product", "known", "surface", "light", "scene", "colour")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, list[str]] = json.loads((folder / "corpus.json").read_text())
        self.buckets: dict[tuple[int, int], dict[str, NDArray[np.generic]]] = {}
        for size in BUCKETS:
            files = {f: folder / f"{f}-{size[0]}x{size[1]}.npy" for f in self._FIELDS}
            if files["rgb"].exists():
                self.buckets[size] = {f: np.load(p, mmap_mode="r") for f, p in files.items()}

    @classmethod
    def build(
        cls, settings: CorpusSettings, folder: Path, cut: list[Path], *, workers: int = 2
    ) -> Corpus:
        """Make all plates and write them; does nothing where they are already written.

        Raises:
            NotEnoughData: fewer than eight products could be cut out.
        """
        if (folder / "corpus.json").exists():
            return cls(folder)
        if len(cut) < _LEAST_PHOTOS:
            raise NotEnoughData(
                f"{len(cut)} products could be cut out; training needs {_LEAST_PHOTOS}: add photos"
            )
        folder.mkdir(parents=True, exist_ok=True)
        index = {
            "surfaces": sorted(materials_of(settings.materials).surfaces),
            "lights": list(LIGHTS),
            "scenes": list(SCENES),
        }
        chosen = silhouettes(cut, settings.standing, settings.made, settings.seed)
        sizes = Counter([one.size for one in chosen] + [_size_of(path) for path in cut])
        writers = {size: _Writer(folder, size, count, index) for size, count in sizes.items()}
        total = settings.made + len(cut)
        plates = _plates(settings, chosen, cut, workers)
        for plate in tqdm(plates, total=total, desc="make plates"):
            writers[plate.mask.shape].add(plate)
        for writer in writers.values():
            writer.close()
        (folder / "corpus.json").write_text(json.dumps(index))
        return cls(folder)


def _size_of(path: Path) -> tuple[int, int]:
    with np.load(path) as one:
        return one["alpha"].shape[0], one["alpha"].shape[1]


def _plates(
    settings: CorpusSettings, chosen: list[Silhouette], cut: list[Path], workers: int
) -> Iterator[Plate]:
    # Here, for it loads scikit-learn, and the processes that cut photos load this module.
    from persona_img.generator.learning.photo_labels import names_of

    jobs = [(settings, i, one) for i, one in enumerate(chosen)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_make_one, jobs, chunksize=8)
    known = {} if settings.names is None else names_of(settings.names)
    for path in cut:
        surface, falls = known.get(path.stem, (None, None))
        with np.load(path) as one:
            yield photo_plate(one["rgb"], one["alpha"].astype(np.float32) / 255, surface, falls)


def _make_one(job: tuple[CorpusSettings, int, Silhouette]) -> Plate:
    """The i-th made plate: surfaces and lights in turn, all else by chance."""
    settings, i, whose = job
    cv2.setNumThreads(1)
    materials = materials_of(settings.materials)
    names, lights, palettes = sorted(materials.surfaces), list(LIGHTS), list(settings.palettes)
    rng = np.random.default_rng([settings.seed, 2, i])
    style = {
        "surface": names[i % len(names)],
        "light": lights[(i // len(names)) % len(lights)],
        "scene": PLAINEST,
    }
    if whose.stands:
        style["scene"] = str(rng.choice([name for name in SCENES if name != PLAINEST]))
    if rng.random() < _SEASONAL:
        style["season"] = str(rng.choice(list(SEASONS)))
    a, b = settings.palettes[palettes[int(rng.integers(len(palettes)))]]
    # Between the named palettes too, so that any colour asked for is near one learned.
    spread = rng.normal(0, 2.5, 2)
    chroma = a + float(spread[0]), b + float(spread[1])
    pitch = float(np.clip(rng.normal(14, 6), 5, 34))
    return make_plate(style, chroma, whose.load(), materials, rng, cm=whose.cm, pitch=pitch)


class _Writer:
    """Plates of one size, written straight to disk: a corpus may be larger than memory."""

    def __init__(
        self, folder: Path, size: tuple[int, int], count: int, index: dict[str, list[str]]
    ) -> None:
        self.index, self.row = index, 0
        kinds: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "rgb": (np.uint8, (*size, 3)),
            "mask": (np.uint8, size),
            "product": (np.uint8, (*size, 3)),
            "known": (np.uint8, size),
            "surface": (np.int64, ()),
            "light": (np.int64, ()),
            "scene": (np.int64, ()),
            "colour": (np.float32, (3,)),
        }
        self.arrays = {
            name: np.lib.format.open_memmap(
                folder / f"{name}-{size[0]}x{size[1]}.npy", "w+", np.dtype(kind), (count, *shape)
            )
            for name, (kind, shape) in kinds.items()
        }

    def add(self, plate: Plate) -> None:
        """Append one plate."""
        values = {
            "rgb": plate.rgb,
            "mask": np.round(plate.mask * 255).astype(np.uint8),
            "product": plate.product,
            "known": (plate.known > 0.5).astype(np.uint8),
            "surface": _code(self.index["surfaces"], plate.surface),
            "light": _code(self.index["lights"], plate.light),
            "scene": _code(self.index["scenes"], plate.scene),
            "colour": plate.colour,
        }
        for name, value in values.items():
            self.arrays[name][self.row] = value
        self.row += 1

    def close(self) -> None:
        """All bytes to disk."""
        for array in self.arrays.values():
            array.flush()


def _code(names: list[str], name: str | None) -> int:
    return 0 if name is None else 1 + names.index(name)
