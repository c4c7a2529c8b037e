from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FIRST_USE = """
import sys
from pathlib import Path

sys.addaudithook(
    lambda event, args: print("CONNECT", args[1]) if event == "socket.connect" else None
)
from persona_img.tracking import MlflowTracker

print("imported early", "mlflow" in sys.modules)
root = Path(sys.argv[1])
print("champion", MlflowTracker(f"sqlite:///{root}/mlflow.db", root / "artifacts").champion())

from mlflow.telemetry import get_telemetry_client

print("telemetry", get_telemetry_client())
"""
# MLflow sends no usage reports under these, so they would hide that we turn them off.
HIDING = ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")


@dataclass(frozen=True)
class FirstUse:
    """What a process did that used MLflow for the first time, in an empty folder and home."""

    database: Path
    output: str
    errors: str
    elsewhere: list[Path]


@pytest.fixture(scope="session")
def first_use(tmp_path_factory: pytest.TempPathFactory) -> FirstUse:
    base = tmp_path_factory.mktemp("first-use")
    for name in ("here", "home", "store"):
        (base / name).mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in HIDING}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USE, str(base / "store")],
        cwd=base / "here",
        env=environment | {"HOME": str(base / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    elsewhere = [*(base / "here").rglob("*"), *(base / "home").rglob("*")]
    return FirstUse(base / "store" / "mlflow.db", done.stdout, done.stderr, elsewhere)
