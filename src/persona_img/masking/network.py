"""The learned masker's network: a small U-Net on a space-to-depth stem.

Every convolution but the last two runs at a quarter of the picture's resolution or less, so that
the shipped one looks at 512 pixels in a sixth of a second. A layer of attention at 1/32 lets both
shoes of a pair, or the two ends of a strap, know of each other.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

STRIDE = 32
"""Sides of pictures are multiples of this."""


class MaskNet(nn.Module):
    """Pictures to logits of "this pixel is product".

    Args:
        widths: Channels at 1/4, 1/8, 1/16 and 1/32 of the picture's resolution; multiples of 8.
        encoder: Residual blocks at each.
        decoder: Residual blocks at 1/4, 1/8 and 1/16 on the way up.

    References:
        Ronneberger, Fischer, Brox 2015, "U-Net", arXiv:1505.04597.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (24, 48, 96, 144),
        encoder: tuple[int, int, int, int] = (1, 2, 2, 2),
        decoder: tuple[int, int, int] = (1, 1, 2),
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "widths": list(widths),
            "encoder": list(encoder),
            "decoder": list(decoder),
        }
        self.stem = nn.Conv2d(3 * 16 + 1, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(map(_blocks, widths, encoder))
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs])
        self.attention = _Attention(widths[-1])
        self.up = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairs])
        self.decoder = nn.ModuleList(map(_blocks, widths, decoder))
        self.head = nn.Conv2d(widths[0], 4 * 16, 1)
        self.fine = nn.Conv2d(16 + 3 * 4, 24, 3, padding=1)
        self.last = nn.Conv2d(24, 4, 3, padding=1)

    def forward(self, pictures: Tensor, prior: Tensor) -> Tensor:
        """Logits (B, 1, H, W).

        Args:
            pictures: (B, 3, H, W) in -1..1, sides multiples of 32.
            prior: (B, 1, H/4, W/4) in 0..1, how unlike the border's colours.
        """
        x = self.stem(torch.cat([F.pixel_unshuffle(pictures, 4), prior], dim=1))
        kept: list[Tensor] = []
        for level, blocks in enumerate(self.encoder):
            x = blocks(x)
            if level < len(self.down):
                kept.append(x)
                x = self.down[level](x)
        x = self.attention(x)
        for level in reversed(range(len(kept))):
            x = F.interpolate(self.up[level](x), scale_factor=2.0) + kept[level]
            x = self.decoder[level](x)
        half = F.pixel_shuffle(self.head(F.relu(x)), 2)
        half = torch.cat([half, F.pixel_unshuffle(pictures, 2)], dim=1)
        return F.pixel_shuffle(self.last(F.relu(self.fine(half))), 2)

    def save(self, folder: Path, **facts: Any) -> None:
        """Write ``config.json`` (shape and ``facts``) and float16 ``model.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        text = json.dumps({"network": self.config} | facts, indent=1) + "\n"
        (folder / "config.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> tuple[MaskNet, dict[str, Any]]:
        """The network in float32, ready to predict, and what ``config.json`` says.

        Raises:
            InvalidInput: the folder holds no such network.
        """
        try:
            facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            net = cls(**{name: tuple(value) for name, value in facts["network"].items()})
            weights = load_file(folder / "model.safetensors")
            net.load_state_dict({name: value.float() for name, value in weights.items()})
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise InvalidInput(f"{folder}: not a masker's checkpoint: {error}") from error
        cast("Any", net).to(memory_format=torch.channels_last)
        return net.eval().requires_grad_(False), facts


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[_Residual(channels) for _ in range(count)])


class _Residual(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x))))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(hidden)))


class _Attention(nn.Module):
    """x + attention between all places of x, 4 heads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, 4, channels // 4, height * width)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return x + self.out(mixed.reshape(batch, channels, height, width))
