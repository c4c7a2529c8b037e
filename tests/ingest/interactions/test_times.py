from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.times import OLDEST, Times

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def read(
    values: list[Any], zone: str | None = None, written: str | None = None, kind: Any = None
) -> tuple[list[datetime | None], list[str | None]]:
    moments, reasons = Times(zone, written, NOW).read(pa.array(values, kind))
    return moments.to_pylist(), list(reasons)


@pytest.mark.parametrize(
    "text",
    ["2026-03-01T12:00:00Z", "2026-03-01 12:00:00+00:00", "2026-03-01 13:00:00+01",
     "2026-03-01T07:00:00.000-0500", "2026-03-01 12:00:00 UTC", "2026-03-01 12:00:00.000 +0000",
     " 2026-03-01T12:00:00Z ", "2026-03-01T12:00Z", "2026-03-01 12:00:00,000+00:00"],
)  # fmt: skip
def test_iso_texts_with_a_zone_are_one_moment(text: str) -> None:
    assert read([text]) == ([NOON], [None])


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1772366400, pa.int64()), (1772366400000, pa.int64()), (1772366400000000, pa.int64()),
     (1772366400000000000, pa.int64()), ("1772366400", None), ("1772366400000", None),
     (1772366400.0, None), (1772366400, pa.int32()), ("1772366400.0", None),
     (NOON, pa.timestamp("ns", "UTC")), (NOON, pa.timestamp("s", "America/New_York"))],
)  # fmt: skip
def test_unix_times_and_stamps_are_one_moment(value: Any, kind: Any) -> None:
    assert read([value], kind=kind) == ([NOON], [None])


def test_microseconds_survive_in_numbers_as_in_text() -> None:
    exact = NOON + timedelta(microseconds=123456)
    assert read(["1772366400123456"])[0] == [exact]
    assert read([1772366400123456])[0] == [exact]
    assert read(["2026-03-01T12:00:00.123456Z"])[0] == [exact]
    assert read(["2026-03-01T12:00:00.123456789Z", "x"])[0] == [exact, None]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("2026-03-01 12:00:00", None), ("2026-03-01T12:00", None), ("2026-03-01", None),
     (NOON.replace(tzinfo=None), pa.timestamp("ms")), (date(2026, 3, 1), pa.date32())],
)  # fmt: skip
def test_what_has_no_zone_asks_for_one(value: Any, kind: Any) -> None:
    with pytest.raises(InvalidInput, match="give times with a time zone, or --timezone"):
        read([value], kind=kind)
    [moment], [reason] = read([value], zone="Europe/Berlin", kind=kind)
    assert reason is None
    assert moment is not None
    assert moment.astimezone(timezone(timedelta(hours=1))).date() == date(2026, 3, 1)


def test_a_zone_in_the_text_wins_and_one_without_among_them_is_refused() -> None:
    assert read(["2026-03-01T12:00:00Z"], zone="Asia/Tokyo")[0] == [NOON]
    texts = ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00"]
    assert read(texts) == ([NOON, None], [None, "time without a zone among times with one"])
    assert read(texts, zone="UTC") == ([NOON, NOON], [None, None])
    assert read(texts[::-1], zone="UTC") == ([NOON, NOON], [None, None])


def test_hours_that_clocks_showed_twice_or_never_are_refused() -> None:
    texts = ["2026-10-25 02:30:00", "2026-03-29 02:30:00", "2026-03-29 03:00:00"]
    moments, reasons = read(texts, zone="Europe/Berlin")
    assert moments == [None, None, datetime(2026, 3, 29, 1, tzinfo=UTC)]
    assert reasons[0] == reasons[1] == "clocks in Europe/Berlin showed this time twice, or never"


@pytest.mark.parametrize(
    ("value", "said"),
    [("01.03.2026 12:00", "--time-format"), ("3/1/2026 12:00", "--time-format"),
     ("20260301", "--time-format"), (20260301, "--time-format"), (45352.5, "--time-format"),
     ("noon", "neither ISO"), (True, "holds bool")],
)  # fmt: skip
def test_what_could_be_meant_in_two_ways_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read([value], zone="UTC")


def test_a_pattern_is_taken_at_its_word() -> None:
    assert read(["01.03.2026 13:00", "32.1.2026"], "Europe/Berlin", "%d.%m.%Y %H:%M") == (
        [NOON, None], [None, "time cannot be read"],
    )  # fmt: skip
    assert read([20260301], "UTC", "%Y%m%d")[0] == [datetime(2026, 3, 1, tzinfo=UTC)]
    assert read(["01.03.2026 12:00 +0000"], None, "%d.%m.%Y %H:%M %z")[0] == [NOON]
    assert read([1772366400], None, "unix-ms")[1] == ["time before 1980"]
    with pytest.raises(InvalidInput, match="unix-s, unix-ms"):
        read([1], None, "unix-h")
    with pytest.raises(InvalidInput, match="'Middle/Earth' is unknown"):
        read([1], "Middle/Earth")


def test_the_future_and_times_that_stand_for_none_are_refused() -> None:
    ahead, far = NOW + timedelta(minutes=5), NOW + timedelta(hours=1)
    texts = [ahead.isoformat(), far.isoformat(), "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]
    moments, reasons = read(texts)
    assert moments == [ahead, None, None, None]
    assert reasons[:3] == [None, "time in the future", "time before 1980"]
    assert reasons[3] is not None
    counts, reasons = read([1772366400, 0, None, 2_000_000_000])
    assert counts == [NOON, None, None, None]
    assert reasons == [None, "time before 1980", "no time", "time in the future"]


def test_how_times_are_written_is_decided_once() -> None:
    times = Times(None, None, NOW)
    assert times.read(pa.array([None, None], pa.string()))[0].null_count == 2
    times.read(pa.array(["1772366400"]))
    # A later piece in other units is not guessed again.
    moments, reasons = times.read(pa.array(["1772366400000"]))
    assert moments.to_pylist() == [None]
    assert list(reasons) == ["time in the future"]
    assert times.how == "Unix time (s)"


moments = st.datetimes(
    min_value=OLDEST.replace(tzinfo=None), max_value=NOW.replace(tzinfo=None)
).map(lambda one: one.replace(tzinfo=UTC))


@given(st.lists(moments, min_size=1, max_size=20), st.sampled_from([0, 60, -330]))
def test_texts_of_any_offset_come_back_exactly(values: list[datetime], minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    assert read([one.astimezone(zone).isoformat() for one in values])[0] == values
    clocks = [one.replace(tzinfo=None).isoformat(" ") for one in values]
    assert read(clocks, zone="UTC")[0] == values
    assert (
        read([one.replace(tzinfo=None) for one in values], "UTC", None, pa.timestamp("us"))[0]
        == values
    )
