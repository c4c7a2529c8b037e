"""Room for text beside a product: where it is, in which ink, and whether it can be read there.

References:
    WCAG 2.2, success criterion 1.4.3 and "relative luminance": contrast (L1 + 0.05) / (L2 + 0.05);
    at least 4.5 for text of any size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.imaging.light import to_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
_WORST = 0.02  # share of the area that may lie beyond, single pixels of grain


@dataclass(frozen=True)
class TextArea:
    """Where text can stand.

    Attributes:
        box: Left, top, width, height on the variant, pixels.
        ink: ``black`` or ``white``, whichever is read better.
        contrast: Of that ink with the least favourable 2 % of the area, 1..21.
    """

    box: tuple[int, int, int, int]
    ink: str
    contrast: float

    @classmethod
    def of(cls, picture: NDArray[np.uint8], box: tuple[int, int, int, int]) -> TextArea:
        """Measured on a picture, uint8 sRGB (H, W, 3); the box lies inside it."""
        left, top, width, height = box
        area = picture[top : top + height, left : left + width].astype(np.float32) / 255.0
        luminance = to_linear(area) @ _LUMINANCE
        dark, bright = np.quantile(luminance, [_WORST, 1.0 - _WORST])
        black, white = float(dark + 0.05) / 0.05, 1.05 / float(bright + 0.05)
        ink = "black" if black >= white else "white"
        return cls(box, ink, round(max(black, white), 3))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"box": list(self.box)}
