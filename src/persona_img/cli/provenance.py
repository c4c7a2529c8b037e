"""Commands over where a picture comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from persona_img.cli import marks
from persona_img.cli.home import Home, Json, add

_SHORT = 12


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Where a picture comes from: what its file says, and what its pixels tell.",
        no_args_is_help=True,
    )
    add(group, find, "persona-img provenance find screenshot.jpg")
    add(group, export, "persona-img provenance export 3f2a81c0 picture.jpg")
    marks.register(group)
    app.add_typer(group, name="provenance")


def export(
    digest: Annotated[str, typer.Argument(help="Of an approved variant, or how it begins.")],
    picture: Annotated[
        Path, typer.Argument(help="The file: .png without loss, or .jpg, .webp, .avif.")
    ],
    width: Annotated[
        int | None, typer.Option(help="Pixels; its own if left out.", min=16, max=20_000)
    ] = None,
    home: Home = None,
) -> None:
    """Write a variant as it may leave the shop: with XMP, and signed where there are keys."""
    from persona_img.shop import Shop

    shop = Shop.open(home)
    shop.export(digest, picture, width=width)
    how = "signed" if shop.marking.signs else "not signed: provenance.keys names no keys"
    print(f"{picture}  {how}")


def find(
    picture: Annotated[Path, typer.Argument(help="A copy of any size, also cut or saved anew.")],
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Find the variant that a picture is a copy of, by the shop's watermark in its backdrop.

    Exits with 1 where no watermark is found. A picture without one is taken for marked in one of a
    million cases at most. Needs PERSONA_IMG_PROVENANCE__WATERMARK_KEY.
    """
    from persona_img.shop import Shop

    origin = Shop.open(home).origin(picture)
    found = origin.detection
    carried = None if found.payload is None else found.payload.hex()
    if as_json:
        told = {
            "watermark": found.found,
            "payload": carried,
            "bits_wrong": None if carried is None else found.bits_wrong,
            "score": found.score,
            "threshold": found.threshold,
            "false_alarm": found.chance,
            "variants": [
                {"digest": r.digest, "product": r.product, "style": str(r.style), "state": r.state,
                 "photo": r.certificate.photo}
                for r in origin.variants
            ],
        }  # fmt: skip
        print(json.dumps(told, indent=1))
    else:
        said = "found" if found.found else "none found"
        print(f"watermark    {said}: score {found.score:.1f}, from {found.threshold:.1f} on")
        if found.found:
            print(f"false alarm  a chance of at most {found.chance:.1g}")
            wrong = f"{found.bits_wrong} of 128 bits put right"
            print(f"payload      {f'{carried}, {wrong}' if carried else 'cannot be read'}")
        for record in origin.variants:
            print(f"variant      {record.digest}, {record.state}")
            print(f"shows        {record.product} in {record.style}")
            print(f"photo        {record.certificate.photo[:_SHORT]}")
        if carried and not origin.variants:
            print("variant      none of this shop carries this payload")
    if not found.found:
        raise typer.Exit(1)
