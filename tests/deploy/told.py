"""What a container is told, read as the program would read it; not a test module."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dockerfile
import pytest
import typer
from pydantic import BaseModel

from persona_img.cli import app
from persona_img.settings import Settings

ROOT = Path(__file__).parents[2]
SECRETS = {
    "POSTGRES_PASSWORD": "f1a9" * 12,
    "SHOP_TOKEN": "0c7e" * 12,
    "VALKEY_PASSWORD": "5b3d" * 12,
}
"""Whatever an administrator draws."""

_PREFIX = "PERSONA_IMG_"


def image() -> Mapping[str, dockerfile.Command]:
    """Instructions of the Dockerfile's last stage, the last of each kind, by name."""
    found: dict[str, dockerfile.Command] = {}
    for one in dockerfile.parse_file(str(ROOT / "Dockerfile")):
        found = {**({} if one.cmd == "FROM" else found), one.cmd: one}
    return found


def image_environment() -> dict[str, str]:
    """Variables that every container of the image has."""
    words = image()["ENV"].value
    return dict(zip(words[::2], words[1::2], strict=True))


def settings_of(environment: Mapping[str, str], patch: pytest.MonkeyPatch, here: Path) -> Settings:
    """The settings of a process with these variables; one that it would not heed is an error."""
    patch.chdir(here)
    for name in [name for name in os.environ if name.startswith(_PREFIX)]:
        patch.delenv(name)
    for name, value in environment.items():
        if name.startswith(_PREFIX):
            assert name in variables(), name
            patch.setenv(name, value)
    return Settings.fresh()


def variables() -> set[str]:
    """Every variable that is a setting, or that Feast's own file asks for."""
    names = set()
    feast = (ROOT / "feature_repo" / "feature_store.production.yaml").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= {f"{name}__{inner}" for inner in kind.model_fields}
        else:
            names.add(name)
    return {_PREFIX + name.upper() for name in names} | set(re.findall(r"\$\{(\w+)\}", feast))


def check_command(words: Iterable[str]) -> str:
    """Parse the arguments of ``persona-img`` without doing anything; the command's name.

    Raises:
        click.UsageError: it has no such command, option, or value.
    """
    command, name, left = typer.main.get_command(app), "persona-img", list(words)
    while hasattr(command, "get_command"):
        found = command.get_command(typer.Context(command), left[0])
        assert found is not None, left
        command, name, left = found, f"{name} {left[0]}", left[1:]
    command.make_context(name, left)
    return name


def filled(told: Any, given: Mapping[str, str] = SECRETS) -> Any:
    """What YAML says with Compose's ``${NAME:?why}`` and ``${NAME:-default}`` filled in."""
    if isinstance(told, dict):
        return {name: filled(value, given) for name, value in told.items()}
    if isinstance(told, list):
        return [filled(value, given) for value in told]
    if not isinstance(told, str):
        return told

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        return given.get(name, rest) if kind == ":-" else given[name]

    return re.sub(r"\$\{(\w+)(:[?-])([^}]*)\}", value, told)
