"""Commands that edit photos, each alone: `persona-img edit NAME photo.jpg`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from tqdm import tqdm

from persona_img import wiring
from persona_img.errors import InvalidInput, LowMaskConfidence
from persona_img.settings import Settings
from persona_img.workspace import writable_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from persona_img.editing.base import Edited
    from persona_img.imaging.photo import Photo

    Edit = Callable[[Photo, NDArray[np.uint8] | None], Edited]

Source = Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for what is made.")]
MaskFile = Annotated[
    Path | None,
    typer.Option("--mask", help="Of one photo: white is product, or what is not transparent."),
]
Ratio = Annotated[str | None, typer.Option(help="Width to height, for example 4:5.")]
Seed = Annotated[int, typer.Option(help="Same seed, same bytes.")]
BackdropOnly = Annotated[
    bool, typer.Option("--backdrop-only", help="Keep the product as photographed.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON line per result.")]
OUT = Path("out")


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Edits of photos, each alone; each says what it did to the product.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )
    examples: dict[str, tuple[Callable[..., None], str]] = {
        "resize": (resize, "photo.jpg --side 1600"),
        "crop": (crop, "photo.jpg --margin 0.1 --ratio 4:5"),
        "white-balance": (white_balance, "photo.jpg --neutral 40,40,200,200"),
        "denoise": (denoise, "photo.jpg --backdrop-only"),
        "restore": (restore, "photo.jpg --blur 1.2"),
        "inpaint": (inpaint, "photo.jpg --box 310,220,24,18"),
        "transfer": (transfer, "photo.jpg --reference brand.jpg --strength 0.8"),
        "upscale": (upscale, "photo.jpg --factor 2"),
        "packshot": (packshot, "photos/ --fill 0.85 -o packshots/"),
    }
    for name, (command, example) in examples.items():
        group.command(name, epilog=f"Example: `persona-img edit {name} {example}`")(command)
    app.add_typer(group, name="edit")


def resize(
    source: Source,
    side: Annotated[int | None, typer.Option(help="Of the longer side, pixels.")] = None,
    scale: Annotated[float | None, typer.Option(help="Instead: factor on both sides.")] = None,
    enlarge: Annotated[bool, typer.Option("--enlarge", help="It may get larger.")] = False,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Another size, same shape; scaled in linear light."""
    from persona_img.editing import shape

    _run(
        source,
        out,
        as_json,
        lambda photo, _: shape.resize(photo, side=side, scale=scale, enlarge=enlarge),
    )


