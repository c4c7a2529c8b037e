"""What it costs to fit the rankers on a large shop's feedback, and to plan: seconds, peak memory.

Run ``python benchmarks/rankers.py``; it takes some minutes and 3 GB. Each ranker is fitted in a
process of its own, so that its peak is its own; ``none`` only makes the feedback. ``plan`` chooses
slates for 100 segments, 10,000 products and 289 styles by a ``bayes`` that learned from
``--rows``, at most a million; its seconds are those of planning, its peak is of that alone and
holds the feedback no more. The figures of a run are to be compared with each other only: the
machine's load, which is told before each, is in its seconds; of these the processor worked the
second figure, on all cores together.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from persona_img import wiring
from persona_img.domain.style import StyleSpace
from persona_img.ranking.base import RankingFeatures
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.boosted import BoostedRanker
from persona_img.ranking.slates import plan_slates
from persona_img.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.ranking.base import Ranker

FITTED: dict[str, Callable[[int], Ranker] | None] = {
    "none": None,
    "bayes": lambda threads: BayesRanker(),
    "boosted": lambda threads: BoostedRanker(num_threads=threads),
}
PLAN = "plan"
PLANNED = StyleSpace(
    {name: tuple(f"{name}-{value}" for value in range(count)) for name, count in
     (("scene", 4), ("surface", 4), ("palette", 3), ("light", 3), ("season", 2))}
)  # fmt: skip
"""288 styles and the photo."""

_LEARNED = 1_000_000
"""Most impressions that the ranker which plans learned from."""

DAYS, PICTURES, POSITIONS, CATEGORIES = 56, 12, 8, 10
MEASURED = ("share_new", "share_young", "price_level", "views", "purchases")


def made(
    rows: int, segments: int, products: int, space: StyleSpace | None = None, seed: int = 0
) -> pd.DataFrame:
    """Feedback of a shop: few products are looked at often, tastes differ between segments."""
    rng = np.random.default_rng(seed)
    styles = (space or wiring.style_space(Settings(home=Path("unused")))).styles()
    shown = np.array([rng.choice(len(styles), PICTURES, replace=False) for _ in range(products)])
    shown[:, 0] = next(place for place, style in enumerate(styles) if style.is_original)
    shopper = rng.integers(0, max(rows // 10, 1), rows)
    segment = shopper % segments
    popular = 1.0 / np.arange(1, products + 1) ** 0.7
    product = rng.choice(products, rows, p=popular / popular.sum())
    style = shown[product, rng.integers(0, PICTURES, rows)]
    position = rng.integers(1, POSITIONS + 1, rows)
    values = sorted({pair for one in styles for pair in one.values.items()})
    look = np.array([[pair in one.values.items() for pair in values] for one in styles])
    taste = rng.normal(0.0, 0.12, (segments, len(values))) @ look.T
    price = np.linspace(-1.0, 1.0, products)[product]
    # Something for the trees: tastes of every other segment turn with the price.
    turned = taste[segment, style] * np.where(segment % 2 == 0, 1.0, price)
    rate = 1.0 / (1.0 + np.exp(3.2 - turned + 0.35 * np.log(position)))
    days = pd.to_timedelta(np.sort(rng.random(rows)) * DAYS, unit="D")
    return pd.DataFrame(
        {
            "decision_id": [f"decision-{number:024d}" for number in range(rows)],
            "test": "hero",
            "shopper": [f"shopper-{number}" for number in shopper],
            "product": [f"product-{number}" for number in product],
            "segment": [f"segment-{number:02d}" for number in segment],
            "arm": "personalized",
            "style_key": [styles[place].key for place in style],
            "digest": None,
            "propensity": 1.0 / PICTURES,
            "policy_version": "one",
            "position": position,
            "shown_at": pd.Timestamp("2026-01-05", tz="UTC") + days.round("us"),
            "clicked": (rng.random(rows) < rate).astype(np.int64),
            "converted": np.int64(0),
        }
    )


def described(segments: int, products: int, seed: int = 0) -> RankingFeatures:
    """What is known of them."""
    rng = np.random.default_rng([seed, 1])
    kind = rng.integers(0, CATEGORIES, products)
    return RankingFeatures(
        segments=pd.DataFrame(
            rng.normal(size=(segments, len(MEASURED))),
            columns=list(MEASURED),
            index=[f"segment-{number:02d}" for number in range(segments)],
        ),
        products=pd.DataFrame(
            {
                "category": np.char.add("category-", kind.astype(str)).astype(object),
                "price": np.linspace(5.0, 500.0, products),
            },
            index=[f"product-{number}" for number in range(products)],
        ),
    )


def fit(name: str, given: argparse.Namespace) -> None:
    """One ranker in this process; its figures as JSON on stdout."""
    features = described(given.segments, given.products)
    feedback = made(given.rows, given.segments, given.products)
    make = FITTED[name]
    load = os.getloadavg()[0]
    begun, worked = time.perf_counter(), time.process_time()
    told: dict[str, Any] = {}
    if make is not None:
        ranker = make(given.threads).fit(feedback, features)
        told = vars(ranker.worth) if isinstance(ranker, BoostedRanker) and ranker.worth else {}
    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
    found = {"seconds": seconds, "worked": worked, "peak": peak(), "load": load, "told": told}
    print(json.dumps(found))


def plan(given: argparse.Namespace) -> None:
    """Slates of a large shop in this process; the figures of planning as JSON on stdout."""
    features = described(given.segments, given.products)
    feedback = made(given.rows, given.segments, given.products, PLANNED)
    ranker = BayesRanker().fit(feedback, features)
    segments, products = list(features.segments.index), list(features.products.index)
    del feedback, features
    load = os.getloadavg()[0]
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here
    begun, worked = time.perf_counter(), time.process_time()
    slates = plan_slates(ranker, PLANNED, segments, products, seed=0)
    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
    told = {"slates": len(slates)}
    found = {"seconds": seconds, "worked": worked, "peak": peak(), "load": load, "told": told}
    print(json.dumps(found))


def peak() -> float:
    """GB that this process held at most; the kernel's other figure begins with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024**2


def main() -> None:
    """Fit each, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="impressions (%(default)s)")
    parser.add_argument("--segments", type=int, default=20)
    parser.add_argument("--products", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=1, help="of LightGBM (%(default)s)")
    parser.add_argument(
        "--only", choices=[*FITTED, PLAN], help="this one, in this process, as JSON"
    )
    given = parser.parse_args()
    if given.only == PLAN:
        plan(given)
        return
    if given.only:
        fit(given.only, given)
        return
    table = Table("ranker", "seconds", "worked", "peak, GB", "load before", "of it")
    large = ["--segments", "100", "--products", "10000", "--rows", str(min(given.rows, _LEARNED))]
    for name in (*FITTED, PLAN):
        done = subprocess.run(
            [sys.executable, __file__, *(large if name == PLAN else sys.argv[1:]), "--only", name],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        worth = ", ".join(f"{k} {v:.3g}" for k, v in found["told"].items())
        figures = (f"{found['seconds']:.1f}", f"{found['worked']:.1f}", f"{found['peak']:.2f}")
        table.add_row(name, *figures, f"{found['load']:.1f}", worth)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
