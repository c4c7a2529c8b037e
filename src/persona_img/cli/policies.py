"""What others would have earned: policies weighed on what was logged."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from persona_img.cli.command import MOST
from persona_img.cli.home import Home, Json, add
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    pass


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(
        app,
        evaluate,
        "persona-img evaluate --ranker champion --policy epsilon-greedy`, or of anybody's log "
        "`persona-img evaluate log.parquet --policy uniform "
        "--map shopper=user,action=style,reward=click,propensity=p",
    )


def evaluate(
    log: Annotated[
        Path | None,
        typer.Argument(help="Anybody's log, Parquet, CSV or JSON Lines; None: this shop's own."),
    ] = None,
    mapped: Annotated[
        str | None,
        typer.Option("--map", help="With a log: shopper=…,action=…,reward=…,propensity=…,slate=…"),
    ] = None,
    context: Annotated[
        str, typer.Option(help="With a log: columns that rewards depend on, as device,category,…")
    ] = "",
    ranker: Annotated[
        str, typer.Option(help="champion, previous, cold, or a registered version's number.")
    ] = "champion",
    policy: Annotated[
        str | None,
        typer.Option(
            help="thompson, epsilon-greedy or uniform; the settings' if left out. With a log: "
            "uniform, champion (what this shop serves) or a file of probabilities."
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(help="Only impressions of this policy version; last: of the one served."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Only impressions from here on (UTC): give the time of training."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="With a log: of the intervals.")
    ] = 0.95,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST, help="With a log: of folds and resamples.")
    ] = 7,
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="With a log: estimate what is refused too, to study it."),
    ] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """What a policy would have earned: on this shop's log, or on anybody's.

    On the shop's own a registered ranker ranks; one that learned from these impressions looks
    better than it is, and `retrain` weighs a new one on shoppers it has not seen. On anybody's log
    a policy is probabilities by context. Where the log says too little of it nothing is estimated,
    the reason is told, and the exit status is 1.
    """
    if log is not None:
        from persona_img.cli.logs import evaluate_log

        evaluate_log(
            log, mapped or "", policy or "uniform",
            context=context, home=home, confidence=confidence, seed=seed, anyway=anyway,
            as_json=as_json,
        )  # fmt: skip
        return
    if mapped is not None or context:
        raise InvalidInput("--map and --context are of a log; name its file")
    from datetime import UTC

    from persona_img.shop import Shop

    roles: dict[str, Literal["champion", "previous", "cold"]] = {
        "champion": "champion",
        "previous": "previous",
        "cold": "cold",
    }
    if ranker not in roles and not ranker.isdecimal():
        raise InvalidInput(f"ranker {ranker!r}: {', '.join(roles)}, or a version's number")
    found = Shop.open(home).evaluate(
        ranker=roles[ranker] if ranker in roles else int(ranker),
        policy=policy,
        of=of,
        since=None if since is None else since.replace(tzinfo=UTC),
    )
    print(json.dumps(found.to_dict()) if as_json else found.table())
