"""Commands of one shop: everything lies in its home folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from persona_img import loop, wiring
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.errors import InvalidInput
from persona_img.ranking.base import Ranker
from persona_img.settings import Settings
from persona_img.workspace import Workspace

Home = Annotated[
    Path | None, typer.Option(help="The shop's folder (PERSONA_IMG_HOME, else ./shop).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    catalog = typer.Typer(help="The product table.", no_args_is_help=True)
    catalog.command(
        "add",
        epilog="Example: `persona-img catalog add photos/ --category mug --licence CC0-1.0`",
    )(catalog_add)
    app.add_typer(catalog, name="catalog")
    commands: dict[Callable[..., None], str] = {
        simulate: "`persona-img simulate --shoppers 3000 --days 60`",
        profile: "`persona-img profile`",
        rank: "`persona-img rank --render`",
        serve: "`persona-img serve --port 8080`",
        analyze: "`persona-img analyze hero-image`",
        retrain: "`persona-img retrain --promote-if-better`",
        rollback: "`persona-img rollback`",
        demo: "`persona-img demo --quick`",
    }
    for command, example in commands.items():
        app.command(epilog=f"Example: {example}")(command)
    app.command("tracking-ui", epilog="Example: `persona-img tracking-ui --port 5000`")(tracking_ui)


def _open(home: Path | None) -> tuple[Settings, Workspace]:
    settings = Settings.load(home=home)
    return settings, Workspace.open(settings.home)


def catalog_add(
    source: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    category: Annotated[str, typer.Option(help="What kind of thing, e.g. shoes.")],
    licence: Annotated[str, typer.Option(help="Licence of the photos, e.g. CC0-1.0 or own.")],
    credit: Annotated[str, typer.Option(help="Whom to name.")] = "",
    home: Home = None,
) -> None:
    """Add products, one per photo, named after its file; photos are copied beside the table."""
    from persona_img.imaging.photo import list_photos, load_photo

    _, workspace = _open(home)
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

    settings, workspace = _open(home)
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
    settings, workspace = _open(home)
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

    settings, workspace = _open(home)
    profiled = loop.Profiled.load(workspace)
    catalog = Catalog.load(workspace.catalog)
    ranker, name = _champion(settings, workspace, profiled)
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
    ranker, _ = _champion(settings, workspace, profiled)
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
        on_done=lambda r: print(f"{r.product}  {r.style}  {r.reason or 'approved'}"),
    )  # fmt: skip
    version = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    table = loop.decide(
        slates, rendered, ranker, wiring.policy(settings), profiled, version=version
    )
    workspace.save_decision_table(table)
    print(f"policy {version}: {len(table.slates)} slates; `persona-img serve` shows them")


def _champion(
    settings: Settings, workspace: Workspace, profiled: loop.Profiled
) -> tuple[Ranker, str]:
    """The promoted ranker; a cold one where none was promoted yet."""
    tracker = wiring.tracker(settings, workspace)
    version = tracker.champion()
    if version is None:
        nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
        return wiring.cold_ranker().fit(nothing, profiled.features), "cold"
    folder = tracker.fetch_ranker(version, workspace.root / "rankers" / f"version-{version}")
    return wiring.load_ranker(folder), f"version-{version}"


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address; tokens are required off loopback.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")] = None,
    home: Home = None,
) -> None:
    """Serve variants over HTTP: GET /v1/variant, POST /v1/events; stop with Ctrl-C."""
    from persona_img.serving.run import serve as run

    settings = Settings.load(home=home, host=host, port=port)
    workspace = Workspace.open(settings.home)
    catalog, table = Catalog.load(workspace.catalog), workspace.decision_table()
    store, log = wiring.variant_store(workspace), wiring.event_log(workspace)
    try:
        deciding = wiring.decider(settings, table, log, store)
        run(
            wiring.app(settings, deciding, catalog, store),
            settings.host,
            settings.port,
            on_listening=lambda url: print(
                f"policy {table.policy_version} on {url}/docs", flush=True
            ),
        )
    finally:
        log.close()


def analyze(
    test: Annotated[
        str | None, typer.Argument(help="The A/B test; the settings' if left out.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Only impressions of this policy version; last: the newest.")
    ] = None,
    simulated: Annotated[
        bool, typer.Option(help="Say in the report that shoppers are simulated.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Analyse the A/B test by shopper and log it as a run."""
    settings = Settings.load(home=home, test=test)
    workspace = Workspace.open(settings.home)
    feedback = wiring.read_feedback(settings)
    if policy is not None:
        newest = feedback["policy_version"].iloc[-1] if len(feedback) else policy
        feedback = feedback[feedback["policy_version"] == (newest if policy == "last" else policy)]
    report, run = loop.analyse(
        feedback,
        wiring.arms(settings),
        wiring.tracker(settings, workspace),
        simulated=simulated or None,
        run_name=f"analyze {policy or 'all'}",
    )
    print(
        json.dumps(report.to_dict() | {"run": run}) if as_json else f"{report.table()}\nrun {run}"
    )


