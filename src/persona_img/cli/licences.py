"""Commands over what pictures are made of and may be used for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from persona_img.cli.home import Home, Json, add


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Licences of photos, materials and models, and what a variant's follows from.",
        no_args_is_help=True,
    )
    add(group, check, "persona-img licences check --use ads")
    add(group, show, "persona-img licences show 3f2a81c0")
    app.add_typer(group, name="licences")
    add(app, comply, "persona-img comply 3f2a81c0 --for google-merchant")


def comply(
    digest: Annotated[str, typer.Argument(help="A variant's digest; its beginning will do.")],
    market: Annotated[
        Literal["amazon-main", "google-merchant"], typer.Option("--for", help="Whose rules.")
    ],
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Check a variant, exported as JPEG, by a marketplace's rules; each names its source.

    Exits with 1 where one fails. `look` is for a person: nothing here sees it.
    """
    from persona_img.shop import Shop

    found = Shop.open(home).comply(digest, market)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        for one in found:
            print(f"{one.outcome:<4} {one.rule}: {one.found}  [{one.source}]")
    if any(one.outcome == "FAIL" for one in found):
        raise typer.Exit(1)


def check(
    use: Annotated[
        Literal["web", "ads", "marketplace"], typer.Option(help="What pictures are for.")
    ] = "web",
    home: Home = None,
) -> None:
    """Say what may not be used today, by licences.toml and brand.toml in the shop's folder.

    Exits with 1 where there is something: `prepare` would then render nothing (for the web). Only
    where there is no licences.toml it renders, whatever the products' table says of photos.
    """
    from persona_img.shop import Shop

    found = Shop.open(home).refusals(use)
    for reason in found:
        print(f"FAIL {reason}")
    if found:
        raise typer.Exit(1)
    print(f"ok   everything may be used for {use}")


def show(
    digest: Annotated[str, typer.Argument(help="A variant's digest; its beginning will do.")],
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Show a variant's licence: what all that it was made of allows."""
    from persona_img.shop import Shop

    shop = Shop.open(home)
    found = shop.licence_of(shop.variants.get(shop.variants.resolve(digest)))
    until = None if found.expires is None else found.expires.isoformat()
    if as_json:
        told = {"licences": found.licences, "owners": found.owners, "until": until}
        print(json.dumps(told | {"uses": found.uses}, indent=1))
        return
    print(f"licence      {found}")
    print(f"owners       {', '.join(found.owners) or 'none named'}")
    print(f"until        {until or 'for good'}")
    print(f"uses         {', '.join(found.uses) or 'none that all parts allow'}")
