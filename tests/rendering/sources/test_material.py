from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from persona_img.assets import ASSETS
from persona_img.domain.style import StyleSpace
from persona_img.imaging.colour import to_lab
from persona_img.imaging.grain import grain_of
from persona_img.imaging.light import LIGHTS
from persona_img.rendering.enhance import Spot, enlarge
from persona_img.rendering.sources.material import (
    Sheet,
    fine_relief,
    matched,
    sheet_of,
    spot_noise,
    tiles_of,
)
from persona_img.rendering.tone import Lighting


def plate(height: int = 288, width: int = 224) -> np.ndarray:
    """A sheet darker to the right, without any texture."""
    across = np.linspace(0.8, 0.6, width, dtype=np.float32)
    return np.broadcast_to(across[None, :, None], (height, width, 3)).copy()


def everywhere(picture: np.ndarray) -> np.ndarray:
    return np.ones(picture.shape[:2], np.float32)


def sheet(material: str, number: int = 0, side: int = 200) -> Sheet:
    return Sheet(material, tiles_of(material)[number], side, top=30, left=70)


def likeness(picture: np.ndarray, laid: np.ndarray) -> float:
    """Correlation of fine structure."""
    pair = [x - cv2.GaussianBlur(x, (0, 0), 12) for x in (picture, laid)]
    return float(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1])


def contrast(picture: np.ndarray) -> float:
    grey = picture.mean(axis=2)
    return float((grey - cv2.GaussianBlur(grey, (0, 0), 4)).std())


def test_every_shipped_surface_has_tiles_and_they_are_licensed() -> None:
    for surface in StyleSpace.load(ASSETS / "styles.toml").attributes["surface"]:
        tiles = tiles_of(surface)
        assert len(tiles) >= 5
        for tile in tiles:
            assert tile.shape[0] == tile.shape[1]
            assert tile.mean() == pytest.approx(0, abs=2e-3)  # of L*, 0 to 100
    assert "CC0" in (ASSETS / "textures" / "LICENCE.md").read_text(encoding="utf-8")


def test_no_tile_has_a_frame_that_would_show_as_lines() -> None:
    for surface in StyleSpace.load(ASSETS / "styles.toml").attributes["surface"]:
        for tile in tiles_of(surface):
            grey = tile[..., 0]
            rims = (grey[0], grey[-1], grey[:, 0], grey[:, -1])
            assert max(abs(rim.mean() - grey.mean()) for rim in rims) < 1.5 * grey.std()


def test_an_unknown_material_adds_nothing() -> None:
    rng = np.random.default_rng(0)
    assert sheet_of("velvet", (288, 224), rng) is None
    assert sheet_of(None, (288, 224), rng) is None
    assert (fine_relief(plate(), None, (800, 600), rng) == 0).all()


