from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.imaging.light import LIGHTS
from persona_img.scenery.build import SceneSet
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import SCENES, fits
from persona_img.scenery.shade import clear_around, touching
from persona_img.scenery.standing import Stage, _mirrored_far, _panes_on, reflection
from persona_img.scenery.subject import Taken
from sets import BASE, SIZE, plan, silhouette

ALPHA = silhouette()
SMALL = (120, 96)
STANDING = sorted(name for name in SCENES if fits(name, "standing"))


@pytest.mark.parametrize("light", sorted(LIGHTS))
@pytest.mark.parametrize("scene", STANDING)
def test_every_scene_is_drawn_in_every_light(scene: str, light: str) -> None:
    made = SceneSet(plan(scene, "concrete", light)).draw(*SMALL)
    assert made.linear.shape == (*SMALL, 3)
    assert made.linear.dtype == np.float32
    assert np.isfinite(made.linear).all()
    assert made.linear.min() >= 0
    assert made.linear.max() < 2.0
    assert 0.04 < made.linear.mean() < 0.9
    together = made.surface + made.far
    for mask in (made.surface, made.far, together):
        assert mask.min() >= 0
        assert mask.max() <= 1 + 1e-5
    assert made.surface.max() > 0.99
    assert (made.far.max() > 0.99) == (scene in ("room", "outdoor"))


@pytest.mark.parametrize("scene", STANDING)
def test_the_product_stands_on_its_surface(scene: str) -> None:
    made = SceneSet(plan(scene)).draw(*SIZE)
    under = made.surface[BASE - 2 : BASE, 56:72]
    assert under.min() > 0.9
    assert made.surface[:10].max() < 0.1  # a wall, or a view, is above


@pytest.mark.parametrize("scene", STANDING)
def test_a_shadow_lies_beside_it_away_from_the_light(scene: str) -> None:
    made = {
        side: SceneSet(plan(scene, None, "side", taken=Taken(side))).draw(*SIZE, even=True).linear
        for side in (-1.0, 1.0)
    }
    beside = made[-1.0][BASE - 10 : BASE + 2].mean(axis=2)
    left, right = beside[:, 34:42].mean(), beside[:, 86:94].mean()
    if scene != "podium":  # on it there is hardly any room beside the product
        assert right < 0.92 * left
    # The lamp on the other side makes the mirrored picture.
    mirrored = made[1.0][:, ::-1]
    if scene not in ("room", "outdoor"):
        assert np.abs(mirrored - made[-1.0]).mean() < 0.03


def test_a_podium_throws_its_own_shadow_on_the_floor_below() -> None:
    made = plan("podium", None, "side")
    light = SceneSet(made).draw(*SIZE, even=True).linear.mean(axis=2)
    columns = (np.arange(SIZE[1]) - SIZE[1] / 2) / SIZE[1]
    row = light[146:150] / (1.0 - made.lamp.falloff * columns)  # but the lamp's own falloff
    assert row[:, 91:95].mean() < 0.92 * row[:, 121:127].mean()
    assert row[:, 20:26].mean() > 0.92 * row[:, 6:12].mean()  # not to the lamp's side


def test_a_table_ends_below_the_top_and_a_floor_reaches_its_wall() -> None:
    for scene in STANDING:
        stage = Stage(plan(scene))
        camera = stage.camera
        assert camera.row_of(stage.end) > 0.15 * SIZE[0]
        assert stage.end > stage.depth
        assert stage.wall >= min(stage.end, stage.depth)
        assert camera.row_of(stage.wall) < BASE


def test_paper_of_another_colour_is_seen_on_the_surface_alone() -> None:
    white = SceneSet(plan("tabletop", None)).draw(*SIZE, even=True)
    blush = SceneSet(plan("tabletop", "plaster", palette="blush")).draw(*SIZE, even=True)
    np.testing.assert_array_equal(white.surface, blush.surface)
    table = white.surface > 0.99
    hue = blush.linear[..., 0] / blush.linear[..., 1]
    assert hue[table].mean() > 1.15
    assert hue[white.surface < 0.01].mean() < 0.6 * (hue[table].mean() - 1) + 1


