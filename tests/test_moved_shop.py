"""A shop's folder is moved, copied and oddly named, with the stores that write addresses down."""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

import persona_img as pi
from examples import a_showing, happened
from persona_img import wiring
from persona_img.assets import ASSETS
from persona_img.demo.traffic import simulate_history, simulated_shoppers
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import Decision, DecisionTable
from persona_img.rendering.base import Variant
from persona_img.settings import Settings

pytestmark = pytest.mark.slow  # MLflow and Feast make their databases

START = datetime(2026, 3, 2, tzinfo=UTC)
NOON = START.timestamp()


def begun(home: Path, variant: Variant) -> pi.Shop:
    """A shop with Feast, MLflow, a variant, and what 200 shoppers did under one table."""
    shop = pi.Shop.begin(Settings(home=home, learn={"segments": 2, "least_shoppers": 20}))
    shipped = Catalog.load(ASSETS / "catalog" / "products.csv")
    shop.add_products([p for p in shipped if p.product in ("dress-03", "dress-04")])
    simulate_history(shop, simulated_shoppers(shop, 80), 30, START)
    shop.profile(START)
    shop.variants.put(variant, "shirt")
    shop.variants.ledger.withdraw([variant.digest], by="ann", reason="the rug hides the heel")
    shop.workspace.save_decision_table(DecisionTable("a/b?", {}, {}, "all"))
    arms = wiring.arms(shop.settings)
    with closing(wiring.event_log(shop.workspace)) as log:
        log.open_test(arms)
        for number in range(40):
            who = f"s{number}"
            arm = arms.assign(who)
            decision = Decision(
                arms.test, who, "shirt", "all", arm, "original", None, 1.0, "a/b?", NOON
            )
            log.record_events([happened(a_showing(decision), "impression", NOON)])
    return shop


def goes_on(shop: pi.Shop, variant: Variant, runs: int) -> None:
    """Everything that reads or writes an address works, and writes below the shop's folder."""
    report, run = shop.analyse(policy="last")
    assert sum(arm.impressions for arm in report.arms) == 40
    client = shop.tracker._client  # type: ignore[attr-defined]
    experiment = client.get_experiment_by_name(shop.settings.test.name)
    found = client.search_runs([experiment.experiment_id])
    assert len(found) == runs
    assert run in {one.info.run_id for one in found}
    here = (shop.settings.home.resolve() / "mlflow" / "artifacts").as_uri()
    for one in found:
        assert one.info.artifact_uri.startswith(here)
        assert [f.path for f in client.list_artifacts(one.info.run_id)] == ["report.json"]
    known = shop.features.online(["u0", *shop.profiled.segments], now=START)
    assert known["segment"].notna().sum() == len(shop.profiled.segments)
    assert shop.table.policy_version == "a/b?"
    assert not shop.variants.is_servable(variant.digest)
    assert shop.variants.path(variant.digest).read_bytes() == variant.png
    assert all(product.photo.is_relative_to(shop.settings.home) for product in shop.catalog)


def test_an_oddly_named_shop_works_and_goes_on_when_it_is_moved_or_copied(
    tmp_path: Path, variant: Variant
) -> None:
    odd = tmp_path / "shops" / "a%20b, 50% off? #1 'ü'; [x]."
    shop = begun(odd, variant)
    goes_on(shop, variant, runs=1)
    ranker, kind = shop.champion()
    assert kind == "cold"
    ranker.save(tmp_path / "ranker")
    shop.tracker.promote(shop.tracker.register_ranker(tmp_path / "ranker"))
    assert [p.name for p in odd.parent.iterdir()] == [odd.name]

    moved = odd.rename(odd.with_name("moved"))
    later = pi.Shop.open(moved)
    goes_on(later, variant, runs=2)
    later.features.materialize(START)
    shutil.copytree(moved, tmp_path / "backup" / "shop")
    goes_on(pi.Shop.open(tmp_path / "backup" / "shop"), variant, runs=3)
    assert pi.Shop.open(moved).champion()[1] == "version-1"
    assert [p.name for p in odd.parent.iterdir()] == ["moved"]
