from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.ingest.interactions.events import Seen

# From all over the range, so that they fall into several buckets, and a few that meet.
events = st.integers(0, 40).map(lambda one: one * (2**64 // 41)) | st.integers(0, 2**64 - 1)
sources = st.lists(st.lists(st.none() | events, max_size=30), min_size=1, max_size=4)


@pytest.mark.parametrize("in_memory", [1000, 10])
@settings(max_examples=40, deadline=None)
@given(files=sources)
def test_each_event_is_kept_once_whatever_order_it_comes_in(
    tmp_path_factory: pytest.TempPathFactory, in_memory: int, files: list[list[int | None]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("persona_img.ingest.interactions.events._IN_MEMORY", in_memory)
        check(tmp_path_factory, files)


def check(tmp_path_factory: pytest.TempPathFactory, files: list[list[int | None]]) -> None:
    folder = tmp_path_factory.mktemp("events")
    earlier: dict[str, Path] = {}
    holders: dict[int, str] = {}
    for number, file in enumerate(files):
        name = str(number)
        with Seen(folder) as seen:
            for start in range(0, len(file), 7):
                piece = file[start : start + 7]
                known = np.array([one is not None for one in piece], bool)
                seen.add(np.array([one or 0 for one in piece], np.uint64), known)
            again, lost = seen.repeated(dict(earlier), folder / name)
        kept, first = set(), dict[str, int]()
        for place, event in enumerate(file):
            repeated = event is not None and (event in kept or event in holders)
            assert again[place] == repeated
            if event is not None:
                if event in holders and event not in kept:
                    first[holders[event]] = first.get(holders[event], 0) + 1
                kept.add(event)
        assert lost == first
        for event in kept:
            holders.setdefault(event, name)
        earlier[name] = folder / name
        stored = np.fromfile(folder / name, np.uint64)
        assert (np.sort(stored) == stored).all()
        assert {event for event in kept if holders[event] == name} == set(stored.tolist())
