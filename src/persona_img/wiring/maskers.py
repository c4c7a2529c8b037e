"""Who cuts products out, by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.wiring.registry import named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from persona_img.masking.base import Masker
    from persona_img.masking.onnx import OnnxMasker
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
    return TransformersMasker(
        chosen.model,
        labels=chosen.labels,
        trust_remote_code=chosen.trust_remote_code,
        confidence=_confidence(settings),
    )


def onnx_masker(settings: Settings) -> OnnxMasker:
    """A network in an ONNX file, with its confidence where there is one.

    Raises:
        InvalidInput: no file is named, or onnxruntime is not installed.
    """
    chosen = settings.mask
    if chosen.model is None:
        raise InvalidInput("masker onnx: say which file: --masker-model FILE.onnx")
    try:
        from persona_img.masking.onnx import OnnxMasker
    except ImportError as error:
        raise InvalidInput(f"masker onnx: {error}; pip install 'persona-img[onnx]'") from error
    return OnnxMasker(chosen.model, family=chosen.family, confidence=_confidence(settings))


def _confidence(settings: Settings) -> Any:
    chosen = settings.mask.confidence
    if chosen is None:
        return None
    try:
        return json.loads(chosen.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"mask.confidence={chosen}: cannot be read ({error}); name a file that "
            f"`persona-img calibrate-masker` wrote"
        ) from error


MASKERS: Mapping[str, Callable[[Settings], Masker]] = {
    "learned": _learned,
    "classic": _classic,
    "transformers": transformers_masker,
    "onnx": onnx_masker,
}
"""``classic`` needs no weights."""


def masker(settings: Settings) -> Masker:
    """The settings' masker.

    Raises:
        InvalidInput: no such masker, or what it needs is missing.
    """
    return named(MASKERS, settings.mask.masker, "mask.masker")(settings)
