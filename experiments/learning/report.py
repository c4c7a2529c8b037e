"""The tables of ``report.md``, from the lines of ``results.jsonl``."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Row = dict[str, Any]

LEARNING = "+learn"
"""Behind the names of learners that also learn during the rounds."""

_SHOPPERS = 3000
_GROWTH = Path(__file__).parent / "growth.csv"
_GROWN = {"fit, impressions": 5_000_000, "plan, products": 100_000}
"""What was measured at several sizes, and the size that is asked of a line through them."""

_GROWING = """Measured by `python experiments/learning/growth.py`, on shops of
`benchmarks/rankers.py`: `bayes` fitted on so many impressions of 20 segments and 1,000 products
(its peak holds the table of impressions too); and slates planned for 100 segments, so many
products and 289 styles, by a `bayes` that learned from 200,000 impressions. One core of a machine
that was busy with other work, so the processor's seconds are told and not the clock's. On paper:
the line through the points, continued.
"""

_INTRODUCTION = """# What the loop learns, in truth

Made by `make bench-learning`: simulated shoppers, whose true click rates are computed, not counted.
44 products; four styles and the photo on a slate, five variants rendered a product.
Segments come from a history of sixty days; a round has fourteen days and an arm of 80 %, and the
ranker of the next round learns from all before it. **Lift** is the true click rate of the table
over the photo's for everybody. Every picture can be shown at once: no change budget is used up.
Seeds are counted from 0; none is chosen. The oracles know the truth and are bound by no slate.
Lines of earlier code stand at the end, by themselves: tastes are drawn over the styles there are,
which have changed since, so neither their oracles nor their lifts are those of today.
Priors of `bayes`, the assurance that `thompson` asks and the evidence that its memory asks were
set on seeds 100 to 109, but its makers had seen seeds 0 to 4 with earlier versions, and made the
world `worse` milder after a look at it: those seeds are a little kind to it. `boosted` adds trees
where later days say so. Lines over 995 styles are of today's code, with the default assurance of
.5, of seeds as far as they were run: the same call goes on behind them. In the world `interacting`
tastes turn with the price and with the rest of the style, so no sum describes them.

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

_BECAUSE = """
**Why `bayes` trails `linear` where tastes stay and add up.** On the tuning seeds 100 to 107 it
earned 25.4 % in round 3 and `linear` 27.7 (2.3 ± 1.1 less). From the same first round (the same
seeds, round 2, before the change told of below) it earned 21.1 % and `linear` 22.7; shown what
each believed best but for a tenth, 22.3 and 24.2. So 1.2 points are what trying costs; about
another (.6 ± .5 shown, 1.1 ± .6 believed) is what `bayes` pays for asking whether tastes turn with
the price, of which there is nothing here, but without which it earns 6.6 instead of 12.4 % in the
same round of `interacting` (seven seeds); told the simulator's spreads it earned 21.7 %. What is
left is one seed (107), within error. Nothing of it was taken away: trying and asking are what
`worse`, `flip` and `interacting` live on.

**Why variants were shown that lose.** With a first round of 1,500 clicks the class of all variants
is known to about five points, and of a thousand styles the luckiest looks better than a photo that
beats them all. `bayes` believed tastes as strong as its guess, for each kind of effects alone says
little against it; all kinds together say more, and now do. In `worse`, round 3, seeds 100 to 104:
-1.2, -.8, -5.4, -.9, -1.5 % before; -.3, -.3, -3.7, -.3, -.3 % now, of which half a point is the
floor's fall. In `usual`, the same seeds: 17.9, 27.6, 33.6, 24.5, 32.2 % before; 18.4, 26.1, 33.1,
24.0, 33.5 % now. Shops whose first rounds say by luck that variants are no worse (102, and seeds
0, 2, 5 and 14 below) take a round more to find out. Tastes guessed weaker do not mend it: with .4
of the guess seeds 102, 106 and 107 lose 5.5, .6 and .7 % in round 2 instead of 6.4, 3.4 and 4.7,
but the usual shop with the same bad luck stays at the photo (seed 100: 2.1 instead of 13.2 %);
with .6 of it round 3 of these three is no better (-2.5, -2.4, -.6 % for -3.7, -.4, -.4), nor of
seeds 0 to 2, which were looked at with it once (-1.3, -1.6, -8.0 % for -2.6, -1.8, -4.3). It was
not taken.
"""

_EARLIER = """# Of earlier code, over {:,} styles

Other tastes, for they are drawn over the styles there are: to be compared among themselves only.
"""


def written(rows: Sequence[Row]) -> str:
    """The page."""
    latest = rows[-1]["styles"]
    today = [row for row in rows if row["styles"] == latest and row["shoppers"] == _SHOPPERS]
    parts = [_INTRODUCTION, _asked(today), _BECAUSE, growth()]
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


