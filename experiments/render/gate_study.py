"""How well each rule of the gate tells defects apart, and where its threshold should lie.

Run ``python experiments/render/gate_study.py``; it takes a few minutes. The good examples are
variants that people looked at and found nothing wrong with (``labels.csv``). The bad ones are
variants of the same products with a defect put in on purpose, of a random size, so that their class
is certain; what people did find wrong is listed below them. Writes ``gate.csv``.
"""

from __future__ import annotations

import csv
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
from persona_img.imaging.matting import composite, product_of
from persona_img.imaging.photo import Photo, load_photo
from persona_img.rendering.compose import Placed, compose
from persona_img.rendering.framing import frame_of
from persona_img.rendering.proof.adherence import StyleJudge
from persona_img.rendering.proof.gate import RULES, judge, picture_scores, plate_scores
from persona_img.rendering.proof.measure import Look, compare_product
from persona_img.rendering.sources.tiles import LibraryBackdrops
from persona_img.rendering.tone import Lighting, light_of
from persona_img.reports.evaluation import spread
from persona_img.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from persona_img.domain.style import Style

HERE = Path(__file__).parent
EACH = 25
CAUGHT_BY = {
    "product changed": "core_changed",
    "silhouette grown": "silhouette_growth",
    "floating": "grounding",
    "indistinct": "distinct",
    "halo": "rim",
    "blank": "plate_spread",
    "noise": "plate_noise",
    "blotched": "plate_mottle",
    "wrong colour": "colour_error",
    "off style": "adherence",
}


class Scene:
    """A product on its canvas with a real sheet of material under it."""

    def __init__(self, photo: Photo, alpha: NDArray[np.uint8], style: Style, seed: int) -> None:
        self.photo, self.alpha, self.style = photo, alpha, style
        self.rng = np.random.default_rng(seed)
        self.source = LibraryBackdrops()
        self.light = light_of(style.values["light"])
        self.frame = frame_of(alpha, style.values["framing"])
        self.placed = self.on_canvas(alpha)
        self.size = self.source.size(self.frame.height, self.frame.width)
        self.mask = self.small(self.placed.alpha)
        product = np.zeros((*self.size, 3), np.uint8)
        self.plate = self.source.plates(product, self.mask, [style.values], [seed])[0]

    def on_canvas(self, alpha: NDArray[np.uint8]) -> Placed:
        """The photograph cut along another mask."""
        return Placed.of(self.frame, self.photo.pixels, alpha, product_of(self.photo, alpha))

    def small(self, alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A mask at the plate's size."""
        size = (self.size[1], self.size[0])
        small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.float32) / 255

    def large(self, plate: NDArray[np.float32]) -> NDArray[np.float32]:
        """A plate at the canvas's size."""
        size = (self.frame.width, self.frame.height)
        return np.asarray(cv2.resize(plate, size, interpolation=cv2.INTER_CUBIC).clip(0, 1))

    def scores(
        self,
        plate: NDArray[np.float32],
        pixels: NDArray[np.uint8] | None = None,
        placed: Placed | None = None,
        alpha: NDArray[np.uint8] | None = None,
        style: Style | None = None,
    ) -> dict[str, float]:
        """What the gate would measure."""
        placed = self.placed if placed is None else placed
        alpha = self.alpha if alpha is None else alpha
        asked = self.style if style is None else style
        if pixels is None:
            pixels = compose(self.large(plate), placed, self.light)
        look = Look(pixels, placed.alpha)
        product = compare_product(pixels, self.photo.pixels, alpha, self.frame, look)
        cut_out = self.photo.cut_out
        found = picture_scores(look, placed, product, 1.0, cut_out=cut_out)
        colour = self.source.colour(self.style.values)
        found |= plate_scores(plate, colour, Lighting(self.mask, self.light), None)
        seen = {n: asked.values[n] for n in self.source.shows}
        adherence = StyleJudge().adherence(pixels, placed.alpha, seen)
        return found | ({} if adherence is None else {"adherence": adherence})


def changed(scene: Scene, other: Style) -> dict[str, float]:
    """One pixel of the product is another."""
    pixels = compose(scene.large(scene.plate), scene.placed, scene.light)
    core = np.argwhere(scene.placed.alpha == 255)
    y, x = core[scene.rng.integers(len(core))]
    pixels[y, x, 0] ^= 1
    return scene.scores(scene.plate, pixels)


