"""What large models would cost: SDXL inpainting's and FLUX.1 Fill's shapes on a GPU.

Run ``python benchmarks/large_models.py`` where a GPU is, ``--tiny`` where none is. The weights are
random, so nothing is downloaded; time depends on shapes, not on what was learned. Prompts are given
as embeddings: text encoders are not counted. Each schedule is timed for one picture at a time and
for the largest batch that fits. The figures of a run are to be compared with each other only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from timing import CONSOLE, Row, attempt, begin, keep, measure, options, table

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from torch import Tensor

LARGEST = {False: 8, True: 2}  # batch, by --tiny
NO_TEXT = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
SDXL_UNET = {
    "sample_size": 128,
    "in_channels": 9,  # latents, those of the masked picture, the mask
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 6 * 256 + 1280,
}
SDXL_TINY = {
    "block_out_channels": (8, 8, 16),
    "transformer_layers_per_block": (1, 1, 1),
    "attention_head_dim": (1, 1, 2),
    "norm_num_groups": 4,
    "cross_attention_dim": 16,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 16,
}
SDXL_NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
FLUX = {
    "patch_size": 1,
    "in_channels": 384,  # 64 of latents, 64 of the masked picture's, 256 of the mask
    "out_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
FLUX_TINY = {
    "num_layers": 1,
    "num_single_layers": 1,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "joint_attention_dim": 16,
    "pooled_projection_dim": 16,
    "axes_dims_rope": (4, 4, 8),
}
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "sample_size": 1024,
}
VAE_TINY = {"block_out_channels": (8,) * 4, "layers_per_block": 1, "norm_num_groups": 4}
SDXL_VAE = {"latent_channels": 4, "scaling_factor": 0.13025}
FLUX_VAE = {
    "latent_channels": 16,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


@dataclass(frozen=True)
class Model:
    """A pipeline with random weights.

    Attributes:
        name: For the tables.
        schedules: Steps and guidance.
        pipeline: Of diffusers; it gets embeddings in place of prompts.
        prompt: Length and width of a prompt's embedding, and width of the pooled one.
        negative: Whether guidance asks for the embeddings of a negative prompt.
        side: Of its pictures, pixels.
    """

    name: str
    schedules: tuple[tuple[int, float], ...]
    pipeline: Any
    prompt: tuple[int, int, int]
    negative: bool
    side: int

    def __call__(self, batch: int, steps: int, guidance: float) -> Tensor:
        """Pictures (B, 3, side, side): all but a product in the middle is painted."""
        device = self.pipeline.vae.device
        length, width, pooled = self.prompt
        quarter = self.side // 4
        mask = torch.ones(batch, 1, self.side, self.side, device=device)
        mask[..., quarter:-quarter, quarter:-quarter] = 0
        asked: Row = {}
        for kind in ("", "negative_") if self.negative else ("",):
            some = partial(torch.randn, device=device, dtype=torch.bfloat16)
            asked[f"{kind}prompt_embeds"] = some(batch, length, width)
            asked[f"{kind}pooled_prompt_embeds"] = some(batch, pooled)
        if self.negative:
            asked["strength"] = 1.0  # below it, fewer steps are taken than were asked for
        return self.pipeline(
            image=torch.rand(batch, 3, self.side, self.side, device=device),
            mask_image=mask,
            height=self.side,
            width=self.side,
            num_inference_steps=steps,
            guidance_scale=guidance,
            output_type="pt",
            **asked,
        ).images

    def check(self, guidance: float, batch: int) -> None:
        """One step, which has every shape of many; what is not finite would be no picture."""
        self.pipeline.vae.to(torch.bfloat16)  # a call that ran out of memory may leave it float32
        if not torch.isfinite(self(batch, 1, guidance)).all():
            raise RuntimeError(f"{self.name}: not finite")


def random_model(kind: type[torch.nn.Module], config: Row, device: torch.device) -> torch.nn.Module:
    """A model in bfloat16 with normal weights that keep the spread of what goes through it.

    It never lies in the host's memory. Zeros would not do: a GPU computes with them at a higher
    clock.
    """
    with torch.device("meta"):
        model = kind(**config)
    model = model.to(torch.bfloat16).to_empty(device=device).eval().requires_grad_(False)
    for name, value in model.named_parameters():
        if value.ndim > 1:
            value.normal_(std=value[0].numel() ** -0.5)
        elif name.endswith("bias"):
            value.normal_(std=0.02)
        else:
            value.fill_(1.0)  # of a norm
    return model


def sdxl(device: torch.device, tiny: bool) -> Model:
    """SDXL inpainting, its codec in float32 where it encodes, as its config asks."""
    config, vae = SDXL_UNET | (SDXL_TINY if tiny else {}), VAE | SDXL_VAE
    pipeline = diffusers.StableDiffusionXLInpaintPipeline(
        vae=random_model(diffusers.AutoencoderKL, vae | (VAE_TINY if tiny else {}), device),
        unet=random_model(diffusers.UNet2DConditionModel, config, device),
        scheduler=diffusers.EulerDiscreteScheduler(**SDXL_NOISE),
        add_watermarker=False,
        **NO_TEXT,
    )
    pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    prompt = (77, config["cross_attention_dim"], pooled)
    schedules = ((4, 1.0), (30, 7.5))  # few steps are distilled models', which take no guidance
    return Model("SDXL inpainting", schedules, pipeline, prompt, True, 64 if tiny else 1024)


def flux(device: torch.device, tiny: bool) -> Model:
    """FLUX.1 Fill; its guidance is an input, not a second call."""
    config, vae = FLUX | (FLUX_TINY if tiny else {}), VAE | FLUX_VAE
    pipeline = diffusers.FluxFillPipeline(
        vae=random_model(diffusers.AutoencoderKL, vae | (VAE_TINY if tiny else {}), device),
        transformer=random_model(diffusers.FluxTransformer2DModel, config, device),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        **NO_TEXT,
    )
    prompt = (512, config["joint_attention_dim"], config["pooled_projection_dim"])
    schedules = ((4, 30.0), (28, 30.0))
    return Model("FLUX.1 Fill", schedules, pipeline, prompt, False, 64 if tiny else 1024)


def measure_model(
    build: Callable[[torch.device, bool], Model], device: torch.device, given: Namespace
) -> list[Row]:
    """Rows of a model: one picture at a time, and the largest batch that fits."""
    model, rows = build(device, given.tiny), []
    model.pipeline.set_progress_bar_config(disable=True)
    most = given.largest or LARGEST[given.tiny]
    batches = [n for n in (8, 4, 2, 1) if n <= most]

    def one(steps: int, guidance: float, batch: int) -> Row:
        model.check(guidance, batch)
        what: Row = {"model": model.name, "side": model.side, "steps": steps, "guidance": guidance}
        row = what | measure(partial(model, batch, steps, guidance), batch, device, given)
        return row | {"seconds_each": row["seconds"] / batch}

    for steps, guidance in model.schedules:
        fitting = (attempt(partial(one, steps, guidance, n)) for n in batches)
        largest = next((row for row in fitting if row is not None), None)
        if largest is None:
            CONSOLE.print(f"{model.name}, guidance {guidance:g}: not even one picture fits")
            continue
        rows += [largest] if largest["batch"] == 1 else [one(steps, guidance, 1), largest]
    print_model(model, rows)
    return rows


def print_model(model: Model, rows: list[Row]) -> None:
    """A table of its rows."""
    parts = model.pipeline.components.values()
    models = [part for part in parts if isinstance(part, torch.nn.Module)]
    size = sum(value.numel() for part in models for value in part.parameters()) / 1e9
    heads = ("steps", "guidance", "batch", "s a picture", "pictures/s", "GiB", "per 1000")
    names = ("steps", "guidance", "batch", "seconds_each", "per_second", "memory_gib")
    cells = ([row[name] for name in (*names, "cost_per_thousand")] for row in rows)
    table(f"{model.name}, {size:.3g} G parameters, {model.side} px", heads, cells)


def main() -> None:
    """Measure and print one model after the other."""
    parser = options(__doc__)
    parser.add_argument("--largest", type=int, choices=(1, 2, 4, 8), help="batch to try (8)")
    given = parser.parse_args()
    device, results = begin(given)
    torch.manual_seed(0)
    for name, build in {"sdxl": sdxl, "flux": flux}.items():
        rows = attempt(partial(measure_model, build, device, given))
        if rows is None:
            CONSOLE.print(f"{name} is left out: it does not fit this GPU's memory")
        results[name] = rows or []
        keep(given, results)


if __name__ == "__main__":
    main()
