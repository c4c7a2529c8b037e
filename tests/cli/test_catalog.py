"""The product table's commands, in process."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from examples import PHOTOS
from persona_img.cli import app
from persona_img.errors import PersonaImgError
from persona_img.shop import Shop

OWN = ("--category", "dress", "--licence", "own")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "shop"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with two products and a row that breaks a rule."""
    folder = tmp_path / "my data"
    folder.mkdir()
    shutil.copyfile(PHOTOS / "shirt-01.jpg", folder / "Hemd blau.JPG")
    shutil.copyfile(PHOTOS / "dress-01.jpg", folder / "b.jpg")
    path = folder / "Artikel.csv"
    path.write_text(
        "SKU;name;img;kind;Preis\n"
        'AB 12/3;A shirt;Hemd blau.JPG;shirt;"19,90"\n'
        "Ü-7;A dress;b.jpg;dress;5\n"
        "gone;A ghost;c.jpg;dress;5\n"
    )
    return path


def run(home: Path, *arguments: object, fails: bool = False) -> str:
    done = CliRunner().invoke(app, ["catalog", *map(str, arguments), "--home", str(home)])
    if fails:
        assert isinstance(done.exception, PersonaImgError), done.output
        return f"{done.output}{done.exception}"
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def add(home: Path, table: Path, *more: object, fails: bool = False) -> str:
    mapping = "photo=img,category=kind,product=SKU"
    options = ("--map", mapping, "--licence", "own", "--currency", "eur", "--decimal", ",")
    return run(home, "add", table, *options, *more, fails=fails)


def test_a_table_is_checked_whole_and_added_whole_or_not_at_all(home: Path, table: Path) -> None:
    said = add(home, table, fails=True)
    assert "3 rows (CSV, utf-8, semicolons)" in said
    assert "photo      = img  e.g. Hemd blau.JPG" in said
    assert "licence    = 'own' for all" in said
    assert "1 of 3 rows cannot be added" in said
    assert "row 4: img 'c.jpg': no such file" in said
    assert not (home / "catalog").exists()
    said = add(home, table, "--skip-bad", "--rejects", table.parent / "rejects.csv")
    assert "left out: row 4: img 'c.jpg'" in said
    assert "2 added, 0 updated, 0 unchanged; 2 products" in said
    with (table.parent / "rejects.csv").open(newline="", encoding="utf-8") as lines:
        assert [row["row"] for row in csv.DictReader(lines)] == ["4"]
    assert Shop.open(home).catalog["AB 12/3"].price == 19.9
    assert "0 added, 0 updated, 2 unchanged" in add(home, table, "--skip-bad")


def test_a_check_writes_nothing(home: Path, table: Path) -> None:
    assert "2 rows can be added, 1 problems" in add(home, table, "--check", fails=True)
    table.write_text("\n".join(table.read_text().splitlines()[:3]))
    assert "2 rows can be added, 0 problems" in add(home, table, "--check")
    assert not (home / "catalog").exists()


def test_new_prices_and_photos_are_told(home: Path, table: Path) -> None:
    add(home, table, "--skip-bad")
    prices = table.parent / "prices.csv"
    prices.write_text("sku,price\nAB 12/3,21\nÜ-7,6\n")
    assert "changed: price of 2" in run(home, "add", prices)
    shutil.copyfile(PHOTOS / "shoes-01.jpg", table.parent / "b.jpg")
    run(home, "retire", "Ü-7", "--reason", "sold out")
    said = add(home, table, "--skip-bad")
    assert "1 have another photo" in said
    assert "1 are retired and stay so" in said


def test_pose_and_size_are_told_and_shown(home: Path, table: Path) -> None:
    add(home, table, "--skip-bad")
    assert "\npose" not in run(home, "show", "AB 12/3")
    told = table.parent / "poses.csv"
    told.write_text("sku,pose,size_cm\nAB 12/3,Hanging,72.5\n")
    assert "changed: pose of 1, size_cm of 1" in run(home, "add", told)
    shown = [line.split() for line in run(home, "show", "AB 12/3").splitlines()]
    assert ["pose", "hanging"] in shown
    assert ["size_cm", "72.5"] in shown
    known = json.loads(run(home, "show", "AB 12/3", "--json"))
    assert (known["pose"], known["size_cm"]) == ("hanging", 72.5)
    told.write_text("sku,pose\nAB 12/3,on edge\n")
    said = run(home, "add", told, fails=True)
    assert "row 2: pose 'on edge': there are lying, standing, hanging, worn" in said


