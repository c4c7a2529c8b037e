"""Random numbers, fields and shapes of a batch, drawn on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from random import Random


def each(values: Tensor) -> Tensor:
    """One number of each picture, (B,), beside (B, C, H, W)."""
    return values[:, None, None, None]


def wide_as(values: Tensor) -> Tensor:
    """One number of each picture, (B,), beside (B, H, W)."""
    return values[:, None, None]


class Draws:
    """Everything random of each picture is drawn on the device.

    Only counts and choices of rows are drawn on the CPU, so nothing waits for the device.
    """

    def __init__(self, device: str, rng: Random) -> None:
        self.device, self.rng = device, rng

    def r(self, n: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers between two, (n,)."""
        return torch.rand(n, device=self.device) * (high - low) + low

    def n(self, n: int, sigma: float = 1.0) -> Tensor:
        """Normal numbers, (n,)."""
        return torch.randn(n, device=self.device) * sigma

    def chance(self, n: int, p: float) -> Tensor:
        """What is true with chance p, (n,)."""
        return torch.rand(n, device=self.device) < p

    def some(self, n: int, p: float) -> Tensor | None:
        """Rows of a batch, each with chance p (on average); None where none is."""
        k = int(p * n + self.rng.random())
        if k == 0:
            return None
        return torch.tensor(self.rng.sample(range(n), min(n, k)), device=self.device)

    def field(self, n: int, c: int, h: int, w: int, cells: int) -> Tensor:
        """Smooth noise, about standard normal."""
        low = torch.randn(n, c, cells, cells, device=self.device)
        return F.interpolate(low, size=(h, w), mode="bicubic", align_corners=True)

    def capsule(
        self, x: Tensor, y: Tensor, a: Tensor, b: Tensor, ra: Tensor, rb: Tensor, soft: float = 1.0
    ) -> Tensor:
        """Area around the segment a-b (n, 2), radius ra to rb: (n, 1, H, W) in 0..1."""
        px, py = x - a[:, 0, None, None], y - a[:, 1, None, None]
        dx, dy = (b - a)[:, 0, None, None], (b - a)[:, 1, None, None]
        t = ((px * dx + py * dy) / (dx * dx + dy * dy).clamp_min(1e-3)).clamp(0, 1)
        d = torch.sqrt((px - t * dx).square() + (py - t * dy).square() + 1e-6)
        radius = ra[:, None, None] + t * (rb - ra)[:, None, None]
        return (0.5 + (radius - d) / soft).clamp(0, 1)[:, None]
