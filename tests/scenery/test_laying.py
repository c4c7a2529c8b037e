from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from persona_img.imaging.colour import to_lab
from persona_img.imaging.light import to_srgb
from persona_img.scenery.layer import paper
from persona_img.scenery.laying import LONGEST_STRETCH, Grain, Laid, laid
from persona_img.scenery.materials import Surface, Tile, materials_of, palettes
from sets import grain

FROM_ABOVE = (0.0, 0.0)


def known(detail: np.ndarray) -> Grain:
    """Grain whose detail is this, whatever its tile."""
    made = Grain(np.zeros((*detail.shape, 3), np.float32), woven=False)
    made.__dict__["detail"] = detail
    return made


def bare(tile: np.ndarray, cm: float) -> Laid:
    levels = [tile]
    while levels[-1].shape[0] > 8:
        half = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA))
    return Laid(tuple(levels), cm, known(np.zeros(tile.shape[:2], np.float32)))


# Colour and light


def asked() -> list[tuple[Surface, tuple[float, float, float]]]:
    """Every shipped surface in every palette whose colour a screen can show."""
    found = []
    for one in materials_of(None).surfaces.values():
        for offset in palettes().values():
            colour = one.colour(offset)
            shown = to_lab(to_srgb(paper(1, 1, colour, None)))[0, 0]
            if np.linalg.norm(shown - colour) < 1.0:
                found.append((one, colour))
    return found


def test_every_surface_takes_every_palette() -> None:
    found = asked()
    assert len(found) > 0.95 * len(materials_of(None).surfaces) * len(palettes())
    for one, colour in found:
        made = laid(one, colour, FROM_ABOVE, np.random.default_rng(1), cm=10, per_cm=0.5)
        mean = to_lab(to_srgb(made.levels[0])).reshape(-1, 3).mean(axis=0)
        assert np.linalg.norm(mean - colour) < 2.0, (one.name, colour, mean)


@pytest.mark.parametrize("surface", ["linen", "oak", "plaster", "dark-marble"])
def test_raking_light_shows_relief_and_keeps_the_colour(surface: str) -> None:
    known = materials_of(None).surface(surface)
    relief = next((t for t in known.tiles if t.normal is not None), None)
    one = known if relief is None else replace(known, tiles=(relief,))
    sheets = {}
    for toward in (FROM_ABOVE, (-0.5, 0.0), (0.5, 0.0)):
        rng = np.random.default_rng(1)
        made = laid(one, one.lab, toward, rng, cm=10, per_cm=3.0, turned=False)
        sheets[toward] = made.levels[0]
        mean = to_lab(to_srgb(made.levels[0])).reshape(-1, 3).mean(axis=0)
        assert np.linalg.norm(mean - one.lab) < 2.0
    flat = sheets[FROM_ABOVE].mean(axis=2)
    left, right = (sheets[t].mean(axis=2) - flat for t in ((-0.5, 0.0), (0.5, 0.0)))
    if relief is None:
        assert np.abs(left).max() == 0
    else:  # what is lit from the left is dark from the right
        assert left.std() > 0.01 * flat.mean()
        assert np.corrcoef(left.ravel(), right.ravel())[0, 1] < -0.5


def test_white_marble_keeps_its_veins_and_black_is_never_nothing() -> None:
    known = materials_of(None).surface("marble")
    rng = np.random.default_rng(1)
    white = laid(known, (96.0, 0.0, 1.0), FROM_ABOVE, rng, cm=10, per_cm=2).levels[0]
    assert white.max() < 1.0
    assert to_lab(to_srgb(white))[..., 0].std() > 0.3
    black = laid(known, (6.0, 0.0, 0.0), FROM_ABOVE, rng, cm=10, per_cm=2).levels[0]
    assert black.max(axis=2).min() > 0


