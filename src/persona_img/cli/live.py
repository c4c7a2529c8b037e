"""Commands of a shop that is open: serve, analyse, retrain."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from persona_img.cli.home import Home, Json, add
from persona_img.errors import InvalidInput, NotFound, ServiceFailed, StoreConflict, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from persona_img.shop import Learnt, Shop


_PASSING = (
    StoreConflict,
    StoreFailed,
    ServiceFailed,
    NotFound,
    sqlite3.OperationalError,
    OSError,
)
"""What may be over by the next turn."""


Every = Annotated[
    str | None, typer.Option(help="Go on, at this pace, until Ctrl-C: e.g. 90s, 30m, 1h, 1d.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, serve, "persona-img serve --port 8080")
    add(app, rotate_key, "persona-img rotate-key --keep 1", name="rotate-key")
    add(
        app,
        analyze,
        "persona-img analyze hero-image --policy last`, or of anybody's table "
        "`persona-img analyze shown.parquet --map arm=variant,unit=user_id "
        "--metric ctr=clicks/impressions --metric revenue --plan 20000 --json",
    )
    add(app, push, "persona-img push")
    add(app, report, "persona-img report -o report.html")
    add(app, learn, "persona-img learn --every 1h")
    add(app, archive, "persona-img archive --every 1h")
    add(app, retrain, "persona-img retrain --promote-if-better")
    add(app, ramp, "persona-img ramp 3")
    add(app, promote, "persona-img promote 3")
    add(app, rollback, "persona-img rollback")
    add(app, tracking_ui, "persona-img tracking-ui --port 5000", name="tracking-ui")


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address; keys are required off loopback.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port; 0 takes a free one.", min=0, max=65535)
    ] = None,
    log: Annotated[
        Literal["text", "json"] | None, typer.Option(help="How its own log is written.")
    ] = None,
    log_requests: Annotated[
        bool | None,
        typer.Option("--log-requests", help="A line for each request, naming no shopper."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve, one for each core.", min=1, max=256)
    ] = None,
    demo_shop: Annotated[
        bool,
        typer.Option("--demo-shop", help="With a sample shop, where shoppers are simulated."),
    ] = False,
    home: Home = None,
) -> None:
    """Serve variants over HTTP: GET /v1/variant, POST /v1/events; stop with Ctrl-C.

    A table that is published meanwhile is served within a second or two.
    """
    from persona_img.settings import Settings

    asked = {"host": host, "port": port, "workers": workers, "log": log}
    asked["log_requests"] = log_requests
    given = Settings.load(home=home, serve=asked).serve
    if given.workers == 1:
        _serve(home, asked, None, demo_shop)
        return
    from persona_img.serving.run import address_of, listen
    from persona_img.serving.workers import run_workers

    with listen(given.host, given.port) as listening:
        start = "demo-shop" if demo_shop else "docs"
        print(f"{given.workers} workers on {address_of(listening)}/{start}", flush=True)
        run_workers(
            given.workers,
            lambda started: _serve(home, asked, listening, demo_shop, started),
            prepare=_import_service,
        )


def _import_service() -> None:
    """What a worker needs of modules: imported once, for all that begin and begin again."""
    # Threads of the linear algebra do not come along into a copy, and nothing here needs them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from persona_img.shop.pictures import import_service

    import_service()


def _serve(
    home: Path | None,
    asked: dict[str, Any],
    listening: socket | None,
    demo_shop: bool,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serve in this process, on a socket of its own or one that it shares."""
    from persona_img.serving.logs import log_to
    from persona_img.serving.run import serve as run
    from persona_img.shop.pictures import Pictures

    shop = Pictures.open(home, serve=asked)
    log_to(as_json=shop.settings.serve.log == "json")
    decider = shop.decider()
    version, start = decider.table.policy_version, "demo-shop" if demo_shop else "docs"
    if decider.table.personal is not None:
        shop.known.open()  # importing Feast alone takes seconds, and pictures need none of it

    def tell(url: str) -> None:
        started()
        if listening is None:
            print(f"policy {version} on {url}/{start}", flush=True)

    try:
        with shop.following(decider) as following:
            run(
                shop.app(decider, following=following, demo_shop=demo_shop),
                shop.settings.serve.host,
                shop.settings.serve.port,
                on_listening=tell,
                listening=listening,
                proxies=shop.settings.serve.proxies,
            )
    finally:
        shop.known.close()
        decider.log.close()
        shop.spans.close()