def grown(scene: Scene, other: Style) -> dict[str, float]:
    """The backdrop goes on with the product to one side."""
    short = min(scene.placed.alpha.shape)
    angle, far = scene.rng.uniform(0, 2 * np.pi), scene.rng.uniform(0.02, 0.04) * short
    move = np.array([[1, 0, far * np.cos(angle)], [0, 1, far * np.sin(angle)]], np.float32)
    size = (scene.frame.width, scene.frame.height)
    alpha = cv2.warpAffine(scene.placed.alpha, move, size)
    product = cv2.warpAffine(scene.placed.product, move, size, borderMode=cv2.BORDER_REPLICATE)
    plate = scene.large(scene.plate)
    share = alpha.astype(np.float32)[..., None] / 255
    plate = (plate * (1 - share) + product.astype(np.float32) / 255 * share).astype(np.float32)
    return scene.scores(scene.plate, compose(plate, scene.placed, scene.light))


def floating(scene: Scene, other: Style) -> dict[str, float]:
    """No shadow falls on the backdrop."""
    nothing = np.zeros(scene.size, np.float32)
    product = np.zeros((*scene.size, 3), np.uint8)
    plate = scene.source.plates(product, nothing, [scene.style.values], [1])[0]
    p = scene.placed
    return scene.scores(plate, composite(scene.large(plate), p.photo, p.alpha, p.product))


def indistinct(scene: Scene, other: Style) -> dict[str, float]:
    """The backdrop has the product's own colour."""
    lab = to_lab(scene.placed.product)
    own = np.median(lab[scene.placed.alpha == 255], axis=0)
    sheet = to_lab(scene.plate)
    sheet += own + scene.rng.normal(0, 1, 3) - sheet.reshape(-1, 3).mean(axis=0)
    plate = from_lab(sheet.astype(np.float32))
    p = scene.placed
    return scene.scores(plate, composite(scene.large(plate), p.photo, p.alpha, p.product))


