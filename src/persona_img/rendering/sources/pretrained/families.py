"""The families of pretrained models that are known by name.

What each call takes was read in diffusers 0.42: the arguments differ from family to family, and one
that is left to its default (SD 3's strength of 0.6, Kontext's own choice of size) spoils a plate
without an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from persona_img.rendering.sources.pretrained.family import Family, Steering

if TYPE_CHECKING:
    from collections.abc import Mapping

_DISTILLED = ("turbo", "lightning", "schnell", "hyper-", "lcm")
"""Parts of a model's name that say it paints in a few steps and without guidance."""
_GUIDED = ("prompt_embeds", "negative_prompt_embeds")
_POOLED = (*_GUIDED, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_FLUX = ("prompt_embeds", "pooled_prompt_embeds", None)

FAMILIES: tuple[Family, ...] = (
    Family(
        name="Stable Diffusion 1 and 2",
        classes=("StableDiffusionPipeline", "StableDiffusionInpaintPipeline"),
        pipeline="StableDiffusionInpaintPipeline",
        side=512,
        grid=8,
        steps=30,
        guidance=7.5,
        quick=(4, 1.0),
        negative=True,
        embeds=_GUIDED,
        adapter=True,
        controlnet=Steering("ControlNetModel", "StableDiffusionControlNetInpaintPipeline", 0.6),
        denoiser="unet",
        sampled=True,
        licence="openrail-m",
    ),
    Family(
        name="Stable Diffusion XL",
        classes=("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline"),
        pipeline="StableDiffusionXLInpaintPipeline",
        side=1024,
        grid=8,
        steps=30,
        guidance=6.0,
        quick=(4, 1.0),
        negative=True,
        embeds=_POOLED,
        adapter=True,
        controlnet=Steering("ControlNetModel", "StableDiffusionXLControlNetInpaintPipeline", 0.6),
        denoiser="unet",
        sampled=True,
        licence="openrail++-m",
    ),
    Family(
        name="Stable Diffusion 3.5",
        classes=("StableDiffusion3Pipeline", "StableDiffusion3InpaintPipeline"),
        pipeline="StableDiffusion3InpaintPipeline",
        side=1024,
        grid=16,
        steps=40,
        guidance=4.5,
        quick=(4, 1.0),
        negative=True,
        embeds=_POOLED,
        controlnet=Steering(
            "SD3ControlNetModel",
            "StableDiffusion3ControlNetInpaintingPipeline",
            0.95,
            inpaints=True,
        ),
        encoder="text_encoder_3",
        licence="stability-community",
    ),
    Family(
        name="FLUX.1 Fill",
        classes=("FluxFillPipeline",),
        pipeline="FluxFillPipeline",
        side=1024,
        grid=16,
        steps=40,
        guidance=30.0,
        embeds=_FLUX,
        encoder="text_encoder_2",
        licence="flux-dev-non-commercial",
    ),
    Family(
        name="FLUX.1 Kontext",
        classes=("FluxKontextPipeline", "FluxKontextInpaintPipeline"),
        pipeline="FluxKontextInpaintPipeline",
        side=1024,
        grid=16,
        steps=28,
        guidance=2.5,
        # It would choose among its training sizes by itself, whatever was asked for.
        fixed={"_auto_resize": False},
        form="edit",
        embeds=_FLUX,
        look="image_reference",
        encoder="text_encoder_2",
        licence="flux-dev-non-commercial",
    ),
    Family(
        name="FLUX.1",
        classes=("FluxPipeline", "FluxInpaintPipeline"),
        pipeline="FluxInpaintPipeline",
        side=1024,
        grid=16,
        steps=28,
        guidance=3.5,
        quick=(4, 0.0),
        embeds=_FLUX,
        encoder="text_encoder_2",
        licence="flux-dev-non-commercial",
    ),
    Family(
        name="FLUX.2 klein",
        classes=("Flux2KleinPipeline", "Flux2KleinInpaintPipeline"),
        pipeline="Flux2KleinInpaintPipeline",
        side=1024,
        grid=16,
        steps=50,
        guidance=4.0,
        quick=(4, 1.0),
        form="edit",
        embeds=("prompt_embeds", None),
        blank="negative_prompt_embeds",
        look="image_reference",
        encoder="text_encoder",
        licence="flux-klein-unknown",
    ),
    Family(
        name="Z-Image",
        classes=("ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline"),
        pipeline="ZImageInpaintPipeline",
        side=1024,
        grid=16,
        steps=50,
        guidance=4.0,
        quick=(9, 0.0),
        least=0.0,
        negative=True,
        embeds=_GUIDED,
        encoder="text_encoder",
        licence="apache-2.0",
    ),
    Family(
        name="Qwen-Image",
        classes=("QwenImagePipeline", "QwenImageInpaintPipeline"),
        pipeline="QwenImageInpaintPipeline",
        side=1024,
        grid=32,
        steps=50,
        guidance=4.0,
        quick=(8, 1.0),
        guide="true_cfg_scale",
        negative=True,
        batch=False,
        encoder="text_encoder",
        licence="apache-2.0",
    ),
    Family(
        name="Qwen-Image-Edit",
        classes=("QwenImageEditPipeline", "QwenImageEditInpaintPipeline"),
        pipeline="QwenImageEditInpaintPipeline",
        side=1024,
        grid=32,
        steps=40,
        guidance=4.0,
        quick=(8, 1.0),
        guide="true_cfg_scale",
        negative=True,
        form="edit",
        batch=False,
        seeing=True,
        encoder="text_encoder",
        licence="apache-2.0",
    ),
    Family(
        name="Qwen-Image-Edit-Plus",
        classes=("QwenImageEditPlusPipeline",),
        pipeline="QwenImageEditPlusPipeline",
        side=1024,
        grid=32,
        steps=40,
        guidance=4.0,
        quick=(8, 1.0),
        guide="true_cfg_scale",
        negative=True,
        form="edit",
        mask="latents",
        strength=False,
        batch=False,
        look="several",
        seeing=True,
        encoder="text_encoder",
        licence="apache-2.0",
    ),
)

OTHER = Family(
    name="another",
    classes=(),
    pipeline="AutoPipelineForInpainting",
    side=1024,
    grid=64,
    steps=0,
    guidance=0.0,
    negative=True,
    batch=False,
    adapter=True,
    controlnet=Steering("ControlNetModel", "AutoPipelineForInpainting", 0.6),
)
"""What is not in the table: diffusers chooses the pipeline, its own defaults hold, and of our
arguments it gets those that its call has."""


def family_of(class_name: str) -> Family:
    """The family of a pipeline's class; :data:`OTHER` of one that is not in the table."""
    for family in FAMILIES:
        if class_name in family.classes:
            return family
    return OTHER


def is_distilled(model: str, index: Mapping[str, Any]) -> bool:
    """Whether a model paints in a few steps: it says so itself, or its name does.

    Args:
        model: Id or folder.
        index: Its ``model_index.json``.
    """
    if "is_distilled" in index:
        return bool(index["is_distilled"])
    names = f"{model.rstrip('/').rpartition('/')[2]} {index.get('_name_or_path', '')}".lower()
    return any(part in names for part in _DISTILLED)
