"""What the loop earns in truth, round by round, by ranker and world.

Run ``python experiments/learning/bench.py --seeds 0-4``. Each line of ``results.jsonl`` is one
(world, seed, learner); what is there is not run again. ``report.md`` is written from it at the end.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from report import written
from world import WORLDS, World, made, told_spreads, truth_of

from persona_img import loop
from persona_img.demo.size import FULL
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.boosted import BoostedRanker
from persona_img.ranking.lightgbm import LightGBMRanker
from persona_img.ranking.policy import ThompsonPolicy, UniformPolicy
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.promotion import compare
from persona_img.ranking.slates import decision_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_img.domain.decision import DecisionTable
    from persona_img.ranking.base import Policy, Ranker

HERE = Path(__file__).parent
LEARNERS = ("linear", "lightgbm", "bayes", "boosted", "ceiling", "bayes+gate")
OBEYING = "+gate"
ROUNDS = {"flip": 6}
"""Rounds served, where it is not four; the table of round n learned from n - 1 rounds."""


def learner(name: str, world: World, seed: int) -> Callable[[], Ranker]:
    """How an unfitted ranker of this name is made."""
    if name == "linear":
        return lambda: LightGBMRanker(rounds=0, seed=seed)
    if name == "lightgbm":
        return lambda: LightGBMRanker(seed=seed)
    if name == "bayes":
        return BayesRanker
    if name == "boosted":
        return lambda: BoostedRanker(seed=seed)
    told = told_spreads(world)
    return lambda: BayesRanker(spreads=told, learned=False, half_life=float("inf"))


def table_of(world: World, ranker: Ranker, policy: Policy, number: int, seed: int) -> DecisionTable:
    """What is served in a round."""
    slates = loop.plan(
        ranker,
        world.space,
        world.profiled,
        world.catalog,
        slate=int(FULL.settings["learn"]["slate"]),
        variants_per_product=int(FULL.settings["learn"]["variants_per_product"]),
        seed=seed + number,
    )
    return decision_table(
        ranker,
        policy,
        slates,
        segments=world.profiled.segments,
        default_segment=world.profiled.default_segment,
        policy_version=f"round-{number}",
    )


def ran(world: World, name: str, seed: int, *, gated: bool) -> dict[str, Any]:
    """All rounds with one learner.

    Args:
        world: Where.
        name: Of :data:`LEARNERS`; followed by :data:`OBEYING`, only what the gate promotes is
            served, as in a shop, else the newest is.
        seed: Of plans and gates.
        gated: Whether every retraining is judged, and logged.
    """
    obeying = name.endswith(OBEYING)
    make = learner(name.removesuffix(OBEYING), world, seed)
    nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
    ranker: Ranker = PopularityRanker().fit(nothing, world.profiled.features)
    lifts, photos, gates, seconds, rates = [], [], [], [], []
    tables: list[DecisionTable] = []
    log: list[pd.DataFrame] = []
    learned_until = None
    rounds = ROUNDS.get(world.name, 4)
    for number in range(1, rounds + 1):
        cold = isinstance(ranker, PopularityRanker)
        table = table_of(world, ranker, UniformPolicy() if cold else ThompsonPolicy(), number, seed)
        shop = world.in_round(number)
        rates.append(shop.true_rate(table))
        lifts.append(rates[-1] / shop.true_rate() - 1)
        photos.append(
            float(
                np.mean(
                    [
                        candidate.probability
                        for slate in table.slates.values()
                        for candidate in slate.candidates
                        if candidate.style.is_original
                    ]
                )
            )
        )
        if number == rounds:
            break
        tables.append(table)
        log.append(world.feedback(table, number))
        seen = pd.concat(log, ignore_index=True)
        began = time.perf_counter()
        challenger = make().fit(seen, world.profiled.features)
        seconds.append(time.perf_counter() - began)
        promote = not obeying
        if gated or obeying:
            report = compare(
                seen,
                world.profiled.features,
                ranker,
                make,
                ThompsonPolicy(),
                tables=tables,
                since=learned_until,
                seed=seed,
            )
            promote = promote or report.promote
            gates.append(
                {
                    "promote": report.promote,
                    "difference": report.difference.value,
                    "error": report.difference.standard_error,
                    "reason": report.reason,
                }
            )
        if promote:
            ranker, learned_until = challenger, seen["shown_at"].max()
    if not obeying:
        # What each challenger was worth when it was served, with slates of its own.
        for gate, before, after in zip(gates, rates, rates[1:], strict=False):
            gate["truly"] = after - before
    return {
        "lifts": lifts,
        "photo": photos,
        "gates": gates,
        "seconds": seconds,
        "impressions": len(log[0]),
    }


def main() -> None:
    """Run what is missing and write the report."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-2", help="first-last (%(default)s)")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--learners", default=",".join(LEARNERS))
    parser.add_argument("--shoppers", type=int, default=3000)
    parser.add_argument("--gates", action="store_true", help="also judge every retraining")
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    given = parser.parse_args()
    first, _, last = given.seeds.partition("-")
    known = {(r["world"], r["seed"], r["learner"], r["shoppers"]) for r in _read(given.results)}
    for seed in range(int(first), int(last or first) + 1):
        for name in given.worlds.split(","):
            wanted = [
                one
                for one in ("truth", *given.learners.split(","))
                if (name, seed, one, given.shoppers) not in known
                and (name == "usual" or one not in ("ceiling", "bayes+gate"))
            ]
            if not wanted:
                continue
            world = made(name, seed, given.shoppers)
            for one in wanted:
                if one == "truth":
                    found = _oracles(world)
                else:
                    found = ran(world, one, seed, gated=given.gates and one != "ceiling")
                row = {"world": name, "seed": seed, "learner": one, "shoppers": given.shoppers}
                with given.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row | found, sort_keys=True) + "\n")
                print(name, seed, one, [round(x, 3) for x in found["lifts"]], flush=True)
    (given.results.parent / "report.md").write_text(written(_read(given.results)), encoding="utf-8")


def _oracles(world: World) -> dict[str, Any]:
    truth = truth_of(world)
    photo = truth.photo
    return {
        "lifts": [truth.single / photo - 1, truth.segment / photo - 1,
                  truth.individual / photo - 1],
    }  # fmt: skip


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
