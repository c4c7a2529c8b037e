"""Commands that prepare a shop: profiles, styles and variants."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img.cli.home import Home, Json, add
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from persona_img.shop import Rendered


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, profile, "persona-img profile")
    add(app, rank, "persona-img rank --segment home-cooks --top 5")
    add(app, effects, "persona-img effects --kind 'segment x value' --top 10")
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


def effects(
    kind: Annotated[
        list[str] | None, typer.Option(help="Only effects of this kind; again for more.")
    ] = None,
    whose: Annotated[str | None, typer.Option(help="Only this segment's, product's, …")] = None,
    top: Annotated[int, typer.Option(help="Effects shown of each kind.", min=1, max=1_000_000)] = 5,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """What the champion has learned: which looks are clicked more, by whom, and how sure it is.

    Effects are on the odds of a click, each beyond those of the kinds above it: what a segment
    likes is what everybody does and its own. A position's is of one e times as far down. Sorted
    by how sure each is within its kind.
    """
    from persona_img.shop import Shop

    found = Shop.open(home).effects()
    kinds = list(dict.fromkeys(found["kind"]))
    for one in kind or ():
        if one not in kinds:
            raise InvalidInput(f"kind {one!r}: there are {', '.join(kinds)}; choose one")
    found = found[found["kind"].isin(kind or kinds)]
    if whose is not None:
        known = sorted(set(found["whose"]) - {""})
        if whose not in known:
            few = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise InvalidInput(f"whose {whose!r}: there are {few or 'none of these kinds'}")
        found = found[found["whose"] == whose]
    found = found.groupby("kind", sort=False).head(top)
    if as_json:
        print(found.to_json(orient="records", lines=True, double_precision=6), end="")
        return
    for row in found.to_dict("records"):
        about = "  ".join(str(row[name]) for name in ("kind", "whose", "what") if row[name])
        if not math.isnan(row["gain"]):
            print(f"{about}  {row['gain']:.1%} of what trees gain")
            continue
        if row["kind"] == "base":  # no change of odds, but where all changes begin
            print(f"{about}  clicked {1 / (1 + math.exp(-row['effect'])):.2%} of the time")
            continue
        low, odds, high = (
            math.expm1(row["effect"] + away * row["spread"]) for away in (-1.96, 0.0, 1.96)
        )
        print(f"{about}  {odds:+.1%} (95 %: {low:+.1%} to {high:+.1%})")


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
