"""What shoppers' own traits earn beside their segment, in truth.

Run ``python experiments/learning/personal.py --seeds 0-4``. Each line of ``personal.jsonl`` is one
(world, seed, shoppers); what is there is not run again. ``personal.md`` is written from it.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from bench import table_of
from world import ARMS, World, made, truth_of

from persona_img import loop
from persona_img.demo.run import HISTORY_DAYS, ROUND_DAYS, START
from persona_img.domain.decision import uniform
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.profiles.frame import FrameFeatureSource
from persona_img.profiles.traits import trait_names, trait_table
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.leaning import fit_leaning
from persona_img.ranking.own_chances import counted_for_segments
from persona_img.ranking.policy import ThompsonPolicy, UniformPolicy
from persona_img.ranking.popularity import PopularityRanker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.domain.decision import DecisionTable
    from persona_img.ranking.base import Ranker

HERE = Path(__file__).parent
WORLDS = ("usual", "personal", "equal")
ROUNDS = 4

_INTRODUCTION = """# What shoppers' own traits earn

Made by `python experiments/learning/personal.py`: simulated shoppers, whose true click rates are
computed. 44 products, four styles and the photo on a slate, ranker `bayes`, seeds from 0, none
chosen. A round has fourteen days; what is served in round n learned from the n - 1 before it, once
with every shopper drawn for by the segment's chances (**segment**) and once by chances turned by
what the feature store knows of the single shopper (**personal**): each feeds its own log.

`usual` is the world of the other reports: shoppers of a group differ a little, at random, which no
trait tells. In `personal` tastes also turn with how active the single shopper is (invented: 0.12
log-odds a deviation and attribute value), which a profile shows and segments do not. In `equal`
every picture is as good as the photo: nothing can be earned or lost there. **Kept** says how often
later clicks were told better with traits than without, by more than a standard error.

With personal chances a style is shown more to those who like it. Rankers learn from it what the
segment clicks: an impression counts as the segment's chance over the one it was drawn with
(`ranking/own_chances.py`). Whether traits are kept is judged by the later 60 % of the impressions,
in three pieces. Without either, by the last 30 % alone, seeds 0 to 4 of `personal` had gained
3.6 ± 1.1, 1.2 ± 2.3 and 1.6 ± 4.3 points: traits were given up in one round and learned again in
the next. Single shops differ much from round to round, for the two logs are two histories.

Impressions that count unequally are counted for as many as they tell (Kish 1965). Counted for as
many as they are, rankers were surer than they can be, and the same ten shops of `personal` gained
2.7 ± 0.7, 5.7 ± 2.0 and 6.6 ± 2.8 points.
"""


class Study:
    """A world whose shoppers' traits are known.

    Args:
        world: Where.
        traits: float64 (N, D) by shopper, as the feature store tells them.
        names: Of the D.
    """

    def __init__(self, world: World, traits: pd.DataFrame) -> None:
        self.world, self.traits = world, traits

    @classmethod
    def of(cls, name: str, seed: int, shoppers: int) -> Study:
        """Profiles of sixty days of history, as `persona-img profile` publishes them."""
        world = made(name, seed, shoppers)
        with TemporaryDirectory() as folder:
            source = FrameFeatureSource(Path(folder))
            loop.profile(
                world.shop.interactions(HISTORY_DAYS, START),
                world.catalog,
                source,
                as_of=START,
                count=len(set(world.profiled.segments.values())),
                least=50,
                seed=seed,
            )
            ids = list(world.shop.shoppers["shopper"])
            known = source.online(ids, now=START)
        moment = START.timestamp()
        return cls(world, trait_table(known, trait_names(known), [moment] * len(known)))

    def _chances(self, table: DecisionTable, shopper: str, product: str) -> tuple[Any, np.ndarray]:
        """The slate, and the chances that the shopper has."""
        segment, slate = table.slate(shopper, product)
        if table.personal is None:
            return slate, np.array([c.probability for c in slate.candidates])
        return slate, self._tilted(table, segment, product)[shopper]

    def _tilted(self, table: DecisionTable, segment: str, product: str) -> dict[str, np.ndarray]:
        place = (table.policy_version, segment, product)
        if place not in self._kept:
            who = [s for s in self.traits.index if table.slate(s, product)[0] == segment]
            slate = table.slates[segment, product]
            known = self.traits.loc[who].to_numpy()
            found = table.personal.chances(slate, segment, known)
            self._kept[place] = dict(zip(who, found, strict=True))
        return self._kept[place]

    def lift(self, table: DecisionTable) -> float:
        """True click rate of the table over the photo's, every shopper by the own chances."""
        shop = self.world.shop
        return shop.true_rate(table, traits=self.traits) / shop.true_rate() - 1

    def feedback(self, table: DecisionTable, number: int) -> pd.DataFrame:
        """One round of impressions, as the log would return it."""
        shop = self.world.shop
        start = START + timedelta(days=ROUND_DAYS * (number - 1))
        rows = []
        for visit in shop.visits(number, start, ROUND_DAYS, visits_per_shopper=3.0):
            arm = ARMS.assign(visit.shopper)
            for position, (product, seen) in enumerate(
                zip(visit.products, visit.seen, strict=True), 1
            ):
                segment, _ = table.slate(visit.shopper, product)
                key, chance = "original", 1.0
                if arm != "control":
                    slate, chances = self._chances(table, visit.shopper, product)
                    luck = uniform("hero", table.policy_version, visit.shopper, product)
                    drawn = min(int(np.searchsorted(chances.cumsum(), luck, "right")),
                                len(chances) - 1)  # fmt: skip
                    key = slate.candidates[drawn].style.key
                    chance = float(chances[drawn])
                rows.append((f"{visit.visit}-{position}", visit.shopper, product, segment, arm, key,
                             chance, position, visit.at, seen))  # fmt: skip
        columns = ("decision_id", "shopper", "product", "segment", "arm", "style_key", "propensity",
                   "position", "at", "seen")  # fmt: skip
        frame = pd.DataFrame(rows, columns=columns)
        rates = shop.click_probabilities(
            list(frame["shopper"]), list(frame["product"]), list(frame["style_key"]),
            position=list(frame["position"]), exposures=list(frame["seen"]),
        )  # fmt: skip
        luck = np.random.default_rng([shop.seed, number]).random(len(frame))
        return frame.drop(columns=["seen", "at"]).assign(
            test="hero",
            digest=None,
            policy_version=table.policy_version,
            shown_at=pd.to_datetime(frame["at"], unit="s", utc=True),
            clicked=(luck < rates).astype("int64"),
            converted=np.int64(0),
        )

    def ran(self, seed: int, *, personal: bool) -> dict[str, Any]:
        """Lifts by round, and what was found of the traits."""
        self._kept: dict[tuple[str, str, str], dict[str, np.ndarray]] = {}
        nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
        ranker: Ranker = PopularityRanker().fit(nothing, self.world.profiled.features)
        lifts, kept, log, tables = [], [], [], []
        leaning = None
        for number in range(1, ROUNDS + 1):
            policy = UniformPolicy() if number == 1 else ThompsonPolicy()
            table = table_of(self.world, ranker, policy, number, seed)
            slates = {
                place: tuple(c.style for c in slate.candidates)
                for place, slate in table.slates.items()
            }
            table = replace(table, personal=loop.personal(leaning, ranker, policy, slates))
            tables.append(table)
            lifts.append(self.lift(table))
            if number == ROUNDS:
                break
            log.append(self.feedback(table, number))
            seen = pd.concat(log, ignore_index=True)
            counted = counted_for_segments(seen, tables)
            ranker = BayesRanker().fit(counted, self.world.profiled.features)
            if personal:
                traits = self.traits.loc[seen["shopper"]].reset_index(drop=True)
                leant = fit_leaning(seen, traits, ranker)
                leaning = leant.leaning
                kept.append([leaning is not None, leant.gain, leant.error])
        return {"lifts": lifts, "kept": kept}


