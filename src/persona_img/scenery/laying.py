"""A material laid on a plane: in its colour and light, at true scale, without a visible repeat.

References:
    Galerne, Gousseau and Morel 2011, "Random Phase Textures: Theory and Synthesis", IEEE TIP: grain
    without features has a photograph's spectrum and phases of chance.
    Williams 1983, "Pyramidal Parametrics", SIGGRAPH: planes that recede are read from a pyramid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from persona_img.imaging.colour import to_lab
from persona_img.scenery.materials import Surface, Tile, pixels_of, side_of
from persona_img.scenery.quilting import quilt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LONGEST_STRETCH = 1.6
"""A tile's pixel covers at most so many of the canvas. Closer than that the material would be soft,
so its true scale gives way; what is still missing is the tile's own finest detail again."""
_OWN_HUE = 0.6  # share of a tile's own variation of hue that a dyed material keeps
_NEVER_DARKER = 4.0  # L*
_MOST_RELIEF = 0.55
_NEARLY = 0.85  # as wide as the widest
_HARDLY = 1.25  # times: a tile that is stretched no further is as good as sharp
_MOST_PIECES = 4  # tiles that a quilt is wide
_MOST_HALVINGS = 4
_QUILTS = 2  # of one tile that are kept apart: more would only cost time
_TAPS = 6  # readings along a receding plane for each pixel, at most
_TURNING = 0.6  # of an octave: over so much of it one level of a tile turns into the next
_THREAD = 0.4  # sigma, pixels of what is shown: beyond it threads are not seen as such
_BEGINNINGS = 24  # of a plane, of which one is taken
_PLACES = 64  # a tile is wide, when features are looked for
_SEARCHED = 256  # pixels of a tile in which they are
_SCALES = (0.004, 0.01, 0.025, 0.06)  # of a tile's side, between which features are
_JOINT, _LINED = 41, 1.6  # of these pixels: a straight line is longer; what it is taken out by
_USUAL = 2.5  # standard deviations of grain: what stands out further is a feature
_DETAIL = 0.7  # of the finest contrast, where a tile is stretched


@dataclass(frozen=True, eq=False)
class Features:
    """What of a material would be known again where it is seen twice.

    Attributes:
        place: int32 (n, n), which place of the photographed tile lies where.
        strength: float32, of each of these places, how far it stands out from the rest; 0 for most.
    """

    place: NDArray[np.int32]
    strength: NDArray[np.float32]

    def twice(self, shown: NDArray[np.bool_], at: tuple[float, float]) -> float:
        """How much is seen again on a plane.

        Args:
            shown: bool (h, w), what of it is seen, in places.
            at: Where it begins, as of :meth:`Laid.flat`.
        """
        side = self.place.shape[0]
        down, across = (
            (np.arange(n) + int(share % 1.0 * side)) % side
            for n, share in zip(shown.shape, at, strict=True)
        )
        seen = self.place[down][:, across][shown]
        often = np.bincount(seen, minlength=self.strength.size)
        return float((np.maximum(often - 1, 0) * self.strength).sum())


@dataclass(frozen=True, eq=False)
class Grain:
    """The finest octave of a tile, worked out when it is first asked for.

    Attributes:
        linear: The tile's linear light, float32 (t, t, 3).
        woven: Whether it is cloth.
    """

    linear: NDArray[np.float32]
    woven: bool

    @cached_property
    def detail(self) -> NDArray[np.float32]:
        """Relative relief, float32 (t, t); mean 0."""
        return _detail(self.linear, self.woven)


