from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from persona_img.domain.decision import Arms, Candidate, DecisionTable, Ramp, Slate
from persona_img.domain.style import ORIGINAL
from persona_img.serving.decide import Decider
from persona_img.serving.follow import Follower
from persona_img.serving.memory_log import MemoryEventLog
from persona_img.workspace import Workspace

PHOTO = Slate((Candidate(ORIGINAL, None, 1.0),))


def table(version: str) -> DecisionTable:
    return DecisionTable(version, {("s", "p"): PHOTO}, {}, "s")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.open(tmp_path / "shop")
    made.save_decision_table(table("v1"))
    return made


def followed(workspace: Workspace) -> tuple[Decider, Follower]:
    arms = Arms("hero", {"control": 0.5, "personalized": 0.5})
    decider = Decider(workspace.decision_table(), arms, MemoryEventLog())

    def read() -> tuple[DecisionTable, frozenset[str], Ramp | None]:
        return workspace.decision_table(), workspace.revoked(), workspace.ramp()

    return decider, Follower(decider, workspace.published, read, seconds=0.01)


def test_what_is_published_is_taken_once(workspace: Workspace) -> None:
    decider, follower = followed(workspace)
    assert follower.look()
    assert not follower.look()
    workspace.save_decision_table(table("v2"))
    assert follower.look()
    assert not follower.look()
    assert decider.table == table("v2")


def test_what_cannot_be_read_is_not_taken_and_said(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    decider, follower = followed(workspace)
    follower.look()
    path = workspace.root / "decisions.json"
    whole = path.read_text()
    broken_files = (
        whole[:40],
        "{}",
        "[]",
        "null",
        json.dumps({**json.loads(whole), "policy_version": 5}),
        json.dumps({"policy_version": "of-nobody"}),
    )
    for broken in broken_files:
        path.write_text(broken)
        assert not follower.look()
        assert decider.table == table("v1")
        assert "what was before is" in caplog.text
        caplog.clear()
        assert "the one before it is served" in follower.hindrance
    path.unlink()
    assert not follower.look()
    workspace.save_decision_table(table("v3"))
    assert follower.look()
    assert not follower.hindrance
    assert decider.table == table("v3")


def test_what_is_back_as_it_was_hinders_nothing(workspace: Workspace) -> None:
    follower = followed(workspace)[1]
    assert follower.look()
    path = workspace.root / "decisions.json"
    path.rename(path.with_suffix(".away"))
    assert not follower.look()
    assert follower.hindrance
    path.with_suffix(".away").rename(path)
    assert not follower.look()
    assert not follower.hindrance


def test_a_damaged_table_is_made_again_from_its_plan_and_named(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    decider, follower = followed(workspace)
    follower.look()
    workspace.save_decision_table(table("v2"))
    file = workspace.mapped / "v2.table"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")
    assert follower.look()
    assert decider.table == table("v2")
    assert file.read_bytes() == whole
    assert f"{file}: missing or damaged" in caplog.text


@pytest.mark.parametrize("spoil", [lambda whole: whole[:-1] + b"?", lambda whole: whole[:40]])
def test_a_table_that_is_written_over_while_it_is_served_is_made_again(
    workspace: Workspace, spoil: Callable[[bytes], bytes]
) -> None:
    decider, follower = followed(workspace)
    follower.look()
    file = workspace.mapped / "v1.table"
    whole = file.read_bytes()
    file.write_bytes(spoil(whole))  # in its place, as ``cp`` does
    assert decider.table == table("v1"), "nobody is served what lies there now"
    assert follower.look()
    assert (file.read_bytes(), decider.table) == (whole, table("v1"))
    follower.look()  # its file is another one by now
    assert not follower.look()


def test_a_table_that_cannot_be_written_is_served(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    decider, follower = followed(workspace)
    follower.look()
    workspace.save_decision_table(table("v2"))
    (workspace.mapped / "v2.table").unlink()
    monkeypatch.setattr("persona_img.workspace.write_table", full)
    assert follower.look()
    assert decider.table == table("v2")
    assert "served from memory" in caplog.text


def test_what_hindered_for_a_moment_is_tried_again_and_said_once(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    decider = followed(workspace)[0]
    hindered = True

    def read() -> tuple[DecisionTable, frozenset[str], None]:
        if hindered:
            raise OSError("too many open files")
        return workspace.decision_table(), workspace.revoked(), None

    follower = Follower(decider, workspace.published, read)
    workspace.save_decision_table(table("v2"))
    assert not follower.look()
    assert not follower.look()
    assert caplog.text.count("too many open files") == 1
    hindered = False
    assert follower.look()
    assert decider.table == table("v2")
    assert not follower.look()


def test_a_version_that_names_another_table_now_is_not_taken(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    decider, follower = followed(workspace)
    follower.look()
    workspace.save_decision_table(DecisionTable("v1", {}, {}, "s"))
    assert not follower.look()
    assert "'v1' was used for another table" in caplog.text
    assert decider.table == table("v1")


def test_it_looks_by_itself_until_it_is_left(workspace: Workspace) -> None:
    decider, follower = followed(workspace)
    with follower:
        workspace.save_decision_table(table("v2"))
        waited = time.monotonic() + 20
        while decider.table != table("v2") and time.monotonic() < waited:
            time.sleep(0.005)
    assert decider.table == table("v2")
    assert all(t.name != "persona-img-follow" for t in threading.enumerate())
    workspace.save_decision_table(table("v3"))
    assert decider.table == table("v2")
