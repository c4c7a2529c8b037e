"""Commands that edit photos, each alone: `persona-img edit NAME photo.jpg`.

An edit names its own options and gives back a :class:`Plan`; what every edit has (the photo, the
folder, a mask, JSON) is added to it here.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_img import wiring
from persona_img.cli.batch import FOLDERS, Batch, say
from persona_img.cli.options import (
    OUT,
    Json,
    MaskFile,
    Out,
    Seed,
    Source,
    box_of,
    checked,
    ratio_of,
)
from persona_img.errors import InvalidInput
from persona_img.workspace import writable_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from persona_img.editing.base import Edited
    from persona_img.imaging.photo import Photo

    Edit = Callable[[Photo, NDArray[np.uint8] | None], Edited]

Ratio = Annotated[str | None, typer.Option(help="Width to height, for example 4:5.")]
BackdropOnly = Annotated[
    bool, typer.Option("--backdrop-only", help="Keep the product as photographed.")
]


@dataclass(frozen=True)
class Plan:
    """What a command does with each photo.

    Attributes:
        edit: Of a photo and its product's alpha.
        cut: Whether the edit needs to know the product.
        alone: Whether it is meant for one photo only.
    """

    edit: Edit
    cut: bool = False
    alone: bool = False


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Edits of photos, each alone; each says what it did to the product.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )
    examples: dict[str, tuple[Callable[..., Plan], str]] = {
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
    for name, (plan, example) in examples.items():
        group.command(
            name,
            help=f"{plan.__doc__}\n\n{FOLDERS}",
            short_help=plan.__doc__,
            epilog=f"Example: `persona-img edit {name} {example}`",
        )(_command(name, plan))
    app.add_typer(group, name="edit")


def resize(
    side: Annotated[
        int | None, typer.Option(min=64, max=500_000, help="Of the longer side, pixels.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(min=0.001, max=1000, help="Instead: factor on both sides.")
    ] = None,
    enlarge: Annotated[bool, typer.Option("--enlarge", help="It may get larger.")] = False,
) -> Plan:
    """Another size, same shape; scaled in linear light."""
    from persona_img.editing import shape

    if (side is None) == (scale is None):
        raise InvalidInput(f"--side {side}, --scale {scale}: give one of them")
    return Plan(lambda photo, _: shape.resize(photo, side=side, scale=scale, enlarge=enlarge))


def crop(
    margin: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the product's longer side.")
    ] = 0.06,
    ratio: Ratio = None,
) -> Plan:
    """Crop to the product; none of it is cut away."""
    from persona_img.editing import shape

    wanted = None if ratio is None else ratio_of(ratio)
    return Plan(
        lambda photo, alpha: shape.crop(photo, _known(alpha), margin=margin, ratio=wanted), cut=True
    )


def white_balance(
    neutral: Annotated[
        str | None, typer.Option(help="Left,top,width,height of a grey place; else the backdrop.")
    ] = None,
) -> Plan:
    """Take a colour cast away; the product's colours change with it."""
    from persona_img.editing import colour

    box = None if neutral is None else box_of(neutral)
    return Plan(
        lambda photo, alpha: colour.white_balance(photo, alpha, neutral=box), cut=box is None
    )


def denoise(
    strength: Annotated[
        float, typer.Option(min=0.1, max=3, help="1 suits the noise that is there.")
    ] = 1.0,
    backdrop_only: BackdropOnly = False,
) -> Plan:
    """Less noise, by as much as there is."""
    from persona_img.editing import repair

    return Plan(
        lambda photo, alpha: repair.denoise(
            photo, alpha, strength=strength, backdrop_only=backdrop_only
        ),
        cut=backdrop_only,
    )


def restore(
    blur: Annotated[
        float, typer.Option(min=0.3, max=4, help="Sigma of the blur to undo, pixels.")
    ] = 1.0,
    backdrop_only: BackdropOnly = False,
) -> Plan:
    """Take a slight blur back."""
    from persona_img.editing import repair

    return Plan(
        lambda photo, alpha: repair.restore(photo, alpha, blur=blur, backdrop_only=backdrop_only),
        cut=backdrop_only,
    )


def inpaint(
    box: Annotated[str | None, typer.Option(help="Left,top,width,height of the blemish.")] = None,
    area: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Instead: a mask, white is blemish."),
    ] = None,
    seed: Seed = 7,
) -> Plan:
    """Fill a blemish in; on the product this is marked as an alteration."""
    from persona_img.editing import repair
    from persona_img.imaging.mask_file import load_mask

    if (box is None) == (area is None):
        raise InvalidInput("inpaint: give one photo, and a --box or an --area")
    shown = None if area is None else load_mask(area) >= 128
    place = None if box is None else box_of(box)

    def edit(photo: Photo, alpha: NDArray[np.uint8] | None) -> Edited:
        where = shown if place is None else _box_in(photo, place)
        assert where is not None
        return repair.inpaint(photo, where, alpha, seed=seed)

    return Plan(edit, alone=True)


