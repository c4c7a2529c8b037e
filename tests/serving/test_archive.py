"""The archive and the log's tail are, together, exactly what the log alone would say."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.event_log import NOON, RED, a_click, a_showing, an_event, an_impression
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.errors import StoreConflict, StoreFailed
from persona_img.serving import archive as archive_module
from persona_img.serving.archive import Archive
from persona_img.serving.history import History
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.sqlite_prune import prune
from persona_img.serving.sqlite_reader import SqliteReader

DAY = 86_400.0
OLD = Path(__file__).parents[1] / "data" / "logs" / "version-1.sqlite"


def history_in(folder: Path) -> History:
    path = folder / "log.sqlite"
    return History(Archive(folder / "archive"), partial(SqliteReader, path), partial(prune, path))


def stored(folder: Path) -> list[Path]:
    return sorted((folder / "archive").glob("*/*.parquet"))


@pytest.fixture
def log(tmp_path):
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        yield log


@pytest.fixture
def history(tmp_path, log):
    return history_in(tmp_path)


def of_batches(history: History, **asked: object) -> list[dict[str, object]]:
    """The pieces' rows, in feedback's own order."""
    rows = [row for batch in history.batches(**asked) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: (row["shown_at"], row["decision_id"]))


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[str, object]]:
    """What happens to a log, day by day: events, each within a token's life of three days, some of
    them again; runs of the archive; and the taking away of what is older than that.
    """
    steps: list[tuple[int, int, str, object]] = []
    for number in range(draw(st.integers(1, 7))):
        answered = draw(st.integers(0, 6))
        facts = {
            "decided_at": NOON + DAY * answered,
            "shopper": draw(st.sampled_from(["ann", "bob"])),
            "product": draw(st.sampled_from(["mug", "cup"])),
            "digest": draw(st.sampled_from([None, RED])),
            "test": draw(st.sampled_from(["hero", "other"])),
        }
        showing = a_showing(number, **facts)
        kinds = draw(st.sets(st.sampled_from(["impression", "click", "conversion", "dismiss"])))
        for kind in sorted(kinds | {"impression"}):
            arrives = [answered + draw(st.integers(0, 3)) for _ in range(draw(st.integers(1, 2)))]
            event = an_event(
                kind, showing, draw(st.sampled_from([-9.0, 0.0, 5.0, 0.4 * DAY, 2 * DAY])),
                received_at=NOON + DAY * min(arrives),
                skew=draw(st.sampled_from([0.0, 60.0])),
                value=draw(st.sampled_from([None, 3.5])) if kind == "conversion" else None,
            )  # fmt: skip
            steps += [(day, draw(st.integers(0, 9)), "event", event) for day in arrives]
    for day in draw(st.lists(st.integers(0, 9), max_size=8)):
        steps.append((day, draw(st.integers(0, 9)), "archive", None))
    for day in draw(st.lists(st.integers(0, 9), max_size=3)):
        before = datetime.fromtimestamp(NOON + DAY * (day - 3), UTC)
        steps.append((day, draw(st.integers(0, 9)), "prune", before))
    steps.sort(key=lambda step: step[:2])
    return [step[2:] for step in steps]


def test_any_life_of_a_log_gives_the_table_that_it_gives_without_an_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "MOST_FILES", 2)

    @settings(max_examples=40, deadline=None)
    @given(lives(), st.sampled_from([1.0, DAY, 7 * DAY]))
    def check(life, within):
        shutil.rmtree(tmp_path / "one", ignore_errors=True)
        (tmp_path / "one").mkdir()
        history, plain = history_in(tmp_path / "one"), MemoryEventLog()
        with closing(SqliteEventLog(tmp_path / "one" / "log.sqlite")) as log:
            for what, about in life:
                if what == "event":
                    assert log.record_events([about]) == plain.record_events([about])
                elif what == "archive":
                    history.archive()
                else:
                    history.archive(forget=about)
            for test in (None, "hero"):
                expected = plain.feedback(test, within=within)
                found = history.frame(test=test, within=within)
                pd.testing.assert_frame_equal(found, expected)
                expected = expected.sort_values(["shown_at", "decision_id"])
                assert of_batches(history, test=test, within=within) == expected.to_dict("records")

    check()


def test_a_click_of_an_archived_impression_counts_at_once_and_when_it_is_archived(log, history):
    log.record_events([an_impression(1), an_impression(2)])
    assert history.archive().impressions == 2
    log.record_events([a_click(1), an_event("conversion", 2, 60.0, value=9.0)])
    assert list(history.frame()["clicked"]) == [1, 0]
    assert (history.archive().late, history.archive().late) == (2, 0)
    frame = history.frame()
    assert (list(frame["clicked"]), list(frame["converted"])) == ([1, 0], [0, 1])


def test_what_came_is_archived_by_the_day_on_which_it_was_shown(log, history, tmp_path):
    shown = [an_impression(n, at) for n, at in enumerate([0.0, 1.0, DAY, 3 * DAY])]
    log.record_events(shown)
    found = history.archive()
    assert (found.impressions, found.late, found.days) == (4, 0, 3)
    assert [path.parent.name for path in stored(tmp_path)] == [
        "2025-10-09", "2025-10-10", "2025-10-12",
    ]  # fmt: skip
    first = pq.read_table(stored(tmp_path)[0])
    assert pa.types.is_dictionary(first["shopper"].type)
    assert first["propensity"].to_pylist() == [0.25, 0.25]
    second = datetime.fromtimestamp(NOON + DAY, UTC)
    assert len(history.frame(since=second)) == 2
    assert len(history.frame(until=second)) == 3
    assert len(history.frame(since=second, until=second)) == 1
    assert len(of_batches(history, since=second)) == 2


def test_days_that_are_not_asked_for_are_not_read(log, history, tmp_path):
    log.record_events([an_impression(1), an_impression(2, 5 * DAY)])
    history.archive()
    stored(tmp_path)[0].write_bytes(b"gone")
    since = datetime.fromtimestamp(NOON + 4 * DAY, UTC)
    assert len(history.frame(since=since)) == 1
    with pytest.raises(StoreFailed, match="backup"):
        history.frame()


def test_a_plan_is_asked_for_with_its_revisions(log, history):
    versions = ("v1", "v1~r2", "v1~withdrawn", "v2", "v11")
    log.record_events(
        [an_impression(a_showing(n, policy_version=v)) for n, v in enumerate(versions)]
    )
    history.archive()
    assert list(history.frame(plan="v1")["policy_version"]) == ["v1", "v1~r2", "v1~withdrawn"]
    assert history.frame(plan="v1", test="none").empty
    assert list(history.frame(plan="v1", test="none").columns) == list(FEEDBACK_COLUMNS)


def test_small_files_become_one_and_what_they_were_goes(log, history, tmp_path):
    runs = archive_module.MOST_FILES
    for number in range(runs + 1):
        log.record_events([an_impression(number), *([a_click(number - 1)] if number else [])])
        history.archive()
    before = history.frame()
    assert len(before) == runs + 1
    kinds = [path.stem.split("-")[-1] for path in stored(tmp_path)]
    assert (kinds.count("impressions"), kinds.count("late")) == (1, runs)
    assert history.frame().equals(before)
    assert Archive(tmp_path / "archive").verify().rows == runs + 1


def test_what_somebody_reads_is_not_removed(log, history, tmp_path):
    archive = Archive(tmp_path / "archive")
    log.record_events([an_impression(1)])
    history.archive()
    with archive.reading() as manifest:
        (kept,) = manifest.files
        for number in range(2, archive_module.MOST_FILES + 3):
            log.record_events([an_impression(number)])
            history.archive()
        assert kept not in archive.manifest.files
        assert (archive.folder / kept.name).exists()
        assert history.archive(forget=datetime.now(UTC)).pruned == 0
    log.record_events([an_impression(99)])
    history.archive()
    assert not (archive.folder / kept.name).exists()


@pytest.mark.parametrize("at", ["write", "publish"])
def test_a_run_that_is_stopped_has_done_nothing(log, history, tmp_path, monkeypatch, at):
    log.record_events([an_impression(1)])
    history.archive()
    log.record_events([an_impression(2), an_impression(3, 2 * DAY), a_click(1)])
    owner = archive_module.Run if at == "write" else archive_module
    done = getattr(owner, at)
    calls = []

    def stop(*given):
        calls.append(given)
        if len(calls) == (2 if at == "write" else 1):
            raise OSError(28, "No space left on device")
        return done(*given)

    before = history.frame()
    with monkeypatch.context() as patched:
        patched.setattr(owner, at, stop)
        with pytest.raises(OSError, match="No space"):
            history.archive()
    assert calls
    assert history.frame().equals(before)
    found = history.archive()
    assert (found.impressions, found.late) == (2, 1)
    assert history.frame().equals(before)
    named = {one.name for one in Archive(tmp_path / "archive").manifest.files}
    assert {f"{path.parent.name}/{path.name}" for path in stored(tmp_path)} == named


_RUN = """
import sys
from functools import partial
from pathlib import Path
from persona_img.serving.archive import Archive
from persona_img.serving.sqlite_reader import SqliteReader
folder = Path(sys.argv[1])
for _ in range(20):
    Archive(folder / "archive").add(partial(SqliteReader, folder / "log.sqlite"))
    print("done", flush=True)
