"""Commands of a shop that is open: serve, analyse, retrain."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Annotated

import typer

from persona_img import loop, wiring
from persona_img.cli.home import Home, Json, add, champion_of, open_home
from persona_img.domain.catalog import Catalog
from persona_img.settings import Settings
from persona_img.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, serve, "persona-img serve --port 8080")
    add(app, analyze, "persona-img analyze hero-image")
    add(app, retrain, "persona-img retrain --promote-if-better")
    add(app, rollback, "persona-img rollback")
    add(app, tracking_ui, "persona-img tracking-ui --port 5000", name="tracking-ui")


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
    settings, workspace = open_home(home)
    profiled = loop.Profiled.load(workspace)
    champion, _ = champion_of(settings, workspace, profiled)
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
    settings, workspace = open_home(home)
    version = wiring.tracker(settings, workspace).rollback()
    print(f"version {version} is champion again; `persona-img rank --render` prepares its table")


def tracking_ui(
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1.")] = 5000, home: Home = None
) -> None:
    """MLflow's pages over this shop's runs, on this machine only; stop with Ctrl-C."""
    from persona_img.tracking.ui import ui_command

    _, workspace = open_home(home)
    command = ui_command(
        wiring.tracking_uri(workspace), workspace.tracking / "artifacts", port=port
    )
    print(f"MLflow on {command.address}")
    subprocess.run(command.arguments, env=os.environ | dict(command.environment), check=False)
