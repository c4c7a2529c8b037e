"""Anybody's table on the command line: the answer as text or JSON, errors too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from persona_img.errors import InvalidInput, PersonaImgError

if TYPE_CHECKING:
    from collections.abc import Sequence


def analyze_file(
    table: str | None,
    mapped: str,
    metrics: Sequence[str],
    *,
    control: str,
    weights: str | None,
    plan: int | None,
    once: bool,
    policy: str | None,
    confidence: float,
    cap: float | None,
    counts: bool,
    as_json: bool,
) -> None:
    """Print what a table says of an A/B test.

    Raises:
        Exit: with status 2 after an error, which is JSON where JSON was asked for.
    """
    from persona_img.abtest.metrics import Metric, parse_roles, parse_shares
    from persona_img.abtest.table_analysis import analyze_table
    from persona_img.abtest.table_report import SCHEMA

    try:
        if table is None:
            raise InvalidInput("--map and --metric are of a table; name its file")
        found = analyze_table(
            Path(table),
            parse_roles(mapped),
            [Metric.parse(one) for one in metrics],
            control=control,
            shares=None if weights is None else parse_shares(weights),
            plan=plan,
            once=once,
            policy=policy,
            confidence=confidence,
            cap=cap,
            counts=counts,
        )
    except PersonaImgError as error:
        if not as_json:
            raise
        said = {"kind": type(error).__name__, "message": str(error)}
        print(json.dumps({"schema": SCHEMA, "error": said}))
        raise typer.Exit(2) from None
    print(json.dumps(found.to_dict(), allow_nan=False) if as_json else found)
