"""A real PostgreSQL on a free port of this machine, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

_ROOT = os.geteuid() == 0


def programs() -> Path:
    """Where PostgreSQL's programs lie; installed where they are missing, else tests are skipped."""
    found = _found()
    if found is None and _ROOT and shutil.which("apt-get"):
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "postgresql"]
        subprocess.run(command, check=False, capture_output=True, timeout=300)
        found = _found()
    if found is None:
        pytest.skip("no PostgreSQL here, and none could be installed: apt-get install postgresql")
    return found


def _found() -> Path | None:
    by_version = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    on_path = shutil.which("initdb")
    return by_version[-1] if by_version else Path(on_path).parent if on_path else None


class PostgresServer:
    """Started by making it; in a folder that :meth:`remove` takes away."""

    def __init__(self) -> None:
        self._bin = programs()
        self._stopped: list[int] = []
        self._folder = Path(tempfile.mkdtemp(prefix="persona-postgres-"))
        if _ROOT:  # as root it refuses to run
            shutil.chown(self._folder, "postgres", "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._run(
            "initdb", "-A", "trust", "-U", "shop", "-E", "UTF8", "--locale=C", "-N", self._data
        )
        self.start()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    @property
    def url(self) -> str:
        return f"postgresql://shop@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self._port} -k {self._folder}"
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-t", "120", "-D", self._data, "-l", log, "-o", options)

    def stop(self, how: str = "fast") -> None:
        """``fast`` ends connections and shuts down; ``immediate`` is a crash."""
        self._run("pg_ctl", "stop", "-w", "-D", self._data, "-m", how)

    def kill(self) -> None:
        """All its processes, without a warning."""
        for process in self._processes():
            os.kill(process, signal.SIGKILL)
        until = time.monotonic() + 30
        while any(Path(f"/proc/{one}").exists() for one in self._processes()):
            if time.monotonic() > until:
                raise TimeoutError("PostgreSQL does not die")
            time.sleep(0.02)

    def hang(self) -> None:
        """It takes connections, and answers nothing until :meth:`go_on`."""
        self._stopped = self._processes()
        for process in self._stopped:
            os.kill(process, signal.SIGSTOP)

    def go_on(self) -> None:
        for process in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    def _processes(self) -> list[int]:
        """The first one, and those that it began."""
        first = int((Path(self._data) / "postmaster.pid").read_text().split()[0])
        try:
            begun = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        except FileNotFoundError:
            return []
        return [first, *map(int, begun)]

    def remove(self) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        if _ROOT:
            command = ["runuser", "-u", "postgres", "--", *command]
        # Its output goes nowhere: the server inherits it, and a pipe would never end.
        subprocess.run(
            command,
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=180,
        )