def test_the_draw_is_the_seeds() -> None:
    one = materials_of(None).surface("concrete")

    def draw(seed: int) -> np.ndarray:
        made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(seed), cm=300, per_cm=0.4)
        return made.levels[0]

    np.testing.assert_array_equal(draw(4), draw(4))
    others = [draw(seed) for seed in range(5, 9)]
    assert any(o.shape != draw(4).shape or (o != draw(4)).any() for o in others)


# Scale


def test_a_tile_is_as_wide_as_it_is_and_no_more_of_it_is_worked_on_than_is_seen() -> None:
    one = materials_of(None).surface("oak")
    for per_cm in (0.5, 2.0, None):
        made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(1), cm=10, per_cm=per_cm)
        assert made.cm in {tile.cm for tile in one.tiles}
        assert made.per_cm == made.levels[0].shape[0] / made.cm
        assert made.per_cm >= min(per_cm or 1e9, 1024 / made.cm)
    sewn = materials_of(None).surface("terrazzo")
    made = laid(sewn, sewn.lab, FROM_ABOVE, np.random.default_rng(1), cm=1e4, per_cm=0.2)
    assert made.cm == 4 * max(tile.cm for tile in sewn.tiles)


def stripes(tmp_path: Path) -> Surface:
    """A material of 8 dark stripes on 40 cm: one every 5 cm."""
    across = np.where(np.arange(512) % 64 < 32, 90, 200)
    picture = np.broadcast_to(across[None, :, None], (512, 512, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "stripes.jpg", quality=97)
    tile = Tile("stripes.jpg", 40.0, turn=False)
    return Surface("stripes", (60.0, 0.0, 0.0), 1.0, 0.0, "tile", (tile,), tmp_path)


@pytest.mark.parametrize("per_cm", [1.7, 5.0, 12.8, 20.0])
def test_a_material_is_seen_at_its_true_scale(tmp_path: Path, per_cm: float) -> None:
    one = stripes(tmp_path)
    made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(0), per_cm=per_cm)
    sheet = made.flat((32, 512), per_cm, (0.0, 0.0)).mean(axis=(0, 2))
    assert period(sheet) == pytest.approx(5 * per_cm, rel=0.06)


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("repeat", ["quilt", "tile"])
def test_a_pixel_of_a_tile_is_never_stretched_further_than_allowed(
    tmp_path: Path, repeat: str, times: int
) -> None:
    one, most = replace(stripes(tmp_path), repeat=repeat), LONGEST_STRETCH
    per_cm = times * most * 512 / 40
    made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(0), cm=1, per_cm=per_cm)
    flat = made.flat((16, 1536), per_cm, (0.0, 0.0)).mean(axis=(0, 2))
    assert period(flat) == pytest.approx(64 * most, rel=0.03)
    u = np.arange(1536, dtype=np.float32)[None].repeat(4, axis=0) / np.float32(per_cm)
    v = np.zeros_like(u)
    step = np.full((4, 1536, 2), 1 / per_cm, np.float32)
    seen = made.read(u, v, step).mean(axis=(0, 2))
    assert period(seen) == pytest.approx(64 * most, rel=0.03)
    # A small plate of the same canvas shows as many stripes.
    small = made.flat((16, 384), per_cm / 4, (0.0, 0.0)).mean(axis=(0, 2))
    assert period(small) == pytest.approx(16 * most, rel=0.06)


def test_what_is_seen_close_is_the_sharpest_of_its_tiles() -> None:
    wood = materials_of(None).surface("dark-wood")
    finest = min(wood.tiles, key=lambda tile: tile.cm)
    for seed in range(6):
        made = laid(wood, wood.lab, FROM_ABOVE, np.random.default_rng(seed), cm=5, per_cm=18.0)
        assert made.cm == pytest.approx(finest.cm, rel=0.001)


