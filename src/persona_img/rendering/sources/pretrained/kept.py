"""Keeping the product for a pipeline that takes no mask: its latents are put back after every step.

References:
    Lugmayr et al. 2022, "RePaint", CVPR, arXiv:2201.09865.
    Avrahami, Fried, Lischinski 2023, "Blended Latent Diffusion", SIGGRAPH, arXiv:2206.02779.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from PIL import Image


def keeping(
    pipeline: Any, picture: Image.Image, paint: Image.Image, generator: torch.Generator
) -> dict[str, Any]:
    """Arguments of a Qwen-Image-Edit-Plus call that make it paint around what is kept.

    Args:
        pipeline: ``QwenImageEditPlusPipeline``; its latents are packed in patches of two by two.
        picture: What is kept, of the size that is painted.
        paint: White where it paints.
        generator: Of the noise that it begins with.
    """
    device = pipeline._execution_device
    codec, channels = pipeline.vae.dtype, pipeline.transformer.config.in_channels // 4
    pixels = pipeline.image_processor.preprocess(picture, picture.height, picture.width)
    with torch.no_grad():
        whole = pixels.unsqueeze(2).to(device=device, dtype=codec)
        latents = pipeline._encode_vae_image(whole, generator=generator)
    height, width = latents.shape[3:]
    white = torch.frombuffer(bytearray(paint.convert("L").tobytes()), dtype=torch.uint8)
    share = white.reshape(1, 1, paint.height, paint.width).to(device=device, dtype=torch.float32)
    free = torch.nn.functional.adaptive_max_pool2d(share / 255, (height, width))

    def packed(values: torch.Tensor) -> torch.Tensor:
        flat = values.reshape(1, channels, height, width).to(device=device, dtype=codec)
        return torch.as_tensor(pipeline._pack_latents(flat, 1, channels, height, width))

    noise = packed(torch.randn((1, channels, height, width), generator=generator))
    kept, free = packed(latents), packed(free.expand(1, channels, height, width))

    def put_back(
        pipe: Any, step: int, _: torch.Tensor, given: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        schedule = pipe.scheduler
        there = kept
        if step + 1 < len(schedule.timesteps):
            there = schedule.scale_noise(kept, schedule.timesteps[step + 1][None], noise)
        return {"latents": (1 - free) * there.to(given["latents"]) + free * given["latents"]}

    return {
        "latents": noise,
        "callback_on_step_end": put_back,
        "callback_on_step_end_tensor_inputs": ["latents"],
    }
