"""A shop in one file, and a shop from that file that answers the same."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

import persona_img as pi
from contracts.event_log import NOON, a_click, a_showing, an_impression
from persona_img import wiring
from persona_img.cli import app
from persona_img.domain.decision import DecisionTable
from persona_img.errors import InvalidInput
from persona_img.settings import Settings
from persona_img.shop import backups
from persona_img.shop.backups import check_backup


@pytest.fixture
def shop(tmp_path: Path) -> pi.Shop:
    """A shop with a table, a secret, archived impressions, and a click since."""
    settings = Settings(
        home=tmp_path / "mine",
        test={"name": "hero"},
        stores={"features": "frame", "tracker": "folder"},
    )
    shop = pi.Shop.begin(settings)
    shop.workspace.save_decision_table(DecisionTable("v1", {}, {}, "all"))
    wiring.signer(shop.settings, shop.workspace)
    with closing(wiring.event_log(shop.workspace)) as log:
        log.record_events([an_impression(a_showing(n, shopper=f"s{n}"), n) for n in range(40)])
        shop.archive()
        log.record_events([a_click(a_showing(3, shopper="s3")), an_impression(99)])
    return shop


def everything(home: Path) -> dict[str, bytes]:
    """Names and bytes below a folder, but for databases and locks."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.suffix not in (".sqlite", ".lock")
    }


def test_a_restored_shop_says_what_the_shop_said(shop: pi.Shop, tmp_path: Path) -> None:
    made = shop.backup(tmp_path / "kept.zip")
    back = pi.Shop.from_backup(tmp_path / "kept.zip", tmp_path / "back")
    before = shop.feedback()
    assert (len(before), before["clicked"].sum()) == (41, 1)
    assert back.feedback().equals(before)
    assert back.table == shop.table
    assert everything(back.workspace.root) == everything(shop.workspace.root)
    assert (back.workspace.decision_key.stat().st_mode & 0o777) == 0o600
    assert check_backup(tmp_path / "kept.zip") == made
    # And both go on, each for itself.
    with closing(wiring.event_log(back.workspace)) as log:
        assert log.record_events([an_impression(99)]).duplicate == 1
        log.record_events([an_impression(100)])
    assert back.archive().impressions == 2
    assert len(back.feedback()) == 42
    assert shop.feedback().equals(before)


def test_a_backup_may_be_taken_while_events_come_and_are_archived(
    shop: pi.Shop, tmp_path: Path
) -> None:
    stop, failed = threading.Event(), []

    def busy() -> None:
        number = 1000
        with closing(wiring.event_log(shop.workspace)) as log:
            while not stop.is_set():
                log.record_events([an_impression(number, number), a_click(number - 1, number)])
                number += 1
                try:
                    shop.archive()
                except Exception as error:
                    failed.append(error)
                    return

    traffic = threading.Thread(target=busy)
    traffic.start()
    try:
        for number in range(4):
            shop.backup(tmp_path / f"{number}.zip")
    finally:
        stop.set()
        traffic.join()
    assert not failed
    whole = shop.feedback().set_index("decision_id")
    for number in range(4):
        back = pi.Shop.from_backup(tmp_path / f"{number}.zip", tmp_path / f"back-{number}")
        found = back.feedback().set_index("decision_id")
        assert len(found) >= 41
        back.archive()
        assert back.feedback().set_index("decision_id").equals(found)
        # What is there is as it is in the shop, but for clicks that came later.
        same = whole.loc[found.index]
        assert (same["clicked"] >= found["clicked"]).all()
        assert same.drop(columns="clicked").equals(found.drop(columns="clicked"))


def test_a_folder_that_holds_anything_is_refused(shop: pi.Shop, tmp_path: Path) -> None:
    path = tmp_path / "kept.zip"
    shop.backup(path)
    before = everything(shop.workspace.root)
    with pytest.raises(InvalidInput, match="new folder"):
        pi.Shop.from_backup(path, shop.workspace.root)
    assert everything(shop.workspace.root) == before
    with pytest.raises(InvalidInput, match="new folder"):
        pi.Shop.from_backup(path, path)
    (tmp_path / "empty").mkdir()
    assert len(pi.Shop.from_backup(path, tmp_path / "empty").feedback()) == 41