def retrain(
    promote_if_better: Annotated[
        bool, typer.Option("--promote-if-better", help="Promote where the evidence says so.")
    ] = False,
    home: Home = None,
) -> None:
    """Fit a ranker on the feedback, register it, and weigh it against the champion."""
    settings, workspace = _open(home)
    profiled = loop.Profiled.load(workspace)
    champion, _ = _champion(settings, workspace, profiled)
    challenger, report = loop.retrain(
        wiring.read_feedback(settings),
        profiled,
        champion,
        lambda: wiring.new_ranker(settings),
        wiring.policy(settings),
        tables=workspace.decision_tables(),
        seed=settings.seed,
    )
    folder = workspace.root / "rankers" / challenger.name
    challenger.save(folder)
    tracker = wiring.tracker(settings, workspace)
    version = tracker.register_ranker(
        folder, metrics=report.metrics(), tags={"kind": challenger.name}
    )
    print(report.reason)
    if report.promote and promote_if_better:
        tracker.promote(version)
        print(f"version {version} is champion now; `persona-img rollback` brings the old one back")
    else:
        print(f"version {version} is registered, the champion stays")


def rollback(home: Home = None) -> None:
    """Bring the previous champion back."""
    settings, workspace = _open(home)
    version = wiring.tracker(settings, workspace).rollback()
    print(f"version {version} is champion again; `persona-img rank --render` prepares its table")


def tracking_ui(
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1.")] = 5000, home: Home = None
) -> None:
    """MLflow's pages over this shop's runs, on this machine only; stop with Ctrl-C."""
    from persona_img.tracking.ui import ui_command

    _, workspace = _open(home)
    command = ui_command(
        wiring.tracking_uri(workspace), workspace.tracking / "artifacts", port=port
    )
    print(f"MLflow on {command.address}")
    subprocess.run(command.arguments, env=os.environ | dict(command.environment), check=False)


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer products, shoppers and steps.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    home: Annotated[Path, typer.Option(help="Folder that everything is written to.")] = Path(
        "demo"
    ),
) -> None:
    """The whole loop on real photos and SIMULATED shoppers."""
    from persona_img.demo import FULL, QUICK, Demo

    settings = Settings.fresh(home=home, seed=seed)
    console = Console()
    result = Demo(settings, Workspace.open(home), QUICK if quick else FULL, console).run()
    show_result(result, home, console)


def show_result(result: object, home: Path, console: Console) -> None:
    """The table at the end, and what to open next."""
    from rich.table import Table

    from persona_img.demo import DemoResult
    from persona_img.report import lift_over_first

    assert isinstance(result, DemoResult)
    table = Table(title="SIMULATED shoppers, real photos", title_justify="left")
    for column in ("round", "arm", "shoppers", "CTR", "lift", "interval", "true CTR"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for one in result.rounds:
        lifts = {
            c.arm: c for c in one.report.comparisons if c.metric == "CTR" and c.segment is None
        }
        for arm in one.report.arms:
            lift = lifts.get(arm.arm)
            table.add_row(
                str(one.number),
                arm.arm,
                f"{arm.shoppers:,}",
                f"{arm.ctr:.2%}",
                f"{lift.lift:+.1%}" if lift else "",
                f"{lift.low:+.1%} … {lift.high:+.1%}" if lift else "",
                f"{one.truth[arm.arm]:.2%}",
            )
    console.print()
    console.print(table)
    console.print(f"lift of round 2 over round 1: {lift_over_first(result.rounds):+.1%}")
    console.print(
        f"{result.shown} variants verified, {len(result.rejected)} kept back by the gate\n"
    )
    for what, where in (
        ("report", result.report),
        ("contact sheet", result.sheet),
        ("variants", home / "variants"),
        ("event log", home / "events.sqlite"),
        ("MLflow", home / "mlflow"),
    ):
        console.print(f"  {what:14}{where}", highlight=False)
    console.print("\nNext: open the report, then `make dashboard`, `make mlflow`, `make serve`")
