"""Which materials and far views are shipped: reads DATA, writes ``assets/materials`` and ``views``.

    python experiments/materials/ship.py --data DATA -o src/persona_img/assets

DATA is a folder with ``materials/``, ``scenes/`` and ``backgrounds/`` as README.md says. Tiles are
saved at 1,024 px with quality 84, the wide terrazzo at 1,280, normals at 512 px; stains are taken
out of plaster, concrete and leather. Two are no photographs at this size: cork is quilted from one
of 128 px, at its own scale, and terrazzo is cut from photographs of stone (``terrazzo.py``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from terrazzo import terrazzo

from persona_img.imaging.colour import from_lab, to_lab
from persona_img.imaging.light import to_linear, to_srgb
from persona_img.scenery.adding import seamless
from persona_img.scenery.quilting import quilted

SIDE, QUALITY = 1024, 84
# name: (lab, dye, gloss, repeat, [(file, cm, turn)])
SURFACES = {
    "light-wood": (
        (74, 6, 22),
        0.4,
        0.10,
        "tile",
        [
            ("wood_light/wood_floor", 160, True),
            ("wood_light/plywood", 36, True),
        ],
    ),
    "oak": (
        (62, 8, 24),
        0.35,
        0.10,
        "tile",
        [
            ("wood_light/plywood", 36, True),
            ("wood_light/wood_floor", 160, True),
        ],
    ),
    "walnut": (
        (40, 13, 22),
        0.3,
        0.14,
        "tile",
        [
            ("wood_light/wood_floor", 160, True),
            ("wood_light/plywood", 36, True),
        ],
    ),
    "dark-wood": (
        (33, 8, 15),
        0.35,
        0.12,
        "tile",
        [
            ("wood_dark/Wood067", 80, True),
            ("wood_dark/WoodFloor008", 140, True),
            ("wood_dark/Planks011", 110, True),
            ("wood_dark/WoodFloor005", 130, True),
        ],
    ),
    "planks": (
        (45, 10, 20),
        0.5,
        0.04,
        "tile",
        [
            ("wood_medium/wood_planks", 120, True),
            ("wood_medium/WoodFloor043", 110, True),
            ("wood_dark/dark_wooden_planks", 140, True),
        ],
    ),
    "butcher-block": (
        (63, 12, 28),
        0.3,
        0.10,
        "tile",
        [("wood_butcher_block/WoodFloor024", 60, True)],
    ),
    "marble": ((90, 0, 1), 0.6, 0.30, "scattered", [("marble/Marble021", 90, True)]),
    "grey-marble": ((74, 1, -2), 0.6, 0.28, "quilt", [("marble/Marble012", 110, True)]),
    "rose-marble": ((72, 6, 8), 0.4, 0.28, "quilt", [("marble/Marble020", 100, True)]),
    "dark-marble": (
        (24, 0, -1),
        0.4,
        0.34,
        "quilt",
        [
            ("marble/Marble016", 100, True),
            ("marble/Marble006", 90, True),
        ],
    ),
    "onyx": ((66, 7, 22), 0.2, 0.34, "tile", [("marble/Onyx003", 90, True)]),
    "travertine": (
        (80, 3, 13),
        0.5,
        0.14,
        "tile",
        [("marble_tiles/marble_01", 130, True), ("marble/Marble020", 100, True)],
    ),
    "terrazzo": ((81, 1, 4), 0.5, 0.24, "scattered", []),
    "slate": (
        (32, -1, -2),
        0.3,
        0.06,
        "quilt",
        [
            ("stone/Rock030", 120, True),
            ("stone/plastered_stone_wall", 120, True),
            ("stone/Rock035", 110, True),
        ],
    ),
    "paving": (
        (46, 0, 0),
        0.4,
        0.03,
        "tile",
        [("stone/PavingStones037", 110, True), ("tile/Tiles093", 160, True)],
    ),
    "stone-wall": ((54, 0, 4), 0.4, 0.02, "tile", [("stone/japanese_stone_wall", 180, False)]),
    "concrete": (
        (64, 0, 1),
        0.8,
        0.04,
        "scattered",
        [("concrete/concrete_floor", 140, True)],
    ),
    "board-concrete": (
        (58, 0, 3),
        0.6,
        0.03,
        "tile",
        [("concrete/concrete_wall_001", 200, False), ("concrete/Concrete048", 150, False)],
    ),
    "plaster": (
        (86, 0.5, 3),
        1.0,
        0.0,
        "quilt",
        [
            ("plaster/Plaster001", 120, True),
            ("plaster/painted_plaster_wall", 45, True),
        ],
    ),
    "limewash": (
        (74, 2, 6),
        1.0,
        0.0,
        "quilt",
        [
            ("plaster/painted_plaster_wall", 180, True),
            ("plaster/plastered_wall_03", 180, True),
        ],
    ),
    "tile": (
        (88, 0, 1),
        0.9,
        0.26,
        "tile",
        [("tile/Tiles036", 90, True), ("tile/long_white_tiles", 80, True)],
    ),
    "terracotta": ((66, 16, 28), 0.3, 0.05, "tile", [("tile/Tiles074", 120, True)]),
    "brick": (
        (52, 18, 20),
        0.4,
        0.0,
        "tile",
        [("brick/Bricks090", 130, False), ("brick/Bricks097", 190, False)],
    ),
    "grey-brick": (
        (56, 0, 0),
        0.9,
        0.0,
        "tile",
        [("brick/Bricks066", 130, False), ("brick/brick_wall_08", 170, False)],
    ),
    "linen": (
        (80, 0.5, 5),
        1.0,
        0.0,
        "woven",
        [("fabric/Fabric066", 26, True)],
    ),
    "cotton": ((92, 0, 1), 1.0, 0.0, "woven", [("fabric/Fabric060", 40, True)]),
    "felt": ((60, 0, 1), 1.0, 0.0, "quilt", [("fabric/Fabric030", 46, True)]),
    "tweed": ((50, 1, 4), 0.8, 0.0, "woven", [("fabric/Fabric061", 30, True)]),
    "jersey": ((56, -2, -12), 1.0, 0.0, "woven", [("fabric/Fabric077", 34, True)]),
    "carpet": ((74, 1, 14), 0.9, 0.0, "quilt", [("carpet/Carpet016", 60, True)]),
    "leather": ((60, 12, 24), 0.9, 0.12, "quilt", [("leather/Leather012", 46, True)]),
    "paper": ((93, 0, 2), 1.0, 0.0, "quilt", [("paper/Paper001", 60, True)]),
    "sand": ((72, 4, 18), 0.3, 0.0, "quilt", [("sand_ground/sand_01", 120, True)]),
    "gravel": (
        (54, 1, 6),
        0.3,
        0.0,
        "quilt",
        [("sand_ground/bicolour_gravel", 120, True), ("sand_ground/gravel", 150, True)],
    ),
    "grass": (
        (44, -18, 28),
        0.15,
        0.0,
        "quilt",
        [("grass_moss/Grass001", 130, True), ("grass_moss/Grass004", 120, True)],
    ),
    "cork": ((62, 10, 26), 0.3, 0.0, "quilt", []),
}
_LIES, _CLOTH = ("flat-lay",), ("flat-lay", "tabletop")
SCENES = {
    "stone-wall": _LIES,
    "brick": _LIES,
    "grey-brick": _LIES,
    "gravel": ("flat-lay", "outdoor"),
    "sand": ("flat-lay", "outdoor"),
    "grass": ("flat-lay", "outdoor"),
    "paving": ("flat-lay", "outdoor", "wall-floor"),
    "terracotta": ("flat-lay", "outdoor", "wall-floor"),
    "carpet": ("flat-lay", "wall-floor"),
    "plaster": ("flat-lay", "tabletop", "podium", "shelf", "wall-floor"),
    "limewash": ("flat-lay", "tabletop", "podium", "shelf", "wall-floor"),
    "linen": ("flat-lay", "tabletop", "room"),
    "leather": ("flat-lay", "tabletop", "room"),
    "cotton": _CLOTH,
    "felt": _CLOTH,
    "tweed": _CLOTH,
    "jersey": _CLOTH,
    "paper": ("flat-lay", "tabletop", "podium", "shelf"),
    "planks": ("flat-lay", "tabletop", "shelf", "room", "outdoor", "wall-floor"),
}
"""Where a surface is laid when nobody asks for it; anywhere where it is not here."""
CLOSE = {
    ("plaster", "painted_plaster_wall", 45): 1.0,
    ("travertine", "Marble020", 100): 1.0,
    ("light-wood", "plywood", 36): 2.5,
    ("oak", "plywood", 36): 2.5,
    ("walnut", "plywood", 36): 2.5,
}
"""How many times too large others would have to be shown before this is taken: plaster that is near
is fine, for coarse grains are a towel's; a table top is veneered, a floor is not."""
JOINTS = ("marble_tiles/marble_01", "wood_light/wood_floor")
"""Of tiles and boards; a podium is one block, and so is what small things stand on."""
TURNED = ("wood_dark/WoodFloor005",)
"""Whose boards stood upright: all others' run across the picture, along a table or a shelf."""
MADE = [
    ("terrazzo.jpg", 75, 1.5, None, 1024, 7),
    ("terrazzo_wide.jpg", 120, 0.84, None, 1280, 8),
    ("terrazzo_near.jpg", 24, 1.0, 1.0, 1024, 7),
]
"""Terrazzo of real stones: its file, how many cm it shows, how coarse it is, as ``CLOSE``, how many
pixels it is wide and the seed of its stones. Every stone is known again, so one is wide enough for
what lies under a coat, and has pixels enough to be as sharp there."""
LAID = {"terrazzo.jpg": 42}
"""How wide a piece is laid that shows more: its largest stones are then 4 cm, as real ones are."""
PALE = {"marble": 84}  # L* of what is dyed
DYED = {"marble": [("Marble020", 100)]}
"""What a surface is laid from where that is nearer the hue it is dyed in: veins of its own kind."""
LEVELLED = (
    "plaster/",
    "concrete/concrete_floor",
    "leather/",
    "fabric/Fabric060",
    "fabric/Fabric066",
    "fabric/Fabric077",
)
"""Whose stains and patches are taken out: they would give every repetition away."""
CALMED = {
    "concrete/concrete_floor": 1.2,
    "wood_medium/wood_planks": 1.0,
    "wood_medium/WoodFloor043": 1.0,
}
"""Whose outstanding spots are made so many times as strong as usual ones: stains and knots, each of
which would be known again."""
FAINTER = {"fabric/Fabric066": 0.75}
"""What is left of their contrast: threads of two colours look printed on, not woven."""
HEALED = {
    "concrete/concrete_floor": [
        (919, 530, 28), (421, 8, 27), (782, 426, 25), (167, 320, 20), (840, 162, 24),
        (700, 114, 19), (671, 113, 12), (651, 165, 20), (177, 216, 20), (880, 727, 17),
        (943, 38, 24), (922, 303, 24), (9, 302, 19), (55, 423, 17), (195, 558, 17), (446, 547, 18),
    ],
    "marble_tiles/marble_01": [
        (950, 342, 36), (912, 388, 26), (888, 402, 16), (905, 428, 26), (937, 438, 16),
        (740, 240, 26), (275, 262, 24), (775, 898, 26), (198, 932, 20), (170, 884, 16),
    ],
}  # fmt: skip
"""Round stains, (x, y, radius) in pixels, that are covered with what is beside them: two of them on
a canvas were taken for the same one, seen twice, and a vein that curls for a loose thread."""
_EDGE = 4.0  # pixels over which what covers a stain fades
_SPOT = (0.004, 0.08)  # scales, of the side
_STAIN, _LEFT = 0.08, 0.2  # of the side: larger is a stain; what is left of it
NORMALS = {"marble_tiles/marble_01": "marble_01"}
FLAT = ("concrete/concrete_floor",)  # so smooth that it may be turned
VIEWS = {
    # What reads as a room, or a garden, wherever it is cut and out of focus: no sea, no bare wall.
    "room": [
        "interior/lythwood_lounge_000",
        "interior/lythwood_lounge_045",
        "interior/lythwood_lounge_090",
        "interior/relax_inn_seaview_suite_045",
        "interior/relax_inn_seaview_suite_090",
        "interior_soft/lebombo_045",
        "studio_soft/brown_photostudio_01_025",
        "studio_soft/brown_photostudio_02_250",
        "studio_soft/brown_photostudio_06_020",
        "studio_soft/brown_photostudio_06_215",
        "studio_soft/christmas_photo_studio_07_325",
    ],
    "outdoor": [
        "garden/ballawley_park_225",
        "garden/charolettenbrunn_park_090",
        "garden/chinese_garden_225",
        "garden/meadow_2_000",
        "garden/medieval_cafe_000",
        "garden/pine_picnic_090",
        "garden/quadrangle_cloudy_315",
        "garden/studio_garden_315",
        "garden/symmetrical_garden_02_000",
        "outdoor_soft/forest_slope_000",
        "outdoor_soft/rainforest_trail_290",
        "outdoor_soft/rooitou_park_270",
    ],
    "spring": [
        "garden/symmetrical_garden_02_180",
        "outdoor_soft/rooitou_park_270",
        "landscape/horn_koppe_spring_270",
    ],
    "summer": [
        "outdoor_soft/noon_grass_000",
        "outdoor_soft/venice_sunset_000",
        "garden/sunny_country_road_090",
    ],
    "autumn": [
        "garden/ballawley_park_000",
        "city/of_steel_bridge_nederlands_270",
        "landscape/spruit_sunrise_045",
    ],
    "winter": [
        "snow/passendorf_snow_270",
        "snow/stierberg_sunrise_000",
        "snow/stierberg_sunrise_090",
    ],
    "festive": [
        "studio_soft/christmas_photo_studio_07_250",
        "studio_soft/christmas_photo_studio_07_325",
    ],
    "valentine": ["interior_soft/vestibule_000", "studio_soft/brown_photostudio_01_100"],
}
CAST_LEFT = {"room": 0.35, "festive": 0.0}
"""Share of a view's mean hue that is left: lamps of 2,700 K beside what day lit look ill."""

