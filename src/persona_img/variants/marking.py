"""What a picture that leaves the shop says of itself: XMP, and a signature where there is a key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from persona_img.domain.digest import digest_of
from persona_img.errors import NotFound
from persona_img.imaging.folder import VARIANT_KEY
from persona_img.imaging.formats import HEAD, media_type
from persona_img.imaging.photo import png_bytes
from persona_img.provenance import statement, xmp
from persona_img.provenance.altered import GENERATED, Action

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from persona_img.domain.catalog import Catalog, Product
    from persona_img.domain.variant import Certificate
    from persona_img.provenance.base import ClaimSigner
    from persona_img.provenance.manifest import Ingredient, Manifests
    from persona_img.provenance.statement import Statement
    from persona_img.variants.store import VariantStore

XMP_KEY = "XML:com.adobe.xmp"
"""Keyword under which a PNG carries XMP."""


@dataclass(frozen=True, eq=False)
class Marked:
    """What is said of one master, and of everything that is made of it.

    Attributes:
        statement: What is said.
        xmp: The packet; empty where nothing is said.
        certificate: Of a variant; None of a photograph.
        photo: What it was made of; None where nothing is signed.
        manifests: Signs; None where nothing does.
    """

    statement: Statement
    xmp: bytes
    certificate: Certificate | None
    photo: Ingredient | None
    manifests: Manifests | None

    @property
    def signer(self) -> ClaimSigner | None:
        """The key that signs; None for none."""
        return None if self.manifests is None else self.manifests.signer

    @property
    def signed_by(self) -> str:
        """Name of the key that signs; empty for none."""
        return "" if self.signer is None else self.signer.name

    @property
    def key(self) -> str:
        """Digest of all that a signed file says besides its bytes, and of who signs it; hex."""
        training = "" if self.manifests is None else self.manifests.training
        photo = "" if self.photo is None else self.photo.title
        return digest_of([self.signed_by, asdict(self.statement), training, photo])

    def signed(self, data: bytes, kind: str, *, smaller: bool = False) -> bytes:
        """A file with the statement signed into it.

        Args:
            data: The file.
            kind: Its media type.
            smaller: Whether it shows fewer pixels than the master.

        Raises:
            StoreFailed: it could not be signed.
        """
        assert self.manifests is not None
        assert self.photo is not None
        more = [Action("c2pa.resized")] if smaller else []
        return self.manifests.signed(data, kind, self.statement.then(*more), self.photo)

    def master(self, pixels: NDArray[np.uint8]) -> bytes | None:
        """A variant's master as it may leave the shop; None of a photograph, or without a key.

        Taking the manifest's chunk (``caBX``) out of it gives the same bytes every time.

        Args:
            pixels: What the master shows.
        """
        if self.manifests is None or self.certificate is None:
            return None
        return self.signed(self.unsigned_master(pixels), "image/png")

    def unsigned_master(self, pixels: NDArray[np.uint8]) -> bytes:
        """The same before it is signed: the same pixels give the same bytes."""
        assert self.certificate is not None
        recipe = json.dumps(self.certificate.recipe, sort_keys=True)
        return png_bytes(pixels, {VARIANT_KEY: recipe, XMP_KEY: self.xmp.decode()})


class Marking:
    """Says of variants and photographs where they come from.

    Args:
        store: Keeps the variants' certificates.
        catalog: The products as they are now; None where there are none.
        credit: Whom to name.
        rights: Whose pictures are.
        training: Whether models may learn from them.
        manifests: Signs; None where nothing does.
    """

    def __init__(
        self,
        store: VariantStore,
        catalog: Callable[[], Catalog | None],
        credit: str = "",
        rights: str = "",
        training: xmp.Training = "not-allowed",
        manifests: Manifests | None = None,
    ) -> None:
        self._store, self._catalog = store, catalog
        self._credit, self._rights, self._training = credit, rights, training
        self._manifests = manifests

    @property
    def signs(self) -> bool:
        """Whether there is a key."""
        return self._manifests is not None

    @property
    def signer(self) -> ClaimSigner | None:
        """The key that signs; None for none."""
        return None if self._manifests is None else self._manifests.signer

    def told(self) -> dict[str, Any]:
        """What files' bytes depend on besides master and encoder; plain values."""
        said = {"credit": self._credit, "rights": self._rights, "training": self._training}
        return {"xmp": xmp.VERSION, **said}

    def of(self, master: str, of: str, source: Path) -> Marked:
        """What is said of a master.

        Args:
            master: Its digest.
            of: ``variant`` or ``photo``.
            source: Its file.
        """
        if of == "variant":
            try:
                return self._variant(master)
            except NotFound:  # kept by another store, which has its certificate
                pass
        packet = packet_of(source)
        own = xmp.read(packet)
        said = statement.of_photo(master, source.name, _source_type(source, packet))
        said = replace(said, may_train=_may_train(own))
        # A photograph's own words come first: whoever took it wrote them.
        credit = own.get("photoshop:Credit", "") or self._credit
        rights = own.get("dc:rights", "") or self._rights
        told = said.source_type is not None or credit or rights
        written = xmp.written(said, credit, rights, self._training) if told else b""
        photo = _ingredient(source, master) if self.signs else None
        return Marked(said, written, None, photo, self._manifests)

    def _variant(self, digest: str) -> Marked:
        record = self._store.get(digest)
        certificate, product = record.certificate, self._product(record.product)
        source = None
        if product is not None and product.photo_digest == certificate.photo:
            source = product.photo
        packet = b"" if source is None else packet_of(source)
        own = xmp.read(packet)
        title = record.product if product is None else product.title or record.product
        said = statement.of_variant(certificate, title, _source_type(source, packet))
        said = replace(said, may_train=_may_train(own))
        named = "" if product is None else product.credit
        credit = self._credit or own.get("photoshop:Credit", "") or named
        rights = self._rights or own.get("dc:rights", "")
        written = xmp.written(said, credit, rights, self._training)
        photo = _ingredient(source, certificate.photo) if self.signs else None
        return Marked(said, written, certificate, photo, self._manifests)

    def _product(self, name: str) -> Product | None:
        catalog = self._catalog()
        return catalog[name] if catalog is not None and name in catalog else None


