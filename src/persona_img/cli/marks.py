"""Commands over what any picture says of itself, and over the keys that sign pictures."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_img.cli.home import Home, Json, add
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from persona_img.provenance.credentials import Credentials, State

Picture = Annotated[Path, typer.Argument(help="PNG, JPEG, WebP or AVIF.")]
Trust = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Certificates of the authorities to trust (PEM); else those of provenance.keys.",
    ),
]
Folder = Annotated[
    Path | None, typer.Argument(help="Folder of the keys; provenance.keys if left out.")
]

_SHORT = 12
_SHOWN = ("photoshop:Credit", "dc:rights", "Iptc4xmpExt:DigitalSourceType", "plus:DataMining")


def register(group: typer.Typer) -> None:
    """Add the commands to the group of provenance."""
    add(group, inspect, "persona-img provenance inspect picture.webp")
    add(group, verify, "persona-img provenance verify picture.webp --trust ca.pem")
    keys = typer.Typer(
        help="The keys that sign pictures, in a folder outside the shop's.", no_args_is_help=True
    )
    add(keys, init, 'persona-img provenance keys init ~/picture-keys --owner "My shop"')
    add(keys, rotate, "persona-img provenance keys rotate ~/picture-keys")
    add(keys, show, "persona-img provenance keys show ~/picture-keys")
    group.add_typer(keys, name="keys")


def inspect(
    picture: Picture, trust: Trust = None, as_json: Json = False, home: Home = None
) -> None:
    """Print what a picture says of where it comes from: its manifest and its XMP."""
    from persona_img.provenance import xmp
    from persona_img.variants.marking import packet_of

    found = _credentials(picture, _trusted(trust, home))
    packet = xmp.read(packet_of(picture))
    if as_json:
        print(json.dumps(asdict(found) | {"xmp": packet}, indent=1))
        return
    if found.state == "missing":
        print("manifest     none")
    else:
        print(*told(found), sep="\n")
    for name in _SHOWN:
        if name in packet:
            print(f"xmp          {name.partition(':')[2]}: {packet[name].rpartition('/')[2]}")
    if not packet:
        print("xmp          none")


def verify(picture: Picture, trust: Trust = None, as_json: Json = False, home: Home = None) -> None:
    """Check a picture's manifest: its bytes are as they were signed, by somebody who is trusted.

    Exits with 1 where they are not, with the reason.
    """
    trusted = _trusted(trust, home)
    if trusted is None:
        raise InvalidInput(
            "nobody is trusted: name the authority's certificates by --trust, or the folder of "
            "your own keys by PERSONA_IMG_PROVENANCE__KEYS"
        )
    found = _credentials(picture, trusted)
    passed = found.state == "trusted"
    if as_json:
        print(json.dumps({"trusted": passed} | asdict(found), indent=1))
    elif found.state == "missing":
        print("FAIL manifest: it carries none; its pixels may still tell: `provenance find`")
    else:
        print(*told(found), *verdict(found), sep="\n")
    if not passed:
        raise typer.Exit(1)


def init(
    folder: Folder = None,
    owner: Annotated[
        str, typer.Option(help="Who is named as the one that signs, up to 40 characters.")
    ] = "persona-img shop",
    home: Home = None,
) -> None:
    """Make an authority of your own, and a key that signs pictures.

    Keep the folder outside the shop's: whoever has it can sign in your name. Give `trusted.pem` to
    whoever is to check your pictures.
    """
    from persona_img.settings import Settings

    keys, at = _file_keys(), _folder(folder, home)
    if at.resolve().is_relative_to(Settings.load(home=home).home.resolve()):
        raise InvalidInput(f"{at}: lies in the shop's folder; name one outside")
    made = keys.make(at, owner)
    print(f"signs        as {made.owner}, until {made.until:%Y-%m-%d}")
    print(f"trusted by   {at / keys.TRUSTED}")
    print(f"export PERSONA_IMG_PROVENANCE__KEYS={at.resolve()}")


def rotate(
    folder: Folder = None,
    authority: Annotated[
        bool,
        typer.Option(
            "--authority",
            help="Another authority too: a key may be known. All that was signed before is "
            "trusted no more.",
        ),
    ] = False,
    home: Home = None,
) -> None:
    """Sign by a new key from now on.

    What was signed before stays trusted, also what a thief of a key signs: `--authority` ends that,
    for your own pictures too. `prepare` then signs them anew.
    """
    keys, at = _file_keys(), _folder(folder, home)
    made = keys.rotate(at, authority=authority)
    print(f"signs        as {made.owner}, until {made.until:%Y-%m-%d}: {made.name[:_SHORT]}")
    if authority:
        print(f"trusted by   {at / keys.TRUSTED} alone: give it out again")
        print("signed before is trusted no more: `persona-img prepare` signs what pages load anew")


def show(folder: Folder = None, home: Home = None) -> None:
    """Print by which key pictures are signed, and until when it holds."""
    keys, at = _file_keys(), _folder(folder, home)
    found = keys.FileKey.load(at)
    print(f"signs        as {found.owner}, until {found.until:%Y-%m-%d}: {found.name[:_SHORT]}")
    print(f"trusted by   {keys.trusted(at)}")


def told(found: Credentials) -> Iterator[str]:
    """Lines of what a manifest says."""
    yield f"manifest     {found.state}, signed by {found.signed_by or 'nobody that it names'}"
    yield f"title        {found.title}"
    for title, by, state in found.ingredients:
        yield f"made of      {title}, {_ingredient(by, state)}"
    for name, how in found.actions:
        yield f"done         {name.removeprefix('c2pa.')}{f': {how}' if how else ''}"
    for kind in found.source_types:
        yield f"source type  {kind.rpartition('/')[2]}"
    if found.product:
        yield f"product      {found.product}"
    for name, digest in (found.digests or {}).items():
        yield f"{name:<12} {digest}"
    if found.payload is not None:
        yield f"watermark    {found.payload}"
    if found.training:
        yield f"training     {found.training}"


def _ingredient(by: str, state: State) -> str:
    if state == "missing":
        return "without a manifest"
    named = f"by {by}" if by else "by nobody that it names"
    return f"signed {named}" if state == "trusted" else f"said to be signed {named}: {state}"


def verdict(found: Credentials) -> Iterator[str]:
    """Lines of what it is worth."""
    if found.state == "trusted":
        yield "ok   its bytes are as they were signed, by somebody who is trusted"
    for reason in found.reasons:
        yield f"FAIL {reason}"


def _credentials(picture: Path, trusted: Path | None) -> Credentials:
    from persona_img.imaging.formats import HEAD, media_type

    try:
        from persona_img.provenance.manifest import credentials
    except ImportError as error:
        raise _not_installed(error) from error
    try:
        data = picture.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{picture}: cannot be read ({error.strerror})") from error
    kind = media_type(data[:HEAD])
    if kind is None:
        raise InvalidInput(f"{picture}: no picture; name a PNG, JPEG, WebP or AVIF file")
    return credentials(data, kind, None if trusted is None else trusted.read_text())


def _trusted(given: Path | None, home: Path | None) -> Path | None:
    from persona_img.settings import Settings

    if given is not None:
        return given
    folder = Settings.load(home=home).provenance.keys
    return None if folder is None else _file_keys().trusted(folder)


def _folder(given: Path | None, home: Path | None) -> Path:
    from persona_img.settings import Settings

    folder = given or Settings.load(home=home).provenance.keys
    if folder is None:
        raise InvalidInput("no folder of keys: name one, or set PERSONA_IMG_PROVENANCE__KEYS to it")
    return folder.expanduser()


def _file_keys() -> Any:
    try:
        from persona_img.provenance import file_keys
    except ImportError as error:
        raise _not_installed(error) from error
    return file_keys


def _not_installed(error: ImportError) -> InvalidInput:
    return InvalidInput(f"provenance: {error}; pip install 'persona-img[provenance]'")
