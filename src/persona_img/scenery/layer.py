"""What is drawn of a set, and what is drawn where there is no material."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.light import to_srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIBRE = 0.006  # relative: paper is never quite even


@dataclass(frozen=True, eq=False)
class Layer:
    """What is drawn of a set.

    Attributes:
        linear: Linear light, float32 (h, w, 3), from 0; the brightest may be above 1.
        surface: Where the style's own surface is seen, float32 (h, w) in 0..1.
        far: Where what is far behind is seen, float32 (h, w) in 0..1.
        shade: Share of the light that what stands takes away, float32 (h, w) in 0..1; None where
            nothing stands.
    """

    linear: NDArray[np.float32]
    surface: NDArray[np.float32]
    far: NDArray[np.float32]
    shade: NDArray[np.float32] | None = None

    @property
    def srgb(self) -> NDArray[np.float32]:
        """As a picture, float32 0..1 (h, w, 3)."""
        return to_srgb(self.linear)


def paper(
    height: int,
    width: int,
    lab: tuple[float, float, float],
    rng: np.random.Generator | None,
) -> NDArray[np.float32]:
    """A sheet of a colour, linear light, float32 (h, w, 3); of fibre where there is chance."""
    out = np.empty((height, width, 3), dtype=np.float32)
    one = np.array([[lab]], dtype=np.float32)
    out[:] = np.clip(np.asarray(cv2.cvtColor(one, cv2.COLOR_LAB2LRGB))[0, 0], 0, 1)
    if rng is not None:
        noise = cv2.GaussianBlur(rng.standard_normal((256, 256), dtype=np.float32), (0, 0), 1.0)
        noise *= np.float32(_FIBRE / max(1e-6, float(noise.std())))
        out *= 1.0 + noise[np.arange(height) % 256][:, np.arange(width) % 256, None]
    return out
