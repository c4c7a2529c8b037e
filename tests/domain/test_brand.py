"""A brand's rules take styles out of the space, and name what they forbid."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_img.domain.brand import Brand
from persona_img.domain.style import Style, StyleSpace
from persona_img.errors import InvalidInput, UnknownStyle

SPACE = StyleSpace({"surface": ("oak", "linen"), "palette": ("sage", "cool", "warm")})


@pytest.fixture
def brand(tmp_path: Path) -> Brand:
    (tmp_path / "brand.toml").write_text(
        'palettes = ["sage", "cool"]\nforbidden_words = ["cheap", "50 %"]\n'
        '[[forbidden_styles]]\nsurface = "oak"\npalette = "cool"\n'
    )
    return Brand.load(tmp_path / "brand.toml")


def test_what_is_left_of_a_space_is_what_no_rule_forbids(brand: Brand) -> None:
    left = [str(style) for style in brand.narrowed(SPACE).styles()]
    assert left == [
        "original", "palette=sage,surface=oak", "palette=sage,surface=linen",
        "palette=cool,surface=linen",
    ]  # fmt: skip
    for style in SPACE.styles():
        if str(style) in left:
            brand.check(style)
        else:
            with pytest.raises(UnknownStyle, match=r"brand\.toml"):
                brand.check(style)


def test_a_forbidden_style_is_refused_by_its_rule(brand: Brand) -> None:
    with pytest.raises(UnknownStyle, match=r"forbids surface=oak,palette=cool"):
        brand.check(Style.of({"surface": "oak", "palette": "cool"}))
    with pytest.raises(UnknownStyle, match="no palette 'warm', only sage, cool"):
        brand.check(Style.of({"surface": "linen", "palette": "warm"}))


def test_words_are_found_whole_and_in_any_case(brand: Brand) -> None:
    assert brand.word_in("So CHEAP!") == "cheap"
    assert brand.word_in("cheaper") is None


def test_without_a_file_everything_is_allowed(tmp_path: Path) -> None:
    none = Brand.load(tmp_path / "brand.toml")
    assert none.narrowed(SPACE) is SPACE
    none.check(Style.of({"surface": "oak", "palette": "cool"}))


@pytest.mark.parametrize(
    "text",
    [
        "palettes = [", "colours = ['x']", "palettes = [1]", "forbidden_words = ['']",
        "palettes = 'neutral'", "forbidden_words = 'cheap'", "[forbidden_styles]\nlight = 'side'",
        "[[forbidden_styles]]", "forbidden_styles = ['oak']",
    ],
)  # fmt: skip
def test_a_file_that_breaks_a_rule_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "brand.toml").write_text(text)
    with pytest.raises(InvalidInput, match=r"brand\.toml"):
        Brand.load(tmp_path / "brand.toml")


def test_a_rule_about_what_is_not_in_the_space_is_told() -> None:
    with pytest.raises(UnknownStyle, match="neon"):
        Brand(palettes=("neon",)).narrowed(SPACE)
    with pytest.raises(UnknownStyle, match="steel"):
        Brand(forbidden_styles=({"surface": "steel"},)).narrowed(SPACE)
