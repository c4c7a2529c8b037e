"""Runs the service: in the foreground, or beside a demo or a test."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from persona_img.errors import InvalidInput, PersonaImgError

if TYPE_CHECKING:
    from types import TracebackType

    from fastapi import FastAPI

_START_SECONDS = 30.0
_STOP_SECONDS = 5


def serve(app: FastAPI, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until interrupted.

    Args:
        app: Made by :func:`~persona_img.serving.app.create_app`.
        host: Address to listen on; one that others can reach asks for an app with tokens.
        port: TCP port.

    Raises:
        InvalidInput: others could reach an app without tokens.
    """
    if not (_is_loopback(host) or getattr(app.state, "guarded", False)):
        raise InvalidInput(
            f"host {host!r} can be reached from outside and the app has no tokens; "
            "give it tokens, or listen on 127.0.0.1"
        )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes it on once it has stopped
        uvicorn.Server(_config(app, host=host, port=port, log_level="info")).run()


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
        httpx.get(f"{self.url}/healthz", timeout=_START_SECONDS, trust_env=False).raise_for_status()

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        if self._socket is not None:
            self._socket.close()


def _config(app: FastAPI, **settings: Any) -> uvicorn.Config:
    # No access log: its lines would hold shoppers' names.
    return uvicorn.Config(
        app, access_log=False, timeout_graceful_shutdown=_STOP_SECONDS, **settings
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
