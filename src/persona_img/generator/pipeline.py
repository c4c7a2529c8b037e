"""The checkpoint as a diffusers pipeline: product and style in, backdrop plate out."""

# No postponed annotations: diffusers reads the types of a pipeline's parts when it loads one.
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from diffusers.utils import BaseOutput
from torch import Tensor

from persona_img.errors import InvalidInput
from persona_img.generator.codec import Codec
from persona_img.generator.denoiser import mask_cells, predict
from persona_img.generator.guidance import Chain, Guidance
from persona_img.generator.style_encoder import StyleEncoder

GRID = 32
"""Height and width must be multiples of this: the codec's 16 times the denoiser's 2."""


@dataclass
class BackdropOutput(BaseOutput):
    """Plates, float32 (B, 3, H, W) in 0..1: the backdrop with the product's shadow, without it."""

    images: Tensor


class BackdropPipeline(DiffusionPipeline):
    """Paints the backdrop a style asks for around, and under, a product's silhouette.

    The product itself is never painted: the plate is complete behind it, so whoever pastes the
    photograph back gets a clean edge.

    References:
        Rectified flow: Liu et al. 2022, arXiv:2209.03003; Esser et al. 2024, arXiv:2403.03206.
        Classifier-free guidance, of attributes too: see :mod:`.guidance`.

    Args:
        codec: Pictures to latents and back.
        denoiser: Predicts velocities.
        style_encoder: Styles to tokens.
        scheduler: Euler steps.
        steps: Steps from noise that it samples best with, unless told otherwise.
        guidance: Guidance that it samples best with; 1 where it was distilled.
        steps_from_start: Steps that suffice where sampling begins with a start; 0 for the share
            ``strength`` of ``steps``.
    """

    model_cpu_offload_seq = "style_encoder->denoiser->codec"

    def __init__(
        self,
        codec: Codec,
        denoiser: UNet2DConditionModel,
        style_encoder: StyleEncoder,
        scheduler: FlowMatchEulerDiscreteScheduler,
        steps: int = 8,
        guidance: float = 2.0,
        steps_from_start: int = 0,
    ) -> None:
        super().__init__()
        self.register_to_config(steps=steps, guidance=guidance, steps_from_start=steps_from_start)
        self.register_modules(
            codec=codec, denoiser=denoiser, style_encoder=style_encoder, scheduler=scheduler
        )

    @torch.no_grad()
    def __call__(
        self,
        product: Tensor,
        mask: Tensor,
        styles: Sequence[Mapping[str, str]],
        *,
        steps: int | None = None,
        guidance: Guidance | None = None,
        seeds: Sequence[int] | None = None,
        start: Tensor | None = None,
        strength: float = 1.0,
        conditions: Tensor | None = None,
    ) -> BackdropOutput:
        """Plates for a batch.

        Args:
            product: (B, 3, H, W) in -1..1, the product on mid-grey; H, W multiples of 32.
            mask: (B, 1, H, W) in 0..1, the product's silhouette.
            styles: B mappings with ``surface``, ``light``, ``palette``; others are ignored.
            steps: Euler steps from noise; from a start, the share ``strength`` of them. None for
                what the checkpoint samples best with, from noise or from a start.
            guidance: 1 is none; higher follows the style more closely. A mapping weighs attributes
                (``surface``, ``palette``, ``light``) apart; those it leaves out, and None, as for
                ``steps``. The denoiser is asked once a step, of as many variants of the style as
                there are unlike weights, and one more.
            seeds: B seeds. A picture depends on its own seed only, not on its batch.
            start: (B, 3, H, W) in -1..1, what sampling begins with (img2img); None for noise.
            strength: Share of noise put on the start, in (0, 1]; 1 forgets it.
            conditions: What :meth:`conditions` made of the same products and masks, where it is
                known already: many styles of one photograph share it.

        Raises:
            InvalidInput: sizes that do not fit each other or the grid; a strength outside (0, 1];
                a guidance of something else than an attribute.
            UnknownStyle: a value the checkpoint was not trained on.
        """
        begin = self.config.steps_from_start if steps is None and start is not None else 0
        steps = self.config.steps if steps is None else steps
        usual = self.config.guidance
        chain = Chain.of(usual if guidance is None else guidance, usual)
        batch, _, height, width = product.shape
        if height % GRID or width % GRID or mask.shape != (batch, 1, height, width):
            raise InvalidInput(
                f"product {tuple(product.shape)} and mask {tuple(mask.shape)}: give (B, 3, H, W) "
                f"and (B, 1, H, W) with H and W multiples of {GRID}"
            )
        if len(styles) != batch or (seeds is not None and len(seeds) != batch):
            raise InvalidInput(
                f"{batch} products, {len(styles)} styles: give one style and seed each"
            )
        device = self._execution_device
        dtype = self.denoiser.dtype
        if conditions is None:
            conditions = self.conditions(product.to(device), mask.to(device))
        conditions = conditions.to(device, dtype)
        indices = (x.to(device) for x in self.style_encoder.indices(styles))
        tokens = chain.tokens(self.style_encoder, *indices).to(dtype)
        if not 0.0 < strength <= 1.0 or (start is not None and start.shape != product.shape):
            raise InvalidInput(
                f"strength {strength} and start {None if start is None else tuple(start.shape)}: "
                f"give a share above 0 and at most 1, and a start like the product"
            )
        latents = self._noise(batch, height, width, seeds).to(device, dtype)
        if start is None:
            strength = 1.0
        else:
            begun = self.codec.encode(start.to(device, self.codec.dtype)).to(dtype)
            latents = (1.0 - strength) * begun + strength * latents
        count = begin or max(1, round(strength * steps))
        sigmas = [strength * (1.0 - i / count) for i in range(count)]
        # A copy: the scheduler counts its steps, and calls may overlap.
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(sigmas=sigmas, device=device)
        variants = len(chain.told)
        for time in self.progress_bar(scheduler.timesteps):
            velocities = predict(
                self.denoiser,
                torch.cat([latents] * variants),
                torch.cat([conditions] * variants),
                time.expand(variants * batch),
                tokens,
            )
            latents = scheduler.step(chain.join(velocities), time, latents).prev_sample
        pictures = self.codec.decode(latents.to(self.codec.dtype)).float()
        return BackdropOutput(images=((pictures + 1) / 2).clamp(0, 1))

    @property
    def _execution_device(self) -> torch.device:
        """Where tensors go; diffusers' own looks through every layer for hooks that move them."""
        if not torch.accelerator.is_available():
            return torch.device("cpu")
        return cast("torch.device", super()._execution_device)

    @torch.no_grad()
    def conditions(self, product: Tensor, mask: Tensor) -> Tensor:
        """What the denoiser sees besides noise: product latents and the mask's sub-cells."""
        latents = self.codec.encode(product.to(self.codec.dtype))
        return torch.cat([latents, mask_cells(mask).to(latents.dtype)], dim=1)

    def _noise(self, batch: int, height: int, width: int, seeds: Sequence[int] | None) -> Tensor:
        shape = (self.codec.config.latent_channels, height // 16, width // 16)
        if seeds is None:
            return torch.randn(batch, *shape)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.stack([torch.randn(shape, generator=g) for g in generators])
