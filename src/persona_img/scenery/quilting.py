"""More of a material than one tile: image quilting, on a torus.

References:
    Efros and Freeman 2001, "Image Quilting for Texture Synthesis and Transfer", SIGGRAPH: pieces
    of a tile, each joined to its neighbours along the cheapest cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIECE, _OVERLAP = 0.5, 0.16  # of the tile's side
_SEARCHED = 128  # pixels of a tile among which what matches is searched
_GOOD = 6  # of the places that match best one is taken
_SPARED = 2.0  # how much worse a place may match for each time it was taken less
_NEARBY, _NOT_AGAIN = 1.3, 0.06  # of the tile's side: near pieces are moved differently


def quilted(
    tile: NDArray[np.generic], size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.generic]:
    """More of a material, sewn from pieces of one seamless tile; seamless itself.

    Args:
        tile: (t, t, 3), uint8 or float32.
        size: (height, width) wanted.
        rng: Of which of the pieces that match are taken.

    Returns:
        (height, width, 3) of the tile's dtype; every pixel is one of the tile's.
    """
    return np.asarray(tile.reshape(-1, 3)[quilt(tile.astype(np.float32), size, rng)])


def quilt(
    tile: NDArray[np.float32],
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    turned: bool = False,
) -> NDArray[np.int32]:
    """Which pixel of a tile lies where: in other colours the tile is sewn the same way.

    Args:
        tile: float32 (t, t, 3), seamless; pieces are compared and cut by these three values.
        size: (height, width) wanted.
        rng: As of :func:`quilted`.
        turned: Whether pieces are taken of the tile turned by quarters too, each another way than
            the one before: the same stone is then not seen twice alike.

    Returns:
        int32 (height, width), pixels of the tile counted by rows.
    """
    side = tile.shape[0]
    lap = max(4, round(_OVERLAP * side))
    step = max(16, round(_PIECE * side)) - lap
    numbers = np.arange(side * side, dtype=np.int32).reshape(side, side)
    ways = [
        _Way(np.rot90(tile, k), np.rot90(numbers, k), _Small.of(np.rot90(tile, k), step + 2 * lap))
        for k in range(4 if turned else 1)
    ]
    # How often each place of the tile was taken: a feature that is rare is not seen again at once.
    small = ways[0].small
    taken_before = np.zeros((small.side, small.side), dtype=np.float32)
    sewn, out = np.zeros((*size, 3), dtype=np.float32), np.zeros(size, dtype=np.int32)
    done = np.zeros(size, dtype=bool)
    rows, columns = (_starts(n, step) for n in size)
    # Of the pieces of each way: where they lie, how far they were moved.
    shifts: list[list[tuple[int, int, int, int]]] = [[] for _ in ways]
    turn = 0
    for top, below in rows:
        for left, beyond in columns:
            # What goes over the border comes in on the other side, so that a quilt is a tile.
            ys = (top + np.arange(min(below - top + lap, size[0]))) % size[0]
            xs = (left + np.arange(min(beyond - left + lap, size[1]))) % size[1]
            place = np.ix_(ys, xs)
            there, known = sewn[place], done[place]
            if turned:
                turn = (turn + 1 + int(rng.integers(3))) % 4
            way, moved = ways[turn], shifts[turn]
            if known.any():
                before = np.rot90(taken_before, turn)
                y, x = way.small.best(there, known, (top, left), moved, before, rng)
            else:
                y, x = (int(n) for n in rng.integers(side, size=2))
            moved.append((top, left, (y - top) % side, (x - left) % side))
            taken = np.ix_((y + np.arange(len(ys))) % side, (x + np.arange(len(xs))) % side)
            one = way.tile[taken]
            keep = _kept(np.square(one - there).sum(-1), known, lap)
            rows_taken, columns_taken = way.small.within(y, x, one.shape[:2])
            np.rot90(taken_before, turn)[np.ix_(rows_taken, columns_taken)] += 1.0
            out[place] = np.where(keep, out[place], way.numbers[taken])
            sewn[place] = np.where(keep[..., None], there, one)
            done[place] = True
    return out


def _starts(length: int, step: int) -> list[tuple[int, int]]:
    """Where pieces begin and the next ones do, evenly."""
    count = max(1, round(length / step))
    edges = [round(k * length / count) for k in range(count + 1)]
    return list(pairwise(edges))


def _kept(cost: NDArray[np.float32], known: NDArray[np.bool_], lap: int) -> NDArray[np.bool_]:
    """What stays of what lies there already: up to the cheapest cut on each side that overlaps."""
    keep = np.zeros(cost.shape, dtype=bool)
    for turn in range(4):  # each side in turn is the left one
        strip = np.rot90(known, turn)[:, :lap]
        if strip.all():
            cut = np.rot90(keep, turn)[:, :lap]
            cut |= cheapest_cut(np.rot90(cost, turn)[:, :lap])
    return keep


@dataclass(frozen=True, eq=False)
class _Way:
    """A tile as it lies, turned by some quarters.

    Attributes:
        tile: float32 (s, s, 3).
        numbers: int32 (s, s), which pixels of the tile they are.
        small: The same reduced.
    """

    tile: NDArray[np.float32]
    numbers: NDArray[np.int32]
    small: _Small


@dataclass(frozen=True, eq=False)
class _Small:
    """A tile reduced, to find in it what matches.

    Attributes:
        tile: float32 (s, s, 3) and what follows when it is repeated.
        side: s.
        times: How many of the tile's pixels one of its pixels is.
    """

    tile: NDArray[np.float32]
    side: int
    times: int

    @classmethod
    def of(cls, tile: NDArray[np.float32], longest: int) -> _Small:
        times = max(1, tile.shape[0] // _SEARCHED)
        side = tile.shape[0] // times
        reduced = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
        more = longest // times + 1
        return cls(np.pad(reduced, ((0, more), (0, more), (0, 0)), mode="wrap"), side, times)

    def within(
        self, y: int, x: int, size: tuple[int, int]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the reduced tile that a piece of that size at (y, x) is taken of."""
        rows, columns = (
            (at // self.times + np.arange(max(1, n // self.times))) % self.side
            for at, n in zip((y, x), size, strict=True)
        )
        return np.unique(rows), np.unique(columns)

    def _often(self, before: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """How often what a piece of (width, height) at each place shows was taken, in the mean."""
        width, height = (min(n, self.side) for n in size)
        wrapped = np.pad(before, ((0, height), (0, width)), mode="wrap")
        mean = cv2.boxFilter(wrapped, -1, (width, height), anchor=(0, 0))
        return np.asarray(mean[: self.side, : self.side], dtype=np.float32)

    def best(
        self,
        there: NDArray[np.float32],
        known: NDArray[np.bool_],
        at: tuple[int, int],
        shifts: list[tuple[int, int, int, int]],
        before: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> tuple[int, int]:
        """Row and column of the tile from which a piece matches what overlaps.

        What would only go on with a piece nearby is not taken: that is the tile again, and its
        features with it. Of what matches, places that were taken less often come ``before``.
        """
        size = there.shape[1] // self.times, there.shape[0] // self.times
        wanted = cv2.resize(there, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99
        weight = np.repeat(mask[..., None], 3, axis=2).astype(np.float32)
        cost = cv2.matchTemplate(self.tile, wanted, cv2.TM_SQDIFF, mask=weight)
        cost = np.nan_to_num(cost[: self.side, : self.side], nan=np.inf)
        least = max(float(cost.min()), 1e-6)
        cost = cost / least + _SPARED * self._often(before, size)
        whole = self.side * self.times
        for top, left, down, across in shifts:
            if max(abs(top - at[0]), abs(left - at[1])) > _NEARBY * whole:
                continue
            y, x = ((s + a) % whole // self.times for s, a in zip((down, across), at, strict=True))
            reach = max(1, round(_NOT_AGAIN * self.side))
            away = np.arange(-reach, reach + 1)
            cost[np.ix_((y + away) % self.side, (x + away) % self.side)] = np.inf
        order = np.sort(np.argpartition(cost, _GOOD, axis=None)[:_GOOD])
        row, column = divmod(int(rng.choice(order)), cost.shape[1])
        return row * self.times, column * self.times


def cheapest_cut(cost: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The cheapest way down a strip, by dynamic programming.

    Args:
        cost: float32 (h, w).

    Returns:
        bool (h, w), True left of it.
    """
    height, width = cost.shape
    total = cost.copy()
    for row in range(1, height):
        above = total[row - 1]
        least = above.copy()
        np.minimum(least[1:], above[:-1], out=least[1:])
        np.minimum(least[:-1], above[1:], out=least[:-1])
        total[row] += least
    keep = np.zeros(cost.shape, dtype=bool)
    at = int(total[-1].argmin())
    for row in range(height - 1, -1, -1):
        keep[row, :at] = True
        if row:
            low, high = max(0, at - 1), min(width, at + 2)
            at = low + int(total[row - 1, low:high].argmin())
    return keep
