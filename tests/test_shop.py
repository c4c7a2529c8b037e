"""One shop through its public object: real parts, plain backdrops and stores keep it quick."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import persona_img as pi
from examples import a_showing, happened
from persona_img import loop, wiring
from persona_img.assets import ASSETS
from persona_img.demo.traffic import simulate_history, simulate_visits, simulated_shoppers
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import Context, Ranking, plan_of
from persona_img.errors import InvalidInput, NotEnoughData, NotFound, StoreConflict
from persona_img.reports.rounds import liked_by_segment
from persona_img.serving.run import BackgroundServer
from persona_img.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from persona_img.domain.decision import DecisionTable
    from persona_img.domain.style import Style

START = datetime(2026, 3, 2, tzinfo=UTC)


def settings(home: Path) -> Settings:
    return Settings(
        home=home,
        stores={"features": "frame", "tracker": "folder"},
        render={"backdrops": "plain"},
        learn={"segments": 2, "least_shoppers": 20, "slate": 2, "variants_per_product": 2},
    )


def products(count: int) -> list[pi.Product]:
    shipped = Catalog.load(ASSETS / "catalog" / "products.csv")
    cut_for_certain = {"dress-03", "dress-04", "shirt-02", "shirt-03"}
    return [p for p in shipped if p.product in cut_for_certain][:count]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> pi.Shop:
    """A shop whose first round was served."""
    shop = pi.Shop.begin(settings(tmp_path_factory.mktemp("shops") / "mine"))
    shop.add_products(products(2))
    people = simulated_shoppers(shop, 400)
    simulate_history(shop, people, 30, START)
    shop.profile(START)
    shop.prepare(version="first")
    decider = shop.decider()
    with BackgroundServer(shop.app(decider)) as server:
        simulate_visits(shop, people, server.url, people.visits(1, START, 14.0))
    decider.log.close()
    return shop


def test_the_first_preparation_leaves_a_champion_to_go_back_to(shop: pi.Shop) -> None:
    assert shop.tracker.champion() == 1
    assert shop.champion()[1] == "version-1"
    assert shop.champion()[0].name == "popularity"


def test_what_is_shown_is_prepared_for_pages(shop: pi.Shop) -> None:
    shown = {c.digest for slate in shop.table.slates.values() for c in slate.candidates if c.digest}
    photos = {product.photo_digest for product in shop.catalog}
    assert shown
    for master in shown | photos:
        assert shop.renditions.is_current(master)
    made = shop.renditions.get(next(iter(shown)))
    assert made is not None
    assert made.of == "variant"
    assert made.size == shop.variants.get(made.master).certificate.size


def test_prepared_again_without_a_change_nothing_changes(shop: pi.Shop) -> None:
    before, served = shop.policies, shop.prepare().table
    assert shop.prepare().table == served
    assert shop.policies == before
    (record, *_) = shop.variants.records()
    shop.withdraw(record.digest, by="anna", reason="a test of withdrawing")
    assert shop.prepare().table.policy_version not in before
    shop.restore(record.digest, by="anna", reason="and of bringing back")


def test_a_version_names_one_table_for_good(shop: pi.Shop) -> None:
    served = shop.table
    with pytest.raises(StoreConflict, match="first"):
        shop.prepare(version="first")
    assert shop.table == served


def test_feedback_is_of_this_test_and_by_policy(shop: pi.Shop) -> None:
    everything = shop.feedback()
    assert len(everything) > 50
    assert len(shop.feedback(policy="first")) == len(everything)
    of_served = everything["policy_version"] == shop.table.policy_version
    assert len(shop.feedback(policy="last")) == of_served.sum()
    assert shop.feedback(policy="another").empty
    middle = everything["shown_at"].median()
    assert 0 < len(shop.feedback(since=middle)) < len(everything)


def test_what_came_back_reaches_the_feature_store(shop: pi.Shop) -> None:
    feedback = shop.feedback()
    acted = (feedback["clicked"] == 1) | (feedback["converted"] == 1)
    assert shop.push() == acted.sum() > 0


def test_a_purchase_without_a_click_reaches_it_too() -> None:
    rows = {"shopper": ["a", "b", "c"], "product": ["x"] * 3, "shown_at": [START] * 3}
    feedback = pd.DataFrame({**rows, "clicked": [0, 1, 0], "converted": [1, 0, 0]})
    assert loop.fresh_events(feedback)["kind"].tolist() == ["purchase", "view"]


def test_what_is_learned_for_may_be_purchases(
    shop: pi.Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = {**shop.settings.learn.model_dump(), "reward": "conversion"}
    buying = pi.Shop.open(**{**shop.settings.model_dump(), "learn": learn})
    assert buying.evaluate().seen.value < buying.settings.learn.floor < shop.evaluate().seen.value
    seen: list[pd.DataFrame] = []

    def kept(feedback: pd.DataFrame, *_: object, **__: object) -> object:
        seen.append(feedback)
        raise NotEnoughData("enough was seen")

    monkeypatch.setattr(loop, "retrain", kept)
    with pytest.raises(NotEnoughData, match="enough was seen"):
        buying.retrain()
    feedback = shop.mature_feedback()
    assert seen[0]["clicked"].tolist() == feedback["converted"].tolist()
    assert 0 < feedback["converted"].sum() < feedback["clicked"].sum()


def test_retraining_promotes_only_where_it_was_asked_to(
    shop: pi.Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = loop.retrain

    def convinced(*args: object, **kwargs: object) -> object:
        ranker, report = honest(*args, **kwargs)  # type: ignore[arg-type]
        return ranker, report.__class__(**{**vars(report), "promote": True})

    monkeypatch.setattr(loop, "retrain", convinced)
    before = shop.tracker.champion()
    registered = shop.retrain()
    assert (registered.promoted, shop.tracker.champion()) == (False, before)
    promoted = shop.retrain(promote=True)
    assert (promoted.promoted, shop.tracker.champion()) == (True, promoted.version)
    # It has learned from all there is: nothing is left to judge another one on.
    with pytest.raises(NotEnoughData, match="until when the champion learned"):
        shop.retrain()
    last = shop.feedback()["shown_at"].max().isoformat()
    tags = {v.version: v.tags for v in shop.tracker.history()}
    assert tags[promoted.version]["learned_until"] == last
    planned = shop.table
    other = replace(planned, policy_version="of-the-new-champion")
    shop.workspace.save_decision_table(other, ranker=promoted.version)
    assert shop.table == other
    assert shop.served_ranker == promoted.version
    assert shop.rollback() == before
    assert shop.table == planned
    assert shop.served_ranker == before
    assert shop.workspace.revoked() == {"of-the-new-champion"}
    shop.promote(promoted.version)
    assert shop.workspace.revoked() == frozenset()
    assert shop.rollback() == before
    assert shop.retrain().report.difference.impressions > 0


def changed(shop: pi.Shop) -> str:
    """A product of which shoppers that nobody knows see variants."""
    slates, default = shop.table.slates, shop.table.default_segment
    return max(p for (g, p), slate in slates.items() if g == default and len(slate.candidates) > 1)


def seen(shop: pi.Shop, at: datetime, rates: dict[str, float], count: int = 2600) -> None:
    """New shoppers with an impression each; ``rates`` of control, of served and of ramp's plan."""
    rng = np.random.default_rng(count)
    decider = shop.decider()
    product, events = changed(shop), []
    names = [f"{at.isoformat()} {n}" for n in range(count)]
    decisions = [decider.decide(name, product, at.timestamp()) for name in names]
    ramp = shop.workspace.ramp()
    for one in decisions:
        of_ramp = ramp is not None and plan_of(one.policy_version) == ramp.table.plan
        rate = rates["control" if one.arm == "control" else "ramp" if of_ramp else "served"]
        showing, when = a_showing(one), at.timestamp()
        events.append(happened(showing, "impression", when))
        if rng.random() < rate:
            events.append(happened(showing, "click", when + 1))
    decider.log.record_events(events)
    decider.log.close()


