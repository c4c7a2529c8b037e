from __future__ import annotations

import pytest

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.columns import Columns, export_of, exports, named
from persona_img.ingest.interactions.fields import KINDS

PLAIN = ["shopper", "product", "kind", "occurred_at"]


def test_what_was_said_is_what_is_read() -> None:
    columns = Columns.of(["shopper=uid|anon, product=item, no", "event_id=order+line"], [
        "view=detail_view,purchase=order, paid", "view=pdp",
    ])  # fmt: skip
    assert columns.paths == {
        "shopper": ("uid", "anon"), "product": ("item, no",), "event_id": ("order", "line"),
    }  # fmt: skip
    assert columns.kinds == {"detail_view": "view", "pdp": "view", "order, paid": "purchase"}
    names = ["anon", "UID ", "item, no", "kind", "occurred_at", "order", "line"]
    assert columns.found(names, "f") == {
        "shopper": ("UID ", "anon"), "product": ("item, no",), "kind": ("kind",),
        "occurred_at": ("occurred_at",), "event_id": ("order", "line"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mapped", "kinds", "said"),
    [
        (["shopper"], [], "write NAME=VALUE"),
        (["buyer=x"], [], "one of shopper"),
        (["shopper="], [], "write NAME=VALUE"),
        (["shopper=a,shopper=b"], [], "shopper is said twice"),
        (["shopper=a,product=a"], [], "mapped to shopper and to product"),
        ([], ["view=x,cart=X"], "said to be view and cart"),
        ([], ["look=x"], "one of view"),
    ],
)
def test_what_contradicts_itself_is_refused(mapped: list[str], kinds: list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Columns.of(mapped, kinds)


def test_one_kind_for_all_and_told_kinds_exclude_each_other() -> None:
    assert "kind" not in Columns.of(kind="purchase").found(
        ["shopper", "product", "occurred_at"], "f"
    )
    with pytest.raises(InvalidInput, match="leave out either"):
        Columns.of(["kind=event"], kind="purchase")
    with pytest.raises(InvalidInput, match="use view, cart, purchase"):
        Columns.of(kind="refund")


def test_missing_columns_are_named_and_guesses_are_said_not_taken() -> None:
    with pytest.raises(InvalidInput, match="no column occurred_at; it has") as told:
        Columns().found([*PLAIN[:3], "timestamp"], "f.csv")
    assert "--map occurred_at=timestamp" in str(told.value)
    with pytest.raises(InvalidInput, match="no column shopper, product, kind") as told:
        Columns().found(["CustomerID", "StockCode", "InvoiceDate"], "f.csv")
    assert "--map shopper=CustomerID,product=StockCode,occurred_at=InvoiceDate" in str(told.value)
    assert "--kind purchase" in str(told.value)
    with pytest.raises(InvalidInput, match="say --from ga4"):
        Columns().found(["event_name", "event_timestamp", "user_pseudo_id", "items"], "f")
    with pytest.raises(InvalidInput, match="no column when"):
        Columns.of(["occurred_at=when"]).found(PLAIN, "f")


def test_a_name_that_stands_twice_is_refused_only_where_it_is_used() -> None:
    with pytest.raises(InvalidInput, match="two columns are called 'product'"):
        Columns().found([*PLAIN, "product"], "f")
    Columns().found([*PLAIN, "note", "note"], "f")
    with pytest.raises(InvalidInput, match="no column uid"):  # which of the two is meant?
        Columns.of(["shopper=uid"]).found(["Uid", "UID", *PLAIN], "f")


@pytest.mark.parametrize("export", exports())
def test_known_exports_name_every_field_and_kind(export: str) -> None:
    columns = named(export)
    assert set(PLAIN) < set(columns.paths)
    assert set(columns.kinds.values()) == set(KINDS)
    assert columns.skip_others
    assert export_of(export)["recognised_by"]


def test_what_is_said_wins_over_a_known_export() -> None:
    columns = Columns.of(["product=properties.sku"], ["view=Product Clicked"], export="segment")
    assert columns.paths["product"] == ("properties.sku",)
    assert columns.paths["event_id"] == ("messageId", "id")
    assert columns.kinds["product clicked"] == "view"
    assert columns.kinds["order completed"] == "purchase"
    assert Columns.of(export="segment", timezone="Asia/Tokyo").timezone == "Asia/Tokyo"
    with pytest.raises(InvalidInput, match="there are ga4, rudderstack, segment, snowplow"):
        Columns.of(export="matomo")
