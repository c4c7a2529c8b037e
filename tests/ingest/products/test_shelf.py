from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import PHOTOS, a_photo
from persona_img.domain.catalog import Catalog, Product
from persona_img.errors import InvalidInput, NotFound, StoreConflict
from persona_img.imaging.photo import load_photo
from persona_img.ingest.products.reading import read_products
from persona_img.ingest.products.rows import Reading
from persona_img.ingest.products.shelf import Added, Shelf

HEADER = "sku,photo,category,licence,title,price,attr_pose,attr_width"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    shutil.copyfile(PHOTOS / "shirt-01.jpg", folder / "a.jpg")
    shutil.copyfile(PHOTOS / "dress-01.jpg", folder / "b.jpg")
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "shop" / "catalog" / "products.csv"


def add(table: Path, source: Path, *rows: str, header: str = HEADER) -> Added:
    (source / "t.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    shelf = Shelf(table)
    batch = read_products(
        source / "t.csv",
        Reading(),
        known=frozenset(p.product for p in shelf.catalog),
        known_photo=shelf.known_photo,
    )
    batch.refuse()
    return shelf.add(batch.entries)


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def test_products_are_added_with_their_photos_beside_the_table(table: Path, source: Path) -> None:
    added = add(
        table, source, "AB 12/3,a.jpg,shirt,own,A shirt,9.5,lying,40", "Ü,b.jpg,dress,own,,,,"
    )
    assert (added.added, added.updated, added.unchanged, added.total) == (
        ("AB 12/3", "Ü"),
        {},
        (),
        2,
    )
    catalog = Catalog.load(table)
    shirt = catalog["AB 12/3"]
    assert shirt.photo.read_bytes() == (source / "a.jpg").read_bytes()
    assert shirt.photo.parent == table.parent / "photos"
    assert shirt.photo.name.startswith("AB-12-3~")
    assert shirt.photo_digest == load_photo(source / "a.jpg").digest
    assert (shirt.title, shirt.price, shirt.attributes) == (
        "A shirt",
        9.5,
        {"pose": "lying", "width": "40"},
    )
    assert catalog["Ü"].title == "Ü"
    assert math.isnan(catalog["Ü"].price)


def test_the_same_again_changes_nothing(table: Path, source: Path) -> None:
    rows = ("a,a.jpg,shirt,own,A,9.5,lying,", "b,b.jpg,dress,own,,,,")
    add(table, source, *rows)
    before = everything(table.parent)
    added = add(table, source, *rows)
    assert (added.added, added.updated, added.unchanged) == ((), {}, ("a", "b"))
    assert everything(table.parent) == before


def test_a_table_of_prices_changes_prices(table: Path, source: Path) -> None:
    add(table, source, "a,a.jpg,shirt,own,A,9.5,lying,40", "b,b.jpg,dress,own,B,1,,")
    added = add(table, source, "a,12", "b,1", header="sku,price")
    assert added.updated == {"a": ("price",)}
    assert added.unchanged == ("b",)
    a = Catalog.load(table)["a"]
    assert (a.price, a.title, a.attributes) == (12.0, "A", {"pose": "lying", "width": "40"})


def test_an_empty_cell_empties_and_a_missing_column_does_not(table: Path, source: Path) -> None:
    add(table, source, "a,a.jpg,shirt,own,A,9.5,lying,40")
    add(table, source, "a,,", header="sku,price,attr_pose")
    a = Catalog.load(table)["a"]
    assert math.isnan(a.price)
    assert a.attributes == {"width": "40"}
    (source / "t.json").write_text('[{"sku": "a", "attributes": {"pose": "on edge"}}]')
    shelf = Shelf(table)
    batch = read_products(source / "t.json", Reading(), known=frozenset("a"))
    assert shelf.add(batch.entries).updated == {"a": ("attributes",)}
    assert Catalog.load(table)["a"].attributes == {"pose": "on edge"}


def test_pose_and_size_are_kept_changed_and_emptied(table: Path, source: Path) -> None:
    header = "sku,photo,category,licence,pose,size_cm"
    add(table, source, "a,a.jpg,shirt,own,hanging,70", header=header)
    assert (Catalog.load(table)["a"].pose, Catalog.load(table)["a"].size_cm) == ("hanging", 70.0)
    added = add(table, source, "a,lying,70", header="sku,pose,size_cm")
    assert added.updated == {"a": ("pose",)}
    assert add(table, source, "a,9", header="sku,price").updated == {"a": ("price",)}
    assert (Catalog.load(table)["a"].pose, Catalog.load(table)["a"].size_cm) == ("lying", 70.0)
    added = add(table, source, "a,,", header="sku,pose,size_cm")
    assert added.updated == {"a": ("pose", "size_cm")}
    assert (Catalog.load(table)["a"].pose, Catalog.load(table)["a"].size_cm) == ("", None)


def test_products_given_as_such_bring_their_pose_and_size(table: Path, source: Path) -> None:
    mug = Product("m", "mug", "A mug", source / "a.jpg", "own", pose="standing", size_cm=9.5)
    Shelf(table).add(read_products([mug], Reading()).entries)
    kept = Catalog.load(table)["m"]
    assert (kept.pose, kept.size_cm) == ("standing", 9.5)


def test_a_new_photo_leaves_the_earlier_file_alone(table: Path, source: Path) -> None:
    """Whoever reads the earlier table, or checks its variants, finds the earlier photo."""
    add(table, source, "a,a.jpg,shirt,own,A,,,")
    old = Catalog.load(table)["a"]
    added = add(table, source, "a,b.jpg,shirt,own,A,,,")
    assert added.updated == {"a": ("photo",)}
    assert added.new_photos == ("a",)
    new = Catalog.load(table)["a"]
    assert new.photo != old.photo
    assert new.photo_digest != old.photo_digest
    assert load_photo(old.photo).digest == old.photo_digest
    assert load_photo(new.photo).digest == new.photo_digest
    add(table, source, "a,a.jpg,shirt,own,A,,,")
    assert Catalog.load(table)["a"] == old or Catalog.load(table)["a"].photo == old.photo


def test_a_table_of_before_is_taken_over(table: Path, source: Path) -> None:
    """Photos under other names, without digests: the same photo again is no change."""
    photos = table.parent / "photos"
    photos.mkdir(parents=True)
    shutil.copyfile(source / "a.jpg", photos / "a.jpg")
    Catalog([Product("a", "shirt", "A", photos / "a.jpg", "own")]).save(table)
    added = add(table, source, "a,a.jpg,shirt,own,A,,,")
    assert added.unchanged == ("a",)
    known = Catalog.load(table)["a"]
    assert known.photo == photos / "a.jpg"
    assert known.photo_digest == load_photo(source / "a.jpg").digest


@pytest.mark.parametrize("alpha", [False, True])
def test_what_browsers_do_not_show_is_kept_as_png(table: Path, source: Path, alpha: bool) -> None:
    photo = a_photo()
    image = Image.fromarray(photo.pixels)
    if alpha:
        image.putalpha(Image.fromarray(np.full(photo.pixels.shape[:2], 255, np.uint8)))
        image.paste((0, 0, 0, 0), (0, 0, 30, 30))
    image.save(source / "scan.TIF", "TIFF")
    row = "a,scan.TIF,shirt,own,A,,,"
    add(table, source, row)
    kept = Catalog.load(table)["a"]
    assert kept.photo.suffix == ".png"
    there, here = load_photo(kept.photo), load_photo(source / "scan.TIF")
    assert there.digest == here.digest == kept.photo_digest
    assert (there.alpha is not None) == alpha
    if alpha:
        np.testing.assert_array_equal(there.alpha, here.alpha)
    assert add(table, source, row).unchanged == ("a",)


def test_retired_products_stay_so_until_they_are_brought_back(table: Path, source: Path) -> None:
    rows = ("a,a.jpg,shirt,own,A,,,", "b,b.jpg,dress,own,B,,,")
    add(table, source, *rows)
    assert [p.product for p in Shelf(table).retire(["a"], " sold out ")] == ["a"]
    assert Catalog.load(table)["a"].retired == "sold out"
    assert Shelf(table).retire(["a"], "another reason") == []
    assert add(table, source, *rows).retired == ("a",)
    assert Catalog.load(table)["a"].retired == "sold out"
    assert [p.product for p in Shelf(table).restore(["a", "b"])] == ["a"]
    assert Catalog.load(table)["a"].on_offer
    added = add(table, source, "a,gone", "b,", header="sku,retired")
    assert added.updated == {"a": ("retired",)}
    assert Catalog.load(table)["a"].retired == "gone"
    assert add(table, source, "a,", header="sku,retired").updated == {}  # nor by an empty cell
    assert Catalog.load(table)["a"].retired == "gone"


def test_an_unknown_product_stops_the_others_too(table: Path, source: Path) -> None:
    add(table, source, "a,a.jpg,shirt,own,A,,,")
    before = everything(table.parent)
    with pytest.raises(NotFound, match="'x', 'y': not in the catalogue of 1"):
        Shelf(table).retire(["x", "a", "y"], "sold out")
    with pytest.raises(NotFound, match="'x'"):
        Shelf(table).restore(["x"])
    with pytest.raises(InvalidInput, match="reason"):
        Shelf(table).retire(["a"], "  ")
    assert everything(table.parent) == before


def test_nothing_is_half_added(table: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(table, source, "a,a.jpg,shirt,own,A,,,")
    before = everything(table.parent)
    from persona_img.ingest.products import shelf as module

    real = module.write_whole

    def full(path: Path, data: bytes) -> Path:
        if "c-" in path.name:
            raise InvalidInput("the disk is full")
        return real(path, data)

    monkeypatch.setattr(module, "write_whole", full)
    with pytest.raises(InvalidInput, match="full"):
        add(table, source, "b,b.jpg,dress,own,B,,,", "c,b.jpg,dress,own,C,,,")
    assert everything(table.parent) == before


def test_a_table_that_somebody_changed_meanwhile_is_not_overwritten(
    table: Path, source: Path
) -> None:
    add(table, source, "a,a.jpg,shirt,own,A,,,", "b,b.jpg,dress,own,B,,,")
    mine = Shelf(table)
    Shelf(table).retire(["a"], "sold out")
    with pytest.raises(StoreConflict, match="run the command again"):
        mine.retire(["b"], "sold out")
    assert Catalog.load(table)["b"].on_offer


def test_a_photo_that_changes_while_it_is_added_is_not_taken(table: Path, source: Path) -> None:
    (source / "t.csv").write_text("sku,photo,category,licence\na,a.jpg,m,own\n")
    batch = read_products(source / "t.csv", Reading())
    shutil.copyfile(source / "b.jpg", source / "a.jpg")
    with pytest.raises(StoreConflict, match=r"a\.jpg"):
        Shelf(table).add(batch.entries)
    assert not table.exists()