def main() -> None:
    """Run what is missing and write the page."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-4", help="first-last (%(default)s)")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--shoppers", type=int, default=3000)
    parser.add_argument("--results", type=Path, default=HERE / "personal.jsonl")
    given = parser.parse_args()
    rows = _read(given.results)
    known = {(row["world"], row["seed"], row["shoppers"]) for row in rows}
    first, _, last = given.seeds.partition("-")
    for seed in range(int(first), int(last or first) + 1):
        for name in given.worlds.split(","):
            if (name, seed, given.shoppers) in known:
                continue
            study = Study.of(name, seed, given.shoppers)
            truth = truth_of(study.world)
            row = {
                "world": name,
                "seed": seed,
                "shoppers": given.shoppers,
                "oracles": [truth.segment / truth.photo - 1, truth.individual / truth.photo - 1],
                "segment": study.ran(seed, personal=False),
                "personal": study.ran(seed, personal=True),
            }
            with given.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, sort_keys=True) + "\n")
            print(name, seed, [[round(x, 3) for x in row[k]["lifts"]] for k in
                  ("segment", "personal")], row["personal"]["kept"], flush=True)  # fmt: skip
    (given.results.with_suffix(".md")).write_text(written(_read(given.results)), encoding="utf-8")


def written(rows: Sequence[dict[str, Any]]) -> str:
    """The page."""
    lines = [
        _INTRODUCTION,
        "| world | shoppers | seeds | | round 2 | round 3 | round 4 | kept |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for world, shoppers in dict.fromkeys((row["world"], row["shoppers"]) for row in rows):
        some = [r for r in rows if (r["world"], r["shoppers"]) == (world, shoppers)]
        by = {k: np.array([r[k]["lifts"][1:] for r in some]) for k in ("segment", "personal")}
        kept = sum(k[0] for r in some for k in r["personal"]["kept"])
        of = sum(len(r["personal"]["kept"]) for r in some)
        for kind, lifts in by.items():
            cells = " | ".join(f"{x:.1%}" for x in lifts.mean(axis=0))
            told = f"{kept} of {of}" if kind == "personal" else ""
            lines.append(f"| {world} | {shoppers:,} | {len(some)} | {kind} | {cells} | {told} |")
        gain = by["personal"] - by["segment"]
        error = gain.std(axis=0, ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else [0.0] * 3
        cells = " | ".join(
            f"{m:+.1%} ± {e:.1%}, {int((g > 0).sum())} of {len(g)}"
            for m, e, g in zip(gain.mean(axis=0), error, gain.T, strict=True)
        )
        lines.append(f"| | | | gain, better on | {cells} | |")
        segment, individual = np.array([r["oracles"] for r in some]).mean(axis=0)
        lines.append(f"| | | | oracles | segment {segment:.1%} | individual {individual:.1%} | | |")
    return "\n".join(lines) + "\n"


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
