"""A/B tests from start to end: their records, where they stand, why they stop."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from persona_img.cli.home import Home, Json, add
from persona_img.cli.planning import plan
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from persona_img.shop import Standing

# As persona_img.abtest.records.Reason, which takes long to import.
Because = Literal["win", "harm", "futility", "horizon", "by hand"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    test = typer.Typer(help="A/B tests: plan, start, stop, look.", no_args_is_help=True)
    add(
        test,
        plan,
        "persona-img test plan hero-image --hypothesis 'scenes sell mugs' --lift 0.10`, or the "
        "numbers alone `persona-img test plan --baseline 0.05 --lift 0.10",
        name="plan",
    )
    add(test, start, "persona-img test start hero-image", name="start")
    add(test, stop, "persona-img test stop hero-image --because win", name="stop")
    add(test, listed, "persona-img test list", name="list")
    add(test, show, "persona-img test show hero-image", name="show")
    app.add_typer(test, name="test")


def start(
    name: Annotated[str | None, typer.Argument(help="The test; the settings' if left out.")] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """Freeze a test's record: what is shown from now on is read as it says.

    The record goes to the tracker with its digest. A record without a plan cannot start; what is
    edited later is shown beside the verdict, and is not in force.
    """
    from persona_img.shop import Shop

    started = Shop.open(home).start_test(name)
    record = started.record
    if as_json:
        said = {"digest": started.digest, "started_at": started.started_at.isoformat()}
        print(json.dumps({"test": record.name, "run": started.run} | said))
        return
    assert record.plan is not None
    print(
        f"test {record.name} runs by record {started.digest[:12]} since "
        f"{started.started_at:%Y-%m-%d %H:%M} UTC: {record.plan.shoppers:,} shoppers planned, "
        f"{record.horizon_days} days at most"
    )
    print(f"run {started.run}")


def stop(
    name: Annotated[str | None, typer.Argument(help="The test; the settings' if left out.")] = None,
    because: Annotated[
        Because | None,
        typer.Option(help="Why; the first of the record's rules that is met if left out."),
    ] = None,
    note: Annotated[
        str | None, typer.Option(help="What to remember; needed where it is stopped by hand.")
    ] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """End a test and keep why; what is shown later does not count.

    Pictures are served on: `persona-img halt --test` shows photos.
    """
    from persona_img.shop import Shop

    stopped = Shop.open(home).stop_test(name, because=because, note=note or "")
    if as_json:
        print(json.dumps(asdict(stopped) | {"stopped_at": stopped.stopped_at.isoformat()}))
        return
    verdict = stopped.verdict or "nothing was shown"
    print(f"stopped: {stopped.reason}{', ' + stopped.note if stopped.note else ''}; {verdict}")
    print(f"run {stopped.run}")


def listed(as_json: Json = False, home: Home = None) -> None:
    """Every test that has a record: status, days left, health, a line each."""
    from persona_img.abtest.report import as_columns
    from persona_img.shop import Shop

    found = Shop.open(home).standings()
    if as_json:
        print(json.dumps([_plain_standing(one) for one in found]))
        return
    if not found:
        print("no test has a record yet; write one with `persona-img test plan NAME`")
        return
    head = ["test", "status", "days left", "shoppers", "verdict", "health", "to stop"]
    print(as_columns(head, [_row(one) for one in found]))


def show(
    name: Annotated[str | None, typer.Argument(help="The test; the settings' if left out.")] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """One test: its record, what was changed since it started, and what its rules say now."""
    from persona_img.shop import Shop

    shop = Shop.open(home)
    one = shop.standing(name)
    changed = () if one.started is None else shop.records.changed(one.started)
    if as_json:
        told = {} if one.record is None else {"record": one.record.model_dump(mode="json")}
        print(json.dumps(_plain_standing(one) | told | {"changed": list(changed)}))
        return
    if one.record is None:
        raise InvalidInput(one.health)
    print(one.record.toml.partition("\n\n")[2])
    if one.started is not None:
        print(f"started {one.started.started_at:%Y-%m-%d %H:%M} UTC, record {one.started.digest}")
    for change in changed:
        print(f"changed after the start, and not in force: {change}")
    if one.stopped is not None:
        note = f", {one.stopped.note}" if one.stopped.note else ""
        print(f"stopped {one.stopped.stopped_at:%Y-%m-%d %H:%M} UTC: {one.stopped.reason}{note}")
    if one.state == "running":
        left = 0.0 if one.days_left is None else one.days_left
        print(f"{one.health}; {one.shoppers:,} shoppers; {left:.1f} days left")
        for why, said in one.met.items():
            print(f"to stop, {why}: {said}")


def _row(one: Standing) -> list[str]:
    plan = None if one.record is None else one.record.plan
    return [
        one.name,
        one.state,
        "" if one.days_left is None else f"{one.days_left:.1f}",
        f"{one.shoppers:,} of {plan.shoppers:,}" if plan is not None and one.started else "",
        one.verdict,
        one.health,
        ", ".join(one.met),
    ]


def _plain_standing(one: Standing) -> dict[str, Any]:
    plan = None if one.record is None else one.record.plan
    return {
        "test": one.name,
        "status": one.state,
        "digest": None if one.started is None else one.started.digest,
        "started_at": None if one.started is None else one.started.started_at.isoformat(),
        "stopped_at": None if one.stopped is None else one.stopped.stopped_at.isoformat(),
        "reason": None if one.stopped is None else one.stopped.reason,
        "days_left": one.days_left,
        "shoppers": one.shoppers,
        "planned": None if plan is None else plan.shoppers,
        "verdict": one.verdict or None,
        "health": one.health,
        "met": dict(one.met),
    }
