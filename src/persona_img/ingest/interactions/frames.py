"""A table of a program as interactions, all rows of it or none."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.base import SCHEMA, refused
from persona_img.ingest.interactions.fields import KINDS, REQUIRED
from persona_img.ingest.interactions.names import texts


def table_of(frame: pd.DataFrame, source: str) -> pa.Table:
    """A frame as interactions are kept.

    Args:
        frame: shopper, product, kind, occurred_at (datetime64 with a time zone).
        source: What to call it in messages.

    Raises:
        InvalidInput: a column is missing or a value breaks a rule; the message says which.
    """
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise InvalidInput(
            f"{source}: no column {', '.join(missing)}; it has {list(frame.columns)}"
        )
    times = frame["occurred_at"]
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        raise InvalidInput(
            f"{source}: occurred_at is {times.dtype}; give times with a time zone, e.g. UTC"
        )
    arrays = []
    for name in REQUIRED[:3]:
        values = pa.array(frame[name], from_pandas=True)
        named = texts(
            values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values, name
        )
        if refused(named.reasons).any():
            row = int(refused(named.reasons).argmax())
            raise InvalidInput(f"{source}: row {row + 1}: {named.reasons[row]}")
        arrays.append(named.values)
    unknown = set(pc.unique(arrays[2]).to_pylist()) - set(KINDS)
    if unknown:
        raise InvalidInput(f"{source}: kind {min(unknown)!r}: use {', '.join(KINDS)}")
    if times.isna().any():
        raise InvalidInput(f"{source}: row {int(times.isna().argmax()) + 1}: no time")
    moments = pa.array(times.dt.tz_convert("UTC").dt.as_unit("us"), from_pandas=True)
    return pa.Table.from_arrays([*arrays, moments.cast(SCHEMA.field(3).type)], schema=SCHEMA)
