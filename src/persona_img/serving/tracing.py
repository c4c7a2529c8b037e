"""What a request took, in spans: their port, and nothing where nobody collects them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_P = ParamSpec("_P")
_T = TypeVar("_T")
Told = str | int | bool


class Span(Protocol):
    """A piece of work under way."""

    def tell(self, **attributes: Told) -> None:
        """Say something of it; never a shopper's name."""


class Spans(Protocol):
    """Begins spans; each lies in the one under way where it was begun."""

    on: bool
    """Whether anybody collects them."""

    def span(self, name: str, **attributes: Told) -> AbstractContextManager[Span]:
        """A span for the time of a ``with`` block.

        An error in it is told by its kind, and passed on: what it says may name shoppers.
        """

    def request(
        self, method: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> AbstractContextManager[Span]:
        """The span of a request, in the one that its ``traceparent`` names."""

    def carried(self, work: Callable[_P, _T]) -> Callable[_P, _T]:
        """The same work, which on any thread lies in the span that is under way here and now."""

    def close(self) -> None:
        """Send what waits, for a second at most."""


class _Nothing:
    on = False

    def tell(self, **attributes: Told) -> None:
        pass

    def span(self, name: str, **attributes: Told) -> AbstractContextManager[Span]:
        return _NOTHING

    def request(
        self, method: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> AbstractContextManager[Span]:
        return _NOTHING

    def carried(self, work: Callable[_P, _T]) -> Callable[_P, _T]:
        return work

    def close(self) -> None:
        pass


NO_SPANS: Spans = _Nothing()
"""Nobody collects them."""

_NOTHING: AbstractContextManager[Span] = nullcontext(_Nothing())


class Traced:
    """A span around each request to an app.

    Of the address only the path is told: behind it shoppers are named.

    Args:
        app: Answers.
        spans: Where to.
    """

    def __init__(self, app: ASGIApp, spans: Spans) -> None:
        self._app, self._spans = app, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._spans.request(scope["method"], scope["headers"]) as span:

            async def tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.tell(status=message["status"], **_named(message["headers"]))
                await send(message)

            span.tell(path=scope["path"])
            try:
                await self._app(scope, receive, tell)
            finally:
                # Routes of the framework say which of them it was; what is answered before it is
                # a route by its path.
                route = getattr(scope.get("route"), "path", None)
                if route is not None or scope["path"] in _ROUTES:
                    span.tell(route=route or scope["path"])


_ROUTES = ("/v1/variant", "/v1/decisions", "/v1/events")


def _named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    for name, value in headers:
        if name == b"x-request-id":
            return {"request_id": value.decode("latin-1")}
    return {}
