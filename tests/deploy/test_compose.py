"""The Compose file, read as Compose reads it, and held against the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from persona_img import wiring
from persona_img.tracking.ui import ui_command
from persona_img.workspace import Workspace

from .told import ROOT, SECRETS, check_command, filled, image, image_environment, settings_of

TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
OURS = ("serve", "learn")


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return filled(yaml.safe_load(TEXT))


def test_it_is_a_compose_file() -> None:
    schema = get_builtin_schema("vendor.compose-spec")
    checker = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in checker.iter_errors(yaml.safe_load(TEXT))] == []


def test_what_services_name_is_declared(told: dict[str, Any]) -> None:
    services = told["services"]
    volumes, networks = set(), set()
    for service in services.values():
        volumes |= {place.partition(":")[0] for place in service["volumes"]}
        networks |= set(service["networks"])
        for other, state in service.get("depends_on", {}).items():
            watched = services[other]
            # The image of ours has a health check of its own.
            assert state == {"condition": "service_healthy"}
            assert "healthcheck" in watched or watched["image"] == "persona-img"
    assert volumes == set(told["volumes"])
    assert networks == set(told["networks"])


def test_nothing_is_reached_from_another_machine(told: dict[str, Any]) -> None:
    services = told["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert len(published) == 2
    assert all(port.startswith("127.0.0.1:") for port in published)
    # MLflow asks nobody for a password.
    beside = [name for name, one in services.items() if "pages" in one["networks"]]
    assert beside == ["mlflow"]


def test_secrets_come_from_outside_or_it_does_not_start(told: dict[str, Any]) -> None:
    for name, value in SECRETS.items():
        assert f"${{{name}:?" in TEXT
        assert f"${{{name}:-" not in TEXT
        assert value not in TEXT
    log = told["services"]["postgres"]["environment"]
    address = told["services"]["serve"]["environment"]["PERSONA_IMG_STORES__EVENTS_URL"]
    assert address == (
        f"postgresql://{log['POSTGRES_USER']}:{SECRETS['POSTGRES_PASSWORD']}@postgres"
        f"/{log['POSTGRES_DB']}"
    )


@pytest.mark.parametrize("name", OURS)
def test_settings_and_commands_are_the_programs(
    told: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = told["services"][name]
    environment = image_environment() | service["environment"]
    settings = settings_of(environment, monkeypatch, tmp_path)
    assert check_command(service["command"]) == f"persona-img {name}"
    assert settings.serve.tokens == (SECRETS["SHOP_TOKEN"],)
    assert settings.stores.events_url is not None
    assert (settings.stores.feature_repo / settings.stores.feature_store).is_file()
    assert environment["PERSONA_IMG_REDIS"].startswith("valkey:6379,")
    # The health check asks by this name.
    assert "127.0.0.1" in settings.serve.hosts
    for volume in service["volumes"]:
        assert settings.home.is_relative_to(volume.partition(":")[2])
    for port in service.get("ports", ()):
        assert port.endswith(f":{settings.serve.port}")


def test_mlflow_runs_as_the_program_runs_it(told: dict[str, Any]) -> None:
    service = told["services"]["mlflow"]
    workspace = Workspace(Path(image_environment()["PERSONA_IMG_HOME"]))
    ours = ui_command(wiring.tracking_uri(workspace), workspace.tracking / "artifacts")
    options = ours.arguments[4:]
    wanted = dict(zip(options[::2], options[1::2], strict=True))
    given = dict(option.split("=", 1) for option in service["command"])
    assert {**given, "--host": wanted["--host"]} == wanted
    init = image()["ENTRYPOINT"].value[:2]
    assert service["entrypoint"] == [*init, "python", *ours.arguments[1:4]]
    assert service["environment"] == ours.environment
    assert service["ports"] == [f"127.0.0.1:{given['--port']}:{given['--port']}"]


def test_what_is_written_outlives_the_container(told: dict[str, Any]) -> None:
    for name in (*OURS, "mlflow"):
        service = told["services"][name]
        assert service["read_only"]
        assert service["tmpfs"] == [image_environment()["HOME"]]