"""


def test_two_at_once_archive_once(log, history, tmp_path):
    command = [sys.executable, "-c", _RUN, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for number in range(60):
        log.record_events([an_impression(number, number)])
    assert [process.wait() for process in running] == [0, 0]
    history.archive()
    assert Archive(tmp_path / "archive").manifest.rows == 60
    assert history.frame().equals(log.feedback())


def test_the_log_is_opened_when_no_other_run_is_under_way(log, history, tmp_path):
    """Opened before, it would not have what another run has archived meanwhile."""
    history.archive()

    def opened() -> SqliteReader:
        path = tmp_path / "archive" / "writing.lock"
        with path.open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return SqliteReader(tmp_path / "log.sqlite")

    log.record_events([an_impression(1)])
    assert Archive(tmp_path / "archive").add(opened).impressions == 1


def test_much_leaves_the_log_in_steps(log, history, monkeypatch):
    monkeypatch.setattr("persona_img.serving.sqlite_prune._STEP", 5)
    monkeypatch.setattr("persona_img.serving.sqlite_prune._MOST", 10)
    log.record_events([an_impression(n, n, received_at=NOON) for n in range(100)])
    assert history.archive(forget=datetime.fromtimestamp(NOON + 1, UTC)).pruned == 99
    assert (len(log.feedback()), len(history.frame())) == (1, 100)


def test_another_log_or_an_older_copy_is_refused(log, history, tmp_path):
    log.record_events([an_impression(1)])
    other = tmp_path / "other"
    other.mkdir()
    with closing(SqliteEventLog(other / "log.sqlite")) as second:
        second.record_events([an_impression(2)])
        log.record_events([an_impression(3)])
        history.archive()
        shutil.copytree(tmp_path / "archive", other / "archive")
        for number in (4, 5):
            for call in (history_in(other).frame, history_in(other).archive):
                with pytest.raises(StoreConflict, match="one backup"):
                    call()
            second.record_events([an_impression(number)])  # by now it has as many events


@pytest.mark.parametrize("damage", ["cut", "bit", "gone", "other"])
def test_a_damaged_file_is_found(log, history, tmp_path, damage):
    log.record_events([an_impression(n) for n in range(100)])
    history.archive()
    archive = Archive(tmp_path / "archive")
    archive.verify()
    (path,) = stored(tmp_path)
    held = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "other":  # as long, and as good a file: it is not the one that was written
        manifest = archive.folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace(archive.manifest.files[0].sha256, RED))
    elif damage == "cut":
        path.write_bytes(held[:-1])
    else:
        held[len(held) // 2] ^= 1
        path.write_bytes(held)
    with pytest.raises(StoreFailed, match=rf"(?s){path}.*backup"):
        archive.verify()


def test_a_manifest_that_cannot_be_read_is_no_empty_archive(log, history, tmp_path):
    log.record_events([an_impression(1)])
    history.archive()
    manifest = tmp_path / "archive" / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"version": 9}))
    with pytest.raises(StoreConflict, match="version 9"):
        history.frame()
    manifest.write_text("{")
    with pytest.raises(StoreFailed, match="backup"):
        history.archive()


def test_a_log_of_before_there_were_tokens_is_archived_whole(tmp_path):
    shutil.copy(OLD, tmp_path / "log.sqlite")
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        before = log.feedback()
        history = history_in(tmp_path)
        assert history.archive(forget=datetime.now(UTC)).impressions == len(before) > 10
        assert history.frame().equals(before)
        log.record_events([an_impression(1)])
        assert len(history.frame()) == len(log.feedback()) == len(before) + 1


def test_a_day_has_no_names_but_its_own(log, history, tmp_path):
    shown = [a_showing(n, shopper=f"s{n}", decided_at=NOON + n % 2 * DAY) for n in range(10)]
    log.record_events([an_impression(one) for one in shown])
    history.archive()
    for path in stored(tmp_path):
        assert len(pq.read_table(path)["shopper"].chunk(0).dictionary) == 5


def test_nothing_is_made_where_nothing_came(log, history, tmp_path):
    assert history.frame().empty
    assert list(history.batches()) == []
    assert history.archive(forget=datetime.now(UTC)).pruned == 0
    assert not stored(tmp_path)


def test_only_what_is_archived_and_old_is_taken_out_of_the_log(log, history):
    def received(number: int, at: float):
        return an_impression(number, number, received_at=NOON + at)

    def left(at: float) -> int:
        return history.archive(forget=datetime.fromtimestamp(NOON + at, UTC)).pruned

    log.record_events([received(1, 0.0), received(2, 100.0), an_impression(9)])
    assert (left(50.0), left(50.0)) == (1, 0)
    assert (len(log.feedback()), len(history.frame())) == (2, 3)
    # Without a time of the server's it stays. So does the last one: by it the log is known to be
    # the archive's.
    log.record_events([received(3, 200.0), received(4, 201.0)])
    assert (left(5e8), left(5e8)) == (2, 0)
    assert (len(log.feedback()), len(history.frame())) == (2, 5)
    assert log.seen("hero", "ann", ["mug"])["mug"].latest == a_showing().decision
    log.record_events([received(5, 300.0)])
    assert len(history.frame()) == 6


def test_a_click_that_waits_is_archived_before_its_impression_goes(log, history):
    """Nobody archived for a month: the click came in time, and is not in the archive yet."""
    log.record_events([an_impression(1, received_at=NOON), an_impression(2, received_at=NOON)])
    history.archive()
    log.record_events([a_click(1, received_at=NOON + 29 * DAY)])
    assert history.archive(forget=datetime.fromtimestamp(NOON + 31 * DAY, UTC)).pruned == 2
    assert list(history.frame()["clicked"]) == [1, 0]
