"""Runs the service: in the foreground, in a process of its own, or beside a test."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from persona_img.errors import InvalidInput, PersonaImgError, ServiceFailed
from persona_img.serving.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from fastapi import FastAPI

_FILES = 65_536
_START_SECONDS = 30.0
_STOP_SECONDS = 4


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections.

    Raises:
        InvalidInput: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InvalidInput(
            f"{host}:{port}: cannot listen there ({error.strerror}); name another port, or 0"
        ) from error


def address_of(listening: socket.socket) -> str:
    """URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: FastAPI,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    on_listening: Callable[[str], None] = lambda _: None,
    listening: socket.socket | None = None,
    proxies: Collection[str] = ("127.0.0.1",),
) -> None:
    """Serve until interrupted or terminated; what is under way then has four seconds to end.

    Args:
        app: Made by :func:`~persona_img.serving.app.create_app`.
        host: Address to listen on; one that others can reach asks for an app with keys.
        port: TCP port; 0 takes a free one.
        on_listening: Told the URL once connections are taken.
        listening: Of :func:`listen` at that address, where several processes share it.
        proxies: Addresses, or networks, that are believed when they say for whom they ask
            (X-Forwarded-For).

    Raises:
        InvalidInput: others could reach an app without keys, or the port is taken.
    """
    if not (is_loopback(host) or getattr(app.state, "guarded", False)):
        raise InvalidInput(
            f"host {host!r} can be reached from outside and the app has no keys; "
            "add keys (`persona-img keys add`) or tokens, or listen on 127.0.0.1"
        )
    _allow_files()
    # Signals are passed on once uvicorn has stopped.
    with (
        listening or listen(host, port) as ours,
        _terminating(),
        contextlib.suppress(KeyboardInterrupt),
    ):
        on_listening(address_of(ours))
        config = _config(app, log_level="warning", forwarded_allow_ips=list(proxies))
        uvicorn.Server(config).run(sockets=[ours])


class ServiceProcess:
    """A service in a process of its own while the ``with`` block runs.

    Args:
        command: Starts it; the first URL in its output is where it listens.
        log: File that its messages go to.

    Attributes:
        url: Where it listens, without a slash at the end.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.url = ""
        self._command, self._log = list(command), log
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> ServiceProcess:
        with self._log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            self._wait(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=3 * _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def _wait(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://[^/\s]+", line):
                self.url = found.group()
                break
        else:
            process.wait()
            said = self._log.read_text(encoding="utf-8").strip()
            raise ServiceFailed(f"the service did not start: {said[-800:] or 'it said nothing'}")
        _greet(self.url)


class BackgroundServer:
    """Serves an app on a free loopback port while the ``with`` block runs.

    Example::

        with BackgroundServer(app) as server:
            httpx.get(f"{server.url}/healthz")

    Attributes:
        url: Where it listens, without a slash at the end.
    """

    def __init__(self, app: FastAPI) -> None:
        self.url = ""
        self._server = uvicorn.Server(_config(app, log_level="warning"))
        self._thread = threading.Thread(target=self._run, name="persona-img-server", daemon=True)
        self._socket: socket.socket | None = None

    def __enter__(self) -> BackgroundServer:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread.start()
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _run(self) -> None:
        with contextlib.suppress(SystemExit):  # uvicorn's word for "did not start", told by _wait
            self._server.run(sockets=[self._socket] if self._socket else None)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise PersonaImgError(f"{self.url}: the server did not start; see its log above")
            time.sleep(0.005)
        _greet(self.url)

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        if self._socket is not None:
            self._socket.close()


def _greet(url: str) -> None:
    """Wait for a first answer."""
    import httpx  # who serves asks nobody, and starts sooner without it

    httpx.get(f"{url}/healthz", timeout=_START_SECONDS, trust_env=False).raise_for_status()


def _config(app: FastAPI, **settings: Any) -> uvicorn.Config:
    # No access log: its lines would hold shoppers' names.
    # An app that is not ours has the usual limits.
    connections = getattr(app.state, "connections", None)
    if connections is None:
        connections = Connections()
    return uvicorn.Config(
        app,
        loop="uvloop",
        access_log=False,
        http=connections.protocol(),
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        **settings,
    )


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """SIGTERM ends a block as Ctrl-C does, so that what is open is closed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _allow_files() -> None:
    """As many open files as this user may have: a connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _FILES), hard))


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
