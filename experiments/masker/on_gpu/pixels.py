"""Pictures on the device: (B, 3, H, W) sRGB 0..1; and what the network sees besides them."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from pathlib import Path


def load_blob(pack: Path, name: str) -> tuple[list, bytes]:
    """Index of (key, start, size) and the bytes."""
    return json.loads((pack / f"{name}.json").read_text()), (pack / f"{name}.bin").read_bytes()


def decode(data: bytes, mode: str = "RGB") -> np.ndarray:
    """A picture, uint8."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert(mode))


# ---------------------------------------------------------------- small tools


def taps_of(sigma: Tensor, reach: int) -> Tensor:
    """Gaussian taps (B, 2 reach + 1) of each sigma."""
    x = torch.arange(-reach, reach + 1, device=sigma.device, dtype=torch.float32)
    t = torch.exp(-0.5 * (x / sigma[:, None].clamp_min(0.05)) ** 2)
    return t / t.sum(1, keepdim=True)


def blur(x: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Gaussian blur with a sigma for each picture."""
    b, c, h, w = x.shape
    taps = taps_of(sigma, reach).repeat_interleave(c, 0)
    y = F.pad(x, (reach, reach, reach, reach), mode="replicate").reshape(
        1, b * c, h + 2 * reach, w + 2 * reach
    )
    y = F.conv2d(y, taps[:, None, :, None], groups=b * c)
    y = F.conv2d(y, taps[:, None, None, :], groups=b * c)
    return y.reshape(b, c, h, w)


def box(x: Tensor, window: int) -> Tensor:
    """The mean around each pixel, over an odd window."""
    r = window // 2
    x = F.pad(x, (r, r, r, r), mode="reflect")
    x = F.avg_pool2d(x, (window, 1), 1)
    return F.avg_pool2d(x, (1, window), 1)


def sample(items: Tensor, x: Tensor, y: Tensor, padding: str, mode: str = "bilinear") -> Tensor:
    """Items (B, C, h, w) looked up at pixel places x, y (B, H, W)."""
    h, w = items.shape[-2:]
    grid = torch.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], -1)
    return F.grid_sample(items, grid, mode, padding, align_corners=False)


def mesh(h: int, w: int, device: str) -> tuple[Tensor, Tensor]:
    """Columns and rows of pixels, (1, h, w) each."""
    y, x = torch.meshgrid(
        torch.arange(h, device=device, dtype=torch.float32),
        torch.arange(w, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return x[None], y[None]


def frac(x: Tensor) -> Tensor:
    """What is behind the point."""
    return x - torch.floor(x)


def hashed(i: Tensor, j: Tensor, seed: Tensor) -> Tensor:
    """A number in 0..1 of each pair of whole ones."""
    return frac(torch.sin(i * 12.9898 + j * 78.233 + seed) * 4375.85453)


def luma(x: Tensor) -> Tensor:
    """Lightness, (B, 1, H, W)."""
    return 0.299 * x[:, 0:1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:3]


def to_lab(rgb: Tensor) -> Tensor:
    """CIE Lab (D65) of sRGB 0..1, (B, 3, ...)."""
    lin = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055).clamp_min(1e-6) ** 2.4)
    r, g, b = lin[:, 0], lin[:, 1], lin[:, 2]
    x = (0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.950456
    y = 0.212671 * r + 0.715160 * g + 0.072169 * b
    z = (0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754

    def f(t: Tensor) -> Tensor:
        return torch.where(t > 0.008856, t.clamp_min(1e-6) ** (1 / 3), 7.787 * t + 16 / 116)

    fx, fy, fz = f(x), f(y), f(z)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], 1)


_OFFSETS = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if dy * dy + dx * dx <= 9]


def border_prior(picture: Tensor) -> Tensor:
    """The project's ``border_prior`` of batches in 0..255: (B, 1, H/4, W/4) in 0..1."""
    small = F.avg_pool2d(picture, 4).round()
    b, _, h, w = small.shape
    padded = F.pad(small, (3, 3, 3, 3), mode="reflect")
    total = torch.zeros_like(small)
    weight = torch.zeros_like(small[:, :1])
    for dy, dx in _OFFSETS:  # bilateral filter, d = 7, colour 25, space 5
        other = padded[:, :, 3 + dy : 3 + dy + h, 3 + dx : 3 + dx + w]
        apart = (other - small).abs().sum(1, keepdim=True)
        g = torch.exp(apart.square() * (-0.5 / 625) - 0.5 * (dy * dy + dx * dx) / 25)
        total += g * other
        weight += g
    smooth = (total / weight).round()
    lab = to_lab(smooth / 255) * torch.tensor([0.55, 1.0, 1.0], device=picture.device).view(
        1, 3, 1, 1
    )
    thick = max(2, round(0.03 * min(h, w)))
    ring = torch.ones(h, w, dtype=torch.bool)
    ring[thick:-thick, thick:-thick] = False
    where = ring.flatten().nonzero()[:, 0].to(picture.device)
    flat = lab.flatten(2)  # B, 3, hw
    points = flat[:, :, where].transpose(1, 2)  # B, n, 3
    n = points.shape[1]
    k = 6
    first = points[:, int(torch.randint(n, (1,)))][:, None]
    centres = [first]
    nearest = (points - first).square().sum(-1)
    for _ in range(k - 1):  # k-means++
        gumbel = -torch.log(-torch.log(torch.rand_like(nearest).clamp(1e-6, 1 - 1e-6)))
        pick = (torch.log(nearest + 1e-6) + gumbel).argmax(1)
        c = points.gather(1, pick[:, None, None].expand(-1, 1, 3))
        centres.append(c)
        nearest = torch.minimum(nearest, (points - c).square().sum(-1))
    centre = torch.cat(centres, 1)  # B, k, 3
    for _ in range(10):
        d = torch.cdist(points, centre)
        hot = F.one_hot(d.argmin(-1), k).float()  # B, n, k
        count = hot.sum(1)  # B, k
        mean = torch.einsum("bnk,bnc->bkc", hot, points) / count.clamp_min(1)[..., None]
        centre = torch.where(count[..., None] > 0, mean, centre)
    d2 = torch.cdist(points, centre).square()
    hot = F.one_hot(d2.argmin(-1), k).float()
    count = hot.sum(1)
    sigma = ((hot * d2).sum(1) / count.clamp_min(1)).sqrt() + 4.0
    keep = count / n >= 0.04
    distance = torch.cdist(flat.transpose(1, 2), centre) / sigma[:, None]  # B, hw, k
    distance = distance.masked_fill(~keep[:, None], math.inf).amin(-1).clamp_max(1e3)
    return (255 * torch.tanh(distance / 4)).round().view(b, 1, h, w) / 255


def unmixed(rgb: Tensor, alpha: Tensor) -> Tensor:
    """The product's own colour at its edge: two passes of blur fusion (Forte 2021)."""
    product, backdrop = rgb, rgb
    for window in (37, 9):
        share = box(alpha, window)
        p = box(product * alpha, window) / (share + 1e-4)
        q = box(backdrop * (1 - alpha), window) / (1 - share + 1e-4)
        product = (p + alpha * (rgb - alpha * p - (1 - alpha) * q)).clamp(0, 1)
        backdrop = q
    return torch.where(alpha >= 0.995, rgb, product)


def filled_floors(rgb: Tensor, hidden: Tensor) -> Tensor:
    """Photos without what is hidden (bool): the nearest light, and grain from elsewhere."""
    known = (~hidden).float()
    smooth, weight = torch.zeros_like(rgb), torch.full_like(known, 1e-20)
    value, share = rgb * known, known
    factor = 1.0
    for level in range(9):
        if level:
            value, share = (
                F.avg_pool2d(value, 2, ceil_mode=True),
                F.avg_pool2d(share, 2, ceil_mode=True),
            )
            factor *= 0.02
        size = rgb.shape[-2:]
        v, s = value, share
        if level:
            v, s = (
                F.interpolate(t, size=size, mode="bilinear", align_corners=False) for t in (v, s)
            )
        else:
            v, s = box(v, 7), box(s, 7)
        smooth += factor * v
        weight += factor * s
    smooth = smooth / weight
    low = box(rgb * known, 17) / box(known, 17).clamp_min(1e-3)
    grain = (rgb - low) * known
    free = hidden.clone()
    h, w = rgb.shape[-2:]
    for dy, dx in (
        (0, w // 2),
        (h // 2, 0),
        (h // 3, w // 3),
        (-h // 3, w // 3),
        (h // 2, w // 2),
        (0, w // 4),
        (h // 4, 0),
        (-h // 4, 0),
        (0, -w // 4),
    ):
        other = torch.roll(grain, (dy, dx), (2, 3))
        ok = free & ~torch.roll(hidden, (dy, dx), (2, 3))
        grain = torch.where(ok, other, grain)
        free = free & ~ok
    filled = smooth + grain
    soft = box(hidden.float(), 5).clamp(0, 1)
    return (rgb + soft * (filled - rgb)).clamp(0, 1)
