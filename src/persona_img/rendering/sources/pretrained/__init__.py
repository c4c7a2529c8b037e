"""Backdrops by any pretrained pipeline of diffusers.

:mod:`.families` says which pipeline paints and how it is asked, :mod:`.licences` what a model may
be used for, :mod:`.prompts` what a style is called; :mod:`.loading` reads the weights and
:mod:`.memory` lays them, :mod:`.painting` makes the calls, :mod:`.silhouette` and :mod:`.kept`
guard the product, and :mod:`.source` is the source of backdrops.
"""

from persona_img.rendering.sources.pretrained.settings import PretrainedSettings
from persona_img.rendering.sources.pretrained.source import PretrainedBackdrops

__all__ = ["PretrainedBackdrops", "PretrainedSettings"]
