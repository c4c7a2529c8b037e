"""Commands that prepare a shop: products, shoppers, profiles, styles and variants."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from persona_img import loop, wiring
from persona_img.cli.home import Home, Json, add, champion_of, open_home
from persona_img.domain.catalog import Catalog, Product
from persona_img.errors import InvalidInput
from persona_img.settings import Settings
from persona_img.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the commands."""
    catalog = typer.Typer(help="The product table.", no_args_is_help=True)
    example = "persona-img catalog add photos/ --category mug --licence CC0-1.0"
    add(catalog, catalog_add, example, name="add")
    app.add_typer(catalog, name="catalog")
    add(app, simulate, "persona-img simulate --shoppers 3000 --days 60")
    add(app, profile, "persona-img profile")
    add(app, rank, "persona-img rank --render")


def catalog_add(
    source: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    category: Annotated[str, typer.Option(help="What kind of thing, e.g. shoes.")],
    licence: Annotated[str, typer.Option(help="Licence of the photos, e.g. CC0-1.0 or own.")],
    credit: Annotated[str, typer.Option(help="Whom to name.")] = "",
    home: Home = None,
) -> None:
    """Add products, one per photo, named after its file; photos are copied beside the table."""
    from persona_img.imaging.photo import list_photos, load_photo

    _, workspace = open_home(home)
    known = list(Catalog.load(workspace.catalog)) if workspace.catalog.exists() else []
    paths = list_photos(source)
    for path in paths:
        load_photo(path)  # all are read before anything is written
    folder = workspace.catalog.parent / "photos"
    added = [
        Product(
            path.stem, category, path.stem.replace("-", " "), folder / path.name, licence, credit
        )
        for path in paths
    ]
    catalog = Catalog([*known, *added])
    folder.mkdir(parents=True, exist_ok=True)
    for path, product in zip(paths, added, strict=True):
        shutil.copyfile(path, product.photo)
    catalog.save(workspace.catalog)
    print(f"{len(added)} added, {len(catalog)} products in {workspace.catalog}")


def simulate(
    shoppers: Annotated[int, typer.Option(help="Simulated shoppers.")] = 3000,
    days: Annotated[float, typer.Option(help="Length of their history.")] = 60,
    until: Annotated[
        datetime | None, typer.Option(help="When it ends (UTC); now if left out.")
    ] = None,
    visits: Annotated[
        float | None,
        typer.Option(help="Instead: so many visits per shopper to a running service."),
    ] = None,
    url: Annotated[str, typer.Option(help="The running service.")] = "http://127.0.0.1:8080",
    round_index: Annotated[int, typer.Option("--round", help="Another round, other visits.")] = 1,
    home: Home = None,
) -> None:
    """Simulated shoppers: a history of interactions, or visits to a running service."""
    from persona_img.simulate.shop import SimulatedShop
    from persona_img.simulate.traffic import drive

    settings, workspace = open_home(home)
    catalog = Catalog.load(workspace.catalog)
    shop = SimulatedShop(
        catalog, wiring.style_space(settings), shoppers=shoppers, seed=settings.seed
    )
    end = (until or datetime.now(UTC)).replace(tzinfo=UTC)
    if visits is not None:
        planned = shop.visits(round_index, end, 14.0, visits_per_shopper=visits)
        drive(url, shop, planned)
        print(f"SIMULATED: {len(planned):,} visits to {url}")
        return
    interactions = shop.interactions(days, end)
    workspace.save_table("shoppers", shop.shoppers)
    path = workspace.save_table("interactions", interactions)
    print(f"SIMULATED: {shoppers:,} shoppers, {len(interactions):,} interactions in {path}")


def profile(
    as_of: Annotated[
        datetime | None, typer.Option(help="Moment of the snapshot (UTC); now if left out.")
    ] = None,
    home: Home = None,
) -> None:
    """Interactions to factors, profiles and segments; published to the feature store."""
    settings, workspace = open_home(home)
    profiled = loop.profile(
        workspace.table("interactions"),
        Catalog.load(workspace.catalog),
        wiring.feature_source(settings, workspace),
        as_of=(as_of or datetime.now(UTC)).replace(tzinfo=UTC),
        count=settings.segments,
        least=settings.least_shoppers,
        seed=settings.seed,
    )
    profiled.save(workspace)
    print(profiled.description.to_string())


def rank(
    segment: Annotated[str | None, typer.Option(help="Only this segment.")] = None,
    product: Annotated[str | None, typer.Option(help="Only this product.")] = None,
    top: Annotated[int, typer.Option(help="Styles shown of each.")] = 3,
    render: Annotated[
        bool, typer.Option("--render", help="Also render what was picked and prepare serving.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Rank the style space for segments and products with the champion ranker."""
    from persona_img.domain.decision import Context

    settings, workspace = open_home(home)
    profiled = loop.Profiled.load(workspace)
    catalog = Catalog.load(workspace.catalog)
    ranker, name = champion_of(settings, workspace, profiled)
    segments = [segment] if segment else sorted(set(profiled.segments.values()))
    products = [catalog[product].product] if product else [p.product for p in catalog]
    styles = wiring.style_space(settings).styles()
    for one in segments:
        if one not in set(profiled.segments.values()):
            known = ", ".join(sorted(set(profiled.segments.values())))
            raise InvalidInput(f"segment {one!r}: there are {known}; choose one")
        for item in products:
            ranking = ranker.rank(Context(one, item), styles)
            best = list(zip(ranking.styles, ranking.scores, strict=True))[:top]
            if as_json:
                shown = [{"style": s.key, "score": p} for s, p in best]
                print(json.dumps({"segment": one, "product": item, "styles": shown}))
            else:
                print(f"{one}  {item}  " + "  ".join(f"{s} {p:.2%}" for s, p in best))
    if render:
        _prepare(settings, workspace, profiled, catalog, name)


def _prepare(
    settings: Settings, workspace: Workspace, profiled: loop.Profiled, catalog: Catalog, name: str
) -> None:
    ranker, _ = champion_of(settings, workspace, profiled)
    slates = loop.plan(
        ranker,
        wiring.style_space(settings),
        profiled,
        catalog,
        slate=settings.slate,
        variants_per_product=settings.variants_per_product,
        seed=settings.seed,
    )
    store = wiring.variant_store(workspace)
    rendered = loop.render(
        slates, catalog, wiring.renderer(settings), store, seed=settings.seed,
        workers=settings.workers,
        on_done=lambda r: print(f"{r.product}  {r.style}  {r.reason or 'approved'}"),
    )  # fmt: skip
    version = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    table = loop.decide(
        slates, rendered, ranker, wiring.policy(settings), profiled, version=version
    )
    workspace.save_decision_table(table)
    print(f"policy {version}: {len(table.slates)} slates; `persona-img serve` shows them")
