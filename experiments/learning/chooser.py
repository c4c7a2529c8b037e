"""Whether choosing among candidates by what was clicked raises the click rate, in simulation.

Run ``python experiments/learning/chooser.py``; ``--render`` first paints the candidates anew (half
an hour) and measures them into ``chooser.csv``, which is kept so that the rest needs no painter.
Seeds are counted from 0; ``chooser.md`` is written from what came of them.
"""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image
from rich.progress import track
from scipy.special import expit, logit

from persona_img.domain.style import Style
from persona_img.errors import NotEnoughData
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
        for number, listed in enumerate(Catalog.load(ASSETS / "catalog" / "products.csv")):
            small = Path(folder) / f"{listed.product}.png"
            with Image.open(listed.photo) as whole:
                whole.thumbnail((SIDE, SIDE))
                whole.save(small)
            photo = loop.photo_of(replace(listed, photo=small))
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
                    row = [listed.product, variant.style.key, variant.seed]
                    table.writerow([*row, *(f"{value:.5g}" for value in seen)])
            except LowMaskConfidence as refused:
                print(refused)
            file.flush()
            print(listed.product, flush=True)


@dataclass(frozen=True)
class World:
    """What clicks depend on, all of it invented.

    Attributes:
        told: For the report.
        size: Spread that a picture's numbers give the log-odds of a click within one style.
        everywhere: Whether the numbers count as they are, between styles too; else as they differ
            from the mean of their style's candidates.
        curved: Whether the middle is liked best, which no sum of numbers can say.
        other: Spread of what no number measures.
    """

    told: str
    size: float = 0.0
    everywhere: bool = True
    curved: bool = False
    other: float = 0.0


