"""The tables of ``report.md``, from the lines of ``results.jsonl``."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Row = dict[str, Any]

LEARNING = "+learn"
"""Behind the names of learners that also learn during the rounds."""

_INTRODUCTION = """# What the loop learns, in truth

Made by `make bench-learning`: simulated shoppers, whose true click rates are computed, not counted.
44 products; four styles and the photo on a slate, five variants rendered a product.
Segments come from a history of sixty days; a round has fourteen days and an arm of 80 %, and the
ranker of the next round learns from all before it. **Lift** is the true click rate of the table
over the photo's for everybody. Every picture can be shown at once: no change budget is used up.
Seeds are counted from 0; none is chosen. The oracles know the truth and are bound by no slate.
Lines of earlier code stand at the end, by themselves: tastes are drawn over the styles there are,
which have changed since, so neither their oracles nor their lifts are those of today.
Priors of `bayes`, the assurance that `thompson` asks and the evidence that its memory asks were set
on seeds 100 to 105, but its makers had seen seeds 0 to 4 with earlier versions, and made the world
`worse` milder after a look at it: those seeds are a little kind to it. `boosted` adds trees where
later days say so. Lines over 995 styles were made with an assurance of .67. It is .5 by default
since: with .67 `bayes` stays at the photo on seed 0 of `interacting` (.1, .0, .6 % in rounds 2 to
4; with .5 1.2, 2.3, 15.9 %; on seed 1 10.7, 16.6, 19.0 % against 11.5, 17.5, 14.7 %), and in
`worse` .5 costs about .7 points in round 3 (tuning seeds). In the world `interacting` tastes turn
with the price and with the rest of the style, so no sum describes them.

**Served** is the same of what was shown: true clicks of the personalised arm's impressions over
true clicks of the photo in their place, weariness and all. With `+learn` the shop also calls
`learn` once a day, by the product's own code: chances follow the evidence, a picture that does
harm for certain is withdrawn for good, an arm that does stops the test until the next round's
plan; who has a picture keeps it within the round. `told` shows every round other styles, all
alike, is told the spreads, and is judged by the style that it believes best of all for each
segment and product: what exploration alone could tell, bound by no slate.

`ceiling` is the Bayesian ranker told the spreads of the effects as the simulator drew them. With
`+gate` only what the gate promotes is served, as in a shop; without it the newest ranker is, and
the gate is asked beside it. What the gate estimates is the challenger on the slates that were
served; what it is truly worth is with the slates that it plans itself.
"""

_EARLIER = """# Of earlier code, over {:,} styles

