"""Real photos on the device, and what maskers' votes make of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from pixels import border_prior, decode, load_blob
from torch import Tensor, nn
from torch.nn import functional as F

from persona_img.masking.inputs import shapes_of

if TYPE_CHECKING:
    import random
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

SIDE = 512
SHAPES, SMALL = shapes_of(SIDE), shapes_of(384)
UNKNOWN = 255
_K3, _K5 = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)
_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))
_HOLE = 0.015


def autocast(device: torch.device | str) -> torch.autocast:
    """bfloat16 on a GPU."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu")


@dataclass(eq=False)
class Photos:
    """The photos of one shape on the device, and what is known of them.

    Attributes:
        rgb: uint8 (N, 3, H, W).
        kinds: What each shows.
        old: The old masker's mean probability, uint8 (N, H, W) on the CPU.
        label: uint8 (N, H, W): 0 backdrop .. 254 product, 255 unknown.
        usable: Rows whose label is worth learning from.
    """

    rgb: Tensor
    kinds: list[str]
    old: np.ndarray = field(default_factory=lambda: np.zeros(0))
    label: Tensor = field(default_factory=lambda: torch.zeros(0))
    usable: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))


def votes(
    net: nn.Module, rgb: Tensor, size: tuple[int, int] | None = None, chunk: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest probability over the straight and the mirrored view, uint8 (N, H, W).

    Args:
        net: Votes.
        rgb: uint8 (N, 3, H, W).
        size: At which the network looks; None for the photos' own.
        chunk: Photos at once.
    """
    low, high, shape = [], [], rgb.shape[-2:]
    with torch.inference_mode(), autocast(rgb.device):
        for i in range(0, len(rgb), chunk):
            seen = rgb[i : i + chunk].float()
            if size is not None and size != tuple(shape):
                seen = F.interpolate(seen, size=size, mode="bilinear", antialias=True).round()
            prior, x = border_prior(seen), (seen / 127.5 - 1)
            x = x.contiguous(memory_format=torch.channels_last)
            straight, mirrored = net(x, prior), net(x.flip(-1), prior.flip(-1)).flip(-1)
            both = torch.sigmoid(torch.cat([straight, mirrored], 1).float())
            if both.shape[-2:] != shape:
                both = F.interpolate(both, size=shape, mode="bilinear")
            low.append((both.amin(1) * 255).round().byte().cpu())
            high.append((both.amax(1) * 255).round().byte().cpu())
    return torch.cat(low).numpy(), torch.cat(high).numpy()


def holes_of(product: np.ndarray) -> np.ndarray:
    """Enclosed small pieces of backdrop: prints, more often than holes."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(1 - product, connectivity=4)
    height, width = product.shape
    small = [
        i
        for i in range(1, count)
        if stats[i, 4] < _HOLE * product.sum()
        and stats[i, 0] > 0
        and stats[i, 1] > 0
        and stats[i, 0] + stats[i, 2] < width
        and stats[i, 1] + stats[i, 3] < height
    ]
    return np.isin(pieces, small).astype(np.uint8)


def hook_of(product: np.ndarray) -> np.ndarray:
    """Thin parts that stand out at the top middle: hangers' hooks, perhaps straps."""
    if not product.any():
        return product
    thin = product & ~cv2.morphologyEx(product, cv2.MORPH_OPEN, _DISC)
    cols, rows = np.flatnonzero(product.any(0)), np.flatnonzero(product.any(1))
    zone, width = np.zeros_like(product), cols[-1] - cols[0] + 1
    bottom = rows[0] + max(2, int(0.2 * (rows[-1] - rows[0])))
    left, right = cols[0] + int(0.33 * width), cols[0] + max(1, int(0.67 * width))
    zone[rows[0] : bottom, left:right] = 1
    return np.asarray(cv2.dilate(thin & zone, _K3) & zone)


def label_from(
    low: np.ndarray, high: np.ndarray, old: np.ndarray, alone: bool
) -> tuple[np.ndarray, np.ndarray | None, float]:
    """One photo's label and cut-out.

    Args:
        low: The deciding network's lower view, uint8 (H, W).
        high: Its upper one.
        old: The old masker's mean.
        alone: Whether the old masker is not asked.

    Returns:
        Label, alpha of the product or None where it is not clean, and the share that is known.
    """
    mean = ((low.astype(np.uint16) + high) // 2).astype(np.uint8)
    found = (mean > 127).astype(np.uint8)
    sure = (high < 26) | (low > 229)
    if not alone:
        sure &= (old > 127) == (mean > 127)
    edge = cv2.morphologyEx(found, cv2.MORPH_GRADIENT, _K5)
    apart = cv2.morphologyEx(((~sure) & (edge == 0)).astype(np.uint8), cv2.MORPH_OPEN, _K3)
    doubtful = cv2.dilate(apart, _K5)
    label = np.where(found > 0, 254, 0).astype(np.uint8)
    holes, hook = holes_of(found), hook_of(found)
    label[(doubtful > 0) | (edge > 0) | (holes > 0) | (hook > 0)] = UNKNOWN
    area, share = float(found.sum()), float(found.mean())
    known = 1 - float(((label == UNKNOWN) & (edge == 0)).mean())
    ring = np.ones_like(found, dtype=bool)
    ring[5:-5, 5:-5] = False
    clean = 0.03 < share < 0.8 and float(doubtful.sum()) < 0.015 * area
    if not clean or found[ring].mean() >= 0.2:
        return label, None, known
    alpha = mean.copy()
    alpha[cv2.dilate(holes, _K3) > 0] = 255
    alpha[hook > 0] = 0
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(
        (alpha > 127).astype(np.uint8), connectivity=4
    )
    keep = 1 + np.flatnonzero(stats[1:, 4] >= 0.05 * stats[1:, 4].max())
    alpha[cv2.dilate(np.isin(pieces, keep).astype(np.uint8), _K5) == 0] = 0
    return label, alpha, known


def load_photos(pack: Path, device: str, pool: ThreadPoolExecutor) -> dict[Any, Photos]:
    """All parts of the pack, by shape."""
    kinds, pictures = [], []
    for path in sorted(pack.glob("photos*.json")):
        index, data = load_blob(pack, path.stem)
        kinds += [key.split("|")[1] for key, _, _ in index]
        pictures += pool.map(lambda e, data=data: decode(data[e[1] : e[1] + e[2]]), index)
    return _by_shape(kinds, pictures, device)


def load_taught(pack: Path, device: str, pool: ThreadPoolExecutor) -> dict[Any, Photos]:
    """Photos whose masks were put right by eye, by shape; ``old`` is their mask."""
    index, data = load_blob(pack, "taught")
    parts = [data[at : at + size] for _, at, size in index]
    pictures = list(pool.map(decode, parts[::2]))
    masks = list(pool.map(lambda part: decode(part, "LA"), parts[1::2]))
    found = _by_shape([key.split("|")[1] for key, _, _ in index[::2]], pictures, device)
    for shape, p in found.items():
        both = np.stack([mask for mask in masks if mask.shape[:2] == shape])
        p.old = np.ascontiguousarray(both[..., 0])
        known = np.round(p.old * (254 / 255)).astype(np.uint8)
        p.label = torch.from_numpy(np.where(both[..., 1] > 0, known, UNKNOWN)).to(device)
        p.usable = np.arange(len(p.kinds))
    return found


def _by_shape(kinds: list[str], pictures: list[np.ndarray], device: str) -> dict[Any, Photos]:
    found = {}
    for shape in SHAPES:
        rows = [i for i, p in enumerate(pictures) if p.shape[:2] == shape]
        if rows:
            rgb = torch.from_numpy(np.stack([pictures[i] for i in rows])).permute(0, 3, 1, 2)
            found[shape] = Photos(rgb.contiguous().to(device), [kinds[i] for i in rows])
    return found


def real_batch(
    photos: Photos, count: int, device: str, rng: random.Random
) -> tuple[Tensor, Tensor, Tensor]:
    """Photos with labels, zoomed, turned and mirrored a little: rgb 0..1, target, weight."""
    picked = [int(photos.usable[rng.randrange(len(photos.usable))]) for _ in range(count)]
    rows = torch.tensor(picked, device=device)
    rgb, label = photos.rgb[rows].float() / 255, photos.label[rows][:, None]
    height, width = rgb.shape[-2:]
    known = (label != UNKNOWN).float()
    stack = torch.cat([rgb, (label.float() / 254).clamp(0, 1) * known, known], 1)

    def between(a: float, b: float) -> Tensor:
        return torch.rand(count, device=device) * (b - a) + a

    one = torch.ones(count, device=device)
    zoom = torch.where(between(0, 1) < 0.3, one, between(1.0, 1.35))
    angle = torch.randn(count, device=device) * 0.07 * (between(0, 1) < 0.5)
    zoom = zoom * (1 + 1.3 * angle.abs())
    flip = torch.where(between(0, 1) < 0.5, -one, one)
    c, s, ratio = torch.cos(angle) / zoom, torch.sin(angle) / zoom, height / width
    free = (1 - 1 / zoom).clamp_min(0)
    across = torch.stack([c * flip, -s * ratio * flip, between(-1, 1) * free], -1)
    down = torch.stack([s / ratio, c, between(-1, 1) * free], -1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(stack.shape), align_corners=False)
    out = F.grid_sample(stack, grid, "bilinear", "reflection", align_corners=False)
    weight = (out[:, 4:5] > 0.99).float()
    return out[:, :3], (out[:, 3:4] / out[:, 4:5].clamp_min(1e-3)).clamp(0, 1) * weight, weight
