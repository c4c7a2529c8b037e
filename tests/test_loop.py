"""The loop turns with real parts: plain backdrops, plain tables and files keep it quick."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persona_img import loop, wiring
from persona_img.assets import ASSETS
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import DecisionTable
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.domain.variant import State
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.frame import FrameFeatureSource
from persona_img.ranking.leaning import Leant
from persona_img.ranking.popularity import PopularityRanker
from persona_img.rendering.base import RenderSettings
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.settings import Settings
from persona_img.simulate.shop import SimulatedShop
from persona_img.workspace import Workspace

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        home=tmp_path_factory.mktemp("home") / "shop",
        stores={"features": "frame", "tracker": "folder"},
        render={"backdrops": "plain"},
        learn={"segments": 3, "least_shoppers": 20, "slate": 2, "variants_per_product": 3},
    )


@pytest.fixture(scope="module")
def workspace(settings: Settings) -> Workspace:
    return Workspace.open(settings.home)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    shipped = list(Catalog.load(ASSETS / "catalog" / "products.csv"))
    return Catalog([p for p in shipped if p.category in ("shoes", "dress")][:4])


@pytest.fixture(scope="module")
def shop(catalog: Catalog, settings: Settings) -> SimulatedShop:
    return SimulatedShop(catalog, wiring.style_space(settings), shoppers=300, seed=1)


@pytest.fixture(scope="module")
def profiled(
    catalog: Catalog, shop: SimulatedShop, tmp_path_factory: pytest.TempPathFactory
) -> loop.Profiled:
    return loop.profile(
        shop.interactions(30, AS_OF),
        catalog,
        FrameFeatureSource(tmp_path_factory.mktemp("features")),
        as_of=AS_OF,
        count=3,
        least=20,
        seed=1,
    )


@pytest.fixture(scope="module")
def rendered(
    settings: Settings, workspace: Workspace, catalog: Catalog, profiled: loop.Profiled
) -> tuple[loop.Slates, list[loop.Rendered]]:
    ranker = wiring.cold_ranker(settings).fit(
        pd.DataFrame(columns=list(FEEDBACK_COLUMNS)), profiled.features
    )
    slates = loop.plan(
        ranker, wiring.style_space(settings), profiled, catalog,
        slate=settings.learn.slate,
        variants_per_product=settings.learn.variants_per_product, seed=1,
    )  # fmt: skip
    store = wiring.variant_store(workspace)
    return slates, loop.render(slates, catalog, wiring.renderer(settings), store, seed=1)


def decided(
    settings: Settings, profiled: loop.Profiled, slates: loop.Slates, made: list[loop.Rendered]
) -> DecisionTable:
    nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
    ranker = wiring.cold_ranker(settings).fit(nothing, profiled.features)
    return loop.decide(slates, made, ranker, wiring.policy(settings), profiled, version="v")


def test_every_segment_is_large_enough_and_what_is_kept_comes_back(
    profiled: loop.Profiled, workspace: Workspace
) -> None:
    sizes = pd.Series(list(profiled.segments.values())).value_counts()
    assert sizes.min() >= 20
    profiled.save(workspace)
    again = loop.Profiled.load(workspace)
    assert again.segments == profiled.segments
    pd.testing.assert_frame_equal(again.features.segments, profiled.features.segments)


def test_segments_keep_their_names_from_one_fit_to_the_next(
    catalog: Catalog,
    shop: SimulatedShop,
    profiled: loop.Profiled,
    tmp_path: Path,
) -> None:
    workspace = Workspace.open(tmp_path / "home")
    later = AS_OF + timedelta(days=14)
    fortnight = shop.interactions(30, later)
    both = pd.concat([shop.interactions(30, AS_OF), fortnight[fortnight["occurred_at"] >= AS_OF]])
    active = sorted(profiled.segments)[:40]
    few = both[(both["occurred_at"] < AS_OF) | both["shopper"].isin(active)]
    profiled.save(workspace)
    given = {"count": 3, "least": 20, "seed": 1}

    def again(name: str, as_of: datetime, like: loop.Profiled, **other: int) -> loop.Profiled:
        source = FrameFeatureSource(tmp_path / name)
        return loop.profile(few, catalog, source, as_of=as_of, like=like, **(given | other))

    kept = again("kept", later, loop.Profiled.load(workspace))
    changed = [s for s, name in profiled.segments.items() if kept.segments[s] != name]
    assert len(changed) < 0.05 * len(profiled.segments)
    assert profiled.groups is not None
    assert kept.groups is not None
    assert kept.groups.version == profiled.groups.version == 1

    more = again("more", later, kept, count=5)
    assert more.groups is not None
    assert more.groups.version == 2
    more.save(workspace)
    assert workspace.json("segments/version-1")["names"] == list(profiled.groups.names)
    loaded = loop.Profiled.load(workspace)
    assert loaded.groups is not None
    assert loaded.groups.names == more.groups.names
    # Nothing of a later moment is used: an earlier one begins anew, under a number of its own.
    early = again("early", AS_OF, loaded)
    assert early.segments == profiled.segments
    assert early.groups is not None
    assert early.groups.version == 3


def test_the_number_of_segments_is_chosen_where_asked_for(
    catalog: Catalog, shop: SimulatedShop, profiled: loop.Profiled, tmp_path: Path
) -> None:
    """Of pure chance, one segment; of a history too short to tell, as many as wanted."""
    past = shop.interactions(30, AS_OF)
    rng = np.random.default_rng(0)
    chance = past.assign(product=rng.choice(sorted(set(past["product"])), len(past)))
    recent = past[past["occurred_at"] >= AS_OF - timedelta(days=28)]
    found = [
        loop.profile(
            frame,
            catalog,
            FrameFeatureSource(tmp_path / name),
            as_of=AS_OF,
            count=3,
            least=20,
            seed=1,
            choose=True,
        )
        for name, frame in (("chance", chance), ("recent", recent))
    ]
    assert [len(one.description) for one in found] == [1, 3]


def test_training_features_know_nothing_of_what_came_later(
    catalog: Catalog, shop: SimulatedShop, tmp_path: Path
) -> None:
    past = shop.interactions(30, AS_OF)
    later = past.assign(occurred_at=past["occurred_at"] + pd.Timedelta(days=40))
    made = [
        loop.profile(
            interactions,
            catalog,
            FrameFeatureSource(tmp_path / str(i)),
            as_of=AS_OF,
            count=3,
            least=20,
            seed=1,
        )
        for i, interactions in enumerate((past, pd.concat([past, later])))
    ]
    pd.testing.assert_frame_equal(made[0].features.segments, made[1].features.segments)
    assert made[0].segments == made[1].segments


def test_a_click_is_not_among_what_foretells_it(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leak, planted: every click reaches the feature store dated as its own impression is."""
    source = FrameFeatureSource(tmp_path)
    shown = [AS_OF + timedelta(hours=n) for n in range(6)]
    feedback = pd.DataFrame(
        {
            "decision_id": [f"d{n}" for n in range(6)], "test": "hero", "shopper": "anna",
            "product": next(iter(catalog)).product, "segment": "all", "arm": "personalized",
            "style_key": "original", "digest": None, "propensity": 1.0, "position": 1,
            "policy_version": "v1", "shown_at": shown, "clicked": [0, 0, 1, 0, 0, 0],
            "converted": 0,
        }
    )  # fmt: skip
    source.push(loop.fresh_events(feedback))
    seen = {}

    def kept(_: pd.DataFrame, traits: pd.DataFrame, ranker: object) -> Leant:
        seen["fresh"] = traits["fresh"].tolist()
        return Leant(None, 0.0, 0.0, "kept")

    monkeypatch.setattr(loop, "fit_leaning", kept)
    loop.lean(feedback, source, PopularityRanker())
    # What was clicked at is foretold by nothing; an hour later it is fresh.
    assert seen["fresh"][:3] == [0.0, 0.0, 0.0]
    assert seen["fresh"][3:] == pytest.approx(np.exp(-np.arange(1, 4) / 24), rel=1e-6)