Other tastes, for they are drawn over the styles there are: to be compared among themselves only.
"""


def written(rows: Sequence[Row]) -> str:
    """The page."""
    parts = [_INTRODUCTION]
    latest = rows[-1]["styles"]
    for styles in sorted({row["styles"] for row in rows}, key=lambda count: count != latest):
        if styles != latest:
            parts.append(_EARLIER.format(styles))
        of_these = [row for row in rows if row["styles"] == styles]
        for count in sorted({row["shoppers"] for row in of_these}):
            mine = [row for row in of_these if row["shoppers"] == count]
            for world in dict.fromkeys(row["world"] for row in mine):
                here = [row for row in mine if row["world"] == world]
                parts.append(f"## World: {world}, {count:,} shoppers, {styles:,} styles\n")
                parts.append(_lifts(here))
                parts.append(_served(here))
                gates = _gates(here)
                if gates:
                    parts.append(gates)
    return "\n".join(parts)


def _by_learner(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r["seed"]):
        found[row["learner"]].append(row)
    return found


def _lifts(rows: Sequence[Row]) -> str:
    by_learner = _by_learner(rows)
    truth, told = by_learner.pop("truth", []), by_learner.pop("told", [])
    lines = []
    if truth:
        names = ("best single style", "segment oracle", "individual oracle")
        means = np.array([row["lifts"] for row in truth]).mean(axis=0)
        lines += [
            "Photo only 0 %, "
            + ", ".join(f"{name} {mean:.1%}" for name, mean in zip(names, means, strict=True))
            + f" (mean of {len(truth)} seeds, tastes of the first round).\n"
        ]
    if told:
        means = np.array([row["lifts"] for row in told]).mean(axis=0)
        lines.append(
            "Told the spreads, after rounds of exploration alone: "
            + ", ".join(f"{mean:.1%} after {count}" for count, mean in enumerate(means) if count)
            + f" (mean of {len(told)} seeds).\n"
        )
    rounds = max((len(r["lifts"]) for some in by_learner.values() for r in some), default=0)
    lines.append(
        "| learner | seeds | " + " | ".join(f"round {n + 1}" for n in range(rounds))
        + " | worst last | photo's share, last | fit, s |"
    )  # fmt: skip
    lines.append("|" + "---|" * (rounds + 5))
    for name, some in by_learner.items():
        lifts = np.array([row["lifts"] for row in some])
        share = np.mean([row["photo"][-1] for row in some])
        seconds = np.mean([row["seconds"][-1] for row in some])
        seeds = _ranges([row["seed"] for row in some])
        cells = " | ".join(f"{x:.1%}" for x in lifts.mean(axis=0))
        lines.append(
            f"| {name} | {seeds} | {cells} | {lifts[:, -1].min():.1%} | {share:.2f} |"
            f" {seconds:.1f} |"
        )
    return "\n".join(lines) + "\n\n" + _pairs(by_learner)


def _pairs(by_learner: dict[str, list[Row]]) -> str:
    """Bayes against the others on the seeds that both have."""
    lines = []
    bayes = {row["seed"]: row for row in by_learner.get("bayes", [])}
    for name, some in by_learner.items():
        both = [(bayes[row["seed"]], row) for row in some if row["seed"] in bayes]
        if name == "bayes" or name.endswith(LEARNING) or not both:
            continue
        for number in range(1, len(both[0][0]["lifts"])):
            gain = [mine["lifts"][number] - other["lifts"][number] for mine, other in both]
            error = f" ± {np.std(gain, ddof=1) / np.sqrt(len(gain)):.1%}" if len(gain) > 1 else ""
            lines.append(
                f"- bayes less {name}, round {number + 1}: {np.mean(gain):+.1%}{error}, "
                f"better on {sum(g > 0 for g in gain)} of {len(gain)} seeds"
            )
    return "\n".join(lines) + "\n" if lines else ""


def _served(rows: Sequence[Row]) -> str:
    """What was shown was worth, and what learning during the rounds adds."""
    by_learner = {
        name: measured
        for name, some in _by_learner(rows).items()
        if (measured := [row for row in some if "served" in row])
    }
    if not by_learner:
        return ""
    rounds = max(len(row["served"]) for some in by_learner.values() for row in some)
    lines = [
        "| served | seeds | " + " | ".join(f"round {n + 1}" for n in range(rounds))
        + " | worst last | withdrawn | stops |",
        "|" + "---|" * (rounds + 5),
    ]  # fmt: skip
    for name, some in by_learner.items():
        served = np.array([row["served"] for row in some])
        cells = " | ".join(f"{x:.1%}" for x in served.mean(axis=0))
        harm = "– | –"
        if name.endswith(LEARNING):
            withdrawn = np.mean([row["withdrawn"][-1] for row in some])
            harm = f"{withdrawn:.1f} | {sum(len(row['stopped']) for row in some)}"
        lines.append(
            f"| {name} | {_ranges([row['seed'] for row in some])} | {cells} | "
            f"{served[:, -1].min():.1%} | {harm} |"
        )
    lines.append("")
    for name, some in by_learner.items():
        plain = {row["seed"]: row for row in by_learner.get(name.removesuffix(LEARNING), [])}
        both = [(row, plain[row["seed"]]) for row in some if row["seed"] in plain]
        if not name.endswith(LEARNING) or not both:
            continue
        gains = np.array([np.subtract(row["served"], less["served"]) for row, less in both])
        for label, gain in [
            *((f"round {number + 1}", gains[:, number]) for number in range(gains.shape[1])),
            ("all rounds", gains.mean(axis=1)),
        ]:
            error = f" ± {np.std(gain, ddof=1) / np.sqrt(len(gain)):.1%}" if len(gain) > 1 else ""
            lines.append(
                f"- {name} less {name.removesuffix(LEARNING)}, {label}: {gain.mean():+.1%}{error}, "
                f"better on {int((gain > 0).sum())} of {len(gain)} seeds"
            )
    return "\n".join(lines) + "\n"


def _gates(rows: Sequence[Row]) -> str:
    lines = []
    for name, some in _by_learner(rows).items():
        for number in range(3):
            gates = [row["gates"][number] for row in some if len(row.get("gates", [])) > number]
            if not gates:
                continue
            promoted = sum(gate["promote"] for gate in gates)
            truly = [gate["truly"] for gate in gates if "truly" in gate]
            known = f"{100 * np.mean(truly):+.2f}" if truly else "–"
            better = [gate for gate in gates if gate.get("truly", 0.0) >= 0.005]
            z = [gate["difference"] / gate["error"] for gate in gates if gate["error"] > 0]
            lines.append(
                f"| {name} | {number + 1} | {promoted} of {len(gates)} | "
                f"{sum(g['promote'] for g in better)} of {len(better)} | "
                f"{100 * np.mean([g['difference'] for g in gates]):+.2f} "
                f"± {100 * np.mean([g['error'] for g in gates]):.2f} | "
                f"{known} | {np.mean(z) if z else 0.0:+.2f} |"
            )
    if not lines:
        return ""
    head = (
        "| learner | gate | promoted | of those truly 0.5 points better | estimated, points |"
        " truly, with new slates | mean z |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n"


def _ranges(seeds: Sequence[int]) -> str:
    whole = list(range(min(seeds), max(seeds) + 1)) == sorted(seeds)
    return f"{min(seeds)}–{max(seeds)}" if whole and len(seeds) > 1 else ", ".join(map(str, seeds))
