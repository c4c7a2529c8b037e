"""A real Valkey, or Redis, on a free port of this machine, with nothing on disk."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PROGRAMS = ("valkey-server", "redis-server")
DATABASES = 4096


def program() -> str:
    """The server; installed where it is missing, else the test is skipped and says why."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for package in _PROGRAMS:  # so named; Debian 12 has no Valkey
            command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
            subprocess.run(command, check=False, capture_output=True, timeout=300)
            if found := _found():
                break
    if found is None:
        pytest.skip("no Valkey here, and none could be installed: apt-get install redis-server")
    return found


def _found() -> str | None:
    return next((path for name in _PROGRAMS if (path := shutil.which(name))), None)


class ValkeyServer:
    """A server that can go away, hang and come back, on one port, empty whenever it starts."""

    def __init__(self, folder: Path) -> None:
        self._program, self._folder = program(), folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self._folder,
            "save": "",
            "databases": DATABASES,
        }
        arguments = [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
        command = [self._program, *arguments]
        self._process = subprocess.Popen(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def hang(self) -> None:
        """It takes connections, and answers nothing until :meth:`go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Without a warning."""
        self.stop()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(30)


@contextmanager
def running() -> Iterator[ValkeyServer]:
    with tempfile.TemporaryDirectory(prefix="persona-valkey-") as folder:
        server = ValkeyServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()
