"""Fewer steps: a denoiser that takes, alone, the steps that its teacher takes with guidance.

Guidance asks the denoiser twice a step, and sampling takes many. The student learns where several
guided steps of the teacher lead, and goes there in one, unguided.

References:
    Meng et al. 2023, "On Distillation of Guided Diffusion Models", arXiv:2210.03142; Salimans and
    Ho 2022, "Progressive Distillation", arXiv:2202.00512. Written for rectified flow, where a step
    is a straight line, so the student's velocity is the teacher's mean velocity over the way.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from persona_img.errors import InvalidInput, NotFound
from persona_img.generator.denoiser import predict
from persona_img.generator.learning.training import batch_of, tokens_of
from persona_img.generator.learning.training_settings import TrainingSettings
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.training_state import SavedState, follow, set_rate

if TYPE_CHECKING:
    from pathlib import Path

_STARTS = (0.45, 0.75)  # strengths with which starts are painted over


@dataclass(frozen=True)
class DistillationSettings:
    """How a student is taught.

    Attributes:
        steps: Steps the student will take from noise.
        teacher_steps: Steps of the teacher for each of the student's from noise.
        whole: Times up to which the student goes all the way to the picture, so that one step
            suffices from a start; it takes such a time in many more shorter steps as well.
        guidance: Of the teacher; the student has it built in.
        updates: Optimiser steps.
        batch: Pictures an optimiser step.
        rate: Peak learning rate.
        ema: Decay of the averaged weights.
        save_every: Seconds between states written.
        device: torch device.
        seed: Of batches and noise.
    """

    steps: int = 4
    teacher_steps: int = 2
    whole: float = 0.75
    guidance: float = 2.0
    updates: int = 1600
    batch: int = 16
    rate: float = 1e-4
    ema: float = 0.995
    save_every: float = 180.0
    device: str = "cpu"
    seed: int = 7


def distill(checkpoint: Path, work: Path, out: Path, settings: DistillationSettings) -> Path:
    """Teach a student; resumes what ``work`` already holds.

    Args:
        checkpoint: The teacher.
        work: The folder in which it was trained: its cached latents are learned from.
        out: Where the student is written, a checkpoint with the teacher's codec and style encoder.
        settings: How.

    Returns:
        ``out``.

    Raises:
        NotFound: ``work`` holds no cached latents.
        InvalidInput: the teacher was itself distilled, or fewer than one step is asked for.
    """
    if min(settings.steps, settings.teacher_steps) < 1:
        raise InvalidInput(
            f"{settings.steps} steps and {settings.teacher_steps} of the teacher: at least 1 each"
        )
    if not (work / "latents.pt").exists():
        raise NotFound(f"{work}: no cached latents; give the folder train-generator worked in")
    teacher = BackdropPipeline.from_pretrained(
        checkpoint, dtype=torch.float32, local_files_only=True
    ).to(settings.device)
    if teacher.config.guidance == 1.0:
        raise InvalidInput(f"{checkpoint}: is a student already; give the checkpoint it came from")
    latents = torch.load(work / "latents.pt", weights_only=True)
    known = teacher.denoiser.eval().requires_grad_(False)
    cast("Any", known).to(memory_format=torch.channels_last)
    student = copy.deepcopy(known).train().requires_grad_(True)
    averaged = copy.deepcopy(known)
    optimiser = torch.optim.AdamW(
        student.parameters(), settings.rate, weight_decay=1e-3, betas=(0.9, 0.99)
    )
    parts = {"student": student, "averaged": averaged, "optimiser": optimiser}
    state = SavedState(work / "student.pt", parts, settings.save_every)
    chosen = replace(
        TrainingSettings(), denoiser_batch=settings.batch, drop_style=0.0, photo_share=0.05
    )

    def export() -> None:
        BackdropPipeline(
            codec=copy.deepcopy(teacher.codec),
            denoiser=copy.deepcopy(averaged),
            style_encoder=copy.deepcopy(teacher.style_encoder),
            scheduler=teacher.scheduler,
            steps=settings.steps,
            guidance=1.0,
            steps_from_start=1,  # a start leaves little to decide; see experiments/generator
        ).to(dtype=torch.float16).save_pretrained(out, safe_serialization=True)

    total, smooth = settings.updates, float("nan")
    bar = tqdm(range(state.step, total), desc="student", initial=state.step, total=total)
    for step in bar:
        rng = np.random.default_rng([settings.seed, 3, step])
        torch.manual_seed(settings.seed * 1_000_003 + step)
        batch = {k: v.to(settings.device) for k, v in batch_of(latents, chosen, rng).items()}
        set_rate(optimiser, settings.rate, step, total)
        loss = student_loss(student, known, teacher.style_encoder, batch, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        follow(averaged, student, settings.ema, step)
        value = loss.item()
        smooth = value if smooth != smooth else 0.98 * smooth + 0.02 * value
        bar.set_postfix(loss=f"{smooth:.4f}")
        if state.maybe_save(step + 1, {"loss": smooth}):
            export()
    state.save(total)
    export()
    return out


def student_loss(
    student: nn.Module,
    teacher: nn.Module,
    style: nn.Module,
    batch: dict[str, Tensor],
    settings: DistillationSettings,
) -> Tensor:
    """Mean squared distance of the student's velocity from the teacher's over one long step."""
    target, conditions = batch["target"].float(), batch["conditions"].float()
    high = _times(len(target), settings).to(target.device)
    length = torch.where(high > settings.whole, high.clamp(max=1.0 / settings.steps), high)
    mix, way = high.view(-1, 1, 1, 1), length.view(-1, 1, 1, 1)
    begun = (1 - mix) * target + mix * torch.randn_like(target)
    with torch.no_grad():
        asked = tokens_of(style, batch)
        null = style(
            torch.zeros_like(batch["surface"]),
            torch.zeros_like(batch["light"]),
            torch.full_like(batch["colour"], torch.nan),
            torch.zeros_like(batch["scene"]),
        )
        tokens, both = torch.cat([asked, null]), torch.cat([conditions] * 2)
        # As fine as its steps from noise are, however long the way.
        longest = max(settings.whole * settings.steps, 1.0)
        count, latents = math.ceil(longest * settings.teacher_steps), begun
        for i in range(count):
            time = (1000 * (high - i * length / count)).repeat(2)
            with_style, without = predict(
                teacher, torch.cat([latents] * 2), both, time, tokens
            ).chunk(2)
            guided = without + settings.guidance * (with_style - without)
            latents = latents - way / count * guided
        wanted = (begun - latents) / way
    return F.mse_loss(predict(student, begun, conditions, 1000 * high, asked), wanted)


def _times(count: int, settings: DistillationSettings) -> Tensor:
    """Times (B,) at which the student's steps begin.

    Every fourth is noise alone: the first step decides what the picture will be. Half of them are
    those at which starts are taken up.
    """
    low, high = _STARTS
    shortest = 1.0 / settings.steps
    every = shortest + (1.0 - shortest) * torch.rand(count)
    times = torch.where(torch.rand(count) < 0.5, low + (high - low) * torch.rand(count), every)
    return torch.where(torch.rand(count) < 0.25, torch.ones(count), times)
