"""What a picture's manifest says, and what that is worth: plain values, whoever read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["trusted", "untrusted", "invalid", "missing"]


@dataclass(frozen=True)
class Credentials:
    """What a file's manifest says, and what that is worth.

    Attributes:
        state: ``trusted``; ``untrusted``, where all is as it was signed by somebody whom nobody
            vouches for; ``invalid``; or ``missing``.
        reasons: Why it is not trusted, in words.
        signed_by: Name in the certificate that signed.
        title: As signed.
        actions: C2PA's names, each with what was told of it.
        source_types: IPTC's, of all actions.
        digests: What it is bound to, see :class:`.statement.Statement`.
        product: What became of the product's pixels, as signed.
        payload: What the watermark carries, hex.
        ingredients: Titles of what it was made of, each with the name in the certificate that
            signed that one, and what that one's manifest was worth when this picture was signed:
            ``trusted`` where the same authorities vouch for it too.
        training: ``allowed``, ``notAllowed`` or empty.
    """

    state: State
    reasons: tuple[str, ...] = ()
    signed_by: str = ""
    title: str = ""
    actions: tuple[tuple[str, str], ...] = ()
    source_types: tuple[str, ...] = ()
    digests: Mapping[str, str] | None = None
    product: str = ""
    payload: str | None = None
    ingredients: tuple[tuple[str, str, State], ...] = ()
    training: str = ""
