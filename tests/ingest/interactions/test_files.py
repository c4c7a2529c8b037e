"""CSV, JSON Lines and Parquet in pieces: every row is read or refused under its own number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions import csv_files, json_files, parquet_files
from persona_img.ingest.interactions.base import Reject, Table
from persona_img.ingest.interactions.contents import Contents
from persona_img.ingest.interactions.csv_files import CsvTable
from persona_img.ingest.interactions.json_files import JsonTable
from persona_img.ingest.interactions.parquet_files import ParquetTable

if TYPE_CHECKING:
    from collections.abc import Iterable

Cells = list[tuple[int, Any]]


def rows(table: Table, path: str) -> tuple[Cells, list[Reject]]:
    """Row number and value at a path, and refused rows."""
    found: Cells = []
    bad: list[Reject] = []
    for piece in table.pieces([path]):
        places, values = piece.values(path)
        found += zip(piece.rows[places].tolist(), values.to_pylist(), strict=True)
        bad += piece.bad
    return found, bad


def table_of(tmp_path: Path, raw: bytes | str, **given: Any) -> CsvTable:
    path = tmp_path / "f.csv"
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return CsvTable(Contents.of(path), given.get("encoding"), given.get("mark"))


def test_csv_rows_have_the_numbers_a_spreadsheet_shows(tmp_path: Path) -> None:
    text = 'a,b\n1,x\n\n2\n"3","y\nz"\n4,5,6\n7,"with ""quotes"", and commas"\n,\n'
    table = table_of(tmp_path, text)
    found, bad = rows(table, "b")
    assert found == [(2, b"x"), (5, b"y\nz"), (7, b'with "quotes", and commas')]
    assert [(one.row, one.reason) for one in bad] == [
        (4, "1 cells where the header has 2"), (6, "3 cells where the header has 2"),
    ]  # fmt: skip
    assert bad[1].text == "4,5,6"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["good", "short", "long", "blank", "multi"]), max_size=60))
def test_numbers_are_right_wherever_blocks_end(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str]
) -> None:
    lines = {"good": "{n},v\n", "short": "{n}\n", "long": "{n},v,w\n", "blank": "\n",
             "multi": '{n},"v\n\nv"\n'}  # fmt: skip
    text = "a,b\n" + "".join(lines[kind].format(n=n) for n, kind in enumerate(kinds, start=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_files, "_BLOCK", 64)
        found, bad = rows(table_of(tmp_path_factory.mktemp("csv"), text), "a")
    good = [n for n, kind in enumerate(kinds, start=2) if kind in ("good", "multi")]
    assert found == [(n, str(n).encode()) for n in good]
    refused = [n for n, kind in enumerate(kinds, start=2) if kind in ("short", "long")]
    assert [one.row for one in bad] == refused


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_spreadsheets_own_csv_is_read(tmp_path: Path, encoding: str, mark: str) -> None:
    text = f"Käufer{mark}sku\r\nzoë{mark}1\r\n"
    table = table_of(tmp_path, text.encode(encoding))
    assert table.names == ["Käufer", "sku"]
    [(row, value)], _ = rows(table, "Käufer")
    assert (row, value.decode()) == (2, "zoë")


def test_excels_first_line_names_the_delimiter_and_is_a_row(tmp_path: Path) -> None:
    table = table_of(tmp_path, "sep=|\na,b|c\n1,2|3\n4\n")
    assert table.names == ["a,b", "c"]
    found, bad = rows(table, "c")
    assert found == [(3, b"3")]
    assert [one.row for one in bad] == [4]


def test_an_encoding_that_is_said_is_taken(tmp_path: Path) -> None:
    table = table_of(tmp_path, "name\nżółw\n".encode("cp1250"), encoding="cp1250")
    [(_, value)], _ = rows(table, "name")
    assert value.decode() == "żółw"
    with pytest.raises(InvalidInput, match="encoding 'klingon' is unknown"):
        table_of(tmp_path, "a\n1\n", encoding="klingon")
    with pytest.raises(InvalidInput, match="not ascii"):
        rows(table_of(tmp_path, "a\nä\n", encoding="ascii"), "a")


def test_bytes_that_are_no_utf8_in_other_columns_do_no_harm(tmp_path: Path) -> None:
    found, bad = rows(table_of(tmp_path, "a,note\n1,ä\n".encode() + b"2,\xe4\n"), "a")
    assert [value for _, value in found] == [b"1", b"2"]
    assert not bad


def test_a_quote_that_is_not_closed_is_not_swallowed_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'a,b\n1,2\n"3,4\n' + "5,6\n" * 40
    found, bad = rows(table_of(tmp_path, text), "a")
    assert found == [(2, b"1")]
    assert "a quote is not closed" in bad[0].reason
    monkeypatch.setattr(csv_files, "_BLOCK", 64)
    with pytest.raises(InvalidInput, match="a quote there may not be closed"):
        rows(table_of(tmp_path, text), "a")


def test_a_header_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no header"):
        table_of(tmp_path, "\n1,2\n")
    assert rows(table_of(tmp_path, "a,b\n"), "a") == ([], [])


def json_table(tmp_path: Path, lines: Iterable[str | bytes]) -> JsonTable:
    path = tmp_path / "f.jsonl"
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return JsonTable(Contents.of(path), None)


def test_json_lines_are_read_or_refused_one_by_one(tmp_path: Path) -> None:
    lines = ['{"a": 1}', "", '{"a": ', "[1]", b'{"a": "\xff"}', '{"a": "x", "b": 2}', '{"b": 1}']
    found, bad = rows(json_table(tmp_path, ['{"a": "ä"}', *lines]), "a")
    assert found == [(1, "ä"), (2, "1"), (7, "x")]
    assert [(one.row, one.reason) for one in bad] == [
        (4, "no JSON"), (5, "no JSON object"), (6, "not utf-8"),
    ]  # fmt: skip


def test_nested_json_gives_each_entry(tmp_path: Path) -> None:
    objects = [
        {"p": {"items": [{"id": 1}, {"id": "b"}, {"x": 1}, {"id": None}]}},
        {"p": {"items": []}}, {"p": None}, {"p": '{"items": [{"id": "in text"}]}'},
        {"p.items.id": "flat"}, {"p": {"items": {"id": True}}},
    ]  # fmt: skip
    found, _ = rows(json_table(tmp_path, map(json.dumps, objects)), "p.items.id")
    assert found == [(1, "1"), (1, "b"), (1, None), (4, "in text"), (5, "flat"), (6, None)]


def test_json_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "_LINES", 10)
    table = json_table(tmp_path, (json.dumps({"a": n}) for n in range(95)))
    sizes = [len(piece.rows) for piece in table.pieces(["a"])]
    assert sizes == [10] * 9 + [5]
    assert rows(table, "a")[0] == [(n + 1, str(n)) for n in range(95)]


def test_nested_parquet_reads_only_what_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    items = [[{"item_id": "a", "price": 1.0}, {"item_id": "b", "price": 2.0}], [], None]
    table = pa.table({
        "items": items, "event": pa.array(["v", "w", "v"]).dictionary_encode(),
        "text": ['{"id": 5}', "no json", None], "deep": [{"x": {"y": n}} for n in range(3)],
    })  # fmt: skip
    pq.write_table(table, path)
    opened = ParquetTable(Contents.of(path))
    assert opened.names == ["items", "event", "text", "deep"]
    assert rows(opened, "items.item_id")[0] == [(1, "a"), (1, "b")]
    assert rows(opened, "items.Item_ID")[0] == [(1, "a"), (1, "b")]
    assert rows(opened, "event")[0] == [(1, "v"), (2, "w"), (3, "v")]
    assert rows(opened, "text.id")[0] == [(1, "5")]
    assert rows(opened, "deep.x.y")[0] == [(1, 0), (2, 1), (3, 2)]
    piece = next(iter(opened.pieces(["items.item_id"])))
    assert piece.take(np.array([1])).values("items.item_id")[0].tolist() == []
    assert [f.name for f in piece.values("items")[1].type] == ["item_id"]  # price was not read
    with pytest.raises(InvalidInput, match="no sku in it; there are item_id"):
        rows(opened, "items.sku")
    with pytest.raises(InvalidInput, match="nothing lies inside"):
        rows(opened, "deep.x.y.z")


def test_parquet_comes_in_pieces_and_broken_files_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "_ROWS", 1000)
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"a": range(5500)}), path)
    pieces = list(ParquetTable(Contents.of(path)).pieces(["a"]))
    assert [len(piece.rows) for piece in pieces] == [1000] * 5 + [500]
    assert pieces[-1].rows[-1] == 5500
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidInput, match="broken Parquet"):
        ParquetTable(Contents.of(path))
