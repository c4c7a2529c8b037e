"""The port of features, and the columns that pass through it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
import pandas as pd

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

FeatureType = Literal["number", "text", "numbers", "texts"]
"""``number`` float64, ``text`` str, ``numbers`` float32 array, ``texts`` tuple of str.

A missing number is NaN, any other missing value None.
"""

InteractionKind = Literal["view", "cart", "purchase"]

INTERACTION_COLUMNS = ("shopper", "product", "kind", "occurred_at")
"""shopper, product: str; kind: an ``InteractionKind``; occurred_at: datetime64 with a time zone."""

KIND_WEIGHTS: Mapping[str, float] = {"view": 1.0, "cart": 3.0, "purchase": 5.0}
"""How much interest an interaction shows, in views."""

SHOPPER_FEATURES: Mapping[str, FeatureType] = {
    "segment": "text",
    "views": "number",
    "carts": "number",
    "purchases": "number",
    "active_days": "number",
    "events_30d": "number",
    "first_seen_at": "number",
    "last_seen_at": "number",
    "price_level": "number",
    "favourite_category": "text",
    "favourite_share": "number",
    "categories": "texts",
    "category_shares": "numbers",
    "factors": "numbers",
}
"""Of a published shopper profile; ``build_profiles`` says what each means."""

PRODUCT_FEATURES: Mapping[str, FeatureType] = {
    "category": "text",
    "price": "number",
    "popularity": "number",
    "product_views": "number",
    "product_carts": "number",
    "product_purchases": "number",
    "product_factors": "numbers",
}
"""Of a published product profile; ``build_product_profiles`` says what each means."""

RECENT_FEATURES: Mapping[str, FeatureType] = {
    "recent_kind": "text",
    "recent_product": "text",
    "recent_at": "number",
}
"""Of a shopper's newest pushed event; ``recent_at`` in Unix seconds."""

MOMENT_FEATURES: Mapping[str, FeatureType] = {"days_since_seen": "number"}
"""Depend on the moment asked for: days since the profile's ``last_seen_at``."""

SERVING_FEATURES: Mapping[str, FeatureType] = {
    **SHOPPER_FEATURES,
    **MOMENT_FEATURES,
    **RECENT_FEATURES,
}
"""What is known of a shopper, in the order of the answers' columns."""


class FeatureSource(Protocol):
    """Keeps profiles over time and answers what was known at a moment, and what is known now.

    A row that is published again for the same shopper (or product) and ``event_timestamp``
    replaces the earlier one. Times are kept to the microsecond.
    """

    def publish(self, profiles: pd.DataFrame) -> None:
        """Add shopper profiles to the history.

        Args:
            profiles: Columns shopper, event_timestamp (with a time zone) and ``SHOPPER_FEATURES``;
                others are left out.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
        """
        ...

    def publish_products(self, profiles: pd.DataFrame) -> None:
        """Add product profiles to the history.

        Args:
            profiles: Columns product, event_timestamp (with a time zone) and ``PRODUCT_FEATURES``.

        Raises:
            InvalidInput: a column is missing, or a value is not what its column holds.
        """
        ...

    def push(self, events: pd.DataFrame) -> None:
        """Add fresh events: at once seen by ``online``, and part of the history.

        An event older than the newest known one of its shopper changes only the history. Of
        several at one microsecond the last row counts.

        Args:
            events: ``INTERACTION_COLUMNS``.
        """
        ...

    def materialize(self, until: datetime) -> None:
        """Let ``online`` answer with each shopper's last profile up to and including ``until``.

        Shoppers without one keep what they had. An earlier ``until`` than last time takes
        profiles back.
        """
        ...

    def historical(self, entities: pd.DataFrame) -> pd.DataFrame:
        """What was known at each row's moment: the last values at or before it, none later.

        Args:
            entities: N rows, columns shopper and event_timestamp (with a time zone), optionally
                product; others are left out.

        Returns:
            The same N rows in the same order under the same index: the entity columns,
            ``SERVING_FEATURES`` and, where product was given, ``PRODUCT_FEATURES``. Missing where
            nothing was known yet.

        Raises:
            InvalidInput: a column is missing, a name is empty, or a time has no zone.
        """
        ...

    def online(self, shoppers: Sequence[str], *, now: datetime) -> pd.DataFrame:
        """What is known now, from the online store.

        Args:
            shoppers: Whom to look up; repeats are allowed.
            now: Moment that ``days_since_seen`` counts to, with a time zone.

        Returns:
            ``SERVING_FEATURES`` indexed by shopper, in the order asked; all missing for a shopper
            nobody knows.
        """
        ...


