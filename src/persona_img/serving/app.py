"""The HTTP service: which picture a shopper sees, the pictures, and what happened to them."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from persona_img.domain.catalog import MAX_ID, Catalog
from persona_img.errors import InvalidInput, NotFound, PersonaImgError, StoreConflict, StoreFailed
from persona_img.serving import consent
from persona_img.serving.addresses import Addresses
from persona_img.serving.approvals import add_approvals
from persona_img.serving.base import HINDRANCES
from persona_img.serving.connections import ConnectionLimits, Connections
from persona_img.serving.deciding import Deciding
from persona_img.serving.decisions import Decisions
from persona_img.serving.demo_shop import add_demo_shop
from persona_img.serving.docs_page import add_docs
from persona_img.serving.fallback import LastCatalog, reason_of
from persona_img.serving.gate import FromElsewhere, Gate, GateRules
from persona_img.serving.hot import Answer, Handler, Hot, answer, read_body
from persona_img.serving.keys import Keys
from persona_img.serving.links import add_links
from persona_img.serving.metrics import ServingMetrics
from persona_img.serving.ofrep import add_ofrep
from persona_img.serving.pictures import add_pictures
from persona_img.serving.receive import Receiver
from persona_img.serving.recent import Recent
from persona_img.serving.snippet import add_snippet
from persona_img.serving.stand_ins import StandIns
from persona_img.serving.storing import Storing
from persona_img.serving.tracing import NO_SPANS, Traced
from persona_img.serving.wire import (
    EVENTS_SCHEMA,
    MAX_BODY,
    NAME,
    Counted,
    Page,
    PageIn,
    Problem,
    Ready,
    Shown,
    parse_events,
)
from persona_img.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from starlette.types import Receive, Scope

    from persona_img.serving.addresses import RenditionSource
    from persona_img.serving.approvals import Approvals
    from persona_img.serving.decide import Decider
    from persona_img.serving.known import Known
    from persona_img.serving.preview import Previews
    from persona_img.serving.token import Signer
    from persona_img.serving.tracing import Spans

_T = TypeVar("_T")
_STATUS: dict[type[PersonaImgError], int] = {
    InvalidInput: 422,
    NotFound: 404,
    StoreConflict: 409,
    StoreFailed: 503,
}
_AGAIN = {"Retry-After": "1"}  # seconds; a store that is back is used at once
_EVENTS = "events"
_PROBLEMS: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem}, "5XX": {"model": Problem}}
Shopper = Annotated[
    str, Query(pattern=NAME, max_length=128, description="Your name for them, a pseudonym.")
]
Consent = Annotated[
    bool, Query(description="False of a shopper who said no: the photo, and nothing is kept.")
]
Asked = Annotated[
    str,
    Query(
        max_length=2048, description="Of `persona-img variants preview`: one variant, not counted."
    ),
]
ProductName = Annotated[
    str, Query(min_length=1, max_length=MAX_ID, description="The shop's own identifier.")
]
_EVENT_SECONDS = 12.0  # the log itself gives up before
_LOG = logging.getLogger(__name__)


def create_app(
    decider: Decider,
    catalog: Catalog | Callable[[], Catalog],
    variants: Callable[[str], Path | bytes],
    *,
    signer: Signer,
    known: Known | None = None,
    halted: Callable[[str, str], bool] = lambda _test, _product: False,
    previews: Previews | None = None,
    tokens: Collection[str] = (),
    keys: Keys | None = None,
    rules: GateRules | None = None,
    origins: Collection[str] = (),
    limits: ConnectionLimits | None = None,
    approvals: Approvals | None = None,
    max_body: int = MAX_BODY,
    decision_seconds: float = 0.25,
    probe_seconds: float = 1.0,
    photo_url: str | None = None,
    trusting: Callable[[], bool] = lambda: False,
    renditions: RenditionSource | None = None,
    cdn_url: str = "",
    demo_shop: bool = False,
    spans: Spans = NO_SPANS,
    holdout: str | None = None,
    hindered: Callable[[], Iterable[str]] = tuple,
) -> FastAPI:
    """The service around a decider; whoever made the decider's log closes it.

    A known product is always answered: where nothing can be decided, whatever the reason, by its
    photo, which is not counted. Decisions write nothing; events do.

    Args:
        decider: Decides; its table may be replaced while the service runs.
        catalog: Products whose pictures may be asked for, with their photographs; or what tells
            them at every request. A retired product is still answered, by its original photo.
        variants: The file or the bytes of the variant with this digest; raises
            :class:`NotFound` for one that may not be shown.
        signer: Signs what is answered, and proves what is sent back.
        known: What the decider asks of shoppers; what comes of it is counted.
        halted: Whether a product of a test is to be answered by its photo now; asked every time.
        previews: Proves that whoever asks to see one variant may; None where nobody may.
        tokens: Any of them lets a client do everything that needs a key.
        keys: Keys with roles, which may change while the service runs; None for the tokens alone.
            Without any key everybody is let in, and :func:`~persona_img.serving.run.serve` stays
            on loopback. Pictures need none: a page shows them.
        rules: By which host it may be called, how often, and what is noted; None for no rules.
        origins: Of pages elsewhere that may ask, e.g. ``https://shop.example``. Pictures are for
            every page.
        limits: Of connections, heeded where :func:`~persona_img.serving.run.serve` serves it.
        approvals: What withdraws and restores pictures; None where that is not done over HTTP.
        max_body: Bytes that one request may send.
        decision_seconds: For how long a decision is waited for.
        probe_seconds: For how long what ``/readyz`` found is told again.
        photo_url: Address of the photo of a product that the catalogue does not know, with
            ``{product}`` for its identifier; None where that is an error.
        trusting: Whether clocks of events' senders are believed whatever they say.
        renditions: What pages load of variants and photos, in several widths and formats; None
            where pictures are shown as they are.
        cdn_url: Put before the pictures' paths in every answer, e.g. ``https://cdn.shop``.
        demo_shop: Whether there is a sample shop, whose visitors are shoppers of the table.
        holdout: Name of a holdout whose events are taken although the decider holds out nobody.
        spans: Told how long requests, decisions, profiles and commits take; whoever made it closes
            it.
        hindered: What else than the log does not do what it should, each in words for everybody;
            ``/readyz`` tells it.

    Raises:
        InvalidInput: a token under 16 characters.
    """
    app = FastAPI(
        title="persona-img",
        version=__version__,
        summary="Which product picture a shopper sees, and what came of it.",
        responses=_PROBLEMS,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    consent.prepare()
    keys = keys or Keys(tokens=tokens)
    metrics = ServingMetrics(decider.holdout)
    app.state.guarded = keys.any
    app.state.connections = Connections(limits, lambda why: metrics.closed.labels(why).inc())
    if known is not None:
        known.on_outcome = lambda outcome: metrics.profiles.labels(outcome).inc()
        known.spans = spans
    products = LastCatalog((lambda: catalog) if isinstance(catalog, Catalog) else catalog)
    # Decisions, events, links and pictures each have threads of their own (pictures the
    # framework's): what a slow disk or a held lock stops of one of them stops no other.
    deciding = Deciding(decider, decision_seconds, spans)
    probing = _Threads("probe", decision_seconds, threads=2)
    holdout = decider.holdout.name if decider.holdout else holdout
    receiver = Receiver(decider.log, signer, decider.arms.test, holdout=holdout, trusting=trusting)
    _answer_errors(app, metrics)
    addresses = Addresses(renditions, variants, cdn_url, seconds=decision_seconds)
    stand_ins = StandIns(products, decider.product_of)
    decisions = Decisions(
        decider.arms.test,
        deciding,
        products,
        signer,
        addresses,
        metrics,
        photo_url,
        halted,
        previews,
        variants,
        stand_ins,
        spans,
    )
    _describe(app)
    add_ofrep(app, decisions, products)
    _add_hot(app, decisions, receiver, metrics, max_body, spans)
    add_pictures(app, products, variants, renditions, stand_ins)

    def hindrances() -> list[str]:
        return [*hindered(), *filter(None, [stand_ins.hindrance])]

    _add_operations(app, decider, probing, probe_seconds, metrics, hindrances, known)
    linking = _Threads("links", _EVENT_SECONDS, threads=4)
    tests = {decider.arms.test, *([decider.holdout.name] if decider.holdout else [])}
    add_links(app, partial(decider.log.link, tests=tests), metrics, linking.run)
    add_snippet(app)
    if demo_shop:
        add_demo_shop(app, products, decider, metrics.kept_by_kind, cdn_url)
    if approvals is not None:
        add_approvals(app, approvals)
    add_docs(app)
    # The last one added stands first.

    def refused(status: int) -> None:
        metrics.errors.labels(str(status)).inc()

    app.add_middleware(Gate, keys=keys, rules=rules, on_refused=refused)
    if origins:
        app.add_middleware(FromElsewhere, origins=origins)
    if spans.on:
        app.add_middleware(Traced, spans=spans)
    return app


class _Threads:
    """Threads for one kind of work, and for how many ``seconds`` it is waited for."""

    def __init__(self, name: str, seconds: float, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"persona-img-{name}")
        self.seconds = seconds

    async def run(self, work: Callable[..., _T], *given: Any) -> _T:
        """What ``work`` returns.

        What waits for a thread when its time is over is not begun any more; what is under way
        keeps its thread, so work that hangs costs these threads and no more.

        Raises:
            TimeoutError: it took too long.
        """
        done = asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *given))
        return await asyncio.wait_for(done, self.seconds)


def _add_hot(
    app: FastAPI,
    decisions: Decisions,
    receiver: Receiver,
    metrics: ServingMetrics,
    max_body: int,
    spans: Spans,
) -> None:
    """Decisions and events: answered before the framework, which describes them."""

    def store(body: bytes) -> Answer:
        batch = parse_events(body)
        with spans.span("commit", events=len(batch.events)):
            outcome = batch.answer(receiver.record(batch.events, time.time()))
        metrics.received(outcome, {place: one.kind for place, one in batch.events.items()})
        return answer(outcome)

    async def take(_: Scope, receive: Receive) -> Answer:
        return await storing.answer(await read_body(receive, max_body))

    storing = Storing(store, _EVENT_SECONDS, spans=spans)

    routes: dict[tuple[str, str], Handler] = {
        ("GET", "/v1/variant"): decisions.one,
        ("POST", "/v1/decisions"): decisions.page,
        ("POST", "/v1/events"): take,
    }

    def problem(error: Exception) -> Answer:
        status, detail, headers = told(error)
        metrics.errors.labels(str(status)).inc()
        pairs = tuple((k.lower().encode(), v.encode()) for k, v in (headers or {}).items())
        return answer({"detail": detail}, status, pairs)

    app.add_middleware(Hot, routes=routes, problem=problem)


def _describe(app: FastAPI) -> None:
    """What the hot routes are, for ``/docs``; they are answered before anything gets here."""

    async def variant(
        shopper: Shopper, product: ProductName, consent: Consent = True, preview: Asked = ""
    ) -> None:
        """The picture that this shopper sees for this product, and the token that proves it.

        Where none can be decided, the original photo, which is not counted.
        """

    async def page(page: PageIn) -> None:
        """The pictures that a shopper sees for all products of a page, after one look.

        Each is what `/v1/variant` answers for its product alone.
        """

    async def events() -> None:
        """Store events, and say of each what became of it.

        What is accepted or duplicate is on the disk, and sending it again is harmless. What is
        rejected is not stored and holds up no other event. A token counts once for each kind. No
        answer, or an error, means that nothing was acknowledged: send the whole batch again.
        """

    body = {"required": True, "content": {"application/json": {"schema": EVENTS_SCHEMA}}}
    app.get(
        "/v1/variant",
        response_model=Shown,
        responses={200: {"links": _links("$response.body#/token")}},
    )(variant)
    app.post(
        "/v1/decisions",
        response_model=Page,
        responses={200: {"links": _links("$response.body#/decisions/0/token")}},
    )(page)
    app.post(
        "/v1/events",
        response_model=Counted,
        openapi_extra={"requestBody": body},
        operation_id=_EVENTS,
    )(events)


def _links(token: str) -> dict[str, Any]:
    """What is told of a picture that was shown, with the token of its answer."""
    return {
        kind: {
            "operationId": _EVENTS,
            "requestBody": {"events": [{"kind": kind, "token": token}]},
            "description": f"The picture's {kind}.",
        }
        for kind in ("impression", "click")
    }


def _add_operations(
    app: FastAPI,
    decider: Decider,
    probing: _Threads,
    probe_seconds: float,
    metrics: ServingMetrics,
    hindered: Callable[[], Iterable[str]],
    known: Known | None,
) -> None:
    # The log gives up before the whole does: then it is known what hinders it.
    probe = partial(decider.log.probe, seconds=probing.seconds / 2)
    ready = Recent(lambda: probing.run(probe), probe_seconds)

    def state(status: str) -> dict[str, str]:
        return {
            "status": status,
            "test": decider.arms.test,
            "policy_version": decider.table.policy_version,
        }

    async def healthz() -> dict[str, str]:
        """Whether the service is alive, and by which table it decides.

        It is while no store is: pictures are answered then too.
        """
        return state("ok")

    async def readyz() -> dict[str, str]:
        """Whether events can be stored and decisions made: writes to the log and reads it.

        If not, 503 says what hinders it; so it does of a table, a catalogue or approvals that
        cannot be read, and of what is used in their place. Pictures are shown meanwhile, or
        photos. A feature store that does not answer is told as a `hindrance` with 200: segments
        decide, and another service would do no better. Who asks within a second is told the same
        again: nobody makes the log be written to at will.
        """
        found: list[str] = []
        try:
            await ready.ask()
        except Exception as error:
            reason = reason_of(error)
            if reason == "error":
                _LOG.warning("whether the log works cannot be told: %s", error, exc_info=error)
            # Without where the log lies: this is told to everybody.
            found.append(HINDRANCES.get(reason, HINDRANCES["failed"]))
        found += hindered()
        if found:
            raise HTTPException(503, f"not ready: {'; '.join(found)}; pictures are shown meanwhile")
        hindrance = "" if known is None else known.hindrance
        return state("ready") | ({"hindrance": hindrance} if hindrance else {})

    async def exposition() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    # Watchers ask by HEAD.
    for add in (app.get, partial(app.head, include_in_schema=False)):
        add("/healthz")(healthz)
        add("/readyz", response_model=Ready, response_model_exclude_none=True)(readyz)
        add("/metrics", response_class=Response)(exposition)


def told(error: Exception) -> tuple[int, str, Mapping[str, str] | None]:
    """Status, text and headers of the answer to an error."""
    if isinstance(error, HTTPException):
        return error.status_code, error.detail, error.headers
    if isinstance(error, RequestValidationError):
        fields = ", ".join(str(e["loc"][-1]) for e in error.errors())
        return 422, f"{fields}: missing; see /docs for what to send", None
    status = next(s for kind, s in _STATUS.items() if isinstance(error, kind))
    return status, str(error), _AGAIN if isinstance(error, StoreFailed) else None


def _answer_errors(app: FastAPI, metrics: ServingMetrics) -> None:
    async def tell(_: Request, error: Exception) -> Response:
        status, detail, headers = told(error)
        metrics.errors.labels(str(status)).inc()
        return JSONResponse({"detail": detail}, status_code=status, headers=headers)

    for kind in (*_STATUS, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, tell)
