"""Classifier-free guidance for each attribute of a style, or one for all.

A style is told attribute by attribute: nothing, its surface in its scene, the palette on it, the
light over all.
Each step of that chain is one velocity less the one before, and has a weight of its own.

References:
    Ho and Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598.
    Brooks et al. 2023, "InstructPix2Pix", arXiv:2211.09800, section 3.2.1: the chain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import torch

from persona_img.errors import InvalidInput
from persona_img.generator.style_encoder import UNKNOWN, StyleEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

ORDER = ("surface", "palette", "light")
"""In which attributes are told: a palette is a colour *of a surface*, light falls on both."""

Guidance: TypeAlias = float | Mapping[str, float]
"""One weight for the whole style, or a weight for each attribute of :data:`ORDER`."""


@dataclass(frozen=True)
class Chain:
    """Which velocities guidance needs, and how it adds them up.

    ``v(0) + w_surface (v(1) - v(0)) + w_palette (v(2) - v(1)) + w_light (v(3) - v(2))``, where the
    first n attributes of :data:`ORDER` are told to ``v(n)``. It is the exact factorisation of the
    style's probability, each attribute given those before it. A sum over attributes told one at a
    time (Liu et al. 2022, arXiv:2206.01714) would hold were they independent given the picture;
    they are not: the colour asked for depends on the surface. And here equal weights fall together
    into plain guidance of the whole style, so that one number means what it always did.

    Attributes:
        told: How many attributes each velocity is told, ascending; the last is all of them.
        weights: Of the steps between them, one fewer.
    """

    told: tuple[int, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, guidance: Guidance, usual: float) -> Chain:
        """The shortest chain: steps of equal weight are one, and before a weight of 1 is nothing.

        Args:
            guidance: Of the style or of its attributes; 1 is as trained.
            usual: Weight of attributes that a mapping leaves out.

        Raises:
            InvalidInput: a weight for something else, or one that is not finite.
        """
        given = guidance if isinstance(guidance, Mapping) else dict.fromkeys(ORDER, guidance)
        wrong = {n: w for n, w in given.items() if n not in ORDER or not math.isfinite(w)}
        if wrong:
            raise InvalidInput(f"guidance {wrong}: give finite weights of {', '.join(ORDER)}")
        told, weights = [0], [1.0]  # as if a first step of weight 1 had led to nothing told
        for count, name in enumerate(ORDER, start=1):
            weight = given.get(name, usual)
            if weight == weights[-1]:
                told[-1] = count
            else:
                told.append(count)
                weights.append(weight)
        return cls(tuple(told), tuple(weights[1:]))

    def tokens(
        self,
        style_encoder: StyleEncoder,
        surface: Tensor,
        light: Tensor,
        colour: Tensor,
        scene: Tensor,
    ) -> Tensor:
        """Tokens for one call of the denoiser, (len(told) * B, 3, width), the whole style first.

        The scene is told with the surface: it says how that lies.
        """
        variants = []
        for count in reversed(self.told):
            variants.append(
                style_encoder(
                    surface if count >= 1 else torch.full_like(surface, UNKNOWN),
                    light if count >= 3 else torch.full_like(light, UNKNOWN),
                    colour if count >= 2 else torch.full_like(colour, torch.nan),
                    scene if count >= 1 else torch.full_like(scene, UNKNOWN),
                )
            )
        return torch.cat(variants)

    def join(self, velocities: Tensor) -> Tensor:
        """The guided velocity (B, C, h, w) of what :meth:`tokens` were answered with."""
        rising: Sequence[Tensor] = velocities.chunk(len(self.told))[::-1]
        guided = rising[0]
        for weight, (without, with_it) in zip(self.weights, pairwise(rising), strict=True):
            guided = guided + weight * (with_it - without)
        return guided
