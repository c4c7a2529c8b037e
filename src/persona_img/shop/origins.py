"""Where a picture comes from: the variant of this shop that a copy was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.shop.pages import Pages

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.domain.variant import VariantRecord
    from persona_img.provenance.detector import Detection


@dataclass(frozen=True)
class Origin:
    """What a copy tells of where it comes from.

    Attributes:
        detection: What was found in its pixels.
        variants: Stored variants that carry the payload that was read, one for each product.
    """

    detection: Detection
    variants: tuple[VariantRecord, ...]


class Origins(Pages):
    """Copies of this shop's pictures, known by what they carry."""

    def origin(self, picture: Path) -> Origin:
        """Search a picture for the shop's watermark, and the shop for the variant it was.

        Args:
            picture: A copy of any size, also cut or saved anew.

        Raises:
            BadPhoto: no picture that can be read.
            InvalidInput: the shop has no watermark key, or a side is below 64 pixels.
        """
        from persona_img.imaging.decode import decode
        from persona_img.imaging.profile import srgb_of
        from persona_img.provenance.detector import Detector

        key = self.settings.provenance.watermark_key
        if key is None:
            raise InvalidInput(
                "provenance.watermark_key is not given: set PERSONA_IMG_PROVENANCE__WATERMARK_KEY "
                "to the key that the pictures were rendered with"
            )
        pixels = srgb_of(decode(picture, least=1))
        found = Detector(key.get_secret_value().encode()).detect(pixels)
        if found.payload is None:
            return Origin(found, ())
        carried = found.payload.hex()
        records = self.variants.records()
        same = (r for r in records if r.certificate.recipe.get("watermark") == carried)
        return Origin(found, tuple(same))
