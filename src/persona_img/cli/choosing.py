"""Commands that learn which pictures are clicked, and say which are missing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img.cli.home import Home, Json, add

if TYPE_CHECKING:
    from persona_img.shop import TrainedChooser


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, train_chooser, "persona-img train-chooser", name="train-chooser")
    add(app, propose, "persona-img propose --segment home-cooks --top 5")


def train_chooser(
    impressions: Annotated[
        float | None,
        typer.Option(min=1, help="Fewest of each picture of a pair; 500 if left out."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", dir_okay=False, help="The judge; chooser.json in the home."),
    ] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Learn which pictures are clicked, from pairs of one product, to choose among candidates.

    Products held out in turn say whether pictures tell more than their styles.
    """
    from persona_img.shop import Shop

    done = Shop.open(home).train_chooser(out, impressions=impressions)
    if as_json:
        more = {"helps": done.report.helps, "chooser": str(done.path)}
        print(json.dumps(asdict(done.report) | more))
    else:
        print(_said(done))


def _said(done: TrainedChooser) -> str:
    report, path = done.report, done.path
    low, high = (f"{bound:+.1%}" for bound in report.interval)
    advice = (
        f'[render] chooser = "{path}", with candidates = 4, keeps what it prefers'
        if report.helps
        else "pictures tell no more than their styles for certain: leave [render] chooser unset"
    )
    return (
        f"{report.labels:,} pairs of {report.products:,} products learned; without their own "
        f"product {report.accuracy:.1%} are ordered right, by style alone "
        f"{report.style_accuracy:.1%}: {report.gain:+.1%} ({low} to {high})\n"
        f"{path}: {advice}"
    )


def propose(
    segment: Annotated[str | None, typer.Option(help="Only this segment.")] = None,
    top: Annotated[int, typer.Option(help="Styles of each segment.", min=1)] = 5,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Styles worth rendering that no product shows yet: what they may add to its best picture."""
    from persona_img.shop import Shop

    for one in Shop.open(home).proposals([segment] if segment else None, top=top):
        if as_json:
            print(json.dumps(asdict(one) | {"style": one.style.key}))
        else:
            print(
                f"{one.segment}  {one.style}  {one.rate:.2%} expected, unsure by {one.unsure:.2f}, "
                f"may add {one.worth:.3f}  ({one.products} products)"
            )
