from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from persona_img.errors import InvalidInput
from persona_img.ingest.events.mapping import EventMap
from persona_img.ingest.events.reading import Found, read_events
from persona_img.ingest.interactions.contents import Contents

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OWN = EventMap.model_validate(
    {
        "timezone": "UTC",
        "fields": {
            "kind": ["kind"], "token": ["token"], "occurred_at": ["at"], "position": ["place"],
            "rating": ["rating"], "value": ["value"],
        },
        "kinds": {"impression": ["seen"], "survey": ["rated"], "conversion": ["sold"]},
    }
)  # fmt: skip


def read(path: Path, text: str) -> list[Found]:
    path.write_text(text)
    return [one for piece in read_events(Contents.of(path), OWN, NOW) for one in piece]


def test_rows_are_numbered_as_a_spreadsheet_counts(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.csv",
        "kind;token;at;place\nseen;t1;2026-03-01 10:00:00;3\nseen;;;\nbought;t1;;\nseen;t1\n",
    )
    assert [(one.row, one.kind, one.refused != "") for one in found] == [
        (2, "impression", False), (3, None, True), (4, None, False), (5, None, True),
    ]  # fmt: skip
    assert (found[0].occurred_at, found[0].position) == (1772359200.0, 3)
    assert "no token" in found[1].refused
    assert found[2].called == "bought"
    assert "cells" in found[3].refused


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('{"kind": "seen", "token": "t", "at": "2026-12-01T00:00:00Z"}', "future"),
        ('{"kind": "seen", "token": "t", "at": "noon"}', "noon"),
        ('{"kind": "rated", "token": "t", "rating": "4.5"}', "4.5"),
        ('{"kind": "sold", "token": "t", "value": "1,5"}', "1,5"),
        ('{"kind": "sold", "token": "t", "value": "inf"}', "inf"),
        ('{"kind": "seen"', "not JSON"),
    ],
)
def test_a_row_that_is_none_holds_up_no_other(tmp_path: Path, row: str, says: str) -> None:
    good = '{"kind": "seen", "token": "t", "at": "2026-03-01T10:00:00Z"}'
    fine, bad, last = read(tmp_path / "a.jsonl", f"{good}\n{row}\n{good}\n")
    assert (bad.kind, says in bad.refused) == (None, True)
    assert fine.occurred_at == last.occurred_at == 1772359200.0
    assert (fine.row, bad.row, last.row) == (1, 2, 3)


def test_what_says_no_number_of_a_place_leaves_it_open(tmp_path: Path) -> None:
    start = '{"kind": "seen", "token": "t", "place": '
    rows = "".join(f"{start}{place}}}\n" for place in ('"top"', '"4"', "5", "null"))
    assert [one.position for one in read(tmp_path / "a.jsonl", rows)] == [1, 4, 5, 1]


def test_many_rows_come_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"kind": "seen", "token": "t"}\n' * 2500)
    sizes = [len(piece) for piece in read_events(Contents.of(path), OWN, NOW)]
    assert sizes == [1000, 1000, 500]


def test_one_json_list_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="an object a line"):
        read(tmp_path / "a.json", "[1]")


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", "") == []