def packet_of(picture: Path) -> bytes:
    """The XMP packet of a picture's file; empty where it has none, or cannot be read."""
    try:
        with Image.open(picture) as image:
            if image.format == "PNG":
                image.load()  # text may stand behind the pixels
            found = image.info.get("xmp") or image.info.get(XMP_KEY) or b""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return b""
    return found.encode() if isinstance(found, str) else bytes(found)


def _may_train(own: Mapping[str, str]) -> bool:
    """Whether a photograph's XMP says nothing against it."""
    said = own.get("plus:DataMining", "").rpartition("/")[2]
    return said in ("", "DMI-ALLOWED", "DMI-UNSPECIFIED")


def _source_type(picture: Path | None, packet: bytes) -> str | None:
    """What a picture says that it is: that it was generated comes first, in XMP or manifest."""
    said = xmp.source_type(packet)
    if picture is None or said in GENERATED:
        return said
    try:
        from persona_img.provenance.manifest import generated
    except ImportError:  # a manifest is read where the extra is installed
        return said
    try:
        data = picture.read_bytes()
    except OSError:
        return said
    kind = media_type(data[:HEAD])
    return said if kind is None else generated(data, kind) or said


def _ingredient(source: Path | None, digest: str) -> Ingredient:
    from persona_img.provenance.manifest import Ingredient

    try:
        data = None if source is None else source.read_bytes()
    except OSError:
        data = None
    name = f"photo {digest[:12]}" if source is None else source.name
    return Ingredient(name, data, media_type(data[:HEAD]) if data else None, digest)
