"""Every family's real pipeline with tiny random weights, text encoders too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ControlNetModel,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinInpaintPipeline,
    Flux2Transformer2DModel,
    FluxFillPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImageEditInpaintPipeline,
    QwenImageEditPlusPipeline,
    QwenImageInpaintPipeline,
    QwenImageTransformer2DModel,
    SD3ControlNetModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

BLOCKS = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "cross_attention_dim": 16,
    "attention_head_dim": 4,
}
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
CHAT = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def clip_tokenizer() -> CLIPTokenizer:
    letters = list("abcdefghijklmnopqrstuvwxyz,")
    words = [*letters, *[f"{c}</w>" for c in letters], "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({w: i for i, w in enumerate(words)}, [], model_max_length=77)


def clip_config(width: int = 16) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=width,
        bos_token_id=54,
        eos_token_id=55,
        pad_token_id=55,
    )


def t5() -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(vocab_size=128, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )


def t5_tokenizer() -> T5TokenizerFast:
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0)]
    letters = [(letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    return T5TokenizerFast([*vocabulary, *letters], extra_ids=0, model_max_length=64)


def qwen_tokenizer() -> Qwen2Tokenizer:
    """Every byte a token, as byte pair encoding without a merge."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = {token: i for i, token in enumerate([*letters, *SPECIAL])}
    made = Qwen2Tokenizer(
        vocab=tokens, merges=[], additional_special_tokens=SPECIAL[1:], model_max_length=512
    )
    made.chat_template = CHAT
    return made


def qwen3_config(layers: int) -> Qwen3Config:
    return Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=320,
        max_position_embeddings=512,
    )


def vae(latents: int = 4, **more: object) -> AutoencoderKL:
    return AutoencoderKL(
        **{
            "block_out_channels": (8, 8),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "latent_channels": latents,
            "norm_num_groups": 4,
        }
        | more
    )


def shifted_vae(latents: int) -> AutoencoderKL:
    plain = {"use_quant_conv": False, "use_post_quant_conv": False}
    return vae(latents, shift_factor=0.06, scaling_factor=1.5, **plain)


def unet(channels: int, **more: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=channels,
        out_channels=4,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **(BLOCKS | more),
    )


def stable_diffusion(kind: type = StableDiffusionPipeline, channels: int = 4) -> DiffusionPipeline:
    return kind(
        vae=vae(),
        text_encoder=CLIPTextModel(clip_config()),
        tokenizer=clip_tokenizer(),
        unet=unet(channels),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_inpaint() -> DiffusionPipeline:
    return stable_diffusion(StableDiffusionInpaintPipeline, 9)


def sdxl() -> DiffusionPipeline:
    return StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(clip_config(8)),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(8)),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet(
            4,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=8 * 6 + 8,
        ),
        scheduler=EulerDiscreteScheduler(),
    )


def sd3() -> DiffusionPipeline:
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(**SD3, num_layers=2, out_channels=16),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=shifted_vae(16),
        text_encoder=CLIPTextModelWithProjection(clip_config()),
        tokenizer=clip_tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(clip_config()),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5(),
        tokenizer_3=t5_tokenizer(),
    )


SD3 = {
    "sample_size": 32,
    "patch_size": 1,
    "in_channels": 16,  # its inpainting pipeline takes no other number
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "caption_projection_dim": 16,
    "joint_attention_dim": 32,
    "pooled_projection_dim": 32,
}


def sd3_controlnet() -> SD3ControlNetModel:
    made = SD3ControlNetModel(**SD3, num_layers=1, out_channels=16, extra_conditioning_channels=1)
    for block in (*made.controlnet_blocks, made.pos_embed_input.proj):  # they begin with zeros
        block.weight.data.normal_()
    return made


def controlnet() -> ControlNetModel:
    made = ControlNetModel(in_channels=4, conditioning_embedding_out_channels=(4, 8), **BLOCKS)
    for part in (made.controlnet_mid_block, made.controlnet_cond_embedding.conv_out):
        part.weight.data.normal_()  # they begin with zeros
    return made


