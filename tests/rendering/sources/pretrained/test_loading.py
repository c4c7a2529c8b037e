from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from persona_img.errors import InvalidInput, NotFound
from persona_img.rendering.sources.pretrained import (
    PretrainedSettings,
    families,
    loading,
)

Models = Callable[[str], Path]
GIB = 2**30
STYLE = {"surface": "linen", "palette": "sage", "light": "sun"}


def test_the_trained_size_is_what_the_network_says(model: Models) -> None:
    small = families.family_of("StableDiffusionXLPipeline")
    assert loading.trained_side(str(model("sdxl")), None, small) == 64
    flux = families.family_of("FluxFillPipeline")
    assert loading.trained_side(str(model("flux-fill")), None, flux) == 1024


def test_a_class_that_this_diffusers_lacks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.diffusers, "ZImageInpaintPipeline", None)
    with pytest.raises(NotFound, match=r"Z-Image: diffusers .* has no ZImageInpaintPipeline"):
        loading.pipeline_class(families.family_of("ZImagePipeline"), PretrainedSettings())


def test_a_folders_card_is_read(tmp_path: Path) -> None:
    assert loading.card_of(str(tmp_path), None) is None
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert loading.card_of(str(tmp_path), None) == "---\nlicense: mit\n---\n"


def test_a_number_type_that_torch_does_not_have_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="dtype=half16"):
        loading.dtype_of(PretrainedSettings(dtype="half16"))
    assert loading.dtype_of(PretrainedSettings(device="cuda")) == torch.bfloat16
    assert loading.dtype_of(PretrainedSettings(device="cpu")) == torch.float32
