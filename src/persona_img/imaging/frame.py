"""A canvas, and a photograph's place on it: whole pixels, so nothing is ever resampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """A canvas and the photograph's place on it.

    Attributes:
        width: Of the canvas, pixels.
        height: Of the canvas, pixels.
        dx: Photo pixel (x, y) is canvas pixel (x + dx, y + dy).
        dy: See ``dx``.
    """

    width: int
    height: int
    dx: int
    dy: int

    def place(self, picture: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        """A photo-sized picture (H, W) or (H, W, 3) on the canvas; ``fill`` where it has none."""
        canvas = np.full((self.height, self.width, *picture.shape[2:]), fill, dtype=np.uint8)
        on_canvas, on_photo = self.overlap(picture.shape[0], picture.shape[1])
        canvas[on_canvas] = picture[on_photo]
        return canvas

    def overlap(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns of canvas, and of a photo of this size, that lie on each other."""
        canvas, photo = [], []
        for size, length, shift in ((self.height, height, self.dy), (self.width, width, self.dx)):
            start, stop = max(0, shift), max(0, min(size, length + shift))
            start = min(start, stop)
            canvas.append(slice(start, stop))
            photo.append(slice(start - shift, stop - shift))
        return (canvas[0], canvas[1]), (photo[0], photo[1])
