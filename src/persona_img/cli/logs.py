"""Commands on anybody's log: what a policy would have earned there, and one learned from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_img.cli.command import MOST
from persona_img.cli.home import Json, add
from persona_img.errors import InvalidInput
from persona_img.workspace import writable_file

if TYPE_CHECKING:
    from persona_img.offpolicy.log import BanditLog
    from persona_img.offpolicy.logged import Floats
    from persona_img.offpolicy.policies import Origin, PolicyTable

Log = Annotated[Path, typer.Argument(help="The log: Parquet, CSV or JSON Lines.")]
Context = Annotated[
    str, typer.Option(help="Columns that a policy may look at, as device,category,…")
]
Propensity = Annotated[
    str | None, typer.Option(help="Column of the chance with which the action was chosen.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(
        app,
        fit,
        "persona-img fit log.parquet --context device,category --action style --reward click "
        "--unit shopper --policy-out policy.parquet",
    )


def fit(
    log: Log,
    action: Annotated[str, typer.Option(help="Column of what was shown.")],
    reward: Annotated[str, typer.Option(help="Column of 0 and 1: whether it was clicked, sold.")],
    context: Context = "",
    unit: Annotated[
        str | None, typer.Option(help="Column of the shopper; left out, each row is its own.")
    ] = None,
    slate: Annotated[
        str | None, typer.Option(help="Column of what could be shown, as a|b|c; else anything.")
    ] = None,
    propensity: Propensity = None,
    held_out: Annotated[
        int, typer.Option(min=2, max=100, help="One shopper in so many is held out.")
    ] = 4,
    floor: Annotated[
        float | None,
        typer.Option(
            min=1e-6, max=0.5, help="Least chance of an action; left out, min(.02, .1 / actions)."
        ),
    ] = None,
    policy_out: Annotated[
        Path, typer.Option(dir_okay=False, help="The probabilities, a Parquet file.")
    ] = Path("policy.parquet"),
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="Of who is held out.")] = 7,
    as_json: Json = False,
) -> None:
    """Learn a policy from anybody's log: probabilities of actions by context, as Parquet.

    With --propensity it is judged at once, on the shoppers that are held out; `evaluate` finds the
    same ones again.
    """
    from persona_img.offpolicy.log import read_log
    from persona_img.offpolicy.policies import Origin
    from persona_img.ranking.contextual import learn

    writable_file(policy_out, (".parquet",))
    given = {
        "shopper": unit,
        "action": action,
        "reward": reward,
        "propensity": propensity,
        "slate": slate,
    }
    roles = {role: column for role, column in given.items() if column is not None}
    read = read_log(log, roles, _names(context))
    part = read.dealt(seed, held_out)
    origin = Origin(read.digest, read.order, read.unit, held_out, 0, seed)
    learned = learn(read.only(part != 0), floor=floor, origin=origin)
    learned.policy.save(policy_out)
    said = {
        "policy": str(policy_out),
        "impressions": learned.impressions,
        "contexts": len(learned.policy.table) // len(read.actions),
        "actions": len(read.actions),
        "spreads": learned.spreads,
    }
    if not as_json:
        print(
            f"{policy_out}: {said['contexts']:,} contexts, {said['actions']:,} actions, learned "
            f"from {learned.impressions:,} impressions"
        )
        for kind, spread in learned.spreads.items():
            print(f"  {kind:17} moves log-odds by {spread:.3f}")
    if propensity is None:
        if as_json:
            print(json.dumps(said))
        return
    chances = learned.policy.chances(read)
    judge(read, chances, str(policy_out), origin, seed=seed, as_json=as_json, beside=said)


def evaluate_log(
    log: Path,
    mapped: str,
    policy: str,
    *,
    context: str,
    home: Path | None,
    confidence: float,
    seed: int,
    anyway: bool,
    as_json: bool,
) -> None:
    """What ``policy`` would have earned on a log; printed."""
    from persona_img.offpolicy.log import ROLES, read_log
    from persona_img.offpolicy.policies import Origin, PolicyTable, uniform_chances

    roles = dict(_pairs(mapped))
    if len(roles) != len(mapped.split(",")) or not set(roles) <= set(ROLES):
        raise InvalidInput(
            f"--map {mapped}: one column each for some of {', '.join(ROLES)}, as in "
            "action=style,reward=click,propensity=p"
        )
    if policy == "uniform":
        read = read_log(log, roles, _names(context))
        judge(
            read, uniform_chances(read), policy, Origin(),
            seed=seed, confidence=confidence, anyway=anyway, as_json=as_json,
        )  # fmt: skip
        return
    if policy != "champion" and not Path(policy).exists():
        raise InvalidInput(f"policy {policy!r}: uniform, champion or a file of probabilities")
    table = _served(home) if policy == "champion" else PolicyTable.load(Path(policy))
    looks_at = [*table.context, *(n for n in _names(context) if n not in table.context)]
    read = read_log(log, roles, looks_at)
    judge(
        read, table.chances(read), policy, table.origin,
        seed=seed, confidence=confidence, anyway=anyway, as_json=as_json,
    )  # fmt: skip


def judge(
    log: BanditLog,
    chances: Floats,
    target: str,
    origin: Origin,
    *,
    seed: int,
    as_json: bool,
    confidence: float = 0.95,
    anyway: bool = False,
    beside: dict[str, object] | None = None,
) -> None:
    """Print the evaluation; of a log that a policy was fitted to, on what it did not see.

    Raises:
        Exit: with status 1, where the overlap is too thin to say anything.
    """
    from persona_img.offpolicy.evaluation import evaluate

    unseen = origin.unseen(log)
    if unseen is not None:
        log = unseen
        target += f", on the one shopper in {origin.parts} that it did not learn from,"
    found = evaluate(log, chances, target=target, seed=seed, confidence=confidence, anyway=anyway)
    if as_json:
        print(json.dumps({**(beside or {}), **found.to_dict()}, allow_nan=False))
    else:
        print(found.table())
    if found.refused:
        print(f"refused: {'; '.join(found.refused)}", file=sys.stderr)
        raise typer.Exit(1)


def _served(home: Path | None) -> PolicyTable:
    """What a shop serves, as a policy that looks at segment and product."""
    import pandas as pd

    from persona_img.offpolicy.policies import PolicyTable
    from persona_img.shop import Shop

    rows = [
        (segment, product, candidate.style.key, candidate.probability)
        for (segment, product), slate in Shop.open(home).table.slates.items()
        for candidate in slate.candidates
    ]
    names = ["segment", "product", "action", "probability"]
    return PolicyTable(("segment", "product"), pd.DataFrame(rows, columns=names))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = [pair.partition("=") for pair in text.split(",")]
    return [(role.strip(), column.strip()) for role, _, column in parts if column.strip()]