def test_products_are_listed_shown_retired_and_brought_back(home: Path, table: Path) -> None:
    add(home, table, "--skip-bad")
    lines = [json.loads(line) for line in run(home, "list", "--json").splitlines()]
    assert [(p["product"], p["price"], p["currency"]) for p in lines] == [
        ("AB 12/3", 19.9, "EUR"), ("Ü-7", 5.0, "EUR"),
    ]  # fmt: skip
    assert "1 retired, 1 on offer" in run(home, "retire", "AB 12/3", "--reason", "sold out")
    assert "0 retired, 1 on offer" in run(home, "retire", "AB 12/3", "--reason", "again")
    assert "RETIRED: sold out" in run(home, "list")
    assert "Ü-7" not in run(home, "list", "--retired")
    shown = run(home, "show", "AB 12/3")
    assert "19.90 EUR" in shown
    assert "sold out" in shown
    known = json.loads(run(home, "show", "U\u0308-7", "--json"))
    assert (known["product"], known["variants"], known["retired"]) == ("Ü-7", 0, "")
    assert "1 on offer again, 2 in all" in run(home, "restore", "AB 12/3")
    assert "'nobody'" in run(home, "show", "nobody", fails=True)
    assert "'nobody'" in run(home, "retire", "Ü-7", "nobody", "--reason", "x", fails=True)
    assert Shop.open(home).catalog["Ü-7"].on_offer


def test_photos_are_added_and_nothing_is_half_added(home: Path, tmp_path: Path) -> None:
    run(home, "add", PHOTOS / "dress-01.jpg", *OWN)
    before = (home / "catalog" / "products.csv").read_bytes()
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copyfile(PHOTOS / "dress-01.jpg", folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"no picture")
    assert "b.jpg" in run(home, "add", folder, *OWN, fails=True)
    assert (home / "catalog" / "products.csv").read_bytes() == before
    assert len(list((home / "catalog" / "photos").iterdir())) == 1
    assert "1 unchanged" in run(home, "add", PHOTOS / "dress-01.jpg", *OWN)
    assert (home / "catalog" / "products.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--map", "prize=x"), "fields are product"),
        (("--map", "price=x"), "no such column"),
        (("--decimal", ";"), "decimal ';'"),
        (("--currency", "euro"), "EURO"),
        (("--encoding", "klingon"), "klingon"),
        (("--delimiter", "ab"), "one character"),
    ],
)
def test_an_option_that_cannot_work_is_named(
    home: Path, table: Path, options: tuple[str, str], says: str
) -> None:
    assert says in run(home, "add", table, *options, fails=True)


def test_a_mask_comes_with_a_photo_and_its_loss_is_told(home: Path, tmp_path: Path) -> None:
    photo, mask = tmp_path / "hat.jpg", tmp_path / "drawn.png"
    shutil.copyfile(PHOTOS / "dress-01.jpg", photo)
    with Image.open(photo) as image:
        drawn = Image.new("L", image.size, 0)
    drawn.paste(255, (100, 100, 300, 400))
    drawn.save(mask)
    said = run(home, "add", photo, *OWN, "--mask", mask)
    assert "1 with a mask drawn by a person (hat)" in said
    assert run(home, "add", photo, *OWN).count("1 unchanged") == 1
    shown = json.loads(run(home, "show", "hat", "--json"))
    assert Path(shown["mask"]).is_file()
    shutil.copyfile(PHOTOS / "shirt-01.jpg", photo)
    said = run(home, "add", photo, *OWN)
    assert "warning: 1 lost the mask" in said
    assert json.loads(run(home, "show", "hat", "--json"))["mask"] is None
    said = run(home, "add", tmp_path, *OWN, "--mask", mask, fails=True)
    assert "a mask is of one" in said
