"""The HTTP service: which picture a shopper sees, the pictures, and what happened to them."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from persona_img.domain.catalog import Catalog, product_id
from persona_img.errors import InvalidInput, NotFound, PersonaImgError, StoreConflict, StoreFailed
from persona_img.serving.answers import Answers, picture_of
from persona_img.serving.base import HINDRANCES
from persona_img.serving.deciding import Deciding
from persona_img.serving.fallback import Fallback, LastCatalog, reason_of
from persona_img.serving.metrics import ServingMetrics
from persona_img.serving.pictures import add_pictures
from persona_img.serving.receive import Receiver
from persona_img.serving.wire import (
    EVENTS_SCHEMA,
    MAX_BODY,
    Counted,
    Problem,
    Ready,
    Shown,
    bearer,
    check_name,
    parse_events,
    read_body,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from persona_img.domain.decision import Decision
    from persona_img.serving.decide import Decider
    from persona_img.serving.known import Known
    from persona_img.serving.token import Signer

_T = TypeVar("_T")
_STATUS: dict[type[PersonaImgError], int] = {
    InvalidInput: 422,
    NotFound: 404,
    StoreConflict: 409,
    StoreFailed: 503,
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem}, "5XX": {"model": Problem}}
_THREADS = 40  # each for decisions and for events: what waits for a commit shares it
_EVENT_SECONDS = 12.0  # the log itself gives up before
_LOG = logging.getLogger(__name__)


def create_app(
    decider: Decider,
    catalog: Catalog | Callable[[], Catalog],
    variants: Callable[[str], Path | bytes],
    *,
    signer: Signer,
    known: Known | None = None,
    tokens: Collection[str] = (),
    max_body: int = MAX_BODY,
    decision_seconds: float = 0.25,
    photo_url: str | None = None,
    trusting: Callable[[], bool] = lambda: False,
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
        tokens: Any of them lets a client ask for decisions, send events and read metrics.
            Without tokens everybody may, and :func:`~persona_img.serving.run.serve` stays on
            loopback. Pictures need none: a page shows them.
        max_body: Bytes that one request may send.
        decision_seconds: For how long a decision is waited for.
        photo_url: Address of the photo of a product that the catalogue does not know, with
            ``{product}`` for its identifier; None where that is an error.
        trusting: Whether clocks of events' senders are believed whatever they say.

    Raises:
        InvalidInput: a token under 16 characters.
    """
    app = FastAPI(
        title="persona-img",
        summary="Which product picture a shopper sees, and what came of it.",
        responses=_PROBLEMS,
        redirect_slashes=False,
    )
    app.state.guarded = bool(tokens)
    guard = [Depends(bearer(tokens))] if tokens else []
    metrics = ServingMetrics()
    if known is not None:
        known.on_outcome = lambda outcome: metrics.profiles.labels(outcome).inc()
    products = LastCatalog((lambda: catalog) if isinstance(catalog, Catalog) else catalog)
    # Decisions, events and pictures each have threads of their own (pictures the framework's):
    # what a slow disk or a held lock stops of one of them stops no other.
    deciding = Deciding(decider, decision_seconds)
    probing = _Threads("probe", decision_seconds, threads=2)
    receiver = Receiver(decider.log, signer, decider.arms.test, trusting=trusting)
    _answer_errors(app, metrics)
    _add_decisions(app, decider, products, deciding, signer, metrics, guard, photo_url)
    _add_events(app, receiver, metrics, guard, max_body)
    add_pictures(app, products, variants)
    _add_operations(app, decider, probing, metrics, guard)
    return app


class _Threads:
    """Threads for one kind of work, and for how many ``seconds`` it is waited for."""

    def __init__(self, name: str, seconds: float, threads: int = _THREADS) -> None:
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


