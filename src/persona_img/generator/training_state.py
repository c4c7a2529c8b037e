"""Settings of a training, and its state on disk: written every few minutes, whole or not at all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how to train.

    Attributes:
        codec_steps: Optimiser steps of the codec.
        denoiser_steps: Optimiser steps of the denoiser.
        codec_batch: Crops a step.
        denoiser_batch: Pictures a step.
        crop: Side of the codec's crops, pixels; a multiple of 16.
        codec_rate: Peak learning rate of the codec.
        denoiser_rate: Peak learning rate of the denoiser.
        ema: Decay of the denoiser's averaged weights.
        drop_style: Chance that a sample is trained without any style (guidance needs it).
        drop_attribute: Chance that one attribute is left out.
        photo_share: Share of samples that are merchants' photos, the rest is made.
        save_every: Seconds between states written.
        latent_channels: Of the codec.
        codec_widths: Codec channels at 1/4, 1/8 and 1/16.
        widths: Denoiser channels; multiples of 32.
        token_width: Size of a style token.
        device: torch device.
        seed: Of weights, batches and noise.
    """

    codec_steps: int = 1600
    denoiser_steps: int = 6000
    codec_batch: int = 16
    denoiser_batch: int = 16
    crop: int = 128
    codec_rate: float = 4e-4
    denoiser_rate: float = 4e-4
    ema: float = 0.998
    drop_style: float = 0.1
    drop_attribute: float = 0.05
    photo_share: float = 0.12
    save_every: float = 180.0
    latent_channels: int = 32
    codec_widths: tuple[int, int, int] = (64, 128, 192)
    widths: tuple[int, int] = (128, 224)
    token_width: int = 256
    device: str = "cpu"
    seed: int = 7


class SavedState:
    """Training state on disk: restored at once, written every so many seconds."""

    def __init__(self, path: Path, parts: dict[str, Any], every: float) -> None:
        self.path, self.parts, self.every = path, parts, every
        self.step, self.last = 0, time.monotonic()
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.step = int(state["step"])
            for name, part in parts.items():
                part.load_state_dict(state[name])

    def maybe_save(self, step: int, figures: dict[str, float]) -> bool:
        """Save if it is time to, and tell the figures; whether it was."""
        if time.monotonic() - self.last < self.every:
            return False
        shown = " ".join(f"{k}={v:.3f}" for k, v in figures.items())
        tqdm.write(f"{self.path.stem}: step {step}, {shown}")
        self.save(step)
        return True

    def save(self, step: int) -> None:
        """Write everything as it is after ``step`` steps."""
        write_whole(self.path, {"step": step} | {n: p.state_dict() for n, p in self.parts.items()})
        self.step, self.last = step, time.monotonic()


def set_rate(optimiser: torch.optim.Optimizer, peak: float, step: int, total: int) -> None:
    """Warm-up over 2 %, flat, then linear to a twentieth over the last 30 %."""
    warm = min(1.0, (step + 1) / max(1.0, 0.02 * total))
    cool = min(1.0, 0.05 + 0.95 * (total - step) / max(1.0, 0.3 * total))
    for group in optimiser.param_groups:
        group["lr"] = peak * min(warm, cool)


def copy_weights(known: nn.Module, fresh: nn.Module, start: Path) -> None:
    """Weights of the checkpoint ``start`` into a fresh network.

    Raises:
        InvalidInput: it has another shape.
    """
    try:
        fresh.load_state_dict({name: value.float() for name, value in known.state_dict().items()})
    except RuntimeError as error:
        raise InvalidInput(f"{start}: has another shape than is trained here: {error}") from error


def signed(rgb: Any) -> Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in -1..1."""
    pictures = torch.from_numpy(np.array(rgb)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pictures.contiguous(memory_format=torch.channels_last)


def write_whole(path: Path, value: object) -> None:
    """Save a value so that readers see the old file or the new one."""
    partial = path.with_name(path.name + ".part")
    torch.save(value, partial)
    partial.replace(path)
