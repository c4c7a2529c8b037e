"""Several processes on one port: it does not matter which of them answers, nor that one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from persona_img.errors import ServiceFailed
from persona_img.serving import workers
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.workers import run_workers

FOLDER = Path(__file__).parents[1]


def children(process: int) -> list[int]:
    told = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in told]


@contextmanager
def serving(log: Path, workers: int = 2) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The first process, and where it listens."""
    command = [sys.executable, "-m", "serving.served", str(log), "0", str(workers)]
    with subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            soon(lambda: answers(url))
            yield process, url
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=20).status_code == 200
    except httpx.TransportError:
        return False


def soon(look: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not look():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def visit(url: str, n: int) -> tuple[object, object]:
    """A shopper sees a picture, over connections of its own: any worker answers each of them."""
    asked = {"shopper": f"s{n}", "product": "shirt"}
    shown = httpx.get(f"{url}/v1/variant", params=asked, timeout=20).json()
    event = {"kind": "impression", "token": shown["token"]}
    told = httpx.post(f"{url}/v1/events", json={"events": [event]}, timeout=20).json()
    again = httpx.get(f"{url}/v1/variant", params=asked, timeout=20).json()
    assert told["accepted"] == 1, told
    return shown["digest"], again["digest"]


def test_any_worker_answers_the_same_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log.sqlite"
    with serving(log) as (process, url):
        soon(lambda: len(children(process.pid)) == 2)
        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(lambda n: visit(url, n), range(40)))
        assert all(first == again for first, again in seen)
        time.sleep(5)  # one that ends sooner is taken for one that cannot start
        before = children(process.pid)
        os.kill(before[0], signal.SIGKILL)
        soon(lambda: len(children(process.pid)) == 2 and children(process.pid) != before)
        soon(lambda: answers(url))
        for n in range(40, 50):
            visit(url, n)
        both, begun = children(process.pid), time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - begun < 10
        assert not any(Path(f"/proc/{one}").exists() for one in both)
    with closing(SqliteEventLog(log)) as kept:
        assert len(kept.feedback()) == 50
    assert [p.name for p in tmp_path.iterdir()] == ["log.sqlite"]


def test_connections_that_stay_open_do_not_keep_it_from_ending(tmp_path: Path) -> None:
    with serving(tmp_path / "log.sqlite") as (process, url), httpx.Client(base_url=url) as client:
        for _ in range(3):
            assert client.get("/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_workers_that_cannot_start_are_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def fails(_: object) -> None:
        raise OSError("no such table")

    with pytest.raises(ServiceFailed, match="did not start"):
        run_workers(2, fails)
    assert "no such table" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("ended", "pauses"),
    [
        # Whether it ended by its own fault, and whether it had served.
        ([(False, True)] * 3, [0, 0, 0]),
        ([(False, False)] * 8, [0, 0.5, 1, 2, 4, 8, 10, 10]),
        ([(True, False)] * 3, [0.5, 1, 2]),
        ([(True, True)] * 3, [0.5, 1, 2]),
        ([(False, False), (False, False), (False, True), (False, False)], [0, 0.5, 0, 0]),
    ],
)
def test_who_is_killed_as_it_starts_is_replaced_later_and_later(ended, pauses) -> None:
    team = workers._Team(lambda _: None)
    assert [team._pause(*one) for one in ended] == pauses


def test_a_worker_that_is_killed_again_and_again_is_waited_for_and_all_end_when_told(
    tmp_path: Path,
) -> None:
    def killed(_: object) -> None:
        with (tmp_path / "begun").open("a") as file:
            file.write(".")
        os.kill(os.getpid(), signal.SIGKILL)

    since = time.monotonic()
    first = os.fork()
    if first == 0:
        run_workers(1, killed)
        os._exit(0)
    try:
        soon(lambda: (tmp_path / "begun").exists() and (tmp_path / "begun").stat().st_size >= 4)
        took = time.monotonic() - since
        assert os.waitpid(first, os.WNOHANG) == (0, 0)  # it goes on trying
    finally:
        os.kill(first, signal.SIGTERM)
        _, status = os.waitpid(first, 0)
    assert took >= 1.5  # the second begins at once, the third half a second later, then a second
    assert os.waitstatus_to_exitcode(status) == 0


def test_who_serves_says_so_and_is_replaced_at_once_however_soon_it_is_killed(
    tmp_path: Path,
) -> None:
    def killed(started: Callable[[], None]) -> None:
        with (tmp_path / "begun").open("a") as file:
            file.write(".")
        started()
        os.kill(os.getpid(), signal.SIGKILL)

    first = os.fork()
    if first == 0:
        run_workers(1, killed)
        os._exit(0)
    try:
        # By pauses that double, so many would take minutes.
        soon(lambda: (tmp_path / "begun").exists() and (tmp_path / "begun").stat().st_size >= 12)
    finally:
        os.kill(first, signal.SIGTERM)
        os.waitpid(first, 0)


def test_it_ends_where_all_are_told_to_end() -> None:
    def hangs(_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a disk that hangs
        time.sleep(60)

    first = os.fork()
    if first == 0:
        run_workers(2, hangs)
        os._exit(0)
    time.sleep(0.5)
    begun = time.monotonic()
    os.kill(first, signal.SIGTERM)
    _, status = os.waitpid(first, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert time.monotonic() - begun < 20


def test_workers_end_when_the_first_process_is_killed(tmp_path: Path) -> None:
    """Else they would keep the port, by an old table, and nobody could tell them to end."""
    with serving(tmp_path / "log.sqlite") as (process, url):
        soon(lambda: len(children(process.pid)) == 2)
        visit(url, 1)
        both = children(process.pid)
        process.kill()
        process.wait()
        soon(lambda: not any(alive(one) for one in both), 15.0)
        assert not answers(url)
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as kept:
        assert len(kept.feedback()) == 1


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2]
    except FileNotFoundError:
        return False
    return not state.startswith("Z")  # whoever adopted it may not have waited for it yet
