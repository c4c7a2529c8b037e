"""A pipeline of the real classes at tiny size, untrained but not silent."""

from __future__ import annotations

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from persona_img.generator.codec import Codec
from persona_img.generator.denoiser import new_denoiser
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.generator.style_encoder import StyleEncoder


def tiny_pipeline(seed: int = 0) -> BackdropPipeline:
    torch.manual_seed(seed)
    encoder = StyleEncoder(
        {"linen": [80, 1, 4, 1.0], "wood": [70, 6, 20, 0.4]},
        ["soft", "sun"],
        {"neutral": [0, 0], "sage": [-8, 7]},
        width=32,
        scenes=["flat-lay", "tabletop"],
    )
    made = BackdropPipeline(
        Codec(8, (16, 16, 32)).eval(),
        new_denoiser(8, 32, (32, 32)).eval(),
        encoder.eval(),
        FlowMatchEulerDiscreteScheduler(),
    )
    made.set_progress_bar_config(disable=True)
    return made