def _asked(rows: Sequence[Row]) -> str:
    """What was asked of ``bayes``, and what came."""
    found = {
        world: {row["seed"]: row for row in rows if (row["world"], row["learner"]) == (world, who)}
        for who in ("bayes",)
        for world in ("usual", "worse", "equal", "flip", "shuffled")
    }
    truth = {(row["world"], row["seed"]): row for row in rows if row["learner"] == "truth"}
    lines = ["## What was asked, and what came\n", "| asked | came | seeds |", "|---|---|---|"]

    def line(asked: str, came: str, some: Mapping[int, Row]) -> None:
        if some:
            lines.append(f"| {asked} | {came} | {_ranges(sorted(some))} |")

    some = found["worse"]
    if some:
        third = np.array([row["lifts"][2] for row in some.values()])
        share = float(np.mean([row["photo"][2] for row in some.values()]))
        came = f"{_mean(third)}, median {np.median(third):.1%}; within 1 % on {sum(third > -0.01)}"
        line("all variants worse: less than 1 % lost in round 3", came, some)
        line("the photo's share above .9 there", f"{share:.2f}", some)
    some = found["usual"]
    if some:
        third = np.array([row["lifts"][2] for row in some.values()])
        single, oracle = np.array([truth["usual", seed]["lifts"][:2] for seed in some]).T
        line("usual, round 3: 85 % of the segment oracle", f"{third.mean() / oracle.mean():.0%} "
             f"({_mean(third)} of {oracle.mean():.1%})", some)  # fmt: skip
        line("best single style beaten by round 3 on every seed", f"on {sum(third > single)}", some)
    some = found["equal"]
    if some:
        worst = min(min(row["lifts"]) for row in some.values())
        line("equal tastes: less than 1 % lost", f"{abs(worst):.1%} at most", some)
        second = [row["gates"][1] for row in some.values() if len(row.get("gates", [])) > 1]
        if second:
            z = [gate["difference"] / gate["error"] for gate in second if gate["error"] > 0]
            line("equal tastes: second gate's difference 0 within its error",
                 f"mean z {np.mean(z) if z else 0.0:+.2f} of {len(z)}", some)  # fmt: skip
    some = found["flip"]
    if some:
        fifth, sixth = np.array([row["lifts"][4:6] for row in some.values()]).T
        good = sum(np.maximum(fifth, sixth) > 0)
        came = f"{_mean(fifth)}, then {_mean(sixth)}; positive on {good} of {len(some)}"
        line("tastes turned: positive within two rounds", came, some)
    some = {seed: row for seed, row in found["shuffled"].items() if seed in found["usual"]}
    if some:
        less = np.array(
            [found["usual"][s]["lifts"][3] - row["lifts"][3] for s, row in some.items()]
        )
        gap = np.array(
            [truth["shuffled", s]["lifts"][1] - truth["shuffled", s]["lifts"][0] for s in some]
        )
        came = (
            f"true segments less shuffled ones, round 4: {_mean(less)}; the oracle's {_mean(gap)}"
        )
        line("segments dealt at random: their gain vanishes", came, some)
    return "\n".join(lines) + "\n"


def _mean(values: Floats) -> str:
    error = f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1%}" if len(values) > 1 else ""
    return f"{np.mean(values):+.1%}{error}"


def growth() -> str:
    """How the costs grow, from the points that were measured."""
    if not _GROWTH.exists():
        return ""
    with _GROWTH.open(encoding="utf-8", newline="") as file:
        points = list(csv.DictReader(file))
    lines = ["## What it costs, and how that grows\n", _GROWING]
    lines += ["| what | size | processor, s | peak, GB |", "|---|---|---|---|"]
    for what, many in _GROWN.items():
        mine = [point for point in points if point["what"] == what]
        if len(mine) < 2:  # through one point there are many lines
            continue
        size = np.array([float(point["size"]) for point in mine])
        for point in mine:
            lines.append(
                f"| {what} | {int(point['size']):,} | {float(point['seconds']):.1f} | "
                f"{float(point['gigabytes']):.2f} |"
            )
        seconds, held = (
            np.polyfit(size, [float(point[name]) for point in mine], 1)
            for name in ("seconds", "gigabytes")
        )
        power = np.polyfit(np.log(size), np.log([float(p["seconds"]) for p in mine]), 1)[0]
        lines.append(
            f"| {what}, on paper | {many:,} | {np.polyval(seconds, many):,.0f} | "
            f"{np.polyval(held, many):.1f} |"
        )
        lines.append(f"| – it grows as the size to the power | {power:.2f} | | |")
    return "\n".join(lines) + "\n"


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
        + " | worst last | photo's share from round 2 | fit, s |"
    )  # fmt: skip
    lines.append("|" + "---|" * (rounds + 5))
    for name, some in by_learner.items():
        lifts = np.array([row["lifts"] for row in some])
        share = " · ".join(f"{x:.2f}" for x in np.mean([row["photo"][1:] for row in some], axis=0))
        seconds = np.mean([row["seconds"][-1] for row in some])
        seeds = _ranges([row["seed"] for row in some])
        cells = " | ".join(f"{x:.1%}" for x in lifts.mean(axis=0))
        lines.append(
            f"| {name} | {seeds} | {cells} | {lifts[:, -1].min():.1%} | {share} | {seconds:.1f} |"
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
