"""Whether choosing among candidates by what was clicked raises the click rate, in simulation.

Run ``python experiments/learning/chooser.py``; ``--render`` first paints the candidates anew (half
an hour) and measures them into ``chooser.csv``, which is kept so that the rest needs no painter.
Seeds are counted from 0; ``chooser.md`` is written from what came of them.
"""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image
from scipy.special import expit, logit

from persona_img.domain.style import Style
from persona_img.imaging.picture_features import FEATURES, picture_features
from persona_img.ranking.picture_pairs import picture_pairs
from persona_img.ranking.picture_reward import train_reward

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
TABLE = HERE / "chooser.csv"
STYLES, CANDIDATES, SIDE = 6, 4, 384
"""Styles of a product, candidates of each that are asked for, and the photos' long side."""


def paint(path: Path) -> None:
    """Paint and measure candidates of the shipped products; what the gate refuses is left out."""
    from persona_img import loop, wiring
    from persona_img.assets import ASSETS
    from persona_img.domain.catalog import Catalog
    from persona_img.errors import LowMaskConfidence
    from persona_img.rendering.choice import chosen_for
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.settings import Settings

    settings = Settings(render={"tries": 1})
    renderer, space = wiring.renderer(settings), wiring.style_space(settings)
    # Taught on other pieces of material than the gate's judge, and never asked by any chooser.
    held_out = StyleJudge(HERE.parent / "render" / "judge.npz")
    fields = ["product", "style", "seed", "adherence", "held_out", *FEATURES]
    with path.open("w", newline="", encoding="utf-8") as file, TemporaryDirectory() as folder:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(fields)
        for number, product in enumerate(Catalog.load(ASSETS / "catalog" / "products.csv")):
            small = Path(folder) / f"{product.product}.png"
            with Image.open(product.photo) as whole:
                whole.thumbnail((SIDE, SIDE))
                whole.save(small)
            photo = loop.photo_of(replace(product, photo=small))
            try:
                styles = chosen_for(space, STYLES, renderer.stands(photo).pose, [number])
                jobs = [(style, seed) for style in styles for seed in range(CANDIDATES)]
                made = renderer.render_many(
                    photo, *zip(*jobs, strict=True), on_rejected=lambda *_: None
                )
                for variant in made:
                    alpha = variant.alpha
                    seen = [variant.gate.scores.get("adherence", float("nan"))]
                    told = held_out.adherence(variant.pixels, alpha, variant.style.values)
                    seen += [float("nan") if told is None else told]
                    seen += picture_features(variant.pixels, alpha).tolist()
                    row = [product.product, variant.style.key, variant.seed]
                    table.writerow([*row, *(f"{value:.5g}" for value in seen)])
            except LowMaskConfidence as refused:
                print(refused)
            file.flush()
            print(product.product, flush=True)


@dataclass(frozen=True)
class World:
    """What clicks depend on, all of it invented.

    Attributes:
        told: For the report.
        size: Spread that a picture's numbers give the log-odds of a click within one style.
        everywhere: Whether the numbers count as they are, between styles too; else as they differ
            from the mean of their style's candidates.
        other: Spread of what no number measures.
    """

    told: str
    size: float = 0.0
    everywhere: bool = True
    other: float = 0.0


WORLDS = {
    "styles": World("style alone"),
    "small": World("numbers, as between styles", size=0.02),
    "large": World("numbers, as between styles, five times as much", size=0.10),
    "within": World("numbers, within a style only", size=0.10, everywhere=False),
    "other": World("something nobody measures", other=0.10),
}
EFFECTS = {"slope": -0.5, "grain": -0.3, "fineness": 0.5, "apart": 0.4, "shadow": 0.5}
"""Invented: what one usual difference between candidates of a style does, up to ``World.size``."""

STYLE, TASTE, PRODUCT, RATE, SLOPE = 0.07, 0.05, 0.3, 0.04, -0.5
"""Spreads, on the log-odds, of a value's effect on all, on one segment, and of products; the click
rate; the slope of its log-odds over the logarithm of the position."""
SEGMENTS, SLATE, POSITIONS, WEEKS, FLOOR = 3, 4, 6, 4, 0.02


class Candidates:
    """What was painted: one row per candidate, of products with at least four styles to choose in.

    Attributes:
        table: Columns of the file; ``place`` numbers pairs of product and style.
        absolute: float64 (n, F), the numbers as they are.
        apart: float64 (n, F), less the mean of the style's candidates.
    """

    def __init__(self, path: Path) -> None:
        table = pd.read_csv(path).fillna({"adherence": 0.0})
        grouped = table.groupby(["product", "style"])
        table = table[grouped["seed"].transform("size") >= 2]
        styles = table.groupby("product")["style"].transform("nunique")
        table = table[styles >= SLATE].reset_index(drop=True)
        grouped = table.groupby(["product", "style"], sort=True)
        self.table = table.assign(place=grouped.ngroup(), digest=[f"v{i:05d}" for i in table.index])
        numbers = table[list(FEATURES)]
        self.absolute = numbers.to_numpy(dtype=np.float64)
        self.apart = (numbers - grouped[list(FEATURES)].transform("mean")).to_numpy()
        self.places = grouped.ngroups
        degrees = len(table) - self.places
        self.within = np.sqrt((self.apart**2).sum(axis=0) / degrees)
        means = grouped[list(FEATURES)].mean()
        self.between = (means - means.groupby("product").transform("mean")).std().to_numpy()

    def best(self, worth: NDArray[np.float64]) -> NDArray[np.int64]:
        """Row of each place's candidate with most worth; of equals the first."""
        order = np.lexsort((np.arange(len(worth)), -worth, self.table["place"]))
        first = np.unique(self.table["place"].to_numpy()[order], return_index=True)[1]
        return order[first]


