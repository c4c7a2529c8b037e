"""What commands of one shop share: its folder, and how a command is added."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path | None, typer.Option(help="The shop's folder (PERSONA_IMG_HOME, else ./shop).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add(app: typer.Typer, command: Callable[..., None], example: str, name: str = "") -> None:
    """Add a command with an example under its help."""
    app.command(name or None, epilog=f"Example: `{example}`")(command)


def who(by: str | None) -> str:
    """Who decides: whom ``--by`` names, else the user of this machine."""
    import getpass

    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError) as error:
        raise typer.BadParameter("nobody is logged in here; say who decides with --by") from error
