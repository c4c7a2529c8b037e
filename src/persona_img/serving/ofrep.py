"""OpenFeature's remote evaluation (OFREP): any SDK of OpenFeature asks us without a client of ours.

A flag is a product, its variant the style, its value the picture's address; the targeting key is
the shopper. All else that an answer says, its token among it, is metadata. See
https://openfeature.dev/docs/reference/other-technologies/ofrep/openapi
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from fastapi import Request  # noqa: TC002 FastAPI reads the annotations
from fastapi.responses import Response
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from persona_img.domain.catalog import product_id
from persona_img.errors import InvalidInput
from persona_img.serving.consent import declined
from persona_img.serving.hot import read_body
from persona_img.serving.wire import NAME, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import FastAPI

    from persona_img.domain.catalog import Catalog, Product
    from persona_img.serving.decisions import Decisions

MOST_FLAGS = 1000
"""Products that one bulk evaluation answers."""

_BODY = 2**16
_SHOPPER = re.compile(NAME[1:-1])
_TOKENS = ("token", "expires_at")
_OTHER = ("style", "image_url")


class _Context(BaseModel):
    """What is evaluated for; attributes that we do not know say nothing."""

    targetingKey: str | None = None  # noqa: N815 the protocol's name
    consent: bool = Field(default=True, strict=True)
    products: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(
        default=None, max_length=MOST_FLAGS
    )


class _Asked(BaseModel):
    context: _Context = _Context()


class Flag(BaseModel):
    """A flag that was evaluated."""

    key: str = Field(description="The product.")
    value: str = Field(description="Path or address of its picture.")
    variant: str = Field(description="The style; `original` is the photo.")
    reason: str = Field(description="`SPLIT`; `DEFAULT` for a photo that is not counted.")
    metadata: dict[str, str | float | bool] = Field(
        description="`token` (send it back with events), `propensity`, `arm` and what else the "
        "answer of `/v1/variant` says."
    )


class Flags(BaseModel):
    """The answer of a bulk evaluation."""

    flags: list[Flag]


class Failure(BaseModel):
    """The answer to what cannot be evaluated."""

    key: str | None = None
    errorCode: str  # noqa: N815 the protocol's name
    errorDetails: str  # noqa: N815 the protocol's name


class _Failed(Exception):
    def __init__(self, status: int, code: str, details: str) -> None:
        super().__init__(details)
        self.status, self.code, self.details = status, code, details


def add_ofrep(app: FastAPI, decisions: Decisions, catalog: Callable[[], Catalog]) -> None:
    """Add ``POST /ofrep/v1/evaluate/flags`` and the same for one flag.

    Args:
        app: Where to.
        decisions: Answers.
        catalog: Tells the products.
    """

    async def one(request: Request, key: str) -> Response:
        """The picture of one product, as a flag."""
        try:
            shopper, _, why = await _asked(request)
            product = _product(catalog(), key)
            (shown,) = await decisions.shown(shopper, [product], why)
            return _json(_flag(product.product, shown))
        except _Failed as failed:
            return _failure(failed, key)

    async def every(request: Request) -> Response:
        """The pictures of the context's `products`, or of all that are on offer, as flags.

        `ETag` names what is shown, whatever the tokens: who sends it back (`If-None-Match`) and
        would be shown the same is answered 304, and goes on with the flags that it has.
        """
        try:
            shopper, names, why = await _asked(request)
            products = catalog()
            wanted = (
                [_product(products, name) for name in names]
                if names is not None
                else [one for one in products if one.on_offer]
            )
            if len(wanted) > MOST_FLAGS:
                raise _Failed(
                    400,
                    "INVALID_CONTEXT",
                    f"{len(wanted)} products on offer, at most {MOST_FLAGS} at once; name those "
                    "of the page as `products` of the context",
                )
            shown = await decisions.shown(shopper, wanted, why) if wanted else []
        except _Failed as failed:
            return _failure(failed, None)
        flags = [_flag(one.product, told) for one, told in zip(wanted, shown, strict=True)]
        etag = _etag(shopper, flags)
        given = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
        if etag in given:
            return Response(status_code=304, headers={"ETag": etag})
        return _json({"flags": flags}, headers={"ETag": etag})

    # Of the model itself it would refer to a place that the whole document has not; and what is
    # answered with a failure of the protocol's own is not what is to be sent.
    context = _Context.model_json_schema()
    context["properties"]["targetingKey"] = {"type": "string", "pattern": NAME, "maxLength": 128}
    context["required"] = ["targetingKey"]
    schema = {"type": "object", "properties": {"context": context}, "required": ["context"]}
    asked = {
        "required": True,
        "content": {"application/json": {"schema": schema}},
    }
    failures: dict[int | str, dict[str, Any]] = {
        400: {"model": Failure},
        404: {"model": Failure | Problem},  # the other where no flag could have that name
    }
    for path, answers, route in (
        ("/ofrep/v1/evaluate/flags/{key:path}", Flag, one),
        ("/ofrep/v1/evaluate/flags", Flags, every),
    ):
        app.post(
            path,
            response_model=answers,
            responses=failures,
            openapi_extra={"requestBody": asked},
        )(route)


async def _asked(request: Request) -> tuple[str, Sequence[str] | None, str]:
    """The shopper, the products of the page where they are told, and why none is decided."""
    try:
        body = await read_body(request.receive, _BODY)
    except HTTPException as error:
        raise _Failed(400, "PARSE_ERROR", str(error.detail)) from error
    try:
        context = _Asked.model_validate_json(body or b"{}").context
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "body"
        code = "PARSE_ERROR" if where == "body" else "INVALID_CONTEXT"
        raise _Failed(400, code, f"{where}: {error.errors()[0]['msg']}") from error
    shopper = context.targetingKey
    if not shopper:
        raise _Failed(400, "TARGETING_KEY_MISSING", "targetingKey: missing; send the shopper")
    if not _SHOPPER.fullmatch(shopper):
        raise _Failed(
            400,
            "INVALID_CONTEXT",
            f"targetingKey {shopper[:140]!r}: use 1 to 128 letters, digits and ._:@+/=~|- ; hash "
            "other names",
        )
    return shopper, context.products, declined(request.headers.raw, context.consent)


def _product(catalog: Catalog, key: str) -> Product:
    try:
        name = product_id(key)
    except InvalidInput as error:
        raise _Failed(404, "FLAG_NOT_FOUND", str(error)) from error
    if name not in catalog:
        raise _Failed(404, "FLAG_NOT_FOUND", f"product {name!r} is not in the catalogue")
    return catalog[name]


def _flag(product: str, shown: dict[str, Any]) -> dict[str, Any]:
    # Metadata are flat, and hold nothing that is null.
    metadata = {
        name: value
        for name, value in shown.items()
        if isinstance(value, str | float | bool) and name not in _OTHER
    }
    return {
        "key": product,
        "value": shown["image_url"],
        "variant": shown["style"],
        "reason": "SPLIT" if shown["counted"] else "DEFAULT",
        "metadata": metadata,
    }


def _etag(shopper: str, flags: Sequence[dict[str, Any]]) -> str:
    same = [
        {**one, "metadata": {k: v for k, v in one["metadata"].items() if k not in _TOKENS}}
        for one in flags
    ]
    told = orjson.dumps([shopper, same], option=orjson.OPT_SORT_KEYS)
    return f'"{hashlib.blake2b(told, digest_size=16).hexdigest()}"'


def _json(
    body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    # No cache between keeps it: a token counts once.
    headers = {"Cache-Control": "no-store, private", **(headers or {})}
    return Response(orjson.dumps(body), status, headers, "application/json")


def _failure(failed: _Failed, key: str | None) -> Response:
    body = {"errorCode": failed.code, "errorDetails": failed.details}
    return _json(body if key is None else {"key": key, **body}, failed.status)
