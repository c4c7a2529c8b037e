"""What rendering is made of: a renderer, the source of its backdrops, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from persona_img.errors import InvalidInput
from persona_img.imaging.frame import Frame
from persona_img.masking.base import MIN_CONFIDENCE
from persona_img.rendering.framing import Layout
from persona_img.rendering.proof.gate import RULES, Rule
from persona_img.rendering.relight import SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from persona_img.domain.style import Style
    from persona_img.domain.variant import Certificate
    from persona_img.errors import RenderRejected
    from persona_img.imaging.copies import CopyIndex
    from persona_img.imaging.photo import Photo
    from persona_img.masking.base import ProductMask
    from persona_img.rendering.proof.gate import GateReport


@dataclass(frozen=True)
class RenderSettings:
    """How variants are made.

    Attributes:
        candidates: Painted for each variant, each with its own seed; of those that pass the gate
            the one that shows its style best is kept, or the one that a judge of pictures prefers.
        tries: Candidates painted at most while none passes, before the fallback or rejection.
        min_confidence: Masks trusted less are refused; a person must supply or approve them.
        painted: Share, 0..1, of what a painter changed about its set's light that is taken over.
        colour_pull: Share, 0..1, of a plate's colour error that is corrected.
        materials: Folder of materials; None is the shipped one.
        layout: Format of an advertisement, and room for text.
        relight: Share, 0..1, of the backdrop's light that is put on the product; 0 keeps it exactly
            as photographed. Above, certificate and picture say so.
        relight_from: One of ``relight.SIDES`` that this light comes from; None for the style's.
        light_wrap: Share, 0..1, of the backdrop's light that wraps around the product's edge.
        rules: What a variant must be; see :mod:`.gate`.

    Raises:
        InvalidInput: a share outside 0..1, or another side.
    """

    candidates: int = 1
    tries: int = 3
    min_confidence: float = MIN_CONFIDENCE
    painted: float = 1.0
    colour_pull: float = 0.7
    materials: Path | None = None
    layout: Layout = field(default_factory=Layout)
    relight: float = 0.0
    relight_from: str | None = None
    light_wrap: float = 0.0
    rules: tuple[Rule, ...] = RULES

    def __post_init__(self) -> None:
        for name in ("painted", "colour_pull", "relight", "light_wrap"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise InvalidInput(f"{name}={value}: give a share from 0 to 1")
        if self.relight_from is not None and self.relight_from not in SIDES:
            raise InvalidInput(f"relight_from={self.relight_from}: choose from {', '.join(SIDES)}")


@dataclass(frozen=True, eq=False)
class Variant:
    """A rendered picture with its proof.

    Attributes:
        png: The file's bytes; their SHA-256 names the variant.
        pixels: uint8 sRGB (H, W, 3), what the file shows.
        certificate: What anybody can check again.
        mask: The product's alpha, of the photograph's size.
        gate: What the gate measured.
        style: Style asked for.
        seed: Seed asked for; the one that was used is in the certificate's recipe.
        seconds: Stage to seconds it took; ``mask`` is counted with every variant of a photo.
    """

    png: bytes
    pixels: NDArray[np.uint8]
    certificate: Certificate
    mask: ProductMask
    gate: GateReport
    style: Style
    seed: int
    seconds: Mapping[str, float]

    @property
    def alpha(self) -> NDArray[np.uint8]:
        """The product on the variant's canvas, uint8 (H, W)."""
        certificate = self.certificate
        return Frame(*certificate.size, *certificate.offset).place(self.mask.alpha, 0)

    @property
    def digest(self) -> str:
        """SHA-256 of ``png``, hex."""
        return self.certificate.variant


@runtime_checkable
class BackdropSource(Protocol):
    """Paints plates: the backdrop with the product's cast shadow, complete behind the product.

    Attributes:
        name: Short name for recipes and reports.
        shows: Attributes of a style that can be seen in its plates.
        casts_shadows: Whether a plate that it paints itself has the product's contact shadow.
    """

    name: str
    shows: tuple[str, ...]
    casts_shadows: bool

    def fingerprint(self) -> str:
        """Hex digest of everything a plate depends on besides the arguments of :meth:`plates`."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the plates painted for a canvas of this shape; sides in pixels."""

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """Mean Lab (CIE, D65) the style asks of the evenly lit backdrop.

        Raises:
            UnknownStyle: a value that this source cannot paint.
        """

    def material(self, style: Mapping[str, str]) -> str | None:
        """The surface that its set is built of, and whose detail is shown at the canvas's size.

        None where a plate it paints has all its detail; its set, where it wants one, is of paper.
        """

    def plates(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """One plate per style.

        Args:
            product: uint8 (h, w, 3), the product on mid-grey, of a size given by :meth:`size`.
            mask: float32 (h, w) in 0..1, its silhouette.
            styles: Attribute to value.
            seeds: One per style; a plate depends on its own seed, not on its neighbours.
            starts: Per style what the plate may begin with: its set, float32 sRGB 0..1 (h, w, 3),
                or None.

        Returns:
            float32 sRGB 0..1 (h, w, 3), one per style; the start itself, the same object, where
            nothing was painted on it: the set is then drawn at the canvas's size.

        Raises:
            UnknownStyle: a value that this source cannot paint.
        """

    def training_pictures(self) -> CopyIndex | None:
        """Index of the pictures it learned from; None where it learned from none."""


@runtime_checkable
class PictureJudge(Protocol):
    """Says which of several pictures of one product in one style is to be kept."""

    def reward(self, style: Style, picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> float:
        """How good a picture is; only differences within one product mean something.

        Args:
            style: The style it was rendered in.
            picture: uint8 sRGB (H, W, 3).
            alpha: uint8 (H, W), the product on it.

        Returns:
            A finite number: the same arguments give the same.
        """

    def fingerprint(self) -> str:
        """Hex digest of everything a reward depends on besides its arguments."""


@runtime_checkable
class PictureMark(Protocol):
    """Puts eight bytes into a picture's backdrop, where no eye sees them."""

    def mark(
        self, pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], payload: bytes
    ) -> NDArray[np.uint8]:
        """The picture with a payload; the same arguments give the same pixels.

        Args:
            pixels: uint8 sRGB (H, W, 3).
            alpha: uint8 (H, W), the product: only where it is 0 may anything change.
            payload: 8 bytes.
        """

    def fingerprint(self) -> str:
        """Hex digest of everything a mark depends on besides its arguments; tells no secret."""


@runtime_checkable
class Renderer(Protocol):
    """Makes variants of photographs."""

    def render(self, photo: Photo, style: Style, *, seed: int) -> Variant:
        """The photograph in a style.

        Raises:
            LowMaskConfidence: the product could not be told from its backdrop.
            RenderRejected: no candidate passed the gate.
            UnknownStyle: the original, or a value that cannot be painted.
        """

    def render_many(
        self,
        photo: Photo,
        styles: Sequence[Style],
        seeds: Sequence[int],
        *,
        on_rejected: Callable[[Style, RenderRejected], None] | None = None,
    ) -> Iterator[Variant]:
        """Variants of one photograph in the order of ``styles``, sharing its mask.

        Args:
            photo: The photograph.
            styles: Styles wanted.
            seeds: One per style.
            on_rejected: Told of each style that no candidate passed for, which is then left
                out; None raises instead.
        """

    def fingerprint(self) -> str:
        """Hex digest of everything a variant depends on besides photo, style and seed."""
