"""Who cuts products out, by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.wiring.registry import named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from persona_img.masking.base import Masker
    from persona_img.masking.pretrained import TransformersMasker
    from persona_img.settings import Settings


def _learned(settings: Settings) -> Masker:
    from persona_img.masking.learned import LearnedMasker

    return LearnedMasker(settings.mask.checkpoint)


def _classic(_: Settings) -> Masker:
    from persona_img.masking.classic import ClassicMasker

    return ClassicMasker()


def transformers_masker(settings: Settings) -> TransformersMasker:
    """A segmentation model of the transformers library, with its confidence where there is one.

    Raises:
        InvalidInput: no model is named, or transformers is not installed.
    """
    chosen = settings.mask
    if chosen.model is None:
        raise InvalidInput("masker transformers: say which model: --masker-model ID-OR-FOLDER")
    try:
        from persona_img.masking.pretrained import TransformersMasker
    except ImportError as error:
        raise InvalidInput(
            f"masker transformers: {error}; pip install 'persona-img[pretrained]'"
        ) from error
    confidence = None
    if chosen.confidence is not None:
        confidence = json.loads(chosen.confidence.read_text(encoding="utf-8"))
    return TransformersMasker(
        chosen.model,
        labels=chosen.labels,
        trust_remote_code=chosen.trust_remote_code,
        confidence=confidence,
    )


MASKERS: Mapping[str, Callable[[Settings], Masker]] = {
    "learned": _learned,
    "classic": _classic,
    "transformers": transformers_masker,
}
"""``classic`` needs no weights."""


def masker(settings: Settings) -> Masker:
    """The settings' masker.

    Raises:
        InvalidInput: no such masker, or what it needs is missing.
    """
    return named(MASKERS, settings.mask.masker, "mask.masker")(settings)
