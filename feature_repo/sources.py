"""Where snapshots lie: Parquet files in the folder the store is opened on."""

from feast import Field, FileSource, PushSource, RequestSource
from feast.types import Float64

shopper_snapshots = FileSource(
    name="shopper_snapshots",
    path="shopper_profile.parquet",
    timestamp_field="event_timestamp",
    description="One row per shopper and snapshot.",
)

product_snapshots = FileSource(
    name="product_snapshots",
    path="product_profile.parquet",
    timestamp_field="event_timestamp",
    description="One row per product and snapshot.",
)

shopper_events = PushSource(
    name="shopper_events",
    batch_source=FileSource(
        name="shopper_event_history",
        path="shopper_recent.parquet",
        timestamp_field="event_timestamp",
        description="Every pushed event; the online store keeps the newest of each shopper.",
    ),
    description="Fresh views, carts and purchases, as they happen.",
)

moment = RequestSource(
    name="moment",
    schema=[Field(name="now", dtype=Float64)],
    description="When features are asked for, Unix seconds: the row's own time in training.",
)
