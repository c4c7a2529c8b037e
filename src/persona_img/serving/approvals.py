"""Pictures withdrawn and restored over HTTP, by name: the ledger says by which key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol

from fastapi import FastAPI, Request  # noqa: TC002 FastAPI reads the annotations
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Callable


class Approvals(Protocol):
    """Decides on pictures."""

    def withdraw(self, *digests: str, by: str, reason: str) -> object:
        """Take pictures from every shopper at once."""

    def restore(self, *digests: str, by: str, reason: str) -> object:
        """Let them be shown again."""


class Verdict(BaseModel):
    """What is decided on a picture, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    restore: bool = Field(default=False, description="Bring it back, instead of taking it away.")


class Decided(BaseModel):
    """The answer."""

    digest: str
    state: str


def add_approvals(app: FastAPI, approvals: Approvals) -> None:
    """Add ``POST /v1/withdrawals``.

    Args:
        app: Where to; stands behind a gate that notes the key.
        approvals: Decides.
    """

    def withdrawals(request: Request, verdict: Verdict) -> Decided:
        """Withdraw a picture from every shopper at once, or bring it back."""
        key = request.scope["state"].get("key")
        if key is None:
            raise HTTPException(
                403, "pictures are decided on by name: `persona-img keys add` an approver first"
            )
        act: Callable[..., object] = approvals.restore if verdict.restore else approvals.withdraw
        act(verdict.digest, by=f"{key.name} ({key.key_id})", reason=verdict.reason)
        return Decided(digest=verdict.digest, state="approved" if verdict.restore else "withdrawn")

    app.post("/v1/withdrawals", response_model=Decided)(withdrawals)
