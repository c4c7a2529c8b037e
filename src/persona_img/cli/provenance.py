"""Commands over where a picture comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_img.cli import marks
from persona_img.cli.home import Home, Json, add

if TYPE_CHECKING:
    from collections.abc import Iterator

    from persona_img.shop import Origin

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
    """Find the picture that this is a copy of: by the watermark in its backdrop, by fingerprint.

    Exits with 1 where nothing is found. A picture without a watermark is taken for marked in one of
    a million cases at most; how probable a fingerprint is by chance is told with it. The watermark
    needs PERSONA_IMG_PROVENANCE__WATERMARK_KEY.
    """
    from persona_img.shop import Shop

    origin = Shop.open(home).origin(picture)
    if as_json:
        print(json.dumps(_plain(origin), indent=1))
    else:
        for line in _told(origin):
            print(line)
    if not origin.found:
        raise typer.Exit(1)


def _plain(origin: Origin) -> dict[str, Any]:
    mark = origin.detection
    told: dict[str, Any] = {"watermark": None if mark is None else mark.found}
    if mark is not None:
        told |= {
            "payload": _hex(mark.payload),
            "bits_wrong": None if mark.payload is None else mark.bits_wrong,
            "score": mark.score,
            "threshold": mark.threshold,
            "false_alarm": mark.chance,
        }
    told["variants"] = [
        {"digest": r.digest, "product": r.product, "style": str(r.style), "state": r.state,
         "photo": r.certificate.photo}
        for r in origin.variants
    ]  # fmt: skip
    told["near"] = [
        {"digest": n.entry.digest, "kind": n.entry.kind, "product": n.entry.product,
         "owner": n.entry.owner, "licence": n.entry.licence, "recipe": n.entry.recipe,
         "at": n.entry.at.isoformat(), "by": n.entry.by, "distance": n.distance,
         "chance": n.chance}
        for n in origin.near
    ]  # fmt: skip
    return told


def _told(origin: Origin) -> Iterator[str]:
    mark = origin.detection
    if mark is None:
        yield "watermark    not searched for: the shop has no key"
    else:
        said = "found" if mark.found else "none found"
        yield f"watermark    {said}: score {mark.score:.1f}, from {mark.threshold:.1f} on"
        carried = _hex(mark.payload)
        if mark.found:
            yield f"false alarm  a chance of at most {mark.chance:.1g}"
            wrong = f"{mark.bits_wrong} of 128 bits put right"
            yield f"payload      {f'{carried}, {wrong}' if carried else 'cannot be read'}"
        for record in origin.variants:
            yield f"variant      {record.digest}, {record.state}"
            yield f"shows        {record.product} in {record.style}"
            yield f"photo        {record.certificate.photo[:_SHORT]}"
        if carried and not origin.variants:
            yield "variant      none of this shop carries this payload"
    for one in origin.near:
        entry = one.entry
        far = f"{one.distance} of 256 bits differ, by chance {one.chance:.1g}"
        yield f"fingerprint  {entry.kind} {entry.digest}: {far}"
        owner = entry.owner or "the shop"
        taken = f"{entry.at:%Y-%m-%d} by {entry.by}"
        yield f"shows        {entry.product}, {owner}'s, {entry.licence or 'no licence'}, {taken}"
    if not origin.near:
        yield "fingerprint  near to none"


def _hex(payload: bytes | None) -> str | None:
    return None if payload is None else payload.hex()
