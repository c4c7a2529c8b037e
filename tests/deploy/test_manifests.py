"""The manifests for Kubernetes: whole, of one piece, and true of the program."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi.testclient import TestClient

import persona_img
from examples import SIGNER
from persona_img.serving.app import create_app
from persona_img.serving.gate import GateRules
from persona_img.serving.sqlite_log import SqliteEventLog
from serving.conftest import a_catalog, a_decider, stored_variant

from .told import ROOT, check_command, image, image_environment, settings_of

FILES = sorted((ROOT / "deploy").glob("*.yaml"))
ALL = [one for file in FILES for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
SECRET = {
    "PERSONA_IMG_STORES__EVENTS_URL": "postgresql://shop:secret@db.internal/persona",
    "PERSONA_IMG_REGISTRY": "postgresql+psycopg://shop:secret@db.internal/feast",
    "PERSONA_IMG_REDIS": "valkey.internal:6379,password=secret",
    "PERSONA_IMG_SERVE__TOKENS": '["0c7e0c7e0c7e0c7e0c7e0c7e"]',
    "PERSONA_IMG_SERVE__DECISION_KEY": "f1a9" * 16,
}


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in ALL if one["kind"] == kind]


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in of_kind(kind) if one["metadata"]["name"] == name]
    return found


def pods() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in of_kind("Deployment")]


def containers() -> list[dict[str, Any]]:
    return [container for pod in pods() for container in pod["containers"]]


@pytest.mark.parametrize("version", ["1.28", "1.32", kubernetes_validate.latest_version()])
def test_kubernetes_takes_them(version: str) -> None:
    for one in ALL:
        kubernetes_validate.validate(one, version, strict=True)


def test_what_they_name_is_there() -> None:
    for pod in pods():
        claims = {v["name"]: v.get("persistentVolumeClaim") for v in pod["volumes"]}
        for claim in filter(None, claims.values()):
            assert named("PersistentVolumeClaim", claim["claimName"])
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == set(claims)
            for source in container.get("envFrom", ()):
                # The Secret is made by hand.
                assert source == {"secretRef": {"name": "persona-img"}} or named(
                    "ConfigMap", source["configMapRef"]["name"]
                )
    for chosen in (*of_kind("Service"), *of_kind("PodDisruptionBudget")):
        wanted = chosen["spec"]["selector"]
        wanted = wanted.get("matchLabels", wanted)
        hit = [d for d in of_kind("Deployment") if wanted.items() <= labels(d).items()]
        assert [one["metadata"]["name"] for one in hit] == ["persona-img"]
    for deployment in of_kind("Deployment"):
        assert deployment["spec"]["selector"]["matchLabels"] == labels(deployment)


def labels(deployment: dict[str, Any]) -> dict[str, str]:
    return deployment["spec"]["template"]["metadata"]["labels"]


def test_several_serve_and_one_writes_tables() -> None:
    serve, learn = named("Deployment", "persona-img"), named("Deployment", "persona-img-learn")
    kept = named("PodDisruptionBudget", "persona-img")["spec"]["minAvailable"]
    assert serve["spec"]["replicas"] > kept >= 1
    assert learn["spec"]["replicas"] == 1
    assert learn["spec"]["strategy"] == {"type": "Recreate"}
    assert named("PersistentVolumeClaim", "persona-img-home")["spec"]["accessModes"] == [
        "ReadWriteMany"
    ]


def test_they_run_this_version_as_the_images_user_and_write_nowhere_else() -> None:
    user = image()["USER"].value[0].split(":")
    for pod in pods():
        context = pod["securityContext"]
        assert [str(context["runAsUser"]), str(context["runAsGroup"])] == user
        assert context["fsGroup"] == context["runAsGroup"]
    for container in containers():
        assert container["image"] == f"persona-img:{persona_img.__version__}"
        assert container["securityContext"]["readOnlyRootFilesystem"]
        places = {mount["mountPath"] for mount in container["volumeMounts"]}
        home = Path(image_environment()["PERSONA_IMG_HOME"])
        assert places == {str(home.parent), image_environment()["HOME"]}


def test_settings_and_commands_are_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = image_environment() | named("ConfigMap", "persona-img")["data"] | SECRET
    serve = settings_of(told, monkeypatch, tmp_path).serve
    assert serve.hosts
    assert serve.tokens
    done = [check_command(container["args"]) for container in containers()]
    assert done == ["persona-img learn", "persona-img tracking-ui", "persona-img serve"]
    (port,) = named("Deployment", "persona-img")["spec"]["template"]["spec"]["containers"][0][
        "ports"
    ]
    assert port["containerPort"] == serve.port
    assert [p["targetPort"] for p in named("Service", "persona-img")["spec"]["ports"]] == [
        port["name"]
    ]


def test_the_page_makes_the_secret_that_they_ask_for() -> None:
    page = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
    assert "kubectl create secret generic persona-img " in page
    assert set(re.findall(r"--from-literal=(\w+)=", page)) == set(SECRET)


def test_probes_are_answered_and_a_log_that_is_away_takes_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = named("ConfigMap", "persona-img")["data"]
    hosts = settings_of(data, monkeypatch, tmp_path).serve.hosts
    (container,) = named("Deployment", "persona-img")["spec"]["template"]["spec"]["containers"]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in PROBES}
    with closing(SqliteEventLog(tmp_path / "log.sqlite")) as log:
        app = create_app(
            a_decider(log), a_catalog(), stored_variant, signer=SIGNER, probe_seconds=0,
            rules=GateRules(hosts=hosts),
        )  # fmt: skip

        def answers() -> dict[str, int]:
            return {kind: ask(client, probe) for kind, probe in probes.items()}

        with TestClient(app) as client:
            assert answers() == dict.fromkeys(PROBES, 200)
            (tmp_path / "log.sqlite").rename(tmp_path / "elsewhere.sqlite")
            assert answers() == {"startup": 503, "readiness": 200, "liveness": 200}


PROBES = ("startup", "readiness", "liveness")


def ask(client: TestClient, probe: dict[str, Any]) -> int:
    headers = {one["name"]: one["value"] for one in probe["httpHeaders"]}
    assert probe["port"] == "http"
    return client.get(probe["path"], headers=headers).status_code
