"""Latent codec: a light variational autoencoder whose decoder does not dominate the time.

A space-to-depth stem keeps every convolution at a quarter of the picture's resolution or less.
The first three latent channels are not learned: they are the picture at a sixteenth of its size,
as lightness and two colour opponents.
So a colour is never lost, however short the training, and the rest of the latents is free for
detail.
"""

from __future__ import annotations

from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

THUMBNAIL = 3
"""Latent channels that are the picture's own small copy."""
_THUMBNAIL_LOG_VARIANCE = -7.0


def to_opponents(rgb: Tensor) -> Tensor:
    """Lightness, red against green, blue against both, (B, 3, H, W).

    Channels of a picture are nearly alike in RGB, so that a little noise in each is a lot of
    colour noise; here colour has channels, and so a scale, of its own.
    """
    red, green, blue = rgb.unbind(1)
    lightness = (red + green + blue) / 3
    return torch.stack([lightness, red - green, blue - (red + green) / 2], dim=1)


def from_opponents(opponents: Tensor) -> Tensor:
    """The inverse of :func:`to_opponents`."""
    lightness, red_green, blue_yellow = opponents.unbind(1)
    both = lightness - blue_yellow / 3
    return torch.stack([both + red_green / 2, both - red_green / 2, both + blue_yellow], dim=1)


class Residual(nn.Module):
    """x + conv(silu(conv(silu(norm(x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x``, (B, C, H, W)."""
        return x + cast("Tensor", self.conv2(F.silu(self.conv1(F.silu(self.norm(x))))))


class Codec(ModelMixin, ConfigMixin):
    """Pictures to latents at 1/16 of the size and back.

    Args:
        latent_channels: C of the latents, the thumbnail's three among them.
        widths: Channels at 1/4, 1/8 and 1/16 of the picture's resolution.
        depths: Residual blocks at each, in the encoder; the decoder has as many.
        latent_mean: Per-channel mean of training latents, length C; set after training.
        latent_std: Per-channel spread of training latents, length C; set after training.
    """

    config_name = "config.json"
    factor = 16

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 32,
        widths: tuple[int, int, int] = (64, 128, 192),
        depths: tuple[int, int, int] = (1, 2, 2),
        latent_mean: list[float] | None = None,
        latent_std: list[float] | None = None,
    ) -> None:
        super().__init__()
        down: list[nn.Module] = [nn.PixelUnshuffle(4), nn.Conv2d(48, widths[0], 3, padding=1)]
        up: list[nn.Module] = [nn.Conv2d(latent_channels, widths[2], 3, padding=1)]
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            down += [Residual(width) for _ in range(depth)]
            if level < 2:
                down += [nn.PixelUnshuffle(2), nn.Conv2d(4 * width, widths[level + 1], 1)]
        for level in (2, 1, 0):
            up += [Residual(widths[level]) for _ in range(depths[level])]
            if level > 0:
                up += [nn.Conv2d(widths[level], 4 * widths[level - 1], 1), nn.PixelShuffle(2)]
        down += [
            nn.GroupNorm(8, widths[2]),
            nn.Conv2d(widths[2], 2 * (latent_channels - THUMBNAIL), 3, padding=1),
        ]
        up += [nn.Conv2d(widths[0], 48, 3, padding=1), nn.PixelShuffle(4)]
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up)
        mean = torch.tensor(latent_mean or [0.0] * latent_channels)
        std = torch.tensor(latent_std or [1.0] * latent_channels)
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1), persistent=False)

    def posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of raw latents; pictures (B, 3, H, W) in -1..1."""
        mean, log_variance = self.encoder(pictures).chunk(2, dim=1)
        thumbnail = to_opponents(F.avg_pool2d(pictures, self.factor))
        certain = torch.full_like(thumbnail, _THUMBNAIL_LOG_VARIANCE)
        return (
            torch.cat([thumbnail, mean], dim=1),
            torch.cat([certain, log_variance.clamp(-12.0, 4.0)], dim=1),
        )

    def decode_raw(self, raw: Tensor) -> Tensor:
        """Pictures of raw (unnormalised) latents: learned detail on the thumbnail's colours."""
        detail = self.decoder(raw)
        wanted = from_opponents(raw[:, :THUMBNAIL])
        missing = wanted - F.avg_pool2d(detail, self.factor)
        colours = F.interpolate(missing, scale_factor=float(self.factor), mode="bilinear")
        return cast("Tensor", detail + colours)

    def encode(self, pictures: Tensor) -> Tensor:
        """Normalised latents (B, C, H/16, W/16) of pictures (B, 3, H, W) in -1..1."""
        return (self.posterior(pictures)[0] - self.mean) / self.std

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), about -1..1, of normalised latents."""
        return self.decode_raw(latents * self.std + self.mean)
