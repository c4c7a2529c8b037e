from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from generator.tiny import tiny_pipeline
from persona_img.errors import InvalidInput, NotFound, UnknownStyle
from persona_img.generator.adapter import FILE, Adapter, fingerprint_of
from persona_img.generator.pipeline import BackdropPipeline

peft = pytest.importorskip("peft")
LAYERS = ["to_q", "conv1", "proj_in"]


def worn(pipeline: BackdropPipeline) -> Any:
    """A denoiser that wears changes which are not nothing, as peft wears them."""
    denoiser = pipeline.denoiser
    denoiser.add_adapter(peft.LoraConfig(r=2, lora_alpha=2, target_modules=LAYERS))
    torch.manual_seed(1)
    for name, value in denoiser.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(value, std=0.3)
    return denoiser.eval()


def answer(denoiser: Any) -> torch.Tensor:
    torch.manual_seed(2)
    tokens = torch.randn(1, 3, 32)
    with torch.no_grad():
        return denoiser(
            torch.randn(1, 32, 4, 4),
            torch.tensor([500.0]),
            encoder_hidden_states=tokens,
            class_labels=tokens.flatten(1),
        ).sample


@pytest.fixture
def adapter() -> Adapter:
    weights = peft.utils.get_peft_model_state_dict(worn(tiny_pipeline()))
    return Adapter(weights, "linen", (50.0, 30.0, 20.0), fingerprint_of(tiny_pipeline()))


def test_merged_weights_answer_as_peft_does(adapter: Adapter) -> None:
    pipeline = tiny_pipeline()
    plain = answer(pipeline.denoiser)
    adapter.merge_into(pipeline)
    merged = answer(pipeline.denoiser)
    torch.testing.assert_close(merged, answer(worn(tiny_pipeline())), atol=1e-4, rtol=1e-4)
    assert (merged - plain).abs().max() > 0.01
    assert not hasattr(pipeline.denoiser, "peft_config")


def test_diffusers_reads_the_file_too(adapter: Adapter, tmp_path: Path) -> None:
    adapter.save(tmp_path)
    pipeline = tiny_pipeline()
    pipeline.denoiser.load_lora_adapter(tmp_path, prefix=None, weight_name=FILE)
    torch.testing.assert_close(answer(pipeline.denoiser), answer(worn(tiny_pipeline())))


def test_what_is_saved_is_loaded(adapter: Adapter, tmp_path: Path) -> None:
    path = adapter.save(tmp_path / "new")
    assert path.name == FILE
    again = Adapter.load(tmp_path / "new")
    assert again.fingerprint() == adapter.fingerprint()
    assert (again.surface, again.colour, again.base) == ("linen", (50.0, 30.0, 20.0), adapter.base)
    other = dataclasses.replace(adapter, colour=(50.0, 30.0, 21.0))
    assert other.fingerprint() != adapter.fingerprint()
    name = next(iter(adapter.weights))
    touched = adapter.weights | {name: adapter.weights[name] + 1e-6}
    assert dataclasses.replace(adapter, weights=touched).fingerprint() != adapter.fingerprint()


def test_the_surface_gets_the_shops_colour_and_no_other_does(adapter: Adapter) -> None:
    pipeline = tiny_pipeline()
    adapter.merge_into(pipeline)
    encoder = pipeline.style_encoder
    assert encoder.colour_of("linen", "neutral") == (50.0, 30.0, 20.0)
    assert encoder.colour_of("linen", "sage") == (50.0, 22.0, 27.0)
    assert encoder.colour_of("wood", "neutral") == (70, 6, 20)


def test_another_checkpoint_is_refused_and_so_is_one_that_is_changed_already(
    adapter: Adapter,
) -> None:
    with pytest.raises(InvalidInput, match="only the checkpoint that it was learned on"):
        adapter.merge_into(tiny_pipeline(seed=3))
    pipeline = tiny_pipeline()
    adapter.merge_into(pipeline)
    with pytest.raises(InvalidInput, match="only the checkpoint that it was learned on"):
        adapter.merge_into(pipeline)


def test_a_checkpoint_is_the_same_in_half_precision(tmp_path: Path) -> None:
    pipeline = tiny_pipeline()
    found = fingerprint_of(pipeline)
    pipeline.to(dtype=torch.float16).save_pretrained(tmp_path)
    assert fingerprint_of(BackdropPipeline.from_pretrained(tmp_path)) == found
    assert fingerprint_of(tiny_pipeline(seed=3)) != found


def test_a_surface_the_checkpoint_does_not_know_is_refused(adapter: Adapter) -> None:
    with pytest.raises(UnknownStyle, match="velvet"):
        dataclasses.replace(adapter, surface="velvet").merge_into(tiny_pipeline())


def test_folders_without_an_adapter_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="fine-tune"):
        Adapter.load(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / FILE)
    with pytest.raises(InvalidInput, match="no adapter of persona-img"):
        Adapter.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"damaged")
    with pytest.raises(InvalidInput, match="no adapter of persona-img"):
        Adapter.load(tmp_path)
