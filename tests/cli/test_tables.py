"""Anybody's table on the command line: text, JSON, and errors as both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from abtest.test_table_analysis import shown
from persona_img.cli import app
from persona_img.errors import InvalidInput

MAP = ("--map", "arm=variant,unit=user,time=at", "--metric", "ctr=clicks/impressions")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "shown.csv"
    shown(lift=0.6).to_csv(path, index=False)
    return path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["analyze", *map(str, arguments)], catch_exceptions=False)
    return done.exit_code, done.output


def test_a_table_needs_no_shop(
    table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run(table, *MAP, "--metric", "revenue", "--plan", 3000)
    assert code == 0
    assert "better" in said
    assert "holds however often one looks" in said
    assert not list(tmp_path.iterdir())


def test_json_of_the_planned_look(table: Path) -> None:
    code, said = run(table, *MAP, "--plan", 2000, "--one-look", "--json")
    found = json.loads(said)
    assert code == 0
    assert (found["read"], sum(found["units"].values())) == ("at the plan", 2000)


def test_errors_are_json_where_json_was_asked_for(table: Path) -> None:
    code, said = run(table, "--map", "arm=group,unit=user", "--metric", "revenue", "--json")
    found = json.loads(said)
    assert code == 2
    assert found["schema"] == "persona-img/analysis/1"
    assert found["error"]["kind"] == "InvalidInput"
    assert "no column 'group'" in found["error"]["message"]
    with pytest.raises(InvalidInput, match="no column 'group'"):
        run(table, "--map", "arm=group,unit=user", "--metric", "revenue")


def test_options_of_tables_are_not_for_shops(tmp_path: Path) -> None:
    for option in (
        ("--counts",), ("--weights", "a=1"), ("--cap", 0.9), ("--control", "a"),
        ("--confidence", 0.95),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=f"{option[0]}: of a table"):
            run("hero", *option, "--home", tmp_path)
    with pytest.raises(InvalidInput, match="--metric is of a table; say which column"):
        run("hero", "--metric", "ctr=clicks/impressions")
    with pytest.raises(InvalidInput, match="name its file"):
        run(*MAP)


def test_options_of_shops_are_not_for_tables(table: Path, tmp_path: Path) -> None:
    for option in (("--by-segment",), ("--home", tmp_path)):
        with pytest.raises(InvalidInput, match=f"{option[0]}: of a shop's test"):
            run(table, *MAP, *option)


def test_what_duckdb_cannot_read_is_json_too(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_text("no table")
    code, said = run(tmp_path / "bad.parquet", *MAP, "--json")
    assert code == 2
    found = json.loads(said)["error"]
    assert found["kind"] == "InvalidInput"
    assert "bad.parquet: cannot be read as a table" in found["message"]
