"""What is said of anybody's table: by which interval, and when nothing is said."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt

from persona_img.abtest.metrics import Metric, parse_roles, parse_shares
from persona_img.abtest.table_analysis import analyze_table
from persona_img.abtest.table_report import SCHEMA, TableReport
from persona_img.errors import InvalidInput, NotEnoughData, NotFound

ROLES = {"arm": "variant", "unit": "user", "time": "at"}
CTR = Metric("ctr", "clicks", "impressions")
REVENUE = Metric("revenue", "revenue")
DAY = pd.Timedelta(days=1)


def shown(units: int = 3_000, lift: float = 0.0, seed: int = 3) -> pd.DataFrame:
    """A row per impression over thirty days, in the order of time."""
    rng = np.random.default_rng(seed)
    arm = np.where(rng.random(units) < 0.5, "control", "b")
    seen = 1 + rng.poisson(rng.gamma(1, 5, units))
    taste = rng.beta(1, 12, units) * np.where(arm == "b", 1 + lift, 1.0)
    who = np.repeat(np.arange(units), seen)
    clicks = rng.random(len(who)) < np.minimum(taste[who], 1)
    days = np.sort(rng.random(len(who)) * 30)
    table = pd.DataFrame(
        {
            "user": who, "variant": arm[who], "clicks": clicks, "impressions": 1,
            "revenue": clicks * rng.lognormal(2, 0.5, len(who)),
            "place": np.array(["home", "list", "cart"])[who % 3],
        }
    )  # fmt: skip
    table = table.sample(frac=1, random_state=seed, ignore_index=True)
    table["at"] = pd.Timestamp("2026-03-01", tz="UTC") + days * DAY
    return table


def analysed(table: pd.DataFrame, folder: Path, **how: object) -> TableReport:
    path = folder / "shown.parquet"
    table.to_parquet(path)
    chosen: dict[str, object] = {"roles": ROLES, "metrics": [CTR], **how}
    return analyze_table(path, **chosen)  # type: ignore[arg-type]


def test_the_same_as_tea_tasting_says(tmp_path: Path) -> None:
    table = shown(lift=0.3)
    found = analysed(table, tmp_path, metrics=[CTR, REVENUE], cap=1.0)
    users = table.groupby(["user", "variant"], as_index=False)[
        ["clicks", "impressions", "revenue"]
    ].sum()
    users["variant"] = users["variant"].ne("control").astype(int)
    test = tt.Experiment(
        ctr=tt.RatioOfMeans("clicks", "impressions"), revenue=tt.Mean("revenue")
    ).analyze(users)
    for one, name in zip(found.comparisons, ("ctr", "revenue"), strict=True):
        assert one.control == pytest.approx(test[name].control, rel=1e-9)
        assert one.lift == pytest.approx(test[name].rel_effect_size, rel=1e-9)
        assert one.p_at_one_look == pytest.approx(test[name].pvalue, rel=1e-9)


def test_verdicts_are_of_the_interval_that_holds_at_every_look(tmp_path: Path) -> None:
    (sure,) = analysed(shown(lift=0.6), tmp_path, plan=3_000).comparisons
    assert (sure.verdict, sure.low > 0) == ("better", True)
    (even,) = analysed(shown(), tmp_path, plan=9_000).comparisons
    assert even.verdict == "too early"
    # After the plan too, where the usual interval would be narrower.
    report = analysed(shown(lift=0.2, seed=16), tmp_path, plan=2_000)
    (after,) = report.comparisons
    assert after.p_at_one_look < 0.05 < after.p
    assert (after.verdict, report.read) == ("no difference shown", "any look")


def test_one_planned_look_is_frozen(tmp_path: Path) -> None:
    table = shown(lift=0.4)
    early = analysed(table[table["at"] < table["at"].iloc[1_500]], tmp_path, plan=2_000, once=True)
    assert early.comparisons[0].verdict == "too early"
    frozen = [
        analysed(table[table["at"] <= end], tmp_path, plan=2_000, once=True)
        for end in table["at"].iloc[[-8_000, -4_000, -1]]
    ]
    assert frozen[0].read_until != ""
    assert frozen[0] == frozen[1] == frozen[2]
    assert sum(frozen[0].units.values()) == 2_000
    assert frozen[0].comparisons[0].p == frozen[0].comparisons[0].p_at_one_look


@pytest.mark.parametrize("bot", ["b", "control"])
def test_one_bot_changes_no_verdict(tmp_path: Path, bot: str) -> None:
    table = shown()
    clicks = pd.DataFrame(
        {
            "user": -1, "variant": bot, "clicks": True, "impressions": 1, "revenue": 0.0,
            "place": "home", "at": table["at"].iloc[0],
        },
        index=range(30_000),
    )  # fmt: skip
    plain = analysed(table, tmp_path)
    found = analysed(pd.concat([table, clicks]), tmp_path)
    assert found.comparisons[0].verdict == plain.comparisons[0].verdict
    assert found.comparisons[0].lift == pytest.approx(plain.comparisons[0].lift, abs=1e-3)
    assert found.health.bots == 1
    assert any("no shopper does that" in one for one in found.warnings)


def test_a_broken_split_gives_no_verdict(tmp_path: Path) -> None:
    table = shown(lift=0.6)
    lost = table[(table["variant"] == "b") | (table["user"] % 4 > 0)]
    found = analysed(lost, tmp_path)
    assert not found.health.ok
    assert {c.verdict for c in found.comparisons} == {"do not read"}
    assert "units are missing from an arm" in found.comparisons[0].reason


def test_units_in_several_arms_are_left_out_and_many_of_them_end_it(tmp_path: Path) -> None:
    table = shown()
    table.loc[table.index[table["user"] == 1][0], "variant"] = "b"
    table.loc[table.index[table["user"] == 1][1:], "variant"] = "control"
    assert analysed(table, tmp_path).health.crossed == 1
    swapped = table["user"] % 20 == 1
    table.loc[swapped, "variant"] = np.where(np.arange(swapped.sum()) % 2, "b", "control")
    found = analysed(table, tmp_path)
    assert "several arms" in found.health.reason
    assert found.comparisons[0].verdict == "do not read"


def test_too_few_clicks_are_refused_with_a_reason(tmp_path: Path) -> None:
    table = shown()
    table["clicks"] &= table["user"] % 40 == 0
    (one,) = analysed(table, tmp_path).comparisons
    assert one.verdict == "undefined"
    assert math.isnan(one.low)
    assert "below 30 no interval" in one.reason


def test_segments_share_what_may_go_wrong(tmp_path: Path) -> None:
    found = analysed(shown(6_000, lift=0.6), tmp_path, roles={**ROLES, "segment": "place"})
    assert sorted(c.segment or "" for c in found.by_segment) == ["cart", "home", "list"]
    (whole,) = found.comparisons
    for one in found.by_segment:
        assert one.low < whole.low
        assert (one.verdict == "better") == (one.low > 0)
    assert {c.verdict for c in found.by_segment} == {"better"}


def test_policy_versions_are_tests_of_their_own(tmp_path: Path) -> None:
    table = shown(lift=0.6)
    half = table["at"] < table["at"].iloc[len(table) // 2]
    table["version"] = np.where(half, "v1", "v2")
    roles = {**ROLES, "policy": "version"}
    newest = analysed(table, tmp_path, roles=roles)
    assert (newest.policy, newest.other_policies) == ("v2", ("v1",))
    assert newest.comparisons == analysed(table[~half], tmp_path).comparisons
    assert analysed(table, tmp_path, roles=roles, policy="all").policy == "all"
    del roles["time"]
    with pytest.raises(InvalidInput, match="no time says which is newest"):
        analysed(table, tmp_path, roles=roles)
    with pytest.raises(InvalidInput, match="policy 'v3': there are v1, v2"):
        analysed(table, tmp_path, roles=roles, policy="v3")


def test_totals_of_arms_will_do(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"variant": ["control", "b"], "clicks": [500, 640], "impressions": [10_000, 10_020]}
    )
    found = analysed(table, tmp_path, roles={"arm": "variant"}, counts=True)
    assert found.units == {"control": 10_000, "b": 10_020}
    assert found.comparisons[0].verdict == "better"
    assert any("a unit of its own" in one for one in found.warnings)


def test_the_split_of_totals_is_of_units_and_not_of_trials(tmp_path: Path) -> None:
    """One arm's shoppers come back more often; as many were dealt to it."""
    table = pd.DataFrame(
        {
            "variant": ["control", "b"] * 2, "clicks": [250, 340] * 2,
            "impressions": [5_000, 6_400] * 2, "users": [1_000, 1_010] * 2,
        }
    )  # fmt: skip
    unknown = analysed(table, tmp_path, roles={"arm": "variant"}, counts=True)
    assert unknown.health.ok
    assert math.isnan(unknown.health.split_p)
    assert any("split is not checked" in one for one in unknown.warnings)
    assert "split: not checked" in str(unknown)
    roles = {"arm": "variant", "unit": "users"}
    known = analysed(table, tmp_path, roles=roles, counts=True)
    assert known.health.split_p == pytest.approx(0.75, abs=0.01)
    assert not any("split is not checked" in one for one in known.warnings)
    lost = analysed(table.assign(users=[1_000, 700] * 2), tmp_path, roles=roles, counts=True)
    assert {one.verdict for one in lost.comparisons} == {"do not read"}