def halo(scene: Scene, other: Style) -> dict[str, float]:
    """The mask is too wide by 0.8 to 2 % of the short side."""
    reach = max(2, round(scene.rng.uniform(0.008, 0.02) * min(scene.alpha.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wide = np.asarray(cv2.dilate(scene.alpha, kernel), dtype=np.uint8)
    return scene.scores(scene.plate, placed=scene.on_canvas(wide), alpha=wide)


def blank(scene: Scene, other: Style) -> dict[str, float]:
    """One colour, or nearly."""
    mean = scene.plate.mean(axis=(0, 1))
    noise = scene.rng.normal(0, 0.0005, scene.plate.shape)
    plate = np.clip(mean + noise, 0, 1).astype(np.float32)
    return scene.scores(plate)


def noise(scene: Scene, other: Style) -> dict[str, float]:
    """What an untrained network paints."""
    grain = scene.rng.normal(0, scene.rng.uniform(0.08, 0.3), scene.plate.shape)
    return scene.scores(np.clip(scene.plate + grain, 0, 1).astype(np.float32))


def blotched(scene: Scene, other: Style) -> dict[str, float]:
    """Clouds of other hues."""
    clouds = scene.rng.normal(0, 1, scene.plate.shape).astype(np.float32)
    clouds = cv2.GaussianBlur(clouds, (0, 0), float(scene.rng.uniform(6, 16)))
    clouds[..., 0] = 0
    lab = to_lab(scene.plate) + clouds / clouds[..., 1:].std() * scene.rng.uniform(2.5, 7)
    return scene.scores(from_lab(lab.astype(np.float32)))


def wrong_colour(scene: Scene, other: Style) -> dict[str, float]:
    """A shift of 12 to 30 in some direction of Lab."""
    turn = scene.rng.normal(0, 1, 3)
    shift = turn / np.linalg.norm(turn) * scene.rng.uniform(12, 30)
    return scene.scores(from_lab((to_lab(scene.plate) + shift).astype(np.float32)))


def off_style(scene: Scene, other: Style) -> dict[str, float]:
    """Another style was asked for."""
    return scene.scores(scene.plate, style=other)


DEFECTS: dict[str, Callable[[Scene, Style], dict[str, float]]] = {
    "product changed": changed,
    "silhouette grown": grown,
    "floating": floating,
    "indistinct": indistinct,
    "halo": halo,
    "blank": blank,
    "noise": noise,
    "blotched": blotched,
    "wrong colour": wrong_colour,
    "off style": off_style,
}


def main() -> None:
    """Measure, print, write."""
    settings = Settings.load()
    renderer, space = wiring.renderer(settings), wiring.style_space(settings)
    with (HERE / "labels.csv").open(newline="", encoding="utf-8") as lines:
        labels = list(csv.DictReader(lines))
    names = dict.fromkeys(row["product"] for row in labels)
    photos = {}
    for name in names:
        own = ASSETS / "catalog" / "photos" / f"{name}.jpg"
        photos[name] = load_photo(own if own.exists() else HERE / "products" / f"{name}.png")
    masks = {name: renderer.mask(photo).alpha for name, photo in photos.items()}
    asked = spread(list(photos.values()), space, 8, seed=7)
    found = {(row["product"], row["style"]): row["defect"] for row in labels}
    rows: list[tuple[str, dict[str, float]]] = []
    for one in track(asked, "looked at"):
        variants = renderer.render_many(
            one.photo, [one.style], [one.seed], on_rejected=lambda style, error: None
        )
        for variant in variants:
            defect = found.get((one.product, one.style.key))
            if defect is not None:
                rows.append((f"seen: {defect}" if defect else "good", dict(variant.gate.scores)))
    rng = np.random.default_rng(1)
    for name, make in DEFECTS.items():
        for k in track(range(EACH), name):
            one = asked[int(rng.integers(len(asked)))]
            if name == "halo" and one.photo.cut_out:
                one = asked[int(rng.integers(16 * 8))]  # a cut-out has no old backdrop to keep
            surfaces = [
                s for s in space.styles()[1:]
                if s.values["surface"] != one.style.values["surface"]
                and s.values["light"] != one.style.values["light"]
            ]  # fmt: skip
            other = surfaces[int(rng.integers(len(surfaces)))]
            scene = Scene(one.photo, masks[one.product], one.style, 100 + k)
            rows.append((name, make(scene, other)))
    _write(rows)
    _print(rows)


def _write(rows: list[tuple[str, dict[str, float]]]) -> None:
    scores = [rule.score for rule in RULES]
    with (HERE / "gate.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["class", *scores])
        for name, values in rows:
            table.writerow([name, *(f"{values[s]:.5g}" if s in values else "" for s in scores)])


def _print(rows: list[tuple[str, dict[str, float]]]) -> None:
    rules = {rule.score: rule for rule in RULES}
    good = [values for name, values in rows if name == "good"]
    table = Table(title=f"{len(good)} good variants, {EACH} of each defect")
    for head in ("defect", "rule", "threshold", "recall", "precision", "any rule", "good", "bad"):
        table.add_column(head)
    for name, score in CAUGHT_BY.items():
        rule = rules[score]
        bad = [values for label, values in rows if label == name]
        caught = sum(not rule.passes(values) for values in bad)
        wrong = sum(not rule.passes(values) for values in good)
        anyhow = np.mean([not judge(values).passed for values in bad])
        bound = f">= {rule.least:g}" if np.isfinite(rule.least) else f"<= {rule.most:g}"
        precision = caught / (caught + wrong) if caught + wrong else float("nan")
        ranges = [
            "{:.3g}..{:.3g}".format(
                *np.quantile([v[score] for v in vs if score in v], (0.02, 0.98))
            )
            for vs in (good, bad)
        ]
        cells = (f"{caught / len(bad):.2f}", f"{precision:.2f}", f"{anyhow:.2f}", *ranges)
        table.add_row(name, score, bound, *cells)
    console = Console(highlight=False)
    console.print(table)
    passing = np.mean([judge(values).passed for values in good])
    console.print(f"good variants that pass every rule: {passing:.3f}")
    for name in sorted({label for label, _ in rows if label.startswith("seen")}):
        seen = [values for label, values in rows if label == name]
        missed = sum(judge(values).passed for values in seen)
        console.print(f"{name}: {missed} of {len(seen)} pass the gate")


if __name__ == "__main__":
    main()