def test_a_backup_within_the_shop_is_refused(shop: pi.Shop) -> None:
    with pytest.raises(InvalidInput, match="outside"):
        shop.backup(shop.workspace.root / "kept.zip")


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flipped(path: Path) -> None:
    with zipfile.ZipFile(path) as packed:
        largest = max(packed.infolist(), key=lambda one: one.compress_size)
    held = bytearray(path.read_bytes())
    held[largest.header_offset + 80 + largest.compress_size // 2] ^= 1
    path.write_bytes(held)


def _changed(path: Path) -> None:
    """Whole as a zip, but a file of it is another one."""
    other = path.with_suffix(".other")
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(other, "w") as into:
        for name in packed.namelist():
            held = packed.read(name)
            into.writestr(name, b"0" * len(held) if name == "decision.key" else held)
    other.replace(path)


def _more(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("../elsewhere", "x")


def _other(path: Path) -> None:
    path.write_text("no zip")


@pytest.mark.parametrize("damage", [_cut, _half, _flipped, _changed, _more, _other])
def test_a_damaged_backup_is_refused_with_the_reason(
    shop: pi.Shop, tmp_path: Path, damage: object
) -> None:
    path = tmp_path / "kept.zip"
    shop.backup(path)
    damage(path)  # type: ignore[operator]
    with pytest.raises(InvalidInput, match=rf"(?s){path}: no whole backup \(.+\)"):
        pi.Shop.from_backup(path, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not list(tmp_path.glob(".back*"))


def test_a_backup_that_is_not_finished_has_no_name(
    shop: pi.Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.zip"
    path.write_text("the one of yesterday")
    put = backups._put

    def full(packed: object, name: str, *more: object) -> object:
        if name.endswith("decisions.json"):
            raise OSError(28, "No space left on device")
        return put(packed, name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(backups, "_put", full)
    with pytest.raises(OSError, match="No space"):
        shop.backup(path)
    assert path.read_text() == "the one of yesterday"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.zip", "mine"]


def test_a_backup_that_does_not_read_back_has_no_name(
    shop: pi.Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = backups._packed

    def disk_lies(*given: object) -> object:
        return dataclasses.replace(packed(*given), sha256="0" * 64)  # type: ignore[arg-type]

    monkeypatch.setattr(backups, "_packed", disk_lies)
    with pytest.raises(InvalidInput, match="other bytes"):
        shop.backup(tmp_path / "kept.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_restore_that_is_stopped_leaves_no_shop(
    shop: pi.Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.backup(tmp_path / "kept.zip")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        pi.Shop.from_backup(tmp_path / "kept.zip", tmp_path / "back")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.zip", "mine"]


def test_a_database_is_copied_as_it_is_at_one_moment(shop: pi.Shop, tmp_path: Path) -> None:
    """What is written and not committed is not in it; what is in the write-ahead log is."""
    with closing(wiring.event_log(shop.workspace)) as log:
        log.record_events([an_impression(500)])
        with closing(sqlite3.connect(shop.workspace.events)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM events")
            shop.backup(tmp_path / "kept.zip")
            db.execute("ROLLBACK")
    assert len(pi.Shop.from_backup(tmp_path / "kept.zip", tmp_path / "back").feedback()) == 42


def test_by_command(shop: pi.Shop, tmp_path: Path) -> None:
    path, home = tmp_path / "kept.zip", str(shop.workspace.root)
    done = CliRunner().invoke(app, ["backup", "-o", str(path), "--home", home])
    assert done.exit_code == 0, done.output
    assert "files" in done.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    done = CliRunner().invoke(app, ["restore", str(path), "--home", str(tmp_path / "back")])
    assert done.exit_code == 0, done.output
    assert "serves v1" in done.stdout
    done = CliRunner().invoke(app, ["archive", "--home", str(tmp_path / "back")])
    assert done.stdout.startswith("1 impressions of 1 days archived, 1 late")
    done = CliRunner().invoke(app, ["archive", "--check", "--home", str(tmp_path / "back")])
    assert "3 files with 41 impressions are as they were written" in done.stdout


def test_events_leave_the_log_by_the_settings(shop: pi.Shop) -> None:
    assert NOON < 1.78e9
    with closing(wiring.event_log(shop.workspace)) as log:
        log.record_events([an_impression(n, received_at=NOON) for n in range(200, 210)])
    assert shop.archive().pruned == 9  # the last one stays: by it log and archive know each other
    assert len(shop.feedback()) == 51
