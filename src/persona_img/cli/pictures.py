"""Commands that work on any photo, with no shop around it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from persona_img import wiring
from persona_img.domain.style import Style, StyleSpace
from persona_img.errors import InvalidInput, LowMaskConfidence, RenderRejected
from persona_img.settings import Settings
from persona_img.workspace import writable_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from persona_img.imaging.photo import Photo
    from persona_img.rendering.proof.certificate import VerifyReport

Json = Annotated[bool, typer.Option("--json", help="Print one JSON line per result.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for what is made.")]
Styles = Annotated[
    list[str] | None,
    typer.Option("--style", help="attribute=value,…; again for more styles. None: a selection."),
]
MaskerName = Annotated[
    str | None, typer.Option("--masker", help="learned (default), classic or transformers.")
]
MaskerModel = Annotated[
    str | None, typer.Option(help="With --masker transformers: a model's id or folder.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: `persona-img mask photo.jpg -o out/`")(mask)
    app.command(
        epilog="Example: `persona-img render photo.jpg --style surface=light-wood,light=soft "
        "--seed 7 -o out/ --json`"
    )(render)
    app.command(
        epilog="Example: `persona-img sheet photos/ --style surface=linen --style surface=marble "
        "-o sheet.jpg`"
    )(sheet)
    app.command(epilog="Example: `persona-img verify out/x.png --against photo.jpg`")(verify)


def mask(
    source: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    out: Out = Path("out"),
    masker_name: MaskerName = None,
    masker_model: MaskerModel = None,
    as_json: Json = False,
) -> None:
    """Cut the product out: an 8-bit alpha mask of the photo's size."""
    from persona_img.imaging.photo import list_photos, load_photo, save_png
    from persona_img.masking.base import supplied

    paths = list_photos(source)
    folder = writable_folder(out)
    masker = wiring.masker(Settings.load(mask={"masker": masker_name, "model": masker_model}))
    for path in paths:
        photo = load_photo(path)
        found = masker.cut(photo.pixels) if photo.alpha is None else supplied(photo.alpha)
        target = save_png(folder / f"{path.stem}.mask.png", found.alpha)
        if as_json:
            line = {"photo": str(path), "mask": str(target), "confidence": found.confidence}
            print(json.dumps(line | {"masker": found.source, "checks": found.checks}))
        else:
            note = "" if found.trusted else "  low: please look, or draw the mask"
            print(f"{target}  confidence {found.confidence:.2f}{note}")


