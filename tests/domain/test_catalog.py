from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import DATA
from persona_img.assets import ASSETS
from persona_img.domain.catalog import Catalog, Product, product_id, product_key
from persona_img.errors import BadCatalog, NotFound

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "))
IDS = PRINTABLE.filter(lambda text: len(text.strip()) > 0 and len(text) < 60)


def a_product(name: str = "a", **more: object) -> Product:
    usual: dict[str, object] = {"category": "mug", "title": "A mug", "licence": "CC0-1.0"}
    return Product(name, photo=Path("/p/a.jpg"), **(usual | more))  # type: ignore[arg-type]


def test_the_shipped_catalogue_is_real_photos_under_a_licence() -> None:
    catalog = Catalog.load(ASSETS / "catalog" / "products.csv")
    assert len(catalog) >= 40
    assert len({p.category for p in catalog}) >= 8
    for product in catalog:
        assert product.photo.stat().st_size > 5_000
        assert product.licence in ("CC0-1.0", "BSD-3-Clause")


def test_a_catalogue_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"x")
    made = Catalog(
        [
            Product(
                "Ü 7/b", "mug", "A mug, blue", photo, "CC0-1.0", "me", 9.5, "EUR",
                {"width_cm": "8", "pose": 'on "top"'}, "sold out", "ab" * 32, "standing", 12.5,
            ),
            Product("b", "mug", "B\nof two lines", photo, "CC0-1.0", "me", 0.0),
        ]
    )  # fmt: skip
    made.save(tmp_path / "products.csv")
    assert list(Catalog.load(tmp_path / "products.csv")) == list(made)
    assert "photos/a.jpg" in (tmp_path / "products.csv").read_text()


@given(IDS, st.dictionaries(st.sampled_from(["pose", "width_cm"]), IDS.map(str.strip)))
def test_any_name_and_attribute_comes_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, attributes: dict[str, str]
) -> None:
    table = tmp_path_factory.mktemp("table") / "products.csv"
    made = a_product(name, price=1.5, attributes=attributes, title=name.strip())
    Catalog([made]).save(table)
    assert list(Catalog.load(table)) == [made]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("product,category,photo\na,mug,a.jpg\n", "licence"),
        ("product,category,photo,licence\na,mug,a.jpg,\n", "licence is empty"),
        ("product,category,photo,licence\na,mug,,CC0\n", "photo is empty"),
        ("product,category,photo,licence\n ,mug,a.jpg,CC0\n", "it is empty"),
        ("product,category,photo,licence\na\u200bb,mug,a.jpg,CC0\n", r"U\+200B"),
        ("product,category,photo,licence\na,mug,a.jpg,CC0\na,mug,b.jpg,CC0\n", "twice"),
        ("product,category,photo,licence,price\na,mug,a.jpg,CC0,free\n", "free"),
        ('product,category,photo,licence,price\na,mug,a.jpg,CC0,"19,90"\n', "decimal point"),
        ("product,category,photo,licence,price\na,mug,a.jpg,CC0,-1\n", "-1"),
        ("product,category,photo,licence,price\na,mug,a.jpg,CC0,inf\n", "inf"),
        ("product,category,photo,licence,currency\na,mug,a.jpg,CC0,euro\n", "euro"),
        ("product,category,photo,licence,pose\na,mug,a.jpg,CC0,upright\n", "standing, hanging"),
        ("product,category,photo,licence,size_cm\na,mug,a.jpg,CC0,12 cm\n", "12 cm"),
        ("product,category,photo,licence,size_cm\na,mug,a.jpg,CC0,0\n", "above 0"),
    ],
)
def test_a_broken_table_says_what_to_mend(tmp_path: Path, rows: str, says: str) -> None:
    (tmp_path / "p.csv").write_text(rows)
    with pytest.raises(BadCatalog, match=says):
        Catalog.load(tmp_path / "p.csv")


@pytest.mark.parametrize("wrong", [{"pose": "Lying"}, {"size_cm": 0.0}, {"size_cm": 1001.0}])
def test_a_product_is_refused_with_a_pose_or_a_size_that_is_none(wrong: dict[str, object]) -> None:
    with pytest.raises(BadCatalog, match=f"product a: {next(iter(wrong))}"):
        a_product(**wrong)


