"""The same event once, however many exports hold it, in memory that does not grow with them.

Events are numbers of 64 bits (see ``Check``): of ten million, two that differ share a number with
a chance of one in 300,000. A long source is cut by its events' first bits into buckets on disk; a
bucket is looked at alone, and looked up in the sorted files of earlier sources.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BITS = 6
_BUCKETS = 1 << _BITS
_IN_MEMORY = 1 << 20
_PAIR = np.dtype([("event", "<u8"), ("place", "<i8")])
_EVENTS = np.dtype("<u8")
Pairs = npt.NDArray[np.void]


class Seen:
    """Events of one source, as they come; use it in a ``with``.

    Args:
        folder: Where to put buckets; emptied by the caller.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = ExitStack()
        self._buckets: list[Path] = []
        self._waiting: list[Pairs] = []
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, events: npt.NDArray[np.uint64], known: npt.NDArray[np.bool_]) -> None:
        """The next rows' events; ``known`` says which rows have one."""
        pairs = np.empty(int(known.sum()), _PAIR)
        pairs["event"] = events[known]
        pairs["place"] = self._rows + np.flatnonzero(known)
        self._rows += len(known)
        self._waiting.append(pairs)
        if sum(map(len, self._waiting)) >= _IN_MEMORY:
            self._spill()

    def repeated(
        self, earlier: Mapping[str, Path], kept: Path
    ) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
        """Which rows' events were there before, in these rows or earlier sources.

        Args:
            earlier: Files that this method wrote for other sources, by their digest.
            kept: Where to keep this source's events, in rising order.

        Returns:
            True for each row to leave out (a byte a row), and how many each earlier source had.
        """
        before = {
            source: np.memmap(path, _EVENTS, mode="r")
            for source, path in earlier.items()
            if path.stat().st_size
        }
        again = np.zeros(self._rows, bool)
        lost: dict[str, int] = {}
        with kept.open("wb") as out:
            for pairs in self._groups():
                events, first, place = np.unique(
                    pairs["event"], return_index=True, return_inverse=True
                )
                new = np.ones(len(events), bool)
                for source, known in before.items():
                    there = new & _holds(known, events)
                    if there.any():
                        lost[source] = lost.get(source, 0) + int(there.sum())
                        new &= ~there
                left_out = ~new[place]
                left_out |= first[place] != np.arange(len(pairs))
                again[pairs["place"][left_out]] = True
                out.write(events[new].astype(_EVENTS).tobytes())
        return again, lost

    def _groups(self) -> Iterator[Pairs]:
        """All pairs; groups rise by their events, and in a group the rows do."""
        if not self._buckets:
            yield np.concatenate([np.empty(0, _PAIR), *self._waiting])
            return
        self._spill()
        self._files.close()
        for path in self._buckets:
            yield np.fromfile(path, _PAIR)
            path.unlink()

    def _spill(self) -> None:
        if not self._buckets:
            self._buckets = [self._folder / f"bucket-{number:02d}" for number in range(_BUCKETS)]
            self._out = [self._files.enter_context(path.open("wb")) for path in self._buckets]
        pairs = np.concatenate([np.empty(0, _PAIR), *self._waiting])
        self._waiting = []
        bucket = (pairs["event"] >> np.uint64(64 - _BITS)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(_BUCKETS + 1))
        for number, out in enumerate(self._out):
            out.write(pairs[order[ends[number] : ends[number + 1]]].tobytes())


def _holds(known: npt.NDArray[np.uint64], events: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which of the sorted ``events`` are among the sorted ``known``, without reading all of it."""
    places = np.searchsorted(known, events)
    places[places == len(known)] = 0
    found: npt.NDArray[np.bool_] = known[places] == events
    return found
