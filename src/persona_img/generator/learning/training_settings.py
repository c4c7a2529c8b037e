"""How the generator is trained, and what its two trainings share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

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
        denoiser_batch: Pictures a batch of the denoiser.
        accumulate: Batches of each process whose gradients make one step of the denoiser.
        crop: Side of the codec's crops, pixels; a multiple of 16.
        codec_rate: Peak learning rate of the codec.
        denoiser_rate: Peak learning rate of the denoiser.
        ema: Decay of the denoiser's averaged weights.
        drop_style: Chance that a sample is trained without any style (guidance needs it).
        drop_attribute: Chance that one attribute is left out.
        photo_share: Share of samples that are merchants' photos, the rest is made.
        held_out: Share of plates that the denoiser is not trained on; at most 64 of each size.
        check_every: Steps between looks at those.
        patience: Looks without a gain after which training stops; the best weights are kept.
        save_every: Seconds between states written.
        latent_channels: Of the codec.
        codec_widths: Codec channels at 1/4, 1/8 and 1/16.
        widths: Denoiser channels; multiples of 32.
        token_width: Size of a style token.
        precision: Of the denoiser's arithmetic: ``no`` for float32; ``bf16``; ``fp16``, with scaled
            gradients, which needs a GPU. Weights are kept in float32.
        device: torch device. Where several processes train, each on one of its kind.
        seed: Of weights, batches and noise.
    """

    codec_steps: int = 1600
    denoiser_steps: int = 6000
    codec_batch: int = 16
    denoiser_batch: int = 16
    accumulate: int = 1
    crop: int = 128
    codec_rate: float = 4e-4
    denoiser_rate: float = 4e-4
    ema: float = 0.998
    drop_style: float = 0.1
    drop_attribute: float = 0.05
    photo_share: float = 0.12
    held_out: float = 0.03
    check_every: int = 250
    patience: int = 8
    save_every: float = 180.0
    latent_channels: int = 32
    codec_widths: tuple[int, int, int] = (64, 128, 192)
    widths: tuple[int, int] = (128, 224)
    token_width: int = 256
    precision: Literal["no", "bf16", "fp16"] = "no"
    device: str = "cpu"
    seed: int = 7


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