@dataclass(frozen=True, eq=False)
class Laid:
    """A material ready to be laid on planes.

    Attributes:
        levels: Linear light, float32 (t, t, 3), each half the size of the one before.
        cm: How wide the first is.
        grain: What is shown where it is stretched.
        woven: Whether it is cloth; see :data:`.materials.REPEATS`.
        features: What would be known again; None where every place is as the next one.
    """

    levels: tuple[NDArray[np.float32], ...]
    cm: float
    grain: Grain
    woven: bool = False
    features: Features | None = None

    @property
    def per_cm(self) -> float:
        """Pixels a centimetre."""
        return float(self.levels[0].shape[0] / self.cm)

    def begin(
        self, alpha: NDArray[np.uint8], per_cm: float, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Where a plane that is seen from straight above begins, as :meth:`flat` is told it.

        That is chance; but where more is seen than a tile, it is the beginning, of some, that shows
        the least of what would be known again.

        Args:
            alpha: uint8 (H, W), the product that covers a part of the canvas.
            per_cm: Its pixels a centimetre.
            rng: Of the beginnings.
        """
        beginnings = [(float(top), float(left)) for top, left in rng.random((_BEGINNINGS, 2))]
        if self.features is None:
            return beginnings[0]
        per_pixel = self.features.place.shape[0] / (self.cm * per_cm)
        height, width = (max(1, round(n * per_pixel)) for n in alpha.shape)
        if max(height, width) > _MOST_PIECES * _PLACES:
            return beginnings[0]  # all of it is seen many times
        shown = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA) < 128
        best, least = beginnings[0], np.inf
        for at in beginnings:
            again = self.features.twice(shown, at)
            if again < least:
                best, least = at, again
            if again == 0:
                break
        return best

    def flat(
        self, size: tuple[int, int], per_cm: float, at: tuple[float, float]
    ) -> NDArray[np.float32]:
        """Seen from straight above.

        Args:
            size: (height, width), pixels.
            per_cm: Pixels a centimetre.
            at: Row and column of the tile that the first pixel shows, in shares of its side.

        Returns:
            Linear light, float32 (h, w, 3).
        """
        scale = per_cm / self.per_cm
        level = max(0, min(len(self.levels) - 1, int(np.floor(-np.log2(max(scale, 1e-6))))))
        tile = self.levels[level]
        scale = scale * 2**level  # now in 0.5..1, or above 1 at the first level
        side = tile.shape[0]
        top, left = (round(share % 1.0 * side) for share in at)
        rows, columns = (int(np.ceil(n / scale)) + 4 for n in size)
        if scale < 0.999:
            piece = _wrapped(tile, top, left, rows, columns)
            if self.woven:
                piece = cv2.GaussianBlur(piece, (0, 0), _THREAD / scale)
            whole = (round(columns * scale), round(rows * scale))
            big = cv2.resize(piece, whole, interpolation=cv2.INTER_AREA)
            out = big[: size[0], : size[1]]
        else:
            piece = _wrapped(tile, top - 2, left - 2, rows, columns)
            move = np.array([[1 / scale, 0, 2.0], [0, 1 / scale, 2.0]], dtype=np.float32)
            out = cv2.warpAffine(
                piece, move, (size[1], size[0]), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            )
        out = np.maximum(np.asarray(out, dtype=np.float32), 0)
        if scale > 1.0 and level == 0:
            # One pixel of detail a pixel of the canvas: the spectrum goes on where the tile ends.
            fine = _wrapped(self.grain.detail, top, left, size[0], size[1])
            out *= (1.0 + np.float32(_DETAIL * min(1.0, scale - 1.0)) * fine)[..., None]
        return out

    def read(
        self, u: NDArray[np.float32], v: NDArray[np.float32], step: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Seen in perspective.

        Args:
            u: float32 (h, w), centimetres across.
            v: float32 (h, w), centimetres along.
            step: float32 (h, w, 2), centimetres that a pixel covers across and along; of each row
                the middle counts.

        Returns:
            Linear light, float32 (h, w, 3).
        """
        out = np.zeros((*u.shape, 3), dtype=np.float32)
        middle = np.median(step, axis=1) * self.per_cm  # tile pixels a canvas pixel
        halvings = np.log2(np.maximum(middle[:, 0], 0.25))
        # Of cloth the smaller level of two: what is finer than a pixel makes rings.
        halvings = halvings + (0.5 + _TURNING / 2 if self.woven else 0.0)
        halvings = np.clip(halvings, 0, len(self.levels) - 1)
        # Between two levels one turns into the other: a weave that changed at one row is a seam.
        least = np.floor(halvings)
        share = np.clip((halvings - least - 0.5) / _TURNING + 0.5, 0, 1)
        for level, part in ((least, 1.0 - share), (least + 1, share)):
            taps = np.clip(np.ceil(middle[:, 1] / 2.0**level), 1, _TAPS)
            used = part > 0
            for wanted, count in sorted(
                {(int(a), int(b)) for a, b in zip(level[used], taps[used], strict=True)}
            ):
                rows = np.flatnonzero(used & (level == wanted) & (taps == count))
                tile = self.levels[wanted]
                scale = np.float32(self.per_cm / 2**wanted)
                for some in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
                    place = slice(some[0], some[-1] + 1)
                    total = np.zeros((len(some), u.shape[1], 3), dtype=np.float32)
                    for tap in range(count):
                        along = v[place] + step[place, :, 1] * np.float32((tap + 0.5) / count - 0.5)
                        total += _remap(tile, u[place] * scale, along * scale)
                    weight = (part[place] / count).astype(np.float32)[:, None, None]
                    out[place] += total * weight
        near = middle[:, 0] < 0.999
        if near.any():
            place = slice(int(np.flatnonzero(near)[0]), int(np.flatnonzero(near)[-1]) + 1)
            scale = np.float32(1.0 / max(1e-9, float(np.median(step[place][..., 0]))))
            fine = _remap(self.grain.detail, u[place] * scale, v[place] * scale)
            share = np.clip(1.0 / np.maximum(middle[place, 0], 1e-6) - 1.0, 0, 1)[:, None]
            out[place] *= (1.0 + np.float32(_DETAIL) * share * fine)[..., None].astype(np.float32)
        return out


def laid(
    surface: Surface,
    colour: tuple[float, float, float],
    toward: tuple[float, float],
    rng: np.random.Generator,
    *,
    cm: float = 0.0,
    per_cm: float | None = None,
    turned: bool | None = None,
    solid: bool = False,
) -> Laid:
    """One of a surface's tiles in a colour and a light.

    Args:
        surface: The material.
        colour: Mean Lab asked for.
        toward: Where the light comes from, right and up, shares of its strength; (0, 0) is from
            above, which shows no relief.
        rng: Of the tile and how it is turned.
        cm: How much of it will be seen; tiles that are so wide come first, and beyond a tile's own
            width a ``quilt`` is sewn.
        per_cm: Pixels a centimetre at which it will be seen, at most: no more of the tile is worked
            on, and closer than :data:`LONGEST_STRETCH` its scale gives way. None is the tile's own.
        turned: Whether to turn it by a quarter, where it may be; None leaves it to chance.
        solid: Whether it is one block, see :meth:`.materials.Surface.tiles_for`.
    """
    tiles = surface.tiles_for(colour, solid=solid)
    own = {tile: side_of(surface.folder / tile.file) / tile.cm for tile in tiles}
    near = 0.0 if per_cm is None else per_cm
    fitting = _widest(_fitting(tiles, own, near), own, near, cm)
    tile = fitting[int(rng.integers(len(fitting)))]
    chance = bool(rng.random() < 0.5)
    quarter = tile.turn and (chance if turned is None else turned)
    seed = int(rng.integers(2**31))
    wide = tile.cm * min(1.0, LONGEST_STRETCH * own[tile] / max(near, 1e-9))
    pieces = 1
    if surface.repeat in ("quilt", "scattered"):
        pieces = int(np.clip(np.ceil(cm / wide), 1, _MOST_PIECES))
    halvings = 0
    if per_cm is not None:
        while own[tile] / 2 ** (halvings + 1) >= per_cm and halvings < _MOST_HALVINGS:
            halvings += 1
    woven = surface.repeat == "woven"
    key = tuple(round(v, 2) for v in colour)
    sides = tuple(round(v, 2) for v in toward)
    any_way = surface.repeat == "scattered"
    # A tile that is not sewn is the same with every seed.
    sewn = seed % _QUILTS if pieces > 1 else 0
    levels, grain, features = _baked(
        surface.folder, tile, key, sides, quarter, halvings, pieces, sewn, any_way, woven
    )
    return Laid(levels, wide * pieces, grain, woven, features)


def _fitting(tiles: tuple[Tile, ...], own: dict[Tile, float], near: float) -> list[Tile]:
    """Which pieces may be seen at so many pixels a centimetre; one where none would be sharp."""
    usual = [t for t in tiles if t.close is None]
    sharp = [t for t in usual if own[t] * LONGEST_STRETCH >= near]
    if sharp:
        return sharp
    best = max(usual, key=lambda t: own[t])
    shrunk = near / (own[best] * LONGEST_STRETCH)
    nearer = [t for t in tiles if t.close is not None and shrunk > t.close]
    return [max(nearer, key=lambda t: own[t])] if nearer else [best]


def _widest(tiles: list[Tile], own: dict[Tile, float], near: float, cm: float) -> list[Tile]:
    """Which pieces show so much without showing it again, or nearly as much as any of them can.

    Of those that are hardly stretched, where there are such: wide is no reason to be soft.
    """
    clear = [tile for tile in tiles if own[tile] * _HARDLY >= near] or tiles
    enough = min(cm, _NEARLY * max(tile.cm for tile in clear))
    return [tile for tile in clear if tile.cm >= enough]


@lru_cache(maxsize=12)
def _baked(
    folder: Path,
    tile: Tile,
    colour: tuple[float, ...],
    toward: tuple[float, ...],
    quarter: bool,
    halvings: int,
    pieces: int,
    seed: int,
    any_way: bool,
    woven: bool,
) -> tuple[tuple[NDArray[np.float32], ...], Grain, Features | None]:
    lab = _lab(folder / tile.file, halvings, woven)
    spread = lab * np.array((1.0, _OWN_HUE, _OWN_HUE), dtype=np.float32)
    wanted = spread + np.array(colour, dtype=np.float32)
    wanted[..., 0] = _within(wanted[..., 0])
    linear = cv2.cvtColor(wanted, cv2.COLOR_LAB2LRGB)
    if tile.normal is not None and any(toward):
        # A tile that is turned meets the light from its own other side.
        right, up = (toward[1], -toward[0]) if quarter else toward
        linear *= _relief(folder / tile.normal, linear.shape[0], right, up)[..., None]
    linear = np.clip(linear, 0.0, 1.0).astype(np.float32)
    if quarter:
        linear = np.ascontiguousarray(np.rot90(linear))
    grain = Grain(linear, woven)
    side = linear.shape[0]
    places = np.arange(side * side, dtype=np.int32).reshape(side, side)
    if pieces > 1:
        # Of a relief that is lit, a piece that is turned would be lit from elsewhere.
        turned = any_way and tile.normal is None
        places = _sewn(folder / tile.file, quarter, halvings, pieces, seed, turned)
        linear = linear.reshape(-1, 3)[places]
    features = None if woven else _features(folder / tile.file, places, side, quarter)
    levels = [linear]
    while levels[-1].shape[0] > 8:
        half = levels[-1].shape[0] // 2
        fine = _without_threads(levels[-1], 2.0) if woven else levels[-1]
        levels.append(cv2.resize(fine, (half, half), interpolation=cv2.INTER_AREA))
    return tuple(levels), grain, features


def _features(path: Path, places: NDArray[np.int32], side: int, quarter: bool) -> Features:
    """What would be known again of a tile that is ``side`` pixels wide, laid as these places say.

    They are counted by rows, after the tile was turned.
    """
    strength = np.rot90(_strength(path)) if quarter else _strength(path)
    count = _PLACES * places.shape[0] // side
    middles = ((np.arange(count) + 0.5) * places.shape[0] / count).astype(np.intp)
    row, column = np.divmod(places[np.ix_(middles, middles)], side)
    place = row * _PLACES // side * _PLACES + column * _PLACES // side
    return Features(place.astype(np.int32), strength.ravel())


@lru_cache(maxsize=32)
def _strength(path: Path) -> NDArray[np.float32]:
    """How far each place of a tile stands out from its rest, float32: stains, knots, veins."""
    small = cv2.resize(pixels_of(path), (_SEARCHED, _SEARCHED), interpolation=cv2.INTER_AREA)
    reach = _SEARCHED // 4
    wide = np.pad(small, ((reach, reach), (reach, reach), (0, 0)), mode="wrap")
    lab = to_lab(wide)
    scales = [cv2.GaussianBlur(lab, (0, 0), share * _SEARCHED) for share in _SCALES]
    strength = np.zeros((_PLACES, _PLACES), dtype=np.float32)
    for fine, coarse in zip(scales, scales[2:], strict=False):
        away = np.linalg.norm(fine - coarse, axis=2)
        out = np.maximum(away / max(1e-6, 1.48 * float(np.median(away))) - _USUAL, 0)
        # A straight line is a joint, and one joint looks like the next.
        lines = np.maximum(cv2.blur(out, (_JOINT, 1)), cv2.blur(out, (1, _JOINT)))
        out = np.maximum(out - _LINED * lines, 0)[reach:-reach, reach:-reach]
        mean = cv2.resize(out, (_PLACES, _PLACES), interpolation=cv2.INTER_AREA)
        strength = np.maximum(strength, mean)
    return strength


def _detail(linear: NDArray[np.float32], woven: bool) -> NDArray[np.float32]:
    """The finest octave of a tile, for where it is stretched; mean 0.

    It is shown at another scale than the tile, so it may have no features of its own: a board's
    joint would be seen once more, as a hairline across boards. Grain is told from features by its
    phases, which are scattered, and by its strength (Galerne et al. 2011). Of cloth every thread is
    as the next one, and their order is what cloth is: it stays as it is.
    """
    grey = linear.mean(axis=2)
    relative = grey / np.maximum(cv2.GaussianBlur(grey, (0, 0), 3.0), 0.02)
    detail = np.log(np.maximum(relative, 0.2)).astype(np.float32)
    detail -= detail.mean()
    if not woven:
        usual = np.float32(_USUAL * 1.48) * np.median(np.abs(detail))
        waves = np.fft.rfft2(np.clip(detail, -usual, usual)) * _turns(detail.shape[0])
        detail = np.fft.irfft2(waves, s=detail.shape).astype(np.float32)
        detail -= detail.mean()
    return np.asarray(np.clip(detail, -0.5, 0.5), dtype=np.float32)


@lru_cache(maxsize=4)
def _turns(side: int) -> NDArray[np.complex64]:
    """By how much each wave of a picture is moved, to scatter them."""
    noise = np.random.default_rng(side).standard_normal((side, side), dtype=np.float32)
    waves = np.fft.rfft2(noise)
    return np.asarray(waves / np.maximum(np.abs(waves), 1e-9), dtype=np.complex64)


@lru_cache(maxsize=24)
def _sewn(
    path: Path, quarter: bool, halvings: int, pieces: int, seed: int, turned: bool
) -> NDArray[np.int32]:
    """A quilt of a tile; whatever its colour and light, it is sewn the same way."""
    lab = _lab(path, halvings, False)
    if quarter:
        lab = np.rot90(lab)
    side = pieces * lab.shape[0]
    rng = np.random.default_rng([seed, pieces])
    return quilt(np.ascontiguousarray(lab), (side, side), rng, turned=turned)


@lru_cache(maxsize=8)
def _lab(path: Path, halvings: int, woven: bool) -> NDArray[np.float32]:
    """A tile's Lab less its mean, float32 (t, t, 3)."""
    pixels = pixels_of(path)
    side = pixels.shape[0] >> halvings
    if woven and halvings:
        pixels = _without_threads(pixels, 2.0**halvings)
    lab = to_lab(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8))
    return np.asarray(lab - lab.mean(axis=(0, 1)), dtype=np.float32)