MUTED = {"lythwood_lounge": 0.45}
"""Share of their colours' strength that is left to a room's views: tone mapping made daylight lime
and lamplight violet, which a strict eye took for painted."""


def ship(data: Path, assets: Path) -> None:
    """Write both folders."""
    materials = assets / "materials"
    materials.mkdir(parents=True, exist_ok=True)
    lines = [
        "# What a surface looks like undyed (mean CIE Lab), how far it takes a palette (dye),",
        "# what it mirrors (gloss), how more is laid than one tile (repeat), and its tiles in cm.",
        "# Written by experiments/materials/ship.py.",
    ]
    for name, (lab, dye, gloss, repeat, tiles) in SURFACES.items():
        lines += [
            "",
            f"[surface.{name}]",
            f"lab = {list(lab)}",
            f"dye = {dye}",
            f"gloss = {gloss}",
            f'repeat = "{repeat}"',
            *([f"pale = {PALE[name]}"] if name in PALE else []),
            *([f"scenes = {json.dumps(SCENES[name])}"] if name in SCENES else []),
        ]
        if name == "cork":
            _save(_cork(data), materials / "cork.jpg", SIDE, QUALITY)
            lines += _entry(name, "cork.jpg", 110, True, None, "ambientCG Cork003, quilted")
        if name == "terrazzo":
            for file, cm, coarse, close, side, seed in MADE:
                _save(terrazzo(data, cm, coarse, side, seed), materials / file, side, QUALITY)
                wide = LAID.get(file, cm)
                lines += _entry(name, file, wide, True, None, "cut from ambientCG stones", close)
        for stem, cm, turn in tiles:
            file = stem.split("/")[1]
            picture = np.asarray(Image.open(data / "materials" / f"{stem}.jpg").convert("RGB"))
            if stem in TURNED:
                picture = np.rot90(picture)
            if file == "Paper001":
                picture = picture[: np.flatnonzero(picture.mean(axis=(1, 2)) > 128).max() - 8]
            square = _square(picture)
            for x, y, radius in HEALED.get(stem, []):
                square = _healed(square, x, y, radius)
            if stem.startswith(LEVELLED):
                square = _levelled(square)
            if stem in CALMED:
                square = _calmed(square, CALMED[stem])
            if stem in FAINTER:
                square = _fainter(square, FAINTER[stem])
            _save(square, materials / f"{file}.jpg", SIDE, QUALITY)
            normal = data / "materials" / "normals" / f"{NORMALS.get(stem, file)}_normal.jpg"
            with_normal = None
            if normal.exists() and stem not in FLAT:
                with_normal = f"{file}.normal.jpg"
                _save(
                    np.asarray(Image.open(normal).convert("RGB")), materials / with_normal, 512, 88
                )
            house = "ambientCG" if file[0].isupper() else "Poly Haven"
            close = CLOSE.get((name, file, cm))
            entry = _entry(name, f"{file}.jpg", cm, turn, with_normal, f"{house} {file}", close)
            lines += [*entry[:-1], "joints = true", entry[-1]] if stem in JOINTS else entry
        for file, cm in DYED.get(name, []):
            entry = _entry(name, f"{file}.jpg", cm, True, None, f"ambientCG {file}")
            lines += [*entry[:-1], "dyed = true", entry[-1]]
    (materials / "materials.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for kind, stems in VIEWS.items():
        for stem in stems:
            target = assets / "views" / kind / f"{stem.split('/')[1]}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            found = [
                p
                for p in (data / "scenes").rglob("*.jpg")
                if p.stem.endswith(target.stem.split("of_", 1)[-1])
            ]
            picture = np.asarray(Image.open(found[0]).convert("RGB"))
            small = cv2.resize(
                picture,
                (720, round(720 * picture.shape[0] / picture.shape[1])),
                interpolation=cv2.INTER_AREA,
            )
            view = _muted(_balanced(small, CAST_LEFT.get(kind, 1.0)), MUTED.get(_place(stem), 1.0))
            Image.fromarray(view).save(target, quality=86)


