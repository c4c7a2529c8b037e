"""How good it is on silhouettes that it never saw, in figures and to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from persona_img.generator.denoiser import predict
from persona_img.generator.learning.training import tokens_of

if TYPE_CHECKING:
    from torch import Tensor, nn

STRENGTH = 0.6
SHOWN = 5  # plates of a size to look at


@torch.no_grad()
def painted(
    net: nn.Module,
    batch: dict[str, Tensor],
    noise: Tensor,
    strength: float,
    steps: int,
    guidance: float,
) -> Tensor:
    """Latents sampled from the batch's own plates as starts, or from noise alone (strength 1)."""
    latents = (1 - strength) * batch["target"].float() + strength * noise
    conditions, tokens = batch["conditions"].float(), tokens_of(net.style, batch)
    gone = dict(batch)
    for name in ("surface", "light", "scene"):
        gone[name] = torch.zeros_like(batch[name])
    gone["colour"] = torch.full_like(batch["colour"], torch.nan)
    null = tokens_of(net.style, gone)
    for i in range(steps):
        time = torch.full((len(latents),), 1000 * strength * (1 - i / steps), device=latents.device)
        velocity = predict(net.denoiser, latents, conditions, time, tokens).float()
        if guidance != 1.0:
            without = predict(net.denoiser, latents, conditions, time, null).float()
            velocity = without + guidance * (velocity - without)
        latents = latents - strength / steps * velocity
    return latents


@torch.no_grad()
def compared(
    nets: dict[str, nn.Module],
    held: dict[str, dict[str, Tensor]],
    codec: Any,
    guidance: float,
    each: int,
) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    """Figures by network, and rows of pictures: drawn, then painted by each.

    ``tone``: mean absolute difference, in 8-bit levels, of picture and drawn plate at a sixteenth
    of their size; ``noise``: the same where it is painted from noise alone.
    """
    figures: dict[str, Any] = {name: {} for name in nets}
    rows: list[list[np.ndarray]] = []
    for size, some in sorted(held.items()):
        batch = {name: value[:each] for name, value in some.items()}
        if not len(batch["target"]):
            continue
        torch.manual_seed(0)
        noise = torch.randn_like(batch["target"].float())

        def pictures(latents: Tensor) -> Tensor:
            parts = [codec.decode(one.to(codec.dtype)).float() for one in latents.split(16)]
            return (torch.cat(parts).clamp(-1, 1) + 1) / 2

        drawn = pictures(batch["target"])
        shown = [drawn]
        for name, net in nets.items():
            steps, weight = (1, 1.0) if name == "student" else (5, guidance)
            made = pictures(painted(net, batch, noise, STRENGTH, steps, weight))
            wild = pictures(painted(net, batch, noise, 1.0, 4 if name == "student" else 8, weight))
            shown += [made, wild]
            figures[name][size] = {"tone": _tone(made, drawn), "noise": _tone(wild, drawn)}
        for i in range(min(SHOWN, len(drawn))):
            rows.append([_bytes(one[i]) for one in shown])
    return figures, rows


def _tone(a: Tensor, b: Tensor) -> float:
    return float(255 * (F.avg_pool2d(a, 16) - F.avg_pool2d(b, 16)).abs().mean())


def _bytes(picture: Tensor) -> np.ndarray:
    return np.asarray((picture.permute(1, 2, 0) * 255).round().byte().cpu().numpy())


def sheet(rows: list[list[np.ndarray]], side: int = 200, across: int = 3) -> Image.Image:
    """All rows, some beside each other."""
    columns = max((len(row) for row in rows), default=1)
    block = columns * side + 12
    down = -(-len(rows) // across)
    whole = Image.new("RGB", (across * block, max(1, down) * side), "white")
    for k, row in enumerate(rows):
        for i, pixels in enumerate(row):
            picture = Image.fromarray(pixels)
            picture.thumbnail((side - 2, side - 2), Image.Resampling.LANCZOS)
            whole.paste(picture, (k % across * block + i * side, k // across * side))
    return whole
