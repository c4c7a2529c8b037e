"""The HTTP service: which picture a shopper sees, the pictures, and what happened to them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from persona_img.domain.catalog import Catalog, product_id
from persona_img.errors import InvalidInput, NotFound, PersonaImgError, StoreConflict, StoreFailed
from persona_img.serving.metrics import ServingMetrics
from persona_img.serving.pictures import add_pictures, photo_address
from persona_img.serving.wire import (
    EVENTS_SCHEMA,
    MAX_BODY,
    Counted,
    Problem,
    Shown,
    bearer,
    check_name,
    parse_events,
    read_body,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from persona_img.domain.catalog import Product
    from persona_img.domain.decision import Decision
    from persona_img.serving.decide import Decider
    from persona_img.serving.known import Known

_STATUS: dict[type[PersonaImgError], int] = {
    InvalidInput: 422,
    NotFound: 404,
    StoreConflict: 409,
    StoreFailed: 503,
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem}, "5XX": {"model": Problem}}


def create_app(
    decider: Decider,
    catalog: Catalog | Callable[[], Catalog],
    variants: Callable[[str], Path | bytes],
    *,
    known: Known | None = None,
    tokens: Collection[str] = (),
    max_body: int = MAX_BODY,
) -> FastAPI:
    """The service around a decider; whoever made the decider's log closes it.

    Args:
        decider: Decides and logs; its table may be replaced while the service runs.
        catalog: Products whose pictures may be asked for, with their photographs; or what tells
            them at every request. A retired product is still answered, by its original photo.
        variants: The file or the bytes of the variant with this digest; raises
            :class:`NotFound` for one that may not be shown.
        known: What the decider asks of shoppers; what comes of it is counted.
        tokens: Any of them lets a client ask for decisions, send events and read metrics.
            Without tokens everybody may, and :func:`~persona_img.serving.run.serve` stays on
            loopback. Pictures need none: a page shows them.
        max_body: Bytes that one request may send.

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
    products = (lambda: catalog) if isinstance(catalog, Catalog) else catalog
    _answer_errors(app, metrics)
    _add_decisions(app, decider, products, metrics, guard)
    _add_events(app, decider, metrics, guard, max_body)
    add_pictures(app, products, variants)
    _add_operations(app, decider, metrics, guard)
    return app


def _add_decisions(
    app: FastAPI,
    decider: Decider,
    catalog: Callable[[], Catalog],
    metrics: ServingMetrics,
    guard: list[Any],
) -> None:
    async def variant(shopper: str, product: str) -> Response:
        """The picture that this shopper sees for this product; logged before it is answered."""
        check_name("shopper", shopper)
        known = catalog()[product_id(product)]
        start = time.perf_counter()
        # What was decided before needs no write: a thread would cost more than the answer.
        decision = decider.settled(shopper, known.product, time.time())
        made = "kept"
        if decision is None:
            made = "new"
            decision = await run_in_threadpool(decider.decide, shopper, known.product, time.time())
        metrics.seconds.observe(time.perf_counter() - start)
        metrics.decisions.labels(decision.arm, made).inc()
        return JSONResponse(_shown(decision, known), headers={"Cache-Control": "no-store"})

    app.get("/v1/variant", response_model=Shown, dependencies=guard)(variant)


def _shown(decision: Decision, product: Product) -> dict[str, Any]:
    digest = decision.digest
    image = f"/v1/variants/{digest}" if digest else photo_address(product)
    return {
        "decision_id": decision.decision_id,
        "test": decision.test,
        "arm": decision.arm,
        "segment": decision.segment,
        "style": decision.style_key,
        "digest": digest,
        "propensity": decision.propensity,
        "policy_version": decision.policy_version,
        "image_url": image,
    }


def _add_events(
    app: FastAPI, decider: Decider, metrics: ServingMetrics, guard: list[Any], max_body: int
) -> None:
    async def events(request: Request) -> Response:
        """Store events, and say of each what became of it.

        What is accepted or duplicate is on the disk, and sending it again is harmless. What is
        rejected is not stored and holds up no other event. No answer, or an error, means that
        nothing was acknowledged: send the whole batch again.
        """
        batch = parse_events(await read_body(request, max_body))
        sound = list(batch.events.values())
        answer = batch.answer(await run_in_threadpool(decider.log.record_events, sound))
        metrics.events.labels("new").inc(answer["accepted"])
        metrics.events.labels("duplicate").inc(answer["duplicates"])
        metrics.events.labels("rejected").inc(answer["rejected"])
        return JSONResponse(answer)

    body = {"required": True, "content": {"application/json": {"schema": EVENTS_SCHEMA}}}
    app.post(
        "/v1/events",
        response_model=Counted,
        dependencies=guard,
        openapi_extra={"requestBody": body},
    )(events)


def _add_operations(
    app: FastAPI, decider: Decider, metrics: ServingMetrics, guard: list[Any]
) -> None:
    async def healthz() -> dict[str, str]:
        """Whether decisions can be made, and by which table."""
        decider.settled("healthz", "healthz", time.time())  # the log can be read
        return {
            "status": "ok",
            "test": decider.arms.test,
            "policy_version": decider.table.policy_version,
        }

    async def exposition() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    # Watchers ask by HEAD. /v1/variant does not answer one: it would log a decision nobody saw.
    for add in (app.get, partial(app.head, include_in_schema=False)):
        add("/healthz")(healthz)
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
