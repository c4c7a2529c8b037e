"""Killed without a warning, the service loses and doubles nothing that it acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.kills import kill_workers


@pytest.mark.slow
@pytest.mark.parametrize("kills", [12, pytest.param(1000, marks=pytest.mark.long)])
def test_what_was_acknowledged_is_there_once_however_often_it_is_killed(
    home: Path, kills: int
) -> None:
    found = kill_workers(home, kills)
    assert found.kills >= kills
    assert found.acknowledged > 10 * kills
    assert (found.lost, found.doubled, found.failed, found.refused) == (0, 0, 0, 0)
    assert found.sound