def rotate_key(
    keep: Annotated[
        int, typer.Option(help="Keys of before whose answers are still taken.", min=0, max=20)
    ] = 1,
    home: Home = None,
) -> None:
    """Sign answers by a new key, from the next start of the service on.

    Pages that are open go on: what the keys of before signed is taken until it expires.
    """
    from persona_img.shop import Shop

    held = Shop.open(home).rotate_key(keep)
    print(f"a new key signs from the next start of the service on; {held - 1} of before are kept")


def analyze(
    test: Annotated[
        str | None,
        typer.Argument(
            help="The A/B test; the settings' if left out. Or, with --map, anybody's table: "
            "Parquet, CSV or JSON Lines."
        ),
    ] = None,
    mapped: Annotated[
        str | None,
        typer.Option(
            "--map",
            help="Of a table: arm=…,unit=… (what was randomised); also time=…, segment=…, policy=… "
            "and before=… (known before the test).",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a table: ctr=clicks/impressions, or a column whose mean per unit is taken; "
            "again for more. `rows` counts rows. The first decides."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Only impressions of this policy version; last: the one that is served; all: "
            "every one, pooled. Left out, the newest that was seen: each is a test of its own; "
            "or all where a record says how it is read, and one alone is exploratory."
        ),
    ] = None,
    planned: Annotated[
        int | None,
        typer.Option(
            "--plan",
            "--planned",
            help="Shoppers at which the test is to be read, of `test plan`.",
            min=1,
            max=10**12,
        ),
    ] = None,
    always_valid: Annotated[
        bool | None,
        typer.Option(
            "--always-valid/--one-look",
            help="Verdicts by the interval that holds however often one looks, or by one look when "
            "the planned shoppers had come.",
        ),
    ] = None,
    by_segment: Annotated[
        bool, typer.Option("--by-segment", help="Also within each segment; exploratory.")
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(help="Of a table: the arm others are compared with; control if left out."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Of a table: how shoppers were dealt, control=1,personalized=1; equal."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(min=0.5, max=0.999, help="Of a table: of the intervals; .95 if left out."),
    ] = None,
    cap: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=1.0,
            help="Of a table: quantile that a unit counts for at most; .99 of what a ratio "
            "divides by and .999 of a value if left out, 1 for no cap.",
        ),
    ] = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="Of a table: it holds totals of arms, not units.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Analyse the A/B test by shopper and log it as a run; or analyse anybody's table.

    Of a table nothing is logged, and no shop is needed. A verdict is of the interval that holds
    however often one looks, or, with `--one-look --plan N` and `--map time=…`, of one look when N
    units had come, which nothing later changes.
    """
    if mapped is not None or metric:
        from persona_img.cli.tables import analyze_file

        analyze_file(
            test, mapped, metric or [],
            control=control or "control", weights=weights, plan=planned,
            once=always_valid is False, policy=policy,
            confidence=0.95 if confidence is None else confidence, cap=cap, counts=counts,
            of_a_shop={"--by-segment": by_segment, "--home": home is not None}, as_json=as_json,
        )  # fmt: skip
        return
    of_a_table = {
        "--weights": weights is not None, "--cap": cap is not None, "--counts": counts,
        "--control": control is not None, "--confidence": confidence is not None,
    }  # fmt: skip
    given = [option for option, is_given in of_a_table.items() if is_given]
    if given:
        raise InvalidInput(f"{', '.join(given)}: of a table; say --map arm=…,unit=…, or leave out")
    from persona_img.shop import Shop

    shop = Shop.open(home, test={"name": test})
    seen = shop.seen_policies(*shop.window)
    # By a record there is one verdict, of all that was served.
    asked = policy or (seen[-1] if seen and shop.record is None else "all")
    chosen = shop.plan_named(asked) if asked == "last" else asked
    others = [] if chosen == "all" else [one for one in seen if one != chosen]
    result, run = shop.analyse(
        policy=None if chosen == "all" else chosen,
        planned=planned, always_valid=always_valid, by_segment=by_segment,
    )  # fmt: skip
    if as_json:
        of = {"policy": chosen, "other_policies": others}
        print(json.dumps(result.to_dict() | of | {"run": run}))
        return
    print(result.table())
    if others and result.record is None:
        number = 1 + len(others)
        print(
            f"only policy {chosen}; not in it: {', '.join(others)} (--policy NAME, or all); each "
            f"is a test of its own with a chance of error of {1 - result.confidence:.0%}, of any "
            f"of {number} up to {1 - result.confidence**number:.0%}"
        )
    print(f"run {run}")


def push(home: Home = None) -> None:
    """Send clicks and purchases that came back to the feature store, at once."""
    from persona_img.shop import Shop

    print(f"{Shop.open(home).push():,} events pushed to the feature store")


def report(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The page; report.html in the home.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="The contact sheet; sheet.jpg in the home.")
    ] = None,
    home: Home = None,
) -> None:
    """Write one page with outcome, evidence and pictures, and a contact sheet."""
    from persona_img.shop import Shop

    shop = Shop.open(home)
    print(f"report {shop.report(out)}")
    print(f"contact sheet {shop.sheet(sheet)}")


def learn(
    every: Every = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Move chances by what came back since the ranker was fitted; take off what does harm.

    An arm that is worse than the photo for certain stops the test, and everybody gets the photo; a
    picture that is, is withdrawn. Certain means by intervals that hold however often this runs.

    With `--every`, what may be over by the next turn (a locked database, a service that has
    shown nothing yet) is told and tried again then.
    """
    from persona_img.shop import Shop

    shop = Shop.open(home)

    def turn() -> None:
        found = shop.learn()
        if as_json:
            print(json.dumps(asdict(found)), flush=True)
        else:
            _say(found)
        shop.archive()

    seconds = None if every is None else _seconds(every)
    # A home in which nothing was prepared is a slip, and no hour will mend it.
    _ = shop.table
    _at_pace(turn, shop, every, seconds)


