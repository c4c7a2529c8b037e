"""What is rendered, approved and decided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from persona_img import loop, wiring
from persona_img.assets import ASSETS
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import DecisionTable
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.domain.variant import State
from persona_img.rendering.base import RenderSettings
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.settings import Settings
from persona_img.workspace import Workspace


def decided(
    settings: Settings, profiled: loop.Profiled, slates: loop.Slates, made: list[loop.Rendered]
) -> DecisionTable:
    nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
    ranker = wiring.cold_ranker(settings).fit(nothing, profiled.features)
    return loop.decide(slates, made, ranker, wiring.policy(settings), profiled, version="v")


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
