"""A style encoder for the materials and scenes there are, and what it takes from an older one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from persona_img.generator.style_encoder import UNKNOWN, StyleEncoder
from persona_img.imaging.light import LIGHTS
from persona_img.scenery.scenes import SCENES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from persona_img.scenery.materials import Materials


def style_encoder_of(
    materials: Materials, palettes: Mapping[str, tuple[float, float]], width: int
) -> StyleEncoder:
    """An untrained encoder of every surface of ``materials``, every light and every scene.

    Args:
        materials: Whose surfaces.
        palettes: Name to (a*, b*) offset.
        width: Size of a token.
    """
    return StyleEncoder(
        surfaces={n: [*s.lab, s.dye] for n, s in materials.surfaces.items()},
        lights=list(LIGHTS),
        palettes={name: list(chroma) for name, chroma in palettes.items()},
        width=width,
        scenes=list(SCENES),
    )


def begin_as(known: StyleEncoder, fresh: StyleEncoder) -> None:
    """What an encoder learned of names that both know; new ones begin as the mean of the known.

    Args:
        known: Learned; of the same width.
        fresh: Is changed.
    """
    with torch.no_grad():
        fresh.colour.load_state_dict(known.colour.state_dict())
        fresh.no_colour.copy_(known.no_colour)
        _rows(known.surface, known.surface_names(), fresh.surface, fresh.surface_names())
        _rows(known.light, list(known.config.lights), fresh.light, list(fresh.config.lights))
        if known.scene is not None and fresh.scene is not None:
            _rows(known.scene, list(known.config.scenes), fresh.scene, list(fresh.config.scenes))


def _rows(known: nn.Embedding, old: Sequence[str], fresh: nn.Embedding, new: Sequence[str]) -> None:
    fresh.weight[1:] = known.weight[1:].mean(dim=0)
    fresh.weight[UNKNOWN] = known.weight[UNKNOWN]
    for row, name in enumerate(new, start=1):
        if name in old:
            fresh.weight[row] = known.weight[1 + old.index(name)]