@pytest.fixture
def challenged(shop: pi.Shop, tmp_path: Path) -> pi.Shop:
    """A copy of the shop in which a challenger was trained."""
    home = tmp_path / "copy"
    shutil.copytree(shop.workspace.root, home)
    copied = pi.Shop.open(home)
    copied.retrain()
    return copied


LATER = START + timedelta(days=20)


def test_chances_follow_the_evidence_and_a_running_service_follows_them(
    challenged: pi.Shop,
) -> None:
    plan = challenged.table
    decider = challenged.decider()
    seen(challenged, LATER, {"control": 0.1, "served": 0.1})
    found = challenged.learn()
    assert found.version == f"{plan.plan}~r1" == challenged.table.policy_version
    assert found.moved > 0
    assert found.impressions == len(challenged.feedback())
    assert challenged.learn() == replace(found, moved=0)
    with challenged.following(decider) as follower:
        follower.look()
    assert decider.table == challenged.table
    decider.log.close()
    assert challenged.policies[-1] == plan.plan
    assert found.version not in challenged.policies
    assert challenged.workspace.plan(found.version) == plan
    # What is analysed and judged are the impressions of the plan, whatever revision it was.
    seen(challenged, LATER + timedelta(days=1), {"control": 0.1, "served": 0.1}, 300)
    of_plan = challenged.feedback(policy="last")["policy_version"]
    assert set(of_plan) == {plan.policy_version, found.version}
    assert challenged.retrain().report.coverage == 1.0
    # The same table again is not published again: nothing was withdrawn, nobody was profiled.
    assert challenged.prepare().table == challenged.table


