"""Workers of a service are killed without a warning, again and again, while it is used.

Nobody stops sending meanwhile: what was not acknowledged is sent again, as a page or a shop's
server would. In the end the log is compared with what was acknowledged.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples import SIGNER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_TESTS = Path(__file__).parents[1]
_SENDERS = 3
_BATCH = 20  # events a call
_PATIENCE = 60.0
_WORKERS = 2


@dataclass(frozen=True)
class Killed:
    """What came of it.

    Attributes:
        kills: Processes killed.
        acknowledged: Events that were answered as accepted or duplicate.
        lost: Of these, how many are not in the log.
        doubled: Events that are in it twice, or were accepted twice.
        shown: Pictures asked for and answered.
        failed: Answers to these other than 200.
        unreached: Requests whose connection broke: what a load balancer would ask the other one.
        up: Seconds from a kill, of one worker or of all, until there are as many others and a
            picture is answered again.
        sound: Whether SQLite finds the log whole.
    """

    kills: int
    acknowledged: int
    lost: int
    doubled: int
    shown: int
    failed: int
    unreached: int
    up: tuple[float, ...]
    sound: bool


class _Sender(threading.Thread):
    """Asks for pictures and tells of them, and sends what was not acknowledged once more."""

    def __init__(self, number: int, port: int, end: threading.Event) -> None:
        super().__init__(daemon=True)
        self._number, self._port, self._end = number, port, end
        self.accepted: Counter[str] = Counter()
        self.known: set[str] = set()
        self.shown = self.failed = self.unreached = 0
        self.refused: list[Any] = []

    def run(self) -> None:
        turn = 0
        while not self._end.is_set():
            turn += 1
            shown = self._asked("GET", f"/v1/variant?shopper=s{self._number}-{turn}&product=shirt")
            if shown is None:
                continue
            status, told = shown
            self.shown += 1
            if status != 200 or not told["token"]:
                self.failed += status != 200
                continue
            now = time.time()
            decision = SIGNER.read(told["token"], now).decision
            tokens = [told["token"]]
            tokens += [SIGNER.sign(SIGNER.show(decision, now)) for _ in range(_BATCH - 1)]
            events = [
                {"event_id": f"{self._number}-{turn}-{n}", "kind": "impression", "token": token}
                for n, token in enumerate(tokens)
            ]
            self._send(json.dumps({"events": events}))

    def _send(self, body: str) -> None:
        """Until it is acknowledged, also after the end: else nobody knows what became of it."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            answer = self._asked("POST", "/v1/events", body)
            if answer is None or answer[0] in (429, 503):
                time.sleep(0.02)
                continue
            status, told = answer
            if status != 200:
                self.refused.append(answer)
                return
            for event in told["events"]:
                if event["outcome"] == "rejected":
                    self.refused.append(event)
                else:
                    self.known.add(event["event_id"])
                    self.accepted[event["event_id"]] += event["outcome"] == "accepted"
            return

    def _asked(self, method: str, path: str, body: str | None = None) -> tuple[int, Any] | None:
        """Over a connection of its own, so that any worker answers."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)) as one:
            try:
                one.request(method, path, body)
                answer = one.getresponse()
                return answer.status, json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                self.unreached += 1
                time.sleep(0.005)
                return None


def children(process: int) -> list[int]:
    """Processes that one began and that are there."""
    told = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in told]


@contextmanager
def service(log: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service of several workers, and its port."""
    command = [sys.executable, "-m", "serving.served", str(log), "0", str(_WORKERS)]
    with subprocess.Popen(
        command, cwd=_TESTS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rsplit(":", 1)[1])
            # Nobody reads on, and a full pipe would stop it.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield process, port
        finally:
            process.terminate()
            process.wait(30)


def kill_workers(folder: Path, kills: int, seed: int = 1) -> Killed:
    """Kill workers at random moments.

    Args:
        folder: For the log.
        kills: How many processes, at least.
        seed: Of the moments, and of which worker it is.

    Raises:
        TimeoutError: the service did not come back.
    """
    rng, log = random.Random(seed), folder / "log.sqlite"
    end, up, killed = threading.Event(), list[float](), 0
    with service(log) as (process, port):
        _back(process.pid, port)
        time.sleep(5.5)  # a worker that ends sooner is taken for one that cannot start
        senders = [_Sender(n, port, end) for n in range(_SENDERS)]
        for one in senders:
            one.start()
        while killed < kills:
            time.sleep(rng.uniform(0.0, 0.1))
            # One of them, or all at once: then nobody answers until another one has begun.
            there = children(process.pid)
            victims = there if rng.random() < 0.5 else [rng.choice(there)]
            begun = time.monotonic()
            for one in victims:
                os.kill(one, signal.SIGKILL)
            killed += len(victims)
            _back(process.pid, port, victims)
            up.append(time.monotonic() - begun)
        end.set()
        for one in senders:
            one.join(2 * _PATIENCE)
    return _judged(log, senders, killed, tuple(up))


def _back(process: int, port: int, gone: Collection[int] = ()) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        alive = set(children(process)) - set(gone)
        if len(alive) == _WORKERS:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as one:
                try:
                    one.request("GET", "/v1/variant?shopper=back&product=shirt")
                    if one.getresponse().status == 200:
                        return
                except (OSError, http.client.HTTPException):
                    pass
        time.sleep(0.005)
    raise TimeoutError(f"the service did not come back within {_PATIENCE:.0f} s")


def _judged(log: Path, senders: list[_Sender], killed: int, up: tuple[float, ...]) -> Killed:
    refused = [one for sender in senders for one in sender.refused]
    assert not refused, refused[:3]
    assert not any(one.is_alive() for one in senders), "a sender hangs"
    known = set().union(*(one.known for one in senders))
    accepted = sum((one.accepted for one in senders), Counter[str]())
    with closing(sqlite3.connect(log)) as db:
        (sound,) = db.execute("PRAGMA integrity_check").fetchone()
        stored = dict(db.execute("SELECT event_id, count(*) FROM events GROUP BY event_id"))
    return Killed(
        kills=killed,
        acknowledged=len(known),
        lost=len(known - stored.keys()),
        doubled=sum(n > 1 for n in stored.values()) + sum(n > 1 for n in accepted.values()),
        shown=sum(one.shown for one in senders),
        failed=sum(one.failed for one in senders),
        unreached=sum(one.unreached for one in senders),
        up=up,
        sound=sound == "ok",
    )