def test_every_broken_row_is_named_at_once(tmp_path: Path) -> None:
    rows = "product,category,photo,licence,price\n"
    rows += "".join(f"p{n},mug,a.jpg,CC0,{'x' if n % 2 else 1}\n" for n in range(60))
    (tmp_path / "p.csv").write_text(rows)
    with pytest.raises(BadCatalog) as error:
        Catalog.load(tmp_path / "p.csv")
    assert "p.csv:3: price 'x'" in str(error.value)
    assert "p.csv:5: price 'x'" in str(error.value)
    assert "and 10 more rows" in str(error.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_a_spreadsheet_saves_is_read(tmp_path: Path, delimiter: str) -> None:
    rows = "product,category,photo,licence,price\r\na,mug,a.jpg,CC0,1.5\r\n,,,,\r\n"
    (tmp_path / "p.csv").write_bytes(rows.replace(",", delimiter).encode("utf-8-sig"))
    assert [(p.product, p.price) for p in Catalog.load(tmp_path / "p.csv")] == [("a", 1.5)]


def test_a_table_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes("product,category,photo,licence\nÜ,x,a,b\n".encode("cp1252"))
    with pytest.raises(BadCatalog, match="UTF-8"):
        Catalog.load(tmp_path / "p.csv")


def test_case_25_a_byte_order_mark_is_not_part_of_a_name() -> None:
    catalog = Catalog.load(DATA / "cases" / "25-catalog-excel-bom" / "products.csv")
    assert [p.product for p in catalog] == ["hat-01", "polo-01", "jacket-01"]


def test_case_26_a_short_row_is_named() -> None:
    with pytest.raises(BadCatalog, match=r"products.csv:5: 1 cells, the header has 7: too few"):
        Catalog.load(DATA / "cases" / "26-catalog-short-row" / "products.csv")


def test_case_27_an_unquoted_decimal_comma_is_one_cell_too_many() -> None:
    with pytest.raises(BadCatalog, match=r"products.csv:2: 8 cells, the header has 7: too many"):
        Catalog.load(DATA / "cases" / "27-catalog-decimal-comma" / "products.csv")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.csv"):
        Catalog.load(tmp_path / "nowhere.csv")
    with pytest.raises(NotFound, match="teapot"):
        Catalog([])["teapot"]


def test_one_identifier_is_written_one_way() -> None:
    assert product_id(" U\u0308-7\t") == "Ü-7"
    assert a_product("U\u0308-7") == a_product("Ü-7")
    for wrong in ("", "  ", "a\nb", "a\x00b", "a\u00a0b", "x" * 129):
        with pytest.raises(BadCatalog):
            product_id(wrong)
    assert product_id("x" * 128) == "x" * 128


@given(IDS, IDS)
def test_a_key_is_plain_and_names_one_product(one: str, other: str) -> None:
    one, other = product_id(one), product_id(other)
    assert re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", product_key(one))
    assert product_key(one) not in (".", "..")
    assert (product_key(one) == product_key(other)) == (one == other)


def test_a_plain_identifier_is_its_own_key() -> None:
    assert product_key("dress-01.b_C") == "dress-01.b_C"
    for awkward in ("..", ".hidden", "AB 12/3", "Ü-7", "a" * 65):
        assert product_key(awkward) != awkward


def test_products_are_found_by_name_or_key() -> None:
    odd = a_product("AB 12/3")
    taken = a_product(odd.key)  # another product is called what this one's key is
    catalog = Catalog([odd, a_product("b")])
    assert catalog.find("AB 12/3") is catalog.find(odd.key) is odd
    assert Catalog([odd, taken]).find(odd.key) is taken
    with pytest.raises(NotFound):
        catalog.find("c")


def test_retired_products_are_not_on_offer() -> None:
    catalog = Catalog([a_product("a"), a_product("b", retired="sold out")])
    assert [p.product for p in catalog.on_offer] == ["a"]
    assert "b" in catalog
