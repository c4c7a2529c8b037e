"""The photo is shown whatever fails, nothing is acknowledged then, and all is well again after.

Stores fail as they do in life: a file locked by another connection, cut short, written over, moved
away, a database that may not grow, a disk that is full. Nothing here is restarted.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from examples import KEY
from persona_img.domain.catalog import Catalog, Product
from persona_img.serving import sqlite_file, sqlite_log
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.fallback import Fallback
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import DIGEST, PHOTO, VARIANT, Shop, a_catalog, a_table, start, stored_variant
from .test_app import an_event, ask, counts, send
from .test_decide import NEARLY_ALL, a_personal_table

_NOBODY = 65534
WAIT = 0.25
"""Seconds that a decision waits for the log."""

BOUND = 5.0
"""Seconds in which an answer comes for certain, on a machine that has other things to do."""


running = contextmanager(start)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "_EVENT_SECONDS", WAIT)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    yield from start(tmp_path, decision_seconds=WAIT)


@contextmanager
def locked(shop: Shop, path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def limited(shop: Shop, pragma: str) -> Iterator[None]:
    """Every connection of the service has a limit of SQLite's, those that are opened anew too."""
    log = shop.decider.log
    assert isinstance(log, SqliteEventLog)

    def connect_to(path: Path, seconds: float, *, new: bool = False) -> sqlite3.Connection:
        db = connect(path, seconds, new=new)
        db.execute(f"PRAGMA {pragma}")
        return db

    connect = sqlite_file.connect_to
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file, "connect_to", connect_to)
        with log._file.writing() as db:
            db.execute(f"PRAGMA {pragma}")
        yield
    # Not by opening the file anew: that is what a log is to find out for itself.
    with log._file.writing() as db:
        db.execute("PRAGMA query_only = OFF")
        db.execute("PRAGMA max_page_count = 4294967294")


def read_only(shop: Shop, path: Path) -> AbstractContextManager[None]:
    return limited(shop, "query_only = ON")


@contextmanager
def missing(shop: Shop, path: Path) -> Iterator[None]:
    away = path.with_name("away")
    path.rename(away)
    yield
    assert not path.exists(), "an empty log in the place of one that may come back"
    away.rename(path)


@contextmanager
def damaged(path: Path, spoil: Callable[[Path], object]) -> Iterator[None]:
    with closing(sqlite3.connect(path)) as db:  # all in one file, as a backup has it
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    spoil(path)
    yield
    backup.replace(path)


