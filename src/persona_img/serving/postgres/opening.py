"""Connections to the log's database, and its errors in the log's words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from persona_img.errors import InvalidInput, StoreFailed
from persona_img.serving.base import HINDRANCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

_CONNECT_SECONDS = 2
_IDLE_MS = 5000  # a host that vanished says nothing; what was sent to it is given up after this

_REASONS = {
    "53100": "full",
    "53300": "unreachable",  # it has as many connections as it allows
    "25006": "read-only",
    "57014": "late",
    "55P03": "locked",
    "58030": "disk",
    "XX001": "corrupt",
    "XX002": "corrupt",
}
"""By PostgreSQL's own codes."""


def engine(url: str, *, connections: int = 4, seconds: float | None = None) -> Engine:
    """A pool of connections; none is made yet, and one that has died is made again.

    Args:
        url: As in ``postgresql://shop:secret@db.internal/persona``.
        connections: At most so many at once.
        seconds: After which a statement is given up; None waits for long.

    Raises:
        InvalidInput: no address of a PostgreSQL database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput(
            "stores.events_url: no address; write postgresql://USER@HOST/NAME"
        ) from None
    arguments: dict[str, object] = {
        "connect_timeout": _CONNECT_SECONDS,
        "tcp_user_timeout": _IDLE_MS,
        "application_name": "persona-img",
    }
    # Beside what the address asks of the server, not in place of it.
    options = str(parsed.query.get("options", ""))
    if seconds is not None:
        options = f"{options} -c statement_timeout={int(seconds * 1000)}".strip()
    if options:
        arguments["options"] = options
    return create_engine(
        parsed.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
        connect_args=arguments,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=seconds or 30,
        pool_pre_ping=True,
        hide_parameters=True,  # shoppers' names are no matter of logs and traces
    )


def place(engine: Engine) -> str:
    """What errors call the database: its address without the password."""
    return engine.url.render_as_string(hide_password=True).replace("+psycopg", "", 1)


@contextmanager
def failures(engine: Engine) -> Iterator[None]:
    """Raise :class:`StoreFailed` for errors of the database."""
    try:
        yield
    except SQLAlchemyError as error:
        reason = _reason(error)
        raise StoreFailed(f"{place(engine)}: {HINDRANCES[reason]}", reason) from error


def _reason(error: SQLAlchemyError) -> str:
    if isinstance(error, PoolTimeout):
        return "late"
    if not isinstance(error, DBAPIError):
        return "failed"
    code = getattr(error.orig, "sqlstate", None)
    if code in _REASONS:
        return _REASONS[code]
    # Codes of class 57 tell of a shutdown; where there is none, nobody answered.
    gone = code is None or str(code).startswith(("08", "57"))
    return "unreachable" if gone else "failed"
