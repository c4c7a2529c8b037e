"""The sheets of the docs: kinds of products in scenes, and crops at full size.

    python experiments/render/kinds.py -o docs/

``kinds.jpg``: nine kinds by eight scenes; ``full-size.jpg``: six crops at 1:1; ``formats.jpg``: two
products in five formats with room for text; ``variants.jpg``: photos beside variants of them.
Nothing is chosen: seeds are counted, and what the gate refuses stays empty.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from persona_img import wiring
from persona_img.assets import ASSETS
from persona_img.domain.style import Style
from persona_img.errors import PersonaImgError
from persona_img.imaging.cutout import on_white
from persona_img.imaging.photo import About, Photo, load_photo
from persona_img.rendering.choice import chosen_for
from persona_img.rendering.framing import Layout
from persona_img.reports.sheet import contact_sheet, save_sheet
from persona_img.settings import Settings

HERE = Path(__file__).parent
CATALOG = ASSETS / "catalog" / "photos"
KINDS = (
    (HERE / "products/solidus_solidus_mug_set.png", "standing", 24.0),
    (HERE / "products/saleor_saleor-banana-drink.png", "standing", 18.0),
    (HERE / "products/saleor_saleor-dash-force-1.png", "standing", 30.0),
    (HERE / "products/solidus_solidus_cap_red_1.png", "standing", 26.0),
    (HERE / "products/saleor_saleor-cushion-blue.png", "standing", 45.0),
    (HERE / "products/saleor_saleor-battle-tested-book.png", "standing", 23.0),
    (CATALOG / "bottle-02.webp", "standing", 18.0),
    (CATALOG / "dress-03.jpg", "lying", 95.0),
    (CATALOG / "knitwear-02.jpg", "lying", 66.0),
)
STANDS = (
    "scene=tabletop,surface=concrete,palette=neutral,light=side",
    "scene=podium,surface=travertine,palette=neutral,light=sun",
    "scene=shelf,surface=walnut,palette=neutral,light=side",
    "scene=wall-floor,surface=light-wood,palette=neutral,light=window",
    "scene=room,surface=oak,palette=neutral,light=soft",
    "scene=outdoor,surface=planks,palette=neutral,light=sun",
    "scene=tabletop,surface=linen,palette=warm,light=side,season=autumn",
    "scene=room,surface=dark-wood,palette=neutral,light=soft,season=festive",
)
LIES = (
    "scene=flat-lay,surface=oak,palette=neutral,light=soft",
    "scene=flat-lay,surface=travertine,palette=neutral,light=sun",
    "scene=flat-lay,surface=walnut,palette=neutral,light=side",
    "scene=flat-lay,surface=light-wood,palette=neutral,light=window",
    "scene=flat-lay,surface=linen,palette=neutral,light=soft",
    "scene=flat-lay,surface=concrete,palette=neutral,light=sun",
    "scene=flat-lay,surface=linen,palette=sage,light=sun,season=autumn",
    "scene=flat-lay,surface=paper,palette=blush,light=sun,season=summer",
)
CROPS = ((0, 0), (1, 4), (2, 1), (3, 2), (7, 3), (8, 2))  # kind, scene


FORMATS = (("1:1", "right"), ("4:5", "top"), ("3:4", "top"), ("16:9", "right"), ("9:16", "top"))
ADS = (
    (CATALOG / "mug-01.webp", "scene=room,surface=marble,palette=neutral,light=soft,framing=airy"),
    (
        CATALOG / "knitwear-02.jpg",
        "scene=flat-lay,surface=walnut,palette=neutral,light=window,framing=airy",
    ),
)
SHOWN = ("dress-04.jpg", "knitwear-02.jpg", "hat-01.jpg", "bottle-01.webp", "shoes-06.webp")


def formats(settings: Settings, out: Path) -> None:
    """Two products in five formats."""
    height, gap = 300, 8
    rows = []
    for path, text in ADS:
        cells = []
        for shape, side in FORMATS:
            renderer = wiring.renderer(settings).laid_out(Layout(shape, side))
            variant = renderer.render(load_photo(path), Style.read(text), seed=7)
            picture = Image.fromarray(variant.pixels)
            left, top, _, _ = variant.certificate.text["box"]
            size = round(0.055 * (picture.width + picture.height) / 2)
            ImageDraw.Draw(picture).text(
                (left, top), "New in\nthe shop", variant.certificate.text["ink"],
                ImageFont.load_default(size),
            )  # fmt: skip
            width = round(height * picture.width / picture.height)
            cells.append(picture.resize((width, height), Image.Resampling.LANCZOS))
        rows.append(cells)
    wide = max(sum(c.width + gap for c in cells) - gap for cells in rows)
    sheet = Image.new("RGB", (wide, 2 * height + gap), "white")
    for row, cells in enumerate(rows):
        at = 0
        for cell in cells:
            sheet.paste(cell, (at, row * (height + gap)))
            at += cell.width + gap
    sheet.save(out, quality=90)


def variants(settings: Settings, out: Path) -> None:
    """Photos, each with five different styles that fit it."""
    renderer, space = wiring.renderer(settings), wiring.fitting_space(settings)
    rows = []
    for number, name in enumerate(SHOWN):
        photo = load_photo(CATALOG / name)
        cells = [("as photographed", on_white(photo))]
        for style in chosen_for(space, 8, renderer.stands(photo).pose, [7, number]):
            if len(cells) == 6:
                break
            try:
                made = renderer.render(photo, style, seed=7)
            except PersonaImgError as error:
                print(name, style, error)
                continue
            values = style.values
            caption = (
                f"{values['surface']} {values['palette']}\n{values['scene']} {values['light']}"
            )
            cells.append((caption, Image.fromarray(made.pixels)))
        rows.append(("", cells))
    save_sheet(contact_sheet(rows, side=240), out)


def taller(photo: Photo, side: int) -> Photo:
    """The photo with its long side at ``side`` pixels."""
    from persona_img.reports.evaluation import resized

    return replace(resized(photo, side), about=photo.about)


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backdrops", default="diffusion")
    parser.add_argument("--side", type=int, default=280, help="of a picture of kinds.jpg")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    settings = Settings.fresh(render={"backdrops": given.backdrops})
    renderer = wiring.renderer(settings).laid_out(Layout("1:1"))
    side, gap = given.side, 6
    sheet = Image.new("RGB", (8 * (side + gap) - gap, len(KINDS) * (side + gap) - gap), "white")
    made: dict[tuple[int, int], np.ndarray] = {}
    for row, (path, pose, cm) in enumerate(KINDS):
        photo = replace(load_photo(path), about=About(pose, cm))
        for column, text in enumerate(STANDS if pose == "standing" else LIES):
            style = Style.read(f"{text},framing=airy")
            try:
                variant = renderer.render(photo, style, seed=7 + 8 * row + column)
            except PersonaImgError as error:
                print(path.stem, style, error)
                continue
            made[row, column] = variant.pixels
            small = Image.fromarray(variant.pixels).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (column * (side + gap), row * (side + gap)))
    sheet.save(given.out / "kinds.jpg", quality=88)
    crops = Image.new("RGB", (3 * 560 + 2 * gap, 2 * 560 + gap), "white")
    for i, (row, column) in enumerate(CROPS):
        path, pose, cm = KINDS[row]
        photo = load_photo(path)
        # No more than twice its own size: further enlarged, every photograph is soft.
        side = min(1600, 2 * max(photo.pixels.shape[:2]))
        photo = taller(replace(photo, about=About(pose, cm)), side)
        style = Style.read(f"{(STANDS if pose == 'standing' else LIES)[column]},framing=airy")
        try:
            variant = renderer.render(photo, style, seed=7 + 8 * row + column)
        except PersonaImgError as error:
            print(path.stem, style, error)
            continue
        ys, xs = np.nonzero(variant.alpha >= 128)
        bottom, middle = int(ys.max()), int(np.median(xs[ys > ys.max() - 40]))
        top = min(max(0, bottom - 400), variant.pixels.shape[0] - 560)
        left = min(max(0, middle - 180), variant.pixels.shape[1] - 560)
        crop = Image.fromarray(variant.pixels[top : top + 560, left : left + 560])
        crops.paste(crop, (i % 3 * (560 + gap), i // 3 * (560 + gap)))
    crops.save(given.out / "full-size.jpg", quality=90)
    formats(settings, given.out / "formats.jpg")
    variants(settings, given.out / "variants.jpg")


if __name__ == "__main__":
    main()
