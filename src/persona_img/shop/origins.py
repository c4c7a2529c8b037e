"""Where a picture comes from: the variant of this shop that a copy was made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_img import wiring
from persona_img.errors import InvalidInput
from persona_img.shop.pages import Pages

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from persona_img.domain.variant import VariantRecord
    from persona_img.provenance.credentials import Credentials
    from persona_img.provenance.detector import Detection
    from persona_img.provenance.marketplaces import Ruled
    from persona_img.provenance.registry import Near


@dataclass(frozen=True)
class Origin:
    """What a copy tells of where it comes from.

    Attributes:
        detection: What was found of a watermark; None where the shop has no key for one.
        variants: Stored variants that carry the payload that was read, one for each product.
        near: Pictures of the registry that it may be a copy of by its fingerprint, nearest first.
    """

    detection: Detection | None
    variants: tuple[VariantRecord, ...]
    near: tuple[Near, ...] = ()

    @property
    def found(self) -> bool:
        """Whether anything tells where it comes from."""
        return bool(self.near) or (self.detection is not None and self.detection.found)


_WRITTEN = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
            ".webp": "image/webp", ".avif": "image/avif"}  # fmt: skip


class Origins(Pages):
    """Pictures that leave this shop, and copies of them, known by what they carry."""

    @staticmethod
    def keys_at(folder: Path, owner: str) -> Path | None:
        """A folder of keys that sign pictures, made where there are none.

        Args:
            folder: Where they lie, outside every shop's folder.
            owner: Who is named as the one that signs, where they are made.

        Returns:
            The folder; None where what signs is not installed (the extra ``provenance``).

        Raises:
            InvalidInput: no such name, or the folder takes no file.
        """
        try:
            from persona_img.provenance import file_keys, manifest  # noqa: F401
        except ImportError:
            return None
        if not (folder / file_keys.TRUSTED).exists():
            file_keys.make(folder, owner)
        return folder

    @property
    def trusted(self) -> Path:
        """Certificates of the authorities that vouch for the shop's pictures.

        Raises:
            InvalidInput: the settings name no keys.
            NotFound: there are no keys.
        """
        from persona_img.provenance.file_keys import trusted

        keys = self.settings.provenance.keys
        if keys is None:
            raise InvalidInput("provenance.keys names no keys: set PERSONA_IMG_PROVENANCE__KEYS")
        return trusted(keys)

    def credentials(self, path: Path) -> Credentials:
        """What a picture's manifest says, and whether the shop's own keys vouch for it.

        Args:
            path: PNG, JPEG, WebP or AVIF.

        Raises:
            InvalidInput: the settings name no keys, or it is no picture.
            NotFound: there are no keys.
        """
        from persona_img.imaging.formats import HEAD, media_type
        from persona_img.provenance.manifest import credentials

        trusted = self.trusted.read_text(encoding="utf-8")
        data = path.read_bytes()
        kind = media_type(data[:HEAD])
        if kind is None:
            raise InvalidInput(f"{path}: no picture; name a PNG, JPEG, WebP or AVIF file")
        return credentials(data, kind, trusted)

    def export(self, digest: str, path: Path, *, width: int | None = None) -> Path:
        """Write an approved variant as it may leave the shop: with XMP, and signed by its keys.

        Args:
            digest: Of the variant; may be cut short where that names one.
            path: The file; its ending says the format: PNG without loss, JPEG, WebP or AVIF.
            width: Pixels, at most its own; None for its own.

        Raises:
            NotFound: no such variant, or it is not approved.
            InvalidInput: another ending, a larger width, or keys that cannot be used.
            StoreFailed: it could not be signed.
        """
        from persona_img.imaging.encode import encode, scaled_to
        from persona_img.imaging.photo import write_whole

        kind = _WRITTEN.get(path.suffix.lower())
        if kind is None:
            raise InvalidInput(f"{path}: ends in {path.suffix!r}; end it in {', '.join(_WRITTEN)}")
        digest = self.variants.resolve(digest)
        mark = self.marking.of(digest, "variant", self.variants.servable_path(digest))
        pixels, _ = self.variants.picture(digest)
        own = pixels.shape[1]
        if width is not None and width > own:
            raise InvalidInput(f"width={width}: the variant has {own} pixels; give at most these")
        shown = scaled_to(pixels, width or own)
        lossless = kind == "image/png"
        data = mark.unsigned_master(shown) if lossless else encode(shown, kind, mark.xmp)
        if not self.marking.signs:
            wiring.check_keys(self.settings)
        else:
            data = mark.signed(data, kind, smaller=shown.shape[1] < own)
        return write_whole(path, data)

    def comply(self, digest: str, market: str, *, today: date | None = None) -> list[Ruled]:
        """How a variant, exported as JPEG, stands to what a marketplace asks, and its licence.

        Args:
            digest: Of the variant; may be cut short where that names one.
            market: A name of :data:`~persona_img.provenance.marketplaces.MARKETS`.
            today: The day; None for today (UTC).

        Raises:
            NotFound: no such variant.
            InvalidInput: no such market.
        """
        from persona_img.imaging.encode import encode
        from persona_img.provenance import xmp
        from persona_img.provenance.marketplaces import MARKETS, Offered, Ruled

        if market not in MARKETS:
            raise InvalidInput(f"market {market!r}: there are {', '.join(MARKETS)}")
        digest = self.variants.resolve(digest)
        record = self.variants.get(digest)
        mark = self.marking.of(digest, "variant", self.variants.path(digest))
        pixels, alpha = self.variants.picture(digest)
        proof, day = record.certificate, today or datetime.now(UTC).date()
        written = encode(pixels, "image/jpeg", mark.xmp)
        shown = Offered(
            pixels=pixels,
            alpha=alpha,
            size=len(written),
            source_type=xmp.source_type(written),  # as whoever gets the file reads it
            said=mark.statement.source_type,
            whole=proof.core_outside == 0,
            unchanged=proof.product_unchanged,
        )
        found = self.licence_of(record)
        until = "for good" if found.expires is None else f"until {found.expires}"
        uses = ", ".join(found.uses) or "nothing"
        licence = Ruled(
            "a licence for marketplaces",
            "ok" if found.allows("marketplace", day) else "FAIL",
            f"{found}: {uses}, {until}",
            "licences.toml",
        )
        return [*MARKETS[market](shown, day), licence]

    def origin(self, picture: Path) -> Origin:
        """Search a picture for the shop's watermark, and the shop for the picture it was.

        Args:
            picture: A copy of any size, also cut or saved anew.

        Raises:
            BadPhoto: no picture that can be read.
            InvalidInput: the shop has neither a watermark key nor fingerprints of pictures, or a
                side is below 64 pixels.
        """
        from persona_img.imaging.decode import decode
        from persona_img.imaging.profile import srgb_of
        from persona_img.provenance.detector import Detector

        key = self.settings.provenance.watermark_key
        if key is None and not len(self.registry):
            raise InvalidInput(
                "provenance.watermark_key is not given, and no picture was taken in yet: set "
                "PERSONA_IMG_PROVENANCE__WATERMARK_KEY to the key that the pictures were rendered "
                "with"
            )
        pixels = srgb_of(decode(picture, least=1))
        near = self.near(pixels)
        if key is None:
            return Origin(None, (), near)
        found = Detector(key.get_secret_value().encode()).detect(pixels)
        if found.payload is None:
            return Origin(found, (), near)
        carried = found.payload.hex()
        records = self.variants.records()
        same = (r for r in records if r.certificate.recipe.get("watermark") == carried)
        return Origin(found, tuple(same), near)