def _entry(
    name: str,
    file: str,
    cm: float,
    turn: bool,
    normal: str | None,
    source: str,
    close: float | None = None,
) -> list[str]:
    lines = [f"[[surface.{name}.tile]]", f'file = "{file}"', f"cm = {cm}"]
    if not turn:
        lines.append("turn = false")
    if close is not None:
        lines.append(f"close = {close}")
    if normal is not None:
        lines.append(f'normal = "{normal}"')
    return [*lines, f'source = "{source}"']


def _square(picture: np.ndarray) -> np.ndarray:
    side = min(picture.shape[:2])
    return picture[:side, :side]


def _healed(picture: np.ndarray, x: int, y: int, radius: int) -> np.ndarray:
    """A seamless tile with a round place covered by the calmest that is as large and near."""
    side, reach = len(picture), radius + round(3 * _EDGE)
    away = np.arange(-reach, reach + 1)
    inside = np.hypot(*np.meshgrid(away, away)) - radius
    share = np.clip(0.5 - inside / (2 * _EDGE), 0, 1)[..., None]
    lab = to_lab(np.ascontiguousarray(picture)).astype(np.float32)
    place = np.ix_((y + away) % side, (x + away) % side)
    there = lab[place]
    around = (inside > _EDGE) & (inside < 3 * _EDGE)
    found = []
    for angle in np.arange(16) * np.pi / 8:
        for far in (2.4, 3.2, 4.0):
            down, across = (round(far * radius * f(angle)) for f in (np.sin, np.cos))
            piece = lab[np.ix_((y + down + away) % side, (x + across + away) % side)]
            found.append(
                (float(cv2.GaussianBlur(piece, (0, 0), 3.0).std(axis=(0, 1)).sum()), piece)
            )
    calmest = min(found, key=lambda one: one[0])[1]
    calmest = calmest + there[around].mean(axis=0) - calmest[around].mean(axis=0)
    lab[place] = there + share.astype(np.float32) * (calmest - there)
    return _bytes(lab)


