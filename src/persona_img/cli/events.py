"""Commands for events of shown pictures that a shop's analytics already has."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from persona_img.cli.home import Home, Json, add

_SAID = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Impressions and clicks of shown pictures, from what analytics exports.",
        no_args_is_help=True,
    )
    example = "persona-img events import events.jsonl --map ga4"
    add(group, events_import, example, name="import")
    app.add_typer(group, name="events")


def events_import(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON Lines, CSV, Parquet or Snowplow's enriched events; also gzipped."
        ),
    ],
    mapped: Annotated[
        str,
        typer.Option(
            "--map", help="ga4, rudderstack, segment or snowplow, or a TOML file of your own."
        ),
    ],
    told: Annotated[
        Path | None,
        typer.Option(help="CSV that says of every row what became of it; in the home if left out."),
    ] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Take in impressions and clicks from an export, each by the token that it carries.

    The same rules hold as for events that are sent, so a file may be imported again: a token counts
    once for each kind, whichever way it came.
    """
    from persona_img.shop import Shop

    done = Shop.open(home).import_events(file, mapped, told=told)
    if as_json:
        print(json.dumps(asdict(done) | {"told": str(done.told)}))
        return
    print(
        f"{file.name}: {done.accepted:,} events stored, {done.duplicates:,} had come before, "
        f"{sum(done.refused.values()):,} refused, {done.others:,} rows of other kinds"
    )
    for reason, rows in list(done.refused.items())[:_SAID]:
        print(f"  {rows:,}  {reason}")
    if len(done.refused) > _SAID:
        print(f"  and {len(done.refused) - _SAID} more reasons")
    print(f"what became of each row is in {done.told}")
