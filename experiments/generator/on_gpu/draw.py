"""Worker processes that draw plates without end: the CPU's part of the training.

Sets are dear for their materials and lights, so plates come in runs: some silhouettes, each
in one scene and light, each on the run's two surfaces. What a run shares is drawn once.
"""

from __future__ import annotations

import functools
import json
import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from shapes import drawn

from persona_img.generator.buckets import BUCKETS
from persona_img.generator.learning.made_plates import made_plan, plate_of
from persona_img.imaging.light import LIGHTS
from persona_img.scenery import laying, standing
from persona_img.scenery.build import SceneSet
from persona_img.scenery.materials import materials_of, palettes
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import PLAINEST, SCENES
from persona_img.scenery.seasons import SEASONS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SILHOUETTES = 4  # of a run
HELD = 5  # workers whose first runs are held out, with silhouettes of their own; the last's doubled
_STANDING = tuple(name for name in SCENES if name != PLAINEST)
_LIES = 0.38
_SEASON = 0.25
_DRAWN = 0.4  # share of what stands that is drawn by chance
_HELD_EVERY = 24  # every so manyth photo's silhouette is held out
_LIGHT_SIDE = 176
_RELIEF = 0.25  # directions in which relief is lit are told apart so finely
_CM = {"drink": 20, "plimsolls": 28, "dash": 29, "book": 24, "cap": 26, "mug": 13, "cushion": 45,
       "hat": 28, "beanie": 26, "tote": 42, "digital": 20, "gift": 10}  # fmt: skip


@dataclass(frozen=True, eq=False)
class RunPlan(Plan):
    """A plan whose materials are those of its run; all other chance is its own."""

    run: int = 0

    def chance(self, what: int) -> np.random.Generator:
        """See :meth:`Plan.chance`."""
        return np.random.default_rng([self.run if what < 2 else self.seed, 3, what])


@dataclass(frozen=True, eq=False)
class Thing:
    """A silhouette to draw sets around.

    Attributes:
        rgb: uint8 (h, w, 3).
        alpha: uint8 (h, w).
        cm: Longest side.
        whole: Whether it is a photograph's own, at its place; else it is cropped.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    cm: float
    whole: bool


class Things:
    """What a pack holds, decoded when it is asked for."""

    def __init__(self, pack: Path) -> None:
        self.lying = _Blob(pack, "lying")
        self.cutouts = _Blob(pack, "cutouts")
        photos = range(len(self.lying.index) // 2)
        self.photos = {
            held: [i for i in photos if (i % _HELD_EVERY == 0) == held] for held in (False, True)
        }
        self.alphas: dict[tuple[str, bool], list[int]] = {}
        for i, (key, _, _) in enumerate(self.cutouts.index):
            _, pose, use = key.rsplit("|", 2)
            self.alphas.setdefault((pose, use == "held"), []).append(i)

    def photo(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A photo and its mask."""
        return self.lying[2 * i][..., ::-1], self.lying[2 * i + 1]

    def one(self, stands: bool, held: bool, rng: np.random.Generator) -> Thing:
        """One by chance."""
        known = self.alphas.get(("stands" if stands else "lies", held), [])
        if stands and (not known or rng.random() < _DRAWN):
            picture, cm = drawn(rng)
            return Thing(picture[..., :3], picture[..., 3], cm, False)
        if stands or (known and rng.random() < 0.06):
            i = known[int(rng.integers(len(known)))]
            picture = self.cutouts[i]
            name = self.cutouts.index[i][0]
            usual = next((float(cm) for part, cm in _CM.items() if part in name), 28.0)
            cm = (usual if stands else 65.0) * float(np.exp(0.15 * rng.standard_normal()))
            return Thing(picture[..., 2::-1], picture[..., 3], cm, False)
        some = self.photos[held]
        rgb, alpha = self.photo(some[int(rng.integers(len(some)))])
        return Thing(rgb, alpha, float(rng.uniform(35, 100)), True)


class _Blob:
    def __init__(self, pack: Path, name: str) -> None:
        self.index: list[tuple[str, int, int]] = json.loads((pack / f"{name}.json").read_text())
        self.bytes = np.fromfile(pack / f"{name}.bin", dtype=np.uint8)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        _, start, size = self.index[i]
        return np.asarray(cv2.imdecode(self.bytes[start : start + size], cv2.IMREAD_UNCHANGED))


