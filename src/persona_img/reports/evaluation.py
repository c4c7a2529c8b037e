"""What variants are worth, in figures: style, distance from real material, proof, defects, speed.

The judge is another than the gate's, the pieces of material that count as real are not those that
are shipped, the products were never trained on: what is measured here should not steer what is
shown.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from skimage.metrics import mean_squared_error, structural_similarity
from tqdm import tqdm

from persona_img.domain.style import Style
from persona_img.errors import NotEnoughData, RenderRejected
from persona_img.imaging.cutout import scaled
from persona_img.imaging.distance import backdrop_patches, sliced_wasserstein
from persona_img.imaging.frame import Frame
from persona_img.imaging.light import to_srgb
from persona_img.imaging.photo import Photo, pixel_digest
from persona_img.rendering.choice import chosen_for
from persona_img.rendering.framing import frame_of
from persona_img.rendering.proof.adherence import alike
from persona_img.rendering.proof.certificate import verify
from persona_img.scenery.build import SceneSet
from persona_img.scenery.materials import Materials, colour_asked, read_table
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import PLAINEST, tells
from persona_img.variants.store import write_variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.domain.style import StyleSpace
    from persona_img.rendering.base import Variant
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.rendering.renderer import BackdropRenderer

Patches = list[np.ndarray[Any, np.dtype[np.float32]]]
"""Of one picture, by octave."""
_PATCHES = 48
_CLOSE_LOOK = 8  # one in so many variants: similarity of pictures takes longer than the rest


@dataclass(frozen=True, eq=False)
class Asked:
    """A variant to make: of which photograph, in which style, with which seed."""

    photo: Photo
    style: Style
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """Photograph's digest, style and seed."""
        return self.photo.digest, self.style.key, self.seed

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


@dataclass(frozen=True, eq=False)
class Reference:
    """What one style looks like on real material of which nothing is shipped.

    Attributes:
        turns: Of two draws, patches at 256 px and at 1:1.
    """

    turns: tuple[tuple[Patches, Patches], tuple[Patches, Patches]]


def spread(
    photos: Sequence[Photo],
    space: StyleSpace,
    each: int,
    *,
    seed: int,
    renderer: BackdropRenderer | None = None,
) -> list[Asked]:
    """Styles for photographs: drawn, as unlike each other as can be, in scenes that they fit.

    Args:
        photos: Photographs.
        space: Of the styles.
        each: Styles for each photograph; fewer where the space has fewer that fit.
        seed: Of the draw and of the variants.
        renderer: Sees how a product stands; None believes what was told, and that the others lie.
    """
    asked: list[Asked] = []
    for i, photo in enumerate(photos):
        told = photo.about.pose or "lying"
        pose = told if renderer is None else renderer.stands(photo).pose
        for style in chosen_for(space, each, pose, [seed, i]):
            asked.append(Asked(photo, style, seed * 1000 + len(asked)))
    return asked


