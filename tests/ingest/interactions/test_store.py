from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.errors import InvalidInput, NotFound, StoreConflict
from persona_img.ingest.interactions import parquet_files, parts
from persona_img.ingest.interactions.columns import Columns
from persona_img.ingest.interactions.store import Interactions

CASES = Path(__file__).parents[2] / "data" / "cases"
NOW = datetime(2026, 11, 26, tzinfo=UTC)
START = datetime(2026, 3, 1, tzinfo=UTC)
PLAIN = Columns()
EVENTS = Columns.of(["event_id=id"])


@pytest.fixture
def store(tmp_path: Path) -> Interactions:
    return Interactions(tmp_path / "interactions")


def some(count: int, start: int = 0, **columns: Any) -> pd.DataFrame:
    numbers = np.arange(start, start + count)
    frame = pd.DataFrame({
        "shopper": [f"s{n % 7}" for n in numbers],
        "product": [f"p{n % 5}" for n in numbers],
        "kind": [("view", "view", "cart", "purchase")[n % 4] for n in numbers],
        "occurred_at": [START + timedelta(minutes=int(n)) for n in numbers],
        "id": [f"e{n}" for n in numbers],
    })  # fmt: skip
    return frame.assign(**columns)


def csv_of(path: Path, frame: pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def same(store: Interactions, *frames: pd.DataFrame) -> None:
    wanted = pd.concat(frames, ignore_index=True).drop(columns="id")
    wanted["occurred_at"] = wanted["occurred_at"].astype("datetime64[us, UTC]")
    pd.testing.assert_frame_equal(store.frame(), wanted)
    assert len(store) == len(wanted)


def test_every_format_gives_the_same_interactions(tmp_path: Path) -> None:
    frame = some(50)
    files = [csv_of(tmp_path / "a.csv", frame), tmp_path / "b.parquet", tmp_path / "c.jsonl",
             tmp_path / "d.jsonl.gz", tmp_path / "e.csv.gz"]  # fmt: skip
    frame.to_parquet(files[1])
    frame.to_json(files[2], orient="records", lines=True, date_format="iso", date_unit="us")
    frame.to_json(files[3], orient="records", lines=True, date_format="iso", date_unit="us")
    csv_of(files[4], frame)
    for file in files:
        store = Interactions(tmp_path / f"store-{file.name}")
        added = store.add(file, PLAIN, now=NOW)
        assert added.sources[0].kinds == {"view": 26, "cart": 12, "purchase": 12}
        same(store, frame)


def test_every_refused_row_is_listed_with_its_number_and_reason(
    store: Interactions, tmp_path: Path
) -> None:
    frame = some(12).astype(object)
    frame.loc[1, "shopper"] = None
    frame.loc[2, "shopper"] = "null"
    frame.loc[3, "product"] = ""
    frame.loc[4, "kind"] = "refund"
    frame.loc[5, "kind"] = None
    frame.loc[6, "occurred_at"] = "yesterday"
    frame.loc[7, "occurred_at"] = NOW + timedelta(days=1)
    frame.loc[8, "kind"] = " Purchase "
    path = csv_of(tmp_path / "events.csv", frame)
    with path.open("a") as out:
        out.write("s1,p1,view\n")
    added = store.add(path, PLAIN, now=NOW)
    [source] = added.sources
    assert (source.read, source.rows, source.rejected) == (13, 5, 8)
    assert source.kinds["purchase"] == 2
    assert source.reasons == {
        "no shopper": 2, "no product": 1, "kind 'refund' is unknown": 1, "no kind": 1,
        "time cannot be read": 1, "time in the future": 1, "3 cells where the header has 5": 1,
    }  # fmt: skip
    listed = store.path_of_rejects(source)
    assert listed is not None
    with listed.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["row"]) for row in rows] == [3, 4, 5, 6, 7, 8, 9, 14]
    assert rows[1] == {
        "file": "events.csv", "row": "4", "reason": "no shopper", "shopper": "null",
        "product": "p2", "kind": "cart", "occurred_at": "2026-03-01 00:02:00+00:00", "text": "",
    }  # fmt: skip
    assert rows[7]["text"] == "s1,p1,view"
    assert listed.is_relative_to(tmp_path / "interactions")