def placed(
    thing: Thing, size: tuple[int, int], stands: bool, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Picture, uint8 (h, w, 3) on grey, and mask, float32 (h, w), on a canvas; mirrored by half."""
    height, width = size
    rgb, alpha = thing.rgb, thing.alpha
    if rng.random() < 0.5:
        rgb, alpha = rgb[:, ::-1], alpha[:, ::-1]
    high, wide = alpha.shape
    if thing.whole:
        scale = min(height / high, width / wide) * rng.uniform(0.75, 1.02)
        top, left = (height - scale * high) / 2, (width - scale * wide) / 2
    else:
        share = rng.uniform(0.35, 0.85)
        scale = min(share * height / high, min(0.9, 1.1 * share) * width / wide)
        left = (width - scale * wide) * rng.uniform(0.35, 0.65)
        base = rng.uniform(0.72, 0.93) if stands else 0.5 + 0.5 * scale * high / height
        top = max(0.03 * height, base * height - scale * high)
    move = np.array([[scale, 0, left], [0, scale, top]], dtype=np.float32)
    source = np.ascontiguousarray(np.dstack([rgb, alpha]))
    if scale < 0.7:  # else thin things would sparkle
        small = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        move = np.array(
            [[wide * scale / small.shape[1], 0, left], [0, high * scale / small.shape[0], top]],
            np.float32,
        )
        source = small
    out = cv2.warpAffine(source, move, (width, height), flags=cv2.INTER_LINEAR)
    return np.ascontiguousarray(out[..., :3]), out[..., 3].astype(np.float32) / np.float32(255)


def run_of(
    things: Things, size: tuple[int, int], held: bool, rng: np.random.Generator
) -> dict[str, Any]:
    """Plates of one run, stacked: what the encoder takes."""
    materials, chromas = materials_of(None), list(palettes().values())
    names, lights = sorted(materials.surfaces), list(LIGHTS)
    pair = rng.choice(len(names), 2, replace=False)
    run, rows = int(rng.integers(4)), []
    for _ in range(SILHOUETTES):
        stands = rng.random() > _LIES
        thing = things.one(stands, held, rng)
        rgb, mask = placed(thing, size, stands, rng)
        if not (mask >= 0.51).any():
            continue
        style = {
            "scene": str(rng.choice(_STANDING)) if stands else PLAINEST,
            "light": str(rng.choice(lights)),
        }
        if rng.random() < _SEASON:
            style["season"] = str(rng.choice(list(SEASONS)))
        state, pitch = int(rng.integers(2**31)), float(np.clip(rng.normal(14, 6), 5, 34))
        shared: dict[str, NDArray[np.float32]] = {}
        for which in pair:
            asked = style | {"surface": names[which]}
            a, b = chromas[int(rng.integers(len(chromas)))]
            near = rng.normal(0, 2.5, 2)  # any colour asked for is near one learned
            chroma = a + float(near[0]), b + float(near[1])
            same = np.random.default_rng(state)
            plan = made_plan(asked, chroma, mask, materials, same, cm=thing.cm, pitch=pitch)
            known = {field.name: getattr(plan, field.name) for field in fields(plan)}
            built = SceneSet(RunPlan(**known, run=run))
            if built._stage is not None:
                built._stage._lights = shared  # worked out once for the pair
            plate = plate_of(built.plan, asked, built, rgb, mask)
            rows.append(replace(plate, surface=names[which]))
    return {
        "size": size,
        "held": held,
        "rgb": np.stack([p.rgb for p in rows]),
        "product": np.stack([p.product for p in rows]),
        "mask": np.stack([np.round(p.mask * 255).astype(np.uint8) for p in rows]),
        "surface": np.array([1 + names.index(str(p.surface)) for p in rows]),
        "light": np.array([1 + lights.index(str(p.light)) for p in rows]),
        "scene": np.array([1 + list(SCENES).index(str(p.scene)) for p in rows]),
        "colour": np.stack([p.colour for p in rows]).astype(np.float32),
    }


def worker(pack: Path, number: int, seed: int, double: float, queue: Any, stop: Any) -> None:
    """Draw runs into a queue until told to stop."""
    cv2.setNumThreads(1)
    quickly()
    things, count = Things(pack), 0
    while not stop.is_set():
        rng = np.random.default_rng([seed, number, count])
        height, width = BUCKETS[int(rng.integers(len(BUCKETS)))]
        times, held = 2 if rng.random() < double else 1, number < HELD and count < len(BUCKETS)
        if held:
            (height, width), times = BUCKETS[count], 2 if number == HELD - 1 else 1
        count += 1
        try:
            made = run_of(things, (times * height, times * width), held, rng)
        except Exception as error:  # one run in thousands must not end a machine's hour
            print(f"worker {number} run {count - 1}: {error!r}", flush=True)
            continue
        while not stop.is_set():
            try:
                queue.put(made, timeout=1.0)
                break
            except Exception:  # full: the encoder is behind
                time.sleep(0.05)
    queue.cancel_join_thread()


def quickly() -> None:
    """Materials kept between plates and tinted anew, smaller lights: this process alone."""
    laying.pixels_of = functools.lru_cache(256)(laying.pixels_of.__wrapped__)
    laying._lab = functools.lru_cache(256)(laying._lab.__wrapped__)
    laying._sewn = functools.lru_cache(256)(laying._sewn.__wrapped__)
    laying._MOST_PIECES = 3
    standing._LIGHT_SIDE = _LIGHT_SIDE
    bake = laying._baked.__wrapped__

    @functools.lru_cache(96)
    def kept(*given: Any) -> list[Any]:
        return []  # of the first colour, whose levels and detail are then tinted

    def baked(
        folder: Path, tile: Any, colour: Any, toward: Any, quarter: bool, halvings: int,
        pieces: int, seed: int, pale: bool, any_way: bool,
    ) -> tuple[Any, NDArray[np.float32]]:  # fmt: skip
        lit = (0.0, 0.0)
        if tile.normal is not None:
            lit = tuple(round(v / _RELIEF) * _RELIEF for v in toward)
        first = kept(tile.file, lit, quarter, halvings, pieces, seed, pale, any_way)
        if not first:
            made = bake(folder, tile, colour, lit, quarter, halvings, pieces, seed, pale, any_way)
            first += [colour, *made]
        known, levels, detail = first
        return _Tinted(levels, _linear(colour) / np.maximum(_linear(known), 1e-3)), detail

    laying._baked = baked


def _linear(lab: tuple[float, ...]) -> NDArray[np.float32]:
    one = np.array([[lab]], dtype=np.float32)
    return np.clip(np.asarray(cv2.cvtColor(one, cv2.COLOR_LAB2LRGB))[0, 0], 0, 1)


class _Tinted:
    """Levels of another colour, each made when it is read."""

    def __init__(
        self, levels: tuple[NDArray[np.float32], ...], factor: NDArray[np.float32]
    ) -> None:
        self.levels, self.factor = levels, factor
        self.made: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        if i not in self.made:
            self.made[i] = np.minimum(self.levels[i] * self.factor.astype(np.float32), 1.0)
        return self.made[i]