@pytest.mark.parametrize("scene", STANDING)
def test_a_layer_says_where_what_stands_takes_the_light(scene: str) -> None:
    shade = SceneSet(plan(scene, None, "side")).draw(*SIZE, even=True).shade
    assert shade is not None
    assert shade.min() >= 0
    assert shade.max() <= 1
    assert shade[BASE - 4, 56:72].min() > 0.3
    assert shade[BASE - 4, :10].max() < 0.1


# A shelf and a table


def runs_across(made: Plan) -> bool:
    """Whether grain and boards run from left to right: there it changes less than up and down."""
    ground = made.ground()
    assert ground is not None
    tile = ground.levels[0].mean(axis=2)
    return float(np.abs(np.diff(tile, axis=1)).mean()) < float(np.abs(np.diff(tile, axis=0)).mean())


def sized(made: Plan, cm: float) -> Plan:
    return replace(made, subject=replace(made.subject, cm=cm))


@pytest.mark.parametrize("surface", ["oak", "light-wood", "walnut", "dark-wood"])
def test_grain_runs_along_a_shelf_and_a_table(surface: str) -> None:
    for scene in ("shelf", "tabletop", "room"):
        assert all(runs_across(plan(scene, surface, seed=seed)) for seed in range(4))


def test_what_is_small_stands_on_one_piece_of_wood_and_what_is_large_on_boards() -> None:
    small, large = plan("tabletop", "oak"), sized(plan("tabletop", "oak"), 60.0)
    assert small.on_block
    assert not large.on_block
    assert runs_across(small)
    assert not runs_across(large)  # boards run away from the camera
    assert sized(plan("podium", "oak"), 60.0).on_block
    assert not plan("wall-floor", "oak").on_block


def test_where_a_shelfs_lid_meets_its_front_no_wall_shines_through() -> None:
    for pitch in np.linspace(10, 16, 7):  # wherever in its pixel the edge lies
        made = plan("shelf", "dark-wood")
        made = replace(made, subject=replace(made.subject, pitch=float(pitch)))
        layer = Stage(made).draw(*SIZE, even=True)
        seen = layer.linear[:, 8].mean(axis=1)
        last = int(np.flatnonzero(layer.surface[:, 8] > 0.9)[-1])
        assert seen[last] < 0.5 * seen[20]
        assert seen[last : last + 3].max() <= seen[last] + 1e-3


def test_on_a_shelfs_front_there_is_no_shade_of_what_touches_its_lid() -> None:
    made = SceneSet(plan("shelf"))
    made._stage.front *= 0.6  # type: ignore[union-attr]  # so narrow that shade would reach its front
    factor = made.contact(ALPHA)
    front = round(made._stage.camera.row_of(made._stage.front))  # type: ignore[union-attr]
    assert factor[front + 2 :].min() > 0.99
    assert factor[BASE - 1 : front, 60:68].min() < 0.8
    assert SceneSet(plan("tabletop")).contact(ALPHA)[front + 2 :].min() < 0.97


def test_of_the_windows_that_chance_draws_the_one_is_taken_that_keeps_clearest() -> None:
    """What the gap around a product cuts off a bar would be seen to stop there."""
    cut = {False: 0.0, True: 0.0}
    for seed in range(5):
        stage = Stage(plan("wall-floor", None, "window", seed=seed))
        x, y = stage.camera.wall(stage.wall)
        wall = x, y, 0 * x + np.float32(stage.wall)
        near = clear_around(ALPHA.astype(np.float32) / np.float32(255))
        for chosen in cut:
            panes = _panes_on(stage.plan, wall, stage._window if chosen else 0)
            cut[chosen] += float((near * (1.08 - panes)).sum())
    assert cut[True] < 0.85 * cut[False]


