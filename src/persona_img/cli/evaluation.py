"""Commands that measure what the shop would show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_img import wiring
from persona_img.assets import ASSETS
from persona_img.cli.batch import Batch
from persona_img.cli.command import MOST
from persona_img.cli.options import checked
from persona_img.workspace import writable_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from persona_img.domain.catalog import Product
    from persona_img.imaging.photo import Photo
    from persona_img.masking.base import Masker
    from persona_img.reports.evaluation import Shown
    from persona_img.settings import Settings

_ROWS = {
    "shown": "shown of asked",
    "fell_back": "of these the fallback's",
    "adherence": "style recognised",
    "adherence_surface": "  surface",
    "adherence_palette": "  palette",
    "adherence_light": "  light",
    "adherence_scene": "  scene",
    "sharpness": "backdrop's detail by product's",
    "soft": "  refused as too soft",
    "distance": "distance from real, 256 px",
    "distance_floor": "  of real from real",
    "distance_full": "distance from real, 1:1",
    "distance_full_floor": "  of real from real",
    "copies": "copies of training pictures",
    "nearest": "  nearest, correlation",
    "changed": "product pixels changed",
    "verified": "files verified",
    "edge_psnr": "product and edge, PSNR dB",
    "edge_ssim": "product and edge, SSIM",
    "seconds": "seconds each",
}
_BY_SCENE = {
    "asked": "asked",
    "shown": "shown",
    "adherence": "style",
    "adherence_surface": "surface",
    "adherence_scene": "scene",
    "sharpness": "detail",
    "soft": "soft",
    "distance": "256 px",
    "distance_full": "1:1",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "eval-render",
        epilog="Example: `persona-img eval-render --products experiments/render/products "
        "--materials experiments/render/materials --judge experiments/render/judge.npz -o out/`",
    )(eval_render)


def eval_render(
    products: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, help="Folder of cut-out products nobody trained on."
        ),
    ],
    materials: Annotated[
        Path,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of materials of which no source paints with any piece.",
        ),
    ],
    judge: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Judge of styles, taught on other pieces."),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with product, style, digest, defect of shown variants; backdrop, named.",
        ),
    ] = None,
    cutouts: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of cut-outs the masker was not taught. None: these.",
        ),
    ] = None,
    composites: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of pictures with exact masks, for the masks' table.",
        ),
    ] = None,
    families: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with image, sender_id: product families of those.",
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder for the first source's shown variants at their own size, named by digest.",
        ),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="A source of backdrops; again for more. None: all.")
    ] = None,
    photos: Annotated[
        int, typer.Option(min=0, max=1000, help="Of the demo's photos, at most.")
    ] = 12,
    each: Annotated[int, typer.Option(min=1, max=1000, help="Styles for each product.")] = 4,
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="Of styles and variants.")] = 7,
    out: Annotated[
        Path, typer.Option("-o", "--out", file_okay=False, help="Folder of report and sheets.")
    ] = Path("eval-render"),
) -> None:
    """Measure masks, styles, scenes, proof, defects and speed of every source of backdrops."""
    from rich.console import Console

    from persona_img.imaging.photo import write_whole
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.reports.evaluation import (
        evaluate_source,
        no_defect_rate,
        references,
        speed,
        spread,
    )
    from persona_img.reports.sheet import save_sheet

    names = list(dict.fromkeys(source or wiring.COMPARED))
    sources = {name: checked(render={"backdrops": name}) for name in names}
    cut_outs = Batch(products)
    others = None if cutouts is None else Batch(cutouts)
    folder, console = writable_folder(out), Console(highlight=False)
    settings = checked()
    space = wiring.style_space(settings)
    shots = _demo_photos(wiring.masker(settings), photos)
    cut_out = told_of(cut_outs.load(), products)
    shots += cut_out
    first = wiring.renderer(sources[names[0]])
    asked = spread(shots, space, each, seed=seed, renderer=first)
    real, seen_by = references(asked, first, materials), StyleJudge(judge)
    report: dict[str, Any] = {"products": len(shots), "sources": {}, "speed": {}}
    for name in names:
        renderer = first if name == names[0] else wiring.renderer(sources[name])
        kept = keep if name == names[0] else None
        figures, shown = evaluate_source(renderer, asked, seen_by, real, keep=kept)
        report["sources"][name] = figures
        styles = [a.style for a in asked[:each]]
        report["speed"][name] = speed(renderer, shots[0], styles, (512, 1600))
        save_sheet(_sheet(shown), folder / f"shown-{name}.jpg")
        if name == names[0]:
            _list(shown, folder / "shown.csv")
            if labels is not None:
                report["looked_at"] = no_defect_rate(labels, shown)
    unseen = cut_out if others is None else others.load()
    report["masks"] = _masks(settings, unseen, composites, families)
    write_whole(folder / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    _print(report, console)
    cut_outs.finish()
    if others is not None:
        others.finish()


def _demo_photos(masker: Masker, most: int) -> list[Photo]:
    """Of the demo's photographs those with a mask that nobody has to look at, evenly chosen.

    Its cut-outs stand, its photographs do not: every scene has products.
    """
    from dataclasses import replace

    from persona_img.domain.catalog_table import read_catalog
    from persona_img.imaging.photo import About, load_photo

    products = read_catalog(ASSETS / "catalog" / "products.csv")
    found: list[Photo] = []
    for product in _apart(products):
        if len(found) >= most:
            break
        about = About(product.pose or None, product.size_cm, product.category)
        photo = replace(load_photo(product.photo), about=about)
        if photo.cut_out or masker.cut(photo.pixels).trusted:
            found.append(photo)
    return found


def told_of(photos: list[Photo], folder: Path) -> list[Photo]:
    """Cut-outs with what a merchant would tell: image, category, size_cm of ``products.csv`` there.

    Raises:
        InvalidInput: the table lacks a column, or a size is no number.
    """
    from dataclasses import replace

    from persona_img.errors import InvalidInput
    from persona_img.imaging.holdout import rows_of
    from persona_img.imaging.photo import About

    table = folder / "products.csv"
    if not table.exists():
        return photos
    told: dict[str, About] = {}
    for row in rows_of(table, ("image", "category", "size_cm")):
        try:
            size = float(row["size_cm"]) if row["size_cm"] else None
        except ValueError as error:
            raise InvalidInput(
                f"{table}: size_cm {row['size_cm']!r} of {row['image']}; give centimetres"
            ) from error
        told[row["image"]] = About(None, size, row["category"] or None)
    named = (Path(str(photo.source)).stem for photo in photos)
    return [replace(p, about=told.get(n, p.about)) for p, n in zip(photos, named, strict=True)]


def _apart(products: Sequence[Product]) -> list[Product]:
    """One of each category, then the next of each."""
    seen: dict[str, int] = {}
    turns = []
    for product in products:
        turns.append(seen.setdefault(product.category, 0))
        seen[product.category] += 1
    return [products[i] for i in sorted(range(len(products)), key=lambda i: (turns[i], i))]


def _masks(
    settings: Settings, cut_outs: list[Photo], composites: Path | None, families: Path | None
) -> dict[str, Any]:
    """Tables of the classic and the set masker, of product families it was not taught."""
    from persona_img.masking.classic import ClassicMasker
    from persona_img.masking.learning.corpus import MaskCorpusSettings
    from persona_img.masking.learning.evaluation import Example, compare, held_out_composites
    from persona_img.reports.evaluation import pictures_of

    maskers = [ClassicMasker(), wiring.masker(settings)]
    renderer = wiring.renderer(checked(render={"backdrops": "library"}))
    pictures = pictures_of(renderer, cut_outs, wiring.style_space(settings))
    tables = {"cut-outs on real material": compare(maskers, [Example(*p) for p in pictures])}
    if composites is not None and families is not None:
        share = MaskCorpusSettings.held_out_families
        examples = held_out_composites(composites, families, share)
        tables["composites"] = compare(maskers, examples)
    return tables


def _sheet(shown: list[Shown]) -> Any:
    from PIL import Image

    from persona_img.reports.sheet import contact_sheet

    rows: dict[str, list[tuple[str, Any]]] = {}
    for one in shown:
        values = one.asked.style.values
        scene = values.get("scene", "")
        caption = f"{values['surface']} {values['palette']}\n{scene} {values['light']}"
        rows.setdefault(one.asked.product, []).append((caption, Image.fromarray(one.picture)))
    return contact_sheet([("", cells) for cells in rows.values()], side=300)


def _list(shown: list[Shown], path: Path) -> None:
    from persona_img.reports.evaluation import scene_in

    lines = ["product,style,scene,digest,defect"]
    lines += [
        f'{s.asked.product},"{s.asked.style.key}",{scene_in(s.asked.style)},{s.digest},'
        for s in shown
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _number(value: float | None) -> str:
    """A dash where it is not known."""
    return "–" if value is None or value != value else f"{value:.4g}"


def _print(report: Mapping[str, Any], console: Console) -> None:
    from rich.table import Table

    first = next(iter(report["sources"].values()))
    table = Table(title=f"{first['asked']} variants of {report['products']} products, each source")
    table.add_column("")
    for name in report["sources"]:
        table.add_column(name, justify="right")
    for key, title in _ROWS.items():
        values = [figures.get(key) for figures in report["sources"].values()]
        table.add_row(title, *map(_number, values))
    for side in ("512", "1600"):
        values = [by_side[side]["each"] for by_side in report["speed"].values()]
        table.add_row(f"seconds at {side} px, batch", *(f"{v:.3g}" for v in values))
    console.print(table)
    scenes = Table(title="by source and scene")
    for head in ("source", "in", *_BY_SCENE.values()):
        scenes.add_column(head, justify="left" if head in ("source", "in") else "right")
    for name, figures in report["sources"].items():
        for scene, row in figures["scenes"].items():
            scenes.add_row(name, scene, *(_number(row.get(key)) for key in _BY_SCENE))
    console.print(scenes)
    masks = Table(title="masks")
    for name in ("pictures", "masker", "IoU", "boundary F", "hole error", "shown", "good of shown"):
        masks.add_column(name)
    for title, maskers in report["masks"].items():
        for name, row in maskers.items():
            keys = ("iou", "boundary_f", "hole_error", "shown", "good_shown")
            masks.add_row(f"{row['pictures']:.0f} {title}", name, *(f"{row[k]:.3f}" for k in keys))
    console.print(masks)
    if "looked_at" in report:
        seen = report["looked_at"]
        console.print(
            f"no defect: {seen['no_defect']:.3f} of {seen['looked_at']} shown variants that people "
            f"looked at ({seen['changed']} labels are of pictures that have changed); "
            f"defects: {seen['defects'] or 'none'}"
        )
        named = ", ".join(f"{name} {share:.3f}" for name, share in seen["named"].items())
        console.print(
            f"backdrop believable: {_number(seen['believable'])}; style named blind: {named or '–'}"
        )
