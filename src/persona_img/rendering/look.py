"""What a reference picture looks like, in the words of a style: colours, light, material, scene.

The judge of styles names material, light and scene; the rest is measured on the backdrop alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import colours_of, to_lab
from persona_img.imaging.light import LIGHTS
from persona_img.scenery.scenes import PLAINEST, fits
from persona_img.scenery.taken import taken_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.rendering.proof.adherence import StyleJudge

_COLOURS = 5
_LEAST_SHARE = 0.04  # of the backdrop: a smaller colour after the third is an accident
_LOWER = 0.55  # of the height: below, a scene shows what a product stands on
_USUAL = {"surface": "plaster", "light": "soft", "scene": PLAINEST}


@dataclass(frozen=True)
class ReferenceLook:
    """A picture in the words of a style.

    Attributes:
        colours: Three to five colours of the backdrop, ``#rrggbb``, with their shares, the largest
            first; fewer where it has fewer.
        ground: The largest of what the product lies or stands on.
        side: Where the light comes from: -1 left, 1 right, 0 neither.
        softness: How wide the edge of a shadow is, 0..1, 1 as under an overcast sky.
        texture: Spread of the backdrop's finest contrast, L*.
        light: Value of the attribute ``light`` that it is most like.
        surface: Value of ``surface`` that it is most like.
        scene: Value of ``scene`` that it is most like.
    """

    colours: tuple[tuple[str, float], ...]
    ground: str
    side: float
    softness: float
    texture: float
    light: str
    surface: str
    scene: str

    def values(self, pose: str) -> dict[str, str]:
        """As attributes of a style for a product; its scene only where that fits the pose."""
        values = {"surface": self.surface, "light": self.light}
        return values | ({"scene": self.scene} if fits(self.scene, pose) else {})


def look_of(
    picture: NDArray[np.uint8], alpha: NDArray[np.uint8], judge: StyleJudge
) -> ReferenceLook:
    """The look of a picture.

    Args:
        picture: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), the product on it, which says nothing of the look.
        judge: Names material, light and scene; where it cannot, the plainest stands in.

    Raises:
        InvalidInput: the product leaves no backdrop.
    """
    open_ = cv2.dilate((alpha > 5).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    colours = colours_of(picture, open_, _COLOURS)
    kept = [c for i, c in enumerate(colours) if i < 3 or c[1] >= _LEAST_SHARE]
    named = _USUAL | judge.recognised(picture, alpha)
    chances = judge.chances(picture, alpha).get("light", {})
    widest = max(light.shadow_blur for light in LIGHTS.values())
    soft = sum(p * LIGHTS[name].shadow_blur for name, p in chances.items() if name in LIGHTS)
    lower = open_.copy()
    if named["scene"] != PLAINEST:
        lower[: round(_LOWER * alpha.shape[0])] = False
    ground = colours_of(picture, lower if lower.any() else open_, _COLOURS)[0][0]
    lightness = to_lab(picture)[..., 0]
    fine = lightness - cv2.GaussianBlur(lightness, (0, 0), 1.4)
    return ReferenceLook(
        tuple(kept),
        ground,
        taken_of(picture, alpha, cut_out=False).side,
        float(np.nan_to_num(soft / widest, nan=1.0)),
        float(fine[open_].std()),
        named["light"],
        named["surface"],
        named["scene"],
    )
