"""Times as moments in UTC: said how they are written, or refused; never guessed row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.base import is_text, plain, refused
from persona_img.ingest.interactions.names import utf8

if TYPE_CHECKING:
    from persona_img.ingest.interactions.base import Reasons

MOMENT = pa.timestamp("us", "UTC")
OLDEST = datetime(1980, 1, 1, tzinfo=UTC)
"""Before it a time is a mistake: 1970-01-01, 1900-01-01 and 0001-01-01 stand for none."""
AHEAD = timedelta(minutes=10)
"""How far a clock may be ahead of ours."""

UNITS = {"unix-s": 1_000_000, "unix-ms": 1_000, "unix-us": 1, "unix-ns": 0}
"""Microseconds a unit; nanoseconds are divided."""
# A count since 1970 from 1980 to 2200 can be in one unit only.
_RANGES = {"unix-s": 1e9, "unix-ms": 1e12, "unix-us": 1e15, "unix-ns": 1e18}
_FIRST, _LAST = 0.3155, 7.258
_ZONED = r"^\s*\d{4}-\d\d?-\d\d?[T ]\d\d?:\d\d.*(Z|z| ?UTC| ?GMT|[+-]\d\d(:?\d\d)?)\s*$"
_NAIVE = r"^\s*\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?\s*$"
_DAY = r"^\s*\d{4}-\d\d-\d\d\s*$"
_NUMBER = r"^\s*\d{9,19}(\.\d+)?\s*$"
_NO_ZONE = "time without a zone among times with one"
_UNREAD = "time cannot be read"


class Times:
    """Reads one file's times; how they are written is decided on its first piece.

    Args:
        timezone: Where clocks stood that told times without a zone; None refuses such times.
        written: ``unix-s``, ``unix-ms``, ``unix-us``, ``unix-ns`` or a pattern of
            ``datetime.strptime``; None for ISO 8601 and Unix times found out by their size.
        now: Times later than it are refused.

    Attributes:
        how: How they were read, in words.

    Raises:
        InvalidInput: no such time zone.
    """

    def __init__(self, timezone: str | None, written: str | None, now: datetime) -> None:
        if timezone is not None:
            try:
                ZoneInfo(timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise InvalidInput(
                    f"timezone {timezone!r} is unknown; say one as Europe/Berlin or UTC"
                ) from None
        if written and not written.startswith("unix-") and "%" not in written:
            raise InvalidInput(
                f"time format {written!r}: use {', '.join(UNITS)} or a pattern as '%d.%m.%Y %H:%M'"
            )
        if written and written.startswith("unix-") and written not in UNITS:
            raise InvalidInput(f"time format {written!r}: there are {', '.join(UNITS)}")
        self.timezone, self._written, self.how = timezone, written, ""
        self._unit = written if written in UNITS else None
        self._zoned: bool | None = None
        self._oldest = pa.scalar(OLDEST, MOMENT)
        self._newest = pa.scalar(now + AHEAD, MOMENT)

    def read(self, values: pa.Array) -> tuple[pa.Array, Reasons]:
        """N moments (null where refused) and N reasons.

        Raises:
            InvalidInput: the column holds no times, or they lack a zone and none was given.
        """
        values = plain(values)
        given = values.is_valid().to_numpy(zero_copy_only=False)
        kind = values.type
        reasons = np.full(len(values), None, dtype=object)
        if pa.types.is_timestamp(kind):
            moments = self._stamps(values, reasons)
        elif pa.types.is_date(kind):
            moments = self._days(values.cast(pa.timestamp("us")), reasons)
        elif self._unit is None and self._written and pa.types.is_integer(kind):
            moments = self._by_pattern(values.cast(pa.string()), reasons)  # 20260301
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            moments = self._counts(values.cast(pa.float64(), safe=False), values, reasons)
        elif pa.types.is_null(kind):
            moments = values.cast(MOMENT)
        else:
            if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                values = utf8(values)
            elif not is_text(kind):
                raise InvalidInput(f"occurred_at: the column holds {kind}; map one of times")
            values = pc.utf8_trim_whitespace(values.cast(pa.string()))
            given &= pc.fill_null(pc.not_equal(values, ""), False).to_numpy(zero_copy_only=False)
            moments = self._texts(values, given, reasons)
        unread = ~moments.is_valid().to_numpy(zero_copy_only=False)
        reasons[unread & ~refused(reasons)] = _UNREAD
        reasons[~given] = "no time"
        return self._plausible(moments, reasons), reasons

    def _plausible(self, moments: pa.Array, reasons: Reasons) -> pa.Array:
        early = pc.fill_null(pc.less(moments, self._oldest), False).to_numpy(zero_copy_only=False)
        late = pc.fill_null(pc.greater(moments, self._newest), False).to_numpy(zero_copy_only=False)
        reasons[early] = f"time before {OLDEST:%Y}"
        reasons[late] = "time in the future"
        return (
            pc.if_else(pa.array(~(early | late)), moments, None)
            if (early | late).any()
            else (moments)
        )

    def _stamps(self, values: pa.Array, reasons: Reasons) -> pa.Array:
        if values.type.tz is not None:
            self.how = self.how or f"times with zone {values.type.tz}"
            return values.cast(MOMENT, safe=False)
        return self._local(values.cast(pa.timestamp("us"), safe=False), reasons)

    def _days(self, values: pa.Array, reasons: Reasons) -> pa.Array:
        moments = self._local(values, reasons, "days")
        self.how = f"days, taken as their first moment in {self.timezone}"
        return moments

    def _local(self, values: pa.Array, reasons: Reasons, what: str = "times") -> pa.Array:
        """Clock times as moments; those a clock showed twice or never are refused."""
        if self.timezone is None:
            one = next((value for value in values if value.is_valid), None)
            raise InvalidInput(
                f"occurred_at {one} has no time zone; give times with a time zone, or --timezone, "
                "e.g. --timezone Europe/Berlin"
            )
        self.how = self.how or f"{what} without a zone, read in {self.timezone}"
        if self.timezone == "UTC":
            return values.cast(MOMENT)
        first, last = (
            pc.assume_timezone(values, self.timezone, ambiguous=side, nonexistent=side).cast(MOMENT)
            for side in ("earliest", "latest")
        )
        unsure = pc.fill_null(pc.not_equal(first, last), False)
        where = unsure.to_numpy(zero_copy_only=False)
        if not where.any():
            return first
        reasons[where] = f"clocks in {self.timezone} showed this time twice, or never"
        return pc.if_else(unsure, None, first)

    def _counts(self, size: pa.Array, values: pa.Array, reasons: Reasons) -> pa.Array:
        """Counts since 1970; ``size`` is float64, ``values`` exact."""
        numbers = size.to_numpy(zero_copy_only=False)
        if self._unit is None:
            self._unit = _unit(numbers, values)
        if self._unit is None:
            return pa.nulls(len(values), MOMENT)
        self.how = self.how or f"Unix time ({self._unit.removeprefix('unix-')})"
        if pa.types.is_integer(values.type):
            counts = values.cast(pa.int64())
            if self._unit == "unix-ns":
                micros = pc.divide(counts, 1000)
            else:
                factor = UNITS[self._unit]
                most = (2**62) // factor
                fits = pc.less(pc.abs(counts), most)
                micros = pc.multiply(pc.if_else(fits, counts, None), factor)
            return micros.cast(pa.timestamp("us")).cast(MOMENT)
        exact = np.where(np.isfinite(numbers), numbers, np.nan) * (UNITS[self._unit] or 1e-3)
        exact[~(abs(exact) < 2.0**62)] = np.nan
        whole = pd.Series(np.round(exact)).astype("Int64")
        return pa.array(whole, pa.int64()).cast(pa.timestamp("us")).cast(MOMENT)

    def _texts(self, values: pa.Array, given: npt.NDArray[np.bool_], reasons: Reasons) -> pa.Array:
        if self._written and self._unit is None:
            return self._by_pattern(values, reasons)
        if self._unit is None and (moments := self._at_once(values, given, reasons)) is not None:
            return moments
        if self._unit is not None or (self._zoned is None and _all(values, _NUMBER, given)):
            return self._digits(values, reasons)
        zoned = pc.fill_null(pc.match_substring_regex(values, _ZONED), False)
        if self._zoned is None:
            self._decide(values, zoned, given)
        made: list[pa.Array] = [_iso(values, zoned)]
        for pattern, days in ((_NAIVE, False), (_DAY, True)):
            chosen = pc.fill_null(pc.match_substring_regex(values, pattern), False)
            where = chosen.to_numpy(zero_copy_only=False)
            if not where.any():
                continue
            if self.timezone is None:
                reasons[where] = _NO_ZONE
                continue
            clock = _iso(values, chosen).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
            made.append(self._days(clock, reasons) if days else self._local(clock, reasons))
        return pc.coalesce(*made)

    def _at_once(
        self, values: pa.Array, given: npt.NDArray[np.bool_], reasons: Reasons
    ) -> pa.Array | None:
        """What nearly every file is: all texts ISO, all with a zone or all without."""
        texts = pc.if_else(pa.array(given), values, None)
        if not given.any():
            return texts.cast(MOMENT)
        try:
            if self._zoned is not False:
                moments = texts.cast(MOMENT)
                self._zoned, self.how = True, self.how or "ISO times with a zone"
                return moments
        except pa.ArrowInvalid:
            pass
        try:
            if self._zoned is not True and self.timezone is not None:
                clock = texts.cast(pa.timestamp("us"))
                self._zoned = False
                days = pc.max(pc.utf8_length(texts)).as_py() == len("2026-03-01")
                return self._days(clock, reasons) if days else self._local(clock, reasons)
        except pa.ArrowInvalid:
            pass
        return None

    def _decide(self, values: pa.Array, zoned: pa.Array, given: npt.NDArray[np.bool_]) -> None:
        """On the first piece: whether zones are written, or the file is refused."""
        if not given.any():
            return
        self._zoned = bool(pc.any(zoned).as_py())
        if self._zoned:
            self.how = "ISO times with a zone"
            return
        readable = pc.match_substring_regex(values, f"({_NAIVE})|({_DAY})")
        first = values.filter(pa.array(given))[0].as_py()
        if not pc.any(pc.fill_null(readable, False)).as_py():
            raise InvalidInput(
                f"occurred_at {first!r} is neither ISO 8601 (2026-03-01T12:00:00Z) nor Unix time; "
                "say how it is written: --time-format '%d.%m.%Y %H:%M'"
            )
        if self.timezone is None:
            raise InvalidInput(
                f"occurred_at {first!r} has no time zone; give times with a time zone, or "
                "--timezone, e.g. --timezone Europe/Berlin"
            )

    def _digits(self, values: pa.Array, reasons: Reasons) -> pa.Array:
        numbers = pd.to_numeric(values.to_pandas(), errors="coerce").to_numpy(np.float64)
        chosen = pc.fill_null(pc.match_substring_regex(values, r"^\d{1,18}$|^[1-8]\d{18}$"), False)
        whole = pc.if_else(chosen, values, None).cast(pa.int64())
        if whole.null_count == values.null_count:
            return self._counts(pa.array(numbers), whole, reasons)
        return self._counts(pa.array(numbers), pa.array(numbers), reasons)

    def _by_pattern(self, values: pa.Array, reasons: Reasons) -> pa.Array:
        assert self._written is not None
        self.how = f"times written {self._written}"
        if "%z" in self._written or "%Z" in self._written:
            read = pd.to_datetime(
                values.to_pandas(), format=self._written, errors="coerce", utc=True
            )
            return pa.array(read.dt.as_unit("us"), MOMENT)
        read = pd.to_datetime(values.to_pandas(), format=self._written, errors="coerce")
        moments = self._local(pa.array(read.dt.as_unit("us"), pa.timestamp("us")), reasons)
        self.how = f"times written {self._written}, read in {self.timezone}"
        return moments


def _unit(numbers: npt.NDArray[np.float64], values: pa.Array) -> str | None:
    """The one unit in which all counts lie between 1980 and 2200.

    Raises:
        InvalidInput: there is none.
    """
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return None
    for unit, scale in _RANGES.items():
        inside = (known >= _FIRST * scale) & (known <= _LAST * scale)
        if inside.mean() > 0.5:
            return unit
    raise InvalidInput(
        f"occurred_at {known[0]:.0f} is no Unix time in seconds, milli-, micro- or nanoseconds; "
        f"give ISO times, or say how it is written: --time-format {next(iter(UNITS))} or '%Y%m%d'"
    )


def _all(values: pa.Array, pattern: str, given: npt.NDArray[np.bool_]) -> bool:
    """Whether most of the texts that are there look so."""
    found = pc.fill_null(pc.match_substring_regex(values, pattern), False)
    return bool(given.any()) and found.to_numpy(zero_copy_only=False)[given].mean() > 0.5


def _iso(values: pa.Array, chosen: pa.Array) -> pa.Array:
    """ISO 8601 texts as moments (without a zone: as if in UTC); null where not chosen or wrong."""
    if not pc.any(chosen).as_py():
        return pa.nulls(len(values), MOMENT)
    texts = pc.if_else(chosen, values, None)
    texts = pc.replace_substring_regex(texts, r" ?(UTC|GMT|z)$", "Z")
    texts = pc.replace_substring_regex(texts, r" ([+-]\d\d(:?\d\d)?)$", r"\1")
    texts = pc.replace_substring_regex(texts, r"(:\d\d),(\d+)", r"\1.\2")
    read = pd.to_datetime(texts.to_pandas(), format="ISO8601", errors="coerce", utc=True)
    return pa.array(read.dt.as_unit("us"), MOMENT)
