"""Real pipelines of diffusers with tiny random weights, one of every family."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from contracts.renderer import BackdropContract, canvas
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotFound
from persona_img.rendering.base import BackdropSource
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.sources.pretrained import PretrainedBackdrops, PretrainedSettings

Models = Callable[[str], Path]
STYLE = {"surface": "linen", "palette": "sage", "light": "sun"}


def source_of(folder: Path, **more: Any) -> PretrainedBackdrops:
    """A source that paints 64 x 64 in two steps."""
    usual = {"steps": 2, "side": 64, "accept_licence": True}
    return PretrainedBackdrops(folder, PretrainedSettings(**(usual | more)))


class TestInpaint(BackdropContract):
    rules = tuple(r for r in RULES if r.score.startswith(("core", "mask")))
    folder: ClassVar[Path]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _folder(cls, model: Models) -> None:
        cls.folder = model("sd-inpaint")

    def make(self) -> BackdropSource:
        return source_of(self.folder)

    def styles(self) -> list[Style]:
        return [
            Style.of({"surface": "linen", "light": "soft", "framing": "centred"}),
            Style.of({"surface": "marble", "palette": "cool", "light": "sun", "framing": "close"}),
            Style.of({"surface": "plaster", "palette": "sage", "light": "side"}),
        ]


FAMILIES = {
    "sd": "StableDiffusionInpaintPipeline",
    "sd-inpaint": "StableDiffusionInpaintPipeline",
    "sdxl": "StableDiffusionXLInpaintPipeline",
    "sd3": "StableDiffusion3InpaintPipeline",
    "flux-fill": "FluxFillPipeline",
    "flux-kontext": "FluxKontextInpaintPipeline",
    "flux": "FluxInpaintPipeline",
    "klein": "Flux2KleinInpaintPipeline",
    "z-image": "ZImageInpaintPipeline",
    "qwen": "QwenImageInpaintPipeline",
    "qwen-edit": "QwenImageEditInpaintPipeline",
    "qwen-edit-plus": "QwenImageEditPlusPipeline",
}


@pytest.mark.usefixtures("small_pictures")
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_paints_with_its_own_pipeline(model: Models, name: str) -> None:
    source, drawn = source_of(model(name)), canvas(64, 64)
    first, other = (source.plates(*drawn, [STYLE], [seed])[0] for seed in (1, 2))
    assert type(source._painter.pipeline).__name__ == FAMILIES[name]
    assert first.shape == (64, 64, 3)
    assert (first != other).any()
    assert (first == source_of(model(name)).plates(*drawn, [STYLE], [1])[0]).all()


@pytest.mark.usefixtures("small_pictures")
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.slow
def test_the_words_reach_every_family(model: Models, name: str) -> None:
    # In the middle of a prompt, where no tokenizer of 77 letters has cut it off yet.
    made = [
        source_of(model(name), product=word).plates(*canvas(64, 64), [STYLE], [1])[0]
        for word in ("mug", "vase")
    ]
    assert (made[0] != made[1]).any()


# FLUX Fill and SD's own inpainting networks see the product, and paint it anew beside the rest.
@pytest.mark.usefixtures("small_pictures")
@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in ("flux-fill", "sd-inpaint")])
def test_every_family_keeps_the_latents_of_the_product(model: Models, name: str) -> None:
    painter, mask = source_of(model(name))._painter, np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1
    shown = np.full((64, 64, 3), 0.5, np.float32)
    shown[mask > 0] = (0.8, 0.1, 0.1)
    decoded: list[torch.Tensor] = []
    codec = painter.pipeline.vae
    decode = codec.decode

    def watched(latents: torch.Tensor, **rest: Any) -> Any:
        decoded.append(latents.reshape(-1, *latents.shape[-2:]))
        return decode(latents, **rest)

    codec.decode = watched
    for words in ("a mug", "a vase"):
        painter.paint([shown], 1 - mask, [words], "blur", [1], 1.0)
    apart = (decoded[0] - decoded[1]).abs().amax(dim=0)
    side = apart.shape[0]
    inside = slice(side // 4 + 1, 3 * side // 4 - 1)
    assert apart[inside, inside].max() == 0
    assert apart[: side // 4].max() > 0


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_pipeline_paints_over_the_whole_start(model: Models, name: str) -> None:
    source = source_of(model(name), mode="image")
    first, other = (source.plates(*canvas(64, 64), [STYLE], [seed])[0] for seed in (1, 2))
    assert "Img2Img" in type(source._painter.pipeline).__name__
    assert (first != other).any()


def test_a_class_that_is_not_in_the_table_is_asked_what_it_takes(
    model: Models, tmp_path: Path
) -> None:
    made = StableDiffusionPipeline.from_pretrained(model("sd"))
    made.save_pretrained(tmp_path)
    index = (tmp_path / "model_index.json").read_text()
    (tmp_path / "model_index.json").write_text(
        index.replace("StableDiffusionPipeline", "StableDiffusionPAGPipeline")
    )
    source = source_of(tmp_path)
    first, other = (source.plates(*canvas(64, 64), [STYLE], [seed])[0] for seed in (1, 2))
    assert source.family.name == "another"
    assert (first != other).any()


@pytest.mark.parametrize(("name", "steering"), [("sd", "controlnet"), ("sd3", "sd3-controlnet")])
def test_a_controlnet_steers_it(model: Models, name: str, steering: str) -> None:
    drawn, folder = canvas(64, 64), str(model(steering))
    made = []
    for scale in (0.0, 1.0, 1.0):
        torch.rand(1)  # what others draw meanwhile: SD 3's codec draws without a generator
        source = source_of(model(name), controlnet=folder, control_scale=scale)
        made.append(source.plates(*drawn, [STYLE], [1]))
    assert (made[0][0] != made[1][0]).any()
    assert (made[1][0] == made[2][0]).all()


@pytest.mark.parametrize(("name", "steering"), [("sd", "controlnet"), ("sd3", "sd3-controlnet")])
def test_a_controlnet_is_shown_the_product(model: Models, name: str, steering: str) -> None:
    source = source_of(model(name), controlnet=str(model(steering)), control_scale=1.0)
    painter, free = source._painter, np.ones((64, 64), np.float32)
    free[16:48, 16:48] = 0
    shown: list[torch.Tensor] = []
    forward = painter.pipeline.controlnet.forward

    def watched(*given: Any, **rest: Any) -> Any:
        shown.append(rest["controlnet_cond"])
        return forward(*given, **rest)

    painter.pipeline.controlnet.forward = watched
    for red in (0.2, 0.9):
        picture = np.full((64, 64, 3), 0.5, np.float32)
        picture[20:40, 20:40] = (red, 0.1, 0.1)
        painter.paint([picture], free, ["a mug"], "blur", [1], 1.0)
    first, last = shown[0], shown[-1]
    if name == "sd":  # edges on three channels, of the picture's size
        assert first.shape[-3:] == (3, 64, 64)
        assert set(first.unique().tolist()) == {0.0, 1.0}
    else:  # sixteen channels of latents, and a mask that is 1 where the product is kept
        assert first.shape[-3:] == (17, 32, 32)
        assert first[0, -1, 12, 12] == 1
        assert first[0, -1, 2, 2] == 0
        assert (first != last).any()


def test_a_small_canvas_is_painted_large_and_brought_back(model: Models) -> None:
    source = source_of(model("sd"), side=None)
    assert source._side == 64  # 32 latents of 2 pixels, as its network says
    assert source.size(40, 50) == (64, 80)  # no plate has a side below 64
    large = source_of(model("sd"), side=128)
    assert large.size(80, 100) == (80, 100)
    seen: list[tuple[int, int]] = []
    paint = large._painter.paint

    def watched(pictures: list[np.ndarray], *rest: Any) -> list[np.ndarray]:
        seen.append(pictures[0].shape[:2])
        return paint(pictures, *rest)

    large._painter.paint = watched  # type: ignore[method-assign]
    plate = large.plates(*canvas(80, 100), [STYLE], [1])[0]
    assert plate.shape == (80, 100, 3)
    assert seen == [large.family.fit(80, 100, 128)] * 2
    assert seen[0][0] > 80


def test_a_large_canvas_is_painted_at_the_models_own_size(model: Models) -> None:
    source = source_of(model("sd"))
    tall, wide = source.size(1200, 800)
    assert tall * wide <= 64 * 64
    assert abs(tall / wide - 1.5) < 0.15  # a coarse grid for so small a side


@pytest.mark.parametrize("scene", ["flat-lay", "tabletop"])
def test_what_it_is_shown_has_no_shadow(model: Models, scene: str) -> None:
    source = source_of(model("sd"), band=0)
    product, mask = canvas(64, 64)
    start = np.zeros((64, 64, 3), np.float32)
    seen: list[np.ndarray] = []
    paint = source._painter.paint

    def watched(pictures: list[np.ndarray], *rest: Any) -> list[np.ndarray]:
        seen.extend(pictures)
        return paint(pictures, *rest)

    source._painter.paint = watched  # type: ignore[method-assign]
    lit = STYLE | {"light": "soft", "scene": scene}
    source.plates(product, mask, [lit], [1], [start])
    elsewhere = np.roll(mask, 20, axis=1)
    source.plates(np.roll(product, 20, axis=1), elsewhere, [lit], [1], [start])
    outside = (mask == 0) & (elsewhere == 0)
    assert np.allclose(seen[0][outside], seen[1][outside], atol=1e-5)
    assert seen[0][outside].min() > 0.2  # nor is it the start, in which there is one
    assert source.casts_shadows


def test_the_outline_is_kept_with_a_band_and_the_band_is_painted_after(model: Models) -> None:
    source = source_of(model("sd"), band=0.1)
    free: list[np.ndarray] = []
    strengths: list[float] = []
    paint = source._painter.paint

    def watched(pictures: Any, area: np.ndarray, *rest: Any) -> list[np.ndarray]:
        free.append(area)
        strengths.append(rest[-1])
        return paint(pictures, area, *rest)

    source._painter.paint = watched  # type: ignore[method-assign]
    product, mask = canvas(64, 64)
    source.plates(product, mask, [STYLE], [1])
    backdrop, band = free
    solid = mask > 0
    assert (1 - backdrop)[solid].all()
    assert (1 - backdrop).sum() > 1.5 * solid.sum()
    assert not band[solid].any()
    assert band[(backdrop == 0) & ~solid].all()
    assert strengths == [1.0, 0.5]


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux-fill", "flux-kontext", "klein", "z-image"])
@pytest.mark.slow
def test_styles_are_painted_together_where_that_is_asked(model: Models, name: str) -> None:
    styles = [STYLE, STYLE | {"surface": "marble"}, STYLE | {"surface": "plaster"}]
    alone = source_of(model(name)).plates(*canvas(64, 64), styles, [1, 2, 3])
    source = source_of(model(name), batch=2)
    sizes: list[int] = []
    paint = source._painter.paint

    def watched(pictures: Any, *rest: Any) -> list[np.ndarray]:
        sizes.append(len(pictures))
        return paint(pictures, *rest)

    source._painter.paint = watched  # type: ignore[method-assign]
    together = source.plates(*canvas(64, 64), styles, [1, 2, 3])
    assert sizes == [2, 2, 1, 1]
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - other).max() <= 2 / 255


@pytest.mark.parametrize(("name", "times"), [("sdxl", 2), ("z-image", 2), ("klein", 3)])
def test_a_prompt_is_read_once(model: Models, name: str, times: int) -> None:
    source, read = source_of(model(name)), []
    encode = source._painter.pipeline.encode_prompt

    def watched(prompt: str | None, **rest: Any) -> Any:
        if rest.get("prompt_embeds") is None:  # the pipeline itself asks with the embeddings
            read.append(prompt)
        return encode(prompt, **rest)

    watched.__signature__ = inspect.signature(encode)  # type: ignore[attr-defined]
    source._painter.pipeline.encode_prompt = watched
    for style, seed in ((STYLE, 1), (STYLE, 2), (STYLE | {"light": "soft"}, 1)):
        source.plates(*canvas(64, 64), [style], [seed])
    assert len(read) == len(set(read)) == times  # klein guides away from an empty prompt


@pytest.mark.parametrize(("name", "least"), [("klein", 1.0), ("z-image", 0.0)])
def test_guidance_and_what_is_not_wanted_are_heard(model: Models, name: str, least: float) -> None:
    drawn = canvas(64, 64)
    plain = source_of(model(name), guidance=least).plates(*drawn, [STYLE], [1])[0]
    guided = source_of(model(name), guidance=5.0).plates(*drawn, [STYLE], [1])[0]
    assert (plain != guided).any()


def test_a_model_that_knows_no_negative_prompt_says_so(model: Models) -> None:
    with pytest.raises(InvalidInput, match=r"FLUX\.1 Fill knows no negative prompt"):
        source_of(model("flux-fill"), negative="roses")
    with pytest.raises(InvalidInput, match="at guidance 0 Z-Image hears no negative prompt"):
        source_of(model("z-image"), negative="roses", guidance=0.0)
    made = [
        source_of(model("z-image"), negative=words).plates(*canvas(64, 64), [STYLE], [1])[0]
        for words in ("", "roses")
    ]
    assert (made[0] != made[1]).any()


def test_settings_are_in_the_fingerprint(model: Models) -> None:
    made = [
        source_of(model("sd")),
        source_of(model("sd"), steps=3),
        source_of(model("sd"), strength=0.5),
        source_of(model("sd"), revision="abc"),
        source_of(model("sd"), product="mug"),
        source_of(model("sd"), negative="roses"),
        source_of(model("sd"), band=0),
        source_of(model("sdxl")),
    ]
    assert len({one.fingerprint() for one in made}) == len(made)
    elsewhere = source_of(model("sd"), memory="model", accept_licence=False)
    assert elsewhere.fingerprint() == made[0].fingerprint()


def test_what_cannot_be_is_an_error(model: Models, tmp_path: Path) -> None:
    for wrong, said in (
        ({"strength": 0.0}, "strength=0.0"),
        ({"mode": "both"}, "mode=both"),
        ({"side": 32}, "side=32"),
        ({"band": 0.5}, "band=0.5"),
        ({"batch": 0}, "batch=0"),
        ({"memory": "most"}, "memory=most"),
        ({"quantise": "int2"}, "quantise=int2"),
        ({"ip_adapter": ("a", "b", "c")}, "give a look too"),
        ({"ip_adapter": ("a", "b"), "look": tmp_path}, "ip_adapter=a,b: give folder"),
        ({"mode": "image", "controlnet": "x"}, "controlnet"),
    ):
        with pytest.raises(InvalidInput, match=said):
            PretrainedSettings(**wrong)
    with pytest.raises(NotFound, match="no such pipeline"):
        PretrainedBackdrops(tmp_path)
    with pytest.raises(InvalidInput, match=r"FLUX\.1 Fill with a controlnet"):
        source_of(model("flux-fill"), controlnet="x").size(64, 64)
    with pytest.raises(InvalidInput, match="takes over no picture's look"):
        source_of(model("sd"), look=tmp_path / "x.png")


@pytest.mark.parametrize(
    ("name", "what"), [("lora", "LoRA"), ("controlnet", "ControlNet"), ("ip_adapter", "IP-Adapter")]
)
def test_what_it_is_to_wear_and_is_not_there_is_named(
    model: Models, tmp_path: Path, name: str, what: str
) -> None:
    away, look = str(tmp_path / "away"), tmp_path / "look.png"
    Image.new("RGB", (40, 40)).save(look)
    more = {"ip_adapter": (away, "a", "b.safetensors"), "look": look}
    asked: dict[str, Any] = more if name == "ip_adapter" else {name: away}
    with pytest.raises(NotFound, match=f"away.*: no such {what} for Stable Diffusion 1 and 2"):
        source_of(model("sd"), **asked).plates(*canvas(64, 64), [STYLE], [1])


def test_a_full_gpu_says_what_helps(model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(model("sd"))

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(source._painter.pipeline.unet, "forward", full)
    with pytest.raises(InvalidInput, match="memory=auto, batch=1, 64 x 64 pixels: the GPU's mem"):
        source.plates(*canvas(64, 64), [STYLE], [1])


def test_a_non_commercial_licence_must_be_accepted(model: Models) -> None:
    with pytest.raises(InvalidInput, match=r"FLUX\.1 \[dev\] Non-Commercial.*--accept-licence"):
        source_of(model("flux-fill"), accept_licence=False)
    accepted = source_of(model("flux-fill"))
    assert accepted.recipe["licence"] == "FLUX.1 [dev] Non-Commercial"
    assert json.loads(json.dumps(accepted.recipe))["pretrained"] == {
        "model": str(model("flux-fill")),
        "steps": 2,
        "side": 64,
    }
    with pytest.raises(InvalidInput, match="Black Forest Labs"):
        PretrainedBackdrops("black-forest-labs/FLUX.1-Kontext-dev")


def test_it_wears_a_lora_as_much_as_is_asked(model: Models, tmp_path: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(model("sd"))
    pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    for name, value in pipeline.unet.named_parameters():
        if "lora_B" in name:
            value.data.fill_(2.0)
    weights = get_peft_model_state_dict(pipeline.unet)
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=weights)
    drawn, lora = canvas(64, 64), str(tmp_path)
    bare = source_of(model("sd")).plates(*drawn, [STYLE], [1])[0]
    none = source_of(model("sd"), lora=lora, lora_scale=0.0).plates(*drawn, [STYLE], [1])[0]
    worn = source_of(model("sd"), lora=lora).plates(*drawn, [STYLE], [1])[0]
    assert np.abs(bare - none).max() <= 1.01 / 255
    assert np.abs(bare - worn).max() > 1.01 / 255


@pytest.mark.usefixtures("small_pictures")
@pytest.mark.parametrize("name", ["flux-kontext", "klein", "qwen-edit-plus"])
def test_some_take_over_a_look_by_themselves(model: Models, name: str, tmp_path: Path) -> None:
    made = []
    for colour in ((200, 40, 40), (20, 60, 220)):
        look = tmp_path / f"{colour[0]}.png"
        Image.new("RGB", (300, 200), colour).save(look)
        made.append(source_of(model(name), look=look).plates(*canvas(64, 64), [STYLE], [1])[0])
    assert (made[0] != made[1]).any()


@pytest.mark.parametrize("name", ["sd", "sdxl"])
@pytest.mark.slow
def test_an_ip_adapter_takes_over_a_look(model: Models, name: str, tmp_path: Path) -> None:
    adapter = (_ip_adapter(model(name), tmp_path), "adapter", "ip.safetensors", "eyes")
    drawn, made = canvas(64, 64), []
    for colour, scale in (((200, 40, 40), 1.0), ((20, 60, 220), 1.0), ((20, 60, 220), 0.0)):
        look = tmp_path / f"{colour[0]}.png"
        Image.new("RGB", (40, 40), colour).save(look)
        source = source_of(model(name), look=look, ip_adapter=adapter, ip_scale=scale)
        made.append((source.fingerprint(), source.plates(*drawn, [STYLE], [1])[0]))
    assert len({fingerprint for fingerprint, _ in made}) == 3
    assert (made[0][1] != made[1][1]).any()
    assert (made[1][1] != made[2][1]).any()


def _ip_adapter(model: Path, folder: Path) -> str:
    torch.manual_seed(1)
    pipeline = DiffusionPipeline.from_pretrained(model)
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
    (folder / "adapter").mkdir()
    save_file(state, folder / "adapter" / "ip.safetensors")
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
    ).save_pretrained(folder / "adapter" / "eyes")
    return str(folder)
