from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.scenery.subject import Taken
from persona_img.scenery.taken import taken_of


def photograph(
    across: float = 0.0, colour: tuple[float, float, float] = (205, 205, 205), size: int = 240
) -> tuple[np.ndarray, np.ndarray]:
    """A violet disc on a backdrop that grows brighter to the right by a share."""
    yy, xx = np.mgrid[0:size, 0:size]
    inside = np.hypot(yy - size / 2, xx - size / 2) < 0.3 * size
    light = 1 + across * (xx / size - 0.5)
    pixels = np.where(inside[..., None], np.array([60.0, 40.0, 90.0]), light[..., None] * colour)
    return np.clip(pixels, 0, 255).astype(np.uint8), (255 * inside).astype(np.uint8)


def taken(*args: object, cut_out: bool = False, **kwargs: object) -> Taken:
    pixels, alpha = photograph(*args, **kwargs)  # type: ignore[arg-type]
    return taken_of(pixels, alpha, cut_out=cut_out)


def test_the_brighter_side_of_the_old_backdrop_is_where_the_light_came_from() -> None:
    assert taken(0.4).side == 1
    assert taken(-0.4).side == -1
    assert taken(0.02).side == 0  # an even light has no side


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.6, 0.6), st.integers(60, 300))
def test_a_mirrored_photograph_was_lit_from_the_other_side(across: float, size: int) -> None:
    pixels, alpha = photograph(across, size=size)
    here = taken_of(pixels, alpha, cut_out=False)
    there = taken_of(
        np.ascontiguousarray(pixels[:, ::-1]), np.ascontiguousarray(alpha[:, ::-1]), cut_out=False
    )
    if abs(abs(across) - 0.1) > 0.05:  # not at the threshold itself
        assert here.side == -there.side
    assert here.exposure == pytest.approx(there.exposure, abs=0.02)


def test_a_grey_backdrops_cast_is_measured_and_bounded() -> None:
    warm, cold = taken(colour=(212, 205, 198)), taken(colour=(198, 205, 212))
    assert warm.cast[0] > 1.01 > 0.99 > warm.cast[2]
    assert cold.cast[2] > 1.01 > 0.99 > cold.cast[0]
    assert sum(warm.cast) == pytest.approx(3.0, abs=1e-3)
    assert max(abs(v - 1) for v in warm.cast) <= 0.06
    assert taken().cast == pytest.approx((1, 1, 1), abs=1e-3)


def test_a_coloured_floor_is_no_cast() -> None:
    assert taken(colour=(180, 120, 70)).cast == (1.0, 1.0, 1.0)


def test_a_dark_photograph_asks_for_a_darker_plate_within_bounds() -> None:
    bright, usual, dark = (taken(colour=(v, v, v)).exposure for v in (252, 190, 60))
    assert 0.66 <= dark < usual < bright <= 1.05
    assert taken(colour=(12, 12, 12)).exposure == pytest.approx(0.66)


def test_of_a_cut_out_neither_side_nor_cast_is_known() -> None:
    told = taken(0.4, (212, 205, 198), cut_out=True)
    assert (told.side, told.cast) == (0.0, (1.0, 1.0, 1.0))
    # nor of a photograph that is nothing but product
    pixels, alpha = photograph(0.4, (212, 205, 198))
    full = taken_of(pixels, np.full_like(alpha, 255), cut_out=False)
    assert (full.side, full.cast) == (0.0, (1.0, 1.0, 1.0))
    assert taken_of(pixels, np.full_like(alpha, 128), cut_out=True) == Taken()