def test_a_sheet_is_drawn_by_its_seed_and_has_no_seam() -> None:
    first, again, other = (
        sheet_of("marble", (288, 224), np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert first is not None
    assert again is not None
    assert other is not None
    assert (first.laid((288, 224)) == again.laid((288, 224))).all()
    assert (first.laid((288, 224)) != other.laid((288, 224))).any()
    wide = first.laid((2 * first.side, 2 * first.side))
    assert (wide[: first.side] == wide[first.side :]).all()
    assert (wide[:, : first.side] == wide[:, first.side :]).all()


def test_a_lit_sheet_has_the_colour_asked_for_and_the_products_shadow() -> None:
    mask = np.zeros((288, 224), np.float32)
    mask[90:200, 60:160] = 1
    made = sheet("linen").lit(
        (80.0, -7.0, 10.0), Lighting(mask, LIGHTS["soft"]), np.random.default_rng(0)
    )
    away = to_lab(np.ascontiguousarray(made[:30])).mean((0, 1))
    np.testing.assert_allclose(away, (80, -7, 10), atol=3.0)
    assert made[203:208, 80:140].mean() < made[:30].mean() - 0.05


def test_a_flat_plate_gets_its_materials_structure_and_keeps_its_colour_and_light() -> None:
    flat, laid = plate(), sheet("dark-wood")
    shade = np.ones(flat.shape[:2], np.float32)
    made = matched(flat, laid, shade, everywhere(flat), 1.0)
    assert contrast(flat) < 0.002
    assert contrast(made) > 0.01
    assert likeness(made.mean(axis=2), laid.laid((288, 224))[..., 0]) > 0.9
    assert np.abs(made.mean(axis=(0, 1)) - flat.mean(axis=(0, 1))).max() < 0.01
    assert made[:, :40].mean() > made[:, -40:].mean() + 0.1


def test_structure_that_is_there_is_not_added_again() -> None:
    flat, laid = plate(), sheet("marble", 3)
    shade = np.ones(flat.shape[:2], np.float32)
    once = matched(flat, laid, shade, everywhere(flat), 1.0)
    twice = matched(once, laid, shade, everywhere(flat), 1.0)
    assert contrast(twice) == pytest.approx(contrast(once), rel=0.25)


def test_clouds_that_no_plaster_has_are_calmed_and_shadows_are_not() -> None:
    rng = np.random.default_rng(2)
    clouds = cv2.GaussianBlur(rng.normal(0, 1, (288, 224)).astype(np.float32), (0, 0), 9)
    cloudy = np.clip(plate() + 0.06 * (clouds / clouds.std())[..., None], 0, 1)
    shade = np.ones((288, 224), np.float32)
    shade[100:180, 80:150] = 0.6
    shade = cv2.GaussianBlur(shade, (0, 0), 6)
    before = (cloudy * shade[..., None]).astype(np.float32)
    made = matched(before, sheet("plaster"), shade, everywhere(before), 1.0)
    outside = np.s_[200:, :]
    assert made[outside].std() < 0.75 * before[outside].std()
    ratio = made[130:150, 100:130].mean() / made[130:150, :40].mean()
    assert ratio == pytest.approx(
        before[130:150, 100:130].mean() / before[130:150, :40].mean(), rel=0.1
    )
    unknown = matched(before, sheet("plaster"), None, everywhere(before), 1.0)
    assert unknown[outside].std() > 0.9 * before[outside].std()


def test_blotches_of_hue_are_calmed_and_the_mean_colour_stays() -> None:
    rng = np.random.default_rng(3)
    hue = cv2.GaussianBlur(rng.normal(0, 1, (288, 224, 3)).astype(np.float32), (0, 0), 10)
    blotched = np.clip(plate() + 0.05 * hue / hue.std(), 0, 1).astype(np.float32)
    made = matched(blotched, sheet("concrete"), None, everywhere(blotched), 1.0)
    before, after = to_lab(blotched)[..., 1:], to_lab(made)[..., 1:]
    assert after.std() < 0.6 * before.std()
    np.testing.assert_allclose(after.mean((0, 1)), before.mean((0, 1)), atol=0.3)


def test_strength_nought_changes_nothing() -> None:
    flat = plate()
    made = matched(flat, sheet("linen"), everywhere(flat), everywhere(flat), 0.0)
    np.testing.assert_allclose(made, flat, atol=2e-3)


def test_noise_has_the_tiles_spread_and_the_seeds_bytes() -> None:
    tile = sheet("light-wood", 1).grey
    first = spot_noise(tile, 256, np.random.default_rng(4))
    assert first.shape == (256, 256)
    assert first.std() == pytest.approx(tile.std(), rel=1e-3)
    assert abs(first.mean()) < 1e-3
    assert (first == spot_noise(tile, 256, np.random.default_rng(4))).all()
    assert (first != spot_noise(tile, 256, np.random.default_rng(5))).any()


def test_fine_relief_has_no_frequency_that_the_plate_carries() -> None:
    textured = plate()
    textured += np.random.default_rng(1).normal(0, 0.02, textured.shape).astype(np.float32)
    relief = fine_relief(textured, sheet("linen").grey, (2304, 1792), np.random.default_rng(1))
    assert relief.shape == (1024, 1024)
    assert 0.002 < relief.std() <= 0.046
    spectrum = np.abs(np.fft.rfft2(relief)) ** 2
    radius = np.hypot(np.fft.fftfreq(1024)[:, None], np.fft.rfftfreq(1024)[None])
    assert spectrum[radius < 0.5 / 8 / 4].sum() < 0.05 * spectrum.sum()


@pytest.mark.parametrize("size", [(533, 400), (288, 224), (150, 110), (2400, 1700)])
def test_an_enlarged_plate_has_the_canvas_size_and_the_plates_colours(
    size: tuple[int, int],
) -> None:
    small, tile = plate(), sheet("concrete").grey
    made = enlarge(small, size, tile=tile, strength=1.0, grain=1.0, seed=5)
    assert made.shape == (*size, 3)
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1
    back = cv2.resize(made, (224, 288), interpolation=cv2.INTER_AREA)
    assert np.abs(back - small).mean() < 0.01
    assert (made == enlarge(small, size, tile=tile, strength=1.0, grain=1.0, seed=5)).all()


def test_the_cameras_grain_is_measured_and_added() -> None:
    rng = np.random.default_rng(0)
    sheet = np.full((240, 240, 3), 150.0)
    for sigma in (0.0, 3.0, 8.0):
        noisy = np.clip(sheet + rng.normal(0, sigma, (240, 240, 1)), 0, 255)
        assert grain_of(noisy.astype(np.uint8)) == pytest.approx(sigma, abs=0.3 + 0.15 * sigma)
    still = enlarge(plate(), (600, 400), tile=None, strength=1, grain=0, seed=1)
    grainy = enlarge(plate(), (600, 400), tile=None, strength=1, grain=2.0, seed=1)
    assert contrast(grainy) > contrast(still) + 1.2 / 255


@pytest.mark.parametrize(
    ("canvas", "expected"),
    [
        ((288, 224), Spot(0, 0, 288, 224)),
        ((533, 400), Spot(0, 4, 288, 216)),
        ((2000, 1000), Spot(0, 40, 288, 144)),
        ((300, 300), Spot(32, 0, 224, 224)),
    ],
)
def test_a_canvas_lies_in_the_middle_of_the_plate_unstretched(
    canvas: tuple[int, int], expected: Spot
) -> None:
    assert Spot.of(canvas, (288, 224)) == expected


def test_the_border_goes_on_beyond_the_canvas() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[0], picture[-1] = 200, 90
    spot = Spot.of((300, 300), (288, 224))
    small = spot.shrink(picture, (288, 224))
    assert small.shape == (288, 224, 3)
    assert (small[:32] == small[32]).all()
    assert (small[-32:] == small[-33]).all()
    assert spot.cut(small.astype(np.float32)).shape == (224, 224, 3)


def test_tiles_are_readable_files() -> None:
    files = sorted((ASSETS / "textures").rglob("*.jpg"))
    assert len(files) >= 18
    for file in files:
        with Image.open(file) as image:
            assert min(image.size) >= 64
