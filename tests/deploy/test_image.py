"""The image, as far as it can be told without building it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import dockerfile
import pytest

from persona_img.serving.run import ServiceProcess

from .told import ROOT, check_command, image, image_environment, settings_of


def instructions(name: str) -> list[dockerfile.Command]:
    parsed = dockerfile.parse_file(str(ROOT / "Dockerfile"))
    return [one for one in parsed if one.cmd == name]


def run_lines() -> list[str]:
    return [one.value[0] for one in instructions("RUN")]


def test_hadolint_has_nothing_to_say() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [program, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = {s for one in instructions("COPY") if not one.flags for s in one.value[:-1]}
    assert {Path(source).parts[0] for source in copied} == kept
    for source in copied:
        assert (ROOT / source).exists(), source


def test_packages_are_pinned_torch_is_alone_and_extras_exist() -> None:
    pinned = dict(zip(*(iter(instructions("ENV")[0].value),) * 2, strict=True))
    assert pinned["PIP_CONSTRAINT"] == "/build/constraints.txt"
    installs = [line for line in run_lines() if "pip install" in line]
    assert "--no-deps" in installs[0]
    assert installs[0].endswith(" torch")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = installs[1].partition("[")[2].partition("]")[0].split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert set(extras) == {"otel", "postgres", "provenance", "redis"}


def test_nobody_is_root_and_what_is_written_lies_in_the_volume() -> None:
    user = image()["USER"].value[0]
    assert all(part.isdigit() and int(part) > 0 for part in user.split(":"))
    home = Path(image_environment()["PERSONA_IMG_HOME"])
    assert f"install -d -o shop -g shop {home.parent}" in run_lines()[-1]


def test_its_settings_and_its_command_are_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = settings_of(image_environment(), monkeypatch, tmp_path).serve
    assert image()["EXPOSE"].value == (str(serve.port),)
    assert serve.host == "0.0.0.0"
    *init, program = image()["ENTRYPOINT"].value
    assert init == ["tini", "--"]
    assert program == "persona-img"
    assert check_command(image()["CMD"].value) == "persona-img serve"


def test_its_health_is_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "tests")
    kind, _, *arguments = image()["HEALTHCHECK"].value
    assert kind == "CMD"
    command = [sys.executable, "-m", "serving.served", str(tmp_path / "log.sqlite"), "0"]
    with ServiceProcess(command, tmp_path / "said.txt") as service:
        told = {"PERSONA_IMG_SERVE__PORT": service.url.rpartition(":")[2]}
        asked = [sys.executable, *arguments]
        assert subprocess.run(asked, env=os.environ | told, check=False).returncode == 0
    done = subprocess.run(asked, env=os.environ | told, check=False, capture_output=True)
    assert done.returncode == 1
