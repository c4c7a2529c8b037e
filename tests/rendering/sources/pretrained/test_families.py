from __future__ import annotations

import inspect

import diffusers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.rendering.sources.pretrained.families import (
    FAMILIES,
    OTHER,
    family_of,
    is_distilled,
)
from persona_img.rendering.sources.pretrained.family import Family
from persona_img.rendering.sources.pretrained.licences import LICENCES

NAMES = [family.name for family in FAMILIES]


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_the_call_takes_what_the_table_says(family: Family) -> None:
    """Read from the installed diffusers: an argument that is renamed is found here."""
    pipeline = getattr(diffusers, family.pipeline)
    takes = set(inspect.signature(pipeline.__call__).parameters)
    asked = {family.picture, family.guide, "num_inference_steps", "height", "width", "generator"}
    asked |= set(family.fixed) | {name for name in family.embeds if name}
    asked |= {family.mask} if family.mask != "latents" else {"latents", "callback_on_step_end"}
    asked |= {"strength"} if family.strength else set()
    asked |= {family.blank} if family.blank else set()
    asked |= {family.look} if family.look not in (None, "several") else set()
    assert asked <= takes
    assert ("strength" in takes) == family.strength
    assert (family.negative and not family.embeds) <= ("negative_prompt" in takes)
    assert family.adapter <= hasattr(pipeline, "load_ip_adapter")
    assert hasattr(pipeline, "load_lora_weights")
    assert {family.denoiser, family.encoder} - {None} <= set(
        inspect.signature(pipeline.__init__).parameters
    )


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.controlnet], ids=lambda f: f.name)
def test_the_call_with_a_controlnet_takes_what_the_table_says(family: Family) -> None:
    steered = family.steered()
    takes = set(inspect.signature(getattr(diffusers, steered.pipeline).__call__).parameters)
    assert {
        steered.picture,
        steered.mask,
        "control_image",
        "controlnet_conditioning_scale",
    } <= takes
    assert ("strength" in takes) == steered.strength
    assert steered.controlnet is not None
    assert hasattr(diffusers, steered.controlnet.network)


def test_a_family_without_a_controlnet_says_so() -> None:
    with pytest.raises(InvalidInput, match=r"FLUX\.2 klein with a controlnet"):
        family_of("Flux2KleinPipeline").steered()


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_every_class_is_one_familys_and_every_licence_is_known(family: Family) -> None:
    assert family.licence in LICENCES
    for name in family.classes:
        assert hasattr(diffusers, name)
        assert family_of(name) is family


def test_what_is_not_in_the_table_is_left_to_diffusers() -> None:
    assert family_of("KandinskyV22Pipeline") is OTHER
    assert hasattr(diffusers, OTHER.pipeline)


@given(
    st.sampled_from(FAMILIES),
    st.integers(64, 4000),
    st.integers(64, 4000),
)
def test_it_paints_the_canvas_shape_at_its_own_size(
    family: Family, height: int, width: int
) -> None:
    tall, wide = family.fit(height, width)
    assert tall % family.grid == 0
    assert wide % family.grid == 0
    assert tall * wide <= family.side**2
    if max(height, width) <= 3 * min(height, width):
        assert tall * wide > 0.85 * family.side**2
        assert abs(tall / wide * width / height - 1) < 0.06


def test_a_square_is_the_size_it_was_trained_on() -> None:
    assert {family.fit(700, 700) for family in FAMILIES} == {(512, 512), (1024, 1024)}
    assert FAMILIES[0].fit(300, 300, 64) == (64, 64)


@pytest.mark.parametrize(
    ("model", "index", "quick"),
    [
        ("Tongyi-MAI/Z-Image-Turbo", {}, True),
        ("Tongyi-MAI/Z-Image", {}, False),
        ("models/turbo/z-image", {}, False),
        ("here/klein", {"is_distilled": True}, True),
        ("here/klein-turbo", {"is_distilled": False}, False),
        ("here/copy", {"_name_or_path": "black-forest-labs/FLUX.1-schnell"}, True),
    ],
)
def test_a_distilled_model_is_known(model: str, index: dict[str, object], quick: bool) -> None:
    assert is_distilled(model, index) == quick


def test_a_distilled_model_takes_few_steps_without_guidance() -> None:
    family = family_of("ZImagePipeline")
    assert family.usual(distilled=True) == (9, 0.0)
    assert family.usual(distilled=False) == (50, 4.0)
    assert family_of("FluxFillPipeline").usual(distilled=True) == (40, 30.0)
