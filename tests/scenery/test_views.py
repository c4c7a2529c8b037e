from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from persona_img.assets import ASSETS
from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import mean_lab
from persona_img.imaging.light import to_linear, to_srgb
from persona_img.scenery import views
from persona_img.scenery.scenes import SCENES
from persona_img.scenery.seasons import SEASONS
from persona_img.scenery.views import calmest, graded, kinds, view_of

SIZE = (96, 72)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_scene_and_season_has_views_and_each_file_is_a_small_wide_picture() -> None:
    assert set(SEASONS) <= set(kinds())
    assert {s.far for s in SCENES.values()} - {None, "wall"} <= set(kinds())
    files = sorted((ASSETS / "views").rglob("*.jpg"))
    assert "CC0" in (ASSETS / "views" / "LICENCE.md").read_text(encoding="utf-8")
    assert len({path.name for path in files}) >= 30
    for path in files:
        assert path.stat().st_size <= 120_000, path
        with Image.open(path) as image:
            assert image.format == "JPEG"
            assert image.width > image.height >= 400, path
            image.load()
    for kind in ("room", "outdoor"):
        assert len(list((ASSETS / "views" / kind).glob("*.jpg"))) >= 10
    for season in SEASONS:
        assert len(list((ASSETS / "views" / season).glob("*.jpg"))) >= 2


@pytest.mark.parametrize("kind", kinds())
def test_every_view_is_well_exposed_and_out_of_focus(kind: str) -> None:
    seen = set()
    for seed in range(12):
        view = view_of(kind, SIZE, 40.0, 2.5, rng(seed))
        assert view.shape == (*SIZE, 3)
        assert view.dtype == np.float32
        assert view.min() >= 0
        assert view.max() <= 0.97 + 1e-5
        assert 0.04 < view.mean() < 0.62  # the darkest is a bridge in autumn, under trees
        grey = view.mean(axis=2)
        fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
        assert fine.std() < 0.25 * grey.std()
        seen.add(round(float(view.mean()), 5))
    assert len(seen) > 3


def test_what_is_dark_under_trees_is_not_forced_as_bright_as_a_field() -> None:
    means = [float(view_of("autumn", SIZE, 40.0, 2.5, rng(seed)).mean()) for seed in range(10)]
    assert min(means) < 0.5 * max(means)


def test_the_draw_is_the_seeds_and_the_same_at_every_size() -> None:
    first = view_of("room", SIZE, 40.0, 2.0, rng(5))
    np.testing.assert_array_equal(first, view_of("room", SIZE, 40.0, 2.0, rng(5)))
    twice = view_of("room", (192, 144), 80.0, 4.0, rng(5))
    small = cv2.resize(twice, SIZE[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small - first).mean() < 0.02


def test_the_horizon_of_the_view_lies_where_the_camera_has_it() -> None:
    """The view moves with the horizon by as many rows, as long as there is more of it."""
    low, high = (view_of("outdoor", (120, 100), h, 1.0, rng(2)) for h in (60.0, 54.0))
    errors = [np.abs(high[: 120 - d] - low[d:]).mean() for d in range(0, 30)]
    assert abs(int(np.argmin(errors)) - 6) <= 1


def test_what_is_looked_down_on_is_the_ground_and_half_of_what_is_seen_at_most_is_sky() -> None:
    """Where a table covers the rest, a view goes on below: no ceilings behind a cap."""
    level = view_of("outdoor", (120, 100), 60.0, 1.0, rng(2))
    down = view_of("outdoor", (120, 100), -12.0, 1.0, rng(2), ends=30.0)
    errors = [np.abs(level[d : d + 30] - down[:30]).mean() for d in range(0, 91)]
    assert abs(int(np.argmin(errors)) - 72) <= 1  # rows below the horizon
    high = view_of("outdoor", (120, 100), 60.0, 1.0, rng(2), ends=60.0)
    errors = [np.abs(level[d : d + 60] - high[:60]).mean() for d in range(0, 61)]
    assert abs(int(np.argmin(errors)) - 30) <= 1


def test_what_a_photograph_clipped_is_brighter_than_white() -> None:
    """A window out of focus stays bright where a Gaussian fog would have made it grey."""
    bright = 0.0
    for seed in range(8):
        soft = view_of("room", SIZE, 40.0, 4.0, rng(seed))
        bright = max(bright, float(soft.max()))
    assert bright > 0.75


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UnknownStyle, match=r"view 'moon': there are .*outdoor"):
        view_of("moon", SIZE, 40.0, 1.0, rng())
    assert to_linear(np.ones((1, 1, 3), np.float32)).max() == pytest.approx(1.0)


