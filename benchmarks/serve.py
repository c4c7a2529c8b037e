"""How fast a picture is decided: in process, and over HTTP beside a route that does nothing.

Run ``python benchmarks/serve.py``; it takes less than 20 seconds and needs nothing. The figures
of a run are to be compared with each other only: the machine's load is in all of them. Clients
run in a process of their own and keep their connections open.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from rich.console import Console
from rich.table import Table

from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms, Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL, Style
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.key import DecisionKey
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer
from persona_img.serving.sqlite_log import SqliteEventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 0.9
CONNECTIONS = 16
EVENTS = 20
NOON = 1_760_000_000.0
SLATE = Slate(
    (Candidate(ORIGINAL, None, 0.1), Candidate(Style("light=soft"), "ab" * 32, 0.9)),
)
TABLE = DecisionTable("v1", {("all", "mug"): SLATE}, {}, "all")
ARMS = Arms("bench", {"control": 0.5, "personalized": 0.5})
KEY = DecisionKey(b"nobody sends events to a benchmark")
Latencies = list[float]


def in_process(decide: Callable[[int], object], threads: int) -> Latencies:
    """Seconds of each call; ``threads`` callers at once share one sequence of numbers."""
    numbers = itertools.count()
    end = time.perf_counter() + SECONDS

    def caller(_: int) -> Latencies:
        taken = []
        while (start := time.perf_counter()) < end:
            decide(next(numbers))
            taken.append(time.perf_counter() - start)
        return taken

    with ThreadPoolExecutor(threads) as pool:
        return [t for each in pool.map(caller, range(threads)) for t in each]


def requests_of(kind: str, decision_id: str) -> Iterator[bytes]:
    """HTTP requests without end, no two of them for the same new thing."""
    for number in itertools.count():
        if kind == "events":
            names = [f"e{number}-{n}" for n in range(EVENTS)]
            events = [
                {
                    "event_id": name,
                    "kind": "impression",
                    "decision_id": decision_id,
                    "impression_id": name,
                    "occurred_at": NOON,
                }
                for name in names
            ]
            body = json.dumps({"events": events})
            head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
            yield f"{head}\r\n\r\n{body}".encode()
        else:
            shopper = f"n{number}" if kind == "new" else "kept"
            path = "/noop" if kind == "noop" else f"/v1/variant?shopper={shopper}&product=mug"
            yield f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def over_http(url: str, kind: str, decision_id: str) -> Latencies:
    """Seconds of each request over connections that stay open."""
    place = urlsplit(url)
    requests = requests_of(kind, decision_id)
    end = time.perf_counter() + SECONDS

    async def client() -> Latencies:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        taken = []
        while time.perf_counter() < end:
            request = next(requests)
            start = time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(f"{kind}: {head!r}")
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length))
            if kind == "events" and b'"rejected":0' not in body:
                raise RuntimeError(f"{kind}: {body!r}")
            taken.append(time.perf_counter() - start)
        writer.close()
        return taken

    each = await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return [t for taken in each for t in taken]


def load(url: str, kind: str, decision_id: str) -> Latencies:
    """As :func:`over_http`, to be run in the clients' process."""
    return asyncio.run(over_http(url, kind, decision_id))


def row(table: Table, name: str, taken: Latencies, cpu: float, beside: float) -> None:
    """Add a line: throughput, percentiles, CPU time a call, and its ratio to ``beside``."""
    p50, p99 = np.percentile(taken, [50, 99]) * 1e3
    figures = (f"{len(taken) / SECONDS:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu * 1e6:.0f}")
    table.add_row(name, *figures, f"{cpu / beside:.1f}")


def table_of(title: str) -> Table:
    """An empty table of results; CPU is the measured process', so load moves it least."""
    table = Table(title=title)
    table.add_column("what", no_wrap=True)
    for name in ("calls/s", "p50 ms", "p99 ms", "CPU µs", "× CPU"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def timed(run: Callable[[], Latencies]) -> tuple[Latencies, float]:
    """What ``run`` returns, and the CPU seconds that this process spent a call."""
    start = time.process_time()
    taken = run()
    return taken, (time.process_time() - start) / len(taken)


def measure_in_process(folder: Path) -> Table:
    """Decisions without HTTP, in memory and on disk; ratios to the first line."""
    table = table_of("In process")
    memory = Decider(TABLE, ARMS, MemoryEventLog(), key=KEY)
    with closing(SqliteEventLog(folder / "process.sqlite")) as log:
        disk = Decider(TABLE, ARMS, log, key=KEY)

        def new(decider: Decider, prefix: str, number: int) -> None:
            decider.decide(f"{prefix}{number}", "mug", NOON)

        lines: dict[str, tuple[Callable[[int], object], int]] = {
            "new, in memory": (partial(new, memory, "m"), 1),
            "new, on disk": (partial(new, disk, "d"), 1),
            "new, on disk, 16 callers": (partial(new, disk, "c"), 16),
            "kept, on disk": (lambda _: disk.decide("d0", "mug", NOON), 1),
        }
        beside = None
        for name, (decide, threads) in lines.items():
            taken, cpu = timed(partial(in_process, decide, threads))
            row(table, name, taken, cpu, beside := beside or cpu)
    return table


def measure_http(folder: Path) -> Table:
    """The service on loopback; ratios to a route that does nothing."""
    product = Product("mug", "kitchen", "Mug", folder / "mug.jpg", "CC0-1.0")
    table = table_of(f"Over HTTP, {CONNECTIONS} connections")
    with closing(SqliteEventLog(folder / "http.sqlite")) as log:
        decider = Decider(TABLE, ARMS, log, key=KEY)
        app = create_app(decider, Catalog([product]), lambda digest: b"")

        async def noop() -> dict[str, str]:
            return {"status": "ok"}

        app.get("/noop")(noop)
        kept = decider.decide("kept", "mug", NOON).decision_id
        lines = {
            "no-op route": "noop",
            "kept decision": "kept",
            "new decision, on disk": "new",
            f"{EVENTS} events, on disk": "events",
        }
        clients = multiprocessing.get_context("spawn").Pool(1)
        with BackgroundServer(app) as server, clients:
            beside = None
            for name, kind in lines.items():
                taken, cpu = timed(partial(clients.apply, load, (server.url, kind, kept)))
                row(table, name, taken, cpu, beside := beside or cpu)
    return table


def main() -> None:
    """Measure and print."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        console.print(measure_in_process(Path(folder)))
        console.print(measure_http(Path(folder)))


if __name__ == "__main__":
    main()
