from __future__ import annotations

import pytest
import torch

from generator.tiny import tiny_pipeline
from persona_img.errors import InvalidInput
from persona_img.generator.guidance import Chain, Guidance
from persona_img.generator.pipeline import BackdropPipeline

STYLE = {"surface": "linen", "light": "soft", "palette": "sage"}


@pytest.fixture(scope="module")
def pipeline() -> BackdropPipeline:
    return tiny_pipeline()


def painted(pipeline: BackdropPipeline, guidance: Guidance | None) -> torch.Tensor:
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 16:48, 16:48] = 1
    product = torch.zeros(1, 3, 64, 64)
    return pipeline(product, mask, [STYLE], steps=2, seeds=[5], guidance=guidance).images


@pytest.mark.parametrize(
    ("guidance", "told", "weights"),
    [
        (2.0, (0, 3), (2.0,)),
        (1.0, (3,), ()),
        (0.0, (0, 3), (0.0,)),
        ({"surface": 3.0, "palette": 2.0, "light": 1.5}, (0, 1, 2, 3), (3.0, 2.0, 1.5)),
        ({"surface": 3.0, "palette": 3.0, "light": 1.0}, (0, 2, 3), (3.0, 1.0)),
        ({"surface": 1.0, "palette": 4.0, "light": 4.0}, (1, 3), (4.0,)),
        ({"surface": 1.0, "palette": 1.0, "light": 4.0}, (2, 3), (4.0,)),
        ({"palette": 4.0}, (0, 1, 2, 3), (7.0, 4.0, 7.0)),
        ({}, (0, 3), (7.0,)),
    ],
)
def test_the_chain_is_as_short_as_its_weights_allow(
    guidance: Guidance, told: tuple[int, ...], weights: tuple[float, ...]
) -> None:
    chain = Chain.of(guidance, usual=7.0)
    assert (chain.told, chain.weights) == (told, weights)


def test_each_step_of_the_chain_weighs_what_its_attribute_weighs() -> None:
    nothing, surface, palette, light = (torch.full((2, 1, 1, 1), x) for x in (1.0, 3.0, 10.0, 30.0))
    chain = Chain.of({"surface": 2.0, "palette": 5.0, "light": 0.5}, usual=1.0)
    joined = chain.join(torch.cat([light, palette, surface, nothing]))
    assert joined.flatten().tolist() == [1 + 2 * 2 + 5 * 7 + 0.5 * 20] * 2


def test_attributes_are_told_in_order_and_hidden_behind_the_null_tokens(
    pipeline: BackdropPipeline,
) -> None:
    encoder = pipeline.style_encoder
    indices = encoder.indices([STYLE, STYLE])
    chain = Chain.of({"surface": 2.0, "palette": 3.0, "light": 4.0}, usual=1.0)
    with torch.no_grad():
        whole, without_light, surface_only, nothing = chain.tokens(encoder, *indices).chunk(4)
        full = encoder(*indices)
    nulls = torch.stack([encoder.surface.weight[0], encoder.light.weight[0], encoder.no_colour])
    assert (whole == full).all()
    assert (nothing == nulls).all(), "the scene is told with the surface"
    for variant, hidden in ((without_light, [1]), (surface_only, [1, 2])):
        for slot in range(3):
            expected = nulls[slot].expand(2, -1) if slot in hidden else full[:, slot]
            assert (variant[:, slot] == expected).all(), slot


def test_equal_weights_are_one_number(pipeline: BackdropPipeline) -> None:
    number = painted(pipeline, 3.0)
    assert (painted(pipeline, dict.fromkeys(STYLE, 3.0)) == number).all()
    assert (painted(pipeline, {}) == painted(pipeline, None)).all()
    assert (number != painted(pipeline, None)).any()
    for name in STYLE:
        assert (painted(pipeline, dict.fromkeys(STYLE, 3.0) | {name: 6.0}) != number).any(), name


def test_every_variant_of_the_style_goes_through_one_call(pipeline: BackdropPipeline) -> None:
    seen = []
    hook = pipeline.denoiser.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    try:
        painted(pipeline, {"surface": 3.0, "palette": 2.0, "light": 1.5})
        painted(pipeline, 2.0)
        painted(pipeline, {"surface": 1.0, "palette": 1.0, "light": 1.5})
        painted(pipeline, 1.0)
    finally:
        hook.remove()
    assert seen == [4, 4, 2, 2, 2, 2, 1, 1]


@pytest.mark.parametrize("guidance", [{"framing": 2.0}, {"light": float("nan")}, float("inf")])
def test_weights_of_other_things_are_refused(
    pipeline: BackdropPipeline, guidance: Guidance
) -> None:
    with pytest.raises(InvalidInput, match="surface, palette, light"):
        painted(pipeline, guidance)
