"""The command line: arguments in, text out. One command is one step of the loop."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import persona_img
from persona_img.cli import (
    abtest,
    backups,
    catalog,
    choosing,
    demo,
    editing,
    evaluation,
    events,
    halts,
    interactions,
    keys,
    licences,
    live,
    logs,
    maskers,
    masks,
    materials,
    pictures,
    policies,
    provenance,
    shop,
    simulate,
    training,
    variants,
)
from persona_img.cli.command import use_everywhere
from persona_img.errors import PersonaImgError

app = typer.Typer(
    name="persona-img",
    help="Shows each shopper segment the product picture that works for it, and proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
_GROUPS = (
    masks,
    pictures,
    editing,
    materials,
    catalog,
    shop,
    interactions,
    events,
    variants,
    simulate,
    live,
    halts,
    keys,
    provenance,
    licences,
    backups,
    choosing,
    abtest,
    policies,
    logs,
    training,
    maskers,
    evaluation,
    demo,
)
for group in _GROUPS:
    group.register(app)
use_everywhere(app)


def _told(version: bool) -> None:
    if version:
        typer.echo(f"persona-img {persona_img.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_told),
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run a command; a wrong input ends with its message and exit status 2."""
    try:
        app()
    except PersonaImgError as error:
        typer.secho("error", fg="red", bold=True, nl=False, err=True)
        typer.echo(f": {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command again to go on", err=True)
        sys.exit(130)
