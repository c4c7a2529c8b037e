"""The command that lets simulated shoppers in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from persona_img.cli.home import Home, add


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, simulate, "persona-img simulate --shoppers 3000 --days 60")


def simulate(
    shoppers: Annotated[
        int, typer.Option(help="Simulated shoppers.", min=1, max=10_000_000)
    ] = 3000,
    days: Annotated[float, typer.Option(help="Length of their history.", min=0.01, max=3650)] = 60,
    until: Annotated[
        datetime | None, typer.Option(help="When it ends (UTC); now if left out.")
    ] = None,
    visits: Annotated[
        float | None,
        typer.Option(
            help="Instead: so many visits per shopper to a running service.", min=0.01, max=1000
        ),
    ] = None,
    url: Annotated[str, typer.Option(help="The running service.")] = "http://127.0.0.1:8080",
    round_index: Annotated[
        int, typer.Option("--round", help="Another round, other visits.", min=1, max=1000)
    ] = 1,
    home: Home = None,
) -> None:
    """Simulated shoppers: a history of interactions, or visits to a running service."""
    from persona_img.demo.traffic import simulate_history, simulate_visits, simulated_shoppers
    from persona_img.shop import Shop

    shop = Shop.open(home)
    people = simulated_shoppers(shop, shoppers)
    end = (until or datetime.now(UTC)).replace(tzinfo=UTC)
    if visits is not None:
        planned = people.visits(round_index, end, 14.0, visits_per_shopper=visits)
        report = simulate_visits(shop, people, url, planned)
        print(f"SIMULATED: {report.visits:,} visits to {url}, {report.clicks:,} clicks")
        return
    interactions = simulate_history(shop, people, days, end)
    print(f"SIMULATED: {shoppers:,} shoppers, {len(interactions):,} interactions")
