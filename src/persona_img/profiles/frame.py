"""Features in plain tables: for studies, and where no feature store is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from persona_img.profiles.base import (
    PRODUCT_FEATURES,
    RECENT_FEATURES,
    SERVING_FEATURES,
    SHOPPER_FEATURES,
    FeatureType,
    conform,
    keyed,
    recent_events,
    unix_seconds,
)
from persona_img.profiles.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path


class FrameFeatureSource:
    """A :class:`~persona_img.profiles.base.FeatureSource` in pandas, on Parquet files.

    Everything is read at each question, so this is for thousands of shoppers, not millions.
    """

    def __init__(self, work: Path) -> None:
        """Features in the folder ``work``, made at the first write."""
        self._profiles = Snapshots(work / "shopper_profile.parquet", "shopper", SHOPPER_FEATURES)
        self._products = Snapshots(work / "product_profile.parquet", "product", PRODUCT_FEATURES)
        self._recent = Snapshots(work / "shopper_recent.parquet", "shopper", RECENT_FEATURES)
        self._current = Snapshots(
            work / "online.parquet", "shopper", SHOPPER_FEATURES, identity=["shopper"]
        )

    def publish(self, profiles: pd.DataFrame) -> None:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        self._profiles.append(profiles)

    def publish_products(self, profiles: pd.DataFrame) -> None:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        self._products.append(profiles)

    def push(self, events: pd.DataFrame) -> None:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        self._recent.append(recent_events(events))

    def materialize(self, until: datetime) -> None:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        unix_seconds(until)
        self._current.append(self._profiles.latest(pd.Timestamp(until)))

    def historical(self, entities: pd.DataFrame) -> pd.DataFrame:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        keys = ["shopper", "product"] if "product" in entities.columns else ["shopper"]
        asked = keyed(entities, keys, "entities")
        features: dict[str, FeatureType] = dict(SERVING_FEATURES)
        known = [_as_of(asked, self._profiles, "shopper", SHOPPER_FEATURES)]
        known += [_as_of(asked, self._recent, "shopper", RECENT_FEATURES)]
        if "product" in keys:
            features |= PRODUCT_FEATURES
            known += [_as_of(asked, self._products, "product", PRODUCT_FEATURES)]
        table = pd.concat(known, axis=1)
        seconds = asked["event_timestamp"].astype("int64").to_numpy() / 1e6
        table["days_since_seen"] = (seconds - table["last_seen_at"]) / 86400
        answer = pd.concat([asked.reset_index(drop=True), conform(table, features)], axis=1)
        return answer.set_axis(entities.index)

    def online(self, shoppers: Sequence[str], *, now: datetime) -> pd.DataFrame:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        index = pd.Index(list(shoppers), name="shopper", dtype=object)
        profiles = self._current.read().set_index("shopper")[list(SHOPPER_FEATURES)]
        recent = self._recent.latest().set_index("shopper")[list(RECENT_FEATURES)]
        table = profiles.join(recent, how="outer").reindex(index)
        table["days_since_seen"] = (unix_seconds(now) - table["last_seen_at"]) / 86400
        return conform(table, SERVING_FEATURES)


def _as_of(
    asked: pd.DataFrame, table: Snapshots, key: str, features: Mapping[str, FeatureType]
) -> pd.DataFrame:
    """The last features at or before each row's moment, in the order of the rows."""
    left = asked[[key, "event_timestamp"]].reset_index(drop=True)
    left["row"] = left.index
    joined = pd.merge_asof(
        left.sort_values("event_timestamp", kind="stable"),
        table.read(),
        on="event_timestamp",
        by=key,
        direction="backward",
    )
    return joined.sort_values("row")[list(features)].reset_index(drop=True)