def evaluate_source(
    renderer: BackdropRenderer,
    asked: Sequence[Asked],
    judge: StyleJudge,
    real: Mapping[tuple[str, str, int], Reference],
    *,
    keep: Path | None = None,
) -> tuple[dict[str, Any], list[Shown]]:
    """Figures of one source of backdrops.

    Args:
        renderer: Renders from it.
        asked: What to make, photographs one after the other.
        judge: Of styles; another than the renderer's own.
        real: What :func:`references` made of the same.
        keep: Folder for the shown variants' files, at their own size, each named by the first 16
            digits of its :attr:`Shown.digest`; made if it is not there. None keeps none.

    Returns:
        What was shown, and: ``asked``; ``shown``, share of them that passed the gate;
        ``fell_back``, share of the shown that another source painted; ``adherence``, share of
        attributes of the shown that the judge recognises (a value of the same family counts), also
        by attribute; ``distance``, sliced Wasserstein distance from sets of real material that is
        not shipped, of the same products and styles, seen at 256 px, and ``distance_full`` the same
        at 1:1, each with its ``_floor``, of two such sets from each other, and ``compared``, of how
        many shown variants; ``sharpness``, how fine the backdrop is beside the product, median, and
        ``soft``, share of the asked that the gate refused for it; ``copies`` of training pictures
        and the largest correlation with one, ``nearest``; ``changed``, product pixels that differ
        from the photographs; ``verified``, share whose files pass verification; ``edge_psnr`` (dB,
        of the mean error) and ``edge_ssim`` of the product with its edge; ``seconds`` for each
        variant; ``refused``, counts by reason; ``scenes``, the figures that have a meaning there by
        scene.

    Raises:
        NotEnoughData: nothing was shown.
    """
    shown: list[Shown] = []
    rows: list[_Row] = []
    edges, nearest, changed, verified = [], [], 0, 0
    reasons: dict[str, int] = {}
    soft: dict[str, int] = {}

    def refused(style: Style, error: RenderRejected) -> None:
        text = str(error).split("passed the gate: ")[-1].split(" (")[0]
        reasons[text] = reasons.get(text, 0) + 1
        soft[scene_in(style)] = soft.get(scene_in(style), 0) + ("(sharpness " in str(error))

    started, aside = time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(passing) if keep is None else keep
        for photo, jobs in tqdm(_by_photo(asked), desc=renderer.backdrops.name):
            styles, seeds = [a.style for a in jobs], [a.seed for a in jobs]
            waiting = {(a.style.key, a.seed): a for a in jobs}
            for variant in renderer.render_many(photo, styles, seeds, on_rejected=refused):
                pause = time.perf_counter()
                one = waiting[variant.style.key, variant.seed]
                rows.append(_row(variant, judge, real.get(one.key)))
                if len(shown) % _CLOSE_LOOK == 0:
                    edges.append(_edge(variant, photo))
                nearest.append(variant.gate.scores["copy"])
                changed += variant.certificate.core_changed + variant.certificate.core_outside
                digest = pixel_digest(variant.pixels)
                files = write_variant(variant, folder, digest[:16])
                verified += verify(files["variant"], photo).passed
                source = str(variant.certificate.recipe["backdrops"])
                shown.append(Shown(one, digest, source, _small(variant.pixels)))
                aside += time.perf_counter() - pause
    if not shown:
        raise NotEnoughData(f"{renderer.backdrops.name}: none of {len(asked)} variants was shown")
    seconds = (time.perf_counter() - started - aside) / len(asked)
    scenes = {
        name: _figures([a for a in asked if scene_in(a.style) == name],
                       [r for r in rows if r.scene == name], soft.get(name, 0))
        for name in dict.fromkeys(scene_in(a.style) for a in asked)
    }  # fmt: skip
    return {
        **_figures(asked, rows, sum(soft.values())),
        "fell_back": sum(s.source != renderer.backdrops.name for s in shown) / len(shown),
        "copies": int((np.array(nearest) > 0.95).sum()),
        "nearest": float(np.max(nearest)),
        "changed": changed,
        "verified": verified / len(shown),
        "edge_psnr": _psnr(float(np.mean([error for error, _ in edges]))),
        "edge_ssim": float(np.mean([ssim for _, ssim in edges])),
        "seconds": seconds,
        "refused": dict(sorted(reasons.items(), key=lambda item: -item[1])),
        "scenes": scenes,
    }, shown


@dataclass(frozen=True, eq=False)
class _Row:
    """What counts of one shown variant."""

    scene: str
    right: Mapping[str, bool]
    sharpness: float | None
    patches: tuple[Patches, Patches]
    real: Reference | None


def _row(variant: Variant, judge: StyleJudge, real: Reference | None) -> _Row:
    scene, values = scene_in(variant.style), {"scene": PLAINEST} | dict(variant.style.values)
    told = tells(scene, str(variant.certificate.recipe["rests"]))
    right = {
        name: alike(name, values[name], value)
        for name, value in judge.recognised(variant.pixels, variant.alpha).items()
        # Of what it was not taught it can say nothing.
        if name in told and values.get(name) in judge.values(name)
    }
    return _Row(
        scene,
        right,
        variant.gate.scores.get("sharpness"),
        _patches(variant.pixels, variant.alpha, [variant.seed, 5]),
        real if "surface" in told else None,
    )


def _figures(asked: Sequence[Asked], rows: Sequence[_Row], soft: int) -> dict[str, Any]:
    """Figures that have a meaning for any part of what was asked."""
    every = [x for row in rows for x in row.right.values()]
    names = list(dict.fromkeys(name for row in rows for name in row.right))
    by_name = {n: [row.right[n] for row in rows if n in row.right] for n in names}
    sharp = [row.sharpness for row in rows if row.sharpness is not None]
    compared = [(row.patches, row.real) for row in rows if row.real is not None]
    found: dict[str, Any] = {
        "asked": len(asked),
        "shown": len(rows) / len(asked),
        "adherence": float(np.mean(every)) if every else float("nan"),
        **{f"adherence_{name}": float(np.mean(values)) for name, values in by_name.items()},
        "sharpness": float(np.median(sharp)) if sharp else float("nan"),
        "soft": soft / len(asked),
        "compared": len(compared),
    }
    for at, name in enumerate(("distance", "distance_full")):
        here = [ours[at] for ours, _ in compared]
        one, two = ([real.turns[turn][at] for _, real in compared] for turn in (0, 1))
        found[name] = _distance(here, one)
        found[f"{name}_floor"] = _distance(two, one)
    return found


