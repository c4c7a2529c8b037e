"""The judge of styles, taught on real tiles under real products; tiles and products are held out.

Which tile is which surface somebody said by looking (``surfaces.toml``); palette and light are
exact, for the plates are made.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.generator.learning.plates import load_surfaces, tile_plate
from persona_img.imaging.backdrop import backdrop_features
from persona_img.imaging.light import LIGHTS, contact_shadow

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.domain.style import Style, StyleSpace
    from persona_img.generator.learning.plates import Surface

_FOLDS = 5
_LEAST_PRODUCTS = 10
_UNITS = 64
ATTRIBUTES = ("surface", "palette", "light")


@dataclass(frozen=True)
class JudgeSettings:
    """What the judge learns from.

    Attributes:
        cut: Folder of cut-out products (``rgb``, ``alpha``), as train-generator keeps them.
        textures: Folder of material tile folders.
        surfaces: TOML of materials.
        styles: What may be asked for; only such pictures are made.
        palettes: Name to (a*, b*) offset.
        made: Pictures to learn from; a quarter as many are made to test on.
        fold: Which fifth of the tiles of each surface, and of the products, is held out, 0 to 4.
        seed: Of everything random here.
    """

    cut: Path
    textures: Path
    surfaces: Path
    styles: StyleSpace
    palettes: dict[str, tuple[float, float]]
    made: int = 6000
    fold: int = 0
    seed: int = 7


def train_judge(settings: JudgeSettings, out: Path, *, workers: int = 2) -> dict[str, Any]:
    """Make pictures, fit one classifier for each attribute, write them to ``out``.

    Returns:
        ``accuracy`` by attribute on pictures of held-out tiles and products, and ``confused``: by
        attribute the pairs that are mistaken most, with their share.

    Raises:
        NotEnoughData: fewer than ten products, or a surface with fewer than five tiles.
        InvalidInput: no such fold.
    """
    if not 0 <= settings.fold < _FOLDS:
        raise InvalidInput(f"fold {settings.fold}: there are 0 to {_FOLDS - 1}")
    features, labels = _pictures(settings, settings.made, False, workers)
    unseen, truths = _pictures(settings, settings.made // 4, True, workers)
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    table: dict[str, Any] = {
        "attributes": np.array(ATTRIBUTES),
        "mean": mean.astype(np.float32),
        "spread": spread.astype(np.float32),
    }
    report: dict[str, Any] = {"pictures": len(features), "unseen": len(unseen), "accuracy": {}}
    report["confused"] = {}
    known, new = (np.clip((x - mean) / spread, -6, 6) for x in (features, unseen))
    for i, name in enumerate(ATTRIBUTES):
        net = MLPClassifier(
            (_UNITS,), alpha=1e-2, max_iter=120, early_stopping=True, random_state=settings.seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(known, labels[:, i])
        guessed = net.predict(new)
        report["accuracy"][name] = float(accuracy_score(truths[:, i], guessed))
        report["confused"][name] = _confused(truths[:, i], guessed)
        out_weights, out_bias = net.coefs_[1], net.intercepts_[1]
        if len(net.classes_) == 2:  # scikit-learn keeps one logit then: the second's
            out_weights = np.column_stack([np.zeros_like(out_weights), out_weights])
            out_bias = np.array([0.0, *out_bias])
        parts = {
            "values": net.classes_.astype(str),
            "hidden": net.coefs_[0].astype(np.float32),
            "hidden_bias": net.intercepts_[0].astype(np.float32),
            "out": out_weights.astype(np.float32),
            "out_bias": out_bias.astype(np.float32),
        }
        table |= {f"{name}.{part}": value for part, value in parts.items()}
    partial = out.with_name(out.name + ".part")
    with partial.open("wb") as file:
        np.savez_compressed(file, **table)
    partial.replace(out)
    return report


def _confused(truth: NDArray[np.str_], guess: NDArray[np.str_]) -> dict[str, float]:
    pairs: dict[str, int] = {}
    for asked, got in zip(truth, guess, strict=True):
        if asked != got:
            pairs[f"{asked} taken for {got}"] = pairs.get(f"{asked} taken for {got}", 0) + 1
    worst = sorted(pairs.items(), key=lambda item: -item[1])[:4]
    return {name: round(count / len(truth), 4) for name, count in worst}


def _pictures(
    settings: JudgeSettings, count: int, held_out: bool, workers: int
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    features, labels = [], []
    _parts(settings, held_out)  # what is missing is said here, not by a worker that breaks
    with ProcessPoolExecutor(
        workers, get_context("spawn"), _load_parts, (settings, held_out)
    ) as pool:
        made = pool.map(_make_one, range(count), chunksize=16)
        for values, style in tqdm(made, total=count, desc="test" if held_out else "learn"):
            if np.isfinite(values).all():
                features.append(values)
                labels.append(style)
    return np.stack(features), np.array(labels)


@dataclass(frozen=True)
class _Parts:
    settings: JudgeSettings
    held_out: bool
    products: list[Path]
    surfaces: dict[str, Surface]
    asked: list[tuple[str, str, str]]


_PARTS: list[_Parts] = []


def _load_parts(settings: JudgeSettings, held_out: bool) -> None:
    cv2.setNumThreads(1)
    _PARTS[:] = [_parts(settings, held_out)]


def _parts(settings: JudgeSettings, held_out: bool) -> _Parts:
    every = [p for p in sorted(settings.cut.glob("*.npz")) if p.stat().st_size > 1024]
    fold = settings.fold
    products = [p for i, p in enumerate(every) if (i % _FOLDS == fold) == held_out]
    if len(every) < _LEAST_PRODUCTS:
        raise NotEnoughData(
            f"{settings.cut}: {len(every)} cut-out products; a judge needs {_LEAST_PRODUCTS}"
        )
    surfaces = {}
    for name, surface in load_surfaces(settings.surfaces, settings.textures).items():
        tiles = [t for i, t in enumerate(surface.tiles) if (i % _FOLDS == fold) == held_out]
        if len(surface.tiles) < _FOLDS:
            raise NotEnoughData(
                f"surface {name}: {len(surface.tiles)} tiles; a judge needs {_FOLDS}"
            )
        surfaces[name] = replace(surface, tiles=tuple(tiles))
    every_style = settings.styles.styles()[1:]
    asked = sorted({_asked(s) for s in every_style})
    return _Parts(settings, held_out, products, surfaces, asked)


def _make_one(index: int) -> tuple[NDArray[np.float32], tuple[str, str, str]]:
    parts = _PARTS[0]
    rng = np.random.default_rng([parts.settings.seed, index, parts.held_out])
    surface, palette, light = parts.asked[int(rng.integers(len(parts.asked)))]
    with np.load(parts.products[int(rng.integers(len(parts.products)))]) as one:
        rgb, alpha = one["rgb"], one["alpha"]
    rgb, alpha = _placed(rgb, alpha, rng)
    mask = alpha.astype(np.float32) / np.float32(255)
    plate = tile_plate(
        surface, parts.surfaces[surface], light, parts.settings.palettes[palette], (rgb, mask), rng
    )
    shade = contact_shadow(mask, LIGHTS[light])[..., None] ** rng.uniform(0, 1)
    picture = plate.rgb * shade * (1 - mask[..., None]) + rgb * mask[..., None]
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.1))
    picture = picture * rng.normal(1, 0.02) + rng.normal(0, rng.uniform(0, 2), (*mask.shape, 1))
    shown = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    return backdrop_features(shown, alpha), (surface, palette, light)


def _placed(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The product at another size, mirrored half of the time."""
    height, width = alpha.shape
    scale = rng.uniform(0.6, 1.05)
    move = np.array(
        [[scale, 0, (1 - scale) * width / 2], [0, scale, (1 - scale) * height / 2]], np.float32
    )
    rgb = cv2.warpAffine(rgb, move, (width, height), flags=cv2.INTER_AREA)
    alpha = cv2.warpAffine(alpha, move, (width, height), flags=cv2.INTER_AREA)
    if rng.random() < 0.5:
        rgb, alpha = rgb[:, ::-1], alpha[:, ::-1]
    return np.ascontiguousarray(rgb), np.ascontiguousarray(alpha)


def _asked(style: Style) -> tuple[str, str, str]:
    return style.values["surface"], style.values["palette"], style.values["light"]