def test_where_text_is_to_stand_a_view_has_less_contrast_and_is_as_light() -> None:
    usual, calm = (
        view_of("room", SIZE, 40.0, 2.5, rng(4), ends=60.0, calm=share) for share in (0.0, 0.6)
    )
    seen = slice(0, 60)
    for channel in range(3):
        assert calm[seen][..., channel].std() < 0.45 * usual[seen][..., channel].std()
    assert calm[seen].mean() == pytest.approx(usual[seen].mean(), abs=0.02)


def test_a_view_takes_on_the_hue_of_the_table_before_it_and_keeps_its_light() -> None:
    view = view_of("room", SIZE, 40.0, 2.5, rng(3))
    sage = graded(view, (72.0, -9.0, 12.0), 0.4, 0.0)
    luminance = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
    assert abs(float((sage @ luminance).mean()) / float((view @ luminance).mean()) - 1) < 0.03
    before, after = (mean_lab(to_srgb(v), np.ones(SIZE, np.float32)) for v in (view, sage))
    assert after[1] < before[1] - 1
    assert after[2] > before[2] + 1
    np.testing.assert_allclose(graded(view, (72.0, -9.0, 12.0), 0.0, 0.0), view, atol=1e-5)


def test_a_views_own_cast_is_taken_out_as_far_as_is_asked() -> None:
    view = view_of("room", SIZE, 40.0, 2.5, rng(3)) * np.array([1.1, 1.0, 0.7], np.float32)
    spread = [
        float(np.ptp(graded(view, (70.0, 0.0, 0.0), 0.0, share).mean(axis=(0, 1))))
        for share in (0.0, 0.5, 1.0)
    ]
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 0.01


def test_of_some_draws_of_a_view_the_one_is_taken_that_is_calm_behind_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "poles").mkdir()
    for name, rows in (("calm", None), ("pole", slice(0, 200))):
        wall = np.full((400, 720, 3), 150, np.uint8)
        if rows is not None:
            wall[rows, ::48] = wall[rows, 1::48] = wall[rows, 2::48] = 20
        Image.fromarray(wall).save(tmp_path / "poles" / f"{name}.jpg", quality=95)
    monkeypatch.setattr(views, "_folder", lambda: tmp_path)
    product = np.zeros(SIZE, np.float32)
    product[40:70, 28:44] = 1.0
    drawn = [views._drawn("poles", rng(seed))[0].stem for seed in range(8)]
    assert set(drawn) == {"calm", "pole"}
    taken = calmest("poles", product, 40.0, [rng(seed) for seed in range(8)], ends=60.0)
    assert drawn[taken] == "calm"
    alone = [seed for seed in range(8) if drawn[seed] == "pole"]
    assert calmest("poles", product, 40.0, [rng(alone[0])]) == 0
    assert calmest("poles", 0 * product, 40.0, [rng(0)]) == 0
    with pytest.raises(UnknownStyle, match="moon"):
        calmest("moon", product, 40.0, [rng()])


def test_glare_and_black_corners_are_not_taken_where_there_is_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rooms").mkdir()
    for name, grey in (("black", 4), ("glare", 255), ("room", 150)):
        Image.new("RGB", (720, 400), (grey,) * 3).save(tmp_path / "rooms" / f"{name}.jpg")
    monkeypatch.setattr(views, "_folder", lambda: tmp_path)
    product = np.zeros(SIZE, np.float32)
    product[40:70, 28:44] = 1.0
    drawn = [views._drawn("rooms", rng(seed))[0].stem for seed in range(20)]
    assert set(drawn) == {"black", "glare", "room"}
    assert drawn[calmest("rooms", product, 40.0, [rng(seed) for seed in range(20)])] == "room"
