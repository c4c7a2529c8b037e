"""What fitting and planning cost at several sizes: points of the line in ``report.md``.

Run ``python experiments/learning/growth.py``, then ``bench.py``. Each line of ``growth.csv`` is a
size; what is there is not run again. Shops are those of ``benchmarks/rankers.py``.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from rankers import PLANNED, described, made, peak  # noqa: E402

from persona_img.ranking.bayes import BayesRanker  # noqa: E402
from persona_img.ranking.slates import plan_slates  # noqa: E402

FIT, PLAN = "fit, impressions", "plan, products"
IMPRESSIONS = (62_500, 125_000, 250_000, 500_000)
PRODUCTS = (1_250, 2_500, 5_000, 10_000)
SEGMENTS, LEARNED = 100, 200_000
COLUMNS = ("what", "size", "seconds", "gigabytes")


def fitted(rows: int) -> tuple[float, float]:
    """Seconds of the processor and peak GB, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "rankers.py"), "--rows", str(rows), "--only", "bayes"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return found["worked"], found["peak"]


def planned(ranker: BayesRanker, segments: list[str], products: list[str]) -> tuple[float, float]:
    """The same of slates for these products, in this process."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here
    worked = time.process_time()
    plan_slates(ranker, PLANNED, segments, products, seed=0)
    return time.process_time() - worked, peak()


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=HERE / "growth.csv")
    given = parser.parse_args()
    known = set()
    if given.out.exists():
        with given.out.open(encoding="utf-8", newline="") as file:
            known = {(row["what"], int(row["size"])) for row in csv.DictReader(file)}
    else:
        given.out.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def note(what: str, size: int, seconds: float, gigabytes: float) -> None:
        with given.out.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(
                (what, size, f"{seconds:.1f}", f"{gigabytes:.2f}")
            )
        print(f"{what} {size:,}: {seconds:.1f} s, {gigabytes:.2f} GB", flush=True)

    for rows in IMPRESSIONS:
        if (FIT, rows) not in known:
            note(FIT, rows, *fitted(rows))
    wanted = [count for count in PRODUCTS if (PLAN, count) not in known]
    if wanted:
        features = described(SEGMENTS, max(PRODUCTS))
        feedback = made(LEARNED, SEGMENTS, max(PRODUCTS), PLANNED)
        # How long it remembers plays no part here.
        ranker = BayesRanker(half_life=float("inf")).fit(feedback, features)
        del feedback
        segments, products = list(features.segments.index), list(features.products.index)
        for count in wanted:
            note(PLAN, count, *planned(ranker, segments, products[:count]))


if __name__ == "__main__":
    main()
