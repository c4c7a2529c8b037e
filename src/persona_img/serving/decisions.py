"""``GET /v1/variant`` and ``POST /v1/decisions``: a picture, or all those of a page."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from fastapi import HTTPException

from persona_img.domain.catalog import product_id
from persona_img.errors import BadCatalog, NotFound
from persona_img.serving.answers import Answers
from persona_img.serving.consent import consent_of, declined
from persona_img.serving.fallback import HALTED, Fallback
from persona_img.serving.hot import Answer, answer, read_body
from persona_img.serving.tracing import NO_SPANS
from persona_img.serving.wire import check_name, parse_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from starlette.types import Receive, Scope

    from persona_img.domain.catalog import Catalog, Product
    from persona_img.domain.decision import Decision
    from persona_img.serving.addresses import Addresses
    from persona_img.serving.deciding import Deciding
    from persona_img.serving.metrics import ServingMetrics
    from persona_img.serving.preview import Previews
    from persona_img.serving.stand_ins import StandIns
    from persona_img.serving.token import Signer
    from persona_img.serving.tracing import Spans

_PAGE_BODY = 2**16
_FRESH = ((b"cache-control", b"no-store"),)


class Decisions:
    """Answers what shoppers see: by decisions, or by photos where none can be made.

    Args:
        test: The A/B test.
        deciding: Makes decisions, in time or not at all.
        catalog: The products.
        signer: Signs answers.
        addresses: What is told of pictures.
        metrics: Counts.
        photo_url: Address of photos of unknown products, with ``{product}``.
        halted: Whether a product of a test is to be answered by its photo.
        previews: Proves previews; None where there are none.
        variants: The file of a variant; raises :class:`NotFound` for one that may not be shown.
        spans: Told how long decisions take.
    """

    def __init__(
        self,
        test: str,
        deciding: Deciding,
        catalog: Callable[[], Catalog],
        signer: Signer,
        addresses: Addresses,
        metrics: ServingMetrics,
        photo_url: str | None,
        halted: Callable[[str, str], bool],
        previews: Previews | None,
        variants: Callable[[str], Path | bytes],
        stand_ins: StandIns,
        spans: Spans = NO_SPANS,
    ) -> None:
        self._spans = spans
        self._stand_ins = stand_ins
        self._previews, self._variants = previews, variants
        self._test, self._halted = test, halted
        self._deciding, self._catalog, self._photo_url = deciding, catalog, photo_url
        self._answers, self._addresses, self._metrics = Answers(test, signer), addresses, metrics
        self._fallback = Fallback(lambda reason: metrics.photos.labels(reason).inc())

    async def one(self, scope: Scope, _: Receive) -> Answer:
        """``GET /v1/variant?shopper=…&product=…``, and ``&consent=false`` of who said no.

        Raises:
            InvalidInput: a shopper's name that is none.
            NotFound: an unknown product, and nothing says where its photo lies.
            HTTPException: 422, a parameter is missing.
        """
        asked = query(scope["query_string"])
        missing = [name for name in ("shopper", "product") if name not in asked]
        if missing:
            raise HTTPException(422, f"{', '.join(missing)}: missing; see /docs for what to send")
        check_name("shopper", asked["shopper"])
        products = self._catalog()
        try:
            name = product_id(asked["product"])
        except BadCatalog as error:  # what no product can be called, none is
            raise NotFound(str(error)) from error
        if name not in products and self._photo_url is not None:
            return answer(self._unknown(name), headers=_FRESH)
        if asked.get("preview"):
            return answer(await self._previewed(products[name], asked["preview"]), headers=_FRESH)
        why = declined(scope["headers"], consent_of(asked.get("consent")))
        (shown,) = await self.shown(asked["shopper"], [products[name]], why)
        return answer(shown, headers=_FRESH)

    async def page(self, scope: Scope, receive: Receive) -> Answer:
        """``POST /v1/decisions``; a product that is not known holds up no other.

        Raises:
            InvalidInput: a body that is no page.
        """
        asked = parse_page(await read_body(receive, _PAGE_BODY))
        names, products = [_product(one) for one in asked.products], self._catalog()
        known = [name is not None and name in products for name in names]
        there = [products[name] for name in names if name is not None and name in products]
        why = declined(scope["headers"], asked.consent)
        shown = iter(await self.shown(asked.shopper, there, why) if there else ())
        found = [
            {"product": name or given, **(next(shown) if is_known else self._unknown(name))}
            for given, name, is_known in zip(asked.products, names, known, strict=True)
        ]
        return answer({"decisions": found}, headers=_FRESH)

    async def shown(
        self, shopper: str, products: Sequence[Product], why: str = ""
    ) -> list[dict[str, Any]]:
        """What is told of products that are known: of each a decision, or the photo.

        Args:
            shopper: Asked for.
            products: Of the page.
            why: Nothing is to be kept of whoever asks, in a word; then photos are shown. Empty
                where they are decided for.
        """
        if why:
            return [self._photo(one, why) for one in products]
        halted = {one.product for one in products if self._halted(self._test, one.product)}
        if not halted:
            return await self._decided(shopper, products)
        going = [one for one in products if one.product not in halted]
        decided = iter(await self._decided(shopper, going) if going else ())
        return [
            self._photo(one, HALTED) if one.product in halted else next(decided) for one in products
        ]

    def _photo(self, product: Product, reason: str) -> dict[str, Any]:
        self._fallback.note_chosen(reason)
        return self._answers.photo(self._addresses.photo(product))

    async def _decided(self, shopper: str, products: Sequence[Product]) -> list[dict[str, Any]]:
        """Decisions, or photos of all where they cannot be made."""
        now = time.time()
        try:
            decisions = await self._decide(shopper, [one.product for one in products], now)
            wanted = [(one, made.digest) for one, made in zip(products, decisions, strict=True)]
            pictures = await self._addresses.all(wanted)
            for decision in decisions:
                self._stand_ins.check(decision.digest)
            told = [
                self._answers.shown(decision, picture, now)
                for picture, decision in zip(pictures, decisions, strict=True)
            ]
        except Exception as error:
            # Whatever it is: a shopper is to see the products.
            for _ in products:
                self._fallback.note(error)
            return [self._answers.photo(self._addresses.photo(one)) for one in products]
        return told

    async def _decide(self, shopper: str, products: list[str], now: float) -> list[Decision]:
        start = time.perf_counter()
        with self._spans.span("decide", products=len(products)):
            decisions = await self._deciding.page(shopper, products, now)
        self._metrics.decided(decisions, now, time.perf_counter() - start)
        return decisions

    async def _previewed(self, product: Product, text: str) -> dict[str, Any]:
        """A variant that somebody of the shop wants to see; never counted, halted or not."""
        if self._previews is None:
            raise NotFound("preview: this service shows none; leave it out")
        one = self._previews.read(text, time.time())
        if one.product != product.product:
            raise NotFound(f"preview: of product {one.product!r}, not {product.product!r}")
        await asyncio.to_thread(self._variants, one.digest)
        (picture,) = await self._addresses.all([(product, one.digest)])
        shown = self._answers.photo(picture)
        return {**shown, "style": one.style_key, "digest": one.digest}

    def _unknown(self, name: str | None) -> dict[str, Any]:
        """The answer for a product that is not known; None is what no product can be called."""
        self._fallback.note_unknown()
        address = None
        if self._photo_url is not None and name is not None:
            address = self._photo_url.replace("{product}", quote(name, safe=""))
        return self._answers.photo({"image_url": address, "pictures": [], "alt": name or ""})


def _product(name: str) -> str | None:
    """A product's identifier; None of what no product can be called."""
    try:
        return product_id(name)
    except BadCatalog:
        return None


def query(raw: bytes) -> dict[str, str]:
    """Parameters of a query string, the last of each, as the framework reads them."""
    text = raw.decode("latin-1")
    if "%" in text or "+" in text:
        return dict(parse_qsl(text, keep_blank_values=True))
    # Nearly all: nothing is written otherwise in them.
    return {name: value for name, _, value in (p.partition("=") for p in text.split("&") if p)}
