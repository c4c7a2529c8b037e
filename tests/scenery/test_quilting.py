from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.scenery.quilting import quilt, quilted
from sets import grain


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 99),
    st.integers(20, 70),
    st.integers(1, 150),
    st.integers(1, 150),
    st.sampled_from([np.uint8, np.float32]),
)
def test_a_quilt_has_its_size_and_kind_and_every_pixel_is_the_tiles(
    seed: int, side: int, height: int, width: int, kind: type
) -> None:
    tile = np.random.default_rng(seed).integers(0, 2**20, (side, side, 3)).astype(kind)
    made = quilted(tile, (height, width), np.random.default_rng(seed))
    assert made.shape == (height, width, 3)
    assert made.dtype == kind
    colours = {one.tobytes() for one in tile.reshape(-1, 3)}
    assert all(one.tobytes() in colours for one in made.reshape(-1, 3))
    again = quilted(tile, (height, width), np.random.default_rng(seed))
    np.testing.assert_array_equal(made, again)


def test_away_from_its_cuts_a_quilt_is_the_tile_as_it_is() -> None:
    """Nearly every pixel has the right and lower neighbours that it has in the tile."""
    side = 160
    number = np.arange(side * side, dtype=np.float32).reshape(side, side, 1).repeat(3, axis=2)
    spots = 1e5 * grain(side)  # where it is cut is decided by grey
    made = quilted((spots + number).astype(np.float32), (300, 300), np.random.default_rng(1))
    place = {float(v): i for i, v in enumerate((spots + number).astype(np.float32)[..., 0].ravel())}
    found = np.vectorize(place.get)(made[..., 0].astype(float))
    row, column = found // side, found % side
    beside = (row[:, 1:] == row[:, :-1]) & (column[:, 1:] == (column[:, :-1] + 1) % side)
    below = (column[1:] == column[:-1]) & (row[1:] == (row[:-1] + 1) % side)
    assert beside.mean() > 0.95
    assert below.mean() > 0.95
    assert beside.mean() < 1.0  # and yet it is sewn


def test_a_quilt_does_not_repeat_where_tiling_does() -> None:
    side = 64
    tile = grain(side)
    laid_out = np.tile(tile, (4, 4, 1))[..., 0]
    sewn = quilted(tile, (4 * side, 4 * side), np.random.default_rng(2))[..., 0]

    def likeness(picture: np.ndarray, move: tuple[int, int]) -> float:
        down, across = move
        here = picture[: picture.shape[0] - down, : picture.shape[1] - across]
        there = picture[down:, across:]
        return float(np.corrcoef(here.ravel(), there.ravel())[0, 1])

    for move in ((side, 0), (0, side), (side, side)):
        assert likeness(laid_out, move) > 0.999
        assert likeness(sewn, move) < 0.3
    # and is as lively as the tile
    assert sewn.std() == pytest.approx(tile.std(), rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_no_line_of_a_quilt_is_a_straight_seam_nor_is_its_border(seed: int) -> None:
    """It is laid as a tile is, so what is left of its first column is its last one."""
    sewn = quilted(grain(96, sigma=4.0), (288, 288), np.random.default_rng(seed))[..., 0]
    for axis in (0, 1):
        line = np.moveaxis(sewn, axis, 0)
        step = np.abs(line - np.roll(line, 1, axis=0)).mean(axis=1)
        assert step.max() < 2.5 * np.median(step)


@pytest.mark.parametrize("seed", range(3))
def test_stones_are_gone_around_that_only_colour_tells_from_the_rest(seed: int) -> None:
    side, rng = 128, np.random.default_rng(0)
    tile = np.full((side, side, 3), 0.5, np.float32)
    down, across = np.mgrid[0:side, 0:side]
    for number in range(16):
        y, x = np.array(divmod(number, 4)) * 32 + rng.integers(8, 24, 2)
        stone = np.hypot((down - y + 64) % side - 64, (across - x + 64) % side - 64) < 5
        tile[stone] = (0.75, 0.5, 0.25) if number % 2 else (0.25, 0.5, 0.75)
    size = int(stone.sum())
    sewn = quilted(tile, (3 * side, 3 * side), np.random.default_rng(seed))
    found = (sewn[..., 0] != 0.5).astype(np.uint8)
    parts = cv2.connectedComponentsWithStats(found, connectivity=4)[2][1:]
    left, top, wide, high, area = parts.T
    inside = (left > 0) & (top > 0) & (left + wide < 3 * side) & (top + high < 3 * side)
    assert (area[inside] == size).mean() > 0.85


def test_turned_pieces_lie_each_another_way_and_fit_as_well() -> None:
    side = 128
    tile = grain(side, sigma=5.0)
    numbers = quilt(tile, (3 * side, 3 * side), np.random.default_rng(4), turned=True)
    row, column = numbers // side, numbers % side
    right = (np.diff(row, axis=1) % side, np.diff(column, axis=1) % side)
    ways = [(0, 1), (1, 0), (0, side - 1), (side - 1, 0)]  # what lies to the right, in the tile
    shares = [float(((right[0] == y) & (right[1] == x)).mean()) for y, x in ways]
    assert min(shares) > 0.1
    assert sum(shares) > 0.9
    sewn = tile.reshape(-1, 3)[numbers][..., 0]
    for axis in (0, 1):
        line = np.moveaxis(sewn, axis, 0)
        step = np.abs(line - np.roll(line, 1, axis=0)).mean(axis=1)
        assert step.max() < 2.5 * np.median(step)
    same = quilt(tile, (3 * side, 3 * side), np.random.default_rng(4), turned=True)
    np.testing.assert_array_equal(numbers, same)
