"""A log that version 1 of the program wrote is brought up to date, and nothing in it is lost."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from contracts.event_log import NOON, a_showing, see
from persona_img.domain.feedback import BEFORE_TOKENS, Event, Showing
from persona_img.domain.people import Link
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.sqlite_schema import check, prepare

DATA = Path(__file__).parents[1] / "data" / "logs"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """What the code of version 1 wrote; see the file beside it."""
    return Path(shutil.copy(DATA / "version-1.sqlite", tmp_path / "log.sqlite"))


@pytest.fixture(scope="module")
def told() -> pd.DataFrame:
    """The feedback that the code of version 1 read from it."""
    frame = pd.DataFrame(json.loads((DATA / "version-1.json").read_text()))
    frame["shown_at"] = pd.to_datetime(frame["shown_at"], unit="s", utc=True).astype(
        "datetime64[us, UTC]"
    )
    return frame


def same(found: pd.DataFrame, told: pd.DataFrame) -> None:
    """The same rows; what was shown at the same moment may stand in another order."""
    order = ["shown_at", "decision_id"]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True), told.sort_values(order, ignore_index=True)
    )


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def test_feedback_is_what_it_was(path: Path, told: pd.DataFrame) -> None:
    with closing(SqliteEventLog(path)) as log:
        same(log.feedback(), told)
        same(log.feedback("hero"), told[told["test"] == "hero"])


def test_every_event_and_every_decision_is_kept(path: Path) -> None:
    kinds = "SELECT kind, count(*) FROM events GROUP BY kind"
    before = dict(rows(path, kinds))
    decisions = set(rows(path, "SELECT decision_id, propensity, decided_at FROM decisions"))
    names = set(rows(path, "SELECT event_id FROM events"))
    SqliteEventLog(path).close()
    after = dict(rows(path, kinds))
    assert after == {1: before["impression"], 2: before["click"], 3: before["conversion"]}
    assert set(rows(path, "SELECT event_id FROM events")) == names
    assert set(rows(path, "SELECT decision_id, propensity, decided_at FROM earlier")) == decisions
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "PRAGMA foreign_key_check") == []


def test_what_was_seen_is_kept_and_what_was_not_is_free(path: Path, told: pd.DataFrame) -> None:
    with closing(SqliteEventLog(path)) as log:
        for (test, shopper, product), seen in told.groupby(["test", "shopper", "product"]):
            found = log.seen(test, shopper, [product])[product]
            last = seen.iloc[-1]
            assert found.latest.policy_version == last["policy_version"]
            assert (found.latest.style_key, found.latest.digest) == (last.style_key, last.digest)
            assert found.latest.propensity == last["propensity"]
            assert found.changes == seen["policy_version"].nunique() - 1
        assert log.seen("hero", "s3", ["mug", "shoe"]) == {}


def test_events_about_earlier_decisions_are_still_taken(path: Path) -> None:
    free = (
        "SELECT decision_id FROM decisions d WHERE NOT EXISTS "
        "(SELECT 1 FROM events e WHERE e.decision_id = d.decision_id) LIMIT 1"
    )
    ((name,),) = rows(path, free)
    (known,) = rows(path, "SELECT * FROM events WHERE kind = 'impression' LIMIT 1")
    with closing(SqliteEventLog(path)) as log:
        before = len(log.feedback())
        found = log.earlier([str(name), str(known[2]), "nobody"])
        assert set(found) == {name, known[2]}
        showing = Showing(f"{name}{BEFORE_TOKENS}new", found[str(name)], 0.0)
        at = found[str(name)].decided_at + 2
        assert log.record_events([Event("new", "impression", showing, at)]).new == 1
        assert log.record_events([Event("c", "click", showing, at + 1)]).new == 1
        frame = log.feedback()
        assert len(frame) == before + 1
        assert frame[frame["decision_id"] == name]["clicked"].tolist() == [1]
        # What had been stored is known by its name.
        old = Showing(f"{known[2]}{BEFORE_TOKENS}{known[3]}", found[str(known[2])], 0.0)
        again = log.record_events([Event(str(known[0]), "impression", old, float(known[4]))])
        assert again.duplicate == 1


def test_a_second_time_changes_nothing(path: Path, told: pd.DataFrame) -> None:
    SqliteEventLog(path).close()
    first = path.read_bytes()
    with closing(SqliteEventLog(path)) as log:
        same(log.feedback(), told)
    assert path.read_bytes() == first


@pytest.mark.parametrize("pages", [19, 21, 25])
def test_what_does_not_succeed_changes_nothing(path: Path, pages: int) -> None:
    """As on a disk that is full in the middle of it."""
    before = rows(path, "SELECT * FROM events")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            prepare(db, path)
    assert rows(path, "SELECT * FROM events") == before
    assert rows(path, "PRAGMA user_version") == [(1,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def _open(path: Path, start: multiprocessing.synchronize.Barrier) -> None:
    start.wait()
    SqliteEventLog(path).close()


def test_processes_that_come_at_once_do_it_once(path: Path, told: pd.DataFrame) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    processes = [context.Process(target=_open, args=(path, start)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    with closing(SqliteEventLog(path)) as log:
        same(log.feedback(), told)


def test_a_program_of_version_1_that_still_runs_stores_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old:
        insert = "INSERT INTO events (event_id, kind, decision_id) VALUES ('e', 'click', 'd')"
        SqliteEventLog(path).close()
        with pytest.raises(sqlite3.OperationalError):
            old.execute(insert)


def test_a_log_of_before_there_were_links_gets_their_table_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with closing(SqliteEventLog(path)) as log:
        see(log, a_showing())
        before = log.feedback()
    with closing(sqlite3.connect(path)) as db:  # as it was before there were links
        db.execute("DROP TABLE links")
    with closing(sqlite3.connect(path)) as running:
        check(running)
        with closing(SqliteEventLog(path)) as log:
            assert log.feedback().equals(before)
            assert log.link([Link("ann", "login")], NOON)[0].unit == "ann"
        check(running)  # a program of before that still serves goes on: the version is its own
    assert rows(path, "PRAGMA user_version") == [(2,)]