def _distance(these: list[Patches], those: list[Patches]) -> float:
    """NaN where there is nothing to compare."""
    try:
        return sliced_wasserstein(these, those)
    except NotEnoughData:
        return float("nan")


def _patches(
    pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], seeds: list[int]
) -> tuple[Patches, Patches]:
    """Patches at 256 px and at 1:1."""
    rng = np.random.default_rng(seeds)
    small = backdrop_patches(pixels, alpha, _PATCHES, rng)
    return small, backdrop_patches(pixels, alpha, _PATCHES, rng, side=None)


def scene_in(style: Style) -> str:
    """The scene that a style asks for, named or not."""
    return style.values.get("scene", PLAINEST)


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
    for one in spread(photos, space, each, seed=3, renderer=renderer):
        for variant in renderer.render_many(
            one.photo, [one.style], [one.seed], on_rejected=_ignore
        ):
            found.append((variant.pixels, variant.alpha))
    return found


def no_defect_rate(labels: Path, shown: Sequence[Shown]) -> dict[str, Any]:
    """What people who looked at the shown variants found.

    Args:
        labels: CSV with ``product``, ``style``, ``digest`` and ``defect``: empty, or a class.
            ``backdrop``, ``believable`` or what is wrong with it, and ``named``, the style somebody
            saw before reading what was asked for (``light=side,scene=podium``), may be there.
        shown: What is shown now.

    Returns:
        ``looked_at``, variants with a label for these very pixels; ``no_defect``, share of those
        without one, NaN where nobody looked; ``changed``, labels whose picture is another now;
        ``defects`` by class; ``believable``, share of the backdrops that were judged, NaN for none;
        ``named``, share of named values that were asked for, by attribute.
    """
    now = {(s.asked.product, s.asked.style.key): s for s in shown}
    with labels.open(newline="", encoding="utf-8") as lines:
        rows = [r for r in csv.DictReader(lines) if (r["product"], r["style"]) in now]
    same = [r for r in rows if now[r["product"], r["style"]].digest == r["digest"]]
    defects = Counter(r["defect"] for r in same if r["defect"])
    judged = [r["backdrop"] == "believable" for r in same if r.get("backdrop")]
    named: dict[str, list[bool]] = {}
    for row in same:
        if not row.get("named"):
            continue
        asked = {"scene": PLAINEST} | dict(now[row["product"], row["style"]].asked.style.values)
        for name, value in Style.read(row["named"]).values.items():
            named.setdefault(name, []).append(alike(name, asked.get(name, ""), value))
    return {
        "looked_at": len(same),
        "no_defect": 1 - defects.total() / len(same) if same else float("nan"),
        "changed": len(rows) - len(same),
        "defects": dict(defects),
        "believable": float(np.mean(judged)) if judged else float("nan"),
        "named": {name: float(np.mean(right)) for name, right in sorted(named.items())},
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
    asked: Sequence[Asked], renderer: BackdropRenderer, materials: Path
) -> dict[tuple[str, str, int], Reference]:
    """The same products on other pieces of the same surfaces, by :attr:`Asked.key`.

    They are laid by the camera, in the light and in the colour of the variants.

    Args:
        asked: What is to be compared.
        renderer: Cuts the products out, and knows how they stand.
        materials: Folder with a ``materials.toml`` of pieces that no source paints with. A style of
            another surface has no reference.

    Raises:
        NotEnoughData: no surface that was asked for is there.
    """
    there, own = Materials(materials), read_table(materials)
    wanted = [a for a in asked if a.style.values["surface"] in own]
    if not wanted:
        names = ", ".join(sorted({a.style.values["surface"] for a in asked}))
        raise NotEnoughData(f"{materials}: none of {names}; give a folder with pieces of them")
    found = {}
    for photo, jobs in tqdm(_by_photo(wanted), desc="real material"):
        cut, stands = renderer.mask(photo), renderer.stands(photo)
        for one in jobs:
            style = one.style.values
            frame = frame_of(cut.alpha, style.get("framing", "centred"))
            alpha = frame.place(cut.alpha, 0)
            subject = stands.subject(alpha)
            colour, surface = colour_asked(style, there), style["surface"]
            turns = []
            for turn in (0, 1):
                plan = Plan.of(subject, style, there, colour, surface, 2 * one.seed + turn)
                built = SceneSet(plan)
                linear = built.draw(*alpha.shape).linear * built.contact(alpha)[..., None]
                pixels = np.round(to_srgb(linear) * 255).astype(np.uint8)
                turns.append(_patches(pixels, alpha, [one.seed, 9, turn]))
            found[one.key] = Reference((turns[0], turns[1]))
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
