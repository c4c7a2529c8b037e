"""How fast pictures are decided and events are taken, over HTTP, side by side in one run.

Run ``make bench-serving`` or ``python benchmarks/serving.py``; it takes about three minutes.
Figures of a run are to be compared with each other only: the machine's load is in all of them. CPU
is the server process' own, so load moves it least. Reads are driven by wrk where Debian's package
is there, else by a client of ours; events, each of which counts once, by ours. Beside the service
stand a FastAPI route that does nothing, and the service one would write (``naive.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from rich.console import Console
from rich.table import Table

from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms, Candidate, DecisionTable, Slate
from persona_img.domain.feedback import Event
from persona_img.domain.style import ORIGINAL, Style
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.key import ShopKey
from persona_img.serving.run import BackgroundServer
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.token import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from fastapi import FastAPI

PRODUCTS = [f"p{n}" for n in range(44)]
SHOPPERS = 1000
STYLES = [Style(f"light=soft,palette=sage,surface=linen-{n}") for n in range(7)]
SLATE = Slate(
    (
        Candidate(ORIGINAL, None, 0.125),
        *(Candidate(style, f"{n:064x}", 0.125) for n, style in enumerate(STYLES)),
    )
)
TABLE = DecisionTable("version-7~r3", {("all", p): SLATE for p in PRODUCTS}, {}, "all")
ARMS = Arms("bench", {"control": 0.5, "personalized": 0.5})
SIGNER = Signer(ShopKey(b"nobody sends events to a benchmark"))
SERVERS = ("noop", "naive", "ours")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Request:
    """What is asked; events are asked once."""

    method: str
    path: str
    body: str = ""

    def raw(self) -> bytes:
        """As it goes over a connection that stays open."""
        length = f"Content-Length: {len(self.body)}\r\n" if self.body else ""
        kind = "Content-Type: application/json\r\n" if self.body else ""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: x\r\n{kind}{length}\r\n"
        return (head + self.body).encode()


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: What it is called.
        server: Which app answers: ``noop``, ``naive`` or ``ours``.
        requests: What is asked, in turn.
        each: Decisions or events of a request.
        once: Whether every request is asked once, not again and again.
    """

    name: str
    server: str
    requests: list[Request]
    each: int = 1
    once: bool = False


@dataclass(frozen=True)
class Figures:
    """What came of a line."""

    asked: int
    seconds: float
    p50: float
    p99: float
    cpu: float


