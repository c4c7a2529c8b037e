from __future__ import annotations

import pytest

from persona_img.assets import ASSETS
from persona_img.domain.style import StyleSpace
from persona_img.errors import UnknownStyle
from persona_img.rendering.sources.pretrained.prompts import (
    lab_of_surface,
    nearest_name,
    prompt_of,
    unwanted,
    words,
)
from persona_img.scenery.materials import materials_of
from persona_img.scenery.scenes import SCENES
from persona_img.scenery.seasons import SEASONS

STYLE = {"surface": "linen", "palette": "sage", "light": "sun"}
VOCABULARY = {
    "scene": "flat-lay tabletop podium shelf wall-floor room outdoor",
    "season": "spring summer autumn winter festive valentine",
    "surface": "light-wood dark-wood oak walnut marble dark-marble travertine terrazzo slate "
    "concrete plaster tile brick linen cotton felt leather paper sand cork grass snow carpet "
    "velvet gravel stone",
    "light": "soft side sun window",
}


@pytest.mark.parametrize("form", ["describe", "edit"])
def test_every_shipped_value_has_words(form: str) -> None:
    for style in StyleSpace.load(ASSETS / "styles.toml").styles()[1:]:
        said = prompt_of(style.values, form=form)
        assert "{" not in said
        assert words()["surface"][style.values["surface"]] in said


@pytest.mark.parametrize("form", ["describe", "edit"])
@pytest.mark.parametrize("attribute", VOCABULARY)
def test_every_value_of_the_vocabulary_is_said_in_its_own_words(attribute: str, form: str) -> None:
    values = VOCABULARY[attribute].split()
    said = {prompt_of(STYLE | {attribute: value}, form=form) for value in values}
    assert len(said) == len(values)


def test_every_shipped_material_has_words_and_a_shops_own_its_name() -> None:
    assert set(materials_of(None).surfaces) <= set(words()["surface"])
    assert set(SEASONS) == set(words()["season"])
    assert set(SCENES) == set(words()["scene"])
    said = prompt_of(STYLE | {"surface": "blue-slate"}, materials=("blue-slate",))
    assert "lying on blue slate" in said


def test_no_season_is_no_word() -> None:
    assert prompt_of(STYLE | {"season": "none"}) == prompt_of(STYLE)


def test_a_style_without_a_scene_lies_flat() -> None:
    assert prompt_of(STYLE) == prompt_of(STYLE | {"scene": "flat-lay"})
    assert "from directly above" in prompt_of(STYLE)


@pytest.mark.parametrize("form", ["describe", "edit"])
def test_the_products_words_and_free_text_are_said(form: str) -> None:
    said = prompt_of(STYLE, product="ceramic {mug}", extra="a lemon beside it", form=form)
    assert "ceramic {mug} lying on woven linen" in said
    assert "a lemon beside it" in said
    assert prompt_of(STYLE, product=" ", extra=" ") == prompt_of(STYLE)
    assert unwanted("roses").endswith(", roses")
    assert not unwanted().endswith(", ")


def test_a_colour_by_number_takes_the_palettes_place() -> None:
    said = prompt_of({"surface": "plaster", "colour": "#1e305a", "light": "soft"})
    assert "navy tones" in said
    assert "neutral" not in said
    assert nearest_name("#c8a27a") == "tan"
    with pytest.raises(UnknownStyle, match="#rrggbb"):
        prompt_of({"surface": "plaster", "colour": "blue"})


@pytest.mark.parametrize("attribute", ["scene", "season", "surface", "palette", "light"])
def test_a_value_without_words_is_an_error(attribute: str) -> None:
    with pytest.raises(UnknownStyle, match=f"{attribute}=velvet-dream: there are words for"):
        prompt_of(STYLE | {attribute: "velvet-dream"})


def test_a_surface_without_a_material_has_a_colour() -> None:
    measured = materials_of(None).surfaces
    for surface in VOCABULARY["surface"].split():
        assert surface in measured or lab_of_surface(surface) is not None
    assert lab_of_surface("ice") is None


def test_a_prompt_fits_clips_77_tokens_with_words_of_its_own() -> None:
    """A word or a comma is about a token: 60 leave room for words that are two."""
    for scene in VOCABULARY["scene"].split():
        said = prompt_of(STYLE | {"scene": scene}, product="ceramic mug")
        assert len(said.replace(",", " ,").split()) <= 60
