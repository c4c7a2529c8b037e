from __future__ import annotations

from pathlib import Path

import pytest

from persona_img.assets import ASSETS
from persona_img.domain.catalog import Catalog, Product
from persona_img.errors import BadCatalog, NotFound


def test_the_shipped_catalogue_is_real_photos_under_a_licence() -> None:
    catalog = Catalog.load(ASSETS / "catalog" / "products.csv")
    assert len(catalog) >= 40
    assert len({p.category for p in catalog}) >= 8
    for product in catalog:
        assert product.photo.stat().st_size > 5_000
        assert product.licence == "CC0-1.0"


def test_a_catalogue_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"x")
    made = Catalog([Product("a", "mug", "A mug, blue", photo, "CC0-1.0", "me", 9.5)])
    made.save(tmp_path / "products.csv")
    assert list(Catalog.load(tmp_path / "products.csv")) == list(made)
    assert "photos/a.jpg" in (tmp_path / "products.csv").read_text()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("product,category,photo\na,mug,a.jpg\n", "licence"),
        ("product,category,photo,licence\na,mug,a.jpg,\n", "licence is empty"),
        ("product,category,photo,licence\na b,mug,a.jpg,CC0\n", "a b"),
        ("product,category,photo,licence\na,mug,a.jpg,CC0\na,mug,b.jpg,CC0\n", "twice"),
        ("product,category,photo,licence,price\na,mug,a.jpg,CC0,free\n", "free"),
    ],
)
def test_a_broken_table_says_what_to_mend(tmp_path: Path, rows: str, says: str) -> None:
    (tmp_path / "p.csv").write_text(rows)
    with pytest.raises(BadCatalog, match=says):
        Catalog.load(tmp_path / "p.csv")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.csv"):
        Catalog.load(tmp_path / "nowhere.csv")
    with pytest.raises(NotFound, match="teapot"):
        Catalog([])["teapot"]
