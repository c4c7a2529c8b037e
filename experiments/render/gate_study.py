"""How well each rule of the gate tells defects apart, and where its threshold should lie.

Run ``python experiments/render/gate_study.py``; it takes a few minutes. The good examples are sets
as they are drawn around products in styles that fit them. The bad ones are such sets with a defect
put in on purpose, of a random size, so that their class is certain. Writes ``gate.csv``.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from persona_img import wiring
from persona_img.assets import ASSETS
from persona_img.imaging.colour import from_lab, to_lab
from persona_img.imaging.folder import list_photos
from persona_img.imaging.grain import grain_of
from persona_img.imaging.light import to_srgb
from persona_img.imaging.matting import product_of
from persona_img.imaging.photo import load_photo
from persona_img.rendering.compose import Placed, compose
from persona_img.rendering.enhance import grained
from persona_img.rendering.framing import frame_of
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.proof.gate import (
    RULES,
    judge,
    picture_scores,
    plate_scores,
    sharpness_scores,
)
from persona_img.rendering.proof.measure import Look, compare_product
from persona_img.rendering.sources.tiles import LibraryBackdrops
from persona_img.reports.evaluation import Asked, spread
from persona_img.scenery.build import SceneSet
from persona_img.scenery.materials import materials_of
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import SCENES, fits
from persona_img.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from persona_img.domain.style import Style
    from persona_img.rendering.renderer import BackdropRenderer
    from persona_img.scenery.subject import Subject

HERE = Path(__file__).parent
GOOD, EACH = 150, 25
SOFT = 3  # a set drawn at a third and enlarged: what the eye calls soft
CAUGHT_BY = {
    "product changed": "core_changed",
    "silhouette grown": "silhouette_growth",
    "floating": "grounding",
    "hovering": "grounding",
    "indistinct": "distinct",
    "halo": "rim",
    "blank": "plate_spread",
    "noise": "plate_noise",
    "blotched": "plate_mottle",
    "wrong colour": "colour_error",
    "soft": "sharpness",
    "off style": "adherence",
}
JUDGE = StyleJudge()


class Laid:
    """A product on its canvas, and the set that its style asks for."""

    def __init__(self, renderer: BackdropRenderer, one: Asked, seed: int) -> None:
        self.one, self.photo, self.style = one, one.photo, one.style
        self.rng = np.random.default_rng(seed)
        self.source, self.seed = LibraryBackdrops(), seed
        self.cut, self.stands = renderer.mask(one.photo), renderer.stands(one.photo)
        self.frame = frame_of(self.cut.alpha, one.style.values["framing"])
        self.placed = self.on_canvas(self.cut.alpha)
        self.subject = self.stands.subject(self.placed.alpha)
        self.built = self.around(self.subject)

    def on_canvas(self, alpha: NDArray[np.uint8]) -> Placed:
        """The photograph cut along another mask."""
        return Placed.of(self.frame, self.photo.pixels, alpha, product_of(self.photo, alpha))

    def around(self, subject: Subject) -> SceneSet:
        """The set of the style around a product."""
        values = self.style.values
        colour, surface = self.source.colour(values), values["surface"]
        return SceneSet(Plan.of(subject, values, materials_of(None), colour, surface, self.seed))

    @cached_property
    def small(self) -> NDArray[np.float32]:
        """The set at a plate's size, float32 sRGB 0..1."""
        return self.built.draw(*self.source.size(*self.placed.alpha.shape)).srgb

    def large(self, small: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """The set at the canvas's size, with what a painter would have added on a plate."""
        drawn = self.built.draw(*self.placed.alpha.shape).srgb
        if small is None:
            return drawn
        size = drawn.shape[1], drawn.shape[0]
        added = cv2.resize(small - self.small, size, interpolation=cv2.INTER_CUBIC)
        return np.clip(drawn + added, 0, 1).astype(np.float32)

    def scores(
        self,
        small: NDArray[np.float32] | None = None,
        large: NDArray[np.float32] | None = None,
        *,
        pixels: NDArray[np.uint8] | None = None,
        placed: Placed | None = None,
        alpha: NDArray[np.uint8] | None = None,
        style: Style | None = None,
        contact: bool = True,
    ) -> dict[str, float]:
        """What the gate would measure."""
        placed = self.placed if placed is None else placed
        alpha = self.cut.alpha if alpha is None else alpha
        if pixels is None:
            picture = self.large(small) if large is None else large
            grain = 0.0 if self.photo.cut_out else grain_of(self.photo.pixels)
            picture = grained(picture, grain, self.seed)
            dark = self.built.contact(placed.alpha) if contact else None
            pixels = compose(picture, placed, dark)
        look, rests = Look(pixels, placed.alpha), self.built.plan.rests
        product = compare_product(pixels, self.photo.pixels, alpha, self.frame, look)
        found = picture_scores(look, placed, product, 1.0, rests, cut_out=self.photo.cut_out)
        plate = self.small if small is None else small
        area = self.built.area(*self.small.shape[:2])
        found |= plate_scores(plate, self.small, self.built.expected, area, None)
        found |= sharpness_scores(pixels, placed.alpha, self.built)
        asked = (self.style if style is None else style).values
        seen = {n: asked[n] for n in self.built.plan.tells if n in asked}
        adherence = JUDGE.adherence(pixels, placed.alpha, seen)
        return found | ({} if adherence is None else {"adherence": adherence})


def good(laid: Laid, other: Style) -> dict[str, float]:
    """Nothing is wrong with it."""
    return laid.scores()


def changed(laid: Laid, other: Style) -> dict[str, float]:
    """One pixel of the product is another."""
    pixels = compose(laid.large(), laid.placed, laid.built.contact(laid.placed.alpha))
    core = np.argwhere(laid.placed.alpha == 255)
    y, x = core[laid.rng.integers(len(core))]
    pixels[y, x, 0] ^= 1
    return laid.scores(pixels=pixels)


def grown(laid: Laid, other: Style) -> dict[str, float]:
    """The backdrop goes on with the product to one side."""
    short = min(laid.placed.alpha.shape)
    angle, far = laid.rng.uniform(0, 2 * np.pi), laid.rng.uniform(0.02, 0.04) * short
    move = np.array([[1, 0, far * np.cos(angle)], [0, 1, far * np.sin(angle)]], np.float32)
    size = (laid.frame.width, laid.frame.height)
    alpha = cv2.warpAffine(laid.placed.alpha, move, size)
    product = cv2.warpAffine(laid.placed.product, move, size, borderMode=cv2.BORDER_REPLICATE)
    share = alpha.astype(np.float32)[..., None] / 255
    plate = laid.large() * (1 - share) + product.astype(np.float32) / 255 * share
    return laid.scores(large=plate.astype(np.float32))


def floating(laid: Laid, other: Style) -> dict[str, float]:
    """No shadow falls on the backdrop: the set is drawn around a speck in its corner."""
    alpha = np.zeros_like(laid.placed.alpha)
    alpha[-3:-1, :2] = 255
    speck = replace(laid.subject, alpha=alpha, cm=2 / laid.subject.per_cm)
    plate = laid.around(speck).draw(*alpha.shape).srgb
    return laid.scores(large=plate, contact=False)


def hovering(laid: Laid, other: Style) -> dict[str, float]:
    """What stands does so 6 to 12 % of its height above its shadow."""
    top, _, bottom, _ = laid.subject.box
    lower = max(3, round(laid.rng.uniform(0.06, 0.12) * (bottom - top)))
    alpha = np.roll(laid.placed.alpha, lower, axis=0)
    alpha[:lower] = 0
    plate = laid.around(replace(laid.subject, alpha=alpha)).draw(*alpha.shape).srgb
    return laid.scores(large=plate, contact=False)


def indistinct(laid: Laid, other: Style) -> dict[str, float]:
    """The backdrop has the product's own colour, and no shadow tells them apart."""
    lab = to_lab(laid.placed.product)
    own = np.median(lab[laid.placed.alpha == 255], axis=0) + laid.rng.normal(0, 1, 3)
    large, mean = to_lab(laid.large()), to_lab(laid.small).reshape(-1, 3).mean(axis=0)
    small = to_lab(laid.small) + (own - mean)
    plate = from_lab((large + (own - mean)).astype(np.float32))
    return laid.scores(from_lab(small.astype(np.float32)), plate, contact=False)


def halo(laid: Laid, other: Style) -> dict[str, float]:
    """The mask is too wide by 0.8 to 2 % of the short side."""
    reach = max(2, round(laid.rng.uniform(0.008, 0.02) * min(laid.cut.alpha.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wide = np.asarray(cv2.dilate(laid.cut.alpha, kernel), dtype=np.uint8)
    return laid.scores(placed=laid.on_canvas(wide), alpha=wide)


def blank(laid: Laid, other: Style) -> dict[str, float]:
    """One colour, or nearly."""
    mean = laid.small.mean(axis=(0, 1))
    plate = mean + laid.rng.normal(0, 0.0005, laid.small.shape)
    return laid.scores(np.clip(plate, 0, 1).astype(np.float32))


def noise(laid: Laid, other: Style) -> dict[str, float]:
    """What an untrained network paints."""
    grain = laid.rng.normal(0, laid.rng.uniform(0.08, 0.3), laid.small.shape)
    return laid.scores(np.clip(laid.small + grain, 0, 1).astype(np.float32))


def blotched(laid: Laid, other: Style) -> dict[str, float]:
    """Clouds of other hues."""
    clouds = laid.rng.normal(0, 1, laid.small.shape).astype(np.float32)
    clouds = cv2.GaussianBlur(clouds, (0, 0), float(laid.rng.uniform(6, 16)))
    clouds[..., 0] = 0
    lab = to_lab(laid.small) + clouds / clouds[..., 1:].std() * laid.rng.uniform(2.5, 7)
    return laid.scores(from_lab(lab.astype(np.float32)))


def wrong_colour(laid: Laid, other: Style) -> dict[str, float]:
    """A shift of 12 to 30 in some direction of Lab."""
    turn = laid.rng.normal(0, 1, 3)
    shift = turn / np.linalg.norm(turn) * laid.rng.uniform(12, 30)
    return laid.scores(from_lab((to_lab(laid.small) + shift).astype(np.float32)))


def soft(laid: Laid, other: Style) -> dict[str, float]:
    """The set is drawn at a third of the canvas and enlarged, as every plate once was."""
    height, width = laid.placed.alpha.shape
    drawn = laid.built.draw(max(1, height // SOFT), max(1, width // SOFT)).linear
    plate = to_srgb(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_CUBIC))
    return laid.scores(large=np.clip(plate, 0, 1).astype(np.float32))


def off_style(laid: Laid, other: Style) -> dict[str, float]:
    """Another style was asked for."""
    return laid.scores(style=other)


DEFECTS: dict[str, Callable[[Laid, Style], dict[str, float]]] = {
    "product changed": changed,
    "silhouette grown": grown,
    "floating": floating,
    "hovering": hovering,
    "indistinct": indistinct,
    "halo": halo,
    "blank": blank,
    "noise": noise,
    "blotched": blotched,
    "wrong colour": wrong_colour,
    "soft": soft,
    "off style": off_style,
}


def main() -> None:
    """Measure, print, write."""
    settings = Settings.load(render={"backdrops": "library"})
    renderer, space = wiring.renderer(settings), wiring.style_space(settings)
    photos = []
    for path in list_photos(ASSETS / "catalog" / "photos")[:24]:
        photo = load_photo(path)
        cut = renderer.mask(photo)
        if cut.trusted:  # with its mask it is cut once, not once for each of its variants
            photos.append(photo.with_alpha(cut.alpha))
    photos += [load_photo(path) for path in sorted((HERE / "products").glob("*.png"))]
    asked = spread(photos, space, 8, seed=7, renderer=renderer)
    rng = np.random.default_rng(1)
    rows: list[tuple[str, dict[str, float]]] = []
    for name, make in {"good": good, **DEFECTS}.items():
        fitting = [one for one in asked if _can_have(name, one, renderer)]
        for k in track(range(GOOD if name == "good" else EACH), name):
            one = fitting[int(rng.integers(len(fitting)))]
            others = [
                s for s in space.styles()[1:]
                if s.values["surface"] != one.style.values["surface"]
                and s.values["light"] != one.style.values["light"]
                and s.values["scene"] == one.style.values["scene"]
            ]  # fmt: skip
            other = others[int(rng.integers(len(others)))]
            rows.append((name, make(Laid(renderer, one, 100 + k), other)))
    _write(rows)
    _print(rows)
    _print_viewpoint(renderer, asked)


def _can_have(defect: str, one: Asked, renderer: BackdropRenderer) -> bool:
    """Whether a variant can have that defect."""
    if defect == "halo":
        return not one.photo.cut_out  # a cut-out has no old backdrop to keep
    if defect == "hovering":
        return renderer.stands(one.photo).pose == "standing"
    return True


def _write(rows: list[tuple[str, dict[str, float]]]) -> None:
    scores = [rule.score for rule in RULES]
    with (HERE / "gate.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["class", *scores])
        for name, values in rows:
            table.writerow([name, *(f"{values[s]:.5g}" if s in values else "" for s in scores)])


def _print(rows: list[tuple[str, dict[str, float]]]) -> None:
    rules = {rule.score: rule for rule in RULES}
    fine = [values for name, values in rows if name == "good"]
    table = Table(title=f"{len(fine)} good variants, {EACH} of each defect")
    for head in ("defect", "rule", "threshold", "recall", "precision", "any rule", "good", "bad"):
        table.add_column(head)
    for name, score in CAUGHT_BY.items():
        rule = rules[score]
        bad = [values for label, values in rows if label == name]
        caught = sum(not rule.passes(values) for values in bad)
        wrong = sum(not rule.passes(values) for values in fine)
        anyhow = np.mean([not judge(values).passed for values in bad])
        bound = f">= {rule.least:g}" if np.isfinite(rule.least) else f"<= {rule.most:g}"
        precision = caught / (caught + wrong) if caught + wrong else float("nan")
        ranges = [
            "{:.3g}..{:.3g}".format(
                *np.quantile([v[score] for v in vs if score in v] or [np.nan], (0.02, 0.98))
            )
            for vs in (fine, bad)
        ]
        cells = (f"{caught / len(bad):.2f}", f"{precision:.2f}", f"{anyhow:.2f}", *ranges)
        table.add_row(name, score, bound, *cells)
    console = Console(highlight=False)
    console.print(table)
    passing = np.mean([judge(values).passed for values in fine])
    console.print(f"good variants that pass every rule: {passing:.3f}")
    for rule in RULES:
        failed = np.mean([not rule.passes(values) for values in fine])
        if failed:
            console.print(f"  refused by {rule.score}: {failed:.3f}")


def _print_viewpoint(renderer: BackdropRenderer, asked: list[Asked]) -> None:
    """A scene seen from elsewhere is refused by the product's pose, before anything is painted."""
    wrong = caught = 0
    for photo in {one.photo.digest: one.photo for one in asked}.values():
        flat = not photo.cut_out  # the catalogue's clothes lie; the cut-outs are told by looking
        if flat:
            scenes = [name for name in SCENES if SCENES[name].poses == ("standing",)]
            pose = renderer.stands(photo).pose
            wrong += len(scenes)
            caught += sum(not fits(name, pose) for name in scenes)
    Console(highlight=False).print(
        f"wrong viewpoint: {caught} of {wrong} scenes for what stands, asked of clothes that lie, "
        "are refused by their pose"
    )


if __name__ == "__main__":
    main()