def archive(
    every: Every = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read every file of the archive to its end instead.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Bring what came back into Parquet files by day, and take what is old out of the log.

    `learn` does that too. Safe to run at any time, and twice at once. Nothing that is read of
    feedback changes. Events leave the log `[keep] raw_days` after they came, if they are archived.
    """
    from persona_img.shop import Shop

    shop = Shop.open(home)

    def turn() -> None:
        if check:
            files, rows = shop.check_archive()
            said = {"files": files, "impressions": rows}
            text = f"{files:,} files with {rows:,} impressions are as they were written"
        else:
            done = shop.archive()
            said = asdict(done)
            text = (
                f"{done.impressions:,} impressions of {done.days} days archived, {done.late:,} "
                f"late clicks and purchases; {done.pruned:,} events left the log"
            )
        print(json.dumps(said) if as_json else text, flush=True)

    _at_pace(turn, shop, every, None if every is None else _seconds(every))


def _at_pace(
    turn: Callable[[], None], shop: Shop, every: str | None, seconds: float | None
) -> None:
    """Do it once; with a pace again and again, whatever passing trouble there is."""
    import time

    while True:
        try:
            turn()
        except _PASSING as error:
            # Of a home that is gone there is nothing to wait for.
            if seconds is None or not shop.settings.home.is_dir():
                raise
            typer.echo(f"not this time: {error}; again in {every}", err=True)
        if seconds is None:
            break
        time.sleep(seconds)


def _say(found: Learnt) -> None:
    for product, style, reason in found.withdrawn:
        print(f"withdrawn: {product} in {style}, {reason}", flush=True)
    if found.stopped:
        print(
            f"stopped, everybody gets the photo: {found.stopped}; promote another ranker and "
            "prepare, or `persona-img prepare --anyway`",
            flush=True,
        )
    else:
        print(
            f"{found.impressions:,} impressions since the ranker was fitted, {found.moved} slates "
            f"moved; policy {found.version}",
            flush=True,
        )
    if found.ramp:
        print(f"ramp, {found.ramp}", flush=True)


def _seconds(every: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", every.strip())
    if found is None or not float(found[1]) > 0:
        raise InvalidInput(f"every {every!r}: give a number above 0 and a unit, e.g. 30m or 1h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def retrain(
    promote_if_better: Annotated[
        bool, typer.Option("--promote-if-better", help="Promote where the evidence says so.")
    ] = False,
    home: Home = None,
) -> None:
    """Fit a ranker on the feedback, register it, and weigh it against the champion."""
    from persona_img.shop import Shop

    done = Shop.open(home).retrain(promote=promote_if_better)
    print(done.report.reason)
    if done.promoted:
        print(f"version {done.version} is champion now; `persona-img prepare` makes its table")
    elif done.report.admit:
        print(
            f"version {done.version} is registered, the champion stays; `persona-img ramp "
            f"{done.version}` shows it to a tenth of the arm"
        )
    else:
        print(f"version {done.version} is registered, the champion stays")
    if done.leant is not None:
        kept = "single shoppers' chances will differ from their segment's, by their traits"
        print(done.leant.reason or kept)


def ramp(
    version: Annotated[
        int | None,
        typer.Argument(help="A registered ranker's version; left out, judge the ramp.", min=1),
    ] = None,
    share: Annotated[
        float, typer.Option(help="Part of the personalized arm to begin with.", min=0.01, max=0.5)
    ] = 0.1,
    halt: Annotated[bool, typer.Option("--halt", help="End the ramp; nobody keeps it.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Although its training spoke against it.")
    ] = False,
    home: Home = None,
) -> None:
    """Show a challenger to a tenth of the arm, then to half, then promote it, or halt it.

    Without a version: look at what its shoppers did, and do what follows; `learn` does that too.
    """
    from persona_img.shop import Shop

    shop = Shop.open(home)
    if halt:
        print(f"the ramp of version {shop.halt_ramp()} is over; the version stays registered")
    elif version is not None:
        prepared = shop.ramp(version, share=share, anyway=anyway)
        print(
            f"policy {prepared.table.policy_version} is shown to {share:.0%} of the arm, "
            f"{len(prepared.refused)} variants were refused; `persona-img learn` judges it"
        )
    else:
        verdict = shop.judge_ramp()
        print("no ramp" if verdict is None else f"{verdict.action}: {verdict.reason}")


def promote(
    version: Annotated[int, typer.Argument(help="A registered ranker's version.", min=1)],
    home: Home = None,
) -> None:
    """Make a registered ranker champion, whatever the evidence said."""
    from persona_img.shop import Shop

    Shop.open(home).promote(version)
    print(f"version {version} is champion now; `persona-img prepare` makes its table")


def rollback(home: Home = None) -> None:
    """Bring the previous champion back, and its table, for every shopper."""
    from persona_img.shop import Shop

    shop = Shop.open(home)
    version = shop.rollback()
    if shop.served_ranker == version:
        print(
            f"version {version} is champion again, and its table {shop.table.policy_version} is "
            "served, also to those who saw another"
        )
    else:
        print(f"version {version} is champion again; `persona-img prepare` makes its table")


def tracking_ui(
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1.", min=1, max=65535)] = 5000,
    home: Home = None,
) -> None:
    """MLflow's pages over this shop's runs, on this machine only; stop with Ctrl-C."""
    import os
    import subprocess

    from persona_img.shop import Shop

    command = Shop.open(home).tracking_pages(port)
    print(f"MLflow on {command.address}")
    subprocess.run(command.arguments, env=os.environ | dict(command.environment), check=False)
