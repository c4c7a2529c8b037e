"""Halts by their commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from persona_img.cli import app
from persona_img.domain.catalog import Catalog, Product
from persona_img.errors import InvalidInput, NotFound
from persona_img.shop import Shop

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "shirt-01.jpg"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shop = Shop.open(tmp_path / "shop")
    catalog = Catalog([Product("mug", "things", "A mug", PHOTO, "own")])
    shop.workspace.catalog.parent.mkdir()
    catalog.save(shop.workspace.catalog)
    return tmp_path / "shop"


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--home", str(home)])


def test_halted_listed_resumed(home: Path) -> None:
    assert "nothing is halted" in run(home, "halts").stdout
    made = run(home, "halt", "--product", "mug", "--reason", "recalled", "--by", "ann")
    assert "halted: product mug" in made.stdout, made.output
    assert run(home, "halt", "--all", "--reason", "a fire", "--by", "ann").exit_code == 0
    listed = run(home, "halts").stdout
    assert "product mug  ann: recalled" in listed
    assert "everything  ann: a fire" in listed
    ended = run(home, "resume", "--all", "--reason", "it is out", "--by", "bob")
    assert ended.stdout == "resumed: everything\nstill halted: product mug\n"
    assert "everything" not in run(home, "halts").stdout
    told = run(home, "halts", "--history", "--json").stdout.splitlines()
    assert [json.loads(line)["who"] for line in told] == ["ann", "ann", "bob"]


def test_one_thing_at_a_time_which_is_there(home: Path) -> None:
    for given in ((), ("--all", "--product", "mug")):
        assert "give one of" in run(home, "halt", *given, "--reason", "x").output
    unknown = run(home, "halt", "--product", "cup", "--reason", "x")
    assert isinstance(unknown.exception, NotFound)
    other = run(home, "halt", "--test", "other", "--reason", "x")
    assert isinstance(other.exception, InvalidInput)
    assert "hero-image" in str(other.exception)
    assert "hero-image" in run(home, "halt", "--test", "hero-image", "--reason", "x").stdout
    ended = run(home, "resume", "--product", "mug", "--reason", "x")
    assert isinstance(ended.exception, NotFound)
