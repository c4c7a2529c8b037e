"""Real pipelines of diffusers with tiny random weights: SD, SDXL, FLUX Fill, ControlNet."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxTransformer2DModel,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from contracts.renderer import BackdropContract, canvas
from persona_img.assets import ASSETS
from persona_img.domain.style import Style, StyleSpace
from persona_img.errors import InvalidInput, NotFound, UnknownStyle
from persona_img.rendering.base import BackdropSource
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.sources.pretrained import PretrainedBackdrops, prompt_of

STYLE = {"surface": "linen", "palette": "sage", "light": "sun"}
BLOCKS = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "cross_attention_dim": 16,
    "attention_head_dim": 4,
}


def tokenizer() -> CLIPTokenizer:
    letters = list("abcdefghijklmnopqrstuvwxyz,")
    words = [*letters, *[f"{c}</w>" for c in letters], "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({w: i for i, w in enumerate(words)}, [], model_max_length=77)


def text_config(width: int = 16) -> CLIPTextConfig:
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


def vae(latents: int = 4) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=latents,
        norm_num_groups=4,
    )


def unet(channels: int, **more: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=channels,
        out_channels=4,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **(BLOCKS | more),
    )


def stable_diffusion(kind: type, channels: int) -> StableDiffusionPipeline:
    return kind(
        vae=vae(),
        text_encoder=CLIPTextModel(text_config()),
        tokenizer=tokenizer(),
        unet=unet(channels),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    stable_diffusion(StableDiffusionInpaintPipeline, 9).save_pretrained(folder / "sd-inpaint")
    stable_diffusion(StableDiffusionPipeline, 4).save_pretrained(folder / "sd")
    ControlNetModel(
        in_channels=4,
        conditioning_embedding_out_channels=(4, 8),
        **BLOCKS,
    ).save_pretrained(folder / "controlnet")
    StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(text_config(8)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(8)),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=unet(
            4,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=8 * 6 + 8,
        ),
        scheduler=EulerDiscreteScheduler(),
    ).save_pretrained(folder / "sdxl")
    FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKL(
            block_out_channels=(4,),
            latent_channels=2,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.06,
            scaling_factor=1.5,
        ),
        text_encoder=CLIPTextModel(text_config(32)),
        tokenizer=tokenizer(),
        text_encoder_2=T5EncoderModel(
            T5Config(vocab_size=128, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        ),
        tokenizer_2=T5TokenizerFast(
            [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), ("a", -2.0), ("e", -2.0)],
            extra_ids=0,
            model_max_length=64,
        ),
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=20,
            out_channels=8,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
    ).save_pretrained(folder / "flux-fill")
    return folder


class TestInpaint(BackdropContract):
    rules = tuple(r for r in RULES if r.score.startswith(("core", "mask")))
    folder: ClassVar[Path]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _folder(cls, models: Path) -> None:
        cls.folder = models

    def make(self) -> BackdropSource:
        return PretrainedBackdrops(self.folder / "sd-inpaint", steps=2, side=64)

    def styles(self) -> list[Style]:
        return [
            Style.of({"surface": "linen", "light": "soft", "framing": "centred"}),
            Style.of({"surface": "marble", "palette": "cool", "light": "sun", "framing": "close"}),
            Style.of({"surface": "plaster", "palette": "sage", "light": "side"}),
        ]


@pytest.mark.parametrize(
    ("model", "mode"),
    [("sd", "inpaint"), ("sd", "image"), ("sdxl", "inpaint"), ("sdxl", "image"),
     ("flux-fill", "inpaint")],
)  # fmt: skip
@pytest.mark.slow
def test_every_kind_of_pipeline_paints(models: Path, model: str, mode: str) -> None:
    source = PretrainedBackdrops(models / model, mode=mode, steps=2, side=64)  # type: ignore[arg-type]
    drawn = canvas(64, 64)
    first, again, other = (source.plates(*drawn, [STYLE], [seed])[0] for seed in (1, 1, 2))
    assert first.shape == (64, 64, 3)
    assert (first == again).all()
    assert (first != other).any()


def test_the_prompt_reaches_the_network(models: Path) -> None:
    source = PretrainedBackdrops(models / "sd", steps=2, side=64, strength=1.0)
    drawn = canvas(64, 64)
    calm = np.full((64, 64, 3), 0.5, np.float32)
    begun = [source.plates(*drawn, [s], [1], [calm])[0] for s in (STYLE, STYLE | {"light": "soft"})]
    assert (begun[0] != begun[1]).any()


def test_an_edge_controlnet_steers_it(models: Path) -> None:
    plain = PretrainedBackdrops(models / "sd", steps=2, side=64)
    steered = PretrainedBackdrops(
        models / "sd", steps=2, side=64, controlnet=str(models / "controlnet")
    )
    steered._loaded().controlnet.controlnet_mid_block.weight.data.fill_(0.5)
    drawn = canvas(64, 64)
    assert (plain.plates(*drawn, [STYLE], [1])[0] != steered.plates(*drawn, [STYLE], [1])[0]).any()


def test_every_shipped_value_has_words() -> None:
    space = StyleSpace.load(ASSETS / "styles.toml").attributes
    for surface in space["surface"]:
        for palette in space["palette"]:
            for light in space["light"]:
                words, unwanted = prompt_of(
                    {"surface": surface, "palette": palette, "light": light}
                )
                assert "{" not in words
                assert unwanted
    assert prompt_of(STYLE)[0] != prompt_of(STYLE | {"palette": "warm"})[0]
    with pytest.raises(UnknownStyle, match="velvet"):
        prompt_of({"surface": "velvet"})


def test_settings_are_in_the_fingerprint(models: Path) -> None:
    made = [
        PretrainedBackdrops(models / "sd", steps=2),
        PretrainedBackdrops(models / "sd", steps=3),
        PretrainedBackdrops(models / "sd", steps=2, strength=0.5),
        PretrainedBackdrops(models / "sd", steps=2, revision="abc"),
        PretrainedBackdrops(models / "sdxl", steps=2),
    ]
    assert len({one.fingerprint() for one in made}) == len(made)


def test_what_cannot_be_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="strength"):
        PretrainedBackdrops(tmp_path, strength=0)
    with pytest.raises(InvalidInput, match="mode"):
        PretrainedBackdrops(tmp_path, mode="both")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="need each other"):
        PretrainedBackdrops(tmp_path, reference=tmp_path / "x.jpg")
    with pytest.raises(NotFound, match="no such pipeline"):
        PretrainedBackdrops(tmp_path).plates(*canvas(64, 64), [STYLE], [1])


def test_it_wears_a_lora(models: Path, tmp_path: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(models / "sd")
    pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    for name, value in pipeline.unet.named_parameters():
        if "lora_B" in name:
            value.data.fill_(2.0)
    weights = get_peft_model_state_dict(pipeline.unet)
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=weights)
    drawn = canvas(64, 64)
    bare = PretrainedBackdrops(models / "sd", steps=2, side=64)
    worn = PretrainedBackdrops(models / "sd", steps=2, side=64, lora=str(tmp_path))
    assert (bare.plates(*drawn, [STYLE], [1])[0] != worn.plates(*drawn, [STYLE], [1])[0]).any()
    assert bare.fingerprint() != worn.fingerprint()


@pytest.mark.slow
def test_it_takes_over_the_look_of_a_reference(models: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    pipeline = StableDiffusionPipeline.from_pretrained(models / "sd")
    state = {
        "image_proj.proj.weight": torch.randn(4 * 16, 16),
        "image_proj.proj.bias": torch.randn(4 * 16),
        "image_proj.norm.weight": torch.ones(16),
        "image_proj.norm.bias": torch.zeros(16),
    }
    cross = [n for n in pipeline.unet.attn_processors if n.endswith("attn2.processor")]
    for i, name in enumerate(cross):
        attention = pipeline.unet.get_submodule(name.removesuffix(".processor"))
        for part in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{2 * i + 1}.{part}.weight"] = torch.randn(
                attention.to_q.out_features, 16
            )
    (tmp_path / "adapter").mkdir()
    save_file(state, tmp_path / "adapter" / "ip.safetensors")
    CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            projection_dim=16,
        )
    ).save_pretrained(tmp_path / "adapter" / "image_encoder")
    drawn, made = canvas(64, 64), []
    for colour in ((200, 40, 40), (20, 60, 220)):
        look = tmp_path / f"{colour[0]}.png"
        Image.new("RGB", (40, 40), colour).save(look)
        source = PretrainedBackdrops(
            models / "sd",
            steps=2,
            side=64,
            reference=look,
            ip_adapter=(str(tmp_path), "adapter", "ip.safetensors"),
        )
        made.append((source.fingerprint(), source.plates(*drawn, [STYLE], [1])[0]))
    assert made[0][0] != made[1][0]
    assert (made[0][1] != made[1][1]).any()
