from __future__ import annotations

import codecs
import gzip
from pathlib import Path

import pandas as pd
import pytest

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.contents import Contents, delimiter, first_lines, tables_in

HEAD = "shopper;product\n"


@pytest.mark.parametrize(
    ("raw", "encoding", "guessed"),
    [
        ((HEAD + "ä;1\n").encode(), "utf-8", False),
        ((HEAD + "ä;1\n").encode("utf-8-sig"), "utf-8-sig", False),
        ((HEAD + "ä;1\n").encode("utf-16"), "utf-16", False),
        (codecs.BOM_UTF16_BE + (HEAD + "ä;1\n").encode("utf-16-be"), "utf-16", False),
        ((HEAD + "ä€;1\n").encode("cp1252"), "cp1252", True),
        ((HEAD + "ä\x81;1\n").encode("latin-1"), "latin-1", True),
        ((HEAD + "ä;1\n").encode() + b"\xe4;2\n", "utf-8", False),  # some rows are not
        ((HEAD + "a;1\n" * 300_000 + "ä;1\n").encode("cp1252"), "cp1252", True),
    ],
)
def test_how_text_is_written(tmp_path: Path, raw: bytes, encoding: str, guessed: bool) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(raw)
    contents = Contents.of(path)
    assert (contents.kind, contents.encoding, contents.guessed) == ("csv", encoding, guessed)
    assert first_lines(contents, encoding).startswith(HEAD)
    assert contents.size == len(raw)


def test_packing_does_not_change_what_a_file_is(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "b.bin"
    plain.write_text(HEAD)
    packed.write_bytes(gzip.compress(HEAD.encode()) + gzip.compress(b"x;1\n"))  # two members
    assert Contents.of(packed).packed
    assert Contents.of(packed).size == len(HEAD) + 4
    packed.write_bytes(gzip.compress(HEAD.encode(), mtime=5))
    assert Contents.of(packed).digest == Contents.of(plain).digest


def test_kinds_are_told_by_what_is_inside(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    assert Contents.of(path).kind == "parquet"
    path.write_text('\ufeff{"a": 1}\n')
    assert Contents.of(path).kind == "jsonl"
    path.write_bytes(b"")
    assert Contents.of(path).kind == "empty"


@pytest.mark.parametrize(
    ("raw", "said"),
    [(b"PK\x03\x04rest", "spreadsheet"), (b"[1]", "JSON Lines"), (b"a\0b", "no text"),
     (b"Obj\x01", "Avro"), (b"\x28\xb5\x2f\xfd", "zstd"),
     (gzip.compress(b"a,b\n" * 1000, mtime=0)[:-20], "cut off")],
)  # fmt: skip
def test_what_we_do_not_read_is_said(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(raw)
    with pytest.raises(InvalidInput, match=said):
        Contents.of(path)
    with pytest.raises(InvalidInput, match="not there"):
        tables_in(tmp_path / "none", [])


@pytest.mark.parametrize(
    ("text", "mark"),
    [("a,b\n1,2\n", ","), ("a;b\n1,5;2,5\n", ";"), ("a\tb,c\td\n1\t2\t3\n", "\t"),
     ("a|b\n1|2\n", "|"), ("a\n1\n", ","), ('"x;y",b\n1,2\n', ",")],
)  # fmt: skip
def test_delimiters_are_found(text: str, mark: str) -> None:
    assert delimiter(text) == mark


def test_a_folder_is_its_tables(tmp_path: Path) -> None:
    for name in ("b.csv", "a.jsonl.gz", "sub/c.parquet", "_SUCCESS", ".hidden.csv", "_tmp/x.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "read.me").touch()
    skipped: list[Path] = []
    found = [str(path.relative_to(tmp_path)) for path in tables_in(tmp_path, skipped)]
    assert found == ["a.jsonl.gz", "b.csv", "sub/c.parquet"]
    assert skipped == [tmp_path / "read.me"]
