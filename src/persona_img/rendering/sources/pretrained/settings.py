"""What a pretrained model is asked for besides the style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.rendering.sources.pretrained.family import Family

MEMORY = ("auto", "whole", "model", "sequential")
"""How a model lies in the GPU's memory; see :func:`.memory.plan`."""
QUANTISED = ("int8", "int4", "torchao-int8")
"""How weights may be made smaller: bitsandbytes' eight and four bits, torchao's eight."""
LEAST_SIDE = 64


@dataclass(frozen=True)
class PretrainedSettings:
    """How a pretrained pipeline paints; None is what suits its family.

    Attributes:
        mode: ``inpaint`` paints around the product; ``image`` paints over the whole start.
        steps: Sampling steps.
        guidance: How strongly the prompt is followed.
        strength: How far it may leave the picture it begins with, in (0, 1]; None is 1, a new
            backdrop, and .9 in the mode ``image``.
        side: Side of the square whose area it paints at, pixels.
        band: Share of the short side, 0 to 0.1, by which the product is kept larger while the
            backdrop is painted, so that the model cannot make the product grow; then the band
            alone is painted. 0 keeps the exact outline and paints once.
        batch: Styles painted at once. Above 1 the last bits of a plate depend on its neighbours.
        product: The product's own words.
        prompt: Free text added to every prompt.
        negative: Free text added to what is not wanted.
        lora: Folder or id of weights for it to wear.
        lora_scale: How much of them.
        controlnet: Folder or id of a ControlNet of its family.
        control_scale: How strongly it steers.
        look: A picture whose look is taken over, by an IP-Adapter or by the model itself.
        ip_adapter: Folder or id, subfolder and file of an IP-Adapter, and the folder of its image
            encoder where that is not ``image_encoder`` in the subfolder.
        ip_scale: How strongly the look is taken over.
        revision: Of the hub's repository; give a commit where plates must stay the same.
        accept_licence: Somebody says that a non-commercial licence allows this use.
        memory: One of :data:`MEMORY`.
        quantise: One of :data:`QUANTISED`; None for none.
        device: torch device; None for cuda where there is one.
        dtype: Name of a torch dtype; None for bfloat16 on a GPU and float32 elsewhere.

    Raises:
        InvalidInput: a value that cannot be.
    """

    mode: Literal["inpaint", "image"] = "inpaint"
    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None
    side: int | None = None
    band: float = 0.015
    batch: int = 1
    product: str = ""
    prompt: str = ""
    negative: str = ""
    lora: str | None = None
    lora_scale: float = 1.0
    controlnet: str | None = None
    control_scale: float | None = None
    look: Path | None = None
    ip_adapter: tuple[str, ...] | None = None
    ip_scale: float = 0.6
    revision: str | None = None
    accept_licence: bool = False
    memory: str = "auto"
    quantise: str | None = None
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("inpaint", "image"):
            raise InvalidInput(f"mode={self.mode}: choose from inpaint, image")
        if self.strength is not None and not 0.0 < self.strength <= 1.0:
            raise InvalidInput(f"strength={self.strength}: give a share above 0 and at most 1")
        if self.side is not None and self.side < LEAST_SIDE:
            raise InvalidInput(f"side={self.side}: plates need at least {LEAST_SIDE} pixels")
        if not 0.0 <= self.band <= 0.1:
            raise InvalidInput(f"band={self.band}: give a share of the short side from 0 to 0.1")
        if self.batch < 1:
            raise InvalidInput(f"batch={self.batch}: at least one style is painted at once")
        if self.ip_adapter is not None and self.look is None:
            raise InvalidInput(
                f"ip_adapter={'/'.join(self.ip_adapter)}: it takes over the look of a picture; "
                "give a look too"
            )
        if self.ip_adapter is not None and len(self.ip_adapter) not in (3, 4):
            raise InvalidInput(
                f"ip_adapter={','.join(self.ip_adapter)}: give folder or id, subfolder and file, "
                "and the folder of its image encoder where that lies elsewhere"
            )
        if self.memory not in MEMORY:
            raise InvalidInput(f"memory={self.memory}: choose from {', '.join(MEMORY)}")
        if self.quantise is not None and self.quantise not in QUANTISED:
            raise InvalidInput(f"quantise={self.quantise}: choose from {', '.join(QUANTISED)}")
        if self.mode == "image" and self.controlnet is not None:
            raise InvalidInput(
                "mode=image with a controlnet: it steers what is painted around the product; "
                "take mode inpaint, or leave the controlnet out"
            )

    @property
    def share(self) -> float:
        """How far a plate may leave its start."""
        if self.strength is not None:
            return self.strength
        return 1.0 if self.mode == "inpaint" else 0.9

    def check_heard(self, family: Family, usual: float) -> None:
        """Refuse what a family does not hear.

        Args:
            family: Of the model.
            usual: Guidance of the model where these settings say none.

        Raises:
            InvalidInput: a negative prompt, an IP-Adapter or a look that would change nothing.
        """
        guidance = usual if self.guidance is None else self.guidance
        if self.negative and not family.negative:
            raise InvalidInput(
                f"negative={self.negative}: {family.name} knows no negative prompt; leave it out, "
                "or say in the prompt what is wanted instead"
            )
        if self.negative and family.steps and guidance <= family.least:
            raise InvalidInput(
                f"negative={self.negative}: at guidance {guidance:g} {family.name} hears no "
                f"negative prompt; give a guidance above {family.least:g}, or leave it out"
            )
        if self.ip_adapter is not None and not family.adapter:
            raise InvalidInput(
                f"ip_adapter={'/'.join(self.ip_adapter)}: {family.name} takes none; leave it out"
            )
        if self.look is not None and self.ip_adapter is None and family.look is None:
            raise InvalidInput(
                f"look={self.look}: {family.name} takes over no picture's look by itself; "
                + ("give an IP-Adapter too" if family.adapter else "leave it out")
            )