def render(
    source: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    style: Styles = None,
    count: Annotated[int, typer.Option(help="Without --style: so many styles per photo.")] = 4,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    out: Out = Path("out"),
    mask_file: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            help="Your own, of one photo: white is product, or what is not transparent.",
        ),
    ] = None,
    backdrops: Annotated[
        str | None,
        typer.Option(
            help="diffusion (default) or diffusion-over-gaussian; without weights: library, "
            "gaussian or plain; pretrained, with --backdrop-model."
        ),
    ] = None,
    backdrop_model: Annotated[
        str | None, typer.Option(help="A diffusers pipeline's id or folder, e.g. for SDXL.")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option("--format", help="1:1, 4:5, 3:4, 16:9 or 9:16; again for more formats."),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Keep room for text: left, right, top or bottom.")
    ] = None,
    framing: Annotated[
        str | None,
        typer.Option(help="Instead of the styles' own: centred, close, airy, left-third, …"),
    ] = None,
    colour: Annotated[
        str | None, typer.Option(help="Of the backdrop, #rrggbb, instead of a palette's.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="A picture whose main colour the backdrop takes.")
    ] = None,
    relight: Annotated[
        float | None,
        typer.Option(help="Put so much of the backdrop's light on the product, 0..1; labelled."),
    ] = None,
    light_wrap: Annotated[
        float | None, typer.Option(help="So much of it around the product's edge, 0..1.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="Your own backdrop, a folder written by `fine-tune`.")
    ] = None,
    masker_name: MaskerName = None,
    masker_model: MaskerModel = None,
    as_json: Json = False,
) -> None:
    """Render variants of photos; each comes with its mask and its certificate."""
    from persona_img.imaging.mask_file import load_mask
    from persona_img.imaging.photo import list_photos, load_photo
    from persona_img.loop import variant_seed
    from persona_img.rendering.framing import Layout
    from persona_img.variants.store import write_variant

    settings = Settings.load(
        render={
            "backdrops": backdrops,
            "model": backdrop_model,
            "adapter": adapter,
            "text": text,
            "relight": relight,
            "light_wrap": light_wrap,
        },
        mask={"masker": masker_name, "model": masker_model},
    )
    space = wiring.style_space(settings)
    colour = _backdrop_colour(colour, reference)
    styles = list(dict.fromkeys(_with(s, framing, colour) for s in _chosen(space, style, count)))
    paths = list_photos(source)
    if mask_file is not None and len(paths) != 1:
        raise InvalidInput(f"--mask with {len(paths)} photos: give one photo")
    folder = writable_folder(out)
    first = wiring.renderer(settings)
    formats: Sequence[str | None] = shape or [settings.render.format]
    renderers = [first.laid_out(Layout(one, settings.render.text)) for one in formats]
    problems = Console(stderr=True, highlight=False, soft_wrap=True)  # a path stays whole
    failed = 0
    for path, renderer in itertools.product(paths, renderers):
        photo = load_photo(path)
        if mask_file is not None:
            photo = photo.with_alpha(load_mask(mask_file))

        def rejected(style: Style, error: RenderRejected, path: Path = path) -> None:
            nonlocal failed
            failed += 1
            problems.print(f"{path} {style}: {error}", markup=False)

        seeds = [variant_seed(seed, path.stem, s) if len(paths) > 1 else seed for s in styles]
        try:
            for variant in renderer.render_many(photo, styles, seeds, on_rejected=rejected):
                suffix = (renderer.settings.layout.format or "").replace(":", "x")
                name = "-".join(filter(None, (path.stem, suffix, variant.digest[:12])))
                files = write_variant(variant, folder, name)
                line = {"photo": str(path), "style": variant.style.key, "digest": variant.digest}
                line |= {kind: str(file) for kind, file in files.items()}
                seconds = {k: round(v, 4) for k, v in variant.seconds.items()}
                notes = "".join(f"  {label}" for label in variant.certificate.labels)
                shown = f"{files['variant']}  {variant.style}{notes}"
                print(json.dumps(line | {"seconds": seconds}) if as_json else shown)
        except LowMaskConfidence as error:
            failed += len(styles)
            problems.print(f"{path}: {error}", markup=False)
    if failed:
        raise typer.Exit(1)


def sheet(
    source: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    style: Styles = None,
    count: Annotated[int, typer.Option(help="Without --style: so many styles.")] = 8,
    seed: Annotated[int, typer.Option(help="Same seed, same picture.")] = 7,
    backdrops: Annotated[str | None, typer.Option(help="As for `render`.")] = None,
    side: Annotated[int, typer.Option(help="Of each picture on the sheet, pixels.", min=64)] = 260,
    out: Annotated[Path, typer.Option("-o", "--out", help="The sheet, JPEG or PNG.")] = Path(
        "sheet.jpg"
    ),
) -> None:
    """Photos and their variants on one sheet, to look at: a row for each photo."""
    from PIL import Image
    from tqdm import tqdm

    from persona_img.imaging.cutout import on_white
    from persona_img.imaging.photo import list_photos, load_photo
    from persona_img.loop import variant_seed
    from persona_img.reports.sheet import contact_sheet

    settings = Settings.load(render={"backdrops": backdrops})
    space = wiring.style_space(settings)
    styles = _chosen(space, style, count)
    writable_folder(out.parent)
    renderer = wiring.renderer(settings)
    problems = Console(stderr=True, highlight=False, soft_wrap=True)  # a path stays whole
    rows = []
    for path in tqdm(list_photos(source), desc="photos"):
        photo = load_photo(path)
        seeds = [variant_seed(seed, path.stem, s) for s in styles]
        made: dict[Style, Image.Image] = {}

        def rejected(style: Style, error: RenderRejected, path: Path = path) -> None:
            problems.print(f"{path} {style}: {error}", markup=False)

        try:
            for variant in renderer.render_many(photo, styles, seeds, on_rejected=rejected):
                made[variant.style] = Image.fromarray(variant.pixels)
        except LowMaskConfidence as error:
            problems.print(f"{path}: {error}", markup=False)
        nothing = Image.new("RGB", (side, side), "white")
        cells = [(_caption(s, s in made), made.get(s, nothing)) for s in styles]
        rows.append(("", [("the photo", on_white(photo)), *cells]))
    contact_sheet(rows, side=side).save(out, quality=86)
    print(out)


def verify(
    variant: Annotated[Path, typer.Argument(help="A variant; certificate and mask lie beside it.")],
    against: Annotated[Path, typer.Option(help="The photograph it was made from.")],
    again: Annotated[
        bool, typer.Option("--again", help="Also make it again: every gate score, same bytes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Recompute a variant's certificate; exit 1 if one product pixel differs."""
    from persona_img.imaging.photo import load_photo
    from persona_img.rendering.proof.certificate import VerifyReport
    from persona_img.rendering.proof.certificate import verify as check

    photo = load_photo(against)
    report = check(variant, photo)
    if again:
        report = VerifyReport((*report.checks, *_repeated(variant, photo).checks))
    if as_json:
        checks = [{"name": c.name, "passed": c.passed, "found": c.found} for c in report.checks]
        print(json.dumps({"variant": str(variant), "passed": report.passed, "checks": checks}))
    else:
        print(f"{variant}\n{report}")
    if not report.passed:
        raise typer.Exit(1)


def _repeated(variant: Path, photo: Photo) -> VerifyReport:
    """Made again with what the recipe names; what it does not name is this folder's."""
    from persona_img.imaging.mask_file import load_mask
    from persona_img.rendering.proof.certificate import (
        certificate_path,
        load_certificate,
        mask_path,
        repeat,
    )

    recipe = load_certificate(certificate_path(variant)).recipe
    settings = Settings.load(
        render={**recipe.get("settings", {}), "backdrops": recipe.get("backdrops")}
    )
    renderer = wiring.renderer(settings)
    if recipe.get("mask") == "supplied":  # also where it narrowed a cut-out's own
        photo = photo.with_alpha(load_mask(mask_path(variant)))
    return repeat(
        variant,
        photo,
        lambda photo, style, seed: renderer.render(photo, style, seed=seed).certificate,
        renderer.fingerprint(),
    )


def _backdrop_colour(colour: str | None, reference: Path | None) -> str | None:
    """The colour asked for, or a picture's main one of those that are seen; None for none."""
    from persona_img.imaging.colour import colours_of
    from persona_img.imaging.photo import load_photo

    if reference is None:
        return colour
    if colour is not None:
        raise InvalidInput(f"--colour {colour} and --reference {reference}: give one of them")
    picture = load_photo(reference)
    return colours_of(picture.pixels, picture.seen)[0][0]


def _with(style: Style, framing: str | None, colour: str | None) -> Style:
    """A style with another framing, and with a colour in place of its palette."""
    values = dict(style.values)
    if framing is not None:
        values["framing"] = framing
    if colour is not None:
        values.pop("palette", None)
        values["colour"] = colour
    return Style.of(values)


def _caption(style: Style, shown: bool) -> str:
    """A style's values on two lines; the first says so where the gate refused it."""
    values = list(style.values.values())
    half = (len(values) + 1) // 2
    first = " ".join(values[:half])
    return f"{first if shown else f'refused: {first}'}\n{' '.join(values[half:])}"


def _chosen(space: StyleSpace, asked: list[str] | None, count: int) -> list[Style]:
    """The styles that were asked for, or a selection of so many."""
    if not asked:
        return _selection(space.styles()[1:], count)
    styles = [space.parse(text) for text in asked]
    if any(s.is_original for s in styles):
        raise InvalidInput("style original: that is the photo itself; ask for another style")
    return styles


def _selection(styles: list[Style], count: int) -> list[Style]:
    """Styles far apart in the list, so that they differ in every attribute."""
    if count < 1:
        raise InvalidInput(f"--count {count}: ask for at least one")
    step = max(1, len(styles) // count)
    # A stride that shares no factor with the attribute sizes walks through all of their values.
    return [styles[(i * (step + 1)) % len(styles)] for i in range(min(count, len(styles)))]
