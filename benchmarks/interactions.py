"""What it costs to add ten million interactions, beside pandas reading the same file.

Run ``python benchmarks/interactions.py``; it takes some minutes and 2 GB of disk. Each way runs in
a process of its own, so that its peak memory is its own. pandas only reads: it checks nothing,
counts events twice and writes nothing; it is what one would otherwise begin with. The figures of a
run are to be compared with each other only: the machine's load is in all of them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from persona_img.ingest.interactions.columns import Columns
from persona_img.ingest.interactions.store import Interactions

PIECE = 500_000
MAPPED = "shopper=user_id,product=sku,kind=event,occurred_at=ts"
KINDS = "view=detail_view,cart=add_to_cart,purchase=order"
START = 1_767_225_600  # 2026-01-01
WAYS = ("pandas", "add", "add, events once")


def make(folder: Path, rows: int, seed: int = 0) -> None:
    """Synthetic interactions of a shop: many shoppers, fewer products, mostly views."""
    rng = np.random.default_rng(seed)
    shoppers, products = max(10, rows // 20), 20_000
    with (
        pq.ParquetWriter(folder / "events.parquet", _schema()) as parquet,
        arrow_csv.CSVWriter(folder / "events.csv", _schema()) as csv,
    ):
        for first in range(0, rows, PIECE):
            count = min(PIECE, rows - first)
            who = np.minimum(rng.zipf(1.3, count), shoppers)
            what = np.minimum(rng.zipf(1.2, count), products)
            kinds = rng.choice(["detail_view", "add_to_cart", "order"], count, p=[0.9, 0.07, 0.03])
            seconds = START + np.sort(rng.integers(0, 86_400 * 80, count))
            moments = seconds.astype("datetime64[s]")
            table = pa.table(
                [
                    pa.array(np.char.add("u", who.astype(str))),
                    pa.array(np.char.add("sku-", what.astype(str))),
                    pa.array(kinds),
                    pa.array(np.datetime_as_string(moments, timezone="UTC")),
                    pa.array(np.char.add("e", np.arange(first, first + count).astype(str))),
                ],
                schema=_schema(),
            )
            parquet.write_table(table)
            csv.write_table(table)


def _schema() -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in ("user_id", "sku", "event", "ts", "id")])


def run(way: str, path: Path, home: Path) -> None:
    """One way in this process; its figures as JSON on stdout."""
    begun = time.perf_counter()
    if way == "pandas":
        import pandas as pd

        read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
        frame = read(path)
        frame["ts"] = pd.to_datetime(frame["ts"], utc=True)
        rows = len(frame)
    else:
        mapped = [MAPPED, *(["event_id=id"] if "once" in way else [])]
        rows = Interactions(home).add(path, Columns.of(mapped, [KINDS])).rows
    taken = time.perf_counter() - begun
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    print(json.dumps({"rows": rows, "seconds": taken, "peak_mib": peak}))


def main() -> None:
    """Make the files, run every way on them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "FILE", "HOME"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        run(given.one[0], Path(given.one[1]), Path(given.one[2]))
        return
    found = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make(folder, given.rows)
        for name in ("events.parquet", "events.csv"):
            for number, way in enumerate(WAYS):
                command = [sys.executable, __file__, "--one", way, str(folder / name)]
                done = subprocess.run(
                    [*command, str(folder / f"{name}-{number}")],
                    stdout=subprocess.PIPE, check=True, text=True,
                )  # fmt: skip
                size = (folder / name).stat().st_size / 2**20
                found.append({"file": name, "mib": size, "way": way, **json.loads(done.stdout)})
    table = Table("file", "way", "seconds", "rows/s", "peak MiB", "time of pandas", "memory of it")
    for one in found:
        other = next(x for x in found if x["file"] == one["file"] and x["way"] == "pandas")
        table.add_row(
            f"{one['file']} ({one['mib']:,.0f} MiB)", one["way"], f"{one['seconds']:.1f}",
            f"{one['rows'] / one['seconds']:,.0f}", f"{one['peak_mib']:,.0f}",
            f"{one['seconds'] / other['seconds']:.2f}",
            f"{one['peak_mib'] / other['peak_mib']:.2f}",
        )  # fmt: skip
    Console(width=110).print(table)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
