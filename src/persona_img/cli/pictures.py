"""Commands that work on any photo, with no shop around it."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img import wiring
from persona_img.cli import model_options as of_model
from persona_img.cli.batch import FOLDERS, Batch, say, tell
from persona_img.cli.options import (
    OUT,
    Json,
    MaskerModel,
    MaskerName,
    MaskFile,
    Out,
    Reference,
    Seed,
    Source,
    checked,
)
from persona_img.domain.style import Style, StyleSpace
from persona_img.errors import InvalidInput, LowMaskConfidence, RenderRejected, UnknownStyle
from persona_img.workspace import writable_file, writable_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from persona_img.imaging.photo import Photo
    from persona_img.rendering.look import ReferenceLook
    from persona_img.rendering.proof.certificate import VerifyReport
    from persona_img.rendering.renderer import BackdropRenderer
    from persona_img.settings import Settings

Styles = Annotated[
    list[str] | None,
    typer.Option("--style", help="attribute=value,…; again for more styles. None: a selection."),
]


_CAPTION_LINES = 2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples: dict[Callable[..., None], str] = {
        render: "photo.jpg --style surface=light-wood,light=soft --seed 7 -o out/ --json",
        sheet: "photos/ --style surface=linen --style surface=marble -o sheet.jpg",
    }
    for command, example in examples.items():
        app.command(
            help=f"{command.__doc__}\n\n{FOLDERS}",
            short_help=command.__doc__,
            epilog=f"Example: `persona-img {command.__name__} {example}`",
        )(command)
    app.command(epilog="Example: `persona-img verify out/x.png --against photo.jpg`")(verify)


def render(
    source: Source,
    style: Styles = None,
    count: Annotated[
        int, typer.Option(min=1, max=1000, help="Without --style: so many styles per photo.")
    ] = 4,
    seed: Seed = 7,
    out: Out = OUT,
    mask_file: MaskFile = None,
    backdrops: Annotated[
        str | None,
        typer.Option(
            help="diffusion (default); without weights: library or plain; pretrained, with "
            "--backdrop-model."
        ),
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
    reference: Reference = None,
    pose: Annotated[
        str | None,
        typer.Option(help="How it is photographed: lying, standing, hanging or worn; else seen."),
    ] = None,
    size_cm: Annotated[
        float | None, typer.Option(min=0.1, max=1000, help="Its longest side, centimetres.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="What it is, e.g. mug: says how large it usually is.")
    ] = None,
    relight: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Put so much of the backdrop's light on the product, 0..1; labelled."
        ),
    ] = None,
    relight_from: Annotated[
        str | None,
        typer.Option(help="With --relight: left, right, above, upper-left or upper-right."),
    ] = None,
    light_wrap: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="So much of it around the product's edge, 0..1."),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Your own backdrop, a folder of `fine-tune`."
        ),
    ] = None,
    materials: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Your own, of `materials add`."),
    ] = None,
    masker_name: MaskerName = None,
    masker_model: MaskerModel = None,
    backdrop_model: of_model.Model = None,
    words: of_model.Words = None,
    prompt: of_model.Prompt = None,
    negative: of_model.Negative = None,
    look: of_model.Look = None,
    ip_adapter: of_model.IpAdapter = None,
    ip_scale: of_model.IpScale = None,
    lora: of_model.Lora = None,
    lora_scale: of_model.LoraScale = None,
    controlnet: of_model.ControlNet = None,
    control_scale: of_model.ControlScale = None,
    steps: of_model.Steps = None,
    guidance: of_model.Guidance = None,
    model_batch: of_model.Batch = None,
    memory: of_model.Memory = None,
    quantise: of_model.Quantise = None,
    revision: of_model.Revision = None,
    accept_licence: of_model.AcceptLicence = False,
    as_json: Json = False,
) -> None:
    """Render variants of photos; each comes with its mask and its certificate."""
    from persona_img.imaging.mask_file import load_mask
    from persona_img.imaging.photo import load_photo
    from persona_img.loop import variant_seed
    from persona_img.rendering.framing import Layout
    from persona_img.variants.store import write_variant

    model = of_model.model_settings(
        model=backdrop_model,
        product=words,
        prompt=prompt,
        negative=negative,
        look=look,
        ip_adapter=ip_adapter,
        ip_scale=ip_scale,
        lora=lora,
        lora_scale=lora_scale,
        controlnet=controlnet,
        control_scale=control_scale,
        steps=steps,
        guidance=guidance,
        batch=model_batch,
        memory=memory,
        quantise=quantise,
        revision=revision,
        accept_licence=accept_licence,
    )
    settings = checked(
        pretrained=model,
        render={
            "backdrops": backdrops,
            "adapter": adapter,
            "materials": materials,
            "text": text,
            "relight": relight,
            "relight_from": relight_from,
            "light_wrap": light_wrap,
        },
        mask={"masker": masker_name, "model": masker_model},
    )
    of_model.check_used(settings, model)
    space = wiring.render_space(settings)
    if reference is not None and colour is not None:
        raise InvalidInput(f"--colour {colour} and --reference {reference}: give one of them")
    _check(space, style, framing, colour)
    formats: list[str | None] = [*dict.fromkeys(shape)] if shape else [settings.render.format]
    layouts = [Layout(one, settings.render.text) for one in formats]
    batch = Batch(source)
    several = len(batch.photos) > 1
    if mask_file is not None and several:
        raise InvalidInput(f"--mask with {len(batch.photos)} photos: give one photo")
    folder = writable_folder(out)
    renderer = wiring.renderer(settings)
    renderers = [renderer.laid_out(layout) for layout in layouts]
    seen_in = _look(reference, renderer)
    if seen_in is not None and not as_json:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in seen_in.colours)
        tell(f"{reference}: {seen_in.scene}, {seen_in.surface}, {seen_in.light}; {shares}")

    def make(path: Path, called: str) -> None:
        photo = _told(load_photo(path), pose, size_cm, category)
        if mask_file is not None:
            photo = photo.with_alpha(load_mask(mask_file))
        seen = renderers[0].stands(photo).pose
        drawn = [seed, zlib.crc32(path.stem.encode())]
        wanted = _styles(settings, _styled(style, seen_in, seen), count, seen, drawn)
        hue = colour if seen_in is None else seen_in.ground
        styles = list(dict.fromkeys(_with(one, framing, hue) for one in wanted))

        def rejected(style: Style, error: RenderRejected) -> None:
            batch.fail(path, str(error))

        seeds = [variant_seed(seed, path.stem, s) if several else seed for s in styles]
        for renderer in renderers:
            for variant in renderer.render_many(photo, styles, seeds, on_rejected=rejected):
                suffix = (renderer.settings.layout.format or "").replace(":", "x")
                name = "-".join(filter(None, (called, suffix, variant.digest[:12])))
                files = write_variant(variant, folder, name)
                line = {"photo": str(path), "style": variant.style.key, "digest": variant.digest}
                line |= {kind: str(file) for kind, file in files.items()}
                seconds = {k: round(v, 4) for k, v in variant.seconds.items()}
                notes = "".join(f"  {label}" for label in variant.certificate.labels)
                if as_json:
                    say(json.dumps(line | {"seconds": seconds}))
                else:
                    say(f"{files['variant']}  {variant.style}{notes}")

    batch.each(make, "render", workers=settings.render.workers)
    batch.finish()


def sheet(
    source: Source,
    style: Styles = None,
    count: Annotated[
        int, typer.Option(min=1, max=1000, help="Without --style: so many styles.")
    ] = 8,
    seed: Seed = 7,
    backdrops: Annotated[str | None, typer.Option(help="As for `render`.")] = None,
    side: Annotated[
        int, typer.Option(min=64, max=2048, help="Of each picture on the sheet, pixels.")
    ] = 260,
    out: Annotated[
        Path, typer.Option("-o", "--out", dir_okay=False, help="The sheet, JPEG or PNG.")
    ] = Path("sheet.jpg"),
) -> None:
    """Photos and their variants on one sheet, to look at: a row for each photo."""
    from PIL import Image

    from persona_img.imaging.cutout import on_white
    from persona_img.imaging.folder import free_for_result
    from persona_img.imaging.photo import load_photo
    from persona_img.loop import variant_seed
    from persona_img.reports.sheet import SHEETS, check_size, contact_sheet, save_sheet

    settings = checked(render={"backdrops": backdrops})
    space = wiring.render_space(settings)
    _check(space, style, None, None)
    free_for_result(writable_file(out, SHEETS))
    batch = Batch(source)
    columns = len(style) if style else count
    check_size(len(batch.photos), columns + 1, _CAPTION_LINES, side)
    renderer = wiring.renderer(settings)
    nothing = Image.new("RGB", (side, side), "white")
    rows = []

    def make(path: Path, _: str) -> None:
        photo = load_photo(path)
        drawn = [seed, zlib.crc32(path.stem.encode())]
        styles = _styles(settings, style, count, renderer.stands(photo).pose, drawn)
        seeds = [variant_seed(seed, path.stem, s) for s in styles]
        made: dict[Style, Image.Image] = {}

        def rejected(style: Style, error: RenderRejected) -> None:
            tell(str(error))

        try:
            for variant in renderer.render_many(photo, styles, seeds, on_rejected=rejected):
                made[variant.style] = _small(Image.fromarray(variant.pixels), side)
        except LowMaskConfidence as error:
            batch.fail(path, str(error))
        cells = [(_caption(s, s in made), made.get(s, nothing)) for s in styles]
        rows.append(("", [("the photo", _small(on_white(photo), side)), *cells]))

    batch.each(make, "sheet", stays=False)
    if rows:
        save_sheet(contact_sheet(rows, side=side), out)
        say(str(out))
    batch.finish()


def verify(
    variant: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="A variant; certificate and mask lie beside it."
        ),
    ],
    against: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="The photograph it was made from."),
    ],
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
    from persona_img.imaging.photo import About
    from persona_img.rendering.proof.certificate import (
        certificate_path,
        load_certificate,
        mask_path,
        repeat,
    )

    recipe = load_certificate(certificate_path(variant)).recipe
    photo = replace(photo, about=About(**recipe.get("told", {})))
    settings = checked(
        render={**recipe.get("settings", {}), "backdrops": recipe.get("backdrops")},
        pretrained=recipe.get("pretrained", {}),
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


def _check(
    space: StyleSpace, asked: list[str] | None, framing: str | None, colour: str | None
) -> None:
    """Refuse what cannot be rendered of any photo, before anything is loaded or written."""
    for text in asked or ():
        if space.parse(text).is_original:
            raise InvalidInput("style original: that is the photo itself; ask for another style")
    _with(Style.of({"surface": "any"}), framing, colour)


def _look(reference: Path | None, renderer: BackdropRenderer) -> ReferenceLook | None:
    """The look of a reference picture; None where there is none."""
    from persona_img.imaging.photo import load_photo
    from persona_img.rendering.look import look_of
    from persona_img.rendering.proof.adherence import StyleJudge

    if reference is None:
        return None
    picture = load_photo(reference)
    cut = renderer.mask(picture)
    # A picture without a product is all look; of a cut-out what is seen is.
    alpha = cut.alpha if cut.trusted else cut.alpha * 0
    if picture.cut_out:
        alpha = 255 - cut.alpha
    return look_of(picture.pixels, alpha, renderer.judge or StyleJudge())


def _styled(asked: list[str] | None, look: ReferenceLook | None, pose: str) -> list[str] | None:
    """What was asked for, completed by a look: what a style names itself wins."""
    if look is None:
        return asked
    texts = []
    for text in asked or [""]:
        own = Style.read(text).values if text else {}
        values = look.values(pose) | dict(own)
        texts.append(",".join(f"{name}={value}" for name, value in values.items()))
    return texts


def _with(style: Style, framing: str | None, colour: str | None) -> Style:
    """A style with another framing, and with a colour in place of its palette.

    Raises:
        UnknownStyle: there is no such framing, or the colour is written otherwise.
    """
    from persona_img.imaging.colour import lab_of
    from persona_img.rendering.framing import FRAMINGS

    if framing is not None and framing not in FRAMINGS:
        raise UnknownStyle(f"framing={framing}: choose from {', '.join(FRAMINGS)}")
    if colour is not None:
        lab_of(colour)
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


def _small(picture: Image.Image, side: int) -> Image.Image:
    """Fitted into a square: hundreds of photos in their own size would fill the memory."""
    from PIL import Image

    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def _styles(
    settings: Settings, asked: list[str] | None, count: int, pose: str, seeds: list[int]
) -> list[Style]:
    """What a photo is rendered in: what was asked for, else different styles that fit it."""
    from persona_img.rendering.choice import asked_for, chosen_for

    if asked:
        return [asked_for(wiring.render_space(settings), text, pose) for text in asked]
    return chosen_for(wiring.fitting_space(settings), count, pose, seeds)


def _told(photo: Photo, pose: str | None, size_cm: float | None, category: str | None) -> Photo:
    """The photo with what the command line tells of its product."""
    from persona_img.domain.pose import checked_pose
    from persona_img.imaging.photo import About

    return replace(photo, about=About(checked_pose(pose or "") or None, size_cm, category))
