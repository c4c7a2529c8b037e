"""Commands that keep a shop: a backup, and a shop from one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from persona_img.cli.home import Home, add


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, backup, "persona-img backup -o shop-2026-11-28.zip")
    add(app, restore, "persona-img restore shop-2026-11-28.zip --home restored")


def backup(
    out: Annotated[
        Path, typer.Option("-o", "--out", dir_okay=False, help="The file; replaced if it is there.")
    ],
    home: Home = None,
) -> None:
    """Write the whole shop into one file: log, archive, tables, pictures, ledger, rankers, key.

    It may be served meanwhile. The file is read back before it gets its name. It holds the secret
    that signs decisions, so only its owner may read it.
    """
    from persona_img.shop import Shop

    made = Shop.open(home).backup(out)
    print(f"{out}: {len(made.files):,} files, {made.bytes / 2**20:,.1f} MiB of the shop")


def restore(
    file: Annotated[Path, typer.Argument(help="A file of `backup`.")],
    home: Annotated[Path, typer.Option(help="The shop's new folder; new, or empty.")],
) -> None:
    """Make a shop from a backup, whole or not at all; a folder that holds anything is refused."""
    from persona_img.shop import Shop

    shop = Shop.from_backup(file, home)
    served = shop.table.policy_version if shop.workspace.has_json("decisions") else "nothing yet"
    print(f"{home}: restored; it serves {served}")