def crop(
    source: Source,
    margin: Annotated[float, typer.Option(help="Share of the product's longer side.")] = 0.06,
    ratio: Ratio = None,
    mask: MaskFile = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Crop to the product; none of it is cut away."""
    from persona_img.editing import shape

    wanted = None if ratio is None else _ratio(ratio)
    _run(
        source,
        out,
        as_json,
        lambda photo, alpha: shape.crop(photo, _known(alpha), margin=margin, ratio=wanted),
        mask,
        cut=True,
    )


def white_balance(
    source: Source,
    neutral: Annotated[
        str | None, typer.Option(help="Left,top,width,height of a grey place; else the backdrop.")
    ] = None,
    mask: MaskFile = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Take a colour cast away; the product's colours change with it."""
    from persona_img.editing import colour

    box = None if neutral is None else _box(neutral)
    _run(
        source,
        out,
        as_json,
        lambda photo, alpha: colour.white_balance(photo, alpha, neutral=box),
        mask,
        cut=box is None,
    )


def denoise(
    source: Source,
    strength: Annotated[float, typer.Option(help="1 suits the noise that is there.")] = 1.0,
    backdrop_only: BackdropOnly = False,
    mask: MaskFile = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Less noise, by as much as there is."""
    from persona_img.editing import repair

    _run(
        source,
        out,
        as_json,
        lambda photo, alpha: repair.denoise(
            photo, alpha, strength=strength, backdrop_only=backdrop_only
        ),
        mask,
        cut=backdrop_only,
    )


def restore(
    source: Source,
    blur: Annotated[float, typer.Option(help="Sigma of the blur to undo, pixels.")] = 1.0,
    backdrop_only: BackdropOnly = False,
    mask: MaskFile = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Take a slight blur back."""
    from persona_img.editing import repair

    _run(
        source,
        out,
        as_json,
        lambda photo, alpha: repair.restore(photo, alpha, blur=blur, backdrop_only=backdrop_only),
        mask,
        cut=backdrop_only,
    )


def inpaint(
    source: Source,
    box: Annotated[str | None, typer.Option(help="Left,top,width,height of the blemish.")] = None,
    area: Annotated[Path | None, typer.Option(help="Instead: a mask, white is blemish.")] = None,
    mask: MaskFile = None,
    seed: Seed = 7,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Fill a blemish in; on the product this is marked as an alteration."""
    import numpy as np

    from persona_img.editing import repair
    from persona_img.imaging.mask_file import load_mask

    if (box is None) == (area is None) or source.is_dir():
        raise InvalidInput("inpaint: give one photo, and a --box or an --area")
    shown = None if area is None else load_mask(area) >= 128
    left, top, width, height = (0, 0, 0, 0) if box is None else _box(box)

    def edit(photo: Photo, alpha: NDArray[np.uint8] | None) -> Edited:
        where = shown
        if where is None:
            where = np.zeros(photo.pixels.shape[:2], dtype=bool)
            where[max(0, top) : top + height, max(0, left) : left + width] = True
        return repair.inpaint(photo, where, alpha, seed=seed)

    _run(source, out, as_json, edit, mask)


def transfer(
    source: Source,
    reference: Annotated[Path, typer.Option(help="Whose backdrop's colours are wanted.")],
    strength: Annotated[float, typer.Option(help="0 changes nothing, 1 goes all the way.")] = 1.0,
    mask: MaskFile = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """Give the backdrop the colours of another one; the product stays untouched."""
    from persona_img.editing import colour
    from persona_img.imaging.photo import load_photo

    other = load_photo(reference)
    _run(
        source,
        out,
        as_json,
        lambda photo, alpha: colour.transfer(photo, _known(alpha), other, strength=strength),
        mask,
        cut=True,
    )


def upscale(
    source: Source,
    factor: Annotated[float, typer.Option(help="On both sides, at most 4.")] = 2.0,
    mask: MaskFile = None,
    seed: Seed = 7,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """A larger picture: the backdrop keeps its grain, the product is only resampled."""
    from persona_img.editing import shape

    _run(
        source,
        out,
        as_json,
        lambda photo, alpha: shape.upscale(photo, _known(alpha), factor=factor, seed=seed),
        mask,
        cut=True,
    )


def packshot(
    source: Source,
    fill: Annotated[float, typer.Option(help="Share of the fuller side for the product.")] = 0.85,
    ratio: Ratio = "1:1",
    shadow: Annotated[bool, typer.Option(help="Stand it on a contact shadow.")] = True,
    mask: MaskFile = None,
    out: Out = OUT,
    as_json: Json = False,
) -> None:
    """The product on pure white, untouched."""
    from persona_img.editing import shape

    wanted = _ratio(ratio or "1:1")
    _run(
        source,
        out,
        as_json,
        lambda photo, alpha: shape.packshot(
            photo, _known(alpha), fill=fill, ratio=wanted, shadow=shadow
        ),
        mask,
        cut=True,
    )


def _run(
    source: Path, out: Path, as_json: bool, edit: Edit, mask: Path | None = None, cut: bool = False
) -> None:
    """Edit each photo; ``cut`` says whether the edit needs to know the product."""
    from persona_img.imaging.mask_file import load_mask
    from persona_img.imaging.photo import list_photos, load_photo

    paths = list_photos(source)
    if mask is not None and len(paths) != 1:
        raise InvalidInput(f"--mask with {len(paths)} photos: give one photo")
    folder = writable_folder(out)
    problems = Console(stderr=True, highlight=False, soft_wrap=True)  # a path stays whole
    masker = wiring.masker(Settings.load()) if cut and mask is None else None
    failed = 0
    for path in tqdm(paths, disable=len(paths) == 1):
        photo = load_photo(path)
        if mask is not None:
            photo = photo.with_alpha(load_mask(mask))
        alpha = photo.alpha
        if alpha is None and masker is not None:
            found = masker.cut(photo.pixels)
            if not found.trusted:
                failed += 1
                unsure = f"mask confidence {found.confidence:.2f}: draw one and give it as --mask"
                problems.print(f"{path}: {unsure}", markup=False)
                continue
            alpha = found.alpha
        try:
            edited = edit(photo, alpha)
        except (InvalidInput, LowMaskConfidence) as error:
            if len(paths) == 1:
                raise
            failed += 1
            problems.print(f"{path}: {error}", markup=False)
            continue
        target = edited.save(folder / f"{path.stem}-{edited.edit.name}.png")
        if as_json:
            print(json.dumps({"photo": str(path), "edited": str(target)} | asdict(edited.edit)))
        else:
            print(f"{target}  product {edited.edit.product}")
    if failed:
        raise typer.Exit(1)


def _known(alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if alpha is None:  # cut=True sees to it
        raise InvalidInput("this edit needs the product's mask; supply one with --mask")
    return alpha


def _ratio(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)", text)
    if found is None or float(found[1]) == 0 or float(found[2]) == 0:
        raise InvalidInput(f"ratio {text}: write width:height, for example 4:5")
    return float(found[1]) / float(found[2])


def _box(text: str) -> tuple[int, int, int, int]:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().lstrip("-").isdigit() for part in parts):
        raise InvalidInput(f"box {text}: write left,top,width,height in pixels")
    left, top, width, height = (int(part) for part in parts)
    return left, top, width, height