def test_a_history_outlives_its_products(
    catalog: Catalog, shop: SimulatedShop, profiled: loop.Profiled, tmp_path: Path
) -> None:
    past = shop.interactions(30, AS_OF)
    gone = past.assign(product="gone-01")
    made, none = FrameFeatureSource(tmp_path / "made"), FrameFeatureSource(tmp_path / "none")
    given = {"as_of": AS_OF, "count": 3, "least": 20, "seed": 1}
    both = loop.profile(pd.concat([past, gone]), catalog, made, **given)
    assert both.segments == profiled.segments
    assert "gone-01" not in both.features.products.index
    with pytest.raises(NotEnoughData, match="are products named alike"):
        loop.profile(gone, catalog, none, **given)


def test_times_without_a_zone_are_refused_before_anything_else(
    catalog: Catalog, shop: SimulatedShop, tmp_path: Path
) -> None:
    naive = shop.interactions(30, AS_OF)
    naive["occurred_at"] = naive["occurred_at"].dt.tz_localize(None)
    for wrong in (naive, naive.astype({"occurred_at": str})):
        with pytest.raises(InvalidInput, match="give times with a time zone"):
            loop.profile(
                wrong, catalog, FrameFeatureSource(tmp_path), as_of=AS_OF, count=3, least=20, seed=1
            )
    with pytest.raises(InvalidInput, match="no column occurred_at"):
        loop.profile(
            naive.rename(columns={"occurred_at": "timestamp"}), catalog,
            FrameFeatureSource(tmp_path), as_of=AS_OF, count=3, least=20, seed=1,
        )  # fmt: skip