def test_nothing_usable_adds_nothing_and_says_why(store: Interactions, tmp_path: Path) -> None:
    path = csv_of(tmp_path / "events.csv", some(9, kind="refund"))
    with pytest.raises(InvalidInput, match="none of 9 rows can be used: 9 kind 'refund'") as told:
        store.add(path, PLAIN, now=NOW)
    listed = Path(str(told.value).rsplit(" ", 1)[1])
    assert len(listed.read_text().splitlines()) == 10
    with pytest.raises(NotFound, match="interactions add"):
        store.frame()
    with pytest.raises(InvalidInput, match="no row in it"):
        store.add(csv_of(tmp_path / "head.csv", some(0)), PLAIN, now=NOW)
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InvalidInput, match="empty"):
        store.add(tmp_path / "empty.csv", PLAIN, now=NOW)


def test_reasons_do_not_grow_with_a_column_mapped_by_mistake(
    store: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_img.ingest.interactions.staging._MOST_REASONS", 3)
    frame = some(9, kind=["view", *map(str, range(8))])
    source = store.add(csv_of(tmp_path / "f.csv", frame), PLAIN, now=NOW).sources[0]
    assert source.rejected == sum(source.reasons.values()) == 8
    assert source.reasons["and other reasons"] == 5


def test_a_file_counts_once_under_any_name(store: Interactions, tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", some(20))
    store.add(path, PLAIN, now=NOW)
    copy = csv_of(tmp_path / "copy.csv.gz", some(20))
    added = store.add([path, copy], PLAIN, now=NOW)
    assert [one.name for one in added.already.values()] == ["a.csv", "a.csv"]
    assert added.rows == 0
    assert len(store) == 20
    with pytest.raises(StoreConflict, match="with other columns"):
        store.add(path, Columns.of(["product=id"]), now=NOW)
    twins = [csv_of(tmp_path / "t1.csv", some(5, 90)), csv_of(tmp_path / "t2.csv", some(5, 90))]
    added = store.add(twins, PLAIN, now=NOW)
    assert (added.rows, list(added.already)) == (5, [twins[1]])


@pytest.mark.parametrize("in_memory", [1000, 5])
def test_an_event_that_two_exports_hold_counts_once(
    store: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr("persona_img.ingest.interactions.events._IN_MEMORY", in_memory)
    march = csv_of(tmp_path / "march.csv", some(30))
    april = csv_of(tmp_path / "april.csv", some(30, 20))
    added = store.add([march, april], EVENTS, now=NOW)
    assert [one.repeated for one in added.sources] == [0, 10]
    assert added.sources[1].lost_to == {added.sources[0].digest: 10}
    assert not added.overlaps
    same(store, some(50))
    later = store.add(csv_of(tmp_path / "may.csv", some(30, 40)), EVENTS, now=NOW).sources[0]
    assert (later.rows, later.repeated) == (20, 10)
    # Two products of one event are two interactions, the same one twice is one.
    order = pd.concat([some(1, 500), some(1, 500, product="px"), some(1, 500)])
    source = store.add(csv_of(tmp_path / "order.csv", order), EVENTS, now=NOW).sources[0]
    assert (source.rows, source.repeated) == (2, 1)


def test_without_identifiers_an_overlap_is_said(store: Interactions, tmp_path: Path) -> None:
    files = [csv_of(tmp_path / "march.csv", some(30)), csv_of(tmp_path / "april.csv", some(30, 20))]
    added = store.add(files, PLAIN, now=NOW)
    assert added.overlaps == [("april.csv", "march.csv")]
    assert len(store) == 60
    apart = store.add(csv_of(tmp_path / "may.csv", some(5, 1000)), PLAIN, now=NOW)
    assert not apart.overlaps


def test_rows_without_an_identifier_are_kept_and_counted(
    store: Interactions, tmp_path: Path
) -> None:
    frame = some(6, id=["e1", "e1", None, None, "e2", ""])
    frame[["product", "kind"]] = ["p", "view"]
    source = store.add(csv_of(tmp_path / "f.csv", frame), EVENTS, now=NOW).sources[0]
    assert (source.rows, source.repeated, source.unnamed) == (5, 1, 3)


def test_a_wrong_file_is_undone(store: Interactions, tmp_path: Path) -> None:
    march = csv_of(tmp_path / "march.csv", some(30, kind=["refund"] + ["view"] * 29))
    april = csv_of(tmp_path / "april.csv", some(30, 20))
    first, second = store.add([march, april], EVENTS, now=NOW).sources
    listed = store.path_of_rejects(first)
    assert listed is not None
    assert listed.exists()
    assert store.remove("march.csv").digest == first.digest
    assert not listed.exists()
    assert [one.digest for one in store.sources()] == [second.digest]
    assert len(store) == second.rows
    with pytest.raises(NotFound, match=r"there is april\.csv"):
        store.remove("march.csv")
    assert store.remove(second.digest[:6]).name == "april.csv"
    assert store.summary().rows == 0
    assert not list((tmp_path / "interactions").rglob("*.parquet"))
    # Once gone, it can go in again, also with other columns.
    store.add(march, Columns.of(["product=id"], skip_others=True), now=NOW)


def test_two_files_of_one_name_are_told_apart_when_one_is_removed(
    store: Interactions, tmp_path: Path
) -> None:
    files = [csv_of(tmp_path / name / "e.csv", some(3, 10 * n)) for n, name in enumerate("ab")]
    sources = store.add(files, PLAIN, now=NOW).sources
    with pytest.raises(InvalidInput, match="2 files are called so"):
        store.remove("e.csv")
    store.remove(sources[1].digest[:12])
    same(store, some(3))


def test_a_folder_goes_in_and_its_broken_files_are_named(
    store: Interactions, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    csv_of(folder / "2026" / "a.csv", some(10))
    some(10, 10).to_parquet(folder / "b.parquet")
    (folder / "c.csv").touch()
    (folder / "d.parquet").write_bytes(b"PAR1 and nothing")
    csv_of(folder / "e.csv", some(3).drop(columns="kind"))
    (folder / "readme.md").write_text("hello")
    added = store.add(folder, PLAIN, now=NOW)
    assert [one.name for one in added.sources] == ["a.csv", "b.parquet"]
    assert added.empty == [folder / "c.csv"]
    assert added.skipped == [folder / "readme.md"]
    assert set(added.failed) == {folder / "d.parquet", folder / "e.csv"}
    assert "no column kind" in added.failed[folder / "e.csv"]
    same(store, some(20))
    with pytest.raises(InvalidInput, match="broken Parquet"):
        store.add(folder / "d.parquet", PLAIN, now=NOW)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InvalidInput, match=r"no file of \.csv"):
        store.add(tmp_path / "nothing", PLAIN, now=NOW)


def test_trying_adds_nothing(store: Interactions, tmp_path: Path) -> None:
    added = store.add(csv_of(tmp_path / "a.csv", some(9)), PLAIN, now=NOW, dry=True)
    assert (added.rows, added.dry, len(store)) == (9, True, 0)
    assert not list((tmp_path / "interactions").rglob("*.parquet"))


def test_products_the_catalogue_has_not_are_kept_and_counted(
    store: Interactions, tmp_path: Path
) -> None:
    path = csv_of(tmp_path / "a.csv", some(10))
    added = store.add(path, PLAIN, known={"p0", "p1", "p2"}, now=NOW)
    [about] = added.summaries.values()
    assert (about.unknown_rows, about.unknown_products) == (4, 2)
    assert about.unknown == {"p3": 2, "p4": 2}
    same(store, some(10))


def test_reading_is_by_time_and_in_pieces(
    store: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_BATCH", 10)
    store.add(csv_of(tmp_path / "a.csv", some(55)), PLAIN, now=NOW)
    store.add(csv_of(tmp_path / "b.csv", some(45, 55)), PLAIN, now=NOW)
    moment = START + timedelta(minutes=60)
    assert len(store.frame(before=moment)) == 60
    assert [batch.num_rows for batch in store.batches(["shopper"])] == [10] * 5 + [5] + [10] * 4 + [
        5
    ]
    assert next(store.batches(["product"], before=moment)).schema.names == ["product"]
    empty = store.frame(before=START)
    assert empty.empty
    assert str(empty["occurred_at"].dtype) == "datetime64[us, UTC]"
    total = store.summary()
    assert (total.rows, total.shoppers, total.products) == (100, 7, 5)
    assert (total.first, total.last) == (START, START + timedelta(minutes=99))


def test_what_is_in_memory_does_not_grow_with_the_file(
    store: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long file is written in parts and row groups while it is read, never held whole."""
    monkeypatch.setattr(parquet_files, "_ROWS", 500)
    monkeypatch.setattr(parts, "GROUP_ROWS", 1000)
    monkeypatch.setattr(parts, "PART_ROWS", 5000)
    waiting: list[int] = []
    add = parts.Parts.add

    def watched(self: parts.Parts, table: pa.Table) -> None:
        add(self, table)
        waiting.append(sum(one.num_rows for one in self._waiting))

    monkeypatch.setattr(parts.Parts, "add", watched)
    told: list[tuple[float, int]] = []
    some(20_000).to_parquet(tmp_path / "long.parquet")
    store.add(
        tmp_path / "long.parquet",
        PLAIN,
        now=NOW,
        progress=lambda _, done, n: told.append((done, n)),
    )
    assert len(waiting) == 40
    assert max(waiting) < 1000
    assert len(list((tmp_path / "interactions").rglob("part-*.parquet"))) == 4
    assert told == sorted(told)
    assert told[-1] == (1.0, 20_000)
    same(store, some(20_000))


def test_a_killed_import_leaves_the_store_as_it_was(store: Interactions, tmp_path: Path) -> None:
    store.add(csv_of(tmp_path / "first.csv", some(10)), PLAIN, now=NOW)
    before = (tmp_path / "interactions" / "manifest.json").read_bytes()
    pd.concat([some(20_000, 10_000)] * 4).to_parquet(tmp_path / "second.parquet")
    code = (
        "import sys, time; from pathlib import Path; from datetime import datetime, UTC\n"
        "from persona_img.ingest.interactions.store import Interactions\n"
        "from persona_img.ingest.interactions.columns import Columns\n"
        "def told(name, done, rows):\n"
        "    if rows: print('half', flush=True); time.sleep(60)\n"
        "Interactions(Path(sys.argv[1])).add(Path(sys.argv[2]), Columns(), progress=told)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "interactions", tmp_path / "second.parquet"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    with pytest.raises(StoreConflict, match="another import is at work"):
        store.add(tmp_path / "second.parquet", PLAIN, now=NOW)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list((tmp_path / "interactions" / "adding").iterdir())  # it was in the middle of it
    assert (tmp_path / "interactions" / "manifest.json").read_bytes() == before
    same(store, some(10))
    store.add(tmp_path / "second.parquet", PLAIN, now=NOW)
    assert len(store) == 80_010
    assert not (tmp_path / "interactions" / "adding").exists()


def test_stopped_between_its_parts_and_the_manifest_it_starts_over(
    store: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = csv_of(tmp_path / "a.csv", some(10))
    with monkeypatch.context() as patch:
        patch.setattr("persona_img.ingest.interactions.shelf.Shelf.write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.add(path, PLAIN, now=NOW)
    assert list((tmp_path / "interactions" / "sources").iterdir())
    assert len(store) == 0
    store.add(path, PLAIN, now=NOW)
    same(store, some(10))


def test_a_programs_table_goes_in_whole_and_can_be_replaced(store: Interactions) -> None:
    store.append(some(10), source="simulated")
    assert store.append(some(10), source="simulated").rows == 10
    same(store, some(10))  # the same once
    store.append(some(5, 50), source="other")
    store.append(some(20, 100), source="simulated", replace=True)
    same(store, some(5, 50), some(20, 100))
    store.append(some(20, 100), source="simulated", replace=True)
    same(store, some(5, 50), some(20, 100))


def test_categories_and_zones_of_a_frame_are_read(store: Interactions) -> None:
    frame = some(10)
    coded = frame.astype({"shopper": "category", "kind": "category", "product": "string"})
    coded["occurred_at"] = (
        frame["occurred_at"].dt.tz_convert("Asia/Tokyo").astype("datetime64[ns, Asia/Tokyo]")
    )
    store.append(coded, source="x")
    same(store, frame)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (some(3).drop(columns="occurred_at"), "no column occurred_at"),
        (some(3, occurred_at=datetime(2026, 3, 1)), "give times with a time zone"),
        (some(3, occurred_at="2026-03-01T12:00:00Z"), "give times with a time zone"),
        (some(3, kind="look"), "kind 'look': use view, cart, purchase"),
        (some(3, shopper=["a", None, "b"]), "row 2: no shopper"),
        (some(3, product=["a", "b", ""]), "row 3: no product"),
        (some(3, occurred_at=[START, pd.NaT, START]), "row 2: no time"),
    ],
)
def test_a_programs_wrong_table_is_refused_whole(
    store: Interactions, frame: pd.DataFrame, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        store.append(frame, source="x")
    assert len(store) == 0


def test_simulated_and_real_shoppers_do_not_mix(store: Interactions, tmp_path: Path) -> None:
    store.append(some(10), source="simulated")
    path = csv_of(tmp_path / "a.csv", some(10))
    with pytest.raises(StoreConflict, match="interactions remove simulated"):
        store.add(path, PLAIN, now=NOW)
    store.remove("simulated")
    store.add(path, PLAIN, now=NOW)


@pytest.mark.parametrize(
    ("case", "said", "mended"),
    [
        ("23-interactions-tz-naive", "give times with a time zone", Columns(timezone="UTC")),
        ("24-interactions-no-time-column", "no column occurred_at",
         Columns.of(["occurred_at=timestamp"])),
        ("28-interactions-dates", "give times with a time zone", Columns(timezone="UTC")),
        ("28-interactions-text", "give times with a time zone", PLAIN),
        ("28-interactions-unix", "give times with a time zone", PLAIN),
    ],
)  # fmt: skip
def test_merchants_tables_put_there_by_hand(
    tmp_path: Path, case: str, said: str, mended: Columns
) -> None:
    """Cases 23, 24 and 28: a message instead of a traceback, and a way in that is right."""
    earlier = tmp_path / "tables" / "interactions.parquet"
    earlier.parent.mkdir()
    earlier.write_bytes((CASES / f"{case}.parquet").read_bytes())
    store = Interactions(tmp_path / "interactions", earlier)
    with pytest.raises(InvalidInput, match=said):
        store.frame()
    assert earlier.exists()
    earlier.rename(tmp_path / "mine.parquet")
    store.add(tmp_path / "mine.parquet", mended, now=NOW)
    frame = store.frame()
    wanted = pd.read_parquet(CASES / "28-interactions-text.parquet")
    times = pd.to_datetime(wanted["occurred_at"], utc=True).astype("datetime64[us, UTC]")
    if case == "28-interactions-dates":
        times = times.dt.floor("D")
    assert frame["occurred_at"].tolist() == times.tolist()
    assert frame["shopper"].tolist() == wanted["shopper"].tolist()


def test_an_earlier_versions_table_is_taken_over(tmp_path: Path) -> None:
    earlier = tmp_path / "tables" / "interactions.parquet"
    earlier.parent.mkdir()
    some(10).to_parquet(earlier)
    store = Interactions(tmp_path / "interactions", earlier)
    same(store, some(10))
    assert not earlier.exists()
    same(Interactions(tmp_path / "interactions", earlier), some(10))


def test_a_manifest_of_a_later_version_is_not_touched(store: Interactions, tmp_path: Path) -> None:
    store.append(some(1), source="x")
    path = tmp_path / "interactions" / "manifest.json"
    path.write_text(json.dumps({"version": 2, "sources": []}))
    with pytest.raises(StoreConflict, match="later persona-img"):
        store.append(some(2), source="x")
    assert json.loads(path.read_text())["version"] == 2


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 3))
def test_however_a_history_is_cut_into_files_it_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], files: int
) -> None:
    """Events cut into overlapping files, in any order, give each event once."""
    folder = tmp_path_factory.mktemp("cut")
    store = Interactions(folder / "interactions")
    whole = pd.concat([some(1), *(some(1, n) for n in numbers)], ignore_index=True)
    for number in range(files):
        piece = pd.concat([some(1), whole.iloc[number::files], some(1, 100 + number)])
        store.add(csv_of(folder / f"{number}.csv", piece), EVENTS, now=NOW)
    wanted = set(numbers) | {0} | {100 + number for number in range(files)}
    minutes = (store.frame()["occurred_at"] - START) / timedelta(minutes=1)
    assert sorted(minutes) == sorted(wanted)


def test_it_is_read_while_it_is_added_to(store: Interactions, tmp_path: Path) -> None:
    store.append(some(10), source="x")
    batches = store.batches()
    next(batches)
    store.append(some(10, 50), source="y")
    assert sum(batch.num_rows for batch in batches) == 0
    assert len(store) == 20
