from __future__ import annotations

from pathlib import Path

import pytest

from persona_img.errors import InvalidInput
from persona_img.ingest.products.columns import FIELDS, ColumnCheck, check_columns, parse_mapping
from persona_img.ingest.tables import Row, Table


def check(*columns: str, **mapping: str) -> ColumnCheck:
    rows = (Row(2, dict.fromkeys(columns, "")), Row(3, {c: f"{c} value" for c in columns}))
    return check_columns(Table(Path("p.csv"), columns, rows, "CSV"), mapping)


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        (
            ("id", "title", "image_link", "product_type", "price"),  # a feed for shopping pages
            {"product": "id", "photo": "image_link", "category": "product_type", "price": "price"},
        ),
        (
            ("Handle", "Title", "Type", "Variant SKU", "Variant Price", "Image Src"),  # a shop kit
            {"product": "Variant SKU", "photo": "Image Src", "price": "Variant Price"},
        ),
        (
            ("Artikelnummer", "Bezeichnung", "Warengruppe", "Preis", "Währung", "Bild", "Lizenz"),
            {"product": "Artikelnummer", "currency": "Währung", "licence": "Lizenz"},
        ),
        (("StockCode", "Description", "UnitPrice"), {"product": "StockCode", "price": "UnitPrice"}),
    ],
)
def test_columns_of_other_programs_are_recognised(
    columns: tuple[str, ...], taken: dict[str, str]
) -> None:
    found = check(*columns)
    assert {field: found.used[field] for field in taken} == taken


def test_a_name_that_says_little_is_a_guess_and_said_to_be_one() -> None:
    found = check("sku", "Description", "colour")
    assert found.used == {"product": "sku", "title": "Description"}
    assert found.guessed == {"title"}
    assert found.unused == ("colour",)
    told = str(found)
    assert (
        "title      = Description  e.g. Description value  (a guess: --map says otherwise)" in told
    )
    assert "not used: colour" in told
    assert check("sku", "name", "description").guessed == frozenset()


def test_a_mapping_goes_before_names_and_can_leave_a_field_out() -> None:
    found = check("sku", "ean", "title", "w", "attr_pose", product="ean", title="", attr_width="w")
    assert found.used == {"product": "ean"}
    assert found.attributes == {"width": "w", "pose": "attr_pose"}
    assert found.unused == ("sku", "title")
    with pytest.raises(InvalidInput, match=r"map photo=img: no such column; there are sku"):
        check("sku", photo="img")


def test_a_mapping_is_read_with_columns_that_hold_commas_and_equals() -> None:
    given = ["product=sku, title=Name, lang=de", "price = VK (EUR, brutto)", "attr_w=W=x"]
    with pytest.raises(InvalidInput, match="lang"):
        parse_mapping(given)
    assert parse_mapping([given[1], "product=sku,title=Name, long", given[2]]) == {
        "price": "VK (EUR, brutto)",
        "product": "sku",
        "title": "Name, long",
        "attr_w": "W=x",
    }
    for wrong in ("sku", "prize=x", "attr_=x"):
        with pytest.raises(InvalidInput, match="fields are"):
            parse_mapping([wrong])


def test_no_column_is_taken_for_two_fields() -> None:
    names = [name for columns in FIELDS.values() for name in columns]
    assert len(names) == len(set(names))


def test_an_empty_column_is_said_to_be_empty() -> None:
    table = Table(Path("p.csv"), ("sku", "price"), (Row(2, {"sku": "a", "price": ""}),), "CSV")
    assert "price      = price  (all empty)" in str(check_columns(table))
