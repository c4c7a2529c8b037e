"""A family of pretrained models: which pipeline of diffusers paints, at which size, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Steering:
    """How a family takes a ControlNet.

    Attributes:
        network: Class of the ControlNet.
        pipeline: Class of the pipeline with one.
        scale: How strongly it steers where nobody says.
        inpaints: Whether it is itself what keeps the product: then it is shown picture and mask,
            and the pipeline begins with noise alone. Otherwise it is shown edges.
    """

    network: str
    pipeline: str
    scale: float
    inpaints: bool = False


@dataclass(frozen=True)
class Family:
    """Models that one pipeline paints with.

    Attributes:
        name: As people call it.
        classes: ``_class_name`` of ``model_index.json`` that belong to it.
        pipeline: Class of diffusers that paints around a product.
        side: Side of the square whose area it was trained on, pixels.
        grid: Sides of what it paints are multiples of this, pixels.
        steps: Sampling steps.
        guidance: How strongly the prompt is followed.
        quick: Steps and guidance of its distilled models; None where there are none.
        guide: Argument that takes the guidance.
        least: Guidance at and below which nothing is guided: half the work.
        fixed: Further arguments of every call.
        negative: Whether it knows what is not wanted.
        form: ``describe`` says what the picture shows, ``edit`` what to change in it.
        mask: How it is told what to keep: an argument's name, or ``latents`` where it takes none
            and the latents of what is kept are put back after every step (:mod:`.kept`).
        picture: Argument that takes the picture.
        strength: Whether it can begin with the picture, and so go on from one.
        batch: Whether it paints several prompts at once.
        embeds: What its ``encode_prompt`` returns, by the call's arguments, None for what the
            call takes from elsewhere; empty where a prompt is read together with the picture.
        blank: Argument for the embedding of an empty prompt, which it guides away from.
        look: Argument that takes a picture whose look is taken over; ``several`` where it is one
            more picture of the first argument.
        adapter: Whether an IP-Adapter can be loaded that brings its own image encoder.
        controlnet: How it takes a ControlNet; None where no pipeline paints around a product so.
        seeing: Whether its text encoder reads prompts together with pictures.
        denoiser: Component that is by far the largest.
        encoder: Text encoder worth quantising beside it.
        sampled: Whether the network's configuration says the size it was trained on.
        licence: Key of :data:`.licences.LICENCES` that its models usually have.

    References:
        Lugmayr et al. 2022, "RePaint", CVPR, arXiv:2201.09865: what is kept is put back each step.
    """

    name: str
    classes: tuple[str, ...]
    pipeline: str
    side: int
    grid: int
    steps: int
    guidance: float
    quick: tuple[int, float] | None = None
    guide: str = "guidance_scale"
    least: float = 1.0
    fixed: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    negative: bool = False
    form: Literal["describe", "edit"] = "describe"
    mask: str = "mask_image"
    picture: str = "image"
    strength: bool = True
    batch: bool = True
    embeds: tuple[str | None, ...] = ()
    blank: str | None = None
    look: str | None = None
    adapter: bool = False
    controlnet: Steering | None = None
    seeing: bool = False
    denoiser: str = "transformer"
    encoder: str | None = None
    sampled: bool = False
    licence: str = "unknown"

    def fit(self, height: int, width: int, side: int | None = None) -> tuple[int, int]:
        """Height and width it paints a canvas of this shape at.

        The canvas's proportions, its own number of pixels and never more (FLUX.2 would scale the
        picture down by itself, off its grid), both sides on its grid.

        Args:
            height: Of the canvas.
            width: Of the canvas.
            side: Another side than its own.
        """
        area, grid = (side or self.side) ** 2, self.grid
        best = math.sqrt(area * width / height) / grid
        found = []
        for across in {max(1, math.floor(best)), math.ceil(best)}:
            exact = across * height / width
            for down in {max(1, math.floor(exact)), max(1, math.ceil(exact))}:
                if across * down * grid * grid <= area:
                    off = abs(math.log(down / exact))
                    found.append((off, -across * down, down, across))
        if not found:  # a strip thinner than the grid
            return (
                (area // grid**2 * grid, grid) if height > width else (grid, area // grid**2 * grid)
            )
        _, _, down, across = min(found)
        return down * grid, across * grid

    def usual(self, *, distilled: bool) -> tuple[int, float]:
        """Steps and guidance where nobody says others."""
        return self.quick if distilled and self.quick is not None else (self.steps, self.guidance)

    def steered(self) -> Family:
        """The family with its ControlNet.

        Raises:
            InvalidInput: it takes none.
        """
        how = self.controlnet
        if how is None:
            raise InvalidInput(
                f"{self.name} with a controlnet: no pipeline of diffusers paints around a product "
                "with one; leave it out"
            )
        steered = replace(self, pipeline=how.pipeline)
        if not how.inpaints:
            return steered
        # Its codec draws chance that no generator of ours reaches: one picture at a time.
        return replace(
            steered, mask="control_mask", picture="control_image", strength=False, batch=False
        )
