"""A shop's own certificate authority, and a certificate of it by which pictures are signed.

References:
    C2PA 2.2, "X.509 Certificates": what a certificate that signs pictures has to say. One that
    vouches for itself is refused, so there are two: an authority, and what it vouches for.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey as Key
    from cryptography.x509 import Certificate

AUTHORITY_YEARS, SIGNER_YEARS = 20, 5
"""For how long certificates hold. Without time stamps what they signed holds no longer."""
_EARLIER = timedelta(minutes=5)  # clocks of those who check may be late
_YEAR = timedelta(days=365)


def new_key() -> Key:
    """A key on the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def authority(key: Key, owner: str) -> Certificate:
    """The certificate of an authority that vouches for itself, for 20 years.

    Args:
        key: The authority's.
        owner: Whose it is.
    """
    named = _name(owner, f"{owner} picture authority")
    return (
        _begun(named, named, key, AUTHORITY_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(key, SHA256())
    )


def signer(key: Key, owner: str, by: Certificate, authority_key: Key) -> Certificate:
    """The certificate of a key that signs pictures, for 5 years at most.

    Args:
        key: The one that signs pictures.
        owner: Whose it is.
        by: The authority's certificate.
        authority_key: The authority's.
    """
    named = _name(owner, f"{owner} pictures")
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _begun(named, by.subject, key, SIGNER_YEARS, by.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(identifier, critical=False)
        .sign(authority_key, SHA256())
    )


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    years: int,
    latest: datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    until = now + years * _YEAR
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(until if latest is None else min(until, latest))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(owner: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, owner),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
