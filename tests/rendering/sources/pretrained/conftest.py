"""Tiny models, each made once a run and read by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_inpaint as edit
import diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus as plus
import pytest

from rendering.sources.pretrained.tiny import save


@pytest.fixture(scope="session")
def model(made_once: Callable[..., Path]) -> Callable[[str], Path]:
    """``model(name)`` is the folder of a tiny model of :data:`tiny.MODELS`."""
    return lambda name: made_once(f"tiny-{name}", lambda folder: save(name, folder))


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen's editing pipelines work on a megapixel whatever is asked; here on 128 x 128."""
    sized = edit.calculate_dimensions
    monkeypatch.setattr(edit, "calculate_dimensions", lambda _, ratio: sized(128 * 128, ratio))
    monkeypatch.setattr(plus, "VAE_IMAGE_SIZE", 128 * 128)
    monkeypatch.setattr(plus, "CONDITION_IMAGE_SIZE", 64 * 64)
