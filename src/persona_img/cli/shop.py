"""Commands that prepare a shop: profiles, styles and variants."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img.cli.home import Home, Json, add

if TYPE_CHECKING:
    from persona_img.shop import Rendered


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, profile, "persona-img profile")
    add(app, rank, "persona-img rank --segment home-cooks --top 5")
    add(app, prepare, "persona-img prepare")


def profile(
    as_of: Annotated[
        datetime | None, typer.Option(help="Moment of the snapshot (UTC); now if left out.")
    ] = None,
    home: Home = None,
) -> None:
    """Interactions to factors, profiles and segments; published to the feature store."""
    from persona_img.shop import Shop

    moment = None if as_of is None else as_of.replace(tzinfo=UTC)
    profiled = Shop.open(home).profile(moment)
    if profiled.unlisted:
        print(
            f"{sum(profiled.unlisted.values()):,} interactions are of {len(profiled.unlisted):,} "
            "products that the catalogue does not list: they are not used"
        )
    print(profiled.description.to_string())


def rank(
    segment: Annotated[str | None, typer.Option(help="Only this segment.")] = None,
    product: Annotated[str | None, typer.Option(help="Only this product.")] = None,
    top: Annotated[int, typer.Option(help="Styles shown of each.", min=1)] = 3,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Rank the style space for segments and products with the champion ranker."""
    from persona_img.shop import Shop

    shop = Shop.open(home)
    for ranking in shop.rank([segment] if segment else None, [product] if product else None):
        best = list(zip(ranking.styles, ranking.scores, strict=True))[:top]
        context = ranking.context
        if as_json:
            shown = [{"style": s.key, "score": p} for s, p in best]
            line = {"segment": context.segment, "product": context.product, "styles": shown}
            print(json.dumps(line))
        else:
            styles = "  ".join(f"{s} {p:.2%}" for s, p in best)
            print(f"{context.segment}  {context.product}  {styles}")


def prepare(
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Although the champion's test was stopped for harm.")
    ] = False,
    home: Home = None,
) -> None:
    """Plan with the champion, render and approve variants, and publish what is served."""
    from persona_img.shop import Shop

    def told(done: Rendered) -> None:
        print(f"{done.product}  {done.style}  {done.reason or 'approved'}")

    prepared = Shop.open(home).prepare(anyway=anyway, on_done=told)
    table = prepared.table
    print(
        f"policy {table.policy_version}: {len(table.slates)} slates; "
        f"{len(prepared.rendered) - len(prepared.refused)} variants are shown, "
        f"{len(prepared.refused)} refused; `persona-img serve` shows them"
    )