def unix_seconds(moment: datetime) -> float:
    """Seconds since 1970 of a moment with a time zone."""
    if moment.tzinfo is None:
        raise InvalidInput(f"{moment.isoformat()} has no time zone; give one, e.g. datetime.UTC")
    return moment.timestamp()


def utc(times: pd.Series[Any], name: str) -> pd.Series[Any]:
    """The same times as datetime64[us, UTC].

    Raises:
        InvalidInput: not times, without a zone, or missing.
    """
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        raise InvalidInput(f"{name} is {times.dtype}; give times with a time zone, e.g. UTC")
    if times.isna().any():
        raise InvalidInput(
            f"{name} is missing in {int(times.isna().sum())} rows; fill or drop them"
        )
    moments: pd.Series[Any] = times.dt.tz_convert("UTC").dt.as_unit("us")
    return moments


def require_columns(frame: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise InvalidInput if a column is missing."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InvalidInput(f"{what}: no column {', '.join(missing)}; it has {list(frame.columns)}")


def keyed(frame: pd.DataFrame, keys: Sequence[str], what: str) -> pd.DataFrame:
    """The key columns and ``event_timestamp``, checked, under the same index.

    Raises:
        InvalidInput: a column is missing, a key is no text or empty, or a time has no zone.
    """
    require_columns(frame, [*keys, "event_timestamp"], what)
    checked = frame[[*keys, "event_timestamp"]].copy()
    for key in keys:
        bad = [value for value in checked[key] if not isinstance(value, str) or not value]
        if bad:
            raise InvalidInput(f"{what}: {key} {bad[0]!r}; give non-empty text")
        checked[key] = checked[key].astype(object)
    checked["event_timestamp"] = utc(checked["event_timestamp"], f"{what}: event_timestamp")
    return checked


def recent_events(events: pd.DataFrame) -> pd.DataFrame:
    """Interactions as rows of shopper, event_timestamp and ``RECENT_FEATURES``.

    Raises:
        InvalidInput: not interactions; the message says why.
    """
    events = interactions_checked(events)
    seconds = events["occurred_at"].astype("int64") / 1e6
    columns = {
        "shopper": events["shopper"],
        "event_timestamp": events["occurred_at"],
        "recent_kind": events["kind"],
        "recent_product": events["product"],
        "recent_at": seconds,
    }
    return pd.DataFrame(columns)


def interactions_checked(interactions: pd.DataFrame) -> pd.DataFrame:
    """``INTERACTION_COLUMNS`` with ``occurred_at`` as datetime64[us, UTC].

    Raises:
        InvalidInput: a column is missing, a kind is unknown, a name is empty or a time has no zone.
    """
    require_columns(interactions, INTERACTION_COLUMNS, "interactions")
    renamed = interactions.rename(columns={"occurred_at": "event_timestamp"})
    checked = keyed(renamed, ["shopper", "product"], "interactions")
    known = get_args(InteractionKind)
    unknown = set(interactions["kind"].unique()) - set(known)
    if unknown:
        raise InvalidInput(f"interaction kind {min(unknown, key=str)!r}: use {', '.join(known)}")
    checked.insert(2, "kind", interactions["kind"].astype(object))
    return checked.rename(columns={"event_timestamp": "occurred_at"})


def conform(frame: pd.DataFrame, features: Mapping[str, FeatureType]) -> pd.DataFrame:
    """These features with the Python types of ``FeatureType``, under the same index.

    A feature that ``frame`` lacks is missing in every row.

    Raises:
        InvalidInput: a value cannot be what its feature is.
    """
    columns: dict[str, pd.Series[Any]] = {}
    for name, kind in features.items():
        given = frame[name] if name in frame.columns else pd.Series(None, frame.index, dtype=object)
        try:
            if kind == "number":
                columns[name] = given.astype("float64")
            else:
                values = [_value(value, kind) for value in given]
                columns[name] = pd.Series(values, index=frame.index, dtype=object)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"feature {name} must be {kind}: {error}") from error
    return pd.DataFrame(columns, index=frame.index)


def _value(value: Any, kind: FeatureType) -> str | tuple[str, ...] | np.ndarray[Any, Any] | None:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if kind == "numbers":
        return np.asarray(value, dtype=np.float32)
    if kind == "texts":
        return tuple(str(text) for text in value)
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
