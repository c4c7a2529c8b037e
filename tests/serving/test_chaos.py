"""Killed again and again under load: nothing that was acknowledged is lost, or counted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from .chaos import chaos


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6, pytest.param(1000, marks=pytest.mark.long)])
def test_a_loaded_service_that_is_killed_loses_and_doubles_nothing(
    kills: int, tmp_path: Path
) -> None:
    figures = chaos(kills, tmp_path)
    assert figures.kills == kills
    assert figures.impressions > 10 * kills
    assert figures.repeated > 0, "kills come while events are under way"
    assert (figures.lost, figures.doubled, figures.rejected) == (0, 0, 0), figures