def cut_short(shop: Shop, path: Path) -> AbstractContextManager[None]:
    def cut(path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(4096)

    return damaged(path, cut)


def written_over(shop: Shop, path: Path) -> AbstractContextManager[None]:
    def scribble(path: Path) -> None:
        fresh = path.with_name("fresh")
        fresh.write_bytes(b"these are no pages " * 4096)
        fresh.replace(path)

    return damaged(path, scribble)


@contextmanager
def no_room_for_files(shop: Shop, path: Path) -> Iterator[None]:
    """No file of this process may grow over what the log has: a quota, or a disk that fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(largest, 4096), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FAILURES = [
    (locked, "locked"),
    (read_only, "read-only"),
    (missing, "missing"),
    (cut_short, "corrupt"),
    (written_over, "corrupt"),
    (no_room_for_files, "disk"),
]


def in_time(call: Callable[[], httpx.Response]) -> httpx.Response:
    start = time.monotonic()
    answer = call()
    assert time.monotonic() - start < BOUND
    return answer


def see_a_photo(shop: Shop, shopper: str) -> None:
    shown = in_time(lambda: ask(shop, shopper)).raise_for_status().json()
    assert shown["counted"] is False
    nothing = ("decision_id", "arm", "segment", "digest", "propensity", "policy_version")
    assert {shown[name] for name in nothing} == {None}
    assert (shown["style"], shown["test"]) == ("original", "hero")
    image = in_time(lambda: shop.client.get(shown["image_url"]))
    assert (image.status_code, image.content) == (200, PHOTO.read_bytes())


def soon(look: Callable[[], bool]) -> None:
    """What is so within a second, without a restart."""
    end = time.monotonic() + BOUND
    while not look():
        assert time.monotonic() < end
        time.sleep(0.02)


def photos(shop: Shop, reason: str = ".*") -> float:
    """Photos that were counted as such, for a reason or for any."""
    line = rf'^persona_img_photos_total\{{reason="{reason}"\}} (\S+)$'
    return sum(map(float, re.findall(line, shop.client.get("/metrics").text, re.MULTILINE)))


@pytest.mark.parametrize(("fails", "reason"), FAILURES, ids=lambda x: getattr(x, "__name__", None))
def test_the_photo_is_shown_while_the_store_fails_and_all_is_well_after(
    shop: Shop, tmp_path: Path, fails: Callable[..., AbstractContextManager[None]], reason: str
) -> None:
    known = [ask(shop, f"known-{n}").json()["decision_id"] for n in range(60)]
    told = [an_event(f"e{n}", decision) for n, decision in enumerate(known)]
    assert counts(send(shop, *told)) == (60, 0, 0)
    assert shop.client.get("/readyz").json()["status"] == "ready"

    with fails(shop, tmp_path / "log.sqlite"):
        for n in range(8):
            see_a_photo(shop, f"new-{n}")
        assert photos(shop, reason) >= 1
        assert photos(shop) == 8
        assert in_time(lambda: ask(shop, "known-1")).status_code == 200
        assert in_time(lambda: shop.client.get("/healthz")).status_code == 200
        ready = in_time(lambda: shop.client.get("/readyz"))
        assert ready.status_code == 503
        assert {"disk": "answers with errors"}.get(reason, reason) in ready.json()["detail"]
        assert str(tmp_path) not in ready.text
        answer = in_time(lambda: send(shop, an_event("late", known[0])))
        assert answer.status_code == 503

    soon(lambda: ask(shop, "after").json()["counted"])
    soon(lambda: shop.client.get("/readyz").status_code == 200)
    assert [ask(shop, f"known-{n}").json()["decision_id"] for n in range(60)] == known
    assert counts(send(shop, *told, an_event("late", known[0]))) == (1, 60, 0)
    assert counts(send(shop, an_event("after", ask(shop, "new-1").json()["decision_id"]))) == (
        1,
        0,
        0,
    )
    assert len(shop.decider.log.feedback()) == 62


def test_a_log_that_may_not_grow_takes_what_it_has_room_for(shop: Shop) -> None:
    decision = ask(shop, "ann").json()["decision_id"]
    batch = [an_event(f"e{n}", decision) for n in range(500)]
    with limited(shop, "max_page_count = 1"):  # SQLite's least: as it is
        asked = [ask(shop, f"new-{n}").raise_for_status().json() for n in range(100)]
        counted = [f"new-{n}" for n, shown in enumerate(asked) if shown["counted"]]
        assert photos(shop, "full") == 100 - len(counted) > 0
        assert send(shop, *batch).status_code == 503
        assert "full" in shop.client.get("/readyz").json()["detail"]
    assert counts(send(shop, *batch)) == (500, 0, 0)  # none of it had been stored
    assert shop.client.get("/readyz").status_code == 200
    for n, shown in enumerate(asked):
        again = ask(shop, f"new-{n}").json()
        assert again["counted"]
        assert again == shown or not shown["counted"]


def test_the_photo_is_shown_while_the_disk_is_full(tmp_path: Path) -> None:
    """A disk of a megabyte, filled to the last byte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be made here; the test above stands for it")
    try:
        with running(disk, decision_seconds=WAIT) as shop:
            decision = ask(shop, "ann").json()["decision_id"]
            with (disk / "filler").open("wb", buffering=0) as filler:
                fill(filler.write)
            seen = [ask(shop, f"new-{n}").raise_for_status().json() for n in range(200)]
            assert not seen[-1]["counted"]  # what the log had of room is gone by now
            see_a_photo(shop, "one-more")
            detail = shop.client.get("/readyz").json()["detail"]
            assert "full" in detail or "disk" in detail
            sent = [send(shop, an_event(f"e{n}", decision)) for n in range(20)]
            stored = sum(answer.status_code == 200 for answer in sent)
            assert {answer.status_code for answer in sent} <= {200, 503}
            (disk / "filler").unlink()
            soon(lambda: ask(shop, "after").json()["counted"])
            assert shop.client.get("/readyz").status_code == 200
            again = send(shop, *(an_event(f"e{n}", decision) for n in range(20)))
            assert counts(again) == (20 - stored, stored, 0)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def nobodys_folder() -> Iterator[Path]:
    """A folder of a user without special rights: root may write what nobody may."""
    with tempfile.TemporaryDirectory() as made:
        folder, root = Path(made), os.geteuid() == 0
        if root:
            os.chown(folder, _NOBODY, _NOBODY)
            os.seteuid(_NOBODY)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)


