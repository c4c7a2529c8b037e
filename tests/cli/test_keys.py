"""Keys by their commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from persona_img.cli import app
from persona_img.errors import NotFound
from persona_img.serving.keys import KeyFile, Keys


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments, "--home", str(home)])


def test_a_key_is_made_told_once_listed_and_revoked(tmp_path: Path) -> None:
    home = tmp_path / "shop"
    made = run(home, "add", "--role", "serve", "--name", "storefront")
    assert made.exit_code == 0, made.output
    text = made.stdout.strip()
    file = KeyFile(home / "keys.json")
    key = Keys(file).find(text)
    assert key is not None
    assert (key.role, key.name) == ("serve", "storefront")
    listed = run(home, "list")
    assert f"{key.key_id}  serve     storefront  made" in listed.stdout
    assert text not in listed.stdout
    told = json.loads(run(home, "list", "--json").stdout)
    assert told["may"] == ["decide", "events"]
    assert run(home, "revoke", key.key_id).exit_code == 0
    assert "revoked" in run(home, "list").stdout
    assert Keys(file).find(text) is None


def test_the_key_alone_goes_to_standard_output(tmp_path: Path) -> None:
    made = json.loads(
        run(tmp_path / "s", "add", "--role", "admin", "--name", "ops", "--json").stdout
    )
    assert made["key"].startswith(f"pik_{made['key_id']}_")


def test_roles_and_keys_that_are_none_are_named(tmp_path: Path) -> None:
    assert "approver" in run(tmp_path / "s", "add", "--role", "root", "--name", "x").output
    assert isinstance(run(tmp_path / "s", "revoke", "00000000").exception, NotFound)


@pytest.mark.parametrize("name", ["", "a\tb"])
def test_a_name_says_what_a_key_is_for(tmp_path: Path, name: str) -> None:
    assert run(tmp_path / "s", "add", "--role", "serve", "--name", name).exit_code != 0
