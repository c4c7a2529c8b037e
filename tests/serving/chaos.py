"""A service under load that is killed again and again; not a test module.

In the folder of the tests, ``python -m serving.chaos 1000`` prints what docs/serve.md tells.
"""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from persona_img.serving.sqlite_log import SqliteEventLog

LOADERS = 4
PRODUCTS = ["shirt", "lost"]
TESTS = Path(__file__).parents[1]


@dataclass
class Figures:
    """What was seen.

    Attributes:
        kills: Times the service was killed.
        impressions: That were acknowledged.
        clicks: That were acknowledged.
        lost: Acknowledged impressions and clicks that are not in the log.
        doubled: Rows of the log beyond what was sent.
        repeated: Calls with events that failed, and were made again.
        rejected: Events that were answered with a reason against them.
        away: Seconds from each start until a picture was answered.
    """

    kills: int = 0
    impressions: int = 0
    clicks: int = 0
    lost: int = 0
    doubled: int = 0
    repeated: int = 0
    rejected: int = 0
    away: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        away = sorted(self.away)
        return (
            f"{self.kills:,} kills under load: {self.impressions:,} impressions and "
            f"{self.clicks:,} clicks acknowledged, {self.lost} lost, {self.doubled} doubled, "
            f"{self.rejected} rejected; {self.repeated:,} calls failed; pictures again after "
            f"{away[len(away) // 2]:.2f} s (median), {away[-1]:.2f} s (slowest)"
        )


class _Loader(threading.Thread):
    """Pages and their events; what was not acknowledged is sent again, as clients do."""

    def __init__(self, url: str, number: int, figures: Figures, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url, self.number, self.figures, self.stop = url, number, figures, stop
        self.shown: list[str] = []
        self.clicked: list[str] = []
        self.http = urllib3.PoolManager(timeout=5, retries=False)

    def run(self) -> None:
        page = 0
        while not self.stop.is_set():
            page += 1
            asked = {"shopper": f"l{self.number}-{page}", "products": PRODUCTS}
            answer = self._until_answered("/v1/decisions", asked)
            tokens = [one["token"] for one in answer["decisions"] if one["counted"]]
            events = [{"kind": "impression", "token": token} for token in tokens]
            events += [{"kind": "click", "token": token} for token in tokens[:1]]
            told = self._until_answered("/v1/events", {"events": events})
            self.figures.rejected += told["rejected"]
            self.shown += tokens
            self.clicked += tokens[:1]

    def _until_answered(self, path: str, body: dict[str, object]) -> dict[str, object]:
        while True:
            try:
                answer = self.http.request("POST", self.url + path, json=body)
            except urllib3.exceptions.HTTPError:
                time.sleep(0.01)
            else:
                if answer.status == 200:
                    return answer.json()
            self.figures.repeated += path == "/v1/events"


def chaos(kills: int, folder: Path, *, seed: int = 1) -> Figures:
    """Kill a loaded service so often, at chance moments, and count what is in its log at the end.

    Args:
        kills: How often; every time it is started again.
        folder: Where its log is.
        seed: Of the moments.
    """
    figures, moments, stop = Figures(), random.Random(seed), threading.Event()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving.served", str(folder / "log.sqlite"), str(port)]
    url = f"http://127.0.0.1:{port}"
    process = _started(command, url, figures)
    loaders = [_Loader(url, number, figures, stop) for number in range(LOADERS)]
    for loader in loaders:
        loader.start()
    for _ in range(kills):
        time.sleep(moments.uniform(0.02, 0.6))
        process.kill()
        process.wait()
        figures.kills += 1
        process = _started(command, url, figures)
    time.sleep(0.5)
    stop.set()
    for loader in loaders:
        loader.join()
    process.send_signal(signal.SIGTERM)
    process.wait()
    shown = [token for loader in loaders for token in loader.shown]
    clicked = [token for loader in loaders for token in loader.clicked]
    figures.impressions, figures.clicks = len(shown), len(clicked)
    with closing(SqliteEventLog(folder / "log.sqlite")) as log:
        feedback = log.feedback("hero")
    rows, clicks = len(feedback), int(feedback["clicked"].sum())
    figures.lost = max(0, len(shown) - rows) + max(0, len(clicked) - clicks)
    figures.doubled = max(0, rows - len(shown)) + max(0, clicks - len(clicked))
    return figures


def _started(command: list[str], url: str, figures: Figures) -> subprocess.Popen[bytes]:
    begun = time.monotonic()
    process = subprocess.Popen(
        command, cwd=TESTS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    http = urllib3.PoolManager(timeout=1, retries=False)
    while True:
        try:
            answer = http.request("GET", f"{url}/v1/variant?shopper=ann&product=shirt")
            if answer.status == 200:
                break
        except urllib3.exceptions.HTTPError:
            assert process.poll() is None, "the service does not start"
        time.sleep(0.01)
    figures.away.append(time.monotonic() - begun)
    return process


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(chaos(int(sys.argv[1]), Path(made)))
