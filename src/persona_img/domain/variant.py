"""A rendered picture and the proof that comes with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.domain.style import Style

State = Literal["approved", "withdrawn", "proposed"]


@dataclass(frozen=True)
class Certificate:
    """What anybody can check again about a variant, given the photograph.

    Attributes:
        variant: SHA-256 of the variant file's bytes, hex.
        photo: SHA-256 of the upright sRGB pixels of the photograph, hex.
        mask: SHA-256 of the mask's pixels, hex.
        offset: (dx, dy): photo pixel (x, y) is variant pixel (x + dx, y + dy).
        size: (width, height) of the variant, pixels.
        core_pixels: Pixels inside the mask's core.
        core_changed: Of these, how many differ from the photograph, or where ``relight`` is given
            from the photograph in that light; 0 in every shown variant.
        core_outside: Core pixels that the framing cut away; 0 in every shown variant.
        edge_error: Mean absolute difference in the edge band where alpha is at least one half,
            8-bit levels.
        silhouette_growth: Pixels that look like product outside the mask, as share of the mask.
        recipe: Everything that made it: style, seed, checkpoint digest, mask source, versions.
        gate: Gate scores by name.
        relight: The light that was put on the product (share, tint, gradient); None where its
            pixels are as photographed.
        text: Room that was kept for text (box, ink, contrast); None for none.
        edits: What our own edits had done to the photograph before, oldest first.
    """

    variant: str
    photo: str
    mask: str
    offset: tuple[int, int]
    size: tuple[int, int]
    core_pixels: int
    core_changed: int
    core_outside: int
    edge_error: float
    silhouette_growth: float
    recipe: Mapping[str, Any]
    gate: Mapping[str, float]
    relight: Mapping[str, Any] | None = None
    text: Mapping[str, Any] | None = None
    edits: tuple[Mapping[str, Any], ...] = ()

    @property
    def product_unchanged(self) -> bool:
        """Whether every core pixel is in the variant, exactly as photographed."""
        return self.product_kept and self.relight is None

    @property
    def product_kept(self) -> bool:
        """Whether every core pixel is in the variant, if need be in the light of ``relight``."""
        return self.core_pixels > 0 and self.core_changed == 0 and self.core_outside == 0

    @property
    def labels(self) -> tuple[str, ...]:
        """What whoever sees the variant is to be told about the product in it."""
        relit = () if self.relight is None else ("product relit",)
        altered = any(edit.get("product") == "altered" for edit in self.edits)
        return (*relit, "photo altered") if altered else relit

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with ``product_unchanged`` and ``labels``."""
        derived = {"product_unchanged": self.product_unchanged, "labels": list(self.labels)}
        return asdict(self) | derived

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Certificate:
        """The inverse of :meth:`as_dict`."""
        known = {k: v for k, v in values.items() if k not in ("product_unchanged", "labels")}
        known["offset"] = tuple(known["offset"])
        known["size"] = tuple(known["size"])
        known["edits"] = tuple(known.get("edits", ()))
        return cls(**known)


@dataclass(frozen=True)
class VariantRecord:
    """A stored variant as serving and reports need it.

    Attributes:
        digest: SHA-256 of the file's bytes, hex; its name in the store.
        product: Product it shows.
        style: Style it was rendered in.
        certificate: Its proof.
        state: ``approved``, and it may be served; ``withdrawn``; or ``proposed``, which waits.
    """

    digest: str
    product: str
    style: Style
    certificate: Certificate
    state: State

    @property
    def approved(self) -> bool:
        """Whether it may be served."""
        return self.state == "approved"
