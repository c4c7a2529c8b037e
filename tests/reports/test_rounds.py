from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from abtest.conftest import simulate_feedback
from persona_img.abtest import ABTest
from persona_img.abtest.report import RecordNote
from persona_img.assets import ASSETS
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL, Style
from persona_img.reports import rounds, sheet


def test_products_of_which_segments_see_different_pictures_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = list(Catalog.load(ASSETS / "catalog" / "products.csv"))[:3]
    linen = Style("surface=linen")

    def slate(photo: float) -> Slate:
        return Slate((Candidate(ORIGINAL, None, photo), Candidate(linen, "d" * 64, 1 - photo)))

    slates = {
        (segment, product.product): slate(0.9 if place < 2 or segment == "a" else 0.1)
        for place, product in enumerate(shipped)
        for segment in ("a", "b")
    }
    table = DecisionTable("v1", slates, {"x": "a", "y": "b"}, "a")
    seen = {}
    real = sheet.contact_sheet

    def kept(rows: list) -> object:
        seen["titles"] = [title for title, _ in rows]
        return real(rows)

    monkeypatch.setattr(sheet, "contact_sheet", kept)
    rounds.write_sheet(
        tmp_path / "sheet.jpg",
        Catalog(shipped),
        SimpleNamespace(segments={"x": "a", "y": "b"}),  # type: ignore[arg-type]
        table,
        SimpleNamespace(path=lambda _: shipped[2].photo),  # type: ignore[arg-type]
    )
    assert seen["titles"] == [shipped[2].title, shipped[0].title, shipped[1].title]


def test_the_page_says_by_which_record_it_reads_and_what_was_changed_since(tmp_path: Path) -> None:
    feedback = simulate_feedback(300, seed=1)
    plain = ABTest("hero").analyze(feedback)
    note = RecordNote(
        "ab" * 32, "CTR decides", "2026-03-01T12:00:00+00:00",
        changed=("minimal_effect: 0.1 -> 0.3",), overruled=("[test] planned_shoppers = 77",),
    )  # fmt: skip
    pages = []
    for report in (plain, dataclasses.replace(plain, record=note)):
        one = rounds.Round(1, "v1", report, "run", {}, DecisionTable("v1", {}, {}, "a"), feedback)
        store = SimpleNamespace()
        page = rounds.write_report(
            tmp_path / "report.html",
            [one],
            None,
            [],
            Catalog([]),
            store,
            tmp_path,  # type: ignore[arg-type]
        )
        pages.append(page.read_text(encoding="utf-8"))
    assert "changed after the start" not in pages[0]
    assert "record abababababab, started 2026-03-01T12:00:00+00:00: CTR decides" in pages[1]
    assert "not in force: minimal_effect: 0.1 -&gt; 0.3" in pages[1]
    assert "[test] planned_shoppers = 77" in pages[1]