def test_a_wall_has_half_of_its_own_contrast_and_its_whole_colour() -> None:
    made = plan("shelf", "concrete")
    stage = Stage(made)
    x, y = stage.camera.wall(stage.wall)
    seen = stage._material(made, stage.camera, (x, y), False, even=False)
    behind = made.behind()
    assert behind is not None
    step = np.full((*SIZE, 2), 1.0 / stage.camera.per_cm, np.float32)
    whole = behind.read(x, y, step)
    assert 0.3 * whole.std() < seen.std() < 0.7 * whole.std()
    assert seen.mean() == pytest.approx(whole.mean(), rel=0.03)


def test_there_is_shelf_before_and_behind_what_stands_on_it() -> None:
    layer = SceneSet(plan("shelf")).draw(*SIZE)
    board = np.flatnonzero(layer.surface[:, 8] > 0.9)
    assert board[0] < BASE - 4
    assert board[-1] >= BASE + 2


def test_a_podium_is_wider_than_what_is_tall_and_narrow() -> None:
    alpha = np.zeros(SIZE, np.uint8)
    alpha[BASE - 80 : BASE, 58:70] = 255
    made = plan("podium")
    stage = Stage(replace(made, subject=replace(made.subject, alpha=alpha)))
    assert 2 * stage.drum.radius > 3 * stage.wide


def test_a_table_mirrors_the_view_behind_it_and_more_of_it_further_off() -> None:
    view = np.zeros((90, 120, 3), np.float32)
    view[:45, 60:] = (0.2, 0.4, 0.6)  # a window to the right
    mirrored = _mirrored_far(view, 45.0)
    np.testing.assert_allclose(mirrored[50, 110], 1.5 * view[0, 110], rtol=0.25)
    assert mirrored[:, 10].max() < 0.01
    made = plan("room", "dark-wood")
    table = np.zeros((*SIZE, 3), np.float32)
    stage = Stage(made)
    sheen = stage._sheen(table, stage.camera, np.ones((*SIZE, 3), np.float32))[:, 8, 0]
    edge = round(stage.camera.row_of(stage.end))
    assert sheen[edge + 2] > 1.3 * sheen[BASE] > 0
    rough = replace(made, gloss=0.0)
    assert (Stage(rough)._sheen(table, stage.camera) == 0).all()


# A window

GRID = tuple(np.meshgrid(np.linspace(-60, 60, 60), [0.0], np.linspace(-20, 99, 50)))


@given(time=st.floats(-80.0, 80.0), side=st.sampled_from([-1.0, 1.0]), seed=st.integers(0, 99))
@settings(deadline=None)
def test_the_panes_of_every_surface_fall_from_one_window(
    time: float, side: float, seed: int
) -> None:
    made = plan("tabletop", None, "window", seed=seed, taken=Taken(side))
    floor = tuple(axis[0].astype(np.float32) for axis in GRID)
    further = tuple(
        (axis - time * way).astype(np.float32)
        for axis, way in zip(floor, made.lamp.toward, strict=True)
    )
    panes = _panes_on(made, floor)
    assert panes.min() < 0.95 < 1.05 < panes.max()
    assert (np.abs(_panes_on(made, further) - panes) < 0.02).mean() > 0.98
    at_product = tuple(np.full((9, 9), 0.0, np.float32) for _ in range(3))
    assert _panes_on(made, at_product).min() > 1.05  # it stands in the light


def test_no_bar_of_a_window_ends_at_what_stands_before_it() -> None:
    beside = (cv2.dilate(ALPHA, np.ones((3, 3), np.uint8)) > 0) & (ALPHA == 0)
    beside[BASE - 4 :] = False
    for seed in range(6):
        made = plan("wall-floor", None, "window", seed=seed)
        stage = Stage(made)
        light = stage._light_on("wall")
        even = Stage(replace(made, lamp=replace(made.lamp, panes=False)))._light_on("wall")
        panes = light / even
        assert panes.min() < 0.85
        at = cv2.resize(beside.astype(np.float32), panes.shape[::-1]) > 0.5
        assert panes[at].min() > 1.03


