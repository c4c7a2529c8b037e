from __future__ import annotations

import numpy as np
import pytest

from persona_img.masking.holes import filled


def scene(inside: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A blue box on a beige floor; a patch of some colour in it, which the cut left out."""
    cut = np.zeros((160, 120), np.uint8)
    cut[40:120, 30:90] = 1
    photo = np.where(cut[..., None] > 0, (40, 70, 150), (200, 180, 150)).astype(np.float64)
    photo[70:84, 50:70] = inside
    cut[70:84, 50:70] = 0
    photo += np.random.default_rng(3).normal(0, 2, photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8), cut


def sure_of(cut: np.ndarray) -> np.ndarray:
    return cut.astype(np.float32)


def test_a_print_in_a_colour_that_the_floor_lacks_is_product() -> None:
    photo, cut = scene((230, 60, 60))
    found = filled(photo, sure_of(cut), cut)
    assert found[40:120, 30:90].all()
    assert found.sum() == 80 * 60


@pytest.mark.parametrize("shade", [1.0, 0.9])
def test_a_hole_through_which_the_floor_is_seen_stays_one(shade: float) -> None:
    photo, cut = scene(tuple(round(shade * c) for c in (200, 180, 150)))
    assert (filled(photo, sure_of(cut), cut) == cut).all()


@pytest.mark.parametrize(
    ("shade", "chance", "stays"),
    [(0.65, 0.1, True), (0.65, 0.3, False), (0.3, 0.1, False)],  # 0.3: darker than any shade
)
def test_floor_in_deep_shade_is_a_hole_where_the_network_says_so(
    shade: float, chance: float, stays: bool
) -> None:
    photo, cut = scene(tuple(round(shade * c) for c in (200, 180, 150)))
    unsure = np.where(cut > 0, 1.0, chance).astype(np.float32)
    assert bool((filled(photo, unsure, cut) == cut).all()) == stays
    assert not (filled(photo, unsure, cut, shaded=False) == cut).all()  # colours alone cannot say


@pytest.mark.parametrize(("light", "stays"), [(1.0, True), (1.05, True), (1.2, False)])
def test_a_light_label_or_button_is_brighter_than_floor_in_a_products_shade(
    light: float, stays: bool
) -> None:
    photo, cut = scene(tuple(round(light * c) for c in (200, 180, 150)))
    assert bool((filled(photo, sure_of(cut), cut) == cut).all()) == stays


def test_what_a_network_is_not_sure_of_is_no_hole_whoever_cut_it() -> None:
    photo, cut = scene((200, 180, 150))
    for chance, stays in ((0.3, True), (0.45, False)):
        seen = np.where(cut > 0, 1.0, chance).astype(np.float32)
        assert bool((filled(photo, seen, cut) == cut).all()) == stays
        own = sure_of(cut)
        assert bool((filled(photo, own, cut, shaded=False, seen=seen) == cut).all()) == stays


def test_what_is_open_to_the_outside_is_no_hole() -> None:
    photo, cut = scene((230, 60, 60))
    cut[70:120, 55:65] = 0
    assert (filled(photo, sure_of(cut), cut) == cut).all()


def test_without_floor_in_sight_nothing_is_filled() -> None:
    photo, cut = scene((230, 60, 60))
    everywhere = np.ones_like(cut)
    everywhere[70:84, 50:70] = 0
    assert (filled(photo, sure_of(everywhere), everywhere) == everywhere).all()


@pytest.mark.parametrize(("chance", "stays"), [(0.05, True), (0.3, False)])
def test_a_colour_that_is_seldom_on_the_floor_is_believed_where_the_network_is_sure(
    chance: float, stays: bool
) -> None:
    photo, cut = scene((230, 60, 60))
    photo[:, :18] = (230, 60, 60)  # 15 % of the floor
    unsure = np.where(cut > 0, 1.0, chance).astype(np.float32)
    assert bool((filled(photo, unsure, cut) == cut).all()) == stays
