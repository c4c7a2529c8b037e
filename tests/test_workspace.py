from __future__ import annotations

import json
import multiprocessing
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from examples import watched
from persona_img.domain.decision import Arms, Candidate, DecisionTable, Ramp, Slate
from persona_img.domain.leaning import Leaning, Personal
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, NotFound, StoreConflict
from persona_img.serving.decide import Decider
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.settings import Serve, Settings
from persona_img.workspace import RampStage, Workspace, writable_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_somebody_elses_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInput, match="empty one"):
        Workspace.open(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_our_folder_opens_again_and_a_file_is_refused(tmp_path: Path) -> None:
    first = Workspace.open(tmp_path / "shop")
    first.save_json("x", [1])
    assert Workspace.open(tmp_path / "shop").json("x") == [1]
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="file"):
        Workspace.open(tmp_path / "file")


def test_tables_come_back_and_missing_ones_name_the_step(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    frame = pd.DataFrame({"a": [1.5, float("nan")]})
    workspace.save_table("t", frame)
    pd.testing.assert_frame_equal(workspace.table("t"), frame)
    with pytest.raises(NotFound, match="run the step"):
        workspace.table("u")


def test_what_serving_decides_by_comes_back(tmp_path: Path) -> None:
    slate = Slate((Candidate(ORIGINAL, None, 0.25), Candidate(Style("a=b"), "d" * 64, 0.75)))
    table = DecisionTable("v1", {("s", "p"): slate}, {"shopper": "s"}, "s")
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(table)
    assert workspace.decision_table() == table
    later = DecisionTable("v2: a/b", {("s", "p"): slate}, {"shopper": "s"}, "s")
    workspace.save_decision_table(later)
    assert workspace.decision_table() == later
    assert {t.policy_version for t in workspace.decision_tables()} == {"v1", "v2: a/b"}


def test_what_turns_chances_to_single_shoppers_comes_back_with_every_revision(
    tmp_path: Path,
) -> None:
    slate = Slate((Candidate(ORIGINAL, None, 0.25), Candidate(Style("a=b"), "d" * 64, 0.75)))
    leaning = Leaning(("views",), (("a", "b"),), {"s": (0.5,)}, (1.5,), ((0.1,), (-0.2,)))
    personal = Personal(leaning, 11.0, 0.02)
    table = DecisionTable("v1", {("s", "p"): slate}, {"shopper": "s"}, "s", personal)
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(table)
    assert workspace.decision_table() == workspace.plan("v1") == table
    moved = Slate(tuple(replace(c, probability=0.5) for c in slate.candidates))
    revised = table.revised({("s", "p"): moved})
    workspace.save_decision_table(revised, replacing="v1")
    assert workspace.decision_table() == revised
    assert workspace.decision_tables()[-1].personal == personal
    workspace.stop(revised, "harm", ranker=None)
    assert workspace.decision_table().personal is None


def test_tables_come_in_the_order_of_their_publication(tmp_path: Path) -> None:
    """Whatever they are called; one is from before tables had numbers, one is published anew."""
    workspace = Workspace.open(tmp_path / "shop")
    slate = Slate((Candidate(ORIGINAL, None, 1.0),))

    def publish(*versions: str) -> None:
        for version in versions:
            workspace.save_decision_table(DecisionTable(version, {("s", "p"): slate}, {}, "s"))

    publish("zero")
    old = json.loads((tmp_path / "shop" / "decisions" / "zero.json").read_text())
    del old["published"]
    workspace.save_json("decisions/zero", old)
    workspace.save_json("decisions", old)
    publish("version-9-new", "version-10", "cold", "version-9-new")
    order = [table.policy_version for table in workspace.decision_tables()]
    assert order == ["zero", "version-10", "cold", "version-9-new"]
    assert workspace.decision_table().policy_version == order[-1]


def test_going_back_serves_what_a_ranker_planned_and_revokes_what_the_other_did(
    tmp_path: Path,
) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    slate = Slate((Candidate(ORIGINAL, None, 1.0),))
    planned = (("a", 1), ("b", 1), ("c", 2), ("d", 2))
    for version, ranker in planned:
        table = DecisionTable(version, {("s", "p"): slate}, {}, "s")
        workspace.save_decision_table(table, ranker=ranker)
    assert workspace.served_ranker() == 2
    assert workspace.go_back(1, instead_of=2)
    assert workspace.decision_table().policy_version == "b"
    assert workspace.served_ranker() == 1
    assert workspace.revoked() == {"c", "d"}
    assert workspace.decision_tables()[-1].policy_version == "b"
    assert not workspace.go_back(9, instead_of=1)  # it planned nothing: what is served stays
    assert workspace.decision_table().policy_version == "b"
    assert workspace.revoked() == {"a", "b", "c", "d"}
    workspace.allow(2)
    assert workspace.revoked() == {"a", "b"}


def test_a_table_whose_file_is_gone_is_made_again_of_its_record(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    plan = a_plan("v1")
    workspace.save_decision_table(plan)
    revised = plan.revised({("s", "p"): a_plan("", 0.75).slates["s", "p"]})
    for table in (plan, revised):
        workspace.save_decision_table(table)
        (file,) = workspace.mapped.glob(f"{table.policy_version}.table")
        file.unlink()
        assert workspace.decision_table() == table
        assert file.is_file()


@pytest.mark.parametrize("file", ["decisions.json", "decisions/v1.json"])
def test_what_a_newer_program_published_is_refused_by_name(tmp_path: Path, file: str) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"))
    shutil.rmtree(workspace.mapped)
    path = workspace.root / file
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StoreConflict, match=rf"{file}: of format 2, this program reads 1"):
        workspace.decision_table()
    read = workspace.served_ranker if file == "decisions.json" else workspace.decision_tables
    with pytest.raises(StoreConflict, match="of format 2"):
        read()


def test_a_home_of_before_there_were_files_is_served_from_one(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"))
    whole = workspace.json("decisions/v1")
    for path in (workspace.root / "decisions" / "v1.json", workspace.mapped / "v1.table"):
        path.unlink()
    workspace.save_json("decisions", whole)
    assert workspace.decision_table() == a_plan("v1")
    assert (workspace.mapped / "v1.table").is_file()


def test_files_of_tables_that_are_not_served_are_deleted_and_stay_mapped(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v0"))
    held = workspace.decision_table()
    workspace.begin_ramp(a_plan("ramp"), ranker=2, share=0.1, now=NOON)
    for number in range(1, 9):
        workspace.save_decision_table(a_plan(f"v{number}"))
    found = {path.stem for path in workspace.mapped.iterdir()}
    assert found == {"ramp", "v6", "v7", "v8"}
    assert held == a_plan("v0")


def a_plan(version: str, chance: float = 0.5) -> DecisionTable:
    candidates = (
        Candidate(ORIGINAL, None, 1.0 - chance),
        Candidate(Style("a=b"), "d" * 64, chance),
    )
    return DecisionTable(version, {("s", "p"): Slate(candidates)}, {}, "s")


def test_of_revisions_the_difference_is_kept_and_all_come_back(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    one, two = a_plan("v1").slates["s", "p"], a_plan("v1", 0.75).slates["s", "p"]
    plan = DecisionTable("v1", {("s", f"p{n}"): one for n in range(50)}, {"ann": "s"}, "s")
    workspace.save_decision_table(plan, ranker=3)
    first = plan.revised({("s", "p1"): two})
    second = first.revised({("s", "p1"): one, ("s", "p2"): two})
    for table in (first, second):
        workspace.save_decision_table(table, ranker=3)
    again = Workspace.open(tmp_path / "shop")
    assert again.decision_table() == second
    assert again.decision_tables() == [plan, first, second]
    assert again.decision_tables(of=[first.policy_version]) == [plan, first, second]
    assert again.decision_tables(of=["of-nobody"]) == []
    assert again.plan(second.policy_version) == plan
    assert again.served_ranker() == 3
    kept = json.loads((tmp_path / "shop" / "decisions" / "v1~r2.json").read_text())
    assert [row["product"] for row in kept["slates"]] == ["p2"]


def test_who_publishes_over_what_is_served_no_more_is_told(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"))
    workspace.save_decision_table(a_plan("v2"), replacing="v1")
    with pytest.raises(StoreConflict, match="'v1' is not served any more, 'v2' is"):
        workspace.save_decision_table(a_plan("v3"), replacing="v1")
    with pytest.raises(StoreConflict, match="'v1' is not served any more"):
        workspace.stop(a_plan("v1"), "late", ranker=None)
    assert workspace.decision_table() == a_plan("v2")
    assert workspace.stopped() is None
    assert [t.policy_version for t in workspace.decision_tables()] == ["v1", "v2"]


def test_going_back_serves_the_newest_revision_whole(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    plan = a_plan("v1")
    revision = plan.revised(dict(a_plan("v1", 0.75).slates))
    workspace.save_decision_table(plan, ranker=1)
    workspace.save_decision_table(revision, ranker=1)
    workspace.save_decision_table(a_plan("v2"), ranker=2)
    assert workspace.go_back(1, instead_of=2)
    assert workspace.decision_table() == revision
    assert workspace.plan(revision.policy_version) == plan
    assert workspace.revoked() == {"v2"}


def test_a_ramp_goes_stage_by_stage_and_nobody_moves_it_twice(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"), ranker=1)
    before = workspace.published()
    workspace.begin_ramp(a_plan("v2", 0.875), ranker=2, share=0.1, now=NOON)
    assert workspace.published() != before
    assert workspace.decision_table().policy_version == "v1"
    assert workspace.ramp() == Ramp(a_plan("v2", 0.875), 0.1)
    with pytest.raises(StoreConflict, match="'v2' is on a ramp"):
        workspace.begin_ramp(a_plan("v3"), ranker=3, share=0.1, now=NOON)
    first = workspace.ramp_stage()
    assert first is not None
    workspace.widen_ramp(first, share=0.5, now=NOON)
    stale: list[Callable[[], None]] = [
        lambda: workspace.widen_ramp(first, share=0.5, now=NOON),
        lambda: workspace.finish_ramp(first),
        lambda: workspace.end_ramp(first, keep=False),
    ]
    for call in stale:
        with pytest.raises(StoreConflict, match="moved on"):
            call()
    second = workspace.ramp_stage()
    assert second == RampStage("v2", 2, 0.5, NOON)
    workspace.finish_ramp(second)
    workspace.finish_ramp(second)  # as after a crash
    assert workspace.decision_table() == a_plan("v2", 0.875)
    assert workspace.served_ranker() == 2
    workspace.end_ramp(second, keep=True)
    assert workspace.ramp() is None
    assert workspace.revoked() == frozenset()
    assert [t.policy_version for t in workspace.decision_tables()] == ["v1", "v2"]


def test_what_a_halted_ramp_showed_is_not_kept(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"), ranker=1)
    workspace.begin_ramp(a_plan("v2"), ranker=2, share=0.1, now=NOON)
    stage = workspace.ramp_stage()
    assert stage is not None
    workspace.end_ramp(stage, keep=False)
    assert (workspace.ramp(), workspace.revoked()) == (None, {"v2"})
    assert workspace.decision_table().policy_version == "v1"


def test_a_stop_takes_the_ramp_along(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"), ranker=1)
    workspace.begin_ramp(a_plan("v2"), ranker=2, share=0.1, now=NOON)
    workspace.stop(workspace.decision_table(), "it does harm", ranker=1)
    assert (workspace.ramp(), workspace.revoked()) == (None, {"v1", "v2"})
    slates = workspace.decision_table().slates
    assert [c.style for slate in slates.values() for c in slate.candidates] == [ORIGINAL]
    assert workspace.stopped() == (1, "it does harm")


def changing_nothing(workspace: Workspace) -> Decider:
    """Without a budget, and with every picture servable, as a shop's own decider may have it."""
    arms = Arms("hero", {"control": 0.001, "personalized": 0.999})
    return Decider(
        workspace.decision_table(),
        arms,
        MemoryEventLog(),
        change_budget=0,
        servable=lambda digest, product: True,
    )


def shown(decider: Decider, workspace: Workspace) -> set[str | None]:
    decider.replace(workspace.decision_table(), workspace.revoked())
    return {watched(decider, f"shopper {n}", "p", 1.0).digest for n in range(40)}


def test_a_stop_reaches_those_who_kept_a_picture_of_an_earlier_plan(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"), ranker=1)
    decider = changing_nothing(workspace)
    assert shown(decider, workspace) == {None, "d" * 64}
    workspace.save_decision_table(a_plan("v2"), ranker=2)
    assert shown(decider, workspace) == {None, "d" * 64}
    workspace.stop(workspace.decision_table(), "it does harm", ranker=2)
    assert shown(decider, workspace) == {None}


@pytest.mark.parametrize("comes_back", ["rollback", "promotion"])
def test_what_was_stopped_is_not_kept_although_its_ranker_comes_back(
    comes_back: str, tmp_path: Path
) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"), ranker=1)
    decider = changing_nothing(workspace)
    shown(decider, workspace)
    workspace.stop(workspace.decision_table(), "it does harm", ranker=1)
    if comes_back == "promotion":
        workspace.allow(1)
    else:
        workspace.save_decision_table(a_plan("v2"), ranker=2)
        workspace.resume()
        assert workspace.go_back(1, instead_of=2)
    assert workspace.decision_table().policy_version == "v1-stopped"
    assert shown(decider, workspace) == {None}


def test_a_ramp_that_is_finished_again_leaves_a_revision_of_its_table_alone(
    tmp_path: Path,
) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    workspace.save_decision_table(a_plan("v1"), ranker=1)
    workspace.begin_ramp(a_plan("v2"), ranker=2, share=0.5, now=NOON)
    stage = workspace.ramp_stage()
    assert stage is not None
    workspace.finish_ramp(stage)
    revision = a_plan("v2").revised(dict(a_plan("v2", 0.75).slates))
    workspace.save_decision_table(revision, ranker=2)
    workspace.finish_ramp(stage)
    assert workspace.decision_table() == revision


def publishing(home: Path, product: str, ready: Barrier) -> None:
    """Ten revisions, each over what is served at that moment; in a process of its own."""
    workspace = Workspace(home)
    ready.wait(60)
    done = 0
    while done < 10:
        served = workspace.decision_table()
        chance = served.slates["s", product].candidates[1].probability + 1 / 64
        revised = served.revised({("s", product): a_plan("", chance).slates["s", "p"]})
        try:
            workspace.save_decision_table(revised, replacing=served.policy_version)
        except StoreConflict:
            continue
        done += 1


def test_two_processes_that_publish_at_once_lose_nothing(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "shop")
    slate = a_plan("").slates["s", "p"]
    workspace.save_decision_table(
        DecisionTable("v1", {("s", "a"): slate, ("s", "b"): slate}, {}, "s")
    )
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(2)
    both = [context.Process(target=publishing, args=(workspace.root, p, ready)) for p in "ab"]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert [one.exitcode for one in both] == [0, 0]
    tables = workspace.decision_tables()
    assert [t.policy_version for t in tables] == ["v1", *(f"v1~r{n}" for n in range(1, 21))]
    assert tables[-1] == workspace.decision_table()
    for place in (("s", "a"), ("s", "b")):
        chances = [table.slates[place].candidates[1].probability for table in tables]
        assert chances == sorted(chances)
        assert chances[-1] == 0.5 + 10 / 64


def test_a_home_whose_name_is_a_pattern_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match=r"\*' stands for any name"):
        Workspace.open(tmp_path / "a*b" / "shop")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "c*d").mkdir()
    monkeypatch.chdir(tmp_path / "c*d")
    with pytest.raises(InvalidInput, match="without it"):
        Workspace.open("shop")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="file"):
        writable_folder(tmp_path / "file" / "out")


def test_settings_come_from_arguments_environment_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "persona-img.toml").write_text(
        "[learn]\nsegments = 3\nslate = 2\n[serve]\nport = 1234\n"
    )
    monkeypatch.setenv("PERSONA_IMG_LEARN__SLATE", "5")
    monkeypatch.setenv("PERSONA_IMG_SERVE__PORT", "4321")
    settings = Settings.load(serve={"port": 99, "host": None}, home=None)
    assert (settings.learn.segments, settings.learn.slate, settings.serve.port) == (3, 5, 99)
    with pytest.raises(InvalidInput, match="floor"):
        Settings.load(learn={"floor": 0.9})
    (tmp_path / "persona-img.toml").write_text("[learn]\nsegments = \n")
    with pytest.raises(InvalidInput, match="TOML"):
        Settings.load()
    (tmp_path / "persona-img.toml").unlink()
    monkeypatch.setenv("PERSONA_IMG_TEST__NAME", "no spaces here")
    with pytest.raises(InvalidInput, match="no spaces here"):
        Settings.load()


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"decision_ms": 9}, "decision_ms=9: .* 10"),
        ({"decision_ms": 10_001}, "decision_ms=10001: .* 10000"),
        ({"decision_ms": float("nan")}, "decision_ms"),
        ({"photo_url": "https://cdn.shop/photo.jpg"}, "photo_url=.*say {product} once"),
        ({"photo_url": "{product}{product}"}, "photo_url=.*begin with https"),
        ({"photo_url": "javascript:{product}"}, "photo_url=.*begin with https"),
        ({"decision_key": "short"}, "decision_key=.*32"),
    ],
)
def test_a_setting_of_the_service_that_cannot_work_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, object], rule: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=rule):
        Settings.load(serve=given)


def test_a_shop_keeps_what_it_was_opened_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "persona-img.toml").write_text("[learn]\nsegments = 3\nfloor = 0.1\n")
    home = tmp_path / "shop"
    home.mkdir()
    opened = Settings(
        home=home,
        seed=3,
        test={"personalized_share": 0.8},
        serve={"tokens": ("a" * 20,), "port": 99},
    )
    assert "a" * 20 not in opened.save().read_text()
    later = Settings.load(home=home, seed=4)
    assert (
        later.test.personalized_share,
        later.learn.segments,
        later.learn.floor,
        later.seed,
    ) == (0.8, 3, 0.1, 4)
    assert (later.serve, later.home) == (Serve(), home)
    assert type(later) is Settings
    assert Settings.fresh(home=home).test.personalized_share == 0.5
    monkeypatch.setenv("PERSONA_IMG_HOME", str(home))
    monkeypatch.setenv("PERSONA_IMG_TEST__PERSONALIZED_SHARE", "0.3")
    assert Settings.load().test.personalized_share == 0.3
    (home / "persona-img.toml").write_text("shops = 1\n")
    with pytest.raises(InvalidInput, match="shops"):
        Settings.load(home=home)
