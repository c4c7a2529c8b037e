"""Prompts that are read together with pictures, where torchvision is not installed.

Qwen's own processor wants torchvision for videos, which nobody shows it here; beside a CPU build of
torch torchvision keeps diffusers from loading at all.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer, BatchFeature, Qwen2VLImageProcessorPil, Qwen2VLProcessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image


class PromptReader(Qwen2VLProcessor):
    """What ``Qwen2VLProcessor`` makes of texts and pictures, without its part for videos.

    Args:
        image_processor: Makes patches of pictures.
        tokenizer: Knows the mark that stands for a picture.
    """

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.image_token = "<|image_pad|>"

    @classmethod
    def of(cls, model: str, **whence: Any) -> PromptReader:
        """The reader of a pipeline's folder or repository."""
        eyes = Qwen2VLImageProcessorPil.from_pretrained(model, subfolder="processor", **whence)
        return cls(eyes, AutoTokenizer.from_pretrained(model, subfolder="tokenizer", **whence))

    def __call__(
        self, text: Sequence[str], images: Sequence[Image.Image] | Image.Image, **_: Any
    ) -> BatchFeature:
        """Tokens, with each mark of a picture as often as the picture has tokens, and patches."""
        seen = self.image_processor(images=images, return_tensors="pt")
        merged = self.image_processor.merge_size**2
        counts = [int(grid.prod()) // merged for grid in seen["image_grid_thw"]]
        written = []
        for one in text:
            first, *others = one.split(self.image_token)
            for part in others:
                first += self.image_token * counts.pop(0) + part
            written.append(first)
        tokens = self.tokenizer(written, padding=True, return_tensors="pt")
        return BatchFeature({**tokens, **seen})


def needs_reader() -> bool:
    """Whether transformers' own processor cannot be made here."""
    return importlib.util.find_spec("torchvision") is None
