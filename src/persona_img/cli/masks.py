"""The mask of a photo, or of a product in a shop: cut out, and put right by a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img import wiring
from persona_img.cli.batch import FOLDERS, Batch, say, tell
from persona_img.cli.home import Home
from persona_img.cli.options import (
    OUT,
    Json,
    MaskerModel,
    MaskerName,
    MaskFile,
    Out,
    Place,
    checked,
)
from persona_img.errors import InvalidInput, LowMaskConfidence
from persona_img.workspace import writable_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from persona_img.imaging.photo import Photo
    from persona_img.masking.base import Masker, ProductMask

_LOW = "  low: please look, and put it right: --keep, --drop, --fix"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        help=f"{mask.__doc__}\n\n{FOLDERS}",
        short_help="Cut the product out, or put its mask right: 8-bit alpha of the photo's size.",
        epilog=(
            "Example: `persona-img mask photo.jpg -o out/`\n\n"
            "A hole in a print filled, a hanger taken away: "
            "`persona-img mask photo.jpg --keep 310,220 --drop 0.5,0.03 -o out/`\n\n"
            "With a brush: `persona-img mask photo.jpg --fix -o out/`\n\n"
            "Of a product, kept with it: `persona-img mask --product mug-7 --drop 0.8,0.9`"
        ),
    )(mask)


def mask(
    source: Annotated[
        Path | None, typer.Argument(help="A photo, or a folder of photos; or --product.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="x,y of a point that is product: whole pixels of the upright photo, or shares of "
            "its width and height, 0.42,0.31. Again for more."
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="x,y of a point that is not product. Again for more.")
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            help="left,top,right,bottom around the product: the masker looks inside alone."
        ),
    ] = None,
    mask_file: MaskFile = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Put the mask right with a brush, in your browser.")
    ] = False,
    product: Annotated[
        str | None,
        typer.Option(help="Of the shop: its photo's mask is put right, and kept with it."),
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="With --product: its kept mask goes.")
    ] = False,
    out: Out = OUT,
    masker_name: MaskerName = None,
    masker_model: MaskerModel = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Cut the product out: an 8-bit alpha mask of the photo's size. Or put a mask right.

    Points that a person gives correct the mask around them: what is plainly the same as a kept
    point and connected with it becomes product, what is the same as a dropped one goes, and all
    that is farther away stays as it was. A mask of one's own (--mask) is where that begins, also
    one of an earlier run; without it, the masker's. With --product the mask is kept in the shop
    and rendering uses it, until the product gets another photo.
    """
    asked = _Asked(
        tuple(Place.of("--keep", text, "x,y") for text in keep or ()),
        tuple(Place.of("--drop", text, "x,y") for text in drop or ()),
        None if box is None else Place.of("--box", box, "left,top,right,bottom"),
        mask_file,
        fix,
    )
    if (source is None) == (product is None):
        raise InvalidInput(
            "mask: name a photo or a folder, or a product with --product; one of them"
        )
    given = {"masker": masker_name, "model": masker_model}
    if product is not None:
        _of_product(product, asked, given, forget=forget, home=home, as_json=as_json)
    elif forget or home is not None:
        raise InvalidInput(f"{source}: --forget and --home are of a shop's product; say --product")
    else:
        assert source is not None
        _of_photos(source, asked, given, out, as_json=as_json)


@dataclass(frozen=True)
class _Asked:
    """What a person says of a mask."""

    keep: tuple[Place, ...]
    drop: tuple[Place, ...]
    box: Place | None
    file: Path | None
    fix: bool

    @property
    def nothing(self) -> bool:
        return not (self.keep or self.drop or self.box or self.file or self.fix)

    def started(self, photo: Photo, masker: Callable[[], Masker]) -> ProductMask:
        """The mask before any point: a person's own, or a masker's."""
        from persona_img.imaging.mask_file import load_mask
        from persona_img.masking.base import supplied
        from persona_img.masking.within import cut_within, only_within

        height, width = photo.pixels.shape[:2]
        box = None if self.box is None else self.box.box(width, height)
        if self.file is not None:
            photo = photo.with_alpha(load_mask(self.file))
        if photo.alpha is not None:
            return supplied(photo.alpha if box is None else only_within(photo.alpha, box))
        if box is not None:
            return cut_within(masker(), photo.pixels, box)
        return masker().cut(photo.pixels)

    def pointed(self, photo: Photo, found: ProductMask) -> ProductMask:
        """The mask with the points' word in it."""
        from persona_img.masking.base import supplied
        from persona_img.masking.correct import DAB, REACH, Stroke, correct

        if not (self.keep or self.drop):
            return found
        height, width = photo.pixels.shape[:2]
        longest = max(height, width)
        radius, reach = max(2, round(DAB * longest)), round(REACH * longest)
        strokes = [
            Stroke(kept, (place.point(width, height),), radius, reach)
            for kept, places in ((True, self.keep), (False, self.drop))
            for place in places
        ]
        alpha = _usable(photo, correct(photo.pixels, found.alpha, strokes))
        for place in self.keep:
            x, y = place.point(width, height)
            if alpha[y, x] < 255:  # a cut-out has nothing to bring back
                raise InvalidInput(
                    f"--keep {place.text}: the photo is transparent there; nothing can be kept"
                )
        return supplied(alpha)