@pytest.mark.parametrize("name", ["light-wood", "oak"])
def test_a_close_tile_is_taken_only_where_every_other_would_be_that_much_too_large(
    name: str,
) -> None:
    wood = materials_of(None).surface(name)
    (near,) = [tile for tile in wood.tiles if tile.close is not None]
    assert near.close is not None
    alone = replace(wood, tiles=(replace(near, close=None),))
    sharpest = max(1024 / tile.cm for tile in wood.tiles if tile.close is None)
    limit = near.close * LONGEST_STRETCH * sharpest
    for seed in range(4):
        for per_cm, is_near in ((0.5, False), (0.98 * limit, False), (1.02 * limit, True)):
            made, other = (
                laid(one, wood.lab, FROM_ABOVE, np.random.default_rng(seed), per_cm=per_cm)
                for one in (wood, alone)
            )
            like = np.corrcoef(made.levels[-2].ravel(), other.levels[-2].ravel())[0, 1]
            same = made.cm == other.cm and bool(like > 0.99)
            assert same == is_near, (seed, per_cm)


@pytest.mark.parametrize("per_cm", [5.1, 7.3, 11.0])
def test_cloth_shows_no_bands_where_its_threads_are_finer_than_a_pixel(per_cm: float) -> None:
    """A weave of five pixels: what is left of it at any scale is as even as it is itself."""
    linen = materials_of(None).surface("linen")
    made = laid(linen, linen.lab, FROM_ABOVE, np.random.default_rng(3), cm=60, per_cm=per_cm)
    assert made.woven
    coarse = laid(linen, linen.lab, FROM_ABOVE, np.random.default_rng(3), cm=60, per_cm=30.0)
    seen = made.flat((256, 256), per_cm, (0.0, 0.0)).mean(axis=2)
    whole = coarse.flat((2560, 2560), 10 * per_cm, (0.0, 0.0)).mean(axis=2)
    soft = cv2.resize(
        cv2.GaussianBlur(whole, (0, 0), 6.0), (256, 256), interpolation=cv2.INTER_AREA
    )
    inner = np.s_[8:-8, 8:-8]
    # What is seen is what a camera would see, and nothing that is in no thread.
    assert float(np.corrcoef(seen[inner].ravel(), soft[inner].ravel())[0, 1]) > 0.84


def test_marble_of_a_colour_is_laid_from_stone_of_that_hue_and_keeps_its_dark_veins() -> None:
    marble = materials_of(None).surface("marble")
    files = {
        name: [tile.file for tile in marble.tiles_for(marble.colour(palettes()[name]))]
        for name in ("neutral", "blush", "warm", "cool")
    }
    assert files["blush"] == files["warm"] == ["Marble020.jpg"]
    assert files["neutral"] == files["cool"] == ["Marble021.jpg"]
    skew = {}
    for name in ("neutral", "blush", "cool"):
        colour = marble.colour(palettes()[name])
        made = laid(marble, colour, FROM_ABOVE, np.random.default_rng(1), cm=10, per_cm=5)
        lightness = to_lab(to_srgb(made.levels[0]))[..., 0]
        skew[name] = float(np.percentile(lightness, 99.5) + np.percentile(lightness, 0.5))
        skew[name] -= 2 * float(np.median(lightness))
    assert max(skew.values()) < -1


def period(line: np.ndarray) -> float:
    """Pixels from one stripe to the next."""
    ups = np.flatnonzero(np.diff((line > line.mean()).astype(int)) == 1)
    return float(np.diff(ups).mean())


@pytest.mark.parametrize("per_cm", [2.0, 4.0])
def test_a_plane_that_faces_the_camera_reads_as_the_flat_one(per_cm: float) -> None:
    made = bare(grain(128, sigma=4.0).astype(np.float32), cm=32.0)  # 4 pixels a centimetre
    flat = made.flat((60, 80), per_cm, (0.0, 0.0))
    v, u = np.mgrid[0:60, 0:80].astype(np.float32) / np.float32(per_cm)
    step = np.full((60, 80, 2), 1 / per_cm, np.float32)
    read = made.read(u, v, step)
    inner = np.s_[4:-4, 4:-4]
    # Half a small pixel lies between the two where they were shrunk.
    assert np.abs(read - flat)[inner].mean() < 0.02
    assert np.corrcoef(read[inner].ravel(), flat[inner].ravel())[0, 1] > 0.97


