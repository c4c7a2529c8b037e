"""Does a picture show the style that was asked for? A small classifier says.

It shares nothing with the painter: it was taught on sets of photographed materials, by measurements
of colour, grain and shadow, of the whole picture and of the surface at 1:1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.digest import digest_of
from persona_img.errors import NotFound
from persona_img.imaging.closeup import closeup_features

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

FAMILIES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "surface": (
        ("plaster", "limewash", "paper", "cotton"),  # even, pale and fine
        ("light-wood", "oak"),
        ("walnut", "dark-wood"),
    ),
}
"""By attribute, values that nobody tells apart by eye on a picture: one of them shown for another
is still what was asked for. This is the only place where they are named."""


def alike(attribute: str, one: str, other: str) -> bool:
    """Whether two values of an attribute are the same, or of one family.

    Examples:
        >>> alike("surface", "plaster", "limewash"), alike("surface", "plaster", "oak")
        (True, False)
    """
    return other in _family(attribute, one)


def _family(attribute: str, value: str) -> tuple[str, ...]:
    return next((f for f in FAMILIES.get(attribute, ()) if value in f), (value,))


@dataclass(frozen=True, eq=False)
class Head:
    """One attribute's classifier: a layer of rectified units, then a softmax.

    Attributes:
        values: What the attribute may be.
        hidden: float32 (F, U).
        hidden_bias: float32 (U,).
        out: float32 (U, V).
        out_bias: float32 (V,).
    """

    values: tuple[str, ...]
    hidden: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    out: NDArray[np.float32]
    out_bias: NDArray[np.float32]

    def chances(self, scaled: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (V,) of scaled features (F,)."""
        logits = np.maximum(scaled @ self.hidden + self.hidden_bias, 0) @ self.out + self.out_bias
        raised = np.exp((logits - logits.max()).astype(np.float64))
        return np.asarray(raised / raised.sum())


class StyleJudge:
    """Judges finished pictures.

    Args:
        path: File written by ``train-judge``; None for the shipped one.

    Raises:
        NotFound: there is no such file.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None and not path.exists():
            raise NotFound(f"{path}: no judge; train one with `train-judge`")
        self.path = path

    def values(self, attribute: str) -> tuple[str, ...]:
        """What it was taught of an attribute; nothing of one that it does not know."""
        heads = self._parts[2]
        return heads[attribute].values if attribute in heads else ()

    def chances(
        self, picture: NDArray[np.uint8], alpha: NDArray[np.uint8]
    ) -> dict[str, dict[str, float]]:
        """Probability of each value of surface, palette, light and scene.

        Args:
            picture: uint8 sRGB (H, W, 3).
            alpha: uint8 (H, W), the product on it.

        Returns:
            By attribute and value; NaN where the product leaves too little backdrop to judge.
        """
        mean, spread, heads = self._parts
        features = closeup_features(picture, alpha)
        scaled = np.clip((features - mean) / spread, -6, 6).astype(np.float32)
        return {
            name: dict(zip(head.values, map(float, head.chances(scaled)), strict=True))
            for name, head in heads.items()
        }

    def recognised(self, picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> dict[str, str]:
        """The most probable value of each attribute; of none where it cannot judge."""
        chances = self.chances(picture, alpha)
        if not all(np.isfinite(list(c.values())).all() for c in chances.values()):
            return {}
        return {name: max(c, key=c.__getitem__) for name, c in chances.items()}

    def adherence(
        self, picture: NDArray[np.uint8], alpha: NDArray[np.uint8], style: Mapping[str, str]
    ) -> float | None:
        """Probability of what was asked for: the geometric mean over the attributes it knows.

        Of values that look alike (:data:`FAMILIES`) the probabilities are added.

        Returns:
            0..1; None where it cannot judge: of nothing in the style that it has learned, or where
            the product leaves too little backdrop.
        """
        chances = self.chances(picture, alpha)
        seen = [
            sum(chances[name].get(one, 0.0) for one in _family(name, value))
            for name, value in style.items()
            if value in chances.get(name, {})
        ]
        if not seen or not np.isfinite(seen).all():
            return None
        return float(np.exp(np.log(np.maximum(seen, 1e-12)).mean()))

    def fingerprint(self) -> str:
        """Hex digest of its weights."""
        mean, spread, heads = self._parts
        parts = [mean, spread]
        for head in heads.values():
            parts += [head.hidden, head.hidden_bias, head.out, head.out_bias]
        values = {name: head.values for name, head in heads.items()}
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts))
        return digest_of([values, FAMILIES, digest.hexdigest()])

    @cached_property
    def _parts(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, Head]]:
        if self.path is not None:
            return _load(self.path)
        with as_file(files("persona_img") / "assets" / "judge.npz") as path:
            return _load(path)


def _load(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, Head]]:
    with np.load(path, allow_pickle=False) as table:
        heads = {
            str(name): Head(
                tuple(str(v) for v in table[f"{name}.values"]),
                *(table[f"{name}.{part}"] for part in ("hidden", "hidden_bias", "out", "out_bias")),
            )
            for name in table["attributes"]
        }
        return table["mean"], table["spread"], heads
