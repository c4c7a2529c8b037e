"""Answers carry a signed token: what was decided, so that whoever brings it back proves it.

A token is ``base64url(key id, 4 bytes | MAC, 16 bytes | body)`` without padding; the MAC is BLAKE2b
under a secret of the shop over the body: the showing's id, when it was answered, when it was
decided, the propensity, and the rest of the decision as text. It is signed, not hidden: it holds
nothing that the answer beside it does not say.

A showing's id is the second in which it was answered and 64 random bits, so that ids are written to
the log about in their order.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
from typing import TYPE_CHECKING

from persona_img.domain.decision import Decision
from persona_img.domain.feedback import Showing
from persona_img.errors import InvalidInput, PersonaImgError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.serving.base import Rule
    from persona_img.serving.key import ShopKey

TOKEN_DAYS = 30.0
"""For how long events of a showing are taken, where nobody says else."""

MAX_TOKEN = 4096
"""Characters of the longest token that is looked at."""

_DAY = 86400.0
_KEY_ID, _MAC, _SHOWING = 4, 16, 12
_HEAD = struct.Struct(">12sddd")
_STANDARD = bytes.maketrans(b"-_+/", b"+/  ")
_BETWEEN = "\x1f"  # in no name: those are printable


class Refused(PersonaImgError):
    """An event whose decision is not proved, or is none of those that are counted.

    Attributes:
        rule: Which rule it breaks.
    """

    def __init__(self, message: str, rule: Rule) -> None:
        super().__init__(message)
        self.rule: Rule = rule


class Signer:
    """Signs answers by one key, and knows again what was signed by it or by earlier ones.

    Args:
        key: Signs.
        earlier: Keys of before: their tokens are still taken, until they expire.
        days: For how long a token is taken, > 0.

    Raises:
        InvalidInput: no time at all.
    """

    def __init__(
        self, key: ShopKey, earlier: Sequence[ShopKey] = (), *, days: float = TOKEN_DAYS
    ) -> None:
        if not days > 0:
            raise InvalidInput(f"days {days}: give a time above 0 for which tokens are taken")
        self._seconds = days * _DAY
        self._macs = {_key_id(one): _keyed(one) for one in (key, *earlier)}
        self._id = _key_id(key)

    def show(self, decision: Decision, now: float) -> Showing:
        """A showing of its own: the decision, answered now (Unix seconds)."""
        second = max(0, min(int(now), 2**32 - 1))
        return Showing((second.to_bytes(4, "big") + os.urandom(8)).hex(), decision, now)

    def expires_at(self, showing: Showing) -> float:
        """Unix seconds from which on the token of a showing is not taken any more."""
        return showing.answered_at + self._seconds

    def sign(self, showing: Showing) -> str:
        """The token of a showing, ASCII."""
        decision = showing.decision
        text = _BETWEEN.join(
            (
                decision.test,
                decision.shopper,
                decision.product,
                decision.segment,
                decision.arm,
                decision.style_key,
                decision.digest or "",
                decision.policy_version,
            )
        )
        name = bytes.fromhex(showing.showing_id)
        head = _HEAD.pack(name, showing.answered_at, decision.decided_at, decision.propensity)
        body = head + text.encode()
        mac = self._macs[self._id].copy()
        mac.update(body)
        token = base64.urlsafe_b64encode(self._id + mac.digest() + body)
        return token.rstrip(b"=").decode()

    def read(self, token: str, now: float) -> Showing:
        """The showing that a token is of.

        Args:
            token: As it came back.
            now: Unix seconds.

        Raises:
            Refused: nobody with one of the keys signed it, or it is too old.
        """
        try:
            encoded = token.encode("ascii").translate(_STANDARD) + b"=" * (-len(token) % 4)
            sent = binascii.a2b_base64(encoded, strict_mode=True)
        except ValueError:
            raise _forged() from None
        start = _KEY_ID + _MAC
        known = self._macs.get(sent[:_KEY_ID])
        if known is None or len(sent) < start + _HEAD.size:
            raise _forged()
        mac, body = known.copy(), sent[start:]
        mac.update(body)
        if not hmac.compare_digest(mac.digest(), sent[_KEY_ID:start]):
            raise _forged()
        name, answered_at, decided_at, propensity = _HEAD.unpack_from(body)
        if now - answered_at > self._seconds:
            days = (now - answered_at) / _DAY
            raise Refused(
                f"token of {days:.1f} days ago; they are taken for {self._seconds / _DAY:g}",
                "expired",
            )
        text = body[_HEAD.size :].decode().split(_BETWEEN)
        test, shopper, product, segment, arm, style_key, digest, version = text
        decision = Decision(
            test=test,
            shopper=shopper,
            product=product,
            segment=segment,
            arm=arm,
            style_key=style_key,
            digest=digest or None,
            propensity=propensity,
            policy_version=version,
            decided_at=decided_at,
        )
        return Showing(name.hex(), decision, answered_at)

    def __repr__(self) -> str:
        return "Signer(...)"


def _forged() -> Refused:
    return Refused(
        "token that this shop did not sign; send the one that the answer carried, as it is",
        "forged",
    )


def _key_id(key: ShopKey) -> bytes:
    return hashlib.blake2b(key.secret, digest_size=_KEY_ID, person=b"persona-img id").digest()


def _keyed(key: ShopKey) -> hashlib.blake2b:
    # A secret may be longer than a key of BLAKE2b.
    secret = hashlib.blake2b(key.secret, digest_size=32, person=b"persona-img key").digest()
    return hashlib.blake2b(key=secret, digest_size=_MAC, person=b"persona-img tok")
