"""A picture is shown whatever fails, nothing is acknowledged then, and all is well again after.

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

from examples import SIGNER
from persona_img.domain.catalog import Catalog, Product
from persona_img.serving import sqlite_file, sqlite_log
from persona_img.serving.app import create_app
from persona_img.serving.decide import Decider
from persona_img.serving.fallback import Fallback
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.run import BackgroundServer
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import DIGEST, PHOTO, VARIANT, Shop, a_catalog, a_table, start, stored_variant
from .test_app import an_event, ask, counts, send
from .test_decide import NEARLY_ALL, a_personal_table

_NOBODY = 65534
WAIT = 1.0
"""Seconds that a decision is waited for."""

EVENTS_WAIT = 0.25
"""Seconds that events wait for the log."""

BOUND = 8.0
"""Seconds in which an answer comes for certain, on a machine that has other things to do."""


running = contextmanager(start)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "_EVENT_SECONDS", EVENTS_WAIT)


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


UNREADABLE = [(missing, "missing"), (cut_short, "corrupt"), (written_over, "corrupt")]
"""What was seen cannot be told: photos, which are not counted."""

UNWRITABLE = [(locked, "locked"), (read_only, "read-only"), (no_room_for_files, "disk")]
"""What was seen can be told: decisions go on, and events wait."""


def in_time(call: Callable[[], httpx.Response]) -> httpx.Response:
    start = time.monotonic()
    answer = call()
    assert time.monotonic() - start < BOUND
    return answer


def see_a_photo(shop: Shop, shopper: str) -> None:
    shown = in_time(lambda: ask(shop, shopper)).raise_for_status().json()
    assert shown["counted"] is False
    nothing = ("token", "expires_at", "arm", "segment", "digest", "propensity", "policy_version")
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


def pictures(shop: Shop, names: list[str]) -> list[object]:
    """What shoppers are shown, all but the token."""
    shown = [in_time(lambda name=name: ask(shop, name)).raise_for_status().json() for name in names]
    assert all(one["counted"] and one.pop("token") and one.pop("expires_at") for one in shown)
    return shown


def seen(shop: Shop, names: list[str]) -> list[dict[str, object]]:
    """Events of shoppers who look at what they are shown, stored."""
    told = [an_event(f"e-{name}", ask(shop, name).json()["token"]) for name in names]
    assert counts(send(shop, *told)) == (len(told), 0, 0)
    return told


KNOWN = [f"known-{n}" for n in range(60)]
NEW = [f"new-{n}" for n in range(8)]


@pytest.mark.parametrize(
    ("fails", "reason"), UNREADABLE + UNWRITABLE, ids=lambda x: getattr(x, "__name__", None)
)
def test_nothing_is_lost_while_the_store_fails_and_all_is_well_after(
    shop: Shop, tmp_path: Path, fails: Callable[..., AbstractContextManager[None]], reason: str
) -> None:
    told = seen(shop, KNOWN)
    known, new = pictures(shop, KNOWN), pictures(shop, NEW)
    token = ask(shop, KNOWN[0]).json()["token"]
    assert shop.client.get("/readyz").json()["status"] == "ready"

    with fails(shop, tmp_path / "log.sqlite"):
        if (fails, reason) in UNREADABLE:
            time.sleep(0.2)  # a read of what was there a moment ago is let through
            for name in NEW:
                see_a_photo(shop, name)
            assert photos(shop, reason) >= 1
            assert photos(shop) == len(NEW)
        else:
            assert pictures(shop, NEW) == new
            assert pictures(shop, KNOWN) == known
            assert photos(shop) == 0
        assert in_time(lambda: shop.client.get("/healthz")).status_code == 200
        ready = in_time(lambda: shop.client.get("/readyz"))
        assert ready.status_code == 503
        assert {"disk": "answers with errors"}.get(reason, reason) in ready.json()["detail"]
        assert str(tmp_path) not in ready.text
        answer = in_time(lambda: send(shop, an_event("late", token)))
        assert answer.status_code == 503

    soon(lambda: ask(shop, "after").json()["counted"])
    soon(lambda: shop.client.get("/readyz").status_code == 200)
    assert (pictures(shop, KNOWN), pictures(shop, NEW)) == (known, new)
    assert counts(send(shop, *told, an_event("late", token))) == (1, 60, 0)
    assert len(shop.decider.log.feedback()) == 61


def test_a_log_that_may_not_grow_takes_what_it_has_room_for(shop: Shop) -> None:
    tokens = [ask(shop, f"s{n}").json()["token"] for n in range(500)]
    batch = [an_event(f"e{n}", token) for n, token in enumerate(tokens)]
    with limited(shop, "max_page_count = 1"):  # SQLite's least: as it is
        assert send(shop, *batch).status_code == 503
        assert "full" in shop.client.get("/readyz").json()["detail"]
        assert pictures(shop, NEW)
    assert counts(send(shop, *batch)) == (500, 0, 0)  # none of it had been stored
    assert shop.client.get("/readyz").status_code == 200


def test_pictures_are_shown_while_the_disk_is_full(tmp_path: Path) -> None:
    """A disk of a megabyte, filled to the last byte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be made here; the test above stands for it")
    try:
        with running(disk, decision_seconds=WAIT) as shop:
            told = [an_event(f"e{n}", ask(shop, f"s{n}").json()["token"]) for n in range(200)]
            known = pictures(shop, KNOWN)
            with (disk / "filler").open("wb", buffering=0) as filler:
                fill(filler.write)
            parts = [told[start : start + 10] for start in range(0, len(told), 10)]
            sent = [send(shop, *part) for part in parts]
            assert {answer.status_code for answer in sent} <= {200, 503}
            assert sent[-1].status_code == 503  # what the log had of room is gone by now
            detail = shop.client.get("/readyz").json()["detail"]
            assert "full" in detail or "disk" in detail
            shown = [in_time(lambda name=name: ask(shop, name)) for name in NEW]
            assert {answer.status_code for answer in shown} == {200}
            (disk / "filler").unlink()
            soon(lambda: shop.client.get("/readyz").status_code == 200)
            soon(lambda: ask(shop, "after").json()["counted"])
            stored = 10 * sum(answer.status_code == 200 for answer in sent)
            again = [counts(send(shop, *part)) for part in parts]
            assert sum(new for new, _, _ in again) == 200 - stored
            assert sum(known for _, known, _ in again) == stored
            assert pictures(shop, KNOWN) == known
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
        told = seen(shop, ["ann"])
        before = pictures(shop, ["ann", "bob"])
        token = ask(shop, "bob").json()["token"]
        path = folder / "log.sqlite"
        with missing(shop, path):
            time.sleep(0.2)
            see_a_photo(shop, "bob")
            (folder / "away").chmod(0o444)  # as from a backup that somebody else made
        soon(lambda: ask(shop, "ann").json()["counted"])  # it is read
        assert pictures(shop, ["ann", "bob"]) == before
        assert send(shop, an_event("e", token)).status_code == 503
        assert "read-only" in shop.client.get("/readyz").json()["detail"]
        path.chmod(0o644)
        soon(lambda: shop.client.get("/readyz").status_code == 200)
        assert counts(send(shop, *told, an_event("e", token))) == (1, 1, 0)


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
    token = ask(shop, "ann").json()["token"]
    for file in tmp_path.glob("log.sqlite*"):
        file.unlink()
    assert send(shop, an_event("e1", token)).status_code == 503
    see_a_photo(shop, "bob")
    SqliteEventLog(path).close()  # somebody begins a new one, with another program
    soon(lambda: ask(shop, "bob").json()["counted"])
    # The token holds all there is to know: what was answered before is counted in the new log.
    assert counts(send(shop, an_event("e1", token))) == (1, 0, 0)
    assert list(shop.decider.log.feedback()["shopper"]) == ["ann"]


