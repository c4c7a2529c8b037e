from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.domain.style import ORIGINAL, Style, StyleSpace
from persona_img.errors import UnknownStyle

SPACE = StyleSpace(
    {"surface": ("linen", "wood", "marble"), "light": ("soft", "sun")},
    ({"surface": "wood", "light": "sun"},),
)


def test_the_space_is_every_combination_but_the_forbidden_and_the_original_comes_first() -> None:
    styles = SPACE.styles()
    assert styles[0] is ORIGINAL
    assert len(styles) == 1 + 3 * 2 - 1
    assert Style.of({"surface": "wood", "light": "sun"}) not in styles


@given(st.permutations([("surface", "linen"), ("light", "soft")]))
def test_a_style_is_the_same_in_whatever_order_it_is_written(pairs: list[tuple[str, str]]) -> None:
    assert Style.of(dict(pairs)).key == "light=soft,surface=linen"


def test_values_and_key_are_inverse() -> None:
    for style in SPACE.styles():
        assert Style.of(style.values) == style


def test_what_is_left_out_takes_the_first_allowed_value() -> None:
    assert SPACE.parse("light=sun").values == {"surface": "linen", "light": "sun"}
    assert SPACE.parse("surface=wood").values == {"surface": "wood", "light": "soft"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("surface=velvet", "linen, wood, marble"),
        ("mood=happy", "surface, light"),
        ("surface", "attribute=value"),
        ("", "attribute=value"),
        ("surface=linen,surface=wood", "twice"),
        ("surface=wood,light=sun", "forbidden"),
    ],
)
def test_a_wrong_style_says_the_value_and_what_may_be_chosen(text: str, says: str) -> None:
    with pytest.raises(UnknownStyle, match=says):
        SPACE.parse(text)


def test_forbidden_lists_are_every_pair(tmp_path: Path) -> None:
    file = tmp_path / "styles.toml"
    file.write_text(
        '[attributes]\na = ["1", "2"]\nb = ["x", "y", "z"]\n'
        '[[forbidden]]\na = ["1", "2"]\nb = ["y", "z"]\n'
    )
    kept = {tuple(s.values.values()) for s in StyleSpace.load(file).styles()[1:]}
    assert kept == set(itertools.product(["1", "2"], ["x"]))


@pytest.mark.parametrize("text", ["", "[attributes]\n", "not toml", '[attributes]\na = ["b c"]\n'])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "styles.toml"
    file.write_text(text)
    with pytest.raises(UnknownStyle):
        StyleSpace.load(file)


def test_a_style_is_read_as_written_whatever_the_space() -> None:
    assert Style.read(" light = soft, surface=linen") == Style.of(
        {"surface": "linen", "light": "soft"}
    )
    assert Style.read("original") == ORIGINAL
    for text in ("", "linen", "a=", "=b", "a=b,a=c", "a=b,,c=d"):
        with pytest.raises(UnknownStyle, match="attribute=value"):
            Style.read(text)
