from __future__ import annotations

import csv
import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from examples import DATA, PHOTOS
from persona_img.errors import BadCatalog, InvalidInput
from persona_img.imaging.photo import load_photo
from persona_img.ingest.products.prices import Notation
from persona_img.ingest.products.reading import Batch, read_products
from persona_img.ingest.products.rows import Reading

HEADER = "sku,photo,category,licence,title,price,currency"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with photos beside which tables are written."""
    shutil.copyfile(PHOTOS / "shirt-01.jpg", tmp_path / "a.jpg")
    (tmp_path / "Große Bilder").mkdir()
    shutil.copyfile(PHOTOS / "dress-01.jpg", tmp_path / "Große Bilder" / "b 2.x.JPG")
    return tmp_path


def read(folder: Path, *rows: str, header: str = HEADER, **reading: object) -> Batch:
    table = folder / "table.csv"
    table.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    known = reading.pop("known", frozenset())
    return read_products(table, Reading(**reading), known=known)  # type: ignore[arg-type]


def rules(batch: Batch) -> list[tuple[int, str, str]]:
    return [(p.row, p.column, p.rule) for p in batch.problems]


def test_rows_become_products_with_their_photos_opened(folder: Path) -> None:
    batch = read(
        folder,
        "AB 12/3,a.jpg,shirt,own,A shirt,19.90,eur",
        "Ü-7,Große Bilder/b 2.x.JPG,dress,own,,,",
        f"abs,{folder / 'a.jpg'},shirt,own,,15 USD,",
        "win,Große Bilder\\b 2.x.JPG,dress,own,,0,",
    )
    assert batch.problems == ()
    first = batch.entries[0]
    assert (first.row, first.product) == (2, "AB 12/3")
    assert first.values["price"] == 19.9
    assert first.values["currency"] == "EUR"
    assert first.photo is not None
    assert first.photo.pixels == load_photo(PHOTOS / "shirt-01.jpg").digest
    assert [e.product for e in batch.entries] == ["AB 12/3", "Ü-7", "abs", "win"]
    assert batch.entries[2].values["currency"] == "USD"
    assert batch.entries[1].photo == batch.entries[3].photo
    batch.refuse()


def test_every_problem_of_every_row_is_named(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes((PHOTOS / "shirt-01.jpg").read_bytes()[:5000])
    Image.new("RGB", (20, 20)).save(folder / "tiny.png")
    batch = read(
        folder,
        "fine,a.jpg,shirt,own,,,",
        ',gone.jpg,,own,,"19,90",Euro',
        "fine,A.JPG,shirt,own,,,",
        "web,https://x.example/a.jpg,shirt,,,,",
        "b,broken.jpg,shirt,own,,,",
        "c,tiny.png,shirt,own,,,",
        "d,table.csv,shirt,own,,,",
        "e,,shirt,own,,,",
        "f,a.jpg",
        "g,a.jpg,shirt,own,,1 USD,EUR",
    )
    assert [e.product for e in batch.entries] == ["fine"]
    told = rules(batch)
    assert [(row, column) for row, column, _ in told] == [
        (3, "sku"), (3, "currency"), (3, "price"), (3, "photo"), (3, "category"), (4, "sku"),
        (4, "photo"), (5, "photo"), (5, "licence"), (6, "photo"), (7, "photo"), (8, "photo"),
        (9, "photo"), (10, ""), (11, "price"),
    ]  # fmt: skip
    by_place = {(row, column): rule for row, column, rule in told}
    assert "stands in row 2 too" in by_place[4, "sku"]
    assert "there is 'a.jpg'" in by_place[4, "photo"]
    assert "download" in by_place[5, "photo"]
    assert "damaged" in by_place[6, "photo"]
    assert "too small" in by_place[7, "photo"]
    assert "not a picture" in by_place[8, "photo"]
    with pytest.raises(BadCatalog) as error:
        batch.refuse()
    assert "9 of 10 rows cannot be added, so nothing was" in str(error.value)
    assert "row 3: price '19,90': decimals are written with '.'; say --decimal ," in str(
        error.value
    )


def test_problems_can_be_written_to_a_file(folder: Path) -> None:
    batch = read(folder, *(f"p{n},gone-{n}.jpg,x,own,,," for n in range(30)))
    with pytest.raises(BadCatalog, match="and 10 more; --rejects FILE"):
        batch.refuse()
    batch.write_problems(folder / "rejects.csv")
    with (folder / "rejects.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 30
    assert rows[7] | {"rule": ""} == {
        "row": "9",
        "column": "photo",
        "value": "gone-7.jpg",
        "rule": "",
    }


def test_what_is_the_same_for_all_stands_in_for_columns_and_cells(folder: Path) -> None:
    batch = read(
        folder, "a,a.jpg,1", header="sku,photo,price", category="mug", licence="own", currency="EUR"
    )
    assert batch.entries[0].values == {
        "category": "mug", "licence": "own", "currency": "EUR", "price": 1.0,
    }  # fmt: skip
    batch = read(folder, "a,a.jpg,cap,", "b,a.jpg,,mine", header="sku,photo,category,licence",
                 category="mug", licence="own")  # fmt: skip
    assert [(e.values["category"], e.values["licence"]) for e in batch.entries] == [
        ("cap", "own"), ("mug", "mine"),
    ]  # fmt: skip


def test_a_missing_column_is_named_with_those_that_are_there(folder: Path) -> None:
    with pytest.raises(
        BadCatalog, match=r"photo, licence; there are sku, img, category: say --map"
    ):
        read(folder, "a,a.jpg,mug", header="sku,img,category")
    with pytest.raises(BadCatalog, match="product"):
        read(folder, "a", header="colour", known=frozenset("a"))


def test_a_table_may_speak_of_known_products_only(folder: Path) -> None:
    """New prices of what the shop has; who is new there is named."""
    batch = read(folder, "a,3", "b,4", header="sku,price", known=frozenset("a"))
    assert [(e.product, dict(e.values), e.photo) for e in batch.entries] == [
        ("a", {"price": 3.0}, None)
    ]
    assert [(row, column) for row, column, _ in rules(batch)] == [(3, "sku")] * 3
    assert "needs a photo" in rules(batch)[1][2]
    empty = read(folder, "a,,3", header="sku,photo,price", known=frozenset("a"))
    assert [(p.row, p.column) for p in empty.problems] == [(2, "photo")]


def test_pose_and_size_are_read_where_the_table_has_columns_for_them(folder: Path) -> None:
    rows = ("a,a.jpg, Standing ,12.5", "b,a.jpg,,")
    batch = read(folder, *rows, header="sku,photo,Pose,size_cm", category="mug", licence="own")
    assert [(e.values["pose"], e.values["size_cm"]) for e in batch.entries] == [
        ("standing", 12.5), ("", None),
    ]  # fmt: skip
    batch = read(folder, "a,a.jpg", header="sku,photo", category="mug", licence="own")
    assert not {"pose", "size_cm"} & set(batch.entries[0].values)


def test_a_pose_or_a_size_that_is_none_is_refused_with_its_column(folder: Path) -> None:
    rows = ("a,a.jpg,upright,12", "b,a.jpg,worn,12 cm", "c,a.jpg,worn,0")
    batch = read(
        folder, *rows, header="sku,photo,how,length", category="mug", licence="own",
        mapping={"pose": "how", "size_cm": "length"},
    )  # fmt: skip
    assert [(p.row, p.column, p.value) for p in batch.problems] == [
        (2, "how", "upright"), (3, "length", "12 cm"), (4, "length", "0"),
    ]  # fmt: skip
    assert "lying, standing, hanging, worn" in batch.problems[0].rule
    assert batch.entries == ()


def test_a_size_is_written_with_the_decimal_sign_of_the_table(folder: Path) -> None:
    batch = read(
        folder, 'a,a.jpg,"12,5"', header="sku,photo,size_cm", category="mug", licence="own",
        notation=Notation(","),
    )  # fmt: skip
    assert batch.entries[0].values["size_cm"] == 12.5


def test_attributes_come_from_columns_and_from_json(folder: Path) -> None:
    batch = read(
        folder,
        "a,a.jpg,mug,own,8.5,,x",
        header="sku,photo,category,licence,attr_width_cm,attr_pose,other",
        mapping={"attr_colour": "other"},
    )
    assert batch.entries[0].attributes == {"width_cm": "8.5", "pose": "", "colour": "x"}
    assert not batch.entries[0].every_attribute
    table = folder / "p.jsonl"
    table.write_text(
        '{"sku": 7, "photo": "a.jpg", "category": "c", "licence": "own",'
        ' "attributes": {"pose": "lying", "w": 1, "n": null}}\n'
        '{"sku": 8, "photo": "a.jpg", "category": "c", "licence": "own", "attributes": [1]}\n'
    )
    batch = read_products(table, Reading())
    assert batch.entries[0].attributes == {"pose": "lying", "w": "1", "n": ""}
    assert batch.entries[0].every_attribute
    assert [(p.row, p.column) for p in batch.problems] == [(2, "attributes")]


def test_a_notation_is_of_text_and_numbers_are_numbers(folder: Path) -> None:
    batch = read(folder, 'a,a.jpg,m,own,"1.299,50"', header="sku,photo,category,licence,price",
                 notation=Notation(",", "."))  # fmt: skip
    assert batch.entries[0].values["price"] == 1299.5
    table = folder / "p.json"
    table.write_text(
        '[{"sku": "a", "photo": "a.jpg", "category": "c", "licence": "o", "price": 1.299}]'
    )
    assert read_products(table, Reading()).entries[0].values["price"] == 1.299


def test_photos_are_products_named_after_their_files(folder: Path) -> None:
    photos = folder / "Fotos"
    photos.mkdir()
    names = ["item.jpg", "item.JPEG", "Grüne Tasse.v2.JPG", ".hidden.jpg", "._item.jpg"]
    for name in names:
        shutil.copyfile(PHOTOS / "shirt-01.jpg", photos / name)
    shutil.copyfile(PHOTOS / "shirt-01.jpg", photos / unicodedata.normalize("NFD", "Öl.jpg"))
    (photos / "notes.txt").write_text("not a photo")
    batch = read_products(photos, Reading(category="mug", licence="own"))
    assert sorted(e.product for e in batch.entries) == [
        "Grüne Tasse.v2", "item.JPEG", "item.jpg", "Öl",
    ]  # fmt: skip
    assert batch.problems == ()
    assert batch.columns is None
    one = read_products(photos / "item.jpg", Reading(category="mug", licence="own"))
    assert [e.product for e in one.entries] == ["item"]


def test_a_photo_that_cannot_be_used_is_named_among_the_others(folder: Path) -> None:
    (folder / "z.jpg").write_bytes(b"")
    (folder / "y.jpg").write_bytes(b"no picture")
    batch = read_products(folder, Reading(category="mug", licence="own"))
    assert [e.product for e in batch.entries] == ["a"]
    assert len(batch.problems) == 2
    with pytest.raises(BadCatalog, match=r"y\.jpg"):
        batch.refuse()


def test_photos_need_what_they_do_not_say(folder: Path) -> None:
    with pytest.raises(BadCatalog, match="--category and --licence"):
        read_products(folder, Reading())
    assert read_products(folder, Reading(), known=frozenset("a")).entries[0].product == "a"
    with pytest.raises(BadCatalog, match="no columns"):
        read_products(folder, Reading(mapping={"product": "sku"}))


def test_a_photo_with_decomposed_letters_is_found_by_composed_ones(folder: Path) -> None:
    shutil.copyfile(PHOTOS / "shirt-01.jpg", folder / unicodedata.normalize("NFD", "Öl.jpg"))
    batch = read(folder, f"a,{unicodedata.normalize('NFC', 'Öl.jpg')},mug,own,,,")
    assert batch.problems == ()


def test_a_known_photo_is_not_opened_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = folder / "t.csv"
    table.write_text("sku,photo,category,licence\na,a.jpg,m,own\n")

    def refuse(_: object) -> None:
        raise AssertionError("opened again")

    monkeypatch.setattr("persona_img.ingest.products.photo_files.load_photo", refuse)
    batch = read_products(table, Reading(), known_photo=lambda product, digest: f"{product} pixels")
    assert batch.entries[0].photo is not None
    assert batch.entries[0].photo.pixels == "a pixels"


def test_it_says_how_far_it_is_and_what_the_columns_are_before(folder: Path) -> None:
    table = folder / "t.csv"
    table.write_text(
        "sku,photo,category,licence\n" + "".join(f"p{n},a.jpg,m,own\n" for n in range(9))
    )
    told: list[object] = []
    read_products(
        table, Reading(), on_columns=told.append, on_photo=lambda done, of: told.append((done, of))
    )
    assert told[0].used["product"] == "sku"  # type: ignore[attr-defined]
    assert told[1:] == [(n, 9) for n in range(1, 10)]


def test_the_cases_rows_are_named_in_a_table_that_is_added(folder: Path) -> None:
    """26 and 27: the same tables, this time as a shop's own on their way in."""
    for case, row, says in (
        ("26-catalog-short-row", 5, "1 cells"),
        ("27-catalog-decimal-comma", 2, "8 cells"),
    ):
        batch = read_products(DATA / "cases" / case / "products.csv", Reading())
        assert (row, "") in [(p.row, p.column) for p in batch.problems]
        assert any(p.rule.startswith(says) for p in batch.problems if p.row == row)


def test_a_currency_is_a_code() -> None:
    with pytest.raises(BadCatalog, match="euro"):
        Reading(currency="euro")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_products("nowhere.csv", Reading())
