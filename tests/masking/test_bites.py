from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.masking.bites import without_bites

SIDE = 200


def skirt() -> np.ndarray:
    """A skirt, uint8 (SIDE, SIDE)."""
    cut = np.zeros((SIDE, SIDE), np.uint8)
    return cv2.fillPoly(cut, [np.array([[80, 20], [120, 20], [170, 180], [30, 180]])], 1)


def bite(width: int, wavers: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A skirt with a bite in its hem that wide: the cut, the network's chance, the bite."""
    whole = skirt()
    bitten = whole.copy()
    bitten[165:185, 100 - width // 2 : 100 + width // 2] = 0
    chance = bitten.astype(np.float32)
    chance[(whole > 0) & (bitten == 0)] = wavers
    return bitten, chance, (whole > 0) & (bitten == 0)


def test_a_bite_is_filled_where_the_network_wavers_and_colours_say_product() -> None:
    bitten, chance, there = bite(10, 0.3)
    made = without_bites(bitten, chance, skirt())
    assert made.dtype == np.uint8
    assert there.sum() > 100
    assert made[there].mean() > 0.9  # but for a pixel at its mouth
    np.testing.assert_array_equal(made[~there], bitten[~there])


@pytest.mark.parametrize(
    ("width", "wavers", "colours"),
    [
        (10, 0.05, True),  # the network is sure: a shadow in a slit
        (10, 0.4, False),  # it is no product by its colours
        (80, 0.4, True),  # so wide that it is a shape
    ],
)
def test_a_slit_is_left_where_either_is_sure_or_it_is_wide(
    width: int, wavers: float, colours: bool
) -> None:
    bitten, chance, _ = bite(width, wavers)
    made = without_bites(bitten, chance, skirt() if colours else bitten)
    inner = np.zeros_like(made)
    inner[170:180, 100 - width // 2 + 4 : 100 + width // 2 - 4] = 1
    assert (made[inner > 0] == 0).mean() > 0.5
    assert made.sum() <= bitten.sum() + 0.02 * bitten.sum()


@pytest.mark.parametrize(("wavers", "filled"), [(0.4, False), (0.5, True)])
def test_between_two_legs_it_takes_a_surer_network(wavers: float, filled: bool) -> None:
    trousers = cv2.fillPoly(skirt(), [np.array([[100, 60], [125, 199], [75, 199]])], 0)
    colours = trousers.copy()
    colours[60:90] = skirt()[60:90]  # takes the floor at the crotch for product
    chance = trousers.astype(np.float32)
    there = (colours > 0) & (trousers == 0)
    chance[there] = wavers
    made = without_bites(trousers, chance, colours)
    assert there.sum() > 50
    assert bool(made[there].mean() > 0.9) is filled


@pytest.mark.parametrize(("wavers", "filled"), [(0.4, False), (0.6, True)])
def test_what_is_enclosed_is_a_hole_unless_the_network_takes_it_for_product(
    wavers: float, filled: bool
) -> None:
    whole = skirt()
    holed = whole.copy()
    holed[100:112, 94:106] = 0
    chance = holed.astype(np.float32)
    chance[(whole > 0) & (holed == 0)] = wavers
    made = without_bites(holed, chance, whole)
    np.testing.assert_array_equal(made, whole if filled else holed)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_never_takes_away_and_adds_only_what_colours_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = [cv2.GaussianBlur(rng.random((60, 80), dtype=np.float32), (0, 0), 3) for _ in range(3)]
    binary, colours = ((n > np.median(n)).astype(np.uint8) for n in noise[:2])
    made = without_bites(binary, noise[2], colours)
    assert (made >= binary).all()
    assert (made <= np.maximum(binary, colours)).all()
