"""What the loop earns in truth, round by round, by ranker and world.

Run ``python experiments/learning/bench.py --seeds 0-4``. Each line of ``results.jsonl`` is one
(world, seed, learner) and of how many styles there were, for tastes are drawn over them; what is
there is not run again. ``report.md`` is written from it at the end.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from report import written
from world import ARMS, WORLDS, World, made, told_spreads, truth_of

from persona_img import loop, wiring
from persona_img.abtest.analysis import ABTest
from persona_img.demo.size import FULL
from persona_img.domain.decision import Candidate, Slate
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.domain.style import ORIGINAL
from persona_img.ranking.bayes import BayesRanker
from persona_img.ranking.boosted import BoostedRanker
from persona_img.ranking.lightgbm import LightGBMRanker
from persona_img.ranking.policy import ThompsonPolicy, UniformPolicy
from persona_img.ranking.popularity import PopularityRanker
from persona_img.ranking.promotion import compare
from persona_img.ranking.slates import decision_table
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from persona_img.domain.decision import DecisionTable
    from persona_img.ranking.base import Policy, Ranker

HERE = Path(__file__).parent
OBEYING, LEARNING = "+gate", "+learn"
LEARNERS = (
    "linear", "lightgbm", "bayes", "boosted", "ceiling", "bayes+gate",
    "bayes+learn", "linear+learn", "told",
)  # fmt: skip
_NAMES = ("world", "seed", "learner", "shoppers", "styles")
_SAME = 1e-9
"""Difference in a lift that is none."""

LOOKS = 14
"""Calls of ``learn`` in a round: one a day."""

SOME_WORLDS = {
    "ceiling": ("usual",),
    "bayes+gate": ("usual",),
    # What they are told is the form of tastes that add up, and stay.
    "told": ("usual", "worse"),
}
"""Learners that are not run everywhere."""

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


Pictures = set[tuple[str, str]]
"""Product and style key."""


def table_of(
    world: World,
    ranker: Ranker,
    policy: Policy,
    number: int,
    seed: int,
    withdrawn: Pictures | None = None,
) -> DecisionTable:
    """What is planned for a round; what was withdrawn is refused, as a store of variants would."""
    slates = loop.plan(
        ranker,
        world.space,
        world.profiled,
        world.catalog,
        slate=int(FULL.settings["learn"]["slate"]),
        variants_per_product=int(FULL.settings["learn"]["variants_per_product"]),
        seed=seed + number,
    )
    refused = withdrawn or set()
    shown = {
        (segment, product): tuple(s for s in styles if (product, s.key) not in refused)
        for (segment, product), styles in slates.items()
    }
    return decision_table(
        ranker,
        policy,
        shown,
        segments=world.profiled.segments,
        default_segment=world.profiled.default_segment,
        policy_version=f"round-{number}",
        # Every style of a product is one picture, named after it.
        digests={(p, s.key): s.key for (_, p), some in shown.items() for s in some},
    )


@dataclass
class Learning:
    """``loop.learn`` between two trainings, as a shop calls it.

    Attributes:
        withdrawn: Pictures that did harm, of all rounds.
        revoked: Plans that were stopped.
        tables: Every table that was served.
        stopped: Rounds in which the test was stopped.
        moved: Slates whose chances were changed, counted at every call.
    """

    withdrawn: Pictures = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    tables: list[DecisionTable] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    moved: int = 0

    def decider(self, table: DecisionTable) -> Decider:
        """Serves a plan; nobody keeps a picture of an earlier one."""
        self.tables.append(table)
        log = MemoryEventLog()
        return Decider(table, ARMS, log, servable=lambda d, p: (p, d) not in self.withdrawn)

    def look(
        self,
        decider: Decider,
        plan: DecisionTable,
        ranker: Ranker,
        feedback: pd.DataFrame,
        since: datetime | None,
        number: int,
    ) -> None:
        """One call of ``learn``, and what follows from it."""
        if plan.policy_version in self.revoked:
            return
        found = loop.learn(
            plan,
            decider.table,
            ranker,
            ThompsonPolicy(),
            feedback,
            ABTest(ARMS.test, arms=dict(ARMS.shares)),
            since=since,
            revoked=self.revoked,
        )
        if found.stop:
            photo = Slate((Candidate(ORIGINAL, None, 1.0),))
            table = replace(
                plan,
                policy_version=f"{plan.policy_version}-stopped",
                slates=dict.fromkeys(plan.slates, photo),
            )
            self.revoked |= {one.plan for one in self.tables}
            self.stopped.append(number)
            self.tables.append(table)
            decider.replace(table, self.revoked)
        elif found.moved:
            self.moved += found.moved
            self.tables.append(found.table)
            decider.replace(found.table, self.revoked)
        self.withdrawn |= {(one.product, one.style_key) for one in found.harmful}


def ran(world: World, name: str, seed: int, *, gated: bool, looks: int = LOOKS) -> dict[str, Any]:
    """All rounds with one learner.

    Args:
        world: Where.
        name: Of :data:`LEARNERS`; followed by :data:`OBEYING`, only what the gate promotes is
            served, as in a shop, else the newest is; by :data:`LEARNING`, ``learn`` is called
            during the rounds.
        seed: Of plans and gates.
        gated: Whether every retraining is judged, and logged.
        looks: How often a round ``learn`` is called.
    """
    obeying, learning = name.endswith(OBEYING), name.endswith(LEARNING)
    make = learner(name.removesuffix(OBEYING).removesuffix(LEARNING), world, seed)
    nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
    ranker: Ranker = PopularityRanker().fit(nothing, world.profiled.features)
    lifts, photos, gates, seconds, rates, earned = [], [], [], [], [], []
    withdrawn, impressions = [], []
    between = Learning()
    log: list[pd.DataFrame] = []
    learned_until = None
    rounds = ROUNDS.get(world.name, 4)
    for number in range(1, rounds + 1):
        cold = isinstance(ranker, PopularityRanker)
        policy = UniformPolicy() if cold else ThompsonPolicy()
        table = table_of(world, ranker, policy, number, seed, between.withdrawn)
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
        decider = between.decider(table)
        coming = world.round(number)
        clicks = photo = 0.0
        for part in coming.parts(looks if learning else 1):
            served = coming.served(part, decider)
            clicks, photo = clicks + served.clicks, photo + served.photo
            log.append(served.feedback)
            if learning:
                seen = pd.concat(log, ignore_index=True)
                between.look(decider, table, ranker, seen, learned_until, number)
        earned.append(clicks / photo - 1)
        withdrawn.append(len(between.withdrawn))
        impressions.append(len(coming.coming))
        if number == rounds:
            break
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
                tables=between.tables,
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
    found = {
        "lifts": lifts,
        "served": earned,
        "photo": photos,
        "gates": gates,
        "seconds": seconds,
        "impressions": impressions[0],
    }
    if learning:
        found |= {"withdrawn": withdrawn, "stopped": between.stopped, "looks": looks}
    return found


def explored(world: World, seed: int) -> dict[str, Any]:
    """What exploration alone tells a learner that is told the spreads.

    Every round shows other styles, all alike, as if nothing were known; what is judged is the style
    that the learner believes to be best of the whole space for each segment and product. So neither
    slates nor what others were shown limits it: only what these impressions tell.
    """
    nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
    cold = PopularityRanker().fit(nothing, world.profiled.features)
    segments = sorted(set(world.profiled.segments.values()) | {world.profiled.default_segment})
    products = [product.product for product in world.catalog]
    truth, styles = truth_of(world), list(world.shop.tastes.styles)
    lifts, seconds = [0.0], []
    log: list[pd.DataFrame] = []
    for number in range(1, ROUNDS.get(world.name, 4)):
        table = table_of(world, cold, UniformPolicy(), number, seed)
        coming = world.round(number)
        decider = Learning().decider(table)
        log += [coming.served(part, decider).feedback for part in coming.parts(1)]
        began = time.perf_counter()
        ranker = learner("told", world, seed)().fit(
            pd.concat(log, ignore_index=True), world.profiled.features
        )
        seconds.append(time.perf_counter() - began)
        assert isinstance(ranker, BayesRanker)
        best = ranker.scores(segments, products, styles).argmax(axis=2)[..., None]
        earned = float(np.take_along_axis(truth.rate, best, axis=2).sum())
        lifts.append(earned / truth.photo - 1)
    return {"lifts": lifts, "seconds": seconds}


def main() -> None:
    """Run what is missing and write the report."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-2", help="first-last (%(default)s)")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--learners", default=",".join(LEARNERS))
    parser.add_argument("--shoppers", type=int, default=3000)
    parser.add_argument("--gates", action="store_true", help="also judge every retraining")
    parser.add_argument(
        "--looks", type=int, default=LOOKS, help="calls of learn in a round (%(default)s)"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    given = parser.parse_args()
    first, _, last = given.seeds.partition("-")
    learners = given.learners.split(",")
    styles = len(wiring.style_space(Settings(home=Path("unused"))).styles())
    known = {
        (r["world"], r["seed"], r["learner"], r["shoppers"]): r
        for r in _read(given.results)
        if r["styles"] == styles
    }
    for seed in range(int(first), int(last or first) + 1):
        for name in given.worlds.split(","):
            wanted = [
                one
                for one in ("truth", *learners)
                if _missing(known.get((name, seed, one, given.shoppers)), one, learners)
                and name in SOME_WORLDS.get(one, WORLDS)
            ]
            if not wanted:
                continue
            world = made(name, seed, given.shoppers)
            for one in wanted:
                if one == "truth":
                    found = _oracles(world)
                elif one == "told":
                    found = explored(world, seed)
                else:
                    gated = given.gates and one != "ceiling" and not one.endswith(LEARNING)
                    found = ran(world, one, seed, gated=gated, looks=given.looks)
                row = {
                    "world": name, "seed": seed, "learner": one,
                    "shoppers": given.shoppers, "styles": styles,
                }  # fmt: skip
                before = known.get((name, seed, one, given.shoppers), {})
                if before and not np.allclose(before["lifts"], found["lifts"], atol=_SAME):
                    raise SystemExit(
                        f"{row}: lifts {found['lifts']} were {before['lifts']} with earlier code; "
                        "make the whole file anew"
                    )
                found = {key: value for key, value in found.items() if key not in before}
                with given.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row | found, sort_keys=True) + "\n")
                told = found.get("served") or found["lifts"]
                print(name, seed, one, [round(x, 3) for x in told], flush=True)
    (given.results.parent / "report.md").write_text(written(_read(given.results)), encoding="utf-8")


def _oracles(world: World) -> dict[str, Any]:
    truth = truth_of(world)
    photo = truth.photo
    return {
        "lifts": [truth.single / photo - 1, truth.segment / photo - 1,
                  truth.individual / photo - 1],
    }  # fmt: skip


def _missing(row: dict[str, Any] | None, learner: str, asked: Sequence[str]) -> bool:
    """Whether a learner is to be run: also where what it is compared by was not measured yet."""
    return row is None or (learner + LEARNING in asked and "served" not in row)


def _read(path: Path) -> list[dict[str, Any]]:
    """Rows; of one world, seed and learner, later lines add to earlier ones."""
    if not path.exists():
        return []
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(tuple(row[name] for name in _NAMES), {}).update(row)
    return list(found.values())


if __name__ == "__main__":
    main()
