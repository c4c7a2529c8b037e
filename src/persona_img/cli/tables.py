"""Anybody's table on the command line: the answer as text or JSON, errors too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from persona_img.errors import InvalidInput, PersonaImgError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def analyze_file(
    table: str | None,
    mapped: str | None,
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
    of_a_shop: Mapping[str, bool],
    as_json: bool,
) -> None:
    """Print what a table says of an A/B test.

    Args are those of the command; ``of_a_shop`` says of each option of a shop's test, which means
    nothing for a table, whether it was given.

    Raises:
        Exit: with status 2 after an error, which is JSON where JSON was asked for.
    """
    from persona_img.abtest.metrics import Metric, parse_roles, parse_shares
    from persona_img.abtest.table_analysis import analyze_table
    from persona_img.abtest.table_report import SCHEMA

    try:
        if table is None:
            raise InvalidInput("--map and --metric are of a table; name its file")
        if mapped is None:
            raise InvalidInput(
                "--metric is of a table; say which column is what, --map arm=…,unit=…"
            )
        given = [option for option, is_given in of_a_shop.items() if is_given]
        if given:
            raise InvalidInput(
                f"{', '.join(given)}: of a shop's test, and this is a table; leave it out "
                "(segments are --map segment=…)"
            )
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
