"""Rankers by name."""

from __future__ import annotations

from pathlib import Path

from persona_img import wiring
from persona_img.settings import Settings


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
