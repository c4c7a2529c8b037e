"""report.md, from results.jsonl, asos.json and upworthy.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

ONCE = """# What is said where nothing differs

Written by `experiments/abtest/report.py` from `results.jsonl`, which `make bench-abtest` makes. Two
arms are alike; shoppers differ in taste (beta) and activity, which is capped at the .99 quantile.
*Refused* is told to the reader with the reason (`too_thin`, and fewer than 100 shoppers an arm).
*Missed* is how often the 95 % interval of one look excludes the truth, of what is not refused; of
2,000 tests it is known to half a point. *False at any look* is how often the interval that holds at
every look gives a verdict at this one.

| activity | outcome | shoppers an arm | tests | refused | missed | false at any look |
|---|---|--:|--:|--:|--:|--:|"""

DAYS = """
A look on each of thirty days, planned for the tenth; shoppers come over all of them, and come back:
how often any look at all gives a false verdict. Of six segments: in any of them, by Holm's rule.

| activity | outcome | shoppers an arm | segments | tests | false | by the usual interval |
|---|---|--:|--:|--:|--:|--:|"""

CUPED = """
What was known before the test is taken out (CUPED), two arms alike, 1,000 shoppers each: the part
of the variance that should go (the squared correlation of outcome and what was known), the part
that went, and how often the interval excludes the truth, with and without.

| outcome | known before: the shopper's clicks in | should go | went | missed | missed without |
|---|---|--:|--:|--:|--:|"""


def write() -> None:
    """Write report.md from what was found."""
    rows = [json.loads(line) for line in (HERE / "results.jsonl").read_text().splitlines()]
    kinds: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda row: [str(part).zfill(9) for part in row["cell"]]):
        kinds.setdefault(row["cell"][0], []).append(row)
    text = [ONCE]
    for row in kinds.get("one look", []):
        _, activity, kind, n, tests = row["cell"]
        text.append(
            f"| {activity} | {kind} | {n:,} | {tests:,} | {row['refused']:.1%} | "
            f"{share(row['missed'])} | {row['false at any look']:.1%} |"
        )
    text.append(DAYS)
    for row in kinds.get("thirty days", []) + kinds.get("segments", []):
        _, activity, kind, n, _, groups = row["cell"]
        text.append(
            f"| {activity} | {kind} | {n:,} | {groups} | {row['tests']:,} | {row['false']:.1%} | "
            f"{row['false by the usual interval']:.1%} |"
        )
    if "cuped" in kinds:
        text.append(CUPED)
    for row in kinds.get("cuped", []):
        _, outcome, before, _, _ = row["cell"]
        text.append(
            f"| {outcome} | {before} | {row['should go']:.1%} | {row['gone']:.1%} | "
            f"{row['missed']:.1%} | {row['missed without']:.1%} |"
        )
    if (HERE / "asos.json").exists():
        text.append(asos(json.loads((HERE / "asos.json").read_text())))
    if (HERE / "upworthy.json").exists():
        text.append(upworthy(json.loads((HERE / "upworthy.json").read_text())))
    (HERE / "report.md").write_text("\n".join(text) + "\n")


def asos(found: dict[str, Any]) -> str:
    """What watching real experiments says."""
    lines = [
        "\n# Real experiments, watched\n",
        "`experiments/abtest/asos.py`, of the ASOS Digital Experiments Dataset (CC BY 4.0): "
        f"{found['experiments']} experiments of a fashion shop, {found['series']:,} series of a "
        f"metric of a variant, {found['looks']:,} looks at cumulative moments by user. Both "
        "intervals at 95 %, each series by itself; the one of any look is planned for the last "
        "look. What is true of them nobody knows.\n",
        "| by | sure at some look | of these not at the last | sure at the last | when, median |",
        "|---|--:|--:|--:|--:|",
    ]
    names = {"usual": "the usual interval, at every look", "always": "the interval of any look"}
    for by, name in names.items():
        one = found[by]
        ever, back = one["sure at some look"], one["not at the last, or the other way"]
        lines.append(
            f"| {name} | {ever} | {back} ({back / max(ever, 1):.0%}) | {one['sure at the last']} | "
            f"after {one['first sure after, median part of the looks']:.0%} of the looks |"
        )
    lines.append(
        f"\nOf {found['planned as halves']} series in which the arms are within two points of "
        f"halves, the split fails in {found['split fails at one look']} by chi-square below .001, "
        f"and in {found['split fails at any look']} by the check that holds at any look. p-values "
        f"differ from scipy's by at most {found['p away from scipy, at most']:.0e} of themselves."
    )
    return "\n".join(lines)


def upworthy(found: dict[str, Any]) -> str:
    """What another picture is worth on real tests."""
    lines = [
        "\n# Another picture, another headline\n",
        "`experiments/abtest/upworthy.py`, of the Upworthy Research Archive (CC BY 4.0): "
        f"{found['tests']:,} tests of a news site; {found['left out for their randomisation']:,} "
        "arms whose randomisation is in doubt are left out. Each impression is a unit, for "
        "visitors were not kept: errors are a little too small. One pair of arms a test that "
        "differ in one thing; *true spread* is that of log rates beyond chance (DerSimonian and "
        "Laird): two thirds of true effects are smaller.\n",
        "| what differs | pairs | seen, median | its standard error | true spread |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in ("another picture, same headline", "another headline, same picture"):
        one = found[name]
        lines.append(
            f"| {name} | {one['pairs']:,} | {one['seen, median']:.1%} | "
            f"{one['standard error, median']:.1%} | {one['true spread']:.1%} |"
        )
    won = found["winners"]
    lines.append(
        f"\n{won:,} tests have one winner. In {found['with the highest rate'] / won:.0%} it has "
        f"the highest rate, in {found['that beat the second at one look'] / won:.0%} it beats the "
        f"second at one look (p < .05), and in "
        f"{found['that beat all others, corrected'] / won:.0%} all others, corrected for their "
        f"number. The split fails (chi-square below .001) in "
        f"{found['split fails (chi-square below .001)']:,} of {found['tests']:,} tests."
    )
    return "\n".join(lines)


def share(value: float | None) -> str:
    """A share as text; a dash where all were refused."""
    return "–" if value is None else f"{value:.1%}"


if __name__ == "__main__":
    write()
