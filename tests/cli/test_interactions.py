"""A shop's own interactions through the command line, in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from persona_img.cli import main

DATA = Path(__file__).parents[1] / "data"
START = datetime(2026, 3, 1)
Run = Callable[..., str]
MAP = "shopper=user_id,product=sku,kind=event,occurred_at=ts"
KINDS = "view=detail_view,cart=add,purchase=order"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object, status: int = 0) -> str:
        given = ["persona-img", *map(str, arguments), "--home", str(tmp_path / "shop")]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code == status, said
        return said.out + said.err

    return call


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A merchant's table: times of a clock in Berlin, kinds and columns of its own."""
    rng = np.random.default_rng(3)
    numbers = np.arange(900)
    path = tmp_path / "events.csv"
    pd.DataFrame({
        "user_id": [f"u{n}" for n in rng.integers(0, 60, 900)],
        "sku": rng.choice(["dress-01", "shirt-01", "gone-01"], 900),
        "event": [("detail_view", "detail_view", "add", "order", "refund")[n % 5] for n in numbers],
        "ts": [(START + timedelta(minutes=30 * int(n))).isoformat(" ") for n in numbers],
    }).to_csv(path, index=False, sep=";", encoding="utf-8-sig")  # fmt: skip
    return path


@pytest.mark.slow
def test_own_interactions_become_segments(run: Run, events: Path, tmp_path: Path) -> None:
    for name, category in (("dress-01", "dress"), ("shirt-01", "shirt")):
        photo = DATA / "photos" / f"{name}.jpg"
        run("catalog", "add", photo, "--category", category, "--licence", "own")
    settings = "[learn]\nsegments = 2\nleast_shoppers = 20\n"
    (tmp_path / "shop" / "persona-img.toml").write_text(settings)
    add = ("interactions", "add", events, "--map", MAP, "--kinds", KINDS)
    assert "give times with a time zone, or --timezone" in run(*add, status=2)
    said = run(*add, "--timezone", "Europe/Berlin")
    assert "CSV, UTF-8-SIG, separated by ;" in said
    assert "occurred_at from ts (times without a zone, read in Europe/Berlin)" in said
    assert "900 rows, 720 interactions: 360 views, 180 carts, 180 purchases" in said
    assert "180  kind 'refund' is unknown" in said
    assert "are of 1 products that the catalogue has not" in said
    assert "gone-01" in said
    listed = next((tmp_path / "shop" / "interactions" / "rejects").iterdir())
    assert str(listed) in said
    assert len(listed.read_text().splitlines()) == 181
    assert "events.csv: counted before" in run(*add, "--timezone", "Europe/Berlin")
    described = run("profile", "--as-of", "2026-04-01")
    assert "dress" in described
    assert "gone-01" not in described


def test_json_tells_the_same(run: Run, events: Path) -> None:
    add = ("interactions", "add", events, "--map", MAP, "--kinds", KINDS, "--timezone", "UTC")
    told = json.loads(run(*add, "--json"))
    assert (told["added"], told["rejected"], told["total"]) == (720, 180, 720)
    [file] = told["files"]
    assert file["found"]["shopper"] == ["user_id"]
    assert Path(file["rejects"]).exists()
    shown = json.loads(run("interactions", "show", "--json"))
    assert shown["interactions"] == 720
    assert shown["kinds"] == {"view": 360, "cart": 180, "purchase": 180}
    assert shown["first"] == "2026-03-01T00:00:00+00:00"
    assert [one["digest"] for one in shown["files"]] == [file["digest"]]
    said = run("interactions", "show")
    assert "720 interactions: 360 views, 180 carts, 180 purchases; 2026-03-01 to" in said
    assert file["digest"][:12] in said
    assert "720 interactions of events.csv removed; 0 left" in run(
        "interactions", "remove", file["digest"][:12]
    )
    assert run("interactions", "show").strip() == "0 interactions"


