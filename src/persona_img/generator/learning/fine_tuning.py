"""A shop's own look: low-rank changes of a checkpoint, learned on the backdrops of its photos.

It is painted where its surface is asked for; other surfaces are held to what they were.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from persona_img.errors import InvalidInput
from persona_img.generator.adapter import Adapter, fingerprint_of
from persona_img.generator.denoiser import predict
from persona_img.generator.learning.fine_tuning_report import likeness
from persona_img.generator.learning.shop_photos import latents_of, mirrored, shop_plates
from persona_img.generator.learning.training import flow_loss
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.training_state import Best, SavedState, set_rate

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.generator.learning.plates import Plate
    from persona_img.generator.learning.shop_photos import Recognise
    from persona_img.masking.base import Masker

_BEHIND = 0.25  # weight of what lies behind the product: guessed, yet it must fit its surroundings
_LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2",
           "time_emb_proj"]  # fmt: skip


@dataclass(frozen=True)
class FineTuneSettings:
    """How a shop's look is learned.

    Attributes:
        rank: Of the changes of each layer.
        updates: Optimiser steps at most.
        batch: Photos an optimiser step.
        others: Plates of other surfaces a step, which are to stay as they were.
        rate: Peak learning rate.
        check_every: Updates between looks at the held-out photos.
        patience: Looks without a gain after which it stops; the best is kept.
        held_out: Share of photos that are not learned from; at least two are not.
        save_every: Seconds between states written.
        seed: Of everything random.
    """

    rank: int = 8
    updates: int = 400
    batch: int = 8
    others: int = 4
    rate: float = 1e-3
    check_every: int = 25
    patience: int = 4
    held_out: float = 0.2
    save_every: float = 120.0
    seed: int = 7


def fine_tune(
    photos: Path,
    checkpoint: Path,
    work: Path,
    out: Path,
    settings: FineTuneSettings,
    masker: Masker,
    recognise: Recognise,
    *,
    surface: str | None = None,
    light: str | None = None,
) -> dict[str, Any]:
    """Photos to an adapter in ``out``; resumes what ``work`` already holds.

    The loss is that of the checkpoint's own training, at times at which a student samples: from one
    step's length up, a quarter of them at 1. What the product hides counts a quarter.

    Args:
        photos: Folder of the shop's photos, staged as it likes them.
        checkpoint: What is fine-tuned; it is not changed.
        work: Cut-out photos and state; of these photos and settings alone.
        out: Where the adapter and its ``report.json`` are written.
        settings: How.
        masker: Cuts the products out.
        recognise: See :func:`.shop_photos.shop_plates`.
        surface: See there.
        light: See there.

    Returns:
        The report: ``photos``, ``held_out``, ``surface``, ``colour``; ``updates`` and the ``best``
        of them; ``loss`` of both kinds of photos before and after; ``likeness`` to the held-out
        photos, see :func:`.fine_tuning_report.likeness`; ``seconds`` and ``bytes``.

    Raises:
        InvalidInput: a rank or a number of updates below one; no surface is recognised.
        NotEnoughData: too few photos whose product can be cut out.
        UnknownStyle: the checkpoint knows no such surface or light.
    """
    if min(settings.rank, settings.updates, settings.batch, settings.check_every) < 1:
        raise InvalidInput(f"{settings}: rank, updates, batch and check_every are at least 1")
    started = time.perf_counter()
    pipeline = BackdropPipeline.from_pretrained(
        checkpoint, dtype=torch.float32, local_files_only=True
    )
    base = fingerprint_of(pipeline)
    plates = shop_plates(photos, masker, recognise, work, surface=surface, light=light)
    learned, unseen = _split(plates, settings)
    colour = np.mean([p.colour for p in learned], axis=0)
    encode = (pipeline.codec, pipeline.style_encoder)
    seen = latents_of([*learned, *map(mirrored, learned)], *encode)
    for some in seen:
        some["known"].clamp_(min=_BEHIND)
    tests = {"train": latents_of(learned, *encode), "held_out": latents_of(unseen, *encode)}

    torch.manual_seed(settings.seed)
    known = pipeline.denoiser.eval().requires_grad_(False)
    cast("Any", known).to(memory_format=torch.channels_last)
    denoiser = copy.deepcopy(known)
    denoiser.add_adapter(
        LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=_LAYERS)
    )
    tuning = _Tuning(denoiser, known, pipeline, settings)
    before = {name: tuning.loss_of(some) for name, some in tests.items()}
    best = Best(tuning.weights(), before["held_out"])
    state = SavedState(
        work / "adapter.pt",
        {"lora": tuning.lora, "optimiser": tuning.optimiser, "best": best},
        settings.save_every,
    )
    done = state.step
    bar = tqdm(range(done, settings.updates), desc="adapter", initial=done, total=settings.updates)
    for update in bar:
        if best.missed >= settings.patience:
            break
        value = tuning.step(seen, update)
        if (update + 1) % settings.check_every == 0 or update + 1 == settings.updates:
            best.see(tuning.weights(), tuning.loss_of(tests["held_out"]), update + 1)
        bar.set_postfix(loss=f"{value:.3f}", held_out=f"{best.loss:.3f}")
        state.maybe_save(update + 1, {"loss": value, "held_out": best.loss})
        done = update + 1
    state.save(done)

    tuning.wear(best.weights)
    adapter = Adapter(
        best.weights,
        cast("str", plates[0].surface),
        (float(colour[0]), float(colour[1]), float(colour[2])),
        base,
    )
    path = adapter.save(out)
    report = {
        "photos": len(learned),
        "held_out": len(unseen),
        "surface": adapter.surface,
        "colour": [round(v, 1) for v in adapter.colour],
        "updates": done,
        "best": best.update,
        "loss": {
            name: {"before": before[name], "after": tuning.loss_of(some)}
            for name, some in tests.items()
        },
        "likeness": likeness(checkpoint, adapter, learned, unseen, seed=settings.seed),
        "seconds": round(time.perf_counter() - started, 1),
        "bytes": path.stat().st_size,
    }
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


class _Tuning:
    """A denoiser that wears low-rank changes, and how they are taught."""

    def __init__(
        self,
        denoiser: Any,
        known: nn.Module,
        pipeline: BackdropPipeline,
        settings: FineTuneSettings,
    ) -> None:
        self.denoiser, self.known, self.style = denoiser, known, pipeline.style_encoder
        self.settings, self.shortest = settings, 1.0 / pipeline.config.steps
        self.style.eval().requires_grad_(False)
        self.lora = nn.ParameterList(p for p in denoiser.parameters() if p.requires_grad)
        self.optimiser = torch.optim.AdamW(
            self.lora.parameters(), settings.rate, weight_decay=1e-3, betas=(0.9, 0.99)
        )

    def weights(self) -> dict[str, Tensor]:
        """The changes by layer; see :class:`.adapter.Adapter`."""
        return cast("dict[str, Tensor]", get_peft_model_state_dict(self.denoiser))

    def wear(self, weights: dict[str, Tensor]) -> None:
        """Put on changes that :meth:`weights` gave."""
        with torch.no_grad():
            for name, value in self.weights().items():
                value.copy_(weights[name])

    def step(self, seen: list[dict[str, Tensor]], update: int) -> float:
        """One optimiser step; returns its loss."""
        rng = np.random.default_rng([self.settings.seed, 4, update])
        torch.manual_seed(self.settings.seed * 1_000_003 + update)
        share = np.array([len(some["target"]) for some in seen], dtype=np.float64)
        some = seen[rng.choice(len(seen), p=share / share.sum())]
        rows = torch.from_numpy(rng.integers(len(some["target"]), size=self.settings.batch))
        batch = {name: values[rows] for name, values in some.items()}
        set_rate(self.optimiser, self.settings.rate, update, self.settings.updates)
        self.denoiser.train()
        loss = flow_loss(self.denoiser, self.style, batch, self._times(self.settings.batch))
        if self.settings.others:
            loss = loss + self._drift(batch, rng)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.lora.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.item())

    def loss_of(self, some: list[dict[str, Tensor]], repeats: int = 4) -> float:
        """Mean loss of photos, always at the same times and with the same noise."""
        self.denoiser.eval()
        total, count = 0.0, 0
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(self.settings.seed)
            for batch in some:
                many = {name: v.repeat_interleave(repeats, 0) for name, v in batch.items()}
                size = len(many["target"])
                loss = flow_loss(self.denoiser, self.style, many, self._times(size))
                total, count = total + loss.item() * size, count + size
        return total / count

    def _drift(self, batch: dict[str, Tensor], rng: np.random.Generator) -> Tensor:
        """Mean squared distance from the checkpoint's own velocity, asked for other surfaces.

        What it is asked to go on with is what the checkpoint itself would paint there.
        """
        count = min(self.settings.others, self.settings.batch)
        own = int(batch["surface"][0])
        names = self.style.surface_names()
        kept = [name for i, name in enumerate(names) if i + 1 != own] or names
        lights, palettes = list(self.style.config.lights), list(self.style.config.palettes)
        styles = [
            {
                "surface": kept[int(rng.integers(len(kept)))],
                "light": lights[int(rng.integers(len(lights)))],
                "palette": palettes[int(rng.integers(len(palettes)))],
            }
            for _ in range(count)
        ]
        tokens = self.style(*self.style.indices(styles))
        conditions = batch["conditions"][:count].float()
        times, noise = self._times(count), torch.randn_like(batch["target"][:count].float())
        mix = times.view(-1, 1, 1, 1)
        with torch.no_grad():
            whole = predict(self.known, noise, conditions, torch.full((count,), 1000.0), tokens)
            noisy = (1 - mix) * (noise - whole) + mix * noise
            wanted = predict(self.known, noisy, conditions, 1000 * times, tokens)
        return F.mse_loss(predict(self.denoiser, noisy, conditions, 1000 * times, tokens), wanted)

    def _times(self, count: int) -> Tensor:
        times = self.shortest + (1.0 - self.shortest) * torch.rand(count)
        return torch.where(torch.rand(count) < 0.25, torch.ones(count), times)


def _split(plates: list[Plate], settings: FineTuneSettings) -> tuple[list[Plate], list[Plate]]:
    """Plates to learn from, and those held out."""
    order = np.random.default_rng([settings.seed, 5]).permutation(len(plates))
    count = max(2, round(settings.held_out * len(plates)))
    return [plates[i] for i in order[count:]], [plates[i] for i in order[:count]]