def _levelled(picture: np.ndarray) -> np.ndarray:
    """A seamless tile without what is larger than its grain."""
    side = picture.shape[0]
    lab = to_lab(np.ascontiguousarray(picture))
    reach = side // 2
    wide = np.pad(lab, ((reach, reach), (reach, reach), (0, 0)), mode="wrap")
    stain = cv2.GaussianBlur(wide, (0, 0), _STAIN * side)[reach:-reach, reach:-reach]
    return _bytes(lab - (1 - _LEFT) * (stain - stain.mean(axis=(0, 1))))


def _fainter(picture: np.ndarray, left: float) -> np.ndarray:
    """A tile with that share of its contrast."""
    lab = to_lab(np.ascontiguousarray(picture))
    mean = lab.mean(axis=(0, 1))
    return _bytes(mean + left * (lab - mean))


def _calmed(picture: np.ndarray, most: float) -> np.ndarray:
    """A seamless tile whose few outstanding spots and streaks are as faint as its many."""
    side = picture.shape[0]
    lab = to_lab(np.ascontiguousarray(picture))
    reach = side // 2
    wide = np.pad(lab, ((reach, reach), (reach, reach), (0, 0)), mode="wrap")
    fine, coarse = (
        cv2.GaussianBlur(wide, (0, 0), share * side)[reach:-reach, reach:-reach] for share in _SPOT
    )
    band = fine - coarse
    usual = most * 1.48 * np.median(np.abs(band), axis=(0, 1))
    return _bytes(lab - band + usual * np.tanh(band / usual))


