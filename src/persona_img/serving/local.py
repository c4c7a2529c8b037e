"""Decides in the program that makes the page: no request, the same answers as the service.

It maps the table that the service maps, reads what was seen from the same log, and signs by the
shop's key; so it runs where the shop's folder is. Events go to the service, which stores them. A
page may ask one for a shopper and the other for the next: what they answer is the same.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from persona_img.errors import PersonaImgError, ServiceFailed
from persona_img.serving.answers import Answers
from persona_img.serving.wire import Counted, OnPage, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from persona_img.domain.catalog import Catalog, Product
    from persona_img.serving.addresses import Addresses
    from persona_img.serving.decide import Decider
    from persona_img.serving.known import Known
    from persona_img.serving.links import LinksOut
    from persona_img.serving.token import Signer

_T = TypeVar("_T", bound=BaseModel)
_LOG = logging.getLogger(__name__)
_SECONDS = 5.0


class LocalDecider:
    """Says what a shopper sees, here; made by :meth:`persona_img.shop.Shop.local`.

    Safe to ask from several threads. While the ``with`` block runs it takes what is published and
    heeds halts, as a service does. Unlike a service it waits for a disk as long as that takes.

    Args:
        decider: Asked; its log is closed at the end of the block.
        known: What the decider asks of shoppers; closed then too. None where it asks nothing.
        catalog: Tells the products.
        signer: Signs answers by the shop's key.
        addresses: What is told of pictures.
        halted: Whether a product of a test is answered by its photo now.
        following: Gives the decider every table that is published.
        url: Of the service that takes events, e.g. ``http://127.0.0.1:8080``.
        key: Of a role that may send events; empty where the service asks for none.
    """

    def __init__(
        self,
        decider: Decider,
        catalog: Callable[[], Catalog],
        signer: Signer,
        addresses: Addresses,
        *,
        halted: Callable[[str, str], bool],
        following: AbstractContextManager[object],
        url: str,
        key: str = "",
        known: Known | None = None,
    ) -> None:
        self._known = known
        self._decider, self._catalog, self._addresses = decider, catalog, addresses
        self._halted, self._following = halted, following
        self._answers = Answers(decider.arms.test, signer)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._service = httpx.Client(base_url=url, headers=headers, timeout=_SECONDS)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.callback(self._decider.log.close)
        self._open.callback(self._service.close)
        if self._known is not None:
            self._open.callback(self._known.close)
        self._open.enter_context(self._following)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def one(self, shopper: str, product: str, *, consent: bool = True) -> OnPage:
        """What ``GET /v1/variant`` answers; as for :meth:`page`."""
        return self.page(shopper, [product], consent=consent)[0]

    def page(self, shopper: str, products: Sequence[str], *, consent: bool = True) -> list[OnPage]:
        """What ``POST /v1/decisions`` answers, in the order asked; each has a token of its own.

        Where nothing can be decided it is the photos, which are not counted.

        Args:
            shopper: 1 to 128 letters, digits and ``._:@+/=~|-``.
            products: Identifiers.
            consent: False of a shopper who said no, by the page or by ``Sec-GPC: 1``, and of bots:
                photos, and nothing is kept.

        Raises:
            InvalidInput: a name that is none.
            NotFound: a product that the catalogue does not know.
        """
        check_name("shopper", shopper)
        catalog, test = self._catalog(), self._decider.arms.test
        wanted = [catalog[name] for name in products]
        going = [consent and not self._halted(test, one.product) for one in wanted]
        try:
            chosen = [one for one, goes in zip(wanted, going, strict=True) if goes]
            decided = self._decided(shopper, chosen)
        except Exception as error:
            # Whatever it is: a shopper is to see the products.
            unforeseen = None if isinstance(error, PersonaImgError) else error
            _LOG.warning("photos shown, not counted: %s", error, exc_info=unforeseen)
            decided = iter(())
        return [
            OnPage(product=one.product, **((goes and next(decided, None)) or self._photo(one)))
            for one, goes in zip(wanted, going, strict=True)
        ]

    def send(self, events: Sequence[Mapping[str, object]]) -> Counted:
        """Send events to the service: what ``POST /v1/events`` takes and answers.

        Raises:
            ServiceFailed: it did not store them: not reached, or it said why not. Send all again.
        """
        return self._post("/v1/events", {"events": list(events)}, Counted, "events were")

    def link(self, anonymous: str, login: str) -> LinksOut:
        """Tell the service that two names are one person's: what ``POST /v1/links`` answers.

        Args:
            anonymous: By which pictures were asked for before the login.
            login: By which they are asked for from now on.

        Raises:
            ServiceFailed: it did not store it. Send it again.
        """
        from persona_img.serving.links import LinksOut

        links = [{"anonymous": anonymous, "login": login}]
        return self._post("/v1/links", {"links": links}, LinksOut, "the link was")

    def _post(self, path: str, body: Mapping[str, object], kind: type[_T], what: str) -> _T:
        try:
            answer = self._service.post(path, json=body)
            if answer.is_success:
                return kind.model_validate_json(answer.content)
            said = f"{answer.status_code} {answer.text[:300]}"
        except (httpx.HTTPError, ValidationError) as error:
            said = str(error)
        raise ServiceFailed(f"{self._service.base_url}: {what} not stored ({said})")

    def _decided(self, shopper: str, products: Sequence[Product]) -> Iterator[dict[str, Any]]:
        if not products:
            return iter(())
        now = time.time()
        made = self._decider.decide_page(shopper, [one.product for one in products], now)
        shown = zip(products, made, strict=True)
        pictures = [self._addresses.of(one, decision.digest) for one, decision in shown]
        # Signed last: what cannot be told of one picture shows the photos of all.
        return iter(
            [self._answers.shown(m, one, now) for m, one in zip(made, pictures, strict=True)]
        )

    def _photo(self, product: Product) -> dict[str, Any]:
        return self._answers.photo(self._addresses.photo(product))
