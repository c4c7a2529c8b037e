"""The judge of styles, taught on sets drawn around real silhouettes; some products are held out.

Style and picture are exact, for the sets are made: every surface in every palette that is not
forbidden, in every light, lying flat and standing in scenes, of many sizes. What a painter adds is
smooth light and colour; so two of three pictures get some of that, too.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm

from persona_img.errors import NotEnoughData
from persona_img.imaging.closeup import closeup_features
from persona_img.imaging.cutout import scaled
from persona_img.imaging.folder import list_photos
from persona_img.imaging.light import LIGHTS, to_srgb
from persona_img.imaging.photo import load_photo
from persona_img.scenery.build import SceneSet
from persona_img.scenery.materials import Materials, colour_asked, palettes, read_table
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import SCENES, fits
from persona_img.scenery.seasons import SEASONS
from persona_img.scenery.subject import Subject, Taken

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.domain.style import StyleSpace

ATTRIBUTES = ("surface", "palette", "light", "scene")
_FIFTH = 5  # one product in five is held out
_LEAST_PRODUCTS = 10
_UNITS, _DECAY, _EPOCHS = 96, 3.0, 60  # with less decay it is sure of what it never saw
_SIDES = (300, 760)  # long side of a canvas, pixels
_SHARE = (0.35, 0.8)  # of the canvas's side that the product takes
_CM = {"lying": (25, 110), "standing": (9, 45), "hanging": (40, 110), "worn": (120, 175)}
_PITCH = (5.0, 38.0)
_THICK = (1.0, 10.0)  # centimetres, most of them cloth
_USUAL, _SEASONAL = 0.8, 0.12  # how often it lies or stands, how often there is a season
_UNKNOWN = ""


@dataclass(frozen=True)
class JudgeSettings:
    """What the judge learns from.

    Attributes:
        products: Folder of cut-out products, pictures with transparency.
        styles: What is forbidden in it is not made.
        materials: Folder with a ``materials.toml``, whose surfaces are taught; None teaches the
            shipped ones.
        unseen: Such a folder of other pieces, to test on; None tests on those that were taught.
        made: Sets to learn from, each seen three times; a quarter as many are made to test on.
        seed: Of everything random here.
    """

    products: Path
    styles: StyleSpace
    materials: Path | None = None
    unseen: Path | None = None
    made: int = 1500
    seed: int = 7


def train_judge(settings: JudgeSettings, out: Path, *, workers: int = 2) -> dict[str, Any]:
    """Make pictures, fit one classifier for each attribute, write them to ``out``.

    Returns:
        ``accuracy`` by attribute on pictures of held-out products, and ``confused``: by attribute
        the pairs that are mistaken most, with their share.

    Raises:
        NotEnoughData: fewer than ten products.
    """
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
        taught, asked = labels[:, i] != _UNKNOWN, truths[:, i] != _UNKNOWN
        net = MLPClassifier((_UNITS,), alpha=_DECAY, max_iter=_EPOCHS, random_state=settings.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(known[taught], labels[taught, i])
        guessed = net.predict(new[asked])
        report["accuracy"][name] = float(accuracy_score(truths[asked, i], guessed))
        report["confused"][name] = _confused(truths[asked, i], guessed)
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
    worst = sorted(pairs.items(), key=lambda item: -item[1])[:12]
    return {name: round(count / len(truth), 4) for name, count in worst}


def _pictures(
    settings: JudgeSettings, count: int, held_out: bool, workers: int
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    features, labels = [], []
    _parts(settings, held_out)  # what is missing is said here, not by a worker that breaks
    with ProcessPoolExecutor(
        workers, get_context("spawn"), _load_parts, (settings, held_out)
    ) as pool:
        made = pool.map(_make_one, range(count), chunksize=8)
        for values, style in tqdm(made, total=count, desc="test" if held_out else "learn"):
            for one in values:
                if np.isfinite(one).all():
                    features.append(one)
                    labels.append(style)
    return np.stack(features), np.array(labels)


@dataclass(frozen=True)
class _Parts:
    settings: JudgeSettings
    held_out: bool
    products: list[Path]
    materials: Materials
    surfaces: list[str]


_PARTS: list[_Parts] = []


def _load_parts(settings: JudgeSettings, held_out: bool) -> None:
    cv2.setNumThreads(1)
    _PARTS[:] = [_parts(settings, held_out)]


def _parts(settings: JudgeSettings, held_out: bool) -> _Parts:
    every = list_photos(settings.products)
    products = [p for i, p in enumerate(every) if (i % _FIFTH == 0) == held_out]
    if len(every) < _LEAST_PRODUCTS:
        raise NotEnoughData(
            f"{settings.products}: {len(every)} cut-out products; a judge needs {_LEAST_PRODUCTS}"
        )
    folder = settings.unseen if held_out and settings.unseen is not None else settings.materials
    materials = Materials(folder)
    own = materials.surfaces if folder is None else read_table(folder)
    return _Parts(settings, held_out, products, materials, sorted(own))


def _make_one(index: int) -> tuple[list[NDArray[np.float32]], tuple[str, ...]]:
    parts = _PARTS[0]
    rng = np.random.default_rng([parts.settings.seed, index, parts.held_out])
    # Surfaces in turn: chance alone would teach some of them half as often as others.
    style = _style(parts, parts.surfaces[index % len(parts.surfaces)], rng)
    poses = [pose for pose in _CM if fits(style["scene"], pose)]
    pose = poses[0] if rng.random() < _USUAL else str(rng.choice(poses))
    product, alpha = _placed(parts.products[int(rng.integers(len(parts.products)))], rng)
    light = rng.normal(1, 0.02, 3)
    taken = Taken(
        float(rng.choice([-1, 0, 0, 1])),
        float(rng.uniform(0.72, 1.05)),
        tuple(light / light.mean()),
    )
    cm, pitch = float(rng.uniform(*_CM[pose])), float(rng.uniform(*_PITCH))
    low, high = np.log(_THICK)
    thick = min(float(np.exp(low + (high - low) * rng.random() ** 2)), 0.5 * cm)
    subject = Subject(alpha, pose, cm, pitch, taken, thick)
    colour = colour_asked(style, parts.materials)
    seed = int(rng.integers(2**31))
    built = SceneSet(Plan.of(subject, style, parts.materials, colour, style["surface"], seed))
    linear = built.mirrored(built.draw(*alpha.shape).linear, product, alpha)
    plate = to_srgb(linear * built.contact(alpha)[..., None]) * np.float32(255)
    mask = alpha.astype(np.float32)[..., None] / np.float32(255)
    plates = (plate, _painted(plate, rng), _painted(plate, rng))
    views = [_seen(one, product, mask, rng) for one in plates]
    told = built.plan.tells
    label = tuple(style[name] if name in told else _UNKNOWN for name in ATTRIBUTES)
    return [closeup_features(*view) for view in views], label


def _style(parts: _Parts, surface: str, rng: np.random.Generator) -> dict[str, str]:
    """Values drawn until nothing of them is forbidden."""
    flat, standing = [next(iter(SCENES))], [*SCENES][1:]
    while True:
        scenes = flat if rng.random() < 1 / 3 else standing
        style = {
            "surface": surface,
            "palette": str(rng.choice(list(palettes()))),
            "light": str(rng.choice(list(LIGHTS))),
            "scene": str(rng.choice(scenes)),
        }
        if not any(rule.items() <= style.items() for rule in parts.settings.styles.forbidden):
            if rng.random() < _SEASONAL:
                style["season"] = str(rng.choice(sorted(SEASONS)))
            return style


def _placed(path: Path, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A product on a canvas of some size, mirrored half of the time."""
    photo = load_photo(path)
    alpha = photo.alpha
    if alpha is None or not (alpha >= 128).any():
        raise NotEnoughData(f"{path}: no transparency; give cut-out products only")
    rows, columns = (np.flatnonzero((alpha >= 128).any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    rgb, alpha = photo.pixels[box], np.ascontiguousarray(alpha[box])
    if rng.random() < 0.5:
        rgb, alpha = rgb[:, ::-1], alpha[:, ::-1]
    longest = float(np.exp(rng.uniform(*np.log(_SIDES))))
    shape = rng.uniform(0.7, 1.0)
    height, width = (longest, longest * shape) if rng.random() < 0.7 else (longest * shape, longest)
    fit = rng.uniform(*_SHARE) * min(height / alpha.shape[0], width / alpha.shape[1])
    size = max(8, round(fit * alpha.shape[1])), max(8, round(fit * alpha.shape[0]))
    rgb, alpha = scaled(np.ascontiguousarray(rgb), np.ascontiguousarray(alpha), size)
    left = round(rng.uniform(0.35, 0.65) * (width - size[0]))
    top = round(rng.uniform(0.3, 0.9) * (height - size[1]))
    canvas = np.full((round(height), round(width), 3), 127, np.uint8)
    where = np.zeros(canvas.shape[:2], np.uint8)
    place = slice(top, top + size[1]), slice(left, left + size[0])
    canvas[place], where[place] = rgb, alpha
    return canvas, where


def _painted(plate: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth light and colour over it, as a painter adds."""
    height, width = plate.shape[:2]
    cells = int(rng.integers(2, 7))
    field = rng.normal(0, 1, (cells, cells, 1)) * rng.uniform(0, 0.06)
    field = field + rng.normal(0, 1, (cells, cells, 3)) * rng.uniform(0, 0.012)
    large = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(plate * np.exp(large), dtype=np.float32)


def _seen(
    plate: NDArray[np.float32],
    product: NDArray[np.uint8],
    mask: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The finished picture and its product: with grain, and half of the time smaller."""
    picture = plate + rng.normal(0, rng.uniform(0, 2.0), (*mask.shape[:2], 1)).astype(np.float32)
    picture = picture * (1 - mask) + product * mask
    shown = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    alpha = np.round(mask[..., 0] * 255).astype(np.uint8)
    if rng.random() < 0.5:
        scale = rng.uniform(0.65, 1.0)
        size = round(scale * alpha.shape[1]), round(scale * alpha.shape[0])
        shown, alpha = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (shown, alpha))
    return shown, alpha
