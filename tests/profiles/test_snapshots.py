"""Tables that grow: whole files, the last word counts, the same rows give the same bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq
import pytest

from persona_img.errors import InvalidInput
from persona_img.profiles.snapshots import Snapshots

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def table(folder: Path) -> Snapshots:
    return Snapshots(folder / "deep" / "t.parquet", "who", {"size": "number", "tags": "texts"})


def rows(*values: tuple[str, int, float]) -> pd.DataFrame:
    times = [NOON + timedelta(seconds=second) for _, second, _ in values]
    return pd.DataFrame(
        {
            "who": [who for who, _, _ in values],
            "event_timestamp": pd.Series(times, dtype="datetime64[us, UTC]"),
            "size": [size for _, _, size in values],
            "tags": [("a", "b")] * len(values),
        }
    )


def test_rows_are_kept_by_time_and_the_last_word_counts(tmp_path: Path) -> None:
    kept = table(tmp_path)
    assert not kept.exists
    assert kept.read().empty
    kept.append(rows(("x", 2, 1.0), ("y", 1, 2.0)))
    kept.append(rows(("x", 2, 3.0), ("x", 0, 4.0)).set_axis([5, 5]))

    assert kept.read()["size"].to_list() == [4.0, 2.0, 3.0]
    assert kept.read()["tags"].to_list() == [("a", "b")] * 3
    assert sorted(kept.latest()["size"]) == [2.0, 3.0]
    until = pd.Timestamp(NOON + timedelta(seconds=1))
    assert sorted(kept.latest(until)["size"]) == [2.0, 4.0]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = table(tmp_path / "one"), table(tmp_path / "two")
    one.append(rows(("x", 2, 1.0), ("y", 1, 2.0)))
    two.append(rows(("y", 1, 2.0)))
    two.append(rows(("x", 2, 1.0)))
    two.append(rows(("x", 2, 1.0)))
    assert one.path.read_bytes() == two.path.read_bytes()


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = table(tmp_path)
    kept.append(rows(("x", 0, 1.0)))
    before = kept.path.read_bytes()
    with pytest.raises(InvalidInput, match="feature size must be number"):
        kept.append(rows(("x", 1, 2.0)).assign(size="wide"))

    def full(_: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="no space"):
        kept.append(rows(("x", 1, 2.0)))
    assert kept.path.read_bytes() == before
    assert kept.read()["size"].to_list() == [1.0]
