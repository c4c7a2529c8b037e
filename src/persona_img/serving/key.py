"""A shop's secret, by which decisions are named: who has it not, names none."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
from typing import TYPE_CHECKING

from persona_img.errors import CannotWrite, InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

MIN_KEY = 32
"""Bytes that a key has at least."""

_HEX = re.compile(rb"[0-9a-f]{64}\n?")
_DIGITS = 32  # of 64: 128 bits


class DecisionKey:
    """Names decisions by HMAC-SHA256, 128 bits of it, under a secret that never leaves this.

    The same facts have the same name on every worker that has the key. Whoever knows the facts and
    not the key can do nothing but guess. A name that is sent back is looked up among those that
    were decided, never compared with one made for it: the time that takes tells nothing of the key.

    Args:
        secret: At least :data:`MIN_KEY` bytes, drawn at random.

    Raises:
        InvalidInput: a secret that is too short.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_KEY:
            raise InvalidInput(
                f"a decision key of {len(secret)} bytes; use at least {MIN_KEY}, drawn at random"
            )
        self._secret = secret

    def name(self, *facts: str) -> str:
        """The name of a decision with these facts, 32 hexadecimal digits."""
        # Each with its length, so that no two lists of facts are the same bytes.
        message = b"".join(
            len(fact).to_bytes(4, "big") + fact for fact in (one.encode() for one in facts)
        )
        return hmac.digest(self._secret, message, "sha256").hex()[:_DIGITS]

    def __repr__(self) -> str:
        return "DecisionKey(...)"


def kept_key(path: Path) -> DecisionKey:
    """The key in a file, drawn at random and put there where there is none.

    Processes that come at once end with the same one. Only its owner may read the file.

    Raises:
        InvalidInput: the file cannot be read, or holds no key.
        CannotWrite: there is none, and none can be put there.
    """
    try:
        if not path.exists():
            _draw(path)
    except OSError as error:
        raise CannotWrite(
            f"{path}: no key can be put there ({error.strerror}); mend that, or give one by "
            "PERSONA_IMG_SERVE__DECISION_KEY"
        ) from error
    try:
        held = path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{path}: the key cannot be read ({error.strerror}); let the service's user read it"
        ) from error
    if not _HEX.fullmatch(held):
        raise InvalidInput(
            f"{path}: holds no key of 64 hexadecimal digits; restore it, or remove it for a new "
            "one: what was decided stays valid"
        )
    return key_of(held)


def key_of(text: bytes) -> DecisionKey:
    """The key that a text stands for: 64 hexadecimal digits, as in a shop's file, or any secret.

    Raises:
        InvalidInput: it is too short.
    """
    return DecisionKey(bytes.fromhex(text.decode().strip()) if _HEX.fullmatch(text) else text)


def _draw(path: Path) -> None:
    """Put a new key into a file, unless somebody else was first."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(secrets.token_bytes(32).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, replaces nothing: the first one wins, whole.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)