def _bytes(lab: np.ndarray) -> np.ndarray:
    return np.round(from_lab(lab.astype(np.float32)) * 255).astype(np.uint8)


def _place(stem: str) -> str:
    """Where a view was photographed: its name without folder and direction."""
    return stem.split("/")[1].rsplit("_", 1)[0]


def _muted(picture: np.ndarray, share: float) -> np.ndarray:
    """A view with this share of its colours' strength, uint8."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    lab[..., 1:] *= np.float32(share)
    made = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.round(np.clip(made, 0.0, 1.0) * 255.0).astype(np.uint8)


def _balanced(picture: np.ndarray, left: float) -> np.ndarray:
    """A picture with that share of its colour cast; white stays white (von Kries)."""
    linear = to_linear(picture.astype(np.float32) / 255)
    mean = np.minimum(linear, 1.0).mean(axis=(0, 1))
    gain = (mean.mean() / mean) ** (1.0 - left)
    return np.round(to_srgb(np.clip(linear * gain, 0, 1)) * 255).astype(np.uint8)


def _save(picture: np.ndarray, path: Path, side: int, quality: int) -> None:
    if picture.shape[0] > side:
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    Image.fromarray(picture).save(path, quality=quality, optimize=True)


def _cork(data: Path) -> np.ndarray:
    picture = Image.open(data / "backgrounds" / "texture" / "Cork" / "Cork_003.jpg").convert("RGB")
    whole = np.asarray(picture)[3:-3, 3:-3]  # its border is grey
    tile, _ = seamless(np.ascontiguousarray(whole))
    return quilted(tile, (SIDE, SIDE), np.random.default_rng(7))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    arguments = parser.parse_args()
    ship(arguments.data, arguments.o)