def test_young_impressions_wait_for_their_clicks(challenged: pi.Shop) -> None:
    before = challenged.learn().impressions
    seen(challenged, LATER, {"control": 0.1, "served": 0.1}, 300)
    assert challenged.learn(now=LATER + timedelta(minutes=59)).impressions == before
    assert challenged.learn(now=LATER + timedelta(minutes=60)).impressions == before + 300


def test_an_arm_that_does_harm_stops_and_everybody_gets_the_photo(challenged: pi.Shop) -> None:
    harmed, product = challenged.table, changed(challenged)
    decider = challenged.decider()
    seen(challenged, LATER, {"control": 0.3, "served": 0.05})
    found = challenged.learn()
    assert found.stopped.startswith("CTR of personalized -")
    with challenged.following(decider) as follower:
        follower.look()
    who = [f"{LATER.isoformat()} {n}" for n in range(300)]
    later = LATER.timestamp() + 60
    assert {decider.decide(shopper, product, later).digest for shopper in who} == {None}
    decider.log.close()
    assert challenged.learn().stopped == challenged.stopped == found.stopped
    with pytest.raises(StoreConflict, match="the test was stopped: CTR"):
        challenged.prepare()
    again = challenged.prepare(anyway=True)
    assert again.table == challenged.table
    assert again.table.plan not in (harmed.plan, f"{harmed.plan}-stopped")
    assert challenged.stopped == ""


@pytest.mark.parametrize("anyway", [False, True])
def test_a_stop_while_a_table_is_prepared_is_not_undone_by_it(
    challenged: pi.Shop, anyway: bool
) -> None:
    (record, *_) = challenged.variants.records()
    challenged.withdraw(record.digest, by="anna", reason="so that there is another table")
    served, ranker = challenged.table, challenged.served_ranker

    def meanwhile(_: int) -> None:
        challenged.workspace.stop(served, "it does harm", ranker=ranker)

    with pytest.raises(StoreConflict, match="stopped meanwhile: it does harm"):
        challenged.prepare(anyway=anyway, on_planned=meanwhile)
    assert challenged.stopped == "it does harm"
    assert challenged.table.policy_version == f"{served.plan}-stopped"


