"""Tastes and segments on a real shop's purchases: UCI Online Retail, split by time.

    python experiments/learning/online_retail.py --data online_retail/ -o report.md

What was bought in four weeks is foretold from what was bought before them, four times over; what
had to be chosen was chosen on the eight weeks before all of those. The data are Chen's (2015,
doi:10.24432/C5BW33), CC BY 4.0: a wholesaler of gifts, whose shoppers are often shops.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product as combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.stats import bootstrap

from persona_img.domain.catalog import Product
from persona_img.ingest.interactions.columns import Columns
from persona_img.ingest.interactions.store import Interactions
from persona_img.profiles.choice import choose_count, held_out_lift
from persona_img.profiles.factors import Factors, fit_factors
from persona_img.profiles.profile import build_profiles
from persona_img.profiles.segments import Segments, fit_segments

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 7
K = 20
END = datetime(2011, 10, 15, tzinfo=UTC)
WEEKS = timedelta(days=28)
REPORTED = [END - weeks * WEEKS for weeks in (4, 3, 2, 1)]
TUNED_ON = [END - weeks * WEEKS for weeks in (6, 5)]
FORTNIGHTS = [END - timedelta(days=14 * number) for number in range(10, -1, -1)]
DEFAULT = {"factors": 16, "regularization": 0.05, "confidence": 2.0}
GRID = {
    "factors": (16, 64, 128),
    "regularization": (0.05, 10.0, 50.0),
    "confidence": (0.5, 2.0, 10.0),
}

CATEGORIES = {
    "christmas": "christmas|advent|santa|snow|reindeer|wreath|bauble",
    "bags": "bag|purse|luggage|suitcase|satchel",
    "lights": "candle|t-light|light|lantern|lamp",
    "jewellery": "necklace|bracelet|earring|ring|bangle|charm|brooch|hair",
    "kitchen": "mug|cup|bowl|plate|cake|jar|tin|bottle|lunch|tea|kitchen|baking|egg|glass|spoon",
    "paper": "card|wrap|paper|notebook|sticker|pencil|pen|ribbon|journal|calendar|doiley|tape",
    "toys": "toy|doll|game|puzzle|children|kids|playing|soft|spaceboy|skittle|dolly",
    "garden": "garden|plant|flower|bird|picnic|parasol|watering",
    "storage": "box|basket|drawer|cabinet|hook|hanger|holder|rack|tidy",
    "home": "cushion|frame|clock|sign|mirror|doormat|door|quilt|rug|wall|bathroom|heart|decoration",
}
"""What a merchant would say: the shop has descriptions and no categories. The first that fits."""

Floats = npt.NDArray[np.float64]


def purchases(data: Path) -> tuple[pd.DataFrame, list[Product], list[str]]:
    """Interactions as a shop's store gives them, the catalogue, and what was left out."""
    raw = pd.read_parquet(data / "transactions.parquet")
    rules = {
        "without a customer": raw["CustomerID"].isna(),
        "returned or cancelled": raw["Quantity"] <= 0,
        "without a price": raw["UnitPrice"] <= 0,
        "postage, fees and the like": ~raw["StockCode"].str.match(r"^\d{5}"),
    }
    left_out = [f"{int(bad.sum()):,} {why}" for why, bad in rules.items()]
    kept = raw[~np.logical_or.reduce(list(rules.values()))]
    columns = Columns.of(
        ["shopper=CustomerID,product=StockCode,occurred_at=InvoiceDate"],
        kind="purchase",
        timezone="Europe/London",
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "purchases.parquet"
        kept.astype({"CustomerID": str}).to_parquet(file)
        store = Interactions(Path(folder) / "interactions")
        store.add(file, columns)
        frame = store.frame()
    names = kept.groupby("StockCode")["Description"].agg(lambda some: some.value_counts().index[0])
    prices = kept.groupby("StockCode")["UnitPrice"].median()
    kinds = pd.Series("other", index=names.index)
    for kind, words in reversed(CATEGORIES.items()):
        kinds[names.str.contains(rf"\b(?:{words})", case=False)] = kind
    catalogue = [
        Product(code, kinds[code], names[code], Path("none.jpg"), "none", price=float(prices[code]))
        for code in sorted(names.index)
    ]
    return frame, catalogue, left_out


@dataclass(frozen=True)
class Split:
    """What happened before a moment and in the four weeks from it on, as numbers.

    ``bought`` counts orders' lines before, float32 (S, P); ``later`` tells which products were
    bought then, bool (S, P), for the shoppers of ``rows``.
    """

    cut: datetime
    past: pd.DataFrame
    shoppers: pd.Index
    products: pd.Index
    bought: csr_matrix
    recent: Floats
    rows: npt.NDArray[np.intp]
    later: npt.NDArray[np.bool_]
    newcomer: npt.NDArray[np.bool_]

    @classmethod
    def at(cls, cut: datetime, frame: pd.DataFrame) -> Split:
        """The split at a moment; of later purchases, those of known shoppers and products."""
        past = frame[frame["occurred_at"] < cut]
        held = frame[(frame["occurred_at"] >= cut) & (frame["occurred_at"] < cut + WEEKS)]
        shoppers = pd.Index(sorted(set(past["shopper"])))
        products = pd.Index(sorted(set(past["product"])))
        held = held[held["shopper"].isin(shoppers) & held["product"].isin(products)]
        places = shoppers.get_indexer(pd.Index(past["shopper"]))
        goods = products.get_indexer(pd.Index(past["product"]))
        ones = np.ones(len(past), dtype=np.float32)
        bought = csr_matrix((ones, (places, goods)), shape=(len(shoppers), len(products)))
        fresh = past[past["occurred_at"] >= cut - WEEKS].drop_duplicates(["shopper", "product"])
        recent = np.bincount(
            products.get_indexer(pd.Index(fresh["product"])), minlength=len(products)
        )
        rows = np.unique(shoppers.get_indexer(pd.Index(held["shopper"])))
        later = np.zeros((len(rows), len(products)), dtype=bool)
        which = np.searchsorted(rows, shoppers.get_indexer(pd.Index(held["shopper"])))
        later[which, products.get_indexer(pd.Index(held["product"]))] = True
        first = past.groupby("shopper")["occurred_at"].min().reindex(shoppers[rows])
        newcomer = (first >= pd.Timestamp(cut - WEEKS)).to_numpy()
        return cls(
            cut, past, shoppers, products, bought, recent.astype(float), rows, later, newcomer
        )

    def liking(self, factors: Factors) -> Floats:
        """(rows, P): 0 for whom or what the factors do not know."""
        scores = np.zeros(self.later.shape)
        who = pd.Index(factors.shoppers).get_indexer(self.shoppers[self.rows])
        what = pd.Index(factors.products).get_indexer(self.products)
        known = factors.shopper_matrix[who] @ factors.product_matrix[what].T
        scores[:] = np.where((who >= 0)[:, None] & (what >= 0), known, 0.0)
        return scores

    def everybody(self, scores: Floats) -> Floats:
        """(rows, P): the same for all."""
        return np.broadcast_to(scores, self.later.shape)


def judged(scores: Floats, wanted: npt.NDArray[np.bool_], allowed: npt.NDArray[np.bool_]) -> Floats:
    """(N, 2): recall and NDCG of the first ``K`` allowed; NaN where nothing was wanted.

    Ties go by the products' names.
    """
    ranked = np.argsort(np.where(allowed, -scores, np.inf), axis=1, kind="stable")[:, :K]
    hits = np.take_along_axis(wanted & allowed, ranked, axis=1)
    number = (wanted & allowed).sum(axis=1)
    discount = 1 / np.log2(np.arange(2, K + 2))
    ideal = np.append(0.0, np.cumsum(discount))[np.minimum(number, K)]
    with np.errstate(invalid="ignore"):
        return np.stack([hits.sum(axis=1) / number, hits @ discount / ideal], axis=1)


def tuned(frame: pd.DataFrame) -> tuple[dict[str, float], list[str]]:
    """The settings with the best NDCG of new purchases, before all that is reported."""
    splits = [Split.at(cut, frame) for cut in TUNED_ON]
    lines, best = [], (-1.0, DEFAULT)
    for values in combinations(*GRID.values()):
        given = dict(zip(GRID, values, strict=True))
        found = np.concatenate([_new(s, s.liking(_fitted(s.past, given))) for s in splits])
        recall, ndcg = np.nanmean(found, axis=0)
        lines.append(f"| {' | '.join(f'{v:g}' for v in values)} | {recall:.3f} | {ndcg:.3f} |")
        best = max(best, (float(ndcg), given), key=lambda one: one[0])
    return best[1], lines


def _fitted(past: pd.DataFrame, given: dict[str, float], like: Factors | None = None) -> Factors:
    given = given | {"factors": int(given["factors"])}
    return fit_factors(past, seed=SEED, like=like, **given)


def _new(split: Split, scores: Floats) -> Floats:
    before = split.bought[split.rows].toarray() > 0
    return judged(scores, split.later, ~before)


def _again(split: Split, scores: Floats) -> Floats:
    """Only of those with more products behind them than are shown: else all are found."""
    before = split.bought[split.rows].toarray() > 0
    found = judged(scores, split.later, before)
    found[before.sum(axis=1) <= K] = np.nan
    return found


def methods(split: Split, best: dict[str, float]) -> Iterator[tuple[str, Floats]]:
    """Names and scores (rows, P)."""
    shoppers = np.asarray((split.bought > 0).sum(axis=0)).ravel().astype(float)
    yield "popular in all time", split.everybody(shoppers)
    yield "popular in four weeks", split.everybody(split.recent + shoppers / 1e6)
    yield "ALS as shipped", split.liking(_fitted(split.past, DEFAULT))
    yield "ALS tuned", split.liking(_fitted(split.past, best))
    before = split.past[split.past["occurred_at"] < split.cut - WEEKS]
    old = _fitted(before, best)
    yield "ALS tuned, four weeks old", split.liking(old)
    yield "… with everybody folded in", split.liking(old.folded(split.past))
    yield "own purchases so far", split.bought[split.rows].toarray().astype(float)


def interval(values: pd.Series, shoppers: pd.Series) -> tuple[float, float, float]:
    """Mean over a shopper's times and all shoppers, and its 95 % interval by shopper."""
    sums = values.groupby(shoppers.to_numpy()).agg(["sum", "count"])
    sums = sums[sums["count"] > 0]

    def mean(total: Floats, number: Floats, axis: int = -1) -> Floats:
        return total.sum(axis=axis) / number.sum(axis=axis)

    data = (sums["sum"].to_numpy(), sums["count"].to_numpy(dtype=float))
    found = bootstrap(
        data, mean, paired=True, n_resamples=2000, method="percentile",
        rng=np.random.default_rng(SEED), batch=200,
    ).confidence_interval  # fmt: skip
    return float(mean(*data)), float(found.low), float(found.high)


def told(one: tuple[float, float, float], sign: str = "") -> str:
    """A mean with its interval."""
    return f"{one[0]:{sign}.3f} ({one[1]:{sign}.3f} to {one[2]:{sign}.3f})"


def table(
    results: pd.DataFrame, kind: str, who: str, names: list[str], against: str
) -> Iterator[str]:
    """Rows of a method each, and how far each is from one of them for the same shoppers."""
    some = results[(results["kind"] == kind) & ((who == "all") | results["newcomer"])]
    yield f"| | recall@{K} | NDCG@{K} | NDCG beside {against} |"
    yield "|---|---|---|---|"
    keys = ["cut", "shopper"]
    base = some[some["method"] == against].set_index(keys)["ndcg"]
    for name in names:
        mine = some[some["method"] == name].set_index(keys)
        shoppers = mine.index.to_frame()["shopper"]
        apart = mine["ndcg"] - base
        beside = "" if name == against else told(interval(apart, shoppers), "+")
        recall, ndcg = (told(interval(mine[c], shoppers)) for c in ("recall", "ndcg"))
        yield f"| {name} | {recall} | {ndcg} | {beside} |"


def gathered(splits: list[Split], best: dict[str, float], frame: pd.DataFrame) -> pd.DataFrame:
    """A row per cut, shopper, kind of purchase and method."""
    rows = []
    for split in splits:
        who = split.shoppers[split.rows]
        for name, scores in methods(split, best):
            for kind, judge in (("new", _new), ("again", _again)):
                found = judge(split, scores)
                rows.append(
                    pd.DataFrame(
                        {
                            "cut": split.cut, "shopper": who, "newcomer": split.newcomer,
                            "kind": kind, "method": name,
                            "recall": found[:, 0], "ndcg": found[:, 1],
                        }
                    )
                )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


@dataclass(frozen=True)
class Grouped:
    """Segments of a moment, and each shopper's."""

    factors: Factors
    segments: Segments
    names: pd.Series

    @classmethod
    def at(
        cls,
        as_of: datetime,
        frame: pd.DataFrame,
        catalogue: list[Product],
        count: int,
        like: Grouped | None = None,
    ) -> Grouped:
        """As ``persona-img profile`` does, with or without the profiles before."""
        past = frame[frame["occurred_at"] < as_of]
        factors = fit_factors(past, seed=SEED, like=like.factors if like else None)
        profiles = build_profiles(past, factors, catalogue, as_of)
        segments = fit_segments(
            profiles, count=count, seed=SEED, like=like.segments if like else None
        )
        names = segments.assign(profiles).set_axis(pd.Index(profiles["shopper"]))
        return cls(factors, segments, names)


def renamed(frame: pd.DataFrame, catalogue: list[Product], count: int) -> Iterator[str]:
    """How many change name from one fortnight to the next, fitted anew and fitted like before."""
    yield "| until | shoppers | fitted anew | like the last | who bought nothing | version |"
    yield "|---|---|---|---|---|---|"
    anew = kept = Grouped.at(FORTNIGHTS[0], frame, catalogue, count)
    shares = []
    for moment in FORTNIGHTS[1:]:
        recent = (frame["occurred_at"] >= moment - timedelta(days=14)) & (
            frame["occurred_at"] < moment
        )
        active = set(frame.loc[recent, "shopper"])
        now = [
            Grouped.at(moment, frame, catalogue, count),
            Grouped.at(moment, frame, catalogue, count, kept),
        ]
        both = anew.names.index
        quiet = ~both.isin(active)
        fresh, like = (
            (before.names != after.names.reindex(both))
            for before, after in zip((anew, kept), now, strict=True)
        )
        shares.append((fresh.mean(), like.mean(), like[quiet].mean()))
        told = " | ".join(f"{share:.1%}" for share in shares[-1])
        yield f"| {moment:%Y-%m-%d} | {len(both):,} | {told} | {now[1].segments.version} |"
        anew, kept = now
    means, most = np.mean(shares, axis=0), np.max(shares, axis=0)
    yield f"| mean | | {' | '.join(f'{share:.1%}' for share in means)} | |"
    yield f"| most | | {' | '.join(f'{share:.1%}' for share in most)} | |"


def by_segment(
    splits: list[Split], frame: pd.DataFrame, catalogue: list[Product], count: int
) -> Iterator[str]:
    """What a segment's popularity adds to everybody's, for new purchases."""
    rows, lifts = [], []
    for split in splits:
        groups = Grouped.at(split.cut, frame, catalogue, count).names
        labels = groups.reindex(split.shoppers).to_numpy()
        has = split.bought > 0
        overall = np.asarray(has.sum(axis=0)).ravel().astype(float)
        scores = np.zeros(split.later.shape)
        for name in sorted(set(labels)):
            own = np.asarray(has[labels == name].sum(axis=0)).ravel()
            scores[labels[split.rows] == name] = own + overall / 1e6
        who = split.shoppers[split.rows]
        one = _new(split, scores)
        two = _new(split, split.everybody(overall))
        rows.append(pd.DataFrame({"shopper": who, "segment": one[:, 1], "all": two[:, 1],
                                  "recall": one[:, 0], "recall_all": two[:, 0]}))  # fmt: skip
        until = split.cut + WEEKS
        later = frame[(frame["occurred_at"] >= split.cut) & (frame["occurred_at"] < until)]
        lift = held_out_lift(split.past, later, groups)
        lifts.append(lift.rename_axis("shopper").rename("lift").reset_index())
    found, lift = pd.concat(rows), pd.concat(lifts)
    yield f"| new purchases | recall@{K} | NDCG@{K} |"
    yield "|---|---|---|"
    for name, recall, ndcg in (("everybody's", "recall_all", "all"),
                               ("the segment's", "recall", "segment")):  # fmt: skip
        both = (told(interval(found[c], found["shopper"])) for c in (recall, ndcg))
        yield f"| {name} popularity | {' | '.join(both)} |"
    apart = [found["recall"] - found["recall_all"], found["segment"] - found["all"]]
    both = (told(interval(one, found["shopper"]), "+") for one in apart)
    yield f"| difference | {' | '.join(both)} |"
    yield ""
    yield (
        "The log of how much likelier the segment makes what its shoppers bought then: "
        f"{told(interval(lift['lift'], lift['shopper']), '+')} per line."
    )


def meaning(results: pd.DataFrame, count: int) -> Iterator[str]:
    """The figures in two sentences."""
    mean = results.groupby(["kind", "method"])["ndcg"].mean()
    new = results[(results["kind"] == "new") & results["newcomer"]].groupby("method")["ndcg"].mean()
    popular = "popular in four weeks"

    def ahead(kind: str) -> float:
        return float(mean[kind, "ALS as shipped"] / mean[kind, popular] - 1)

    yield (
        "**What it means.** Beside what was popular in the last four weeks, ALS as it is shipped "
        f"ranks {abs(ahead('new')):.0%} {'better' if ahead('new') > 0 else 'worse'} (NDCG) what "
        "somebody has not bought yet, and "
        f"{abs(ahead('again')):.0%} {'better' if ahead('again') > 0 else 'worse'} what they buy "
        "again: that goes with the season, of which ALS knows nothing. Who came after the fit is "
        f"served by folding in nearly as a new fit would ({new['… with everybody folded in']:.3f} "
        f"beside {new['ALS tuned']:.3f}; {new[popular]:.3f} by popularity), and {count} segments, "
        "while they keep their names, tell more of new purchases than everybody's popularity of "
        "all time, but less than a shopper's own tastes."
    )


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of transactions.parquet")
    parser.add_argument("-o", "--out", type=Path, default=Path("online_retail.md"))
    given = parser.parse_args()
    frame, catalogue, left_out = purchases(given.data)
    best, search = tuned(frame)
    splits = [Split.at(cut, frame) for cut in REPORTED]
    results = gathered(splits, best, frame)
    chosen = choose_count(
        frame, catalogue, as_of=REPORTED[0], most=8, least=50, seed=SEED, held_out=WEEKS
    )
    groups = Grouped.at(END, frame, catalogue, chosen.count)
    listed = ["popular in all time", "popular in four weeks", "ALS as shipped", "ALS tuned"]
    folded = ["ALS tuned, four weeks old", "… with everybody folded in"]
    number = {
        (kind, who): int(
            results[
                (results["kind"] == kind)
                & (results["method"] == "ALS tuned")
                & results["ndcg"].notna()
                & ((who == "all") | results["newcomer"])
            ]["shopper"].nunique()
        )
        for kind in ("new", "again")
        for who in ("all", "new")
    }
    sizes = groups.segments.describe()
    lines = [
        "# Online Retail: tastes and segments on a real shop's purchases",
        "",
        f"Made by `online_retail.py`: {len(frame):,} lines of orders, "
        f"{frame['shopper'].nunique():,} shoppers, {len(catalogue):,} products, "
        f"{frame['occurred_at'].min():%Y-%m-%d} to {frame['occurred_at'].max():%Y-%m-%d}. "
        f"Left out: {'; '.join(left_out)} (a line may be several).",
        f"Held out: the four weeks from {', '.join(f'{c:%Y-%m-%d}' for c in REPORTED)}. In "
        "brackets 95 % intervals, by shopper.",
        "",
        *meaning(results, chosen.count),
        "",
        f"## What {number['new', 'all']:,} shoppers bought that they had not bought before",
        "",
        *table(results, "new", "all", listed + folded, "popular in four weeks"),
        "",
        f"Of {number['new', 'new']:,} who first bought in the four weeks before the cut, whom the "
        "older fit does not know (it ranks nothing for them, and ties go by name):",
        "",
        *table(results, "new", "new", listed + folded, "popular in four weeks"),
        "",
        f"## What they bought again, {number['again', 'all']:,} with more than {K} products before",
        "",
        *table(results, "again", "all", [*listed, "own purchases so far"], "own purchases so far"),
        "",
        "## The settings, chosen on the eight weeks before all that",
        "",
        f"NDCG of new purchases from {', '.join(f'{c:%Y-%m-%d}' for c in TUNED_ON)} on; shipped "
        f"are {', '.join(f'{k} {v:g}' for k, v in DEFAULT.items())}; chosen "
        f"{', '.join(f'{k} {v:g}' for k, v in best.items())}.",
        "",
        f"| factors | regularization | confidence | recall@{K} | NDCG@{K} |",
        "|---|---|---|---|---|",
        *search,
        "",
        "Where the chosen value is an end of what was tried, better may lie beyond. Defaults stay: "
        "a shop with fewer products than factors has no use for more.",
        "",
        "## How many segments",
        "",
        f"By `choose_count` on the four weeks before {REPORTED[0]:%Y-%m-%d}, of "
        f"{chosen.shoppers:,} shoppers: **{chosen.count}**.",
        "",
        "| wanted | found | lift | error of its distance | stability | as good as the best |",
        "|---|---|---|---|---|---|",
        *(
            f"| {count} | {int(row['segments'])} | {row['lift']:.4f} | {row['error']:.4f} | "
            f"{row['stability']:.2f} | {'yes' if row['near'] else 'no'} |"
            for count, row in chosen.table.iterrows()
        ),
        "",
        f"At {END:%Y-%m-%d} they are, the least being 50:",
        "",
        "| segment | shoppers | categories |",
        "|---|---|---|",
        *(
            f"| {name} | {int(row['shoppers']):,} | {row['top_categories']} |"
            for name, row in sizes.iterrows()
        ),
        "",
        "## Who changes segment in a fortnight",
        "",
        "Fitted anew, as it was done before, and like the last; of shoppers known to both.",
        "",
        f"With {chosen.count} segments:",
        "",
        *renamed(frame, catalogue, chosen.count),
        "",
        "With 6, the default:",
        "",
        *renamed(frame, catalogue, 6),
        "",
        "## What segments foretell",
        "",
        f"With {chosen.count} segments:",
        "",
        *by_segment(splits, frame, catalogue, chosen.count),
        "",
        "With 6, the default:",
        "",
        *by_segment(splits, frame, catalogue, 6),
        "",
    ]
    given.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