def noop_app(_: Path) -> FastAPI:
    """The least a FastAPI service does."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/noop")
    @app.get("/healthz")
    async def noop() -> dict[str, str]:
        return {"status": "ok"}

    return app


def our_app(folder: Path) -> FastAPI:
    """The service, whose shoppers s0, s1, … have seen all products."""
    photo = folder / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff" + bytes(60_000))
    catalog = Catalog([Product(name, "things", name, photo, "CC0-1.0") for name in PRODUCTS])
    log = SqliteEventLog(folder / "log.sqlite")
    decider = Decider(TABLE, ARMS, log)
    return create_app(decider, catalog, lambda digest: photo, signer=SIGNER, decision_seconds=10.0)


def seen(folder: Path) -> None:
    """Impressions of everything by everybody."""
    now = time.time()
    with closing(SqliteEventLog(folder / "log.sqlite")) as log:
        decider = Decider(TABLE, ARMS, log)
        for n in range(SHOPPERS):
            shown = decider.decide_page(f"s{n}", PRODUCTS, now)
            log.record_events(
                [Event("seen", "impression", SIGNER.show(one, now), now) for one in shown]
            )


def lines() -> list[Line]:
    """What is measured; the first two are what the others stand beside."""
    known = [f"/v1/variant?shopper=s{n % SHOPPERS}&product=p{n % 44}" for n in range(20_000)]
    new = [f"/v1/variant?shopper=n{n}&product=p{n % 44}" for n in range(150_000)]
    page = {who: json.dumps({"shopper": who, "products": PRODUCTS}) for who in _pages()}
    return [
        Line("no-op FastAPI route", "noop", [Request("GET", "/noop")]),
        Line("naive service", "naive", [Request("GET", path) for path in known]),
        Line("decision, settled", "ours", [Request("GET", path) for path in known]),
        Line("decision, new", "ours", [Request("GET", path) for path in new]),
        Line("page of 44, settled", "ours", _posts(page, "s"), 44),
        Line("page of 44, new", "ours", _posts(page, "n"), 44),
        Line("picture of 60 kB", "ours", [Request("GET", f"/v1/variants/{'0' * 64}")]),
    ]


def _pages() -> list[str]:
    return [f"{kind}{n}" for kind in "sn" for n in range(SHOPPERS)]


def _posts(page: dict[str, str], kind: str) -> list[Request]:
    return [Request("POST", "/v1/decisions", body) for who, body in page.items() if who[0] == kind]


def event_lines(seconds: int) -> list[Line]:
    """Events of pictures that were answered just now, by shoppers who come once or twice."""
    now = time.time()
    singles, batches = 1500 * seconds, 100 * seconds
    return [
        Line("single event", "ours", _events(singles, 1, "one", now), once=True),
        Line(
            "batches of 100 events", "ours", _events(batches, 100, "hundred", now), 100, once=True
        ),
    ]


def _events(posts: int, each: int, kind: str, now: float) -> list[Request]:
    _, slate = TABLE.slate("", "p0")
    assert slate is not None
    rng = np.random.default_rng(3)
    made = []
    decide = Decider(TABLE, ARMS, _Forgetful())
    for post in range(posts):
        events = []
        for n in range(each):
            who = f"{kind}-{int(rng.integers(posts * each * 2 // 3 + 1))}"
            decision = decide.decide(who, f"p{(post + n) % 44}", now)
            token = SIGNER.sign(SIGNER.show(decision, now))
            name = rng.bytes(16).hex()
            events.append({"event_id": name, "kind": "impression", "token": token, "position": 1})
        made.append(Request("POST", "/v1/events", json.dumps({"events": events})))
    return made


class _Forgetful:
    """A log of nothing, to make tokens by."""

    def open_test(self, _: Arms) -> None:
        pass

    def seen(self, *_: object) -> dict[str, Any]:
        return {}


def serve(server: str, folder: Path, told: Connection) -> None:
    """A server in a process of its own, until it is told to end."""
    if server == "naive":
        from naive import naive_app

        app = naive_app(folder, SHOPPERS)
    else:
        app = {"noop": noop_app, "ours": our_app}[server](folder)
    with BackgroundServer(app) as running:
        told.send(running.url)
        told.recv()


@contextmanager
def serving(server: str, folder: Path) -> Iterator[tuple[str, int]]:
    """URL and process of a server."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(server, folder, there))
    process.start()
    try:
        while not here.poll(0.2):
            if not process.is_alive():
                raise SystemExit(f"the server {server!r} did not start; see above")
        assert process.pid is not None
        yield here.recv(), process.pid
    finally:
        if process.is_alive():
            here.send("end")
        process.join(20)