def test_decisions_wait_for_no_lock(tmp_path: Path) -> None:
    with (
        running(tmp_path) as shop,
        locked(shop, tmp_path / "log.sqlite"),
        ThreadPoolExecutor(80) as pool,
    ):
        token = ask(shop, "ann").json()["token"]
        start = time.monotonic()
        # More events than there are threads, all of which wait for the lock.
        sent = [pool.submit(send, shop, an_event(f"e{n}", token)) for n in range(60)]
        asked = list(pool.map(lambda n: ask(shop, f"new-{n}"), range(300)))
        assert time.monotonic() - start < 3 * BOUND
        assert {answer.status_code for answer in asked} == {200}
        assert all(answer.json()["counted"] for answer in asked)
        assert {call.result().status_code for call in sent} == {503}


class Hanging(MemoryEventLog):
    """A log whose disk hangs while it is read, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.let_go = False, threading.Event()

    def seen(self, *asked, **more):  # type: ignore[no-untyped-def]
        if self.hangs:
            self.let_go.wait(60)
        return super().seen(*asked, **more)


def test_a_disk_that_hangs_holds_up_nothing_but_the_decisions_it_is_read_for() -> None:
    log = Hanging()
    app = create_app(
        Decider(a_table(), NEARLY_ALL, log),
        a_catalog(),
        stored_variant,
        signer=SIGNER,
        decision_seconds=WAIT,
    )
    with BackgroundServer(app) as server, httpx.Client(base_url=server.url) as client:
        asked = {"shopper": "ann", "product": "shirt"}
        token = client.get("/v1/variant", params=asked).json()["token"]
        log.hangs = True
        try:
            with ThreadPoolExecutor(60) as pool:
                calls = [
                    pool.submit(in_time, lambda: client.get("/v1/variant", params=asked))
                    for _ in range(60)
                ]
                for path in ("/healthz", "/v1/photos/shirt"):
                    assert in_time(lambda path=path: client.get(path)).status_code == 200
                event = {"events": [an_event("e", token)]}
                answer = in_time(lambda: client.post("/v1/events", json=event))
                assert counts(answer) == (1, 0, 0)
                shown = [call.result() for call in calls]
            assert {answer.status_code for answer in shown} == {200}
            assert not any(answer.json()["counted"] for answer in shown)
            assert 'reason="late"' in client.get("/metrics").text
        finally:
            log.hangs = False
            log.let_go.set()
        soon(lambda: client.get("/v1/variant", params=asked).json()["counted"])


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
            token = in_time(lambda: ask(shop, "ann")).json()["token"]
            assert counts(in_time(lambda: send(shop, an_event("e", token)))) == (1, 0, 0)
            assert shop.client.get("/readyz").status_code == 200
            assert not any(image.done() for image in images)
        finally:
            let_go.set()
        assert {image.result().content for image in images} == {VARIANT}


def unforeseen(*_: object) -> bool:
    raise ValueError("nobody foresaw this")


@pytest.mark.parametrize("servable", [unforeseen, lambda *_: time.sleep(6) or True])
def test_whatever_a_decision_asks_may_fail_or_hang(servable: Callable[..., bool]) -> None:
    decider = Decider(a_table(), NEARLY_ALL, MemoryEventLog(), servable=servable)
    app = create_app(decider, a_catalog(), stored_variant, signer=SIGNER, decision_seconds=0.05)
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
    decider = Decider(a_personal_table(), NEARLY_ALL, MemoryEventLog(), traits=traits)
    app = create_app(decider, catalog, stored_variant, signer=SIGNER, decision_seconds=0.05)
    with TestClient(app) as client:
        start = time.monotonic()
        answer = client.get("/v1/variant", params={"shopper": "ann", "product": "mug"})
        assert (answer.status_code, answer.json()["counted"]) == (200, False)
        assert time.monotonic() - start < BOUND


def test_a_catalogue_that_cannot_be_told_is_the_one_before() -> None:
    told = iter([a_catalog()])
    app = create_app(
        Decider(a_table(), NEARLY_ALL, MemoryEventLog()),
        lambda: next(told),
        stored_variant,
        signer=SIGNER,
    )
    with TestClient(app) as client:
        answer = client.get("/v1/variant", params={"shopper": "ann", "product": "shirt"})
        assert answer.json()["counted"]


def test_an_unknown_product_has_a_photo_elsewhere(tmp_path: Path) -> None:
    with running(tmp_path, photo_url="https://cdn.shop/{product}.jpg?w=600") as shop:
        shown = ask(shop, "ann", "AB 12/3").raise_for_status().json()
        assert shown["image_url"] == "https://cdn.shop/AB%2012%2F3.jpg?w=600"
        assert (shown["counted"], shown["token"]) == (False, None)
        assert photos(shop, "unknown-product") == 1
        assert ask(shop, "ann").json()["counted"]
        assert ask(shop, "a b", "teapot").status_code == 422
        assert ask(shop, "ann", "tea\x00pot").status_code == 404, "in no address either"


def test_no_event_can_be_sent_for_what_is_not_counted(shop: Shop, tmp_path: Path) -> None:
    with missing(shop, tmp_path / "log.sqlite"):
        time.sleep(0.2)
        shown = ask(shop, "ann").json()
    soon(lambda: shop.client.get("/readyz").status_code == 200)
    assert counts(send(shop, an_event("e", shown["token"]))) == (0, 0, 1)


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
        assert db.execute("SELECT count(*) FROM events").fetchone() == (0,)
        assert db.execute("PRAGMA page_count").fetchone()[0] < 30
