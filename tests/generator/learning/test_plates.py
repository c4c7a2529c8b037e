from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.errors import InvalidInput
from persona_img.generator.buckets import bucket_of
from persona_img.generator.learning.plates import load_rgb, load_surfaces, photo_plate, tile_plate
from persona_img.imaging.light import LIGHTS

SPEC = """
[surface.linen]
lightness = 80
scale = [0.6, 0.9]
natural = [1, 4]
tiles = ["Fabric_001"]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    tile = tmp_path / "textures" / "Fabric" / "Fabric_001.jpg"
    tile.parent.mkdir(parents=True)
    noise = np.random.default_rng(1).integers(90, 160, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tile, quality=90)
    path = tmp_path / "surfaces.toml"
    path.write_text(SPEC)
    return path


def product(size: tuple[int, int] = (96, 96)) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros(size, np.float32)
    mask[30:66, 30:66] = 1
    rgb = np.full((*size, 3), 200, np.uint8)
    return rgb, mask


def test_a_made_plate_has_the_asked_colour_and_no_product(spec: Path) -> None:
    surface = load_surfaces(spec, spec.parent / "textures")["linen"]
    colours = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        plate = tile_plate("linen", surface, "soft", (-8.0, 7.0), product(), rng)
        colours.append(plate.colour)
        assert plate.rgb.shape == (96, 96, 3)
        assert (plate.known == 1).all()
    mean = np.mean(colours, axis=0)
    assert np.abs(mean - surface.colour((-8.0, 7.0))).max() < 3.0


@pytest.mark.parametrize("light", LIGHTS)
def test_the_plate_is_darker_where_the_shadow_falls(spec: Path, light: str) -> None:
    surface = load_surfaces(spec, spec.parent / "textures")["linen"]
    rgb, mask = product()
    with_product = tile_plate(
        "linen", surface, light, (0, 0), (rgb, mask), np.random.default_rng(5)
    )
    nothing = (rgb, np.zeros_like(mask))
    without = tile_plate("linen", surface, light, (0, 0), nothing, np.random.default_rng(5))
    under = slice(67, 69), slice(40, 60)
    assert with_product.rgb[under].mean() < without.rgb[under].mean() - 5


def test_a_photo_plate_does_not_teach_its_product() -> None:
    rgb, mask = product()
    plate = photo_plate(rgb, mask)
    assert (plate.known[mask > 0] == 0).all()
    assert plate.known.mean() > 0.5
    assert plate.surface is None


def test_same_seed_same_plate(spec: Path) -> None:
    surface = load_surfaces(spec, spec.parent / "textures")["linen"]
    a, b = (
        tile_plate("linen", surface, "window", (0, 0), product(), np.random.default_rng(9)).rgb
        for _ in range(2)
    )
    assert (a == b).all()


def test_a_surface_without_its_tile_is_refused(spec: Path) -> None:
    textures = spec.parent / "textures"
    spec.write_text('[surface.x]\nlightness=1\nscale=[1,1]\nnatural=[0,0]\ntiles=["Fabric_999"]\n')
    with pytest.raises(InvalidInput, match="Fabric_999"):
        load_surfaces(spec, textures)
    spec.write_text("")
    with pytest.raises(InvalidInput, match="at least one surface"):
        load_surfaces(spec, textures)


def test_turned_photos_are_set_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (64, 32), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert load_rgb(tmp_path / "turned.jpg", (64, 32)).shape == (64, 32, 3)
    assert bucket_of(533, 400) == (288, 224)
    assert bucket_of(400, 400) == (256, 256)
