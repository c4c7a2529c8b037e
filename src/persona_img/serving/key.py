"""A shop's secrets, by which answers are signed: who has none of them, forges nothing."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from persona_img.errors import CannotWrite, InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

MIN_KEY = 32
"""Bytes that a key has at least."""

_HEX = re.compile(rb"[0-9a-f]{64}\n?")
_FILE = re.compile(rb"(?:[0-9a-f]{64}\n)*[0-9a-f]{64}\n?")


@dataclass(frozen=True)
class ShopKey:
    """A secret that never leaves this.

    Attributes:
        secret: At least :data:`MIN_KEY` bytes, drawn at random.

    Raises:
        InvalidInput: a secret that is too short.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_KEY:
            raise InvalidInput(
                f"a decision key of {len(self.secret)} bytes; use at least {MIN_KEY}, drawn at "
                "random"
            )


def kept_keys(path: Path) -> tuple[ShopKey, ...]:
    """The keys in a file, one a line; the first signs, the others were in use before it.

    Where there is no file, a key is drawn at random and put there. Processes that come at once end
    with the same one. Only its owner may read the file.

    Raises:
        InvalidInput: the file cannot be read, or holds no keys.
        CannotWrite: there is none, and none can be put there.
    """
    try:
        if not path.exists():
            _put(path, _drawn(), replace=False)
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
    if not _FILE.fullmatch(held):
        raise InvalidInput(
            f"{path}: holds something else than keys of 64 hexadecimal digits, one a line; restore "
            "it, or remove it for a new one: what was answered before is then not taken back"
        )
    return tuple(key_of(line) for line in held.split())


def rotate(path: Path, keep: int = 1) -> int:
    """Put a new key before those in a file: it signs from the next start of a service on.

    Args:
        path: Of :func:`kept_keys`.
        keep: How many of those before still prove what they signed, 0 or more.

    Returns:
        How many keys the file holds now.

    Raises:
        InvalidInput: as for :func:`kept_keys`, or a number below 0.
        CannotWrite: the file cannot be replaced.
    """
    if keep < 0:
        raise InvalidInput(f"keep {keep}: give 0 or more keys")
    kept = [key.secret.hex().encode() + b"\n" for key in kept_keys(path)[:keep]]
    try:
        _put(path, b"".join([_drawn(), *kept]), replace=True)
    except OSError as error:
        raise CannotWrite(f"{path}: not replaced ({error.strerror}); mend that, again") from error
    return 1 + len(kept)


def key_of(text: bytes) -> ShopKey:
    """The key that a text stands for: 64 hexadecimal digits, as in a shop's file, or any secret.

    Raises:
        InvalidInput: it is too short.
    """
    return ShopKey(bytes.fromhex(text.decode().strip()) if _HEX.fullmatch(text) else text)


def _drawn() -> bytes:
    return secrets.token_bytes(32).hex().encode() + b"\n"


def _put(path: Path, keys: bytes, *, replace: bool) -> None:
    """Write keys to a file, whole; unless it may be replaced, whoever was first has written it."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(keys)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            partial.replace(path)
        else:
            # A link, unlike a rename, replaces nothing: the first one wins, whole.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)
