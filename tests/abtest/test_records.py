"""Records in their folder: edited until a test starts, and then as they were."""

from __future__ import annotations

import errno
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from abtest.test_record import planned
from persona_img.abtest.records import Records, Started, Stopped
from persona_img.errors import InvalidInput, NotFound, StoreConflict, StoreFailed

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    kept = Records(tmp_path / "experiments")
    kept.save(planned())
    return kept


def started(records: Records) -> Started:
    found = records.started("hero")
    assert found is not None
    return found


def test_a_plan_may_be_written_again_until_it_starts(records: Records) -> None:
    other = planned(hypothesis="scenes do not sell mugs")
    records.save(other)
    assert records.load("hero") == other
    assert records.started("hero") is None
    records.start(other, run="r", now=NOON)
    with pytest.raises(StoreConflict, match="another name"):
        records.save(planned())
    assert records.load("hero") == other
    assert (started(records).record, started(records).started_at) == (other, NOON)
    assert records.names() == ["hero"]


def test_what_is_edited_after_the_start_is_told_and_changes_nothing(records: Records) -> None:
    records.start(planned(), run="r", now=NOON)
    assert records.changed(started(records)) == ()
    path = records.path("hero")
    path.write_text(path.read_text().replace("minimal_effect = 0.1", "minimal_effect = 0.3"))
    assert records.changed(started(records)) == ("minimal_effect: 0.1 -> 0.3",)
    assert started(records).record == planned()
    path.write_text("no record")
    assert "no valid TOML" in records.changed(started(records))[0]
    path.unlink()
    assert "is gone" in records.changed(started(records))[0]
    assert records.names() == ["hero"]


def test_what_started_cannot_be_edited_unseen(records: Records) -> None:
    records.start(planned(), run="r", now=NOON)
    path = records.folder / "hero.started.json"
    values = json.loads(path.read_text())
    values["record"]["minimal_effect"] = 0.3
    path.write_text(json.dumps(values))
    with pytest.raises(StoreFailed, match="not the one that started"):
        records.started("hero")
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(StoreFailed, match="restore"):
            records.started("hero")


@pytest.mark.parametrize(
    "change",
    [
        {"started_at": "2026-03-05T12:00:00+00:00"},
        {"record": planned(attribution_days=30.0).model_dump(mode="json")},
    ],
)
def test_neither_its_moment_nor_its_attribution_is_edited_unseen(
    records: Records, change: dict[str, object]
) -> None:
    records.start(planned(), run="r", now=NOON)
    path = records.folder / "hero.started.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreFailed, match="not the one that started"):
        records.started("hero")


@pytest.mark.parametrize(
    "change", [{"stopped_at": "2026-03-01T12:00:00+00:00"}, {"verdict": "worse"}, {"digest": "0"}]
)
def test_how_it_ended_is_not_edited_unseen(records: Records, change: dict[str, object]) -> None:
    records.stop("hero", Stopped(NOON, "win", "", "better", 1200, "r"))
    path = records.folder / "hero.stopped.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreFailed, match="not what was written"):
        records.stopped("hero")


def test_a_moment_without_a_zone_is_refused(records: Records) -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        records.start(planned(), run="r", now=NOON.replace(tzinfo=None))


def test_where_files_cannot_be_linked_it_still_starts_once(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", refused)
    records.start(planned(), run="r", now=NOON)
    assert started(records).run == "r"
    with pytest.raises(StoreConflict, match="started before"):
        records.start(planned(), run="s", now=NOON)


def test_a_later_version_whose_records_say_more_still_reads_it(records: Records) -> None:
    records.start(planned(), run="r", now=NOON)
    path = records.folder / "hero.started.json"
    values = json.loads(path.read_text())
    del values["record"]["bot_filter"]  # as if records had not said that then
    from persona_img.abtest.record import digest_of

    told = {name: values[name] for name in ("record", "started_at")}
    values["digest"] = digest_of(told)
    path.write_text(json.dumps(values))
    assert started(records).record == planned()


def test_of_many_who_start_at_once_one_does(records: Records) -> None:
    said: list[str] = []

    def start() -> None:
        try:
            records.start(planned(), run=threading.current_thread().name, now=NOON)
            said.append("started")
        except StoreConflict:
            said.append("refused")

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["refused"] * 7 + ["started"]
    assert started(records).run.startswith("Thread")
    assert not list(records.folder.glob("*.part"))


def test_it_ends_once(records: Records) -> None:
    ended = Stopped(NOON, "win", "", "better", 1200, "r")
    assert records.stopped("hero") is None
    records.stop("hero", ended)
    assert records.stopped("hero") == ended
    with pytest.raises(StoreConflict, match="stopped before"):
        records.stop("hero", ended)
    (records.folder / "hero.stopped.json").write_text('{"reason": "win"}')
    with pytest.raises(StoreFailed, match="restore"):
        records.stopped("hero")


def test_what_is_not_there_and_what_is_no_name(records: Records, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"'other' has no record; there are hero"):
        records.load("other")
    with pytest.raises(InvalidInput, match="letters"):
        records.load("../hero")
    (records.folder / "two.toml").write_text(planned().toml)
    with pytest.raises(InvalidInput, match="file's name says 'two'"):
        records.load("two")
    assert Records(tmp_path / "none").names() == []