def test_a_second_rendering_makes_nothing_anew(
    settings: Settings, workspace: Workspace, catalog: Catalog,
    rendered: tuple[loop.Slates, list[loop.Rendered]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    slates, first = rendered
    renderer = wiring.renderer(settings)
    accepted = {(r.product, r.style) for r in first if r.record}
    assert accepted

    def refuse(photo: object, styles: list[object], seeds: object, **_: object) -> list[object]:
        assert not styles, "rendered again"
        return []

    monkeypatch.setattr(renderer, "render_many", refuse)
    kept = {
        k: tuple(s for s in v if s.is_original or (k[1], s) in accepted) for k, v in slates.items()
    }
    again = loop.render(kept, catalog, renderer, wiring.variant_store(workspace), seed=1)
    digests = {(r.product, r.style): r.record.digest for r in first if r.record}
    assert {(r.product, r.style): r.record.digest for r in again if r.record} == digests


def test_what_a_person_withdrew_stays_withdrawn_when_it_is_rendered_again(
    settings: Settings, workspace: Workspace, catalog: Catalog, profiled: loop.Profiled,
    rendered: tuple[loop.Slates, list[loop.Rendered]],
) -> None:  # fmt: skip
    """Its picture by name, another by its style of the product: both leave every slate."""
    slates, first = rendered
    one, other = [r for r in first if r.record][:2]
    assert one.record is not None
    assert other.record is not None
    made = {(r.product, r.style) for r in first if r.record}
    wanted = {
        k: tuple(s for s in v if s.is_original or (k[1], s) in made) for k, v in slates.items()
    }
    store = wiring.variant_store(workspace)
    ledger, by = store.ledger, {"by": "ann", "reason": "the rug hides the heel"}
    ledger.withdraw([one.record.digest], **by)
    ledger.withdraw_style(other.product, other.style, **by)
    store.path(one.record.digest).unlink()  # so that it is truly made again
    try:
        again = loop.render(wanted, catalog, wiring.renderer(settings), store, seed=1)
        found = {(r.product, r.style): r for r in again}
        assert len(found) == len(again) == len(made)
        back, gone = found[one.product, one.style], found[other.product, other.style]
        assert back.record is not None
        assert (back.record.digest, back.record.state) == (one.record.digest, "withdrawn")
        assert back.reason.startswith("withdrawn by ann")
        assert gone.record is None
        assert "style of the product was withdrawn by ann" in gone.reason
        others = [r for r in again if r not in (back, gone)]
        assert all(r.record and r.record.approved and not r.reason for r in others)
        table = decided(settings, profiled, wanted, again)
        shown = {(p, c.style) for (_, p), s in table.slates.items() for c in s.candidates}
        assert shown == {(r.product, r.style) for r in others} | {
            (p, s) for (_, p), styles in slates.items() for s in styles if s.is_original
        }
    finally:
        ledger.restore([one.record.digest], **by)
        ledger.restore_style(other.product, other.style, **by)


def test_where_a_person_approves_the_gate_only_proposes(
    settings: Settings, catalog: Catalog, tmp_path: Path
) -> None:
    clear = next(iter(catalog))
    styles = wiring.style_space(settings).styles()
    slates = {("s", clear.product): (styles[0], styles[1])}
    store = wiring.variant_store(Workspace.open(tmp_path / "shop"))
    renderer = BackdropRenderer(PlainBackdrops(), RenderSettings(rules=()))
    (made,) = loop.render(slates, catalog, renderer, store, seed=1, approve=False)
    assert made.record is not None
    assert (made.record.state, made.reason) == ("proposed", "waits for approval")
    store.ledger.approve([made.record.digest], by="ann")
    (again,) = loop.render(slates, catalog, renderer, store, seed=1, approve=False)
    assert again.record is not None
    assert (again.record.state, again.reason) == ("approved", "")


def test_the_pictures_do_not_depend_on_the_number_of_workers(
    settings: Settings, catalog: Catalog, tmp_path: Path,
    rendered: tuple[loop.Slates, list[loop.Rendered]],
) -> None:  # fmt: skip
    slates, alone = rendered
    store = wiring.variant_store(Workspace.open(tmp_path / "other"))
    told: list[loop.Rendered] = []
    together = loop.render(
        slates, catalog, wiring.renderer(settings), store, seed=1, workers=3, on_done=told.append
    )
    assert together == alone == told


def test_what_is_refused_is_told_with_its_reason_and_not_stored(
    settings: Settings, catalog: Catalog, tmp_path: Path
) -> None:
    """A mask nobody can trust refuses every style; a rule nobody can meet refuses each style."""
    striped = Catalog.load(ASSETS / "catalog" / "products.csv")["skirt-04"]
    clear = next(iter(catalog))
    styles = wiring.style_space(settings).styles()
    slates = {("s", p.product): (styles[0], *styles[1:3]) for p in (striped, clear)}
    store = wiring.variant_store(Workspace.open(tmp_path / "shop"))
    never = tuple(replace(rule, least=2.0) for rule in RULES if rule.score == "mask_confidence")
    renderer = BackdropRenderer(PlainBackdrops(), RenderSettings(tries=1, rules=never))
    made = loop.render(slates, Catalog([striped, clear]), renderer, store, seed=1, workers=2)
    assert [(r.product, r.style) for r in made] == [
        (p.product, s) for p in (striped, clear) for s in styles[1:3]
    ]
    assert all(r.record is None for r in made)
    assert all("mask confidence" in r.reason for r in made[:2])
    assert all("passed the gate" in r.reason for r in made[2:])
    assert store.records() == []


def test_only_approved_variants_are_decided_for_and_the_rest_is_the_original(
    settings: Settings, profiled: loop.Profiled,
    rendered: tuple[loop.Slates, list[loop.Rendered]],
) -> None:  # fmt: skip
    slates, made = rendered
    table = decided(settings, profiled, slates, made)
    approved = {r.record.digest for r in made if r.record and r.record.approved}
    assert {c.digest for s in table.slates.values() for c in s.candidates if c.digest} == approved
    nothing = decided(settings, profiled, slates, [])
    assert all(len(s.candidates) == 1 for s in nothing.slates.values())
    log = MemoryEventLog()
    decider = Decider(nothing, wiring.arms(settings), log)
    assert decider.decide("anybody", next(iter(slates))[1], 1e9).digest is None


@pytest.mark.parametrize("state", ["withdrawn", "proposed"])
def test_a_record_that_is_not_approved_is_in_no_slate(
    settings: Settings, profiled: loop.Profiled,
    rendered: tuple[loop.Slates, list[loop.Rendered]], state: State,
) -> None:  # fmt: skip
    slates, made = rendered
    one = next(r for r in made if r.record)
    assert one.record is not None
    without = replace(one, record=replace(one.record, state=state))
    table = decided(settings, profiled, slates, [without if r is one else r for r in made])
    shown = {c.digest for s in table.slates.values() for c in s.candidates}
    assert shown == {None, *(r.record.digest for r in made if r.record and r is not one)}


def test_no_history_is_refused(catalog: Catalog, shop: SimulatedShop, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="history"):
        loop.profile(
            shop.interactions(30, AS_OF).iloc[:0], catalog, FrameFeatureSource(tmp_path),
            as_of=AS_OF, count=3, least=20, seed=1,
        )  # fmt: skip


def test_every_kind_of_ranker_is_made_by_name_and_comes_back_by_its_files(tmp_path: Path) -> None:
    from contracts.ranker import FEATURES, STYLES, feedback
    from persona_img.domain.decision import Context

    for name in wiring.RANKERS:
        settings = Settings(home=tmp_path / "shop", learn={"ranker": name, "half_life": 5.0})
        ranker = wiring.new_ranker(settings).fit(feedback(), FEATURES)
        assert ranker.name == name
        ranker.save(tmp_path / name)
        loaded = wiring.load_ranker(tmp_path / name, settings)
        context = Context("g0", "p0")
        assert loaded.rank(context, STYLES) == ranker.rank(context, STYLES)
        assert getattr(loaded, "half_life", 5.0) == 5.0