def test_a_table_is_of_the_ranker_that_planned_it_whoever_is_promoted_meanwhile(
    challenged: pi.Shop,
) -> None:
    (record, *_) = challenged.variants.records()
    challenged.withdraw(record.digest, by="anna", reason="so that there is another table")
    champion, other = challenged.tracker.champion(), challenged.tracker.history()[-1].version
    assert champion != other
    challenged.prepare(on_planned=lambda _: challenged.promote(other))
    assert challenged.tracker.champion() == other
    assert challenged.served_ranker == champion


def test_the_harm_of_a_plan_that_was_rolled_back_is_not_the_other_plans(
    challenged: pi.Shop,
) -> None:
    good = challenged.table
    seen(challenged, LATER, {"control": 0.1, "served": 0.1}, 600)
    bad = replace(good, policy_version="bad")
    challenged.workspace.save_decision_table(bad, ranker=99)
    seen(challenged, LATER + timedelta(days=1), {"control": 0.3, "served": 0.05})
    assert challenged.workspace.go_back(challenged.tracker.champion() or 0, instead_of=99)
    assert challenged.table.plan == good.plan
    seen(challenged, LATER + timedelta(days=2), {"control": 0.1, "served": 0.1}, 800)
    assert challenged.learn().stopped == ""


def test_another_champion_may_be_shown_after_a_stop(challenged: pi.Shop) -> None:
    seen(challenged, LATER, {"control": 0.3, "served": 0.05})
    assert challenged.learn().stopped
    challenged.promote(challenged.tracker.history()[-1].version)
    assert challenged.prepare().table.plan == challenged.table.plan
    assert challenged.stopped == ""


def test_a_picture_that_does_harm_is_withdrawn_by_the_program_with_its_reason(
    challenged: pi.Shop,
) -> None:
    product = changed(challenged)
    slate = challenged.table.slates[challenged.table.default_segment, product]
    bad = min(c.digest for c in slate.candidates if c.digest)
    log, when = wiring.event_log(challenged.workspace), LATER.timestamp()
    decider, events = challenged.decider(), []
    rng = np.random.default_rng(3)
    for one in [decider.decide(f"new {n}", product, when) for n in range(5000)]:
        showing = a_showing(one)
        events.append(happened(showing, "impression", when))
        # Control clicks less: the arm as a whole does no harm.
        if rng.random() < (0.02 if one.digest == bad else 0.2 if one.arm == "control" else 0.5):
            events.append(happened(showing, "click", when + 1))
    log.record_events(events)
    log.close()
    decider.log.close()
    found = challenged.learn()
    assert [row[0] for row in found.withdrawn] == [product]
    entry = challenged.variants.ledger.standing(bad, product)
    assert entry is not None
    assert (entry.who, entry.action) == ("learn", "withdraw")
    assert "against the photo in the same slates" in entry.reason
    assert challenged.learn().withdrawn == ()