def test_rows_are_no_totals(tmp_path: Path) -> None:
    for table, roles in (
        (shown(50), {"arm": "variant"}),
        (shown(4_000).groupby(["user", "variant"], as_index=False)[
            ["clicks", "impressions"]].sum(), {"arm": "variant"}),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="these are no totals; leave out --counts"):
            analysed(table, tmp_path, roles=roles, counts=True)
    totals = pd.DataFrame({"variant": ["control", "b"], "clicks": [5, 6], "impressions": [90, 90]})
    for how in ({"cap": 0.9}, {"roles": {"arm": "variant", "segment": "variant"}}):
        with pytest.raises(InvalidInput, match="need a row per unit"):
            analysed(totals, tmp_path, **{"roles": {"arm": "variant"}, "counts": True, **how})


def test_what_explains_everything_leaves_nothing_to_compare(tmp_path: Path) -> None:
    table = shown(600)
    sums = table.groupby("user")["clicks"].transform("sum")
    roles = {**ROLES, "before": "known"}
    clicks = Metric("clicks", "clicks")
    (one,) = analysed(
        table.assign(known=sums * 3.0 + 2), tmp_path, roles=roles, metrics=[clicks], cap=1.0
    ).comparisons
    assert one.verdict == "undefined"
    assert "explains every unit's outcome" in one.reason
    # Neither does what says nothing stand in the way.
    for known in (7.0, sums + np.where(table["user"] % 2, 1.0, 0.0)):
        (one,) = analysed(
            table.assign(known=known), tmp_path, roles=roles, metrics=[clicks], cap=1.0
        ).comparisons
        assert one.low < one.lift < one.high


