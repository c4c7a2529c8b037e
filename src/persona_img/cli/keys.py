"""Commands over a shop's keys: who may ask its service for what."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from persona_img.cli.home import Home, Json, add
from persona_img.domain.roles import PERMISSIONS, Role


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Keys by which programs and pages are let in; only their hashes are kept.",
        no_args_is_help=True,
    )
    add(group, add_key, "persona-img keys add --role serve --name storefront", name="add")
    add(group, list_keys, "persona-img keys list", name="list")
    add(group, revoke, "persona-img keys revoke 3f2a81c0")
    app.add_typer(group, name="keys")


def add_key(
    role: Annotated[
        Role,
        typer.Option(
            help="serve: decisions and events, in a page; ingest: events; analyst: metrics; "
            "approver: withdraw pictures; admin: all."
        ),
    ],
    name: Annotated[str, typer.Option(help="What it is for, in a few words.")],
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Make a key and print it, once: what is kept does not tell it again."""
    from persona_img.shop import Shop

    key, text = Shop.open(home).keys.add(role, name)
    if as_json:
        print(json.dumps({"key": text, "key_id": key.key_id, "role": key.role, "name": key.name}))
        return
    print(text)
    typer.echo(
        f"{key.role} key {key.key_id} for {key.name}; keep it now, nobody can tell it again. A "
        "running service lets it in within a second.",
        err=True,
    )


def list_keys(as_json: Json = False, home: Home = None) -> None:
    """List keys: their public part, role, what each is for, when it was made and revoked."""
    from persona_img.shop import Shop

    keys = Shop.open(home).keys.all()
    if as_json:
        for key in keys:
            may = sorted(PERMISSIONS[key.role])
            told = {"key_id": key.key_id, "role": key.role, "name": key.name, "may": may}
            print(json.dumps({**told, "made": key.made, "revoked": key.revoked or None}))
        return
    for key in keys:
        state = f"revoked {key.revoked}" if key.revoked else f"made {key.made}"
        print(f"{key.key_id}  {key.role:<8}  {key.name}  {state}")
    print(f"{len(keys)} key{'' if len(keys) == 1 else 's'}")


def revoke(
    key_id: Annotated[str, typer.Argument(help="Its public part, as `keys list` prints it.")],
    home: Home = None,
) -> None:
    """Let nobody in by a key any more; a running service heeds that within a second."""
    from persona_img.shop import Shop

    key = Shop.open(home).keys.revoke(key_id)
    print(f"{key.role} key {key.key_id} for {key.name} is revoked")
