"""The demo command and the table at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img.cli.home import add
from persona_img.cli.marks import told, verdict

if TYPE_CHECKING:
    from rich.console import Console

    from persona_img.demo import DemoResult


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, demo, "persona-img demo --quick")


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer products, shoppers and steps.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", min=0)] = None,
    home: Annotated[Path, typer.Option(help="Folder that everything is written to.")] = Path(
        "demo"
    ),
) -> None:
    """The whole loop on real photos and SIMULATED shoppers."""
    from rich.console import Console

    from persona_img.demo import FULL, QUICK, Demo

    console = Console()
    result = Demo.begin(QUICK if quick else FULL, console, home=home, seed=seed).run()
    show_result(result, home, console)


def show_result(result: DemoResult, home: Path, console: Console) -> None:
    """The table at the end, and what to open next."""
    from rich.table import Table

    from persona_img.reports.rounds import lift_over_first

    table = Table(
        title="SIMULATED shoppers, real photos", title_justify="left", box=None, pad_edge=False
    )
    for column in ("round", "arm", "shoppers", "CTR", "lift", "interval", "true lift"):
        table.add_column(column, justify="left" if column == "arm" else "right", no_wrap=True)
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
                f"{lift.low:+.1%} to {lift.high:+.1%}" if lift else "",
                f"{one.truth[arm.arm] / one.truth['control'] - 1:+.1%}" if lift else "",
            )
    console.print()
    console.print(table)
    console.print(f"lift of round 2 over round 1: {lift_over_first(result.rounds):+.1%}")
    console.print(
        f"{result.shown} variants verified, {len(result.refused)} kept back by the gate\n"
    )
    for what, where in (
        ("report", result.report),
        ("likes learned", result.sheet),
        ("served", result.sheet.with_name("sheet-round-2.jpg")),
        ("variants", home / "variants"),
        ("event log", home / "events.sqlite"),
        ("MLflow", home / "mlflow"),
    ):
        console.print(f"  {what:14}{where}", highlight=False)
    if result.signed is not None:
        picture, found = result.signed
        console.print(f"\npersona-img provenance verify {picture}", highlight=False, soft_wrap=True)
        for line in (*told(found), *verdict(found)):
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    console.print("\nNext: open the report, then")
    for command in ("serve", "analyze", "tracking-ui"):
        console.print(f"  persona-img {command} --home {home}", highlight=False, soft_wrap=True)
