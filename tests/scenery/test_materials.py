from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.assets import ASSETS
from persona_img.domain.style import StyleSpace
from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.scenery.materials import (
    REPEATS,
    Materials,
    Tile,
    materials_of,
    mean_of,
    palettes,
    pixels_of,
    shipped,
)

WANTED = (
    "light-wood", "dark-wood", "marble", "dark-marble", "travertine", "terrazzo", "walnut", "oak",
    "linen", "cotton", "felt", "plaster", "concrete", "slate", "tile", "paper", "leather", "sand",
    "cork",
)  # fmt: skip


def tiles() -> list[Tile]:
    return [tile for one in materials_of(None).surfaces.values() for tile in one.tiles]


def test_every_tile_that_is_named_is_there_and_none_lies_there_for_nothing() -> None:
    named = {n for tile in tiles() for n in (tile.file, tile.normal) if n is not None}
    assert named == {path.name for path in shipped().glob("*.jpg")}
    assert "CC0" in (shipped() / "LICENCE.md").read_text(encoding="utf-8")
    assert 40 <= len({tile.file for tile in tiles()}) <= 80
    assert set(WANTED) <= set(materials_of(None).surfaces)
    space = StyleSpace.load(ASSETS / "styles.toml").attributes
    assert set(space["surface"]) <= set(materials_of(None).surfaces)
    assert set(space["palette"]) <= set(palettes())


def test_tiles_are_large_enough_to_show_and_small_enough_to_ship() -> None:
    sizes = {path: path.stat().st_size for path in shipped().glob("*.jpg")}
    assert sum(sizes.values()) <= 25_000_000
    for path, size in sizes.items():
        assert size <= 600_000, path.name
        with Image.open(path) as image:
            assert image.format == "JPEG"
            least = 512 if ".normal." in path.name else 1024
            if path.name == "Paper001.jpg":  # 10 cm of paper: finer than any photo shows it
                least = 512
            assert least <= min(image.size) <= max(image.size) <= 2048, path.name


def test_tiles_say_where_they_come_from_and_may_be_shown() -> None:
    for tile in tiles():
        assert tile.source
        assert tile.licence == "CC0-1.0"
        assert 20 <= tile.cm <= 400  # a plank, a wall: no pinhead and no field


def test_no_two_surfaces_are_the_same_picture_in_about_the_same_colour() -> None:
    surfaces = list(materials_of(None).surfaces.values())
    for one, other in combinations(surfaces, 2):
        if {tile.file for tile in one.tiles} & {tile.file for tile in other.tiles}:
            away = float(np.linalg.norm(np.subtract(one.lab, other.lab)))
            assert away >= 8.0, (one.name, other.name)
    for surface in surfaces:
        usual = {tile.file: tile.cm for tile in surface.tiles if tile.close is None}
        near = {tile.file: tile.cm for tile in surface.tiles if tile.close is not None}
        assert len(usual) + len(near) == len(surface.tiles)
        # Boards may be a floor's and, of less than half the width, a table top's.
        assert all(cm < usual.get(file, 2.1 * cm) / 2 for file, cm in near.items())


def test_one_block_of_stone_has_no_joints_and_boards_stay_boards() -> None:
    known = materials_of(None).surfaces
    stone = known["travertine"]
    assert any(tile.joints for tile in stone.tiles_for(stone.lab))
    block = stone.tiles_for(stone.lab, solid=True)
    assert block
    assert not any(tile.joints for tile in block)
    assert all(tile.close is None for tile in block)  # however near it is
    for one in known.values():
        assert one.tiles_for(one.lab, solid=True)
        if not any(tile.joints for tile in one.tiles):
            assert one.tiles_for(one.lab, solid=True) == one.tiles_for(one.lab)


def test_a_surface_takes_a_palette_as_far_as_it_can_be_dyed() -> None:
    walnut = materials_of(None).surface("walnut")
    lightness, a, b = walnut.colour((10.0, -20.0))
    assert (lightness, a, b) == pytest.approx(
        (walnut.lab[0], walnut.lab[1] + 10 * walnut.dye, walnut.lab[2] - 20 * walnut.dye)
    )
    assert walnut.colour(palettes()["neutral"]) == walnut.lab
    assert {one.repeat for one in materials_of(None).surfaces.values()} == set(REPEATS)


