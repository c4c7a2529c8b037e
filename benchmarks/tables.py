"""A decision table in its file beside the same one parsed from JSON: size, start, memory, draws.

``python benchmarks/tables.py [PRODUCTS] [SHOPPERS]``: of twenty segments, eight candidates a slate
(the photo one of them), no two slates alike. Each way of reading is measured in two processes of
their own at once, as two workers would; memory is theirs alone and their part of what they share.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from persona_img.domain.decision import Candidate, DecisionTable, Slate, uniform
from persona_img.domain.style import ORIGINAL, Style
from persona_img.domain.table_file import open_table, write_table

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

SEGMENTS, CANDIDATES, DRAWS = 20, 8, 20_000


def a_table(products: int, shoppers: int) -> DecisionTable:
    """Of so many products and shoppers."""
    luck = random.Random(7)
    looks = [Style(f"surface=s{n}") for n in range(CANDIDATES - 1)]
    segments = [f"segment-{n}" for n in range(SEGMENTS)]
    slates = {}
    for number in range(products):
        digests = [luck.randbytes(32).hex() for _ in looks]
        for segment in segments:
            weights = [0.02 + luck.random() for _ in range(CANDIDATES)]
            total = sum(weights)
            shown = [(ORIGINAL, None), *zip(looks, digests, strict=True)]
            slates[segment, f"product-{number}"] = Slate(
                tuple(
                    Candidate(style, digest, weight / total)
                    for (style, digest), weight in zip(shown, weights, strict=True)
                )
            )
    people = {f"shopper-{n}": luck.choice(segments) for n in range(shoppers)}
    return DecisionTable("v1", slates, people, segments[0])


def as_json(table: DecisionTable, path: Path) -> None:
    """As tables were served before there were files."""
    rows = [
        [*place, [[c.style.key, c.digest, c.probability] for c in slate.candidates]]
        for place, slate in table.slates.items()
    ]
    path.write_text(json.dumps({"segments": dict(table.segments), "slates": rows}))


def from_json(path: Path) -> DecisionTable:
    """The same in memory."""
    stored = json.loads(path.read_text())
    slates = {
        (segment, product): Slate(tuple(Candidate(Style(k), d, p) for k, d, p in rows))
        for segment, product, rows in stored["slates"]
    }
    return DecisionTable("v1", slates, stored["segments"], "segment-0")


def memory() -> tuple[float, float]:
    """MiB of this process alone, and with its part of what it shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kib = {name.rstrip(":"): int(value) for name, value, *_ in map(str.split, lines)}
    return (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024, kib["Pss"] / 1024


def worker(path: Path, products: int, shoppers: int, told: Queue[tuple[float, ...]]) -> None:
    """Open, draw for shoppers who are anybody, tell how that went."""
    before = memory()
    start = time.perf_counter()
    table = from_json(path) if path.suffix == ".json" else open_table(path)
    opened = time.perf_counter() - start
    luck = random.Random(8)
    asked = [
        (f"shopper-{luck.randrange(max(shoppers, 1))}", f"product-{luck.randrange(products)}")
        for _ in range(DRAWS)
    ]
    start = time.process_time()
    for shopper, product in asked:
        table.draw(table.segment(shopper), product, uniform("t", "v1", shopper, product))
    drawn = time.process_time() - start
    after = memory()
    told.put((opened, after[0] - before[0], after[1] - before[1], drawn / DRAWS * 1e6))
    time.sleep(1)  # the other one is to be there while memory is told


def main(products: int, shoppers: int) -> None:
    """Print a row for each way."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        mapped, parsed = Path(folder) / "x.table", Path(folder) / "x.json"
        table = a_table(products, shoppers)
        start = time.perf_counter()
        write_table(mapped, table)
        print(
            f"{products:,} products x {SEGMENTS}, {shoppers:,} shoppers; written in "
            f"{time.perf_counter() - start:.1f} s"
        )
        as_json(table, parsed)
        slates = len(table.slates)
        del table
        print("way     MB       bytes a slate  open s  private MiB  part MiB  draw us")
        for path in (mapped, parsed):
            told: Queue[tuple[float, ...]] = context.Queue()
            both = [
                context.Process(target=worker, args=(path, products, shoppers, told))
                for _ in range(2)
            ]
            for one in both:
                one.start()
            rows = [told.get() for _ in both]
            for one in both:
                one.join()
            mean = [sum(values) / 2 for values in zip(*rows, strict=True)]
            size = path.stat().st_size
            print(
                f"{path.suffix[1:]:7} {size / 1e6:<8.1f} {size / slates:<14.1f} "
                f"{mean[0]:<7.3f} {mean[1]:<12.1f} {mean[2]:<9.1f} {mean[3]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, (*sys.argv[1:], 1000, 0)[:2]))