def by_wrk(url: str, line: Line, seconds: int, connections: int) -> Figures:
    """Driven by wrk: a script reads what is to be asked from a file."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "requests"
        asked.write_text("".join(f"{r.method}\t{r.path}\t{r.body}\n" for r in line.requests))
        script = Path(folder) / "ask.lua"
        script.write_text(_LUA % str(asked))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s"]
        said = subprocess.run(
            [*command, str(script), url], check=True, capture_output=True, text=True
        ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{line.name}:\n{said}")
    found = re.search(r"(\d+) requests in ([\d.]+)s", said)
    assert found is not None, said
    return Figures(int(found[1]), float(found[2]), _wrk(said, "50"), _wrk(said, "99"), 0.0)


_LUA = """
local asked, n = {}, 0
for line in io.lines("%s") do
  local method, path, body = line:match("([^\\t]*)\\t([^\\t]*)\\t(.*)")
  local headers = {}
  if body ~= "" then headers["Content-Type"] = "application/json" else body = nil end
  asked[#asked + 1] = wrk.format(method, path, headers, body)
end
request = function() n = n %% #asked + 1; return asked[n] end
"""


def _wrk(said: str, share: str) -> float:
    found = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", said)
    assert found is not None, said
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]


async def by_us(url: str, line: Line, seconds: int, connections: int) -> Figures:
    """Driven over connections that stay open, by a client as small as can be."""
    place = urlsplit(url)
    raw = [request.raw() for request in line.requests]
    begun, taken, numbers = time.perf_counter(), list[float](), iter(range(2**60))

    async def client() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        while (number := next(numbers)) < len(raw) or not line.once:
            start = time.perf_counter()
            if not line.once and start - begun > seconds:
                break
            writer.write(raw[number % len(raw)])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length))
            stored = not line.once or b'"rejected":0' in body[:99]
            if not (head.startswith(b"http/1.1 200") and stored):
                raise RuntimeError(f"{line.name}: {head!r} {body[:300]!r}")
            taken.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    p50, p99 = np.percentile(taken, [50, 99])
    return Figures(len(taken), time.perf_counter() - begun, float(p50), float(p99), 0.0)


def _by_us(url: str, line: Line, seconds: int, connections: int) -> Figures:
    return asyncio.run(by_us(url, line, seconds, connections))


def measure(url: str, process: int, line: Line, seconds: int, connections: int) -> Figures:
    """A line's figures, with the CPU that the server spent a request."""
    if not line.once:  # until it is warm
        _by_us(url, line, 0.3, 4)
    before = cpu_seconds(process)
    if line.once or shutil.which("wrk") is None:
        with multiprocessing.get_context("spawn").Pool(1) as clients:
            found = clients.apply(_by_us, (url, line, seconds, connections))
    else:
        found = by_wrk(url, line, seconds, connections)
    spent = cpu_seconds(process) - before
    return Figures(found.asked, found.seconds, found.p50, found.p99, spent / found.asked)


def cpu_seconds(process: int) -> float:
    """CPU time of a process so far, all of its threads."""
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICK


def memory(process: int) -> float:
    """Mebibytes of a process that are in memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="of a line (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of all lines (%(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="(%(default)s)")
    given = parser.parse_args()
    found: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        seen(folder)
        wanted = lines()
        servers = {one: running.enter_context(serving(one, folder)) for one in SERVERS}
        rows, size = _size(folder)
        for _ in range(given.rounds):
            for line in [*wanted, *event_lines(given.seconds)]:
                url, process = servers[line.server]
                figures = measure(url, process, line, given.seconds, given.connections)
                found.setdefault(line.name, []).append(figures)
        resident = memory(servers["ours"][1])
        more, grown = _size(folder)
    console = Console(width=110)
    console.print(_table([*wanted, *event_lines(0)], found, given.connections))
    each = (grown - size) / (more - rows)
    console.print(
        f"Each counted impression takes {each:.0f} bytes on disk ({each:,.0f} MB a million), with "
        f"an event_id of 32 letters; the process holds {resident:.0f} MiB."
    )


def _table(wanted: list[Line], found: dict[str, list[Figures]], connections: int) -> Table:
    """Of each line the round with the median CPU: load comes and goes."""
    rounds = {name: sorted(some, key=lambda one: one.cpu) for name, some in found.items()}
    middle = {name: some[len(some) // 2] for name, some in rounds.items()}
    noop, naive = (middle[line.name].cpu for line in wanted[:2])
    table = Table(title=f"Over HTTP, {connections} connections, one worker")
    table.add_column("what", no_wrap=True)
    for head in (
        "a second",
        "each/s",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "each µs",
        "× no-op",
        "naive ÷",
    ):
        table.add_column(head, justify="right")
    for line in wanted:
        one = middle[line.name]
        rate, each = one.asked / one.seconds, one.cpu / line.each
        cells = (f"{rate:,.0f}", f"{rate * line.each:,.0f}", f"{one.p50 * 1e3:.2f}")
        cells += (f"{one.p99 * 1e3:.2f}", f"{one.cpu * 1e6:,.0f}", f"{each * 1e6:,.0f}")
        table.add_row(line.name, *cells, f"{one.cpu / noop:.2f}", f"{naive / each:,.1f}")
    return table


def _size(folder: Path) -> tuple[int, int]:
    """Events in the log, and its bytes once all of it is in one file."""
    import sqlite3

    with closing(sqlite3.connect(folder / "log.sqlite")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (events,) = db.execute("SELECT count(*) FROM events").fetchone()
        (pages,) = db.execute("SELECT * FROM pragma_page_count()").fetchone()
        (size,) = db.execute("SELECT * FROM pragma_page_size()").fetchone()
    return events, pages * size


if __name__ == "__main__":
    main()