def test_a_windows_bars_are_upright_on_a_wall() -> None:
    made = plan("tabletop", None, "window")
    x, y = (v.astype(np.float32) for v in np.meshgrid(np.linspace(-150, 150, 300), np.arange(200)))
    bars = _panes_on(made, (x, y, 0 * x + np.float32(200.0))) < 0.80
    assert bars.mean(axis=0).max() > 0.98


# A podium


@pytest.mark.parametrize("pitch", [6.0, 20.6, 35.0])
@pytest.mark.parametrize("rise", [0, 4, 9])
def test_all_of_a_base_stands_on_its_podium(pitch: float, rise: int) -> None:
    alpha = np.zeros(SIZE, np.uint8)
    for column in range(30, 98):
        alpha[70 : BASE - round(rise * (98 - column) / 68), column] = 255
    made = plan("podium")
    made = replace(made, subject=replace(made.subject, alpha=alpha, pitch=pitch))
    stage = Stage(made)
    lid = stage.drum.lid(stage.camera)
    taken = made.subject.camera()
    lowest, touch = touching(alpha >= 128, taken, made.subject.depth)
    columns = np.flatnonzero(touch > 0)
    assert len(columns) > 20
    assert lid[lowest[columns], columns].min() > 0.99
    assert min(12.5, taken.pitch) <= stage.camera.pitch <= taken.pitch


# Reflection

GREY = np.full((*SIZE, 3), 0.4, np.float32)
RED = np.full((*SIZE, 3), (230, 20, 20), np.uint8)
EVERYWHERE = np.ones(SIZE, np.float32)


def test_a_reflection_is_below_the_base_faint_and_fades() -> None:
    made = plan("tabletop", "dark-marble")
    camera = made.subject.camera()
    out = reflection(GREY, RED, ALPHA, camera, made, EVERYWHERE)
    assert (GREY == 0.4).all()  # not changed in place
    np.testing.assert_array_equal(out[:BASE], GREY[:BASE])
    change = np.abs(out - GREY).max(axis=2)
    assert change[BASE : BASE + 4, 55:75].min() > 0.01
    assert change.max() < 0.6 * made.gloss
    assert change[BASE + 20, 64] < change[BASE + 2, 64]
    assert change[BASE:, :30].max() < 1e-4
    redder = out[BASE + 1, 64]
    assert redder[0] > redder[1]