def flux_parts(channels: int, *, guided: bool) -> dict[str, object]:
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": shifted_vae(2),
        "text_encoder": CLIPTextModel(clip_config(32)),
        "tokenizer": clip_tokenizer(),
        "text_encoder_2": t5(),
        "tokenizer_2": t5_tokenizer(),
        "transformer": FluxTransformer2DModel(
            patch_size=1,
            in_channels=channels,
            out_channels=8,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=guided,
        ),
    }


def flux_fill() -> DiffusionPipeline:
    # 2 latents and 2 of the masked picture in patches of 2 x 2, and 2 x 2 pixels of mask a latent.
    return FluxFillPipeline(**flux_parts(8 + 8 + 16, guided=True))


def flux_kontext() -> DiffusionPipeline:
    return FluxKontextPipeline(**flux_parts(8, guided=True))


def flux() -> DiffusionPipeline:
    return FluxPipeline(**flux_parts(8, guided=True))


def klein(*, distilled: bool = False) -> DiffusionPipeline:
    return Flux2KleinInpaintPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKLFlux2(
            block_out_channels=(4, 4),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            latent_channels=2,
            norm_num_groups=1,
            sample_size=32,
        ),
        text_encoder=Qwen3ForCausalLM(qwen3_config(28)),  # of which it reads layers 9, 18 and 27
        tokenizer=qwen_tokenizer(),
        transformer=Flux2Transformer2DModel(
            patch_size=1,
            in_channels=8,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=48,
            timestep_guidance_channels=16,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
        is_distilled=distilled,
    )


def z_image() -> DiffusionPipeline:
    made = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        qk_norm=True,
        cap_feat_dim=16,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=[8, 4, 4],
        axes_lens=[1024, 64, 64],
    )
    for name, values in made.named_parameters():  # they are made empty
        if "pad_token" in name:
            torch.nn.init.normal_(values)
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=shifted_vae(4),
        text_encoder=Qwen3Model(qwen3_config(2)),
        tokenizer=qwen_tokenizer(),
        transformer=made,
    )


def qwen_parts() -> dict[str, object]:
    tokenizer = qwen_tokenizer()
    marks = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in MARKS}
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "vocab_size": 320,
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
            "rope_theta": 1000000.0,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
        },
        image_token_id=marks["image_pad"],
        video_token_id=marks["video_pad"],
        vision_start_token_id=marks["vision_start"],
        vision_end_token_id=marks["vision_end"],
    )
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        "text_encoder": Qwen2_5_VLForConditionalGeneration(config),
        "tokenizer": tokenizer,
        "transformer": QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            guidance_embeds=False,
            axes_dims_rope=(8, 4, 4),
        ),
    }


MARKS = ("image_pad", "video_pad", "vision_start", "vision_end")


def qwen() -> DiffusionPipeline:
    return QwenImageInpaintPipeline(**qwen_parts())


def qwen_edit() -> DiffusionPipeline:
    return QwenImageEditInpaintPipeline(**qwen_parts(), processor=None)


def qwen_edit_plus() -> DiffusionPipeline:
    return QwenImageEditPlusPipeline(**qwen_parts(), processor=None)


def add_processor(folder: Path) -> None:
    """The files of a Qwen2VLProcessor, which cannot be made without torchvision."""
    eyes = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56})
    eyes.save_pretrained(folder / "processor")
    index = json.loads((folder / "model_index.json").read_text())
    index["processor"] = ["transformers", "Qwen2VLProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index))


MODELS: dict[str, Callable[[], object]] = {
    "sd": stable_diffusion,
    "sd-inpaint": stable_diffusion_inpaint,
    "sdxl": sdxl,
    "sd3": sd3,
    "flux-fill": flux_fill,
    "flux-kontext": flux_kontext,
    "flux": flux,
    "klein": klein,
    "z-image": z_image,
    "qwen": qwen,
    "qwen-edit": qwen_edit,
    "qwen-edit-plus": qwen_edit_plus,
    "controlnet": controlnet,
    "sd3-controlnet": sd3_controlnet,
}


def save(name: str, folder: Path) -> None:
    """Save the model of that name, the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        MODELS[name]().save_pretrained(folder)  # type: ignore[attr-defined]
    if name.startswith("qwen-edit"):
        add_processor(folder)