@pytest.mark.parametrize("per_cm", [8.0, 3.0, 2.2, 1.7])
def test_a_smaller_picture_shows_the_same_places(per_cm: float) -> None:
    """What is judged at a plate's size and what is shown at the canvas's lie on each other."""
    made = bare(grain(256, sigma=6.0).astype(np.float32), cm=64.0)
    large = made.flat((240, 320), per_cm, (0.3, 0.6))
    small = made.flat((120, 160), per_cm / 2, (0.3, 0.6))
    shrunk = cv2.resize(large, (160, 120), interpolation=cv2.INTER_AREA)
    inner = np.s_[4:-4, 4:-4]
    assert np.abs(shrunk - small)[inner].mean() < 0.2 * small.std()


def test_what_recedes_is_smooth_and_keeps_its_mean() -> None:
    made = bare(grain(128, sigma=0.8).astype(np.float32), cm=32.0)
    v, u = np.mgrid[0:40, 0:200].astype(np.float32)
    near, far = (made.read(u * s, v * s, np.full((40, 200, 2), s, np.float32)) for s in (0.25, 4.0))
    assert far.std() < 0.3 * near.std()
    assert far.mean() == pytest.approx(near.mean(), abs=0.03)


def test_where_a_tile_is_stretched_its_finest_detail_goes_on() -> None:
    """Flat and in perspective: pixels of a canvas are not softer than those of the tile."""
    tile = grain(128, sigma=0.7).astype(np.float32)
    plain = bare(tile, cm=32.0)
    fine = np.log(tile[..., 0]) - np.log(cv2.GaussianBlur(tile[..., 0], (0, 0), 3.0))
    rich = replace(plain, grain=known((fine - fine.mean()).astype(np.float32)))
    v, u = np.mgrid[0:80, 0:90].astype(np.float32) / np.float32(12.0)
    step = np.full((80, 90, 2), 1 / 12.0, np.float32)

    def sharp(picture: np.ndarray) -> float:
        return float((picture - cv2.GaussianBlur(picture, (0, 0), 0.8)).std())

    for before, after in (
        (plain.read(u, v, step), rich.read(u, v, step)),
        (plain.flat((80, 90), 12.0, (0, 0)), rich.flat((80, 90), 12.0, (0, 0))),
    ):
        assert sharp(after) > 1.25 * sharp(before)
        assert after.mean() == pytest.approx(before.mean(), rel=0.02)
    # Where it is shrunk there is nothing to add.
    far = np.full((80, 90, 2), 0.5, np.float32)
    np.testing.assert_array_equal(plain.read(u * 6, v * 6, far), rich.read(u * 6, v * 6, far))


def test_threads_finer_than_a_pixel_make_no_rings() -> None:
    side = 128
    stripes = np.broadcast_to((np.arange(side) % 2)[None, :, None], (side, side, 3))
    levels = [stripes.astype(np.float32)]
    while levels[-1].shape[0] > 8:
        half = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA))
    laid_out = Laid(
        tuple(levels), float(side), known(np.zeros((side, side), np.float32)), woven=True
    )
    for step in (1.15, 1.4, 1.9):  # centimetres, here as many pixels of the tile, a pixel
        v, u = (np.mgrid[:60, :80] * step).astype(np.float32)
        seen = laid_out.read(u, v, np.full((60, 80, 2), step, np.float32))
        assert seen.std() < 0.02
        assert seen.mean() == pytest.approx(0.5, abs=0.02)


