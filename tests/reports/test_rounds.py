from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

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
