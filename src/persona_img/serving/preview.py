"""Previews: a person looks at one variant of one product, which no shopper can ask for.

A preview is signed by the shop's key, for a product, a variant and a time. What it shows is not
counted: it has no token, so no event of it can be sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_img.serving.key import ShopKey

MAX_HOURS = 720.0
"""For how long a preview may hold."""

_MAC = 16
_UNTIL = struct.Struct(">d")
_BETWEEN = "\x1f"  # in no name: those are printable


@dataclass(frozen=True)
class Preview:
    """What is to be shown.

    Attributes:
        product: Whose picture.
        digest: The variant.
        style_key: Its style.
    """

    product: str
    digest: str
    style_key: str


class Previews:
    """Signs previews by the first of the shop's keys, and knows again what any of them signed.

    Args:
        keys: The one that signs, and those of before.
    """

    def __init__(self, keys: Sequence[ShopKey]) -> None:
        self._secrets = [
            hashlib.blake2b(key.secret, digest_size=32, person=b"persona-img pre").digest()
            for key in keys
        ]

    def sign(self, preview: Preview, *, hours: float, now: float) -> str:
        """A text for the parameter ``preview``, ASCII, that holds so long from now (Unix seconds).

        Raises:
            InvalidInput: no time, or more than 30 days.
        """
        if not 0 < hours <= MAX_HOURS:
            raise InvalidInput(f"hours {hours:g}: a preview holds up to {MAX_HOURS:g} hours")
        names = (preview.product, preview.digest, preview.style_key)
        body = _UNTIL.pack(now + 3600 * hours) + _BETWEEN.join(names).encode()
        sent = base64.urlsafe_b64encode(_mac(self._secrets[0], body) + body)
        return sent.rstrip(b"=").decode()

    def read(self, text: str, now: float) -> Preview:
        """What a text is a preview of.

        Raises:
            NotFound: nobody with one of the keys signed it, or its time is over.
        """
        try:
            sent = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except ValueError:
            sent = b""
        mac, body = sent[:_MAC], sent[_MAC:]
        if len(body) < _UNTIL.size or not any(
            hmac.compare_digest(mac, _mac(secret, body)) for secret in self._secrets
        ):
            raise NotFound(
                "preview: not signed by this shop; make one (`persona-img variants preview`)"
            )
        if now > _UNTIL.unpack_from(body)[0]:
            raise NotFound(
                "preview: its time is over; make another (`persona-img variants preview`)"
            )
        return Preview(*body[_UNTIL.size :].decode().split(_BETWEEN))


def _mac(secret: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=secret, digest_size=_MAC).digest()