def test_detail_that_is_stretched_shows_no_joint_where_no_joint_is(tmp_path: Path) -> None:
    """A board's joint is seen where it lies, not once more at the detail's own scale."""
    picture = grain(512, sigma=0.7)
    picture[:, 99:101] *= 0.4
    Image.fromarray((255 * picture).astype(np.uint8)).save(tmp_path / "board.jpg", quality=97)
    tile = Tile("board.jpg", 64.0, turn=False)
    one = Surface("board", (60.0, 0.0, 0.0), 1.0, 0.0, "tile", (tile,), tmp_path)
    made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(0), per_cm=12.5)
    seen = made.flat((480, 480), 12.5, (0.0, 0.0)).mean(axis=(0, 2))
    away = np.abs(seen - np.median(seen))
    joints = np.flatnonzero(away > 5 * 1.48 * np.median(away))
    assert joints.size
    assert np.abs(joints - 100 * 12.5 / 8).max() < 5


# What is seen twice


def stained(tmp_path: Path, cm: float = 64.0, file: str = "stained.jpg") -> Surface:
    """Grain with three stains in its upper half."""
    side = 256
    picture = 255 * grain(side, sigma=0.7)
    for y, x in ((30, 40), (70, 200), (110, 120)):
        cv2.circle(picture, (x, y), 8, (40, 40, 40), -1)
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / file, quality=97)
    return Surface("s", (60.0, 0.0, 0.0), 1.0, 0.0, "tile", (Tile(file, cm, turn=False),), tmp_path)


def stains(sheet: np.ndarray, covered: np.ndarray) -> int:
    dark = (sheet.mean(axis=2) < 0.6 * np.median(sheet)) & (covered == 0)
    whole = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return int(cv2.connectedComponents(whole)[0]) - 1


@pytest.mark.parametrize("seed", range(6))
def test_where_more_is_seen_than_a_tile_its_stains_are_seen_once(tmp_path: Path, seed: int) -> None:
    one = stained(tmp_path)
    made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(0), per_cm=4.0)
    open_ = np.zeros((310, 256), np.uint8)
    at = made.begin(open_, 4.0, np.random.default_rng(seed))
    assert at == made.begin(open_, 4.0, np.random.default_rng(seed))
    # One that its border cuts is two.
    assert stains(made.flat(open_.shape, 4.0, at), open_) <= 4
    by_chance = [
        stains(made.flat(open_.shape, 4.0, tuple(np.random.default_rng(k).random(2))), open_)
        for k in range(6)
    ]
    assert max(by_chance) > 4


def test_what_the_product_hides_is_not_seen_twice(tmp_path: Path) -> None:
    one = stained(tmp_path)
    made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(0), per_cm=4.0)
    assert made.features is not None
    whole = np.ones((96, 64), bool)
    hidden = whole.copy()
    hidden[:32] = False
    again = made.features.twice(whole, (0.0, 0.0))
    assert made.features.twice(hidden, (0.0, 0.0)) == 0
    # Of the lower half, which is without stains, next to nothing is known again.
    assert made.features.twice(np.ones((80, 64), bool), (0.55, 0.0)) < 0.1 * again
    alpha = np.zeros((384, 256), np.uint8)
    chosen = []
    for covered in (0, 255):
        alpha[:128] = covered
        chosen.append([made.begin(alpha, 4.0, np.random.default_rng(k)) for k in range(4)])
    assert chosen[1] == [tuple(np.random.default_rng(k).random(2)) for k in range(4)]
    assert chosen[0] != chosen[1]


def test_where_no_more_is_seen_than_a_tile_chance_alone_says_where_it_begins(
    tmp_path: Path,
) -> None:
    one = stained(tmp_path)
    made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(0), per_cm=4.0)
    for seed in range(6):
        first = tuple(np.random.default_rng(seed).random(2))
        # Nor where it is seen so often that there is nothing to choose.
        for size in ((250, 200), (5 * 256, 256)):
            at = made.begin(np.zeros(size, np.uint8), 4.0, np.random.default_rng(seed))
            assert at == first


