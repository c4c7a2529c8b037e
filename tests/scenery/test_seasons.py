from __future__ import annotations

import numpy as np
import pytest

from persona_img.errors import UnknownStyle
from persona_img.scenery.seasons import SEASONS, far_lights, props_shadow, season_of

SIZE = (120, 90)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", sorted(SEASONS))
def test_props_take_away_no_more_light_than_the_season_says(name: str) -> None:
    season = season_of(name)
    shadow = props_shadow(season, SIZE, rng())
    assert shadow.shape == SIZE
    assert shadow.dtype == np.float32
    assert 1.0 - season.dark - 1e-5 <= shadow.min() < 1.0 - 0.5 * season.dark
    assert shadow.max() > 0.97
    assert shadow.mean() > 0.7  # a shadow, not a night
    np.testing.assert_array_equal(shadow, props_shadow(season, SIZE, rng()))
    assert (shadow != props_shadow(season, SIZE, rng(2))).any()


@pytest.mark.parametrize("name", sorted(SEASONS))
def test_a_larger_picture_has_the_same_props(name: str) -> None:
    season = season_of(name)
    small = props_shadow(season, SIZE, rng())
    large = props_shadow(season, (240, 180), rng())
    assert np.abs(large[::2, ::2] - small).mean() < 0.03


@pytest.mark.parametrize("name", sorted(SEASONS))
def test_the_light_is_tinted_and_not_dimmed(name: str) -> None:
    tint = np.array(season_of(name).tint)
    assert np.abs(tint - 1).max() <= 0.2
    assert tint.mean() == pytest.approx(1.0, abs=0.05)


def test_seasons_look_unlike() -> None:
    assert len(SEASONS) >= 6
    assert season_of("winter").tint[2] > season_of("winter").tint[0]
    assert season_of("autumn").tint[0] > season_of("autumn").tint[2]
    assert len({one.props for one in SEASONS.values()}) == len(SEASONS)


def test_far_lights_shine_where_the_season_has_them() -> None:
    assert far_lights(season_of("summer"), SIZE, 4.0, rng()) is None
    lights = far_lights(season_of("festive"), SIZE, 4.0, rng())
    assert lights is not None
    assert lights.shape == (*SIZE, 3)
    assert lights.dtype == np.float32
    assert lights.min() >= 0
    assert lights.max() > 0.1
    assert lights[..., 0].mean() > lights[..., 2].mean()  # candles are warm
    assert lights[110:].mean() < 0.2 * lights[:80].mean()  # above the table


def test_an_unknown_season_names_the_known_ones() -> None:
    with pytest.raises(UnknownStyle, match=r"season=harvest: choose from .*winter"):
        season_of("harvest")
