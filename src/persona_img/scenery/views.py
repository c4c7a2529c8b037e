"""What is seen far behind a product: real rooms and gardens, out of focus."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from persona_img.errors import UnknownStyle
from persona_img.imaging.light import to_linear
from persona_img.scenery.lens import defocused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SHARE = 0.90  # of a view's height that a canvas shows
_HIGHEST = 0.5  # of what is seen of a view: no more of it than this is above the horizon
_BURNT = 0.85  # linear: what a photograph clipped was brighter than it can say
_BRIGHTER = 1.8
_CALM_BLUR = 2.0  # wider discs where all contrast is taken out, by as many times
_MEAN = 0.34  # linear, of a view as it stands behind a product
_MEANS = {"room": 0.42}  # white walls that are no brighter than a lawn look grey
_MOST_GAIN = 3.0
_SHOULDER = 0.70  # linear: brighter light rolls off, as on film, so that skies are not holes
_WHITEST = 0.97
_BEHIND = 0.15  # of the short side: what is as close to the product's outline is right behind it
_HEAD = 4.0  # times that what is around its head counts
_BLACK, _GLARE, _LOST = 0.25, 0.98, 0.5  # tones (square root of light), and how much they count
_SMALL = 192  # wide: enough to tell what is calm
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # ITU-R BT.709


def kinds() -> tuple[str, ...]:
    """Names of the kinds of views that there are."""
    return tuple(sorted(path.name for path in _folder().iterdir() if path.is_dir()))


def view_of(
    kind: str,
    size: tuple[int, int],
    horizon: float,
    radius: float,
    rng: np.random.Generator,
    ends: float | None = None,
    calm: float = 0.0,
) -> NDArray[np.float32]:
    """One of the views of a kind, linear light, float32 (h, w, 3).

    Args:
        kind: One of :func:`kinds`.
        size: (height, width) of the canvas, pixels.
        horizon: Row at which its horizon is to lie.
        radius: Of the discs that points become, pixels.
        rng: Of the view, and of the part that is seen.
        ends: Row below which something nearer covers it; None is the canvas's last.
        calm: Share of its contrast, 0..1, that is taken out, as by haze; it is further out of focus
            too.

    Raises:
        UnknownStyle: no such kind.
    """
    path, mirrored, across = _drawn(kind, rng)
    seen = _framed(_linear(path), mirrored, across, size, horizon, ends)
    burnt = seen.min(axis=2, keepdims=True) > _BURNT
    radius *= 1.0 + _CALM_BLUR * calm
    soft = defocused(np.where(burnt, seen * np.float32(_BRIGHTER), seen), radius)
    gain = min(_MOST_GAIN, _MEANS.get(kind, _MEAN) / max(0.02, float(np.minimum(soft, 1.0).mean())))
    light = np.maximum(soft, 0) * np.float32(gain)
    over = np.maximum(light - _SHOULDER, 0)
    room = _WHITEST - _SHOULDER
    rolled = np.minimum(light, _SHOULDER) + room * (1.0 - np.exp(-over / (1.4 * room)))
    if calm > 0.0:
        shown = size[0] if ends is None else min(max(ends, 1.0), float(size[0]))
        mean = rolled[: max(1, int(shown))].mean(axis=(0, 1))
        rolled += np.float32(calm) * (mean - rolled)
    return np.asarray(rolled, dtype=np.float32)


def calmest(
    kind: str,
    product: NDArray[np.float32],
    horizon: float,
    draws: Sequence[np.random.Generator],
    ends: float | None = None,
) -> int:
    """Which draw of a view leaves the product freest: nothing grows out of its head.

    As a photographer moves until no pole, plant or window's post stands right behind what is
    photographed, and neither glare nor a black corner does.

    Args:
        kind: One of :func:`kinds`.
        product: float32 (h, w) in 0..1, a small canvas.
        horizon: As for :func:`view_of`, on that canvas.
        draws: As ``rng`` for :func:`view_of`; those given there have to be as fresh.
        ends: As for :func:`view_of`.

    Returns:
        The place of that draw.

    Raises:
        UnknownStyle: no such kind.
    """
    size = product.shape[0], product.shape[1]
    reach = max(1, round(_BEHIND * min(size)))
    near = cv2.dilate(product, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    ring = np.clip(near - product, 0, 1)
    rows = np.flatnonzero(product.max(axis=1) > 0.5)
    if len(rows):
        ring[: rows[0] + len(rows) // 4] *= np.float32(_HEAD)
    if ends is not None:
        ring[int(max(ends, 1.0)) :] = 0
    if not ring.any():
        return 0
    found = []
    for rng in draws:
        path, mirrored, across = _drawn(kind, rng)
        light = _framed(_small(path), mirrored, across, size, horizon, ends).mean(axis=2)
        tone = np.sqrt(np.minimum(light, 1.0))
        mean = float((ring * tone).sum() / ring.sum())
        # Squared: one pole counts for more than as much of haze.
        busy = float((ring * (tone - mean) ** 2).sum() / ring.sum()) ** 0.5
        lost = float((ring * ((tone < _BLACK) | (tone > _GLARE))).sum() / ring.sum())
        found.append(busy + _LOST * lost)
    return int(np.argmin(found))


def graded(
    view: NDArray[np.float32], colour: tuple[float, float, float], share: float, balance: float
) -> NDArray[np.float32]:
    """A view in the hue of what stands before it, as a photographer grades a picture.

    Args:
        view: Linear light, float32 (h, w, 3).
        colour: Mean Lab of the surface before it.
        share: Of that surface's a and b, 0..1, that white becomes.
        balance: Share of the view's own cast that is taken out first, 0..1.

    Returns:
        As bright as before, linear light, float32 (h, w, 3).
    """
    lab = np.array([[[70.0, share * colour[1], share * colour[2]]]], dtype=np.float32)
    gain = np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2LRGB), dtype=np.float32)[0, 0]
    mean = np.maximum(view.mean(axis=(0, 1)), np.float32(0.02))
    gain *= (float(mean.mean()) / mean) ** np.float32(balance)
    gain /= float(gain @ _LUMINANCE)
    return np.asarray(np.minimum(view * gain, np.float32(_WHITEST)), dtype=np.float32)


def _drawn(kind: str, rng: np.random.Generator) -> tuple[Path, bool, float]:
    """A view, whether it is mirrored, and how far across it is looked, 0..1."""
    if kind not in kinds():
        raise UnknownStyle(f"view {kind!r}: there are {', '.join(kinds())}")
    paths = sorted((_folder() / kind).glob("*.jpg"))
    path = paths[int(rng.integers(len(paths)))]
    return path, bool(rng.random() < 0.5), float(rng.random())


def _framed(
    picture: NDArray[np.float32],
    mirrored: bool,
    across: float,
    size: tuple[int, int],
    horizon: float,
    ends: float | None,
) -> NDArray[np.float32]:
    """What a canvas of that size shows of a view, in focus, float32 (h, w, 3)."""
    if mirrored:
        picture = np.ascontiguousarray(picture[:, ::-1])
    height, width = picture.shape[:2]
    tall = _SHARE * height
    wide = tall * size[1] / size[0]
    if wide > width:
        tall, wide = tall * width / wide, float(width)
    # A view's own horizon is in its middle; of what is above it a ceiling or sky is the most.
    shown = size[0] if ends is None else min(max(ends, 1.0), float(size[0]))
    at = min(horizon, _HIGHEST * shown)
    top = np.clip(0.5 * height - at / size[0] * tall, 0, height - shown / size[0] * tall)
    left = across * (width - wide)
    scale = size[1] / wide
    move = np.array([[1 / scale, 0, left], [0, tall / size[0], top]], dtype=np.float32)
    seen = cv2.warpAffine(
        picture,
        move,
        (size[1], size[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(seen, dtype=np.float32)


@lru_cache(maxsize=64)
def _small(path: Path) -> NDArray[np.float32]:
    picture = _linear(path)
    size = _SMALL, max(1, round(_SMALL * picture.shape[0] / picture.shape[1]))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


@lru_cache(maxsize=8)
def _linear(path: Path) -> NDArray[np.float32]:
    with Image.open(path) as image:
        return to_linear(np.asarray(image.convert("RGB")).astype(np.float32) / np.float32(255))


def _folder() -> Path:
    return Path(str(files("persona_img"))) / "assets" / "views"