def test_a_stain_is_known_again_however_a_tile_is_turned_or_sewn(tmp_path: Path) -> None:
    """What is strong lies where a sheet is dark."""
    surface = stained(tmp_path)
    surface = replace(surface, tiles=(replace(surface.tiles[0], turn=True),), repeat="scattered")
    for turned, cm in ((False, 10.0), (True, 10.0), (True, 120.0)):
        rng = np.random.default_rng(0)
        made = laid(surface, surface.lab, FROM_ABOVE, rng, cm=cm, per_cm=4.0, turned=turned)
        assert made.features is not None
        strength = made.features.strength[made.features.place]
        small = cv2.resize(
            made.levels[0].mean(axis=2), strength.shape, interpolation=cv2.INTER_AREA
        )
        assert strength.shape[0] == 64 * round(made.cm / 64)
        dark = small < 0.5 * np.median(small)
        assert np.corrcoef(strength.ravel(), dark.ravel())[0, 1] > 0.6


def test_a_joint_is_not_known_again(tmp_path: Path) -> None:
    strongest = []
    for name in ("joint.jpg", "stain.jpg"):
        picture = 100 + 50 * grain(256, sigma=0.7)
        if name == "joint.jpg":
            picture[100:102] = picture[:, 60:62] = 40
        else:
            cv2.circle(picture, (120, 110), 8, (40, 40, 40), -1)
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / name, quality=97)
        one = Surface("s", (60.0, 0.0, 0.0), 1.0, 0.0, "tile", (Tile(name, 64.0),), tmp_path)
        made = laid(one, one.lab, FROM_ABOVE, np.random.default_rng(0), per_cm=4.0)
        assert made.features is not None
        strongest.append(made.features.strength.max())
    assert strongest[0] < 0.15 * strongest[1]


def test_what_is_seen_widely_is_laid_from_wide_tiles(tmp_path: Path) -> None:
    one = stained(tmp_path)
    wide = replace(one, tiles=tuple(replace(one.tiles[0], cm=cm) for cm in (40.0, 112.0, 120.0)))
    for cm, allowed in (
        (20.0, {40.0, 112.0, 120.0}),
        (90.0, {112.0, 120.0}),
        (900.0, {112.0, 120.0}),
    ):
        found = {
            laid(wide, wide.lab, FROM_ABOVE, np.random.default_rng(k), cm=cm, per_cm=1.0).cm
            for k in range(16)
        }
        assert found == allowed


def test_wide_is_no_reason_to_be_soft(tmp_path: Path) -> None:
    """256 pixels: 6.4 a centimetre of the narrow tile, 2.1 of the wide one."""
    one = stained(tmp_path)
    both = replace(one, tiles=tuple(replace(one.tiles[0], cm=cm) for cm in (40.0, 120.0)))
    for per_cm, taken in ((2.5, 120.0), (3.2, 40.0)):
        for seed in range(4):
            rng = np.random.default_rng(seed)
            assert laid(both, both.lab, FROM_ABOVE, rng, cm=90.0, per_cm=per_cm).cm == taken


@pytest.mark.parametrize("woven", [False, True])
def test_one_level_of_a_tile_turns_into_the_next_without_a_seam(woven: bool) -> None:
    """Each level is of another shade: in perspective, no row differs much from the next."""
    sides = (64, 32, 16, 8)
    levels = tuple(np.full((n, n, 3), 0.2 * k, np.float32) for k, n in enumerate(sides))
    one = Laid(levels, 8.0, known(np.zeros((64, 64), np.float32)), woven, None)
    rows = np.linspace(0, 2.5, 200, dtype=np.float32)[:, None].repeat(4, axis=1)
    step = np.repeat((2.0**rows / one.per_cm)[..., None], 2, axis=2).astype(np.float32)
    seen = one.read(0 * rows, 0 * rows, step)[:, 0, 0]
    assert (np.diff(seen) >= -1e-6).all()
    assert np.diff(seen).max() < 0.02
    assert seen[-1] > 0.4