def test_what_was_shown_by_any_table_is_counted_by_that_table(
    challenged: pi.Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever kept a picture of an earlier table, whose chances were their own, is learned from."""
    seen(challenged, LATER, {"control": 0.1, "served": 0.1})
    given: list[DecisionTable] = []

    def kept(*_: object, tables: Iterable[DecisionTable], **__: object) -> object:
        given.extend(tables)
        raise NotEnoughData("enough was seen")

    monkeypatch.setattr(loop, "learn", kept)
    with pytest.raises(NotEnoughData, match="enough was seen"):
        challenged.learn()
    shown = {plan_of(v) for v in challenged.mature_feedback()["policy_version"].unique()}
    stored = challenged.workspace.decision_tables()
    assert given == [table for table in stored if table.plan in shown]
    assert challenged.table in given
    assert challenged.table.personal is None


def test_two_that_learn_at_once_lose_nothing(challenged: pi.Shop) -> None:
    seen(challenged, LATER, {"control": 0.1, "served": 0.1})
    plan, others = challenged.table, [pi.Shop.open(challenged.workspace.root) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda shop: shop.learn(), others))
    # One publishes; to the others that is what is served already.
    assert sorted(one.moved > 0 for one in found) == [False, False, False, True]
    assert challenged.table.policy_version == f"{plan.plan}~r1"
    assert challenged.learn().moved == 0


def test_a_challenger_that_is_better_goes_up_the_ramp_and_becomes_champion(
    challenged: pi.Shop,
) -> None:
    version = challenged.tracker.history()[-1].version
    served, champion = challenged.table, challenged.tracker.champion()
    prepared = challenged.ramp(version, now=LATER, anyway=True)
    assert challenged.table == served
    with pytest.raises(StoreConflict, match="on a ramp"):
        challenged.prepare()
    with pytest.raises(StoreConflict, match="on a ramp already"):
        challenged.ramp(version)
    first = challenged.judge_ramp()
    assert first is not None
    assert (first.action, challenged.tracker.champion()) == ("wait", champion)
    decider = challenged.decider()
    # Of one shopper in ten so few are seen that only what is far better is told.
    seen(challenged, LATER, {"control": 0.05, "served": 0.05, "ramp": 0.8})
    assert challenged.learn().ramp.startswith("promote: challenger")
    assert challenged.tracker.champion() == version
    assert challenged.table == prepared.table
    assert challenged.served_ranker == version
    assert challenged.workspace.ramp() is None
    with challenged.following(decider) as follower:
        follower.look()
    assert decider.table == prepared.table
    decider.log.close()
    assert challenged.rollback() == champion
    assert challenged.table.plan == served.plan


def test_a_challenger_that_does_harm_is_halted_and_nobody_keeps_it(challenged: pi.Shop) -> None:
    version = challenged.tracker.history()[-1].version
    served, champion = challenged.table, challenged.tracker.champion()
    plan = challenged.ramp(version, now=LATER, anyway=True).table.plan
    seen(challenged, LATER, {"control": 0.3, "served": 0.3, "ramp": 0.02})
    found = challenged.judge_ramp()
    assert found is not None
    assert found.action == "halt", found.reason
    assert challenged.tracker.champion() == champion
    assert challenged.table.plan == served.plan
    assert plan in challenged.workspace.revoked()
    with pytest.raises(StoreConflict, match="was not admitted: challenger"):
        challenged.ramp(version)
    challenged.ramp(version, anyway=True)
    assert challenged.halt_ramp() == version
    with pytest.raises(NotFound, match="no challenger"):
        challenged.halt_ramp()


def test_a_promotion_that_was_stopped_half_way_goes_on(challenged: pi.Shop) -> None:
    version = challenged.tracker.history()[-1].version
    plan = challenged.ramp(version, now=LATER, anyway=True).table.plan
    stage = challenged.workspace.ramp_stage()
    assert stage is not None
    challenged.workspace.finish_ramp(stage)  # and here the process dies
    again = pi.Shop.open(challenged.workspace.root)
    found = again.judge_ramp()
    assert found is not None
    assert (found.action, again.tracker.champion(), again.table.plan) == ("promote", version, plan)
    assert again.workspace.ramp() is None


def test_the_champion_needs_no_ramp(challenged: pi.Shop) -> None:
    champion = challenged.tracker.champion()
    assert champion is not None
    with pytest.raises(StoreConflict, match="is champion already"):
        challenged.ramp(champion)


def test_the_report_needs_no_second_round_and_says_what_is_simulated(
    shop: pi.Shop, tmp_path: Path
) -> None:
    page = shop.report(tmp_path / "page.html").read_text()
    assert "The shoppers are simulated." in page
    assert "over round 1" not in page
    assert shop.sheet(tmp_path / "sheet.jpg").stat().st_size > 10_000


def test_a_sheet_shows_what_a_ranker_likes_best_for_each_segment_of_what_is_served(
    shop: pi.Shop, tmp_path: Path
) -> None:
    """A ranker with tastes of its own: the first segment wants the last style, and so on."""
    segments = sorted(set(shop.profiled.segments.values()))

    class Tastes:
        def rank(self, context: Context, styles: Sequence[Style]) -> Ranking:
            ordered = sorted(styles, key=lambda s: s.key)
            turn = segments.index(context.segment) % len(ordered)
            liked = ordered[turn:] + ordered[:turn]
            scores = tuple(1.0 / (i + 1) for i in range(len(liked)))
            return Ranking(context, tuple(liked), scores)

    product = next(iter(shop.catalog)).product
    liked = liked_by_segment(shop.table, product, Tastes())  # type: ignore[arg-type]
    offered = {
        c.style.key: c.digest
        for (_, name), slate in shop.table.slates.items()
        if name == product
        for c in slate.candidates
    }
    ordered = sorted(offered)
    assert set(liked) == set(segments)
    for number, segment in enumerate(segments):
        key, digest, score = liked[segment]
        assert (key, digest, score) == (ordered[number % len(ordered)], offered[key], 1.0)
    served = shop.sheet(tmp_path / "served.jpg").read_bytes()
    own = shop.sheet(tmp_path / "liked.jpg", liked_by=Tastes())  # type: ignore[arg-type]
    assert own.stat().st_size > 10_000
    assert own.read_bytes() != served


def test_every_variant_is_verified_against_its_photograph(shop: pi.Shop) -> None:
    found = shop.verify()
    assert found
    assert all(checked.passed for _, checked in found)


def test_simulated_shoppers_never_join_real_ones(tmp_path: Path) -> None:
    shop = pi.Shop.begin(settings(tmp_path / "real"))
    shop.add_products(products(1))
    real = pd.DataFrame(
        {"shopper": ["a"], "product": ["x"], "kind": ["view"], "occurred_at": [START]}
    )
    shop.workspace.save_table("interactions", real)
    with pytest.raises(StoreConflict, match="real shoppers"):
        simulate_history(shop, simulated_shoppers(shop, 30), 10, START)
    assert not shop.simulated


def test_a_shop_begins_anew_but_keeps_its_variants(shop: pi.Shop, tmp_path: Path) -> None:
    again = pi.Shop.begin(settings(tmp_path / "again"))
    assert Settings.load(home=again.settings.home) == again.settings
    picture = again.workspace.variants / "x.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(b"")
    again.add_products(products(1))
    pi.Shop.begin(again.settings)
    assert picture.exists()
    with pytest.raises(NotFound, match="catalogue"):
        _ = again.catalog


def test_names_that_nobody_has_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    home = tmp_path / "none"
    for group, name, value in (
        ("render", "backdrops", "diffusoin"),
        ("render", "backdrops", "diffusion-over-noise"),
        ("mask", "masker", "x"),
        ("learn", "ranker", "x"),
        ("learn", "policy", "x"),
        ("stores", "features", "x"),
        ("stores", "tracker", "x"),
    ):
        with pytest.raises(InvalidInput, match=f"{group}.{name}=.*choose one"):
            pi.Shop.open(home, **{group: {name: value}})
    assert not home.exists()


def test_steps_too_early_name_the_step_before(tmp_path: Path) -> None:
    shop = pi.Shop.open(tmp_path / "new")
    for step in (shop.profile, shop.prepare, shop.decider, shop.retrain, shop.analyse, shop.report):
        with pytest.raises((NotFound, NotEnoughData), match="persona-img"):
            step()


def test_what_traits_add_is_kept_with_the_ranker_and_served(
    shop: pi.Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the feature store to the chance that is logged, with a leaning nobody could miss."""
    from persona_img.domain.leaning import Leaning
    from persona_img.ranking.leaning import Leant

    segment = next(iter(set(shop.profiled.segments.values())))
    named = ("views",)
    values = tuple((n, v) for n, vs in shop.space.attributes.items() for v in vs)
    rows = tuple((0.5 * (place % 2),) for place in range(len(values) + 1))
    leaning = Leaning(named, values, {segment: (1.0,)}, (0.1,), rows)
    monkeypatch.setattr(loop, "lean", lambda *_: Leant(leaning, 1e-3, 1e-4))
    # What has the floor alone is turned for nobody: here it is enough to be expected to help.
    learn = {**shop.settings.learn.model_dump(), "assurance": 0.5}
    # A busy machine may take longer than a shopper should wait.
    given = {**shop.settings.model_dump(), "learn": learn, "serve": {"profile_ms": 10_000}}
    assert pi.Shop.open(**given | {"learn": {**learn, "personal": False}}).retrain().leant is None
    keen = pi.Shop.open(**given)
    done = keen.retrain()
    assert done.leant is not None
    before = shop.tracker.champion()
    shop.promote(done.version)
    table = keen.prepare(version="of-single-shoppers").table
    assert table.personal is not None
    assert table.personal.leaning == leaning
    assert 1 < table.personal.sharpness < 100
    decider = keen.decider()
    try:
        mine = [s for s, group in shop.profiled.segments.items() if group == segment]
        product = next(
            p for (g, p), s in table.slates.items() if g == segment and len(s.candidates) > 1
        )
        found = [decider.decide(f"{s}", product, START.timestamp()) for s in mine]
        chosen = [
            d for d in found if d.arm != "control" and d.policy_version == "of-single-shoppers"
        ]
        base = {c.style.key: c.probability for c in table.slates[segment, product].candidates}
        assert any(abs(d.propensity - base[d.style_key]) > 1e-6 for d in chosen)
    finally:
        keen.known.close()
        decider.log.close()
        assert before is not None
        shop.promote(before)


def test_a_restored_shop_decides_and_says_what_the_shop_did(shop: pi.Shop, tmp_path: Path) -> None:
    """Every shopper keeps every picture, under the same keys; nothing is drawn for anew."""
    shop.archive()
    shop.backup(tmp_path / "kept.zip")
    back = pi.Shop.from_backup(tmp_path / "kept.zip", tmp_path / "back")
    assert back.feedback().equals(shop.feedback())
    assert back.mature_feedback().equals(shop.mature_feedback())
    assert back.policies == shop.policies
    assert back.champion()[1] == shop.champion()[1]
    assert back.variants.records() == shop.variants.records()
    now = datetime.now(UTC).timestamp()
    # A busy machine may take longer than a shopper should wait.
    patient = [
        pi.Shop.open(**{**some.settings.model_dump(), "serve": {"profile_ms": 10_000}})
        for some in (shop, back)
    ]
    one, other = (some.decider() for some in patient)
    for shopper in [*sorted(shop.table.segments)[:40], *(f"new-{n}" for n in range(20))]:
        for product in ("dress-03", "dress-04"):
            shown = one.decide(shopper, product, now)
            assert other.decide(shopper, product, now) == shown
            if shown.digest is not None:
                assert back.variants.servable_path(shown.digest).read_bytes() == (
                    shop.variants.servable_path(shown.digest).read_bytes()
                )
    tokens = wiring.signer(shop.settings, shop.workspace)
    sent = tokens.sign(tokens.show(one.decide("new-1", "dress-03", now), now))
    assert wiring.signer(back.settings, back.workspace).read(sent, now)
    assert back.analyse()[0].arms == shop.analyse()[0].arms
    for some, decider in zip(patient, (one, other), strict=True):
        some.known.close()
        decider.log.close()
