import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from persona_img.errors import InvalidInput, StoreFailed
from persona_img.serving.sqlite_file import SqliteFile, connect
from persona_img.serving.sqlite_writer import GroupWriter


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "db.sqlite"
    with closing(connect(path)) as db:
        db.execute("CREATE TABLE t (x UNIQUE)")
    return path


def looked_at(db):
    db.execute("SELECT 1 FROM t").fetchone()


@contextmanager
def writing_to(path):
    """A writer to a file, and the file."""
    with (
        closing(SqliteFile(path, looked_at)) as file,
        closing(
            GroupWriter(file.writing, path, lambda db: db.execute("BEGIN IMMEDIATE"))
        ) as writer,
    ):
        yield writer, file


@pytest.fixture
def writer(path):
    with writing_to(path) as (writer, _):
        yield writer


def adding(value):
    return lambda db: db.execute("INSERT INTO t VALUES (?)", (value,)).rowcount


def refusing(db):
    raise InvalidInput("refused")


def rows(path):
    with closing(connect(path)) as db:
        return {x for (x,) in db.execute("SELECT x FROM t")}


def together(path, writer, works):
    """Outcomes of works that cannot start before all of them wait."""
    with closing(connect(path)) as other, ThreadPoolExecutor(len(works)) as pool:
        other.execute("BEGIN IMMEDIATE")
        calls = [pool.submit(writer.write, work) for work in works]
        while writer.waiting < len(works) - 1:
            time.sleep(0.001)
        assert not any(call.done() for call in calls), "answered before the commit"
        other.execute("ROLLBACK")
        return [call.exception() or call.result() for call in calls]


def test_a_commit_is_on_the_disk_when_it_returns(path):
    with closing(connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_calls_that_wait_together_share_a_commit(path, writer):
    assert together(path, writer, [adding(n) for n in range(30)]) == [1] * 30
    assert writer.commits <= 2
    assert rows(path) == set(range(30))


def test_a_refused_call_leaves_its_neighbours_alone(path, writer):
    outcomes = together(path, writer, [adding(1), refusing, adding(2)])
    assert isinstance(outcomes[1], InvalidInput)
    assert (outcomes[0], outcomes[2]) == (1, 1)
    assert rows(path) == {1, 2}


def test_a_full_disk_is_told_to_everyone_and_survived(path):
    with writing_to(path) as (writer, file):
        with file.writing() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreFailed, match="full"):
            writer.write(adding("x" * 100_000))
        assert rows(path) == set()
        assert writer.write(adding("small")) == 1
    assert rows(path) == {"small"}


def test_an_unexpected_error_rolls_the_transaction_back(path, writer):
    writer.write(adding(1))

    def half(db):
        adding(2)(db)
        return adding(1)(db)  # breaks UNIQUE

    with pytest.raises(StoreFailed, match="UNIQUE"):
        writer.write(half)
    assert rows(path) == {1}
    assert writer.write(adding(3)) == 1


def test_closing_commits_what_waits(path):
    with closing(connect(path)) as other, writing_to(path) as (writer, _):
        with ThreadPoolExecutor(6) as pool:
            other.execute("BEGIN IMMEDIATE")
            calls = [pool.submit(writer.write, adding(n)) for n in range(5)]
            while writer.waiting < 4:
                time.sleep(0.001)
            closed = pool.submit(writer.close)
            other.execute("ROLLBACK")
            closed.result()
            done = {n for n, call in enumerate(calls) if call.exception() is None}
        assert rows(path) == done
        with pytest.raises(StoreFailed, match="closed"):
            writer.write(adding(9))


def test_a_place_without_write_ahead_log_is_refused():
    with pytest.raises(InvalidInput, match="local disk"):
        connect(Path(":memory:"))


def test_a_locked_database_is_no_lost_call(path, writer):
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO t VALUES (1)")
        call = pool.submit(writer.write, adding(2))
        other.execute("COMMIT")
        assert call.result() == 1
    assert rows(path) == {1, 2}


def test_a_call_gives_up_in_time_and_those_behind_it_at_once(path, writer):
    def seconds(call):
        start = time.monotonic()
        with pytest.raises(StoreFailed) as error:
            call()
        assert error.value.reason == "locked"
        return time.monotonic() - start

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert 0.3 <= seconds(lambda: writer.write(adding(1), seconds=0.3)) < 2
        assert seconds(lambda: writer.write(adding(2), seconds=0.3)) < 0.2
        with ThreadPoolExecutor(1) as pool:
            patient = pool.submit(writer.write, adding(3))
            other.execute("ROLLBACK")
            assert patient.result() == 1
    assert writer.write(adding(4), seconds=5) == 1
    assert rows(path) == {3, 4}  # what gave up is not done later


def test_a_file_that_goes_while_it_is_written_to_takes_nothing_with_it(path, writer):
    def gone(db):
        adding(1)(db)
        path.rename(path.with_name("away"))

    with pytest.raises(StoreFailed, match="missing"):
        writer.write(gone)
    with pytest.raises(StoreFailed, match="missing"):
        writer.write(adding(2))
    path.with_name("away").rename(path)
    time.sleep(0.2)
    assert writer.write(adding(3)) == 1
    assert rows(path) == {1, 3}  # what is told to have failed may be there: it is sent again


def test_who_looks_late_takes_a_file_that_grew_for_no_shorter_one(path):
    """Reader and writer look at the file's size; each is compared before the next one is seen."""
    with closing(SqliteFile(path, looked_at)) as file:
        pair = file._opened
        seen, grown, late = threading.Event(), threading.Event(), []

        class Slow:
            def stat(self):
                found = path.stat()
                seen.set()
                grown.wait(1.0)
                return found

        class Grown:
            def stat(self):
                found = path.stat()
                return SimpleNamespace(
                    st_size=found.st_size + 4096, st_dev=found.st_dev, st_ino=found.st_ino
                )

        def look():
            late.append(pair._look())

        def grow():
            pair.path = Grown()
            pair._look()
            grown.set()

        pair.path = Slow()
        first = threading.Thread(target=look)
        first.start()
        assert seen.wait(5.0)
        second = threading.Thread(target=grow)
        second.start()
        first.join()
        second.join()
        pair.path = path
        pair._size = 0
    assert late == [(path.stat().st_dev, path.stat().st_ino)]