def _usable(photo: Photo, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask on its photo; raises :class:`BadPhoto` where it leaves no product."""
    masked = photo.with_alpha(alpha).alpha
    assert masked is not None
    return masked


def _of_photos(
    source: Path, asked: _Asked, given: dict[str, str | None], out: Path, *, as_json: bool
) -> None:
    from persona_img.imaging.drawn import PERSON, mask_png
    from persona_img.imaging.folder import free_for_result
    from persona_img.imaging.photo import load_photo, write_whole

    settings = checked(mask=given)
    batch = Batch(source)
    if not asked.nothing and len(batch.photos) > 1:
        raise InvalidInput(
            f"{source}: {len(batch.photos)} photos; --keep, --drop, --box, --mask and --fix are of "
            f"one"
        )
    folder = writable_folder(out)
    masker = wiring.masker(settings)

    def make(path: Path, name: str) -> None:
        target = free_for_result(folder / f"{name}.mask.png")
        photo = load_photo(path)
        found = asked.pointed(photo, asked.started(photo, lambda: masker))

        def keep(alpha: NDArray[np.uint8]) -> str:
            write_whole(target, mask_png(_usable(photo, alpha), path.name, PERSON))
            return f"The mask is kept as {target.resolve()}"

        if asked.fix:
            found = _fixed(photo, found, path.name, keep)
        else:
            write_whole(target, mask_png(found.alpha, path.name, found.source))
        if as_json:
            line = {"photo": str(path), "mask": str(target), "confidence": found.confidence}
            say(json.dumps(line | {"masker": found.source, "checks": found.checks}))
        else:
            note = "" if found.trusted else _LOW
            say(f"{target}  confidence {found.confidence:.2f}{note}")

    batch.each(make, "masks")
    batch.finish()


def _of_product(
    name: str,
    asked: _Asked,
    given: dict[str, str | None],
    *,
    forget: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    from persona_img.domain.catalog import product_id
    from persona_img.shop import Shop

    shop = Shop.open(home, mask=given)
    name = product_id(name)
    if forget != asked.nothing:
        raise InvalidInput(
            f"--product {name}: say what is to become of its mask: --keep, --drop, --box, --mask "
            f"or --fix; or --forget alone"
        )
    if forget:
        kept = shop.catalog[name].mask is not None
        shop.give_mask(name, None)
        print(f"{name}: {'its mask is forgotten' if kept else 'there was no mask to forget'}")
        return
    photo = shop.photo(name)
    found = asked.pointed(photo, asked.started(photo, lambda: wiring.masker(shop.settings)))

    def keep(alpha: NDArray[np.uint8]) -> str:
        shop.give_mask(name, _usable(photo, alpha))
        return f"The mask is kept with {name}; `persona-img prepare` makes its variants anew."

    if asked.fix:
        found = _fixed(photo, found, name, keep)
    elif not found.trusted:
        raise LowMaskConfidence(
            f"{name}: the mask in the box has confidence {found.confidence:.2f}; nothing is kept: "
            f"put it right with --keep, --drop or --fix"
        )
    else:
        keep(found.alpha)
    path = shop.catalog[name].mask
    if as_json:
        line = {"product": name, "mask": str(path), "confidence": found.confidence}
        print(json.dumps(line | {"masker": found.source, "checks": found.checks}))
    else:
        print(f"{name}: mask kept as {path}; `persona-img prepare` makes its variants anew")


def _fixed(
    photo: Photo,
    found: ProductMask,
    title: str,
    keep: Callable[[NDArray[np.uint8]], str],
) -> ProductMask:
    """What the person saved on the page; ends the command where they saved nothing."""
    from persona_img.editing.mask_page import MaskPage
    from persona_img.masking.base import supplied
    from persona_img.serving.run import BackgroundServer

    page = MaskPage(photo, found.alpha, title, keep)
    with BackgroundServer(page.app) as server:
        tell(
            f"Open {server.url}/{page.token}/ in a browser on this machine; Ctrl-C leaves the mask"
        )
        page.wait()
    if page.saved is None:
        tell(f"{title}: left as it was, nothing is saved")
        raise typer.Exit(1)
    return supplied(_usable(photo, page.alpha))
