"""A shop's own material: seamless, named, added to what is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.errors import InvalidInput
from persona_img.scenery.adding import add_material, seamless
from persona_img.scenery.materials import Materials


def slab(path: Path, side: int = 300, seed: int = 1) -> Path:
    """A photograph whose left and right, top and bottom do not meet."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(60, 200, side)[:, None] + np.linspace(0, 40, side)[None]
    grain = rng.normal(0, 6, (side, side))
    Image.fromarray(np.clip(ramp + grain, 0, 255).astype(np.uint8)).convert("RGB").save(path)
    return path


def step(pixels: np.ndarray, axis: int) -> float:
    ends = np.take(pixels, [0, -1], axis=axis).astype(np.int16)
    return float(np.abs(np.diff(ends, axis=axis)).mean())


def test_ends_are_sewn_together(tmp_path: Path) -> None:
    before = np.asarray(Image.open(slab(tmp_path / "slab.png")))
    after, kept = seamless(before)
    assert after.shape == (250, 250, 3)
    assert kept == pytest.approx(250 / 300)
    inside = np.abs(np.diff(after.astype(np.int16), axis=0)).mean()
    for axis in (0, 1):
        assert step(before, axis) > 25
        assert step(after, axis) < 2.5 * inside


def test_what_is_seamless_stays_as_it_is() -> None:
    waves = np.sin(np.arange(256) / 256 * 8 * np.pi)
    tile = np.round(128 + 60 * waves[:, None] * waves[None]).astype(np.uint8)
    tile = np.repeat(tile[..., None], 3, axis=2)
    after, kept = seamless(tile)
    assert kept == 1.0
    assert np.array_equal(after, tile)


def test_it_joins_the_shipped_ones_and_wins_by_name(tmp_path: Path) -> None:
    picture, folder = slab(tmp_path / "slab.png"), tmp_path / "own"
    add_material(folder, picture, "counter", 80, gloss=0.2)
    own = add_material(folder, picture, "marble", 60)
    known = Materials(folder)
    assert {"counter", "oak"} <= set(known.surfaces)
    assert known.surface("counter").gloss == 0.2
    assert known.surface("marble") == own
    assert known.surface("marble").folder == folder
    assert known.surface("counter").tiles[0].cm == pytest.approx(80 * 250 / 300, abs=0.01)
    assert known.fingerprint() != Materials().fingerprint()


def test_another_of_the_same_name_is_one_more_piece(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    add_material(folder, slab(tmp_path / "a.png"), "counter", 80, dye=0.3)
    two = add_material(folder, slab(tmp_path / "b.png", seed=2), "counter", 50)
    assert [tile.file for tile in two.tiles] == ["counter-1.jpg", "counter-2.jpg"]
    assert two.dye == 0.3


@pytest.mark.parametrize(
    ("name", "cm", "says"),
    [("Our Counter", 80.0, "lower case"), ("counter", 0.0, "cm=0.0"), ("counter", 2e3, "1000")],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    tmp_path: Path, name: str, cm: float, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        add_material(tmp_path / "own", slab(tmp_path / "slab.png"), name, cm)
    assert not (tmp_path / "own").exists()


def test_too_small_a_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least 256"):
        add_material(tmp_path / "own", slab(tmp_path / "slab.png", side=200), "counter", 80)


def test_a_table_that_is_broken_by_it_is_put_back(tmp_path: Path) -> None:
    folder, picture = tmp_path / "own", slab(tmp_path / "slab.png")
    add_material(folder, picture, "counter", 80)
    before = (folder / "materials.toml").read_bytes()
    with pytest.raises(InvalidInput, match="repeat"):
        add_material(folder, picture, "counter", 80, repeat="sometimes")
    assert (folder / "materials.toml").read_bytes() == before
    assert not (folder / "counter-2.jpg").exists()
