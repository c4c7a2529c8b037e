import itertools
import sqlite3
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pandas as pd
import pytest

from contracts.event_log import (
    NOON,
    EventLogContract,
    a_click,
    a_decision,
    a_showing,
    an_event,
    an_impression,
    see,
)
from persona_img.domain.decision import Arms
from persona_img.errors import InvalidInput, StoreConflict, StoreFailed
from persona_img.serving.feedback import save_feedback
from persona_img.serving.sqlite_log import SqliteEventLog

from . import killed_writer


class TestSqliteEventLog(EventLogContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.paths = (tmp_path / f"{n}.sqlite" for n in itertools.count())

    def new_log(self) -> SqliteEventLog:
        return SqliteEventLog(next(self.paths))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.sqlite"


def test_everything_is_there_after_reopening(path):
    arms = Arms("hero", {"control": 0.5, "personalized": 0.5})
    with closing(SqliteEventLog(path)) as log:
        log.open_test(arms)
        log.record_events([an_impression(1), a_click(1)])
        see(log, a_showing(2, policy_version="v2", digest=None, decided_at=NOON + 9))
        before, seen = log.feedback(), log.seen("hero", "ann", ["mug"])
    with closing(SqliteEventLog(path)) as log:
        log.open_test(arms)
        assert log.seen("hero", "ann", ["mug"]) == seen
        assert seen["mug"].changes == 1
        assert log.record_events([an_impression(1), a_click(1)]).duplicate == 2
        assert log.feedback().equals(before)
        with pytest.raises(StoreConflict):
            log.open_test(Arms("hero", {"control": 1.0}))


def test_all_that_is_told_of_an_event_is_kept(path):
    told = an_event("conversion", 1, 60.0, received_at=NOON + 61, skew=-3.0, value=12.5, position=4)
    with closing(SqliteEventLog(path)) as log:
        log.record_events([told, an_event("survey", 1, 62.0, rating=4)])
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT event_id, kind, occurred_at, received_at, skew, position, value, rating "
            "FROM events ORDER BY n"
        ).fetchall()
    assert rows == [
        (told.event_id, 3, NOON + 60, NOON + 61, -3.0, 4, 12.5, None),
        ("survey-000001", 5, NOON + 62, None, 0.0, 1, None, 4),
    ]


def test_closing_leaves_one_file(path):
    with closing(SqliteEventLog(path)) as log:
        see(log, a_showing())
    assert [p.name for p in path.parent.iterdir()] == ["log.sqlite"]


def test_killed_while_writing_it_keeps_what_it_acknowledged(path):
    writer = [sys.executable, killed_writer.__file__, str(path)]
    with subprocess.Popen(writer, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(200)]
        finally:
            process.kill()
        rest, _ = process.communicate()
    assert process.returncode == -9
    # The last line may have been cut off by the kill.
    lines += rest[: rest.rfind("\n") + 1].splitlines()
    acknowledged = [tuple(map(int, line.split())) for line in lines]
    assert len(acknowledged) >= 200

    with closing(SqliteEventLog(path)) as log:
        stored = log.feedback()
        sent = [killed_writer.events_of(*ack) for ack in acknowledged]
        again = log.record_events([event for batch in sent for event in batch])
        assert (again.new, again.duplicate) == (0, 4 * len(acknowledged))
        assert log.feedback().equals(stored)
        # A commit is all or nothing: three impressions and one click of each, never a part.
        batches = Counter(zip(stored["shopper"], stored["shown_at"], strict=True))
        assert set(batches.values()) == {3}
        assert stored["clicked"].sum() == len(batches)
        assert len(batches) >= len(acknowledged)


def test_two_logs_on_a_file_count_once(path):
    with closing(SqliteEventLog(path)) as one, closing(SqliteEventLog(path)) as two:
        see(one, a_showing(99, shopper="bob"))
        assert two.seen("hero", "bob", ["mug"])["mug"].latest == a_decision(shopper="bob")
        events = [an_impression(n, n) for n in range(50)]
        with ThreadPoolExecutor(8) as pool:
            accepted = list(pool.map(lambda log: log.record_events(events), [one, two] * 8))
        assert sum(a.new for a in accepted) == 50
        assert len(one.feedback()) == len(two.feedback()) == 51


def test_a_closed_log_says_so(path):
    log = SqliteEventLog(path)
    log.close()
    with pytest.raises(StoreFailed, match="closed"):
        log.record_events([an_impression()])
    with pytest.raises(StoreFailed, match="closed"):
        log.seen("hero", "ann", ["mug"])


def test_the_database_itself_refuses_a_propensity_of_zero(path):
    with closing(SqliteEventLog(path)) as log:
        see(log, a_showing())
    for table in ("decisions", "events"):
        with closing(sqlite3.connect(path)) as db, pytest.raises(sqlite3.IntegrityError):
            db.execute(f"UPDATE {table} SET propensity = 0")


def test_a_path_that_cannot_hold_a_log_is_refused(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no database\n" * 100)
    foreign = tmp_path / "foreign.sqlite"
    with closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE mine (x)")
    for path in (text, tmp_path, tmp_path / "no" / "folder.sqlite", foreign):
        with pytest.raises(InvalidInput, match=str(path)):
            SqliteEventLog(path)
    assert text.read_text() == "no database\n" * 100


def test_a_log_of_another_version_is_refused(path):
    SqliteEventLog(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreConflict, match="version 9"):
        SqliteEventLog(path)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".arrow"])
def test_feedback_can_be_saved(path, ending):
    with closing(SqliteEventLog(path)) as log:
        log.record_events([an_impression(), a_click()])
        frame = log.feedback()
    saved = save_feedback(frame, path.with_suffix(ending))
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".arrow": pd.read_feather}
    back = readers[ending](saved)
    assert list(back.columns) == list(frame.columns)
    assert list(back["clicked"]) == [1]
    if ending != ".csv":
        pd.testing.assert_frame_equal(back, frame)


def test_feedback_is_saved_in_known_formats_only(tmp_path):
    with (
        closing(SqliteEventLog(tmp_path / "log.sqlite")) as log,
        pytest.raises(InvalidInput, match="xls"),
    ):
        save_feedback(log.feedback(), tmp_path / "feedback.xls")


def test_a_file_whose_rows_went_is_asked_again(path):
    """As where another program writes a backup over it, in its place."""
    with closing(SqliteEventLog(path)) as log:
        for n in range(1, 4):
            see(log, a_showing(n))
        with closing(sqlite3.connect(path)) as db:
            for table in ("events", "decisions", "choices", "offers"):
                db.execute(f"DELETE FROM {table}")
            db.commit()
        with pytest.raises(StoreFailed, match="FOREIGN KEY"):
            see(log, a_showing(4))
        see(log, a_showing(4))
        assert len(log.feedback()) == 1
