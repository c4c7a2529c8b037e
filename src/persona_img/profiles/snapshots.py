"""Rows over time in one Parquet file, which is always whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from persona_img.profiles.base import FeatureType, conform, keyed, require_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_ARROW = {
    "number": pa.float64(),
    "text": pa.string(),
    "numbers": pa.list_(pa.float32()),
    "texts": pa.list_(pa.string()),
}


class Snapshots:
    """A table that grows, in a file that is replaced whole at each write.

    Feast's own writer rewrites the file it has mapped, in place: a kill then loses the history.
    One file is written anew at each append, which suits snapshots (some a day), not single events.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        features: Mapping[str, FeatureType],
        *,
        identity: Sequence[str] | None = None,
    ) -> None:
        """A table in ``path``, which is made at the first append.

        Args:
            path: The Parquet file.
            key: Column of the entity.
            features: Columns besides ``key`` and ``event_timestamp``.
            identity: Columns of which a later row replaces an earlier one with the same values;
                by default the key and its time.
        """
        self.path = path
        self._key = key
        self._features = features
        self._identity = list(identity or (key, "event_timestamp"))
        times = [(key, pa.string()), ("event_timestamp", pa.timestamp("us", tz="UTC"))]
        self._schema = pa.schema([*times, *((n, _ARROW[kind]) for n, kind in features.items())])

    @property
    def exists(self) -> bool:
        """Whether anything was ever appended."""
        return self.path.exists()

    def append(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Add rows; what they replace is gone.

        Args:
            rows: Key, ``event_timestamp`` and every feature; others are left out.

        Returns:
            The rows as they were written.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
        """
        require_columns(rows, list(self._features), self.path.stem)
        rows = rows.reset_index(drop=True)
        added = keyed(rows, [self._key], self.path.stem).join(conform(rows, self._features))
        if added.empty:
            return added
        tables = [self.read(), added] if self.exists else [added]
        kept = pd.concat(tables, ignore_index=True).drop_duplicates(self._identity, keep="last")
        kept = kept.sort_values(["event_timestamp", self._key], kind="stable")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".part")
        pq.write_table(pa.Table.from_pandas(kept, self._schema, preserve_index=False), partial)
        partial.replace(self.path)
        return added

    def read(self) -> pd.DataFrame:
        """Every row, by time and key; no rows where nothing was ever appended."""
        table = pq.read_table(self.path) if self.exists else self._schema.empty_table()
        frame: pd.DataFrame = table.to_pandas()
        return frame[[self._key, "event_timestamp"]].join(conform(frame, self._features))

    def latest(self, until: pd.Timestamp | None = None) -> pd.DataFrame:
        """The last row of each key, of those up to and including ``until``."""
        frame = self.read()
        if until is not None:
            frame = frame[frame["event_timestamp"] <= until]
        return frame.drop_duplicates(self._key, keep="last")