def test_a_log_without_the_right_to_write_it() -> None:
    with nobodys_folder() as folder, running(folder, decision_seconds=WAIT) as shop:
        known = ask(shop, "ann").json()
        path = folder / "log.sqlite"
        with missing(shop, path):
            see_a_photo(shop, "bob")
            (folder / "away").chmod(0o444)  # as from a backup that somebody else made
        soon(lambda: ask(shop, "ann").json() == known)  # it is read
        before = photos(shop, "read-only")
        see_a_photo(shop, "bob")
        assert photos(shop, "read-only") == before + 1
        assert send(shop, an_event("e", known["decision_id"])).status_code == 503
        assert "read-only" in shop.client.get("/readyz").json()["detail"]
        path.chmod(0o644)
        soon(lambda: ask(shop, "bob").json()["counted"])
        assert counts(send(shop, an_event("e", known["decision_id"]))) == (1, 0, 0)


def fill(write: Callable[[bytes], int]) -> None:
    for size in (4096, 1):
        while True:
            try:
                write(bytes(size))
            except OSError:
                break


def test_nothing_is_acknowledged_into_a_file_that_was_deleted(shop: Shop, tmp_path: Path) -> None:
    """SQLite alone goes on writing to a file that was deleted, and it all is gone later."""
    path = tmp_path / "log.sqlite"
    decision = ask(shop, "ann").json()["decision_id"]
    for file in tmp_path.glob("log.sqlite*"):
        file.unlink()
    assert send(shop, an_event("e1", decision)).status_code == 503
    see_a_photo(shop, "bob")
    SqliteEventLog(path).close()  # somebody begins a new one, with another program
    soon(lambda: ask(shop, "bob").json()["counted"])
    assert counts(send(shop, an_event("e1", decision))) == (0, 0, 1)
    assert ask(shop, "ann").json()["decision_id"] == decision  # the same draw under the same name
    assert counts(send(shop, an_event("e1", decision))) == (1, 0, 0)


def test_many_shoppers_do_not_wait_one_after_the_other(shop: Shop, tmp_path: Path) -> None:
    with locked(shop, tmp_path / "log.sqlite"), ThreadPoolExecutor(80) as pool:
        start = time.monotonic()
        # More than there are threads, with events that wait for the same lock.
        sent = [pool.submit(send, shop, an_event(f"e{n}", "nobody")) for n in range(60)]
        asked = list(pool.map(lambda n: ask(shop, f"new-{n}"), range(300)))
        assert time.monotonic() - start < 3 * BOUND
        assert {answer.status_code for answer in asked} == {200}
        assert not any(answer.json()["counted"] for answer in asked)
        assert {call.result().status_code for call in sent} == {503}


def test_a_lock_that_is_held_for_a_moment_costs_no_decision(tmp_path: Path) -> None:
    with running(tmp_path, decision_seconds=5.0) as shop, ThreadPoolExecutor(1) as pool:
        with locked(shop, tmp_path / "log.sqlite"):
            asked = pool.submit(ask, shop, "ann")
            time.sleep(0.1)
        assert asked.result().json()["counted"]


def test_what_gave_up_is_not_done_later(shop: Shop, tmp_path: Path) -> None:
    with locked(shop, tmp_path / "log.sqlite"):
        see_a_photo(shop, "ann")
    soon(lambda: ask(shop, "bob").json()["counted"])
    assert shop.decider.log.latest_decision("hero", "ann", "shirt") is None


def test_slow_pictures_stop_neither_decisions_nor_events(tmp_path: Path) -> None:
    let_go = threading.Event()

    def slow(digest: str) -> bytes:
        asking.release()
        let_go.wait(60)
        return stored_variant(digest)

    asking = threading.Semaphore(0)
    with (
        running(tmp_path, variants=slow) as shop,
        httpx.Client(base_url=shop.client.base_url, timeout=60, limits=httpx.Limits()) as others,
        ThreadPoolExecutor(60) as pool,
    ):
        images = [pool.submit(others.get, f"/v1/variants/{DIGEST}") for _ in range(60)]
        for _ in range(40):  # as many threads as pictures have
            assert asking.acquire(timeout=20)
        try:
            decision = in_time(lambda: ask(shop, "ann")).json()["decision_id"]
            assert counts(in_time(lambda: send(shop, an_event("e", decision)))) == (1, 0, 0)
            assert shop.client.get("/readyz").status_code == 200
            assert not any(image.done() for image in images)
        finally:
            let_go.set()
        assert {image.result().content for image in images} == {VARIANT}


def unforeseen(*_: object) -> bool:
    raise ValueError("nobody foresaw this")


