"""Keys by which programs and pages are let in: hashed at rest, each with a role.

A key is ``pik_ID_SECRET``; the secret has 256 random bits, so one SHA-256 of it is enough at rest:
there is nothing to guess that a slow hash would slow down. It is shown once, when it is made.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from persona_img.domain.roles import Permission, Role, may
from persona_img.errors import CannotWrite, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_KEY = re.compile(r"pik_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")
_MIN_TOKEN = 16
_LOOK_SECONDS = 1.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """What is kept of a key.

    Attributes:
        key_id: Its public part, eight hexadecimal digits.
        role: What it may do.
        name: What it is for, in whoever made it's words.
        made: When, UTC, ISO 8601.
        digest: SHA-256 of the whole key, hex.
        revoked: When it was, or empty.
    """

    key_id: str
    role: Role
    name: str
    made: str
    digest: str
    revoked: str = ""

    def may(self, wanted: Permission) -> bool:
        """Whether it lets anybody in there."""
        return not self.revoked and may(self.role, wanted)


class KeyFile:
    """A shop's keys in a file that its owner alone may read.

    Args:
        path: The file; made with the first key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, role: Role, name: str) -> tuple[Key, str]:
        """A new key, and the text to be given away: nobody can tell it again.

        Raises:
            InvalidInput: no such role, or a name that is no short line.
            CannotWrite: it cannot be kept.
        """
        if role not in get_args(Role):
            raise InvalidInput(f"role {role!r}: there are {', '.join(get_args(Role))}")
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"name {name[:64]!r}: say what the key is for in 1 to 64 letters, digits, spaces "
                "and ._@-, beginning with a letter or a digit"
            )
        key_id = secrets.token_hex(4)
        text = f"pik_{key_id}_{secrets.token_urlsafe(32)}"
        made = datetime.now(UTC).isoformat(timespec="seconds")
        key = Key(key_id, role, name, made, _digest(text))
        with self._changing() as keys:
            keys.append(key)
        return key, text

    def revoke(self, key_id: str) -> Key:
        """Let nobody in by this key any more; running services heed it within a second.

        Raises:
            NotFound: no such key.
            CannotWrite: it cannot be kept.
        """
        with self._changing() as keys:
            for place, key in enumerate(keys):
                if key.key_id == key_id:
                    now = datetime.now(UTC).isoformat(timespec="seconds")
                    keys[place] = Key(**{**asdict(key), "revoked": key.revoked or now})
                    return keys[place]
        raise NotFound(f"key {key_id[:40]!r} is not there; see `persona-img keys list`")

    def all(self) -> list[Key]:
        """All of them, in the order in which they were made, also those that are revoked.

        Raises:
            InvalidInput: the file cannot be read, or holds something else.
        """
        try:
            return [Key(**one) for one in json.loads(self.path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"{self.path}: holds no keys ({error}); restore it, or remove it and add new ones"
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys, kept when the block ends well; one process at a time."""
        try:
            lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unwritten(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.all()
            yield keys
            text = json.dumps([asdict(key) for key in keys], indent=1) + "\n"
            try:
                self._write(text.encode())
            except OSError as error:
                raise self._unwritten(error) from error
        finally:
            os.close(lock)

    def _write(self, data: bytes) -> None:
        partial = self.path.with_suffix(".part")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(self.path)

    def _unwritten(self, error: OSError) -> CannotWrite:
        return CannotWrite(
            f"{self.path}: cannot be written ({error.strerror}); nothing was changed"
        )


class Keys:
    """Whom a service lets in, looked up at every request.

    Args:
        file: Keys that may be added and revoked while the service runs; None for none.
        tokens: Texts that let anybody in everywhere, as an ``admin`` key does.

    Raises:
        InvalidInput: a token under 16 characters, or a file that holds no keys.
    """

    def __init__(self, file: KeyFile | None = None, tokens: Collection[str] = ()) -> None:
        for token in tokens:
            if len(token) < _MIN_TOKEN:
                raise InvalidInput(
                    f"a token of {len(token)} characters; use at least {_MIN_TOKEN}, drawn at "
                    "random"
                )
        self._tokens = [_digest(token) for token in tokens]
        self._file = file
        self._told = ""
        self._stamp = self._look()
        self._keys = self._read() if file is not None else {}
        self._next = time.monotonic() + _LOOK_SECONDS

    @property
    def any(self) -> bool:
        """Whether there is any: without one everybody is let in, and only on loopback."""
        self._refresh()
        return bool(self._tokens or self._keys)

    @property
    def hindrance(self) -> str:
        """What keeps it from reading the file, for everybody to read; or empty."""
        self._refresh()
        return "the keys cannot be read, they are used as they were before" if self._told else ""

    def find(self, text: str) -> Key | None:
        """The key that somebody presents, unless it is unknown or revoked."""
        self._refresh()
        digest = _digest(text)
        if any(hmac.compare_digest(digest, token) for token in self._tokens):
            return Key("token", "admin", "token", "", digest)
        found = _KEY.fullmatch(text)
        key = self._keys.get(found[1]) if found else None
        if key is None or key.revoked or not hmac.compare_digest(digest, key.digest):
            return None
        return key

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._file is None or now < self._next:
            return
        self._next = now + _LOOK_SECONDS
        stamp = self._look()
        if stamp == self._stamp:
            self._told = ""
            return
        if stamp is None and self._keys:
            # Gone is not empty: without any key everybody would be let in.
            self._tell("the file of the keys is gone; they are used as they were before")
            return
        try:
            self._keys = self._read()
        except InvalidInput as error:
            # Who was let in, still is; nobody new, for a damaged file names nobody. It is read
            # again at the next look: what hinders may pass, and a key may be revoked in it.
            self._tell(f"the keys are used as they were before: {error}")
            return
        self._stamp, self._told = stamp, ""

    def _tell(self, what: str) -> None:
        """Once, not every second."""
        if what != self._told:
            _LOG.warning("%s", what)
        self._told = what

    def _read(self) -> dict[str, Key]:
        assert self._file is not None
        return {key.key_id: key for key in self._file.all()}

    def _look(self) -> Any:
        if self._file is None:
            return None
        try:
            found = self._file.path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
