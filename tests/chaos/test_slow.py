"""Whoever keeps connections open without a word takes the photo from nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.slow import slow_connections


@pytest.mark.slow
@pytest.mark.parametrize("many", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_the_photo_is_shown_beside_slow_connections(home: Path, many: int) -> None:
    found = slow_connections(home, many)
    assert found.shown == 2 * -(-many // 50)
    assert found.failed == 0
