from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.renderer import canvas
from persona_img.errors import InvalidInput
from persona_img.rendering.sources.pretrained import (
    PretrainedBackdrops,
    PretrainedSettings,
    families,
    memory,
)

Models = Callable[[str], Path]
GIB = 2**30
STYLE = {"surface": "linen", "palette": "sage", "light": "sun"}


@pytest.mark.parametrize(
    ("free", "how"), [(40, "whole"), (36, "model"), (27, "model"), (26, "sequential")]
)
def test_weights_lie_where_they_fit(free: int, how: str) -> None:
    sizes = {"transformer": 24 * GIB, "text_encoder": 10 * GIB}
    assert memory.plan(sizes, free * GIB, 3 * GIB) == how


def test_components_come_in_one_by_one_where_that_is_asked(model: Models) -> None:
    """With accelerate's hooks, here from the computer's memory into itself."""
    settings = PretrainedSettings(steps=2, side=64, memory="model")
    source = PretrainedBackdrops(model("qwen"), settings)
    plate = source.plates(*canvas(64, 64), [STYLE], [1])[0]
    pipeline = source._painter.pipeline
    assert len(pipeline._all_hooks) == 3
    assert pipeline.vae.use_tiling
    whole = PretrainedBackdrops(model("qwen"), PretrainedSettings(steps=2, side=64))
    assert (plate == whole.plates(*canvas(64, 64), [STYLE], [1])[0]).all()
    assert not whole._painter.pipeline.vae.use_tiling


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["sdxl", "klein", "qwen-edit-plus"])
@pytest.mark.parametrize("lying", ["model", "sequential"])
@pytest.mark.usefixtures("small_pictures")
def test_a_gpu_paints_the_same_however_the_weights_lie(
    model: Models, name: str, lying: str
) -> None:
    made = []
    for how in ("whole", lying):
        settings = PretrainedSettings(
            steps=2, side=64, memory=how, accept_licence=True, dtype="float32"
        )
        source = PretrainedBackdrops(model(name), settings)
        source._painter.pipeline.vae.disable_tiling()  # its tiles are smaller than these plates
        made.append(source.plates(*canvas(64, 64), [STYLE], [1])[0])
    assert np.abs(made[0] - made[1]).max() <= 2 / 255


def test_several_pictures_are_decoded_one_by_one(model: Models) -> None:
    settings = PretrainedSettings(side=64, batch=2)
    assert PretrainedBackdrops(model("sdxl"), settings)._painter.pipeline.vae.use_slicing


@pytest.mark.parametrize(
    ("name", "package"), [("int8", "bitsandbytes"), ("torchao-int8", "torchao")]
)
def test_smaller_weights_need_their_package(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match=f"quantise={name}: it needs {package}; pip install"):
        memory.quantisation(name, families.FAMILIES[1], "cuda")


def test_bitsandbytes_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.importlib.util, "find_spec", lambda _: object())
    with pytest.raises(InvalidInput, match="quantise=int4: bitsandbytes needs a GPU"):
        memory.quantisation("int4", families.FAMILIES[1], "cpu")


@pytest.mark.parametrize(("name", "bits"), [("int8", "8bit"), ("int4", "4bit")])
def test_the_denoiser_and_the_large_encoder_are_made_smaller(
    name: str, bits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory.importlib.util, "find_spec", lambda _: object())
    fill = families.family_of("FluxFillPipeline")
    made = memory.quantisation(name, fill, "cuda")
    assert made.quant_backend == f"bitsandbytes_{bits}"
    assert made.components_to_quantize == ["transformer", "text_encoder_2"]