def _add_decisions(
    app: FastAPI,
    decider: Decider,
    catalog: Callable[[], Catalog],
    deciding: Deciding,
    signer: Signer,
    metrics: ServingMetrics,
    guard: list[Any],
    photo_url: str | None,
) -> None:
    fallback = Fallback(lambda reason: metrics.photos.labels(reason).inc())
    answers = Answers(decider.arms.test, signer)

    async def variant(shopper: str, product: str) -> Response:
        """The picture that this shopper sees for this product, and the token that proves it.

        Where none can be decided, the original photo, which is not counted.
        """
        check_name("shopper", shopper)
        name, products = product_id(product), catalog()
        if photo_url is not None and name not in products:
            fallback.note_unknown()
            address = photo_url.replace("{product}", quote(name, safe=""))
            return _answer(answers.photo({"image_url": address}))
        known, now = products[name], time.time()
        try:
            decision = await decided(shopper, known.product, now)
            picture = picture_of(known, decision.digest)
            return _answer(answers.shown(decision, picture, now))
        except Exception as error:
            # Whatever it is: a shopper is to see the product.
            fallback.note(error)
            return _answer(answers.photo(picture_of(known, None)))

    async def decided(shopper: str, product: str, now: float) -> Decision:
        start = time.perf_counter()
        (decision,) = await deciding.page(shopper, (product,), now)
        metrics.seconds.observe(time.perf_counter() - start)
        made = "new" if decision.decided_at == now else "kept"
        metrics.decisions.labels(decision.arm, made).inc()
        return decision

    app.get("/v1/variant", response_model=Shown, dependencies=guard)(variant)


def _answer(shown: dict[str, Any]) -> Response:
    return JSONResponse(shown, headers={"Cache-Control": "no-store"})


def _add_events(
    app: FastAPI, receiver: Receiver, metrics: ServingMetrics, guard: list[Any], max_body: int
) -> None:
    storing = _Threads("events", _EVENT_SECONDS)

    async def events(request: Request) -> Response:
        """Store events, and say of each what became of it.

        What is accepted or duplicate is on the disk, and sending it again is harmless. What is
        rejected is not stored and holds up no other event. A token counts once for each kind. No
        answer, or an error, means that nothing was acknowledged: send the whole batch again.
        """
        batch = parse_events(await read_body(request, max_body))
        try:
            answer = batch.answer(await storing.run(receiver.record, batch.events, time.time()))
        except TimeoutError as error:
            raise StoreFailed(HINDRANCES["late"], "late") from error
        metrics.received(answer)
        return JSONResponse(answer)

    body = {"required": True, "content": {"application/json": {"schema": EVENTS_SCHEMA}}}
    app.post(
        "/v1/events",
        response_model=Counted,
        dependencies=guard,
        openapi_extra={"requestBody": body},
    )(events)


def _add_operations(
    app: FastAPI,
    decider: Decider,
    probing: _Threads,
    metrics: ServingMetrics,
    guard: list[Any],
) -> None:
    # The log gives up before the whole does: then it is known what hinders it.
    probe = partial(decider.log.probe, seconds=probing.seconds / 2)

    def told(status: str) -> dict[str, str]:
        return {
            "status": status,
            "test": decider.arms.test,
            "policy_version": decider.table.policy_version,
        }

    async def healthz() -> dict[str, str]:
        """Whether the service is alive, and by which table it decides.

        It is while no store is: pictures are answered then too.
        """
        return told("ok")

    async def readyz() -> dict[str, str]:
        """Whether events can be stored and decisions made: writes to the log and reads it.

        If not, 503 says what hinders it. Pictures are answered meanwhile, or photos.
        """
        try:
            await probing.run(probe)
        except Exception as error:
            reason = reason_of(error)
            if reason == "error":
                _LOG.warning("whether the log works cannot be told: %s", error, exc_info=error)
            # Without where the log lies: this is told to everybody.
            detail = f"not ready: {HINDRANCES.get(reason, HINDRANCES['failed'])}"
            raise HTTPException(503, f"{detail}; pictures are shown meanwhile") from error
        return told("ready")

    async def exposition() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    # Watchers ask by HEAD.
    for add in (app.get, partial(app.head, include_in_schema=False)):
        add("/healthz")(healthz)
        add("/readyz", response_model=Ready)(readyz)
        add("/metrics", dependencies=guard, response_class=Response)(exposition)


def _answer_errors(app: FastAPI, metrics: ServingMetrics) -> None:
    def answer(status: int, detail: str, headers: Any = None) -> Response:
        metrics.errors.labels(str(status)).inc()
        return JSONResponse({"detail": detail}, status_code=status, headers=headers)

    async def own(_: Request, error: Exception) -> Response:
        status = next(s for kind, s in _STATUS.items() if isinstance(error, kind))
        return answer(status, str(error))

    async def malformed(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = ", ".join(str(e["loc"][-1]) for e in error.errors())
        return answer(422, f"{fields}: missing; see /docs for what to send")

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer(error.status_code, error.detail, error.headers)

    for kind in _STATUS:
        app.add_exception_handler(kind, own)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, http)
