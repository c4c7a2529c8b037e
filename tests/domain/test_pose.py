from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.domain.pose import (
    MAX_SIZE,
    POSES,
    SIZES,
    THICKNESSES,
    checked_pose,
    checked_size,
    usual_category,
    usual_size,
    usual_thickness,
)
from persona_img.errors import BadCatalog


@pytest.mark.parametrize("pose", POSES)
def test_a_pose_is_known_however_it_is_written(pose: str) -> None:
    assert checked_pose(f" {pose.title()}") == pose


def test_an_empty_pose_is_none_and_another_word_is_refused() -> None:
    assert checked_pose("  ") == ""
    with pytest.raises(BadCatalog, match=r"pose 'on edge': there are lying, standing, hanging"):
        checked_pose("on edge")


def test_a_size_is_centimetres_above_nothing() -> None:
    assert checked_size("") is None
    assert checked_size(" 0.5 ") == 0.5
    assert checked_size("1000") == MAX_SIZE
    for wrong in ("0", "-3", "1000.1", "inf", "nan"):
        with pytest.raises(BadCatalog, match=r"above 0, at most 1,000"):
            checked_size(wrong)
    for wrong in ("12 cm", "12,5", "large"):
        with pytest.raises(BadCatalog, match=r"without a unit"):
            checked_size(wrong)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Mugs", "mug"), ("Coffee mug", "mug"), ("Shirt dress", "dress"),
        ("Women > Dresses", "dress"),
        ("T SHIRT", "t-shirt"), ("tshirts", "t-shirt"), ("Tees", "t-shirt"), ("shoe", "shoes"),
        ("Running-Shoes", "shoes"), ("scarves", "scarf"), ("watches", "watch"),
        ("Long sleeve shirt", "shirt"), ("Glasses", "glasses"), ("glass", "glass"),
        ("Accessories", None), ("", None), ("Ü", None), ("mugs of many colours", "mug"),
    ],
)  # fmt: skip
def test_a_category_is_found_by_what_the_thing_is(written: str, name: str | None) -> None:
    assert usual_category(written) == name
    assert usual_size(written) == (None if name is None else SIZES[name])


@given(st.text())
def test_any_category_has_a_size_that_a_product_may_have_or_none(category: str) -> None:
    size = usual_size(category)
    assert size is None or 0 < size <= MAX_SIZE


@pytest.mark.parametrize("name", sorted(SIZES))
def test_every_listed_category_is_found_under_its_own_name(name: str) -> None:
    assert usual_category(name) == name
    assert usual_category(f"Sale > {name.upper()}") == name


def test_what_is_thicker_than_cloth_is_listed_with_its_size_and_thinner_than_that() -> None:
    assert set(THICKNESSES) <= set(SIZES)
    assert all(0 < thick < SIZES[name] for name, thick in THICKNESSES.items())
    assert usual_thickness("Running shoes") > 4 * usual_thickness("T-Shirts")
    assert usual_thickness(None) == usual_thickness("party") == usual_thickness("dress")


def test_things_are_as_large_as_they_are_beside_each_other() -> None:
    small_to_large = ["ring", "mug", "bottle", "shoes", "t-shirt", "trousers", "jumpsuit"]
    sizes = [SIZES[name] for name in small_to_large]
    assert sizes == sorted(sizes)