def _without_threads(tile: NDArray[Any], times: float) -> NDArray[Any]:
    """A seamless tile without what is too fine to be seen so many times smaller.

    The mean of a few pixels alone would let threads through, as bands.
    """
    reach = int(np.ceil(2 * times))
    wide = np.pad(tile, ((reach, reach), (reach, reach), (0, 0)), mode="wrap")
    soft = cv2.GaussianBlur(wide, (0, 0), _THREAD * times)
    return np.asarray(soft[reach:-reach, reach:-reach])


def _within(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lightness that leaves 4..100 is bent back, so that white marble's veins stay veins."""
    over = lightness > 96.0
    bent = np.where(over, 96.0 + 3.5 * np.tanh((lightness - 96.0) / 3.5), lightness)
    return np.maximum(bent, _NEVER_DARKER).astype(np.float32)


def _relief(path: Path, side: int, right: float, up: float) -> NDArray[np.float32]:
    """Factor on the light of a surface with these normals, against an even one; mean 1."""
    normals = pixels_of(path).astype(np.float32) / 127.5 - 1.0
    x, y, z = cv2.split(cv2.resize(normals, (side, side), interpolation=cv2.INTER_CUBIC))
    x, y = x - x.mean(), y - y.mean()
    slope = (right * x + up * y) / np.maximum(z, 0.2)
    shade = np.clip(1.0 + slope, 1.0 - _MOST_RELIEF, 1.0 + _MOST_RELIEF)
    return np.asarray(shade / shade.mean(), dtype=np.float32)


def _wrapped(
    tile: NDArray[np.float32], top: int, left: int, rows: int, columns: int
) -> NDArray[np.float32]:
    """A part of the endlessly repeated tile."""
    down = (np.arange(rows) + top) % tile.shape[0]
    across = (np.arange(columns) + left) % tile.shape[1]
    return np.asarray(tile[down][:, across])


def _remap(
    tile: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    side = np.float32(tile.shape[0])
    return np.asarray(
        cv2.remap(tile, x % side, y % side, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    )
