"""A training's state on disk: written every few minutes, whole or not at all."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn


class SavedState:
    """Training state on disk: restored at once, written every so many seconds."""

    def __init__(self, path: Path, parts: dict[str, Any], every: float) -> None:
        self.path, self.parts, self.every = path, parts, every
        self.step, self.last = 0, time.monotonic()
        if path.exists():
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.step = int(state["step"])
            for name, part in parts.items():
                part.load_state_dict(state[name])

    def maybe_save(self, step: int, figures: dict[str, float]) -> bool:
        """Save if it is time to, and tell the figures; whether it was."""
        if time.monotonic() - self.last < self.every:
            return False
        shown = " ".join(f"{k}={v:.3f}" for k, v in figures.items())
        tqdm.write(f"{self.path.stem}: step {step}, {shown}", file=sys.stderr)
        self.save(step)
        return True

    def save(self, step: int) -> None:
        """Write everything as it is after ``step`` steps."""
        write_whole(self.path, {"step": step} | {n: p.state_dict() for n, p in self.parts.items()})
        self.step, self.last = step, time.monotonic()


class Best:
    """The weights that were best on what is held out, as a part of a :class:`SavedState`.

    Args:
        weights: The first ones.
        loss: Theirs; infinite where nobody looked yet.

    Attributes:
        update: After how many updates the best were seen.
        missed: Looks since then.
    """

    def __init__(self, weights: dict[str, Tensor], loss: float = math.inf) -> None:
        self.weights, self.loss, self.update, self.missed = _copied(weights), loss, 0, 0

    def see(self, weights: dict[str, Tensor], loss: float, update: int) -> None:
        """Keep a copy of these if they are better; a loss that is not a number is not."""
        if loss < self.loss:
            self.weights, self.loss, self.update, self.missed = _copied(weights), loss, update, 0
        else:
            self.missed += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything, for :class:`SavedState`."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        vars(self).update(state)


def _copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}


def set_rate(optimiser: torch.optim.Optimizer, peak: float, step: int, total: int) -> None:
    """Warm-up over 2 %, flat, then linear to a twentieth over the last 30 %."""
    warm = min(1.0, (step + 1) / max(1.0, 0.02 * total))
    cool = min(1.0, 0.05 + 0.95 * (total - step) / max(1.0, 0.3 * total))
    for group in optimiser.param_groups:
        group["lr"] = peak * min(warm, cool)


def follow(slow: nn.Module, fast: nn.Module, decay: float, step: int) -> None:
    """Averaged weights ``slow`` take a step towards ``fast``; early steps average less."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(slow.parameters(), fast.parameters(), strict=True):
            mean.lerp_(value, share)


def write_whole(path: Path, value: object) -> None:
    """Save a value so that readers see the old file or the new one."""
    partial = path.with_name(path.name + ".part")
    torch.save(value, partial)
    partial.replace(path)
