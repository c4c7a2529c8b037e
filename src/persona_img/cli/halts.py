"""Commands that stop personalised pictures at once, and let them go on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img.cli.home import Home, Json, add, who

if TYPE_CHECKING:
    from persona_img.serving.halts import Where

Reason = Annotated[str, typer.Option(help="Why; kept for good.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything that this shop serves.")]
Test = Annotated[str | None, typer.Option(help="An A/B test.")]
Product = Annotated[str | None, typer.Option(help="A product.")]
By = Annotated[str | None, typer.Option(help="Who decides; your user name if left out.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, halt, 'persona-img halt --product 22423 --reason "recalled"')
    add(app, resume, 'persona-img resume --product 22423 --reason "back on sale"')
    add(app, halts, "persona-img halts")


def halt(
    reason: Reason,
    everything: Everything = False,
    test: Test = None,
    product: Product = None,
    by: By = None,
    home: Home = None,
) -> None:
    """Answer photos, not counted, within a second, until it is resumed; also after a restart.

    What shoppers saw is kept, and stands again then. Events of pictures that were shown before
    still count.
    """
    from persona_img.shop import Shop

    where = _where(everything, test, product)
    Shop.open(home).halt(where, who=who(by), reason=reason)
    print(f"halted: {_named(where)}; every service of this shop shows photos within a second")


def resume(
    reason: Reason,
    everything: Everything = False,
    test: Test = None,
    product: Product = None,
    by: By = None,
    home: Home = None,
) -> None:
    """End a halt; each that was made ends by its own name."""
    from persona_img.shop import Shop

    where = _where(everything, test, product)
    left = Shop.open(home).resume(where, who=who(by), reason=reason)
    print(f"resumed: {_named(where)}")
    for one in left:
        print(f"still halted: {_named(one)}")


def halts(
    history: Annotated[
        bool, typer.Option("--history", help="Also what was resumed: every entry, oldest first.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """List what is halted, by whom, since when and why."""
    from persona_img.serving.halts import standing
    from persona_img.shop import Shop

    entries = Shop.open(home).halts.entries()
    shown = entries if history else list(standing(entries).values())
    for one in shown:
        if as_json:
            print(json.dumps(asdict(one)))
        else:
            print(f"{one.at}  {one.action:6}  {_named(one.where)}  {one.who}: {one.reason}")
    if not (shown or as_json):
        print("nothing is halted")


def _where(everything: bool, test: str | None, product: str | None) -> Where:
    given: list[Where] = [("all", "")] if everything else []
    given += [("test", test)] if test is not None else []
    given += [("product", product)] if product is not None else []
    if len(given) != 1:
        raise typer.BadParameter("give one of --all, --test NAME and --product NAME")
    return given[0]


def _named(where: Where) -> str:
    return " ".join(where) if where[1] else "everything"
