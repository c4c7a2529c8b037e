"""Other pieces of the shipped surfaces, of which nothing is shown to a shopper: for measuring.

    python experiments/materials/held_out.py --data DATA -o experiments/render/materials

Distance is measured from sets of these, and the judge of reports was taught on them. Colour, dye
and gloss are the shipped surface's; of surfaces of which DATA has a single piece there is none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from ship import SURFACES, _entry, _save, _square

SIDE, QUALITY = 1024, 72
PIECES = {
    "light-wood": [("wood_light/Wood048", 80, True)],
    "oak": [("wood_light/WoodFloor012", 130, True)],
    "walnut": [("wood_dark/wood_table_worn", 110, True)],
    "dark-wood": [("wood_dark/WoodFloor048", 130, True), ("wood_dark/Wood028", 90, True)],
    "planks": [("wood_dark/WoodSiding001", 130, True)],
    "marble": [("marble/Marble003", 90, True)],
    "dark-marble": [("marble/Marble023", 100, True)],
    "travertine": [("travertine/Travertine008", 90, True)],
    "slate": [("stone/Rock020", 120, True)],
    "concrete": [("concrete/concrete_floor_02", 150, True)],
    "plaster": [("plaster/Plaster002", 160, True)],
    "limewash": [("plaster/white_plaster_02", 180, True)],
    "sand": [("sand_ground/coast_sand_05", 120, True)],
    "grass": [("grass_moss/leafy_grass", 120, True)],
}


def hold_out(data: Path, folder: Path) -> None:
    """Write the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Pieces that are not shipped; colour, dye and gloss are the shipped surface's.",
        "# Written by experiments/materials/held_out.py.",
    ]
    for name, pieces in PIECES.items():
        lab, dye, gloss, repeat, _ = SURFACES[name]
        lines += [
            "",
            f"[surface.{name}]",
            f"lab = {list(lab)}",
            f"dye = {dye}",
            f"gloss = {gloss}",
            f'repeat = "{repeat}"',
        ]
        for stem, cm, turn in pieces:
            file = stem.split("/")[1]
            picture = np.asarray(Image.open(data / "materials" / f"{stem}.jpg").convert("RGB"))
            _save(_square(picture), folder / f"{file}.jpg", SIDE, QUALITY)
            house = "ambientCG" if file[0].isupper() else "Poly Haven"
            lines += _entry(name, f"{file}.jpg", cm, turn, None, f"{house} {file}")
    (folder / "materials.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    arguments = parser.parse_args()
    hold_out(arguments.data, arguments.o)