def log_odds(seen: Candidates, world: World, rng: np.random.Generator) -> NDArray[np.float64]:
    """Log-odds of a click at position 1 on every candidate for every segment, (n, SEGMENTS)."""
    table = seen.table
    values = [dict(pair.split("=") for pair in key.split(",")) for key in table["style"]]
    names = sorted({pair for one in values for pair in one.items()})
    has = np.array([[(n, v) in one.items() for n, v in names] for one in values], dtype=np.float64)
    liked = rng.normal(0.0, STYLE, (len(names), 1)) + rng.normal(0, TASTE, (len(names), SEGMENTS))
    products, product = np.unique(table["product"], return_inverse=True)
    found = logit(RATE) + has @ liked + rng.normal(0.0, PRODUCT, len(products))[product][:, None]
    weights = np.array([EFFECTS.get(name, 0.0) for name in FEATURES])
    scale = np.where(seen.within > 0, seen.within, 1.0)
    apart = seen.apart / scale @ weights
    picture = (seen.absolute / scale @ weights) if world.everywhere else apart
    picture = (picture - picture.mean()) * world.size
    picture /= np.sqrt((apart**2).sum() / (len(apart) - seen.places))
    return found + (picture + rng.normal(0.0, 1.0, len(table)) * world.other)[:, None]


def logged(
    seen: Candidates,
    shown: NDArray[np.int64],
    odds: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Impressions of ``shown`` rows: slates by segment, chances that move every week."""
    table = seen.table.iloc[shown]
    products, product = np.unique(table["product"], return_inverse=True)
    member = [shown[product == p] for p in range(len(products))]
    slates = np.array(
        [[rng.choice(rows, SLATE, replace=False) for rows in member] for _ in range(SEGMENTS)]
    )
    drawn = rng.dirichlet(np.full(SLATE, 2.0), (WEEKS, SEGMENTS, len(products)))
    chance = FLOOR + (1.0 - SLATE * FLOOR) * drawn
    week, segment = rng.integers(WEEKS, size=count), rng.integers(SEGMENTS, size=count)
    which, position = rng.integers(len(products), size=count), rng.integers(1, POSITIONS + 1, count)
    mine = chance[week, segment, which]
    chosen = (rng.random((count, 1)) > mine.cumsum(axis=1)[:, :-1]).sum(axis=1)
    row = slates[segment, which, chosen]
    rate = expit(odds[row, segment] + SLOPE * np.log(position))
    moment = pd.Timestamp("2026-03-02", tz="UTC") + pd.to_timedelta(
        7 * 86_400 * (week + rng.random(count)), unit="s"
    )
    return pd.DataFrame(
        {
            "product": products[which],
            "segment": np.array([f"g{n}" for n in range(SEGMENTS)], dtype=object)[segment],
            "style_key": seen.table["style"].to_numpy()[row],
            "digest": seen.table["digest"].to_numpy()[row],
            "policy_version": np.array([f"plan+{n}" for n in range(WEEKS)], dtype=object)[week],
            "position": position,
            "shown_at": moment,
            "clicked": (rng.random(count) < rate).astype(np.int64),
        }
    )


def simulated(seen: Candidates, name: str, seed: int, count: int) -> dict[str, float]:
    """One world, one log, and what each way to choose earns on products that were never logged."""
    world = WORLDS[name]
    rng = np.random.default_rng([seed, [*WORLDS].index(name)])
    odds = log_odds(seen, world, rng)
    plain = seen.best(seen.table["adherence"].to_numpy(dtype=np.float64))
    products = np.array(sorted(seen.table["product"].unique()))
    new = set(rng.permutation(products)[: len(products) // 3])
    is_new = seen.table["product"].isin(new).to_numpy()
    pairs = picture_pairs(logged(seen, plain[~is_new[plain]], odds, count, rng))
    worth = expit(odds).mean(axis=1)
    chosen = {"style alone": plain, "oracle": seen.best(worth)}
    found: dict[str, float] = {"labels": len(pairs)}
    for told, numbers in (("learned", seen.absolute), ("learned, all recorded", seen.apart)):
        pictures = pd.DataFrame(numbers, seen.table["digest"].to_numpy(), list(FEATURES))
        pictures.insert(0, "style_key", seen.table["style"].to_numpy())
        judge, report = train_reward(pairs, pictures, seed=seed)
        scores = [
            judge.score(Style(key), row)
            for key, row in zip(pictures["style_key"], numbers, strict=True)
        ]
        chosen[told] = seen.best(np.array(scores))
        found |= {
            f"{told}: accuracy": report.accuracy,
            f"{told}: style accuracy": report.style_accuracy,
            f"{told}: helps": float(report.helps),
        }
        chosen[f"{told}, where advised"] = chosen[told] if report.helps else plain
    for told, rows in chosen.items():
        mine = rows[is_new[rows]]
        found[f"{told}: rate"] = float(worth[mine].mean())
        found[f"{told}: held-out judge"] = float(seen.table["held_out"].iloc[mine].mean())
    return found


def main() -> None:
    """Paint where asked, then simulate and write the report."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="paint the candidates anew")
    parser.add_argument("--seeds", type=int, default=10, help="runs of each world (%(default)s)")
    parser.add_argument(
        "--impressions", type=int, nargs="+", default=[300_000, 1_200_000], help="(%(default)s)"
    )
    given = parser.parse_args()
    if given.render:
        paint(TABLE)
    seen = Candidates(TABLE)
    for count in given.impressions:
        for name in WORLDS:
            runs = pd.DataFrame([simulated(seen, name, s, count) for s in range(given.seeds)])
            print(count, name, runs.mean().round(4).to_dict(), flush=True)


if __name__ == "__main__":
    main()