def test_where_everybody_is_left_out_that_is_said(tmp_path: Path) -> None:
    table = shown(100)
    both = pd.concat([table.assign(variant="control"), table.assign(variant="b")])
    with pytest.raises(NotEnoughData, match="nobody is left to compare: 100 units"):
        analysed(both, tmp_path)


def test_the_cap_is_told_by_metric(tmp_path: Path) -> None:
    found = analysed(shown(), tmp_path, metrics=[CTR, REVENUE])
    ratio, mean = found.caps["ctr"], found.caps["revenue"]
    assert (ratio.column, ratio.quantile, mean.column, mean.quantile) == (
        "impressions", 0.99, "revenue", 0.999,
    )  # fmt: skip
    assert 0 < mean.units < ratio.units
    assert f"cap: ctr: at most {ratio.most:g} impressions of a unit" in str(found)
    assert analysed(shown(), tmp_path, cap=1.0).caps["ctr"].units == 0


def test_each_version_has_a_chance_of_error_of_its_own(tmp_path: Path) -> None:
    table = shown()
    table["version"] = "v" + (table["user"] % 3).astype(str)
    found = analysed(table, tmp_path, roles={**ROLES, "policy": "version"})
    assert any("5% each, and of any of 3 up to 14%" in one for one in found.warnings)


