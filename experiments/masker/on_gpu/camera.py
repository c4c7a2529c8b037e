"""The camera: lens, sensor, colours and JPEG."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from draws import Draws, each
from pixels import blur
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from random import Random

# fmt: off
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, *[99] * 38,
)
# fmt: on


class Camera(Draws):
    """Takes pictures of scenes."""

    def __init__(self, device: str, rng: Random) -> None:
        super().__init__(device, rng)
        rows = [
            [
                math.sqrt((1 if k == 0 else 2) / 8) * math.cos(math.pi * (2 * n + 1) * k / 16)
                for n in range(8)
            ]
            for k in range(8)
        ]
        self.dct = torch.tensor(rows, device=device)
        self.tables = [
            torch.tensor(t, device=device, dtype=torch.float32).view(8, 8) for t in (_LUMA, _CHROMA)
        ]

    def photographed(self, picture: Tensor, strength: Tensor) -> Tensor:
        """Lens, sensor, colours and JPEG, by ``strength`` (B,) in 0..1; rounded to 255ths."""
        n, _, h, w = picture.shape
        soft = blur(picture, self.r(n, 0.35, 1.7) * strength + 0.05, 4)
        picture = torch.where(each(self.chance(n, 0.6)), soft, picture)
        low = F.interpolate(
            F.avg_pool2d(picture, 2), size=(h, w), mode="bilinear", align_corners=False
        )
        picture = picture + each(self.r(n, 0, 1.0) * self.chance(n, 0.2) * strength) * (
            low - picture
        )
        sharp = picture + each(self.r(n, 0, 0.8) * self.chance(n, 0.25) * strength) * (
            picture - F.avg_pool2d(picture, 3, 1, 1)
        )
        noise = torch.randn(n, 3, h, w, device=self.device)
        coarse = F.interpolate(
            torch.randn(n, 3, h // 2, w // 2, device=self.device),
            size=(h, w),
            mode="bilinear",
            align_corners=False,
        )
        grey = noise.mean(1, keepdim=True) * 1.7
        noise = torch.where(
            each(self.chance(n, 0.5)), grey.expand_as(noise), 0.6 * noise + 0.8 * coarse
        )
        picture = sharp + each(self.r(n, 0, 0.03) * strength) * noise
        gain = 1 + each(strength) * 0.13 * (2 * torch.rand(n, 3, 1, 1, device=self.device) - 1)
        gain = gain * (1 + each(strength) * each(self.r(n, -0.15, 0.15)))
        picture = (picture * gain).clamp(0, 1)
        picture = picture.clamp_min(1e-4) ** torch.exp(each(strength * self.r(n, -0.3, 0.3)))
        centre = picture.mean((1, 2, 3), keepdim=True)
        picture = ((picture - centre) * (1 + each(strength * self.r(n, -0.2, 0.2))) + centre).clamp(
            0, 1
        )
        coded = self.jpeg(picture, self.r(n, 40, 96))
        return (
            (torch.where(each(self.chance(n, 0.8)), coded, picture)).clamp(0, 1) * 255
        ).round() / 255

    def jpeg(self, picture: Tensor, quality: Tensor) -> Tensor:
        """What a JPEG of each quality would leave (4:2:0)."""
        r, g, b = (picture * 255).unbind(1)
        luma = 0.299 * r + 0.587 * g + 0.114 * b - 128
        cb = F.avg_pool2d((-0.168736 * r - 0.331264 * g + 0.5 * b)[:, None], 2)[:, 0]
        cr = F.avg_pool2d((0.5 * r - 0.418688 * g - 0.081312 * b)[:, None], 2)[:, 0]
        scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100

        def coded(plane: Tensor, table: Tensor) -> Tensor:
            n, h, w = plane.shape
            blocks = plane.view(n, h // 8, 8, w // 8, 8)
            steps = (table[None] * scale[:, None, None]).clamp_min(1)[:, None, :, None, :]
            freq = torch.einsum("ka,niajb,lb->nikjl", self.dct, blocks, self.dct)
            freq = (freq / steps).round() * steps
            return torch.einsum("ka,nikjl,lb->niajb", self.dct, freq, self.dct).reshape(n, h, w)

        luma = coded(luma, self.tables[0]) + 128
        cb, cr = (
            F.interpolate(
                coded(c, self.tables[1])[:, None],
                scale_factor=2.0,
                mode="bilinear",
                align_corners=False,
            )[:, 0]
            for c in (cb, cr)
        )
        rgb = torch.stack(
            [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb], 1
        )
        return (rgb / 255).clamp(0, 1)
