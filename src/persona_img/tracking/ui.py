"""The command that shows an MLflow database in a browser, on this machine only."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.tracking.place import SQLITE, address_of, follow

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class UiCommand:
    """A process to start.

    Attributes:
        arguments: Program and arguments.
        environment: Variables to add to those of the process.
        address: What to open in a browser once it runs.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    address: str


def ui_command(uri: str, artifacts: Path, port: int = 5000) -> UiCommand:
    """MLflow's server on 127.0.0.1; it has no password, so it is never bound elsewhere.

    Run it in the foreground and end it with Ctrl-C::

        command = ui_command("sqlite:///var/mlflow.db", Path("var/artifacts"))
        subprocess.run(command.arguments, env=os.environ | command.environment)

    Where the folder has an odd name, the command works while this process runs.

    Args:
        uri: Database of the :class:`~persona_img.tracking.mlflow.MlflowTracker`.
        artifacts: Its folder of files.
        port: From 1 to 65535.

    Raises:
        InvalidInput: a port out of range.
        StoreConflict: the database's files are not in the folder.
    """
    if not 1 <= port <= 65_535:
        raise InvalidInput(f"port {port}: choose from 1 to 65535")
    database = Path(uri.removeprefix(SQLITE)).resolve()
    if database.exists():
        follow(database, artifacts.resolve())
    place = artifacts.resolve().as_uri()
    options = {
        "--backend-store-uri": address_of(database),
        "--default-artifact-root": place,
        "--artifacts-destination": place,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
    }
    return UiCommand(
        arguments=(
            sys.executable, "-m", "mlflow", "server", *(w for o in options.items() for w in o)
        ),
        environment={
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            # Jobs evaluate language models, which we do not; their queue would be a file elsewhere.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        address=f"http://127.0.0.1:{port}",
    )  # fmt: skip
