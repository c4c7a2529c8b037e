"""What GA4, Segment, RudderStack and Snowplow export goes in by name."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.columns import Columns
from persona_img.ingest.interactions.snowplow import enriched
from persona_img.ingest.interactions.source import Source
from persona_img.ingest.interactions.store import Interactions

EXPORTS = Path(__file__).parents[2] / "data" / "exports"
NOW = datetime(2026, 4, 1, tzinfo=UTC)
GAME = [
    ("a-11", "507f1f77", "view", "2026-03-01 09:00:02.420000"),
    ("a-11", "507f1f77", "cart", "2026-03-01 09:00:04.420000"),
    ("u-9", "507f1f77", "purchase", "2026-03-01 09:00:06.420000"),
    ("u-9", "505", "purchase", "2026-03-01 09:00:06.420000"),
]
SHIRT = [
    ("1045.1772", "SKU-1", "view", "2026-03-01 08:00:02.500000"),
    ("1045.1772", "SKU-1", "cart", "2026-03-01 08:00:09"),
    ("u-7", "SKU-2", "view", "2026-03-01 08:00:20"),
    ("u-7", "SKU-1", "purchase", "2026-03-01 08:01:00.123456"),
    ("u-7", "SKU-2", "purchase", "2026-03-01 08:01:00.123456"),
]
CAP = [
    ("bc2e92ec6c204a14", "P-1", "view", "2026-03-01 08:00:02.450000"),
    ("bc2e92ec6c204a14", "P-1", "cart", "2026-03-01 08:00:04.450000"),
    ("u-3", "P-1", "purchase", "2026-03-01 08:00:05.450000"),
    ("u-3", "P-2", "purchase", "2026-03-01 08:00:05.450000"),
]


def read(tmp_path: Path, file: Path, export: str) -> tuple[list[tuple[str, ...]], Source]:
    store = Interactions(tmp_path / "interactions")
    added = store.add(file, Columns.of(export=export), now=NOW)
    frame = store.frame()
    times = [str(one.tz_localize(None)) for one in frame["occurred_at"]]
    found = list(zip(frame["shopper"], frame["product"], frame["kind"], times, strict=True))
    return found, added.sources[0]


@pytest.mark.parametrize(
    ("name", "export", "expected", "others", "rejected", "repeated"),
    [
        ("ga4.jsonl", "ga4", SHIRT, {"session_start", "page_view", "view_item_list"}, 1, 2),
        ("segment.jsonl", "segment", GAME, {"(none)", "Product List Viewed"}, 1, 2),
        ("rudderstack.jsonl", "rudderstack", GAME, {"(none)", "Product List Viewed"}, 1, 2),
        ("snowplow-sdk.jsonl", "snowplow", CAP, {"(none)", "list_view"}, 0, 2),
        ("snowplow-enriched.tsv", "snowplow", CAP, {"(none)", "list_view"}, 0, 2),
    ],
)
def test_views_carts_and_purchases_of_each_product(
    tmp_path: Path, name: str, export: str, expected: list[tuple[str, ...]], others: set[str],
    rejected: int, repeated: int,
) -> None:  # fmt: skip
    found, source = read(tmp_path, EXPORTS / name, export)
    assert found == expected
    assert set(source.others) == others
    assert (source.rejected, source.repeated) == (rejected, repeated)


def test_the_warehouses_order_table_holds_its_products_as_text(tmp_path: Path) -> None:
    found, _ = read(tmp_path, EXPORTS / "rudderstack-order_completed.csv", "rudderstack")
    assert [one[:3] for one in found] == [
        ("u-9", "507f1f77", "purchase"), ("u-9", "505", "purchase"), ("a-12", "505", "purchase"),
    ]  # fmt: skip
    assert found[0][3] == "2026-03-01 09:00:06.420000"  # warehouses tell UTC without saying so


def test_bigquerys_parquet_is_the_same_as_its_json(tmp_path: Path) -> None:
    lines = (EXPORTS / "ga4.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    for event in events:
        event.setdefault("user_id", None)
        for name in ("event_timestamp", "event_bundle_sequence_id", "batch_event_index",
                     "batch_page_id", "batch_ordering_id"):  # fmt: skip
            event[name] = int(event[name])
    pq.write_table(pa.Table.from_pylist(events), tmp_path / "events_20260301.parquet")
    found, source = read(tmp_path, tmp_path / "events_20260301.parquet", "ga4")
    assert found == SHIRT
    assert source.repeated == 2
    # Also the JSON of the same day adds nothing: the events are known.
    store = Interactions(tmp_path / "interactions")
    again = store.add(EXPORTS / "ga4.jsonl", Columns.of(export="ga4"), now=NOW).sources[0]
    assert (again.rows, again.repeated) == (0, 7)
    assert again.lost_to == {source.digest: 5}
    assert len(store) == 5


def test_segments_log_is_packed(tmp_path: Path) -> None:
    path = tmp_path / "1772355600000.gz"
    path.write_bytes(gzip.compress((EXPORTS / "segment.jsonl").read_bytes()))
    assert read(tmp_path, path, "segment")[0] == GAME


def test_another_column_can_be_said(tmp_path: Path) -> None:
    store = Interactions(tmp_path / "interactions")
    mapped = ["product=properties.products.sku|properties.sku,shopper=anonymousId"]
    store.add(EXPORTS / "segment.jsonl", Columns.of(mapped, export="segment"), now=NOW)
    frame = store.frame()
    assert set(frame["product"]) == {"G-32", "F-15"}
    assert set(frame["shopper"]) == {"a-11"}


def test_columns_of_snowplows_warehouses(tmp_path: Path) -> None:
    """Loaders add a whole version to a column's name, or write it in capitals."""
    for event_column, product_column in (
        ("unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1_0_2",
         "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1_0_0"),
        ("UNSTRUCT_EVENT_COM_SNOWPLOWANALYTICS_SNOWPLOW_ECOMMERCE_SNOWPLOW_ECOMMERCE_ACTION_1",
         "CONTEXTS_COM_SNOWPLOWANALYTICS_SNOWPLOW_ECOMMERCE_PRODUCT_1"),
    ):  # fmt: skip
        table = pa.table({
            "EVENT_ID": ["e1"], "domain_userid": ["d"], "user_id": pa.array([None], pa.string()),
            "derived_tstamp": [datetime(2026, 3, 1)], "collector_tstamp": [datetime(2026, 3, 1)],
            event_column: [{"type": "add_to_cart"}], product_column: [[{"id": "P"}, {"id": "Q"}]],
        })  # fmt: skip
        path = tmp_path / event_column[:8] / "events.parquet"
        path.parent.mkdir()
        pq.write_table(table, path)
        found, _ = read(path.parent, path, "snowplow")
        assert [one[:3] for one in found] == [("d", "P", "cart"), ("d", "Q", "cart")]


def test_a_broken_enriched_event_is_one_row() -> None:
    line = (EXPORTS / "snowplow-enriched.tsv").read_text().splitlines()[1]
    assert enriched(line)["event_id"].endswith("02")
    with pytest.raises(ValueError, match="broken JSON"):
        enriched(line.replace('{"schema"', '{"schema', 1))
    with pytest.raises(ValueError, match="3 cells"):
        enriched("a\tb\tc")


def test_another_exports_file_is_refused(tmp_path: Path) -> None:
    store = Interactions(tmp_path / "interactions")
    with pytest.raises(InvalidInput, match="none of 8 rows can be used: 8 of other kinds"):
        store.add(EXPORTS / "segment.jsonl", Columns.of(export="ga4"), now=NOW)
    with pytest.raises(InvalidInput, match="is no export of ga4"):
        store.add(EXPORTS / "rudderstack-order_completed.csv", Columns.of(export="ga4"), now=NOW)
