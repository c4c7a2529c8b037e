"""What a style means to the denoiser: three tokens (surface in its scene, light, colour)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from persona_img.errors import UnknownStyle
from persona_img.imaging.colour import lab_of
from persona_img.scenery.scenes import PLAINEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNKNOWN = 0
"""Index of the null value: attribute not known (training) or not asked for (sampling)."""


class StyleEncoder(ModelMixin, ConfigMixin):
    """Style attributes to cross-attention tokens.

    Surface, light and scene are learned embeddings; the scene's is added to the surface's, for it
    says how that surface lies. Palette is told as the colour it asks of that
    surface (mean Lab), so that measured photos teach colour too and any colour can be asked for.

    Args:
        surfaces: Name to ``[L, a, b, dye]``: its own mean Lab, and how far it takes a palette.
        lights: Names of the lights.
        palettes: Name to ``[a, b]``, the offset asked of a fully dyed surface.
        width: Size of a token.
        scenes: Names of the scenes; none where it was taught what lies flat and nothing else.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        surfaces: dict[str, list[float]],
        lights: list[str],
        palettes: dict[str, list[float]],
        width: int = 256,
        scenes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.surface = nn.Embedding(1 + len(surfaces), width)
        self.scene = nn.Embedding(1 + len(scenes), width) if scenes else None
        if self.scene is not None:
            nn.init.zeros_(self.scene.weight)  # begins as an encoder that knows no scenes
        self.light = nn.Embedding(1 + len(lights), width)
        self.colour = nn.Sequential(nn.Linear(15, width), nn.SiLU(), nn.Linear(width, width))
        self.no_colour = nn.Parameter(torch.zeros(width))

    def colour_of(self, surface: str, palette: str) -> tuple[float, float, float]:
        """Mean Lab that a palette asks of a surface.

        Raises:
            UnknownStyle: the checkpoint knows no such surface or palette.
        """
        lightness, a, b, dye = self._known("surface", surface, self.config.surfaces)
        da, db = self._known("palette", palette, self.config.palettes)
        return lightness, a + dye * da, b + dye * db

    def surface_names(self) -> list[str]:
        """Names of the surfaces; the i-th has index i + 1.

        Sorted: a saved config does not keep the order in which a mapping was written.
        """
        return sorted(self.config.surfaces)

    def indices(self, styles: Sequence[Mapping[str, str]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ids of surfaces, lights (B,), colours (B, 3; NaN = not asked) and ids of scenes (B,).

        A style that names no scene means the plainest, that of what lies flat. Where no scenes were
        taught, they are disregarded.

        Raises:
            UnknownStyle: a value this checkpoint was not trained on.
        """
        surfaces, lights, colours, scenes = [], [], [], []
        scene_names = list(self.config.scenes)
        surface_names, light_names = self.surface_names(), list(self.config.lights)
        for style in styles:
            surface, light = style.get("surface"), style.get("light")
            if surface is not None:
                self._known("surface", surface, self.config.surfaces)
            if light is not None:
                self._known("light", light, dict.fromkeys(light_names))
            scene = style.get("scene", PLAINEST)
            if scene_names:
                self._known("scene", scene, dict.fromkeys(scene_names))
            scenes.append(1 + scene_names.index(scene) if scene_names else UNKNOWN)
            surfaces.append(1 + surface_names.index(surface) if surface else UNKNOWN)
            lights.append(1 + light_names.index(light) if light else UNKNOWN)
            palette = style.get("palette", "neutral")
            if "colour" in style:
                colours.append(lab_of(style["colour"]))
            else:
                colours.append(self.colour_of(surface, palette) if surface else (float("nan"),) * 3)
        return (
            torch.tensor(surfaces),
            torch.tensor(lights),
            torch.tensor(colours),
            torch.tensor(scenes),
        )

    def forward(self, surface: Tensor, light: Tensor, colour: Tensor, scene: Tensor) -> Tensor:
        """Tokens (B, 3, width) of ids (B,), (B,), mean Lab (B, 3; NaN rows are null), ids (B,).

        Scenes are disregarded where none were taught.
        """
        known = torch.isfinite(colour).all(dim=1, keepdim=True)
        scaled = torch.where(known, colour, torch.zeros_like(colour))
        scaled = scaled * torch.tensor([0.02, 0.05, 0.05], device=colour.device) - torch.tensor(
            [1.2, 0.0, 0.0], device=colour.device
        )
        waves = [scaled] + [f(k * scaled) for k in (2.0, 4.0) for f in (torch.sin, torch.cos)]
        features = torch.cat(waves, dim=1)
        tint = torch.where(known, self.colour(features), self.no_colour.expand(len(colour), -1))
        laid = self.surface(surface)
        if self.scene is not None:
            laid = laid + self.scene(scene)
        return torch.stack([laid, self.light(light), tint], dim=1)

    def _known(self, attribute: str, value: str, table: Mapping[str, object]) -> list[float]:
        if value not in table:
            known = ", ".join(table)
            raise UnknownStyle(f"{attribute}={value}: this checkpoint knows {known}; choose one")
        return cast("list[float]", table[value])