@pytest.mark.parametrize(
    ("change", "how", "said"),
    [
        ({}, {"roles": {"arm": "group", "unit": "user"}}, "no column 'group'; there are user"),
        ({}, {"roles": {"arm": "variant"}}, "without unit"),
        ({"variant": "control"}, {}, "one arm"),
        ({"variant": "a"}, {}, "no arm 'control'; there are a"),
        ({"clicks": math.nan}, {}, "clicks is not finite|clicks is missing"),
        ({"impressions": -1}, {}, "impressions is below 0"),
        ({"user": None}, {}, "user is missing"),
        ({"clicks": "many"}, {}, "holds what is no number.*'many'"),
        ({"clicks": pd.Timestamp("2026-03-01")}, {}, "clicks is TIMESTAMP.*and no number"),
        ({"v": [[1.0]] * 200}, {"metrics": [Metric("v", "v")]}, "v is DOUBLE.*and no number"),
        ({}, {"once": True}, "give --plan and --map time"),
        ({}, {"metrics": []}, "no metric"),
        ({}, {"metrics": [CTR, CTR]}, "a name of its own"),
        ({}, {"shares": {"control": 1.0, "c": 1.0}}, "arm 'b' has no weight"),
        ({}, {"cap": 0.0}, "cap 0.0"),
        ({"at": "5 weeks"}, {}, "none of time"),
        ({"v": None}, {"roles": ROLES | {"policy": "v"}}, "v is missing in"),
        ({}, {"policy": "v1"}, "say which column"),
        ({}, {"counts": True, "metrics": [REVENUE]}, "give ratios"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, change: dict[str, object], how: dict[str, object], said: str
) -> None:
    table = shown(200).head(200).assign(**change)
    with pytest.raises(InvalidInput, match=said):
        analysed(table, tmp_path, **how)


def test_few_who_buy_are_no_bots_and_are_not_capped_away(tmp_path: Path) -> None:
    """Hardly anybody buys, and who does buys for more than a bot clicks: that is the outcome."""
    users = np.arange(20_000)
    arm = np.where(users % 2, "b", "control")
    buys = users % 200 < 2
    spent = np.where(buys, np.where(arm == "b", 40.0, 120.0), 0.0)
    table = pd.DataFrame({"user": users, "variant": arm, "spent": spent, "visits": 1})
    metrics = [Metric("a visit", "spent", "visits"), Metric("a user", "spent")]
    found = analysed(table, tmp_path, roles={"arm": "variant", "unit": "user"}, metrics=metrics)
    for one in found.comparisons:
        assert one.lift == pytest.approx(40 / 120 - 1), one.metric
        assert one.verdict != "better"


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    table = shown().assign(rows=2, before=1.0)
    plain, named = (
        analysed(table, tmp_path, metrics=[Metric("ctr", "clicks", by)]).comparisons[0]
        for by in ("impressions", "rows")
    )
    assert named.control == pytest.approx(plain.control / 2)


def test_no_table_and_no_row(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such table"):
        analyze_table(tmp_path / "none.parquet", ROLES, [CTR])
    with pytest.raises(InvalidInput, match=r"ending in \.parquet"):
        analyze_table(tmp_path / "none.xlsx", ROLES, [CTR])
    with pytest.raises(NotEnoughData):
        analysed(shown(200).iloc[:0], tmp_path)
    analysed(shown(200), tmp_path)
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "cut.jsonl").write_text('{"user": 1, "variant"')
    (tmp_path / "bad.parquet").write_text("no table")
    whole = (tmp_path / "shown.parquet").read_bytes()
    end = len(whole) * 4 // 5  # behind it is the list of columns
    damaged = whole[:4] + bytes(end - 4) + whole[end:]
    (tmp_path / "damaged.parquet").write_bytes(damaged)
    for name in ("folder.parquet", "empty.csv", "cut.jsonl", "bad.parquet", "damaged.parquet"):
        with pytest.raises(InvalidInput) as refused:
            analyze_table(tmp_path / name, ROLES, [CTR])
        assert name in str(refused.value)
        assert "\n" not in str(refused.value)


def test_json_is_plain_and_has_a_schema(tmp_path: Path) -> None:
    found = analysed(shown(300), tmp_path)
    said = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert said["schema"] == SCHEMA
    assert said["comparisons"][0]["metric"] == "ctr"


def test_metrics_roles_and_weights_are_parsed() -> None:
    assert Metric.parse("ctr=clicks/impressions") == CTR
    assert Metric.parse("revenue") == REVENUE
    assert parse_roles("arm=variant, unit=user") == {"arm": "variant", "unit": "user"}
    assert parse_shares("control=1,b=3") == {"control": 0.25, "b": 0.75}
    for bad in ("", "=x", "a=b/", "a/b/c"):
        with pytest.raises(InvalidInput, match="metric"):
            Metric.parse(bad)
    for bad in ("", "arm", "who=x", "arm=a,arm=b"):
        with pytest.raises(InvalidInput, match="--map"):
            parse_roles(bad)
    for bad in ("", "a=x", "a=0", "a=1,a=2", "a=inf", "a=1e308,b=1e308", "a=1e-9", "a=nan"):
        with pytest.raises(InvalidInput, match="weights"):
            parse_shares(bad)
