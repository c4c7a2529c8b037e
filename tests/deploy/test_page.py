"""The page about containers names what there is."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from .told import ROOT, check_command

PAGE = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def ours(line: str) -> list[str] | None:
    """The arguments of ``persona-img`` in a line, where it runs that."""
    words = shlex.split(line)
    if "persona-img" in words[1:] and words[-1] != "persona-img":
        at = max(n for n, word in enumerate(words) if word == "persona-img")
        return None if words[:3] == ["kubectl", "create", "secret"] else words[at + 1 :]
    if words[:3] == ["docker", "compose", "run"]:
        service = next(n for n, word in enumerate(words) if word in COMPOSE["services"])
        return words[service + 1 :]
    return None


@pytest.mark.parametrize("line", [line for line in LINES if ours(line)])
def test_its_commands_are_the_programs(line: str) -> None:
    check_command(ours(line) or [])


def test_its_commands_are_found() -> None:
    assert sum(ours(line) is not None for line in LINES) == 6


def test_it_tells_of_every_service() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.M)) == set(COMPOSE["services"])
