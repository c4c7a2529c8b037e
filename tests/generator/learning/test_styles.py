from __future__ import annotations

import torch

from persona_img.assets import ASSETS
from persona_img.generator.learning.corpus import CorpusSettings
from persona_img.generator.learning.styles import begin_as, style_encoder_of
from persona_img.generator.style_encoder import StyleEncoder
from persona_img.imaging.light import LIGHTS
from persona_img.scenery.materials import materials_of
from persona_img.scenery.scenes import SCENES


def test_it_knows_every_surface_light_and_scene(corpus_settings: CorpusSettings) -> None:
    encoder = style_encoder_of(materials_of(None), corpus_settings.palettes, 8)
    assert set(encoder.surface_names()) == set(materials_of(None).surfaces)
    assert list(encoder.config.lights) == list(LIGHTS)
    assert list(encoder.config.scenes) == list(SCENES)
    assert encoder.colour_of("linen", "sage") == (80, 0.5 - 8, 5 + 7)


def test_what_an_older_one_knew_is_kept_by_name() -> None:
    torch.manual_seed(0)
    old = StyleEncoder({"oak": [1, 2, 3, 1.0], "linen": [4, 5, 6, 1.0]}, ["sun"], {"a": [0, 0]}, 8)
    new = StyleEncoder(
        {n: [1, 2, 3, 1.0] for n in ("brick", "linen", "oak")}, ["soft", "sun"], {"a": [0, 0]}, 8,
        ["flat-lay", "shelf"],
    )  # fmt: skip
    begin_as(old, new)
    style = {"surface": "linen", "light": "sun", "palette": "a", "colour": "#808080"}
    assert torch.equal(old(*old.indices([style])), new(*new.indices([style])))
    brick = new.surface.weight[1 + new.surface_names().index("brick")]
    torch.testing.assert_close(brick, old.surface.weight[1:].mean(dim=0))
    nothing = [torch.zeros(1, dtype=torch.long)] * 2 + [torch.full((1, 3), torch.nan)]
    assert torch.equal(old(*nothing, nothing[0]), new(*nothing, nothing[0]))


def test_the_shipped_one_may_know_no_scenes() -> None:
    shipped = StyleEncoder.from_pretrained(ASSETS / "checkpoint", subfolder="style_encoder")
    surfaces, _, _, scenes = shipped.indices([{"surface": "linen", "light": "sun"}])
    assert surfaces.tolist() == [1 + shipped.surface_names().index("linen")]
    assert scenes.tolist() == ([1] if shipped.config.scenes else [0])