WORLDS = {
    "styles": World("style alone"),
    "numbers": World("style, and numbers as they are", size=0.02),
    "curved": World("style, and numbers, the middle liked best", size=0.02, curved=True),
    "within": World("style, and numbers within it alone", size=0.05, everywhere=False),
    "other": World("style, and what nobody measures", other=0.05),
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
    products, of = np.unique(table["product"], return_inverse=True)
    found = logit(RATE) + has @ liked + rng.normal(0.0, PRODUCT, len(products))[of][:, None]
    picture = world.size * pictures(seen, world) + world.other * rng.normal(size=len(table))
    return found + picture[:, None]


def pictures(seen: Candidates, world: World) -> NDArray[np.float64]:
    """What numbers are worth, (n,): spread 1 between the candidates of one style."""
    weights = np.array([EFFECTS.get(name, 0.0) for name in FEATURES])
    scale = np.where(seen.within > 0, seen.within, 1.0)
    found = (seen.absolute if world.everywhere else seen.apart) / scale @ weights
    found -= found.mean()
    if world.curved:
        found = -(found**2)
    apart = found - pd.Series(found).groupby(seen.table["place"]).transform("mean").to_numpy()
    return found / np.sqrt((apart**2).sum() / (len(apart) - seen.places))


def logged(
    seen: Candidates,
    shown: NDArray[np.int64],
    odds: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Impressions of ``shown`` rows: slates by segment, chances that move every week."""
    table = seen.table.iloc[shown]
    products, of = np.unique(table["product"], return_inverse=True)
    member = [shown[of == p] for p in range(len(products))]
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
    measured = pd.DataFrame(seen.absolute, seen.table["digest"].to_numpy(), list(FEATURES))
    measured.insert(0, "style_key", seen.table["style"].to_numpy())
    try:
        judge, report = train_reward(pairs, measured, seed=seed)
    except NotEnoughData:
        chosen |= {"learned": plain, "advised": plain}
        found |= {"helps": 0.0, "refused": 1.0, "accuracy": np.nan, "style accuracy": np.nan}
    else:
        told = zip(measured["style_key"], seen.absolute, strict=True)
        chosen["learned"] = seen.best(np.array([judge.score(Style(k), row) for k, row in told]))
        chosen["advised"] = chosen["learned"] if report.helps else plain
        found |= {
            "helps": float(report.helps),
            "refused": 0.0,
            "accuracy": report.accuracy,
            "style accuracy": report.style_accuracy,
        }
    for told, rows in chosen.items():
        mine = rows[is_new[rows]]
        found[f"{told}: rate"] = float(worth[mine].mean())
        found[f"{told}: held-out judge"] = float(seen.table["held_out"].iloc[mine].mean())
    return found


def main() -> None:
    """Paint where asked, then simulate and write the report."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="paint the candidates anew")
    parser.add_argument("--seeds", type=int, default=12, help="runs of each world (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="at the same time (%(default)s)")
    parser.add_argument(
        "--impressions", type=int, nargs="+", default=[250_000, 750_000], help="(%(default)s)"
    )
    given = parser.parse_args()
    if given.render:
        paint(TABLE)
    seen = Candidates(TABLE)
    runs: dict[tuple[int, str], pd.DataFrame] = {}
    with ProcessPoolExecutor(given.workers) as pool:
        for count, name in track([*product(given.impressions, WORLDS)]):
            one = partial(simulated, seen, name, count=count)
            runs[count, name] = pd.DataFrame([*pool.map(one, range(given.seeds))])
    (HERE / "chooser.md").write_text("\n".join(report(seen, runs)) + "\n", encoding="utf-8")


def report(seen: Candidates, runs: dict[tuple[int, str], pd.DataFrame]) -> list[str]:
    """The lines of ``chooser.md``."""
    products = seen.table["product"].nunique()
    seeds = len(next(iter(runs.values())))
    effects = ", ".join(f"{name} {value:+.1f}" for name, value in EFFECTS.items())
    wide = {n: pictures(seen, w)[seen.best(seen.absolute[:, 0])].std() for n, w in WORLDS.items()}
    lines = [
        "# Choosing among candidates by what was clicked",
        "",
        f"Made by `python experiments/learning/chooser.py`. **The pictures are real, the shoppers "
        f"are not**: {len(seen.table):,} candidates that passed the gate, of {products} shipped "
        f"products in {STYLES} styles each, painted by the default source at {SIDE} px and "
        "measured into `chooser.csv`. What the clicks depend on is invented, in proportion: "
        f"{effects} a usual difference between candidates of a style. A log of two thirds of the "
        f"products, slates of {SLATE} of {STYLES} styles for {SEGMENTS} segments with chances that "
        "move every week, shows the candidate that shows its style best, as today. What each way "
        "to choose would earn is the true click rate of the other third, never logged. A "
        "log that `train-chooser` refuses for too few labels counts as not used. Means of "
        f"{seeds} seeds "
        "from 0, with the standard error of the learned.",
        "",
        "## Click rate against choosing by style alone",
        "",
        "| clicks depend on | impressions | labels | ordered right: style, learned | oracle |"
        " learned | used where advised | advised | refused |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, world in WORLDS.items():
        for (count, of), table in runs.items():
            if of != name:
                continue
            plain = table["style alone: rate"]
            lift = {
                told: 100.0 * (table[f"{told}: rate"] / plain - 1.0)
                for told in ("oracle", "learned", "advised")
            }
            learned = lift["learned"]
            mean = {key: column.mean() for key, column in table.items()}
            lines.append(
                f"| {world.told} | {count:,} | {mean['labels']:.0f} | "
                f"{mean['style accuracy']:.3f}, {mean['accuracy']:.3f} | "
                f"{lift['oracle'].mean():+.2f} % | {learned.mean():+.2f} % "
                f"(± {learned.std(ddof=1) / np.sqrt(len(learned)):.2f}) | "
                f"{lift['advised'].mean():+.2f} % | {mean['helps']:.0%} | {mean['refused']:.0%} |"
            )
    lines += [
        "",
        "*Advised*: how often `train-chooser` says that pictures tell more than styles; *used "
        "where advised* is what a shop gets that does as it is told.",
        "",
        "The judge adds up the very numbers that the second world adds up: that is its best case. "
        "In the third no sum can be right; the fourth differs only where pictures of different "
        "styles tell little; the last is out of reach, and there a chooser that is used all the "
        "same should neither gain nor lose.",
        "",
        "Between two pictures of a product in different styles the invented worth has a spread of "
        + ", ".join(
            f"{world.size * wide[name]:.2f} ({name})"
            for name, world in WORLDS.items()
            if world.size
        )
        + " on the log-odds, where a style's five values together have "
        f"{STYLE * np.sqrt(5.0):.2f}.",
        "",
        "## How far candidates of one style differ",
        "",
        "| number | between candidates | between styles of a product |",
        "|---|---|---|",
    ]
    for name, within, between in zip(FEATURES, seen.within, seen.between, strict=True):
        lines.append(f"| {name}: {FEATURES[name]} | {within:.3f} | {between:.3f} |")
    lines += [
        "",
        "## A judge that steers nothing",
        "",
        "Style adherence of what was chosen, by the reports' judge of styles, which was taught on "
        "other pieces of material and is asked by no chooser: what it falls is what a chooser "
        "gives up for clicks.",
        "",
        "| clicks depend on | impressions | style alone | learned | oracle |",
        "|---|---|---|---|---|",
    ]
    for (count, name), table in runs.items():
        judged = [
            table[f"{told}: held-out judge"].mean() for told in ("style alone", "learned", "oracle")
        ]
        numbers = " | ".join(f"{value:.3f}" for value in judged)
        lines.append(f"| {WORLDS[name].told} | {count:,} | {numbers} |")
    return lines


if __name__ == "__main__":
    main()