def test_a_reflection_begins_where_the_product_touches_and_not_below_what_overhangs() -> None:
    alpha = np.zeros(SIZE, np.uint8)
    for column in range(44, 84):
        alpha[60 : BASE - (column - 44) // 8, column] = 255  # it stands back to one side
    alpha[80:90, 84:100] = 255  # a handle
    made = plan("tabletop", "dark-marble")
    made = replace(made, subject=replace(made.subject, alpha=alpha, pitch=25.0))
    out = reflection(GREY, RED, alpha, made.subject.camera(), made, EVERYWHERE)
    change = np.abs(out - GREY).max(axis=2)
    for column in range(46, 82):
        lowest = np.flatnonzero(alpha[:, column])[-1]
        assert change[lowest + 1, column] > 0.02
        assert change[lowest + 1 : lowest + 9, column].argmax() == 0
    assert change[90 : BASE - 5, 84:100].max() < 1e-4  # nothing hangs from the handle
    assert change[:, 96:].max() < 1e-3


def test_the_further_from_the_product_the_less_is_mirrored_and_the_less_sharply() -> None:
    made = plan("tabletop", "dark-marble")
    striped = RED.copy()
    for first in range(3):
        striped[:, first::6] = 255
    camera, rows = made.subject.camera(), (BASE + 1, BASE + 16)
    even, stripes = (
        [
            float(np.ptp(made_of[row, 50:78, 1])) + float(abs(made_of[row, 64, 0] - 0.4)) * ground
            for row in rows
        ]
        for made_of, ground in (
            (reflection(GREY, RED, ALPHA, camera, made, EVERYWHERE), 1.0),
            (reflection(GREY, striped, ALPHA, camera, made, EVERYWHERE), 0.0),
        )
    )
    assert even[1] < 0.6 * even[0]
    assert stripes[1] / stripes[0] < 0.7 * even[1] / even[0]


def test_more_gloss_mirrors_more_and_none_nothing() -> None:
    camera = plan().subject.camera()
    changes = []
    for surface in ("dark-marble", "oak", "paper"):
        made = plan("tabletop", surface)
        mirrored = reflection(GREY, RED, ALPHA, camera, made, EVERYWHERE)
        changes.append((made.gloss, float(np.abs(mirrored - GREY).sum())))
    assert changes[0][0] > changes[1][0] > changes[2][0] == 0
    assert changes[0][1] > changes[1][1] > changes[2][1] == 0


def test_where_the_picture_ends_at_the_base_nothing_is_mirrored() -> None:
    made = plan("tabletop", "dark-marble")
    alpha = np.zeros(SIZE, np.uint8)
    alpha[60:, 40:80] = 255
    low = type(made.subject)(alpha, "standing", 24.0).camera()
    assert reflection(GREY, RED, alpha, low, made, EVERYWHERE) is GREY


def test_a_podium_mirrors_on_its_lid_and_nowhere_else() -> None:
    made = SceneSet(plan("podium", "dark-marble"))
    lid = Stage(made.plan).mirrors(*SIZE)
    assert lid[BASE - 1, 64] == 1.0
    change = np.abs(made.mirrored(GREY, RED, ALPHA) - GREY).max(axis=2)
    assert change[BASE + 1, 64] > 0.01
    assert change[lid == 0].max() == 0
    assert Stage(plan("tabletop")).mirrors(*SIZE).min() == 1.0


def test_a_podium_is_looked_at_from_low_and_a_table_as_the_photograph_was() -> None:
    for pitch in (6.0, 11.0, 30.0):
        cameras = []
        for scene in ("podium", "tabletop"):
            made = plan(scene)
            cameras.append(Stage(replace(made, subject=replace(made.subject, pitch=pitch))).camera)
        assert cameras[0].pitch == min(12.5, cameras[1].pitch)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_a_podiums_foot_is_well_in_the_picture_or_well_outside(scale: float) -> None:
    for room in range(6, 70, 4):
        alpha = np.zeros(SIZE, np.uint8)
        last, half = SIZE[0] - room, round(20 * scale)
        alpha[last - round(70 * scale) : last, 64 - half : 64 + half] = 255
        made = plan("podium")
        made = replace(made, subject=replace(made.subject, alpha=alpha))
        stage = Stage(made)
        drum, camera = stage.drum, stage.camera
        sine, cosine = np.sin(np.radians(camera.pitch)), np.cos(np.radians(camera.pitch))
        high, back = camera.place
        fall, on = high + drum.tall, drum.z - drum.radius - back
        foot = camera.y + camera.focal * (fall * cosine - on * sine) / (on * cosine + fall * sine)
        assert not SIZE[0] - 0.04 * room < foot < SIZE[0] + 0.3 * room
        assert stage.drum.lid(stage.camera)[last - 1, 64] == 1.0


def test_paper_behind_a_podium_shows_no_ghost_of_what_stands_before_it() -> None:
    stage = Stage(plan("podium", None, "soft"))
    light = stage._light_on("paper")
    above = light[: round(0.3 * light.shape[0])]
    step = np.abs(np.diff(above, axis=1)).max()
    assert step < 0.012  # a level or two of 255 from one pixel to the next
