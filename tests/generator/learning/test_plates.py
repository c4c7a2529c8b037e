from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.errors import InvalidInput
from persona_img.generator.buckets import bucket_of
from persona_img.generator.learning.plates import load_rgb, photo_plate, surface_names


def product(size: tuple[int, int] = (96, 96)) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros(size, np.float32)
    mask[30:66, 30:66] = 1
    rgb = np.full((*size, 3), 200, np.uint8)
    return rgb, mask


def test_a_photo_plate_does_not_teach_its_product() -> None:
    rgb, mask = product()
    plate = photo_plate(rgb, mask)
    assert (plate.known[mask > 0] == 0).all()
    assert plate.known.mean() > 0.5
    assert plate.surface is None


def test_names_of_surfaces_are_those_of_the_file(tmp_path: Path) -> None:
    spec = tmp_path / "surfaces.toml"
    spec.write_text("[surface.linen]\nlightness = 80\n[surface.oak]\nlightness = 60\n")
    assert surface_names(spec) == ("linen", "oak")
    spec.write_text("")
    with pytest.raises(InvalidInput, match="at least one surface"):
        surface_names(spec)


def test_turned_photos_are_set_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (64, 32), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert load_rgb(tmp_path / "turned.jpg", (64, 32)).shape == (64, 32, 3)
    assert bucket_of(533, 400) == (288, 224)
    assert bucket_of(400, 400) == (256, 256)
