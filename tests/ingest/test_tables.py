from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.ingest.tables import Problem, read_table

ROWS = 'sku;name;price\r\nÜ-7;Große Tasse;19,90\r\nAB 12/3;"a;b";1\r\n'


def cells(path: Path, **how: str) -> list[dict[str, str]]:
    return [dict(row.cells) for row in read_table(path, **how).rows]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"],
)
def test_a_csv_in_any_common_encoding_is_the_same(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "Artikel Übersicht.v2.CSV"
    path.write_bytes(ROWS.encode(encoding))
    table = read_table(path)
    assert table.columns == ("sku", "name", "price")
    assert [row.number for row in table.rows] == [2, 3]
    assert cells(path) == [
        {"sku": "Ü-7", "name": "Große Tasse", "price": "19,90"},
        {"sku": "AB 12/3", "name": "a;b", "price": "1"},
    ]
    assert ("a guess" in table.how) == (encoding not in ("utf-8", "utf-8-sig", "utf-16", "utf-32"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "p.txt"
    path.write_text(f"sku{delimiter}title{delimiter}x\n" + f"a{delimiter}b - c{delimiter}d\n" * 3)
    assert cells(path)[0]["sku"] == "a"
    path.write_text(f"sep={delimiter}\nsku{delimiter}x\n1{delimiter}2\n")
    assert cells(path) == [{"sku": "1", "x": "2"}]


def test_a_stated_encoding_and_separator_go_first(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes("артикул,x;y\nмяч,1;2\n".encode("cp1251"))
    assert cells(path, encoding="cp1251", delimiter=";") == [{"артикул,x": "мяч,1", "y": "2"}]
    with pytest.raises(InvalidInput, match="shift_jis"):
        read_table(path, encoding="shift_jis2")
    with pytest.raises(InvalidInput, match="one character"):
        read_table(path, encoding="cp1251", delimiter="ab")


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "p.csv.gz"
    path.write_bytes(gzip.compress(b"sku,x\na,1\n"))
    assert cells(path) == [{"sku": "a", "x": "1"}]
    path.write_bytes(gzip.compress(b"sku,x\na,1\n" * 99)[:-12])
    with pytest.raises(InvalidInput, match="gzip"):
        read_table(path)


def test_rows_of_another_length_are_problems_with_the_spreadsheets_number(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text('a,b\n1,"two\nlines"\n\n3\n4,5,6\n7,8,,\n,\n9,0\n')
    table = read_table(path)
    assert [(row.number, row.cells["a"]) for row in table.rows] == [(2, "1"), (6, "7"), (8, "9")]
    assert [problem.row for problem in table.problems] == [4, 5]
    assert "too few" in table.problems[0].rule
    assert "too many" in table.problems[1].rule


def test_an_open_quote_is_a_problem_not_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text('a,b\n1,2\n3,"4\n5,6\n')
    table = read_table(path)
    assert [row.cells["a"] for row in table.rows] == ["1"]
    assert "quote" in table.problems[0].rule


def test_parquet_is_read_as_text_that_keeps_whole_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {
            "sku": pa.array([22423.0, None, 7.0]),
            "price": [1.299, 2.0, float("nan")],
            "tags": [["a"], [], None],
            "ok": [True, False, None],
            "__index_level_0__": [0, 1, 2],
        }
    )
    pq.write_table(table, tmp_path / "p")  # by its content, whatever its name
    assert cells(tmp_path / "p") == [
        {"sku": "22423", "price": "1.299", "tags": '["a"]', "ok": "true"},
        {"sku": "", "price": "2", "tags": "[]", "ok": "false"},
        {"sku": "7", "price": "", "tags": "", "ok": ""},
    ]
    read = read_table(tmp_path / "p")
    assert read.typed
    assert [row.number for row in read.rows] == [1, 2, 3]


def test_json_is_lines_or_a_list(tmp_path: Path) -> None:
    rows = [{"sku": "Ü", "price": 1}, {"sku": "b", "attributes": {"pose": "lying"}}]
    told = [
        {"sku": "Ü", "price": "1", "attributes": ""},
        {"sku": "b", "price": "", "attributes": '{"pose": "lying"}'},
    ]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    assert cells(tmp_path / "p.json") == cells(tmp_path / "p.jsonl") == told
    (tmp_path / "p.jsonl").write_text('{"sku": "a"}\n{"sku":\n\n7\n')
    table = read_table(tmp_path / "p.jsonl")
    assert [problem.row for problem in table.problems] == [2, 4]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("p.csv", b"", "empty"),
        ("p.csv", b"\n \n", "empty"),
        ("p.csv", b",,\n", "no header"),
        ("p.csv", b"a,a\n1,2\n", "twice"),
        ("p.xlsx", b"PK\x03\x04rest", "CSV UTF-8"),
        ("p.csv", b"a,b\n\x81\x8d,1\n", "--encoding"),
        ("p.json", b'{"a": ', "not JSON"),
        ("p.json", b"[1, ", "not JSON"),
        ("p.parquet", b"PAR1 and nothing else", "damaged Parquet"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    if says == "not JSON" and data.startswith(b"{"):
        assert "not JSON" in read_table(tmp_path / name).problems[0].rule
        return
    with pytest.raises(InvalidInput, match=says):
        read_table(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        read_table(tmp_path / "nowhere.csv")


def test_a_problem_reads_as_a_sentence() -> None:
    assert str(Problem(5, "price", "x" * 99, "no number")).startswith("row 5: price 'xxx")
    assert len(str(Problem(5, "price", "x" * 9999, "no number"))) < 120
    assert str(Problem(5, "", "x", "too few")) == "row 5: too few"


@given(st.binary(max_size=300))
def test_bytes_are_a_table_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "p.csv"
    path.write_bytes(data)
    try:
        table = read_table(path)
    except InvalidInput:
        return
    assert all(set(row.cells) == set(table.columns) for row in table.rows)
