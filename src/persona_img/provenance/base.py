"""What signs statements about pictures, wherever its key lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from datetime import datetime


@runtime_checkable
class ClaimSigner(Protocol):
    """A key that signs, and the certificates that say whose it is.

    A key in a file is one; a key in a token (PKCS#11) or with a provider (KMS) would be another:
    nothing needs the key itself.
    """

    @property
    def chain(self) -> str:
        """Certificates in PEM, the key's own first; the authority's need not be there."""

    @property
    def name(self) -> str:
        """SHA-256 of the key's own certificate, hex: what is signed by another is told by it."""

    @property
    def until(self) -> datetime:
        """When its certificate ends: what is signed by a key that ends later is left as it is."""

    @property
    def private_key(self) -> str | None:
        """The key in PEM, where it may be handed on: each signed file is 9 KB smaller then.

        None where it never leaves its place; :meth:`sign` is then asked.
        """

    def sign(self, data: bytes) -> bytes:
        """The signature of a statement: ECDSA on P-256 with SHA-256 (COSE ``ES256``), r and s.

        Args:
            data: At most a megabyte.

        Returns:
            64 bytes; others every time.
        """
