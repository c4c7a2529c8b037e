"""What the documents say is true: examples run, named tests exist, commands have examples."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import persona_img
from persona_img.cli import app

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert result.attempted >= 8
    assert result.failed == 0


def test_public_names_have_examples_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    without = set()
    for name in persona_img.__all__:
        thing = getattr(persona_img, name)
        runner, tried = doctest.DocTestRunner(), 0
        for test in doctest.DocTestFinder(recurse=True).find(thing, name):
            test.globs = vars(sys.modules[thing.__module__]).copy()
            assert runner.run(test).failed == 0, test.name
            tried += len(test.examples)
        if not tried:
            without.add(name)
    # What is made for the caller, or takes a trained shop: the README and the pages show these.
    made = {"ABReport", "Certificate", "Decision", "Photo", "verify"}
    assert without == made | {"BayesRanker", "LightGBMRanker"}


def test_the_readme_shows_the_two_commands_first() -> None:
    top = (ROOT / "README.md").read_text().splitlines()[:10]
    assert any("make demo" in line for line in top)
    assert any("make test" in line for line in top)


def test_every_invariant_names_a_test_that_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    section = text.split("## Invariants")[1].split("## Reading order")[0]
    items = re.split(r"^\d+\. ", section, flags=re.M)[1:]
    assert len(items) == 13
    for item in items:
        files = re.findall(r"`(tests/[\w/]+\.py)`", item)
        assert files, item
        for file in files:
            assert "def test_" in (ROOT / file).read_text(), file


def test_every_package_in_the_picture_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    picture = text.split("src/persona_img/\n")[1].split("experiments/")[0]
    for name in re.findall(r"^  ([a-z_]+(?:/|\.py))", picture, flags=re.M):
        assert (ROOT / "src" / "persona_img" / name).exists(), name


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("experiments/**/*.md")), ids=str
)
def test_no_link_is_dead(page: Path) -> None:
    """The site's own pages are checked where it is built."""
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = re.findall(r"^::: persona_img\.[\w.]+\.(\w+)$", page, flags=re.M)
    assert sorted(told) == sorted(persona_img.__all__)


def listed(*command: str) -> list[str]:
    """Commands that the help of a command lists; none where it is no group of them."""
    shown = CliRunner().invoke(app, [*command, "--help"]).output
    _, _, table = shown.partition(" Commands ")
    return re.findall(r"^│ ([a-z-]+) ", table, flags=re.M)


def commands() -> list[str]:
    names = listed()
    assert len(names) >= 13
    return [one for name in names for one in under(name)]


def under(name: str) -> list[str]:
    """A command itself, or those of a group, and of a group's groups."""
    return [one for inner in listed(*name.split()) for one in under(f"{name} {inner}")] or [name]


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert f"persona-img {command}" in shown.output
    assert "Example" in shown.output


def test_the_readmes_commands_exist() -> None:
    for command in set(re.findall(r"persona-img ([a-z-]+)", (ROOT / "README.md").read_text())):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command
