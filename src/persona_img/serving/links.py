"""``POST /v1/links``: a shop's server says which login an anonymous name turned out to be."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import FastAPI, Request  # noqa: TC002 FastAPI reads the annotations
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from persona_img.domain.people import Link
from persona_img.errors import StoreFailed
from persona_img.serving.base import HINDRANCES
from persona_img.serving.wire import Name  # noqa: TC001 pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from persona_img.serving.linking import Linked
    from persona_img.serving.metrics import ServingMetrics

MOST_LINKS = 1000


class LinkIn(BaseModel):
    """Two names of one person."""

    model_config = ConfigDict(extra="forbid", strict=True)

    anonymous: Name = Field(
        description="By which decisions were asked for before the login; let it be unguessable, or "
        "check that your server gave it to this browser: nothing undoes a link."
    )
    login: Name = Field(description="By which they are asked for from now on; a pseudonym.")


class LinksIn(BaseModel):
    """The body of ``POST /v1/links``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    links: Annotated[list[LinkIn], Field(max_length=MOST_LINKS)]


class LinkOut(BaseModel):
    """What became of one link."""

    anonymous: str
    login: str
    outcome: Literal["linked", "known", "refused"]
    unit: str | None = Field(
        description="The name by which the person is randomised and counted; null if refused."
    )
    reason: str | None = Field(description="Why it was refused, and what to do.")


class LinksOut(BaseModel):
    """The answer of ``POST /v1/links``, given once the links are on the disk."""

    linked: int = Field(description="New ones.")
    known: int = Field(description="Those that had been told before.")
    refused: int = Field(description="Those that contradict what was told before; not stored.")
    links: list[LinkOut] = Field(description="One for each link, in the order sent.")


def add_links(
    app: FastAPI,
    link: Callable[[Sequence[Link], float], tuple[Linked, ...]],
    metrics: ServingMetrics,
    run: Callable[..., Awaitable[tuple[Linked, ...]]],
) -> None:
    """Add ``POST /v1/links``.

    Args:
        app: Where to; stands behind a gate that lets servers' keys in.
        link: :meth:`EventLog.link` of the running test and its holdout.
        metrics: Counts them.
        run: Calls what may wait for a disk, on threads that pictures do not need; raises
            ``TimeoutError`` where that takes too long.
    """

    async def links(request: Request, asked: LinksIn) -> LinksOut:
        """Say that an anonymous name and a login are one person, who keeps the picture seen.

        Sending it again is harmless. From then on both names are answered, and counted, as one
        shopper, by every service within a second.
        """
        if "origin" in request.headers:
            # Whoever could link names of others would move them to another arm.
            raise HTTPException(403, "links come from the shop's server, not from a page")
        wanted = [Link(one.anonymous, one.login) for one in asked.links]
        try:
            outcomes = await run(link, wanted, time.time()) if wanted else ()
        except TimeoutError as error:
            raise StoreFailed(HINDRANCES["late"], "late") from error
        fates = Counter(one.fate for one in outcomes)
        for fate, count in fates.items():
            metrics.links.labels(fate).inc(count)
        return LinksOut(
            linked=fates["linked"],
            known=fates["known"],
            refused=fates["refused"],
            links=[
                LinkOut(
                    anonymous=link.anonymous,
                    login=link.login,
                    outcome=one.fate,
                    unit=one.unit or None,
                    reason=one.reason or None,
                )
                for link, one in zip(wanted, outcomes, strict=True)
            ],
        )

    app.post("/v1/links", response_model=LinksOut)(links)
