"""A photograph while its variants are made: what they share, and how long each stage takes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from persona_img.imaging.grain import grain_of
from persona_img.rendering.compose import Placed
from persona_img.rendering.enhance import Spot
from persona_img.rendering.framing import frame_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from persona_img.imaging.photo import Photo
    from persona_img.masking.base import ProductMask
    from persona_img.rendering.base import BackdropSource
    from persona_img.rendering.framing import Layout
    from persona_img.rendering.stands import Stands
    from persona_img.scenery.subject import Subject

_KEEP_ALL = 4_000_000  # pixels: up to here every canvas of a photo is kept for its other styles


@dataclass(frozen=True, eq=False)
class Canvas:
    """A framing of one photo: the product on the canvas, and at the size of a plate.

    Attributes:
        placed: The product on the canvas.
        spot: Where the canvas lies on the plate.
        product: uint8 (h, w, 3), the product on mid-grey at the plate's size.
        mask: float32 (h, w) in 0..1, its silhouette.
        subject: The product as its set sees it.
    """

    placed: Placed
    spot: Spot
    product: NDArray[np.uint8]
    mask: NDArray[np.float32]
    subject: Subject

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the plate."""
        return self.mask.shape[0], self.mask.shape[1]


@dataclass(eq=False)
class Shot:
    """One photo with all that its variants share.

    Attributes:
        photo: The photo.
        cut: Its mask.
        product: uint8 (H, W, 3), the product's own colours (:func:`.matting.product_of`).
        stands: How it stands, how large it is, in what light it was taken.
        seconds: What the mask took.
        renderer: Fingerprint of what renders it.
    """

    photo: Photo
    cut: ProductMask
    product: NDArray[np.uint8]
    stands: Stands
    seconds: float
    renderer: str
    _canvases: dict[tuple[str, tuple[int, int]], Canvas] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its file, or the beginning of its digest."""
        return str(self.photo.source or self.photo.digest[:12])

    @cached_property
    def grain(self) -> float:
        """Noise of the photograph, 8-bit levels; 0 of a cut-out, whose backdrop is not there."""
        return 0.0 if self.photo.cut_out else grain_of(self.photo.pixels)

    def canvas(self, framing: str, layout: Layout, source: BackdropSource) -> Canvas:
        """The canvas of a framing; of a large photo only the last is kept, for they fill memory."""
        frame = frame_of(self.cut.alpha, framing, layout)
        size = source.size(frame.height, frame.width)
        if (framing, size) not in self._canvases:
            if self.photo.pixels.shape[0] * self.photo.pixels.shape[1] > _KEEP_ALL:
                self._canvases.clear()
            placed = Placed.of(frame, self.photo.pixels, self.cut.alpha, self.product)
            spot = Spot.of((frame.height, frame.width), size)
            mask = spot.shrink(placed.alpha, size).astype(np.float32) / 255.0
            subject = self.stands.subject(placed.alpha)
            canvas = Canvas(placed, spot, spot.shrink(placed.on_grey(), size), mask, subject)
            self._canvases[framing, size] = canvas
        return self._canvases[framing, size]


@dataclass
class Clock:
    """Seconds by stage; stages that come again add up."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time what happens inside as this stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - started
            self.seconds[stage] = self.seconds.get(stage, 0.0) + passed
