"""What commands of one shop share: its folder, and the ranker it uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from persona_img import loop, wiring
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.ranking.base import Ranker
from persona_img.settings import Settings
from persona_img.workspace import Workspace

Home = Annotated[
    Path | None, typer.Option(help="The shop's folder (PERSONA_IMG_HOME, else ./shop).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add(app: typer.Typer, command: Callable[..., None], example: str, name: str = "") -> None:
    """Add a command with an example under its help."""
    app.command(name or None, epilog=f"Example: `{example}`")(command)


def open_home(home: Path | None) -> tuple[Settings, Workspace]:
    """Settings and folder of a shop."""
    settings = Settings.load(home=home)
    return settings, Workspace.open(settings.home)


def champion_of(
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
