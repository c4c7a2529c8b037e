"""How many shoppers an A/B test needs: told, or written as its record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_img.cli.home import Home, Json
from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from persona_img.abtest.design import Baseline, Plan
    from persona_img.abtest.record import Record

_RATE_OF = "impressions"


def plan(
    name: Annotated[
        str | None,
        typer.Argument(help="The test whose record is written; left out, only numbers are told."),
    ] = None,
    hypothesis: Annotated[
        str | None, typer.Option(help="With a name: what is expected, and why.")
    ] = None,
    lift: Annotated[
        float | None,
        typer.Option(help="Smallest relative lift that matters: 0.05 is +5 %."),
    ] = None,
    shoppers: Annotated[
        int | None,
        typer.Option(
            help="Instead: shoppers there will be; says what they find.", min=1, max=10**12
        ),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(help="Instead, with a name: days there are.", min=1, max=3650),
    ] = None,
    baseline: Annotated[
        float | None,
        typer.Option(help="The metric now; as measured in this shop if left out."),
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
    variance: Annotated[
        float | None,
        typer.Option(
            help="With --baseline of any metric: one shopper's share in its variance, as "
            "0.25; instead of --impressions.",
            min=1e-12,
            max=1e12,
        ),
    ] = None,
    power: Annotated[float, typer.Option(help="Chance to find the lift.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="Chance of a false alarm, two-sided.")] = 0.05,
    share: Annotated[
        float | None, typer.Option(help="Share of the personalized arm; the settings' if left out.")
    ] = None,
    shoppers_per_day: Annotated[
        float | None,
        typer.Option(
            help="New shoppers in a day; as they came in this shop if left out.",
            min=0.01,
            max=1e10,
        ),
    ] = None,
    primary: Annotated[
        str | None,
        typer.Option(
            help="With a name: the metric that decides, of impressions, clicks and conversions a "
            "shopper: 'CTR=clicks/impressions' if left out."
        ),
    ] = None,
    guardrail: Annotated[
        list[str] | None,
        typer.Option(help="With a name: a metric that must not be lost; again for more."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="With a name: relative loss that guardrails tolerate.", min=0.001, max=0.999
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            help="With a name: days after which it ends; whole weeks if left out.", min=1, max=3650
        ),
    ] = None,
    any_look: Annotated[
        bool | None,
        typer.Option(
            "--any-look/--one-look",
            help="How its verdict is found: by the interval that holds however often one looks, or "
            "by one look at the plan; the settings' if left out.",
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(help="With a name: the test whose log is measured; the shop's if left out."),
    ] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """How many shoppers a test needs, or what the shoppers there will be can find.

    With a name that is written as the test's record, with how many days it takes; what is not
    given is measured in the shop's own log. Edit the record until the test starts.
    """
    from persona_img.abtest.design import Baseline
    from persona_img.abtest.metrics import Metric

    before = None
    by = Metric.parse(primary).by if primary is not None else _RATE_OF
    told = impressions != 1.0 or design_effect != 1.0
    if variance is not None and (baseline is None or told):
        raise InvalidInput(
            "--variance is of --baseline, in place of --impressions; give that alone"
        )
    if baseline is not None and variance is not None:
        before = Baseline(baseline, variance, rate=by is not None and baseline < 1)
    elif baseline is not None:
        if by != _RATE_OF:
            raise InvalidInput(
                f"--baseline {baseline}: {primary} is no rate of impressions, and how it varies "
                "does not follow from it; give --variance, or leave --baseline out to measure both"
            )
        before = Baseline.assumed(baseline, impressions, design_effect)
    elif told:
        raise InvalidInput("--impressions and --design-effect are of --baseline; give that too")
    of_record = {
        "--hypothesis": hypothesis, "--days": days, "--primary": primary, "--guardrail": guardrail,
        "--margin": margin, "--horizon": horizon, "--history": history,
    }  # fmt: skip
    if name is None:
        given = [option for option, value in of_record.items() if value is not None]
        if given:
            raise InvalidInput(f"{', '.join(given)}: of a test's record; name the test")
        _numbers(
            before, lift=lift, shoppers=shoppers, power=power, alpha=alpha, share=share,
            shoppers_per_day=shoppers_per_day, any_look=any_look, as_json=as_json, home=home,
        )  # fmt: skip
        return
    if hypothesis is None:
        raise InvalidInput(f"test {name}: --hypothesis is missing; say what is expected, and why")
    from persona_img.shop import Shop

    shop = Shop.open(home)
    looks = {True: "any look", False: "one look"}
    record = shop.plan_test(
        name, hypothesis, lift=lift, shoppers=shoppers, days=days, baseline=before,
        shoppers_per_day=shoppers_per_day, power=power, horizon_days=horizon, history=history,
        confidence=1 - alpha, primary=primary, guardrail_margin=margin,
        arms=None if share is None else {"control": 1 - share, "personalized": share},
        guardrails=None if guardrail is None else tuple(guardrail),
        verdict=None if any_look is None else looks[any_look],
    )  # fmt: skip
    path = shop.records.path(name)
    if as_json:
        print(json.dumps(record.model_dump(mode="json") | {"file": str(path)}))
        return
    print("\n".join(_size(record)))
    print(f"written to {path}; then: persona-img test start {name}")


def _size(record: Record) -> list[str]:
    size = record.plan
    assert size is not None
    arms = ", ".join(f"{arm} {size.shoppers * part:,.0f}" for arm, part in record.arms.items())
    name = record.primary.partition("=")[0]
    return [
        f"{name} now {size.baseline:.4g} ({size.basis})",
        f"{size.shoppers:,} shoppers ({arms}), {size.days:,} days, to find "
        f"{record.minimal_effect:+.2%} with {size.power:.0%}; the smallest effect they find is "
        f"{size.smallest_effect:+.2%}",
        f"verdict by {record.verdict}, at a chance of {1 - record.confidence:.0%} of a false "
        f"alarm; ends after {record.horizon_days} days at the latest",
    ]


def _numbers(
    before: Baseline | None,
    *,
    lift: float | None,
    shoppers: int | None,
    power: float,
    alpha: float,
    share: float | None,
    shoppers_per_day: float | None,
    any_look: bool | None,
    as_json: bool,
    home: Any,
) -> None:
    """Tell a plan without writing anything."""
    from persona_img.abtest.design import plan_test
    from persona_img.domain.decision import Arms
    from persona_img.settings import Settings

    settings = Settings.load(home=home).test
    share = settings.personalized_share if share is None else share
    arms = {"control": 1 - share, "personalized": share}
    Arms("plan", arms)  # a share that cannot be is refused before anything is read
    if before is None:
        from persona_img.shop import Shop

        before = Shop.open(home).baseline()
    known = before
    watched = settings.always_valid if any_look is None else any_look

    def planned(lift: float | None, shoppers: int | None, any_look: bool = watched) -> Plan:
        return plan_test(
            known,
            lift=lift,
            shoppers=shoppers,
            arms=arms,
            power=power,
            alpha=alpha,
            shoppers_per_day=shoppers_per_day,
            any_look=any_look,
        )

    asked = planned(lift, shoppers)
    if as_json:
        print(json.dumps(_plain(asked) | {"any_look": watched}))
        return
    near = (asked.lift / 2, asked.lift * 2)
    others = [other for other in near if other > -1 and before.ctr * (1 + other) < 1]
    rows = sorted([asked, *(planned(other, None) for other in others)], key=lambda p: abs(p.lift))
    print("\n".join(_lines(before, rows, asked)))
    other = planned(asked.lift, None, not watched)
    looks = {True: "by the interval that holds at any look", False: "by one look, at the plan"}
    print(
        f"verdicts {looks[watched]}; {looks[not watched]} it would be {other.shoppers:,} shoppers"
    )
    print(f"then: persona-img test plan NAME …, or persona-img analyze --planned {asked.shoppers}")


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
    ]
