"""Keys in a folder that only its owner reads: an authority's, and the one that signs pictures.

``trusted.pem`` names the authority that is trusted: whoever checks pictures is given it. Another
key takes no trust away, not from a stolen one either; another authority takes it from all before.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from persona_img.errors import CannotWrite, InvalidInput, NotFound, StoreConflict
from persona_img.provenance import certificates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey as Key
    from cryptography.x509 import Certificate

TRUSTED = "trusted.pem"
"""Name of the file of who is trusted."""
# A key and its certificate are one file, so that nobody meets one without the other.
_AUTHORITY, _SIGNING = "authority.pem", "signing.pem"
_SIDE = 32  # bytes of r and of s on P-256
_LONGEST_OWNER = 40  # X.509 has room for 64 characters of a name, with what is put behind it


@dataclass(frozen=True, eq=False)
class FileKey:
    """A key in a file; see :class:`.base.ClaimSigner`.

    Attributes:
        chain: Its certificate, PEM; who trusts its authority has that one's.
        name: SHA-256 of its certificate, hex.
        owner: Whom the certificate names.
        until: When it ends to hold.
    """

    chain: str
    name: str
    owner: str
    until: datetime
    _key: Key

    @classmethod
    def load(cls, folder: str | Path) -> FileKey:
        """The key that a folder signs with now.

        Raises:
            NotFound: there are no keys.
            InvalidInput: others may read the key, or it is none, or it holds no more.
        """
        path = Path(folder) / _SIGNING
        key, certified = _private(path)
        until = certified.not_valid_after_utc
        if until <= datetime.now(UTC):
            raise InvalidInput(
                f"{path}: its certificate held until {until:%Y-%m-%d}; make another by "
                f"`persona-img provenance keys rotate {folder}`"
            )
        chain = certified.public_bytes(Encoding.PEM).decode()
        digest = hashlib.sha256(certified.public_bytes(Encoding.DER)).hexdigest()
        return cls(chain, digest, _owner(certified), until, key)

    @property
    def private_key(self) -> str | None:
        """See :class:`.base.ClaimSigner`."""
        return _pem(self._key).decode()

    def sign(self, data: bytes) -> bytes:
        """See :class:`.base.ClaimSigner`."""
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(_SIDE, "big") + s.to_bytes(_SIDE, "big")


def make(folder: str | Path, owner: str) -> FileKey:
    """Make an authority, and a key that it vouches for, in a new folder.

    Args:
        folder: Where they come; files in it are readable for their owner alone.
        owner: Who is named as the one that signs, 1 to 40 characters.

    Raises:
        InvalidInput: no such name.
        StoreConflict: there are keys already.
        CannotWrite: the folder takes no file.
    """
    folder = Path(folder)
    if not 1 <= len(owner.strip()) <= _LONGEST_OWNER or not owner.isprintable():
        raise InvalidInput(f"owner {owner!r}: give a name of 1 to {_LONGEST_OWNER} characters")
    if any((folder / name).exists() for name in (TRUSTED, _AUTHORITY, _SIGNING)):
        raise StoreConflict(
            f"{folder}: there are keys already; `persona-img provenance keys rotate {folder}` "
            "makes another, and what they signed stays trusted"
        )
    _write(folder, _new(owner.strip()))
    return FileKey.load(folder)


def rotate(folder: str | Path, *, authority: bool = False) -> FileKey:
    """Sign by a new key from now on.

    What was signed before stays trusted, also what a thief signs with the key before: nothing
    revokes a key. Where one may be known another authority is needed.

    Args:
        folder: Of :func:`make`.
        authority: Whether the authority is another one too: where a key may be known. Whatever the
            one before vouched for is trusted no more, the shop's own pictures with it.

    Raises:
        NotFound: there are no keys, or the authority's is kept elsewhere.
        InvalidInput: a file holds something else.
        CannotWrite: the folder takes no file.
    """
    folder = Path(folder)
    key, before = _private(folder / _AUTHORITY)
    if authority:
        _write(folder, _new(_owner(before)))
    else:
        _write(folder, {_SIGNING: _signing(_owner(before), before, key)})
    return FileKey.load(folder)


def trusted(folder: str | Path) -> Path:
    """The file of who is trusted.

    Raises:
        NotFound: there are no keys.
    """
    path = Path(folder) / TRUSTED
    _read(path)
    return path


def _new(owner: str) -> dict[str, bytes]:
    """Files by name; first who is trusted, for a crash may leave no more than the beginning."""
    key = certificates.new_key()
    made = certificates.authority(key, owner)
    pem = made.public_bytes(Encoding.PEM)
    return {TRUSTED: pem, _AUTHORITY: _pem(key) + pem, _SIGNING: _signing(owner, made, key)}


def _signing(owner: str, by: Certificate, authority_key: Key) -> bytes:
    key = certificates.new_key()
    made = certificates.signer(key, owner, by, authority_key)
    return _pem(key) + made.public_bytes(Encoding.PEM)


def _owner(certificate: Certificate) -> str:
    named = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(named[0].value) if named else ""


def _pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Each file whole or not at all; none is readable for others, not for a moment."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, data in files.items():
            partial = folder / f"{name}.part"
            partial.unlink(missing_ok=True)
            opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for name in files:
            (folder / f"{name}.part").replace(folder / name)
    except OSError as error:
        raise CannotWrite(
            f"{folder}: no keys can be kept here ({error.strerror}); name another folder"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"{path}: cannot be read ({error.strerror}); `persona-img provenance keys init "
            f"{path.parent}` makes keys"
        ) from error


def _private(path: Path) -> tuple[Key, Certificate]:
    """A file's key and its certificate."""
    data = _read(path)
    if path.stat().st_mode & 0o077:
        raise InvalidInput(f"{path}: others may read it; `chmod 600 {path}`, or rotate the keys")
    try:
        key, found = load_pem_private_key(data, None), x509.load_pem_x509_certificate(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{path}: no key with its certificate in PEM ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise InvalidInput(f"{path}: not a key on P-256; `provenance keys init` makes one")
    if key.public_key() != found.public_key():
        raise InvalidInput(f"{path}: its certificate is another key's; rotate the keys")
    return key, found
