from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from generator.tiny import tiny_pipeline
from persona_img.errors import InvalidInput
from persona_img.generator.denoiser import EIGHT_BIT, Denoiser, new_denoiser
from persona_img.generator.pipeline import BackdropPipeline


@pytest.fixture
def denoiser() -> Denoiser:
    torch.manual_seed(5)
    return new_denoiser(8, 32, (32, 32)).eval()


def test_every_weight_comes_back_within_half_a_step_of_its_channel(
    denoiser: Denoiser, tmp_path: Path
) -> None:
    denoiser.save_eight_bit(tmp_path)
    again = Denoiser.from_pretrained(tmp_path).state_dict()
    for name, value in denoiser.state_dict().items():
        apart = (again[name] - value).abs()
        if value.ndim < 2:
            assert (apart <= 1e-3 * value.abs() + 1e-6).all(), name
        else:
            step = value.abs().flatten(1).amax(1) / 127
            assert (apart.flatten(1) <= 0.501 * step[:, None] + 1e-9).all(), name


def test_kept_again_it_is_the_same_bytes(denoiser: Denoiser, tmp_path: Path) -> None:
    denoiser.save_eight_bit(tmp_path / "a")
    Denoiser.from_pretrained(tmp_path / "a").save_eight_bit(tmp_path / "b")
    assert (tmp_path / "a" / EIGHT_BIT).read_bytes() == (tmp_path / "b" / EIGHT_BIT).read_bytes()


def test_it_takes_about_a_quarter_of_float32_and_replaces_it(
    denoiser: Denoiser, tmp_path: Path
) -> None:
    denoiser.save_pretrained(tmp_path)
    whole = sum(p.stat().st_size for p in tmp_path.glob("*.safetensors"))
    denoiser.save_eight_bit(tmp_path)
    assert [p.name for p in tmp_path.glob("*.safetensors")] == [EIGHT_BIT]
    assert (tmp_path / EIGHT_BIT).stat().st_size < 0.4 * whole


def test_a_pipeline_with_it_loads_and_paints_nearly_the_same(tmp_path: Path) -> None:
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path)
    pipeline.denoiser.save_eight_bit(tmp_path / "denoiser")
    again = BackdropPipeline.from_pretrained(tmp_path, local_files_only=True)
    assert isinstance(again.denoiser, Denoiser)
    assert again.denoiser.dtype == torch.float32
    style = {"surface": "linen", "light": "sun", "palette": "neutral"}
    product, mask = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    one, other = (p(product, mask, [style], seeds=[1]).images for p in (pipeline, again))
    assert 0 < (one - other).abs().max() < 0.02


def test_a_folder_that_diffusers_wrote_is_read_as_before(
    denoiser: Denoiser, tmp_path: Path
) -> None:
    UNet2DConditionModel.from_config(denoiser.config).save_pretrained(tmp_path)
    assert isinstance(Denoiser.from_pretrained(tmp_path), Denoiser)


def test_a_weight_that_is_not_finite_is_refused(denoiser: Denoiser, tmp_path: Path) -> None:
    with torch.no_grad():
        denoiser.conv_in.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(InvalidInput, match=r"conv_in\.weight"):
        denoiser.save_eight_bit(tmp_path)
    assert not list(tmp_path.iterdir())