def test_an_unknown_surface_names_the_known_ones() -> None:
    with pytest.raises(UnknownStyle, match=r"surface=velvet: there are .*linen.*; choose one"):
        materials_of(None).surface("velvet")


def folder(tmp_path: Path, **changes: object) -> Path:
    """A folder of one material."""
    across = np.broadcast_to(np.linspace(60, 200, 300)[None, :, None], (260, 300, 3))
    Image.fromarray(across.astype(np.uint8)).save(tmp_path / "own.jpg", quality=95)
    values: dict[str, object] = {"lab": [60, 0, 0], "dye": 0.5, "gloss": 0.1, "repeat": "quilt"}
    tile: dict[str, object] = {"file": "own.jpg", "cm": 40}
    for name, value in changes.items():
        (tile if name in ("file", "cm", "normal", "colour", "close") else values)[name] = value
    lines = ["[surface.own]", *(f"{n} = {_toml(v)}" for n, v in values.items())]
    lines += ["[[surface.own.tile]]", *(f"{n} = {_toml(v)}" for n, v in tile.items())]
    (tmp_path / "materials.toml").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_a_folder_of_ones_own_is_read(tmp_path: Path) -> None:
    own = Materials(folder(tmp_path)).surface("own")
    assert (own.dye, own.gloss, own.tiles[0].cm, own.folder) == (0.5, 0.1, 40, tmp_path)
    pixels = pixels_of(own.folder / own.tiles[0].file)
    assert pixels.shape == (260, 260, 3)  # its middle
    assert pixels[0, 0, 0] == pytest.approx(60 + 140 * 20 / 299, abs=3)
    lightness, a, b = mean_of(pixels)
    assert 45 < lightness < 60
    assert (a, b) == pytest.approx((0, 0), abs=0.5)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"repeat": "mirror"}, "repeat='mirror'; choose from quilt, scattered, tile"),
        ({"scenes": ["flat-lay", "kitchen"]}, "scenes='kitchen'; choose from flat-lay, tabletop"),
        ({"dye": 1.5}, "dye=1.5; give a share from 0 to 1"),
        ({"gloss": -0.1}, "gloss=-0.1; give a share from 0 to 1"),
        ({"cm": 0}, "cm=0; give its width"),
        ({"cm": 5000}, "cm=5000; give its width"),
        ({"file": "none.jpg"}, "no file .*none.jpg; correct the table"),
        ({"normal": "none.jpg"}, "no file .*none.jpg; correct the table"),
        ({"lab": [1, 2]}, "see docs/materials"),
        ({"colour": "red"}, "colour"),
        ({"close": 2.0}, "no tile for every distance and colour; give a .* without close"),
        ({"close": 0.5}, "close=0.5; give at least 1"),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused_with_it(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(InvalidInput, match=f"surface own.*{says}"):
        Materials(folder(tmp_path, **changes))


def test_a_folder_without_a_table_and_a_tile_that_is_no_picture_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="materials add"):
        Materials(tmp_path)
    (tmp_path / "materials.toml").write_text("surface = ", encoding="utf-8")
    with pytest.raises(InvalidInput, match="give a TOML file"):
        Materials(tmp_path)
    (tmp_path / "materials.toml").write_text("", encoding="utf-8")
    with pytest.raises(InvalidInput, match="name at least one surface"):
        Materials(tmp_path)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(InvalidInput, match="no material's tile"):
        pixels_of(tmp_path / "text.jpg")


def test_the_fingerprint_is_of_tables_and_tiles_and_not_of_where_they_lie(tmp_path: Path) -> None:
    places = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        places.append(folder(tmp_path / name))
    first, second = (Materials(place).fingerprint() for place in places)
    assert first == second
    assert Materials(folder(places[1], cm=41)).fingerprint() != first
    assert Materials(folder(places[1])).fingerprint() == first
    Image.fromarray(np.zeros((260, 300, 3), np.uint8)).save(places[1] / "own.jpg")
    assert Materials(places[1]).fingerprint() != first
