"""A crisper decoder for a checkpoint: same latents, same denoiser, and textures that look real.

Compared pixel by pixel, an uncertain texture is best drawn as its mean, which is blur. So the
decoder alone learns on, against a discriminator of patches: on latents as the encoder gives them,
and on latents as this very checkpoint paints them, for which it will be used.

References:
    Esser et al. 2021, "Taming Transformers", arXiv:2012.09841, section 3.1; Rombach et al. 2022,
    "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv:2112.10752: a codec with
    reconstruction, KL and adversarial losses. Here encoder and KL are settled before, so that what
    was learned on the latents stays valid.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from persona_img.errors import InvalidInput, NotFound
from persona_img.generator.denoiser import predict
from persona_img.generator.learning.codec_training import reconstruction_loss
from persona_img.generator.learning.corpus import Corpus
from persona_img.generator.learning.discriminator import (
    PatchDiscriminator,
    adaptive_weight,
    hinge_loss,
)
from persona_img.generator.learning.training import cache_latents, of_photos, tokens_of
from persona_img.generator.learning.training_settings import TrainingSettings, signed
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.training_state import SavedState, follow, set_rate

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.generator.codec import Codec

_KEPT = ("training_pictures.npz",)
_FACTOR = 16


@dataclass(frozen=True)
class SharpeningSettings:
    """How a decoder is sharpened.

    Attributes:
        steps: Optimiser steps.
        batch: Crops a step.
        crop: Side of a crop, pixels; a multiple of 16.
        painted: Share of crops whose latents the checkpoint paints from a plate, as when it is
            used; only a checkpoint that was distilled paints in one step.
        strength: Share of noise from which those are painted.
        weight: Of the adversarial loss, as share of the pull that reconstruction has.
        alone: Steps in which only the discriminator learns, before the decoder listens to it.
        rate: Peak learning rate of the decoder.
        discriminator_rate: Peak learning rate of the discriminator.
        ema: Decay of the averaged weights.
        save_every: Seconds between states written.
        device: torch device.
        seed: Of crops and noise.
    """

    steps: int = 1000
    batch: int = 8
    crop: int = 128
    painted: float = 0.5
    strength: float = 0.6
    weight: float = 0.2
    alone: int = 200
    rate: float = 5e-5
    discriminator_rate: float = 4e-4
    ema: float = 0.995
    save_every: float = 180.0
    device: str = "cpu"
    seed: int = 7


def sharpen(checkpoint: Path, work: Path, out: Path, settings: SharpeningSettings) -> Path:
    """Teach a checkpoint's decoder; resumes what ``work`` already holds.

    Args:
        checkpoint: Whose decoder; it is not changed.
        work: The folder that ``train-generator`` worked in: its plates are learned from.
        out: Where the checkpoint with the new decoder is written; all else of it is the same.
        settings: How.

    Returns:
        ``out``.

    Raises:
        NotFound: ``work`` holds no plates.
        InvalidInput: its cached latents are another codec's; a crop that is no multiple of 16, or
            settings that cannot be.
    """
    if settings.crop % _FACTOR or min(settings.steps, settings.batch, settings.crop) < 1:
        raise InvalidInput(f"{settings}: steps and batch are at least 1, crop a multiple of 16")
    if not (work / "plates" / "corpus.json").exists():
        raise NotFound(f"{work}: no plates; give the folder train-generator worked in")
    pipeline = BackdropPipeline.from_pretrained(
        checkpoint, dtype=torch.float32, local_files_only=True
    ).to(settings.device)
    codec: Codec = pipeline.codec.eval().requires_grad_(False)
    crops = _Crops(pipeline, Corpus(work / "plates"), work, settings)
    torch.manual_seed(settings.seed)
    decoder = codec.decoder.train().requires_grad_(True)
    averaged = copy.deepcopy(decoder).eval().requires_grad_(False)
    discriminator = PatchDiscriminator().to(settings.device)
    teacher = torch.optim.AdamW(
        discriminator.parameters(), settings.discriminator_rate, betas=(0.5, 0.9)
    )
    learner = torch.optim.AdamW(decoder.parameters(), settings.rate, betas=(0.5, 0.9))
    parts = {
        "decoder": decoder,
        "averaged": averaged,
        "discriminator": discriminator,
        "teacher": teacher,
        "learner": learner,
    }
    state = SavedState(work / "sharpened.pt", parts, settings.save_every)

    def export() -> None:
        sharp = copy.deepcopy(pipeline)
        sharp.codec.decoder.load_state_dict(averaged.state_dict())
        sharp.to(dtype=torch.float16).save_pretrained(out, safe_serialization=True)
        for name in _KEPT:
            if (checkpoint / name).exists() and checkpoint.resolve() != out.resolve():
                shutil.copyfile(checkpoint / name, out / name)

    bar = tqdm(
        range(state.step, settings.steps),
        desc="decoder",
        initial=state.step,
        total=settings.steps,
    )
    smooth: dict[str, float] = {}
    for step in bar:
        set_rate(teacher, settings.discriminator_rate, step, settings.steps)
        set_rate(learner, settings.rate, step, settings.steps)
        real, raw, exact = crops.batch(step)
        figures = _step(codec, discriminator, teacher, learner, (real, raw, exact), step, settings)
        follow(averaged, decoder, settings.ema, step)
        smooth = {k: 0.98 * smooth.get(k, v) + 0.02 * v for k, v in figures.items()}
        bar.set_postfix({k: f"{v:.3f}" for k, v in smooth.items()})
        if state.maybe_save(step + 1, smooth):
            export()
    state.save(settings.steps)
    export()
    return out


def _step(
    codec: Codec,
    discriminator: PatchDiscriminator,
    teacher: torch.optim.Optimizer,
    learner: torch.optim.Optimizer,
    crops: tuple[Tensor, Tensor, Tensor],
    step: int,
    settings: SharpeningSettings,
) -> dict[str, float]:
    """One step of both; what they lost."""
    real, raw, exact = crops
    made = codec.decode_raw(raw)
    verdict = hinge_loss(discriminator(real), discriminator(made.detach()))
    teacher.zero_grad(set_to_none=True)
    verdict.backward()
    teacher.step()
    # Of a painted texture nobody knows the phase: only its colours and spectra are compared.
    reconstruction = made.new_zeros(())
    for rows, phases in ((exact, True), (~exact, False)):
        if rows.any():
            loss, _ = reconstruction_loss(made[rows], real[rows], phases=phases)
            reconstruction = reconstruction + loss * rows.float().mean()
    found = {"discriminator": verdict.item(), "reconstruction": reconstruction.item()}
    if step < settings.alone:
        return found
    discriminator.requires_grad_(False)
    adversarial = -discriminator(made).mean()
    last = codec.decoder.get_parameter(f"{len(codec.decoder) - 2}.weight")
    pull = settings.weight * adaptive_weight(reconstruction, adversarial, last)
    learner.zero_grad(set_to_none=True)
    (reconstruction + pull * adversarial).backward()
    nn.utils.clip_grad_norm_(codec.decoder.parameters(), 1.0)
    learner.step()
    discriminator.requires_grad_(True)
    return found | {"adversarial": adversarial.item()}


class _Crops:
    """Crops of plates beside latents of theirs; the same step always gives the same ones."""

    def __init__(
        self, pipeline: BackdropPipeline, corpus: Corpus, work: Path, settings: SharpeningSettings
    ) -> None:
        self.pipeline, self.settings = pipeline, settings
        self.denoiser = pipeline.denoiser.eval().requires_grad_(False)
        cast("Any", self.denoiser).to(memory_format=torch.channels_last)
        chosen = TrainingSettings(device=settings.device)
        latents = cache_latents(corpus, pipeline.codec, chosen, work)
        self.buckets = [
            (arrays, latents[f"{size[0]}x{size[1]}"]) for size, arrays in corpus.buckets.items()
        ]
        self._check(work)
        student = pipeline.config.guidance == 1.0 and pipeline.config.steps_from_start == 1
        self.painted = settings.painted if student else 0.0

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (B, 3, S, S) in -1..1, raw latents (B, C, S/16, S/16), and which are exact."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, 6, step])
        torch.manual_seed(settings.seed * 1_000_003 + step)
        share = np.array([len(arrays["rgb"]) for arrays, _ in self.buckets], dtype=np.float64)
        arrays, latents = self.buckets[rng.choice(len(share), p=share / share.sum())]
        rows = np.sort(rng.choice(len(arrays["rgb"]), settings.batch, replace=False))
        some = {n: v[torch.from_numpy(rows)].to(settings.device) for n, v in latents.items()}
        target = some["target"].float()
        # A photograph's own product is not to be painted.
        exact = torch.from_numpy(rng.random(len(rows)) >= self.painted).to(settings.device)
        exact |= of_photos(some["known"])
        if not exact.all():
            target = torch.where(exact.view(-1, 1, 1, 1), target, self._painted(some))
        side, cells = settings.crop, settings.crop // _FACTOR
        raw = target * self.pipeline.codec.std + self.pipeline.codec.mean
        cut, real = [], np.empty((len(rows), side, side, 3), dtype=np.uint8)
        for i, row in enumerate(rows):
            top = int(rng.integers(raw.shape[2] - cells + 1))
            left = int(rng.integers(raw.shape[3] - cells + 1))
            cut.append(raw[i, :, top : top + cells, left : left + cells])
            picture: Any = arrays["rgb"][row]
            y, x = _FACTOR * top, _FACTOR * left
            real[i] = picture[y : y + side, x : x + side]
        return signed(real).to(settings.device), torch.stack(cut), exact

    def _painted(self, some: dict[str, Tensor]) -> Tensor:
        """The plates' latents as the checkpoint paints them in one step from their noisy selves."""
        target, strength = some["target"].float(), self.settings.strength
        noisy = (1 - strength) * target + strength * torch.randn_like(target)
        time = torch.full((len(target),), 1000 * strength, device=target.device)
        with torch.no_grad():
            tokens = tokens_of(self.pipeline.style_encoder, some)
            velocity = predict(self.denoiser, noisy, some["conditions"].float(), time, tokens)
        return noisy - strength * velocity

    def _check(self, work: Path) -> None:
        arrays, latents = self.buckets[0]
        first: Any = arrays["rgb"][:1]
        with torch.no_grad():
            mine = self.pipeline.codec.encode(signed(first).to(self.settings.device)).cpu()
        if not torch.allclose(mine, latents["target"][:1].float(), atol=0.05):
            raise InvalidInput(
                f"{work}: its latents were made by another codec; give the folder this checkpoint "
                f"was trained in, or remove latents.pt there"
            )
