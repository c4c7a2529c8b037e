"""A picture as a page loads it: smaller, and in a format that browsers like."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Rendition:
    """One file that was made of a master.

    Attributes:
        digest: SHA-256 of its bytes, hex; where it is signed, of what they were before.
        media_type: ``image/avif``, ``image/webp`` or ``image/jpeg``.
        width: Pixels.
        height: Pixels.
        size: Bytes.
        file: Its name, which holds width and the beginning of the digest: other bytes, other name.
        settings: What the encoder was told.
    """

    digest: str
    media_type: str
    width: int
    height: int
    size: int
    file: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Renditions:
    """What was made of one master: the record that links a page's files to what is certified.

    Attributes:
        master: Digest of the lossless master, hex: of a variant's file, which its certificate
            names, or of a photograph's pixels.
        of: ``variant`` or ``photo``.
        size: Width and height of the master, pixels.
        made_by: Libraries and their versions, the widths that were asked for: what the bytes
            depend on besides the master.
        files: By width, then by format; AVIF, WebP, JPEG.
        signed_by: SHA-256 of the certificate that signed them, hex; empty where none did.
        signed_until: When that certificate ends, ISO 8601 in UTC; empty where none signed.
    """

    master: str
    of: str
    size: tuple[int, int]
    made_by: Mapping[str, Any]
    files: tuple[Rendition, ...]
    signed_by: str = ""
    signed_until: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The record of :meth:`as_dict`'s values."""
        width, height = values["size"]
        files = tuple(Rendition(**one) for one in values["files"])
        return cls(**{**values, "size": (width, height), "files": files})