def transfer(
    reference: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Whose backdrop's colours are wanted."),
    ],
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="0 changes nothing, 1 goes all the way.")
    ] = 1.0,
) -> Plan:
    """Give the backdrop the colours of another one; the product stays untouched."""
    from persona_img.editing import colour
    from persona_img.imaging.photo import load_photo

    other = load_photo(reference)
    return Plan(
        lambda photo, alpha: colour.transfer(photo, _known(alpha), other, strength=strength),
        cut=True,
    )


def upscale(
    factor: Annotated[float, typer.Option(min=1.01, max=4, help="On both sides.")] = 2.0,
    seed: Seed = 7,
) -> Plan:
    """A larger picture: the backdrop keeps its grain, the product is only resampled."""
    from persona_img.editing import shape

    return Plan(
        lambda photo, alpha: shape.upscale(photo, _known(alpha), factor=factor, seed=seed), cut=True
    )


def packshot(
    fill: Annotated[
        float, typer.Option(min=0.3, max=1, help="Share of the fuller side for the product.")
    ] = 0.85,
    ratio: Ratio = "1:1",
    shadow: Annotated[bool, typer.Option(help="Stand it on a contact shadow.")] = True,
) -> Plan:
    """The product on pure white, untouched."""
    from persona_img.editing import shape

    wanted = ratio_of(ratio or "1:1")
    return Plan(
        lambda photo, alpha: shape.packshot(
            photo, _known(alpha), fill=fill, ratio=wanted, shadow=shadow
        ),
        cut=True,
    )


def _command(name: str, plan: Callable[..., Plan]) -> Callable[..., None]:
    """The command of an edit: the photo, its own options, and those that every edit has."""

    def run(
        source: Source, mask: MaskFile = None, out: Out = OUT, as_json: Json = False, **own: Any
    ) -> None:
        _run(name, source, out, as_json, plan(**own), mask)

    common = list(inspect.signature(run, eval_str=True).parameters.values())[:-1]
    own = list(inspect.signature(plan, eval_str=True).parameters.values())
    required = [p for p in own if p.default is p.empty]
    optional = [p for p in own if p.default is not p.empty]
    parameters = [common[0], *required, *optional, *common[1:]]
    # typer reads a command's options off these two.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _run(name: str, source: Path, out: Path, as_json: bool, plan: Plan, mask: Path | None) -> None:
    """Edit each photo."""
    from persona_img.imaging.folder import free_for_result
    from persona_img.imaging.mask_file import load_mask
    from persona_img.imaging.photo import load_photo

    if plan.alone and source.is_dir():
        raise InvalidInput(f"{name} {source}: a folder; give one photo")
    batch = Batch(source)
    if mask is not None and len(batch.photos) != 1:
        raise InvalidInput(f"--mask with {len(batch.photos)} photos: give one photo")
    folder = writable_folder(out)
    masker = wiring.masker(checked()) if plan.cut and mask is None else None

    def make(path: Path, called: str) -> None:
        target = free_for_result(folder / f"{called}-{name}.png")
        photo = load_photo(path)
        if mask is not None:
            photo = photo.with_alpha(load_mask(mask))
        alpha = photo.alpha
        if alpha is None and masker is not None:
            found = masker.cut(photo.pixels)
            if not found.trusted:
                unsure = f"mask confidence {found.confidence:.2f}: draw one and give it as --mask"
                return batch.fail(path, unsure)
            alpha = found.alpha
        edited = plan.edit(photo, alpha)
        edited.save(target)
        if as_json:
            say(json.dumps({"photo": str(path), "edited": str(target)} | asdict(edited.edit)))
        else:
            say(f"{target}  product {edited.edit.product}")

    batch.each(make, name)
    batch.finish()


def _known(alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if alpha is None:  # cut=True sees to it
        raise InvalidInput("this edit needs the product's mask; supply one with --mask")
    return alpha


def _box_in(photo: Photo, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """The part of a box that lies in a photo."""
    import numpy as np

    left, top, width, height = box
    rows, columns = photo.pixels.shape[:2]
    where = np.zeros((rows, columns), dtype=bool)
    # Both ends: a negative one would count from the picture's other side.
    where[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = True
    if not where.any():
        raise InvalidInput(
            f"box {','.join(map(str, box))}: no pixel of it lies in the picture of "
            f"{columns}x{rows} px; give left,top,width,height from its upper left corner"
        )
    return where
