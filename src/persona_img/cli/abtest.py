"""Commands around an A/B test: how many shoppers it needs, and what others would have earned."""

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
    from persona_img.abtest.design import Baseline, Plan


def register(app: typer.Typer) -> None:
    """Add the commands."""
    test = typer.Typer(help="A/B tests before they start.", no_args_is_help=True)
    add(test, plan, "persona-img test plan --baseline 0.05 --lift 0.10", name="plan")
    app.add_typer(test, name="test")
    add(
        app,
        evaluate,
        "persona-img evaluate --ranker champion --policy epsilon-greedy`, or of anybody's log "
        "`persona-img evaluate log.parquet --policy uniform "
        "--map shopper=user,action=style,reward=click,propensity=p",
    )


def plan(
    lift: Annotated[
        float | None, typer.Option(help="Relative lift of CTR to be found: 0.05 is +5 %.")
    ] = None,
    shoppers: Annotated[
        int | None, typer.Option(help="Instead: shoppers there will be; says what they find.")
    ] = None,
    baseline: Annotated[
        float | None,
        typer.Option(help="Clicks per impression now; as measured in this shop if left out."),
    ] = None,
    impressions: Annotated[
        float, typer.Option(help="With --baseline: impressions of a shopper, on average.")
    ] = 1.0,
    design_effect: Annotated[
        float,
        typer.Option(
            help="With --baseline: how much more CTR varies because a shopper's impressions are "
            "alike; 1.5 to 3 is usual where there are several."
        ),
    ] = 1.0,
    power: Annotated[float, typer.Option(help="Chance to find the lift.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Chance of a false alarm, two-sided.")] = 0.05,
    share: Annotated[
        float | None, typer.Option(help="Share of the personalized arm; the settings' if left out.")
    ] = None,
    shoppers_per_day: Annotated[
        float | None, typer.Option(help="New shoppers in a day: also say how many days it takes.")
    ] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """How many shoppers a test needs, or what the shoppers there will be can find."""
    from persona_img.abtest.design import Baseline, plan_test
    from persona_img.domain.decision import Arms
    from persona_img.settings import Settings

    share = Settings.load(home=home).test.personalized_share if share is None else share
    arms = {"control": 1 - share, "personalized": share}
    Arms("plan", arms)  # a share that cannot be is refused before anything is read
    if baseline is None:
        from persona_img.shop import Shop

        before = Shop.open(home).baseline()
    else:
        before = Baseline.assumed(baseline, impressions, design_effect)

    def planned(lift: float | None, shoppers: int | None) -> Plan:
        return plan_test(
            before,
            lift=lift,
            shoppers=shoppers,
            arms=arms,
            power=power,
            alpha=alpha,
            shoppers_per_day=shoppers_per_day,
        )

    asked = planned(lift, shoppers)
    if as_json:
        print(json.dumps(_plain(asked)))
        return
    near = (asked.lift / 2, asked.lift * 2)
    others = [other for other in near if other > -1 and before.ctr * (1 + other) < 1]
    rows = sorted([asked, *(planned(other, None) for other in others)], key=lambda p: abs(p.lift))
    print("\n".join(_lines(before, rows, asked)))


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


def _plain(plan: Plan) -> dict[str, object]:
    return {
        "lift": plan.lift,
        "baseline": plan.baseline.ctr,
        "variance": plan.baseline.variance,
        "power": plan.power,
        "alpha": plan.alpha,
        "shoppers": plan.shoppers,
        "by_arm": dict(plan.by_arm),
        "days": plan.days,
    }


def _lines(before: Baseline, rows: list[Plan], asked: Plan) -> list[str]:
    head = ["lift", "CTR", "shoppers", *asked.by_arm, *(["days"] if asked.days else []), ""]
    cells = [
        [
            f"{row.lift:+.2%}",
            f"{before.ctr * (1 + row.lift):.3%}",
            f"{row.shoppers:,}",
            *(f"{number:,}" for number in row.by_arm.values()),
            *([f"{row.days:,}"] if row.days else []),
            "<- asked" if row is asked else "",
        ]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    return [
        f"CTR now {before.ctr:.3%}; power {asked.power:.0%}, alpha {asked.alpha:g}, two-sided; "
        "exposed shoppers, each counted once",
        *(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [head, *cells]
        ),
        f"then: persona-img analyze --planned {asked.shoppers}",
    ]
