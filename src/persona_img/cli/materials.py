"""Commands of materials: which there are, and a shop's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img.cli.batch import say
from persona_img.cli.home import add
from persona_img.cli.options import Json, checked
from persona_img.workspace import writable_file, writable_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.scenery.materials import Surface

Folder = Annotated[
    Path, typer.Option("-o", "--out", file_okay=False, help="Folder of your own materials.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    materials = typer.Typer(help="What backdrops are made of.", no_args_is_help=True)
    example = "persona-img materials add counter.jpg --name our-counter --cm 80 -o materials/"
    add(materials, materials_add, example, name="add")
    example = "persona-img materials list --sheet materials.jpg"
    add(materials, materials_list, example, name="list")
    app.add_typer(materials, name="materials")


def materials_add(
    picture: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="The material from straight above, evenly lit."
        ),
    ],
    name: Annotated[str, typer.Option(help="As styles will name it, e.g. our-counter.")],
    cm: Annotated[
        float,
        typer.Option(min=0.1, max=1000, help="How wide the photographed piece is, centimetres."),
    ],
    normal: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its normals, OpenGL.")
    ] = None,
    dye: Annotated[
        float | None, typer.Option(min=0, max=1, help="How far it takes a palette's colour.")
    ] = None,
    gloss: Annotated[
        float | None, typer.Option(min=0, max=1, help="What it mirrors; polished stone 0.3.")
    ] = None,
    boards: Annotated[
        bool, typer.Option("--boards", help="It has lines that must go on: boards, tiles, bricks.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Under which it may be shown.")] = "own",
    credit: Annotated[str, typer.Option(help="Where it comes from.")] = "",
    out: Folder = Path("materials"),
) -> None:
    """Add a photographed material; then set render.materials to the folder."""
    from persona_img.scenery.adding import add_material

    surface = add_material(
        writable_folder(out),
        picture,
        name,
        cm,
        normal=normal,
        dye=dye,
        gloss=gloss,
        repeat="tile" if boards else None,
        licence=licence,
        source=credit,
    )
    tile = surface.tiles[-1]
    say(f"{out / tile.file}  surface={name}, {tile.cm:g} cm, Lab {surface.lab}")
    say(f"to render with it: --materials {out}, or render.materials in the settings")


def materials_list(
    sheet: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Also show them all on one picture.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the surfaces that can be asked for, with the size of their pieces."""
    from persona_img.reports.sheet import SHEETS
    from persona_img.scenery.materials import materials_of

    surfaces = materials_of(checked().render.materials).surfaces
    for name, surface in surfaces.items():
        sizes = ", ".join(f"{tile.cm:g}" for tile in surface.tiles)
        if as_json:
            line = {"surface": name, "lab": surface.lab, "dye": surface.dye, "gloss": surface.gloss}
            tiles = [
                {"file": tile.file, "cm": tile.cm, "licence": tile.licence}
                for tile in surface.tiles
            ]
            say(json.dumps(line | {"tiles": tiles}))
        else:
            say(f"{name:14} {len(surface.tiles)} of {sizes} cm")
    if sheet is not None:
        _save(writable_file(sheet, SHEETS), surfaces)
        say(str(sheet))


def _save(path: Path, surfaces: Mapping[str, Surface]) -> None:
    import numpy as np
    from PIL import Image

    from persona_img.imaging.light import to_srgb
    from persona_img.reports.sheet import contact_sheet, save_sheet
    from persona_img.scenery.laying import laid

    cells = []
    for name, surface in surfaces.items():
        made = laid(surface, surface.lab, (-0.35, 0.35), np.random.default_rng(7), cm=60)
        picture = np.round(to_srgb(made.flat((300, 300), 5.0, (0.0, 0.0))) * 255)
        cells.append((name, Image.fromarray(picture.astype(np.uint8))))
    rows = [("", cells[i : i + 6]) for i in range(0, len(cells), 6)]
    save_sheet(contact_sheet(rows, side=300), path)