@pytest.mark.parametrize("servable", [unforeseen, lambda *_: time.sleep(6) or True])
def test_whatever_a_decision_asks_may_fail_or_hang(servable: Callable[..., bool]) -> None:
    decider = Decider(a_table(), NEARLY_ALL, MemoryEventLog(), key=KEY, servable=servable)
    app = create_app(decider, a_catalog(), stored_variant, decision_seconds=0.05)
    with TestClient(app) as client:
        start = time.monotonic()
        answer = client.get("/v1/variant", params={"shopper": "ann", "product": "shirt"})
        assert (answer.status_code, answer.json()["counted"]) == (200, False)
        assert time.monotonic() - start < BOUND


def traits_fail(*_: object) -> None:
    raise OSError("no feature store")


@pytest.mark.parametrize("traits", [traits_fail, lambda *_: time.sleep(6)])
def test_a_feature_store_may_fail_or_hang(traits: Callable[..., None]) -> None:
    catalog = Catalog([Product("mug", "kitchen", "A mug", PHOTO, "own")])
    decider = Decider(a_personal_table(), NEARLY_ALL, MemoryEventLog(), key=KEY, traits=traits)
    app = create_app(decider, catalog, stored_variant, decision_seconds=0.05)
    with TestClient(app) as client:
        start = time.monotonic()
        answer = client.get("/v1/variant", params={"shopper": "ann", "product": "mug"})
        assert (answer.status_code, answer.json()["counted"]) == (200, False)
        assert time.monotonic() - start < BOUND


def test_a_catalogue_that_cannot_be_told_is_the_one_before() -> None:
    told = iter([a_catalog()])
    app = create_app(
        Decider(a_table(), NEARLY_ALL, MemoryEventLog(), key=KEY),
        lambda: next(told),
        stored_variant,
    )
    with TestClient(app) as client:
        answer = client.get("/v1/variant", params={"shopper": "ann", "product": "shirt"})
        assert answer.json()["counted"]


def test_an_unknown_product_has_a_photo_elsewhere(tmp_path: Path) -> None:
    with running(tmp_path, photo_url="https://cdn.shop/{product}.jpg?w=600") as shop:
        shown = ask(shop, "ann", "AB 12/3").raise_for_status().json()
        assert shown["image_url"] == "https://cdn.shop/AB%2012%2F3.jpg?w=600"
        assert (shown["counted"], shown["decision_id"]) == (False, None)
        assert photos(shop, "unknown-product") == 1
        assert ask(shop, "ann").json()["counted"]
        for wrong in (ask(shop, "a b", "teapot"), ask(shop, "ann", "tea\x00pot")):
            assert wrong.status_code == 422


def test_no_event_can_be_sent_for_what_is_not_counted(shop: Shop, tmp_path: Path) -> None:
    with locked(shop, tmp_path / "log.sqlite"):
        shown = ask(shop, "ann").json()
    assert counts(send(shop, an_event("e", shown["decision_id"]))) == (0, 0, 1)


def test_the_reason_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now, counted = [0.0], []
    fallback = Fallback(counted.append, clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            fallback.note(sqlite_failure())
        fallback.note(ValueError("something else"))
        now[0] = 61.0
        fallback.note(sqlite_failure())
    assert counted == ["locked"] * 100 + ["error", "locked"]
    told = [(record.reason, record.photos) for record in caplog.records]
    assert told == [("locked", 1), ("error", 1), ("locked", 100)]
    assert [record.exc_info is not None for record in caplog.records] == [False, True, False]


def sqlite_failure() -> Exception:
    from persona_img.serving.sqlite_file import store_failed

    return store_failed(Path("log.sqlite"), "locked")


def test_a_closed_log_is_no_end(shop: Shop) -> None:
    shop.decider.log.close()
    see_a_photo(shop, "ann")
    assert photos(shop, "closed") == 1
    assert shop.client.get("/healthz").status_code == 200
    assert "closed" in shop.client.get("/readyz").json()["detail"]


def test_looking_whether_it_is_ready_leaves_nothing_behind(shop: Shop, tmp_path: Path) -> None:
    for _ in range(50):
        assert shop.client.get("/readyz").status_code == 200
    assert shop.client.head("/readyz").status_code == 200
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as db:
        assert db.execute("SELECT test FROM tests").fetchall() == [("hero",)]
        assert db.execute("SELECT count(*) FROM decisions").fetchone() == (0,)
        assert db.execute("PRAGMA page_count").fetchone()[0] < 30