def test_options_reach_what_they_name(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "orders.txt"
    text = "Käufer|sku|when\nzoë|1|01.03.2026 12:00\nmia|2|02.03.2026 12:00\n"
    path.write_bytes(text.encode("cp1252"))
    given = ("--map", "shopper=Käufer,product=sku", "--map", "occurred_at=when",
             "--kind", "purchase", "--timezone", "Europe/Berlin", "--delimiter", "|",
             "--encoding", "cp1252", "--time-format", "%d.%m.%Y %H:%M")  # fmt: skip
    tried = run("interactions", "add", path, *given, "--dry-run")
    assert "2 interactions would be added (--dry-run)" in tried
    assert run("interactions", "show").strip() == "0 interactions"
    assert "2 purchases" in run("interactions", "add", path, *given)
    assert "kind 'look': use view" in run("interactions", "add", path, "--kind", "look", status=2)
    mapped = ("--map", "shopper=sku", "--map", "product=sku")
    assert "map it once" in run("interactions", "add", path, *mapped, status=2)


def test_known_exports_and_broken_files(run: Run, tmp_path: Path) -> None:
    exports = DATA / "exports"
    assert "say --from ga4" in run("interactions", "add", exports / "ga4.jsonl", status=2)
    said = run("interactions", "add", exports / "ga4.jsonl", "--from", "ga4")
    assert "3 rows of other kinds, left out: session_start 1, page_view 1" in said
    assert "2 left out: their events are counted already" in said
    assert "there are ga4" in run("interactions", "add", exports, "--from", "piwik", status=2)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    both = (exports / "segment.jsonl", tmp_path / "broken.parquet", "--from", "segment")
    said = run("interactions", "add", *both, status=1)
    assert "not read:" in said
    assert "broken.parquet: broken Parquet" in said
    assert "4 interactions added; 9 in all" in said
    files = ("segment.jsonl", "ga4.jsonl")
    assert "5 interactions of ga4.jsonl removed" in run("interactions", "remove", files[1])
    assert "no such file was added" in run("interactions", "remove", "x", status=2)


def test_what_was_left_out_for_a_removed_file_is_said(run: Run, tmp_path: Path) -> None:
    rows = [f"u,p{n},view,2026-03-01T00:00:00Z,e{n}" for n in range(9)]
    for name, part in (("a.csv", rows[:6]), ("b.csv", rows[3:])):
        head = "shopper,product,kind,occurred_at,id\n"
        (tmp_path / name).write_text(head + "\n".join(part) + "\n")
        run("interactions", "add", tmp_path / name, "--map", "event_id=id")
    said = run("interactions", "remove", "a.csv")
    assert "3 events of b.csv had been left out because a.csv held them" in said


def test_adding_to_simulated_shoppers_is_refused(run: Run, events: Path) -> None:
    photo = DATA / "photos" / "dress-01.jpg"
    run("catalog", "add", photo, "--category", "dress", "--licence", "own")
    run("simulate", "--shoppers", 30, "--days", 5, "--until", "2026-03-02")
    add = ("interactions", "add", events, "--map", MAP, "--timezone", "UTC")
    assert "holds simulated shoppers" in run(*add, status=2)


def test_real_shoppers_are_not_simulated_over(run: Run, events: Path) -> None:
    photo = DATA / "photos" / "dress-01.jpg"
    run("catalog", "add", photo, "--category", "dress", "--licence", "own")
    run("interactions", "add", events, "--map", MAP, "--kinds", KINDS, "--timezone", "UTC")
    said = run("simulate", "--shoppers", 30, "--days", 5, "--until", "2026-03-02", status=2)
    assert "interactions of real shoppers" in said
    assert "720 interactions" in run("interactions", "show")


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("23-interactions-tz-naive", "give times with a time zone"),
        ("24-interactions-no-time-column", "no column occurred_at"),
        ("28-interactions-dates", "give times with a time zone"),
        ("28-interactions-text", "give times with a time zone"),
        ("28-interactions-unix", "give times with a time zone"),
    ],
)
def test_a_table_put_there_by_hand_ends_with_a_message(
    run: Run, tmp_path: Path, case: str, said: str
) -> None:
    photo = DATA / "photos" / "dress-01.jpg"
    run("catalog", "add", photo, "--category", "dress", "--licence", "own")
    path = tmp_path / "shop" / "tables" / "interactions.parquet"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((DATA / "cases" / f"{case}.parquet").read_bytes())
    assert said in run("profile", "--as-of", "2026-11-01", status=2)
