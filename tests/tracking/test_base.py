from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import NotFound
from persona_img.tracking.base import Champions


@given(promotions=st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_rollbacks_undo_promotions_one_by_one(promotions: list[int]) -> None:
    states = [Champions()]
    for version in promotions:
        following = states[-1].promoted(version)
        if following != states[-1]:
            states.append(following)
    champions = states[-1]
    assert champions.current == promotions[-1]
    for before in reversed(states[1:-1]):
        champions = champions.rolled_back()
        assert champions == before
    with pytest.raises(NotFound):
        champions.rolled_back()


@given(versions=st.lists(st.integers(1, 5), max_size=6))
def test_roles_agree_with_resolve(versions: list[int]) -> None:
    champions = Champions()
    for version in versions:
        champions = champions.promoted(version)
    for role in ("champion", "previous"):
        try:
            version = champions.resolve(role)
        except NotFound:
            continue
        assert champions.resolve(version) == version
        assert role in {"champion", "previous"}
        assert champions.role(version) is not None
