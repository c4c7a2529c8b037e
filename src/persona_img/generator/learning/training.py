"""Photos to checkpoint: the codec on crops, then the denoiser on cached latents.

Both parts stop and resume. The denoiser is trained by every process that ``accelerate launch``
started; all else is done by the first of them, while the others wait.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from persona_img.generator.denoiser import Denoiser, mask_cells, new_denoiser, predict
from persona_img.generator.learning.codec_training import train_codec
from persona_img.generator.learning.corpus import Corpus, CorpusSettings, cut_photos
from persona_img.generator.learning.processes import device_of, join_processes
from persona_img.generator.learning.styles import begin_as, style_encoder_of
from persona_img.generator.learning.training_settings import TrainingSettings, copy_weights, signed
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.generator.style_encoder import StyleEncoder
from persona_img.scenery.materials import materials_of
from persona_img.training_state import Best, SavedState, follow, set_rate, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import Accelerator
    from numpy.typing import NDArray

    from persona_img.generator.codec import Codec

_LATENTS = "latents.pt"
_MOST_HELD = 64  # plates of a size: a look at them takes seconds


def train(
    corpus_settings: CorpusSettings,
    settings: TrainingSettings,
    work: Path,
    out: Path,
    start: Path | None = None,
) -> Path:
    """Photos to checkpoint, resuming whatever ``work`` already holds.

    Args:
        corpus_settings: What to learn from.
        settings: How to train.
        work: Caches and state.
        out: Where the checkpoint is written.
        start: Checkpoint whose weights training begins with, where ``work`` holds none; it must
            have this shape. What it knows of the same names is kept.

    Returns:
        ``out``, the folder of the checkpoint in diffusers format, float16 safetensors.
    """
    processes, codec = join_processes(settings), None
    if processes.is_main_process:
        cut = cut_photos(corpus_settings, work / "cut")
        corpus = Corpus.build(corpus_settings, work / "plates", cut)
        codec = train_codec(corpus, corpus_settings, settings, work, start)
        cache_latents(corpus, codec, settings, work)
    processes.wait_for_everyone()
    latents = load_latents(work)
    materials = materials_of(corpus_settings.materials)
    style_encoder = style_encoder_of(materials, corpus_settings.palettes, settings.token_width)
    train_denoiser(latents, codec, style_encoder, settings, processes, work, out, start)
    processes.wait_for_everyone()
    processes.end_training()
    return out


def cache_latents(
    corpus: Corpus, codec: Codec, settings: TrainingSettings, work: Path
) -> dict[str, dict[str, Tensor]]:
    """Everything the denoiser is trained on, computed once.

    Returns:
        Per bucket: ``target`` and ``conditions`` float16 (N, C, h, w), ``known`` (N, 1, h, w),
        ``surface``, ``light``, ``scene`` int64 (N,), ``colour`` float32 (N, 3).
    """
    if (work / _LATENTS).exists():
        return load_latents(work)
    result = {}
    for size, arrays in corpus.buckets.items():
        parts = []
        for start in tqdm(range(0, len(arrays["rgb"]), 32), desc=f"encode {size[0]}x{size[1]}"):
            rows = slice(start, start + 32)
            rgb, product = arrays["rgb"][rows], arrays["product"][rows]
            mask = np.array(arrays["mask"][rows]).astype(np.float32) / np.float32(255)
            known = np.array(arrays["known"][rows]).astype(np.float32)
            parts.append(encode_plates(codec, rgb, product, mask, known, settings.device))
        result[f"{size[0]}x{size[1]}"] = {
            name: torch.cat([part[name] for part in parts]) for name in parts[0]
        } | {
            name: torch.from_numpy(np.array(arrays[name]))
            for name in ("surface", "light", "colour", "scene")
        }
    write_whole(work / _LATENTS, result)
    return result


def encode_plates(
    codec: Codec,
    rgb: Any,
    product: Any,
    mask: NDArray[np.float32],
    known: NDArray[np.float32],
    device: str = "cpu",
) -> dict[str, Tensor]:
    """``target``, ``conditions`` and ``known`` of plates; see :func:`cache_latents`.

    Args:
        codec: Encodes.
        rgb: uint8 (N, H, W, 3), what is to be painted.
        product: uint8 (N, H, W, 3), the product on mid-grey.
        mask: float32 (N, H, W) in 0..1.
        known: float32 (N, H, W), 1 where ``rgb`` is backdrop; a cell counts where all of it is.
        device: Of the codec.
    """
    with torch.no_grad():
        target = codec.encode(signed(rgb).to(device)).half().cpu()
        shown = codec.encode(signed(product).to(device)).half().cpu()
    cells = mask_cells(torch.from_numpy(mask)[:, None]).half()
    return {
        "target": target,
        "conditions": torch.cat([shown, cells], dim=1),
        "known": (-F.max_pool2d(-torch.from_numpy(known)[:, None], 16)).half(),
    }


def load_latents(work: Path) -> dict[str, dict[str, Tensor]]:
    """What :func:`cache_latents` wrote into ``work``."""
    latents: dict[str, dict[str, Tensor]] = torch.load(work / _LATENTS, weights_only=True)
    return latents


class Painter(nn.Module):
    """Denoiser and style encoder as one network whose forward is the loss.

    Processes join the gradients only of a network that was called as a whole.
    """

    def __init__(self, denoiser: UNet2DConditionModel, style: StyleEncoder) -> None:
        super().__init__()
        self.denoiser, self.style = denoiser, style

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """See :func:`flow_loss`."""
        return flow_loss(self.denoiser, self.style, batch)


def train_denoiser(
    latents: dict[str, dict[str, Tensor]],
    codec: Codec | None,
    style_encoder: StyleEncoder,
    settings: TrainingSettings,
    processes: Accelerator,
    work: Path,
    out: Path,
    start: Path | None = None,
) -> None:
    """Flow matching on cached latents; exports the averaged weights whenever state is written.

    Args:
        latents: See :func:`cache_latents`.
        codec: Travels with what is exported; None in processes that export nothing.
        style_encoder: Trained along with the denoiser.
        settings: How.
        processes: Train together, each on batches of its own; the first writes.
        work: Holds the state.
        out: Where the checkpoint is written.
        start: See :func:`train`.

    References:
        Logit-normal times: Esser et al. 2024, arXiv:2403.03206, section 3.1.
    """
    torch.manual_seed(settings.seed + 1)
    device = device_of(processes, settings)
    denoiser = new_denoiser(settings.latent_channels, settings.token_width, settings.widths)
    net = Painter(denoiser, style_encoder).to(device)
    if start is not None:
        known = Denoiser.from_pretrained(start, subfolder="denoiser")
        copy_weights(known, net.denoiser, start)
        encoder = StyleEncoder.from_pretrained(start, subfolder="style_encoder")
        begin_as(encoder, net.style)
    cast("Any", net).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(net).eval().requires_grad_(False)
    net.train()
    optimiser = torch.optim.AdamW(
        net.parameters(), settings.denoiser_rate, weight_decay=1e-3, betas=(0.9, 0.99)
    )
    learned, unseen = held_plates(latents, settings)
    best = Best(averaged.state_dict())
    parts = {"net": net, "averaged": averaged, "optimiser": optimiser, "best": best}
    state = SavedState(work / "denoiser.pt", parts, settings.save_every)
    first = processes.is_main_process
    joined, stepper = processes.prepare(net, optimiser)

    def export() -> None:
        shown = copy.deepcopy(averaged)
        if best.update:
            shown.load_state_dict(best.weights)
        BackdropPipeline(
            codec=cast("Codec", copy.deepcopy(codec)),
            denoiser=shown.denoiser,
            style_encoder=shown.style,
            scheduler=FlowMatchEulerDiscreteScheduler(),
        ).to(dtype=torch.float16).save_pretrained(out, safe_serialization=True)

    bar = tqdm(
        range(state.step, settings.denoiser_steps),
        desc="denoiser",
        initial=state.step,
        total=settings.denoiser_steps,
        disable=not first,
    )
    smooth, done, enough = float("nan"), state.step, best.missed >= settings.patience
    for step in bar:
        if enough:
            break
        set_rate(optimiser, settings.denoiser_rate, step, settings.denoiser_steps)
        for part in range(settings.accumulate):
            # Batches are counted over steps, parts and processes: no two are the same.
            draw = step * settings.accumulate + part
            draw = draw * processes.num_processes + processes.process_index
            torch.manual_seed(settings.seed * 1_000_003 + draw)
            batch = batch_of(learned, settings, np.random.default_rng([settings.seed, 2, draw]))
            with processes.accumulate(joined):
                loss = joined({k: v.to(device) for k, v in batch.items()})
                processes.backward(loss)
                if processes.sync_gradients:
                    processes.clip_grad_norm_(joined.parameters(), 1.0)
                stepper.step()
                stepper.zero_grad()
        value = loss.item()
        smooth = value if smooth != smooth else 0.98 * smooth + 0.02 * value
        bar.set_postfix(loss=f"{smooth:.3f}", held_out=f"{best.loss:.3f}")
        done = step + 1
        if first:
            follow(averaged, net, settings.ema, step)
        if done % settings.check_every == 0 or done == settings.denoiser_steps:
            if first:
                with processes.autocast():
                    loss_now = held_loss(averaged, unseen, device)
                best.see(averaged.state_dict(), loss_now, done)
            missed = torch.tensor(float(first and best.missed >= settings.patience), device=device)
            enough = processes.reduce(missed).item() > 0
        if first and state.maybe_save(done, {"loss": smooth, "held_out": best.loss}):
            export()
    if first:
        state.save(done)
        export()


def held_plates(
    latents: dict[str, dict[str, Tensor]], settings: TrainingSettings
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Tensor]]]:
    """Plates to train on, and those that tell when to stop, drawn by the seed."""
    learned, unseen = {}, {}
    for name, some in latents.items():
        count = len(some["target"])
        rng = np.random.default_rng([settings.seed, 7, count])
        order = torch.from_numpy(rng.permutation(count))
        held = min(_MOST_HELD, count // 2, max(1, round(settings.held_out * count)))
        learned[name] = {key: values[order[held:].sort().values] for key, values in some.items()}
        unseen[name] = {key: values[order[:held].sort().values] for key, values in some.items()}
    return learned, unseen


def held_loss(net: Painter, unseen: dict[str, dict[str, Tensor]], device: torch.device) -> float:
    """Mean loss of plates that are not trained on, always at the same times and noise."""
    total, count = 0.0, 0
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for some in unseen.values():
            size = len(some["target"])
            if size:
                batch = {name: values.to(device) for name, values in some.items()}
                times = (torch.arange(size, device=device) + 0.5) / size
                loss = flow_loss(net.denoiser, net.style, batch, times)
                total, count = total + loss.item() * size, count + size
    return total / count if count else float("nan")


def flow_loss(
    denoiser: nn.Module, style: nn.Module, batch: dict[str, Tensor], times: Tensor | None = None
) -> Tensor:
    """Mean squared error of the velocity over cells whose backdrop is known.

    Args:
        denoiser: Predicts the velocity.
        style: Encodes the batch's styles.
        batch: B rows of what :func:`cache_latents` makes.
        times: (B,) in 0..1, 1 is noise; None draws them logit-normal.
    """
    target = batch["target"].float()
    t = torch.sigmoid(torch.randn(len(target), device=target.device)) if times is None else times
    noise = torch.randn_like(target)
    mix = t.view(-1, 1, 1, 1)
    noisy = (1 - mix) * target + mix * noise
    tokens = tokens_of(style, batch)
    velocity = predict(denoiser, noisy, batch["conditions"].float(), 1000 * t, tokens)
    known = batch["known"].float()
    error = (velocity - (noise - target)).square().mean(1, keepdim=True)
    return (error * known).sum() / known.sum().clamp_min(1.0)


def tokens_of(style: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """What a batch's styles mean, (B, 3, width)."""
    ids = (batch["surface"], batch["light"], batch["colour"], batch["scene"])
    return cast("Tensor", style(*ids))


def of_photos(known: Tensor) -> Tensor:
    """Which plates are merchants' photos, (N,): those on which a product hides backdrop."""
    return known.flatten(1).amin(dim=1) == 0


def batch_of(
    latents: dict[str, dict[str, Tensor]], settings: TrainingSettings, rng: np.random.Generator
) -> dict[str, Tensor]:
    """One batch of one bucket, some styles and attributes left out; see :func:`cache_latents`."""
    sizes = {name: len(some["target"]) for name, some in latents.items()}
    names = list(sizes)
    share = np.array([sizes[n] for n in names], dtype=np.float64)
    some = latents[names[rng.choice(len(names), p=share / share.sum())]]
    is_photo = of_photos(some["known"]).numpy()
    weight = np.where(is_photo, settings.photo_share / max(is_photo.sum(), 1), 0.0)
    weight += np.where(~is_photo, (1 - settings.photo_share) / max((~is_photo).sum(), 1), 0.0)
    rows = rng.choice(len(weight), settings.denoiser_batch, p=weight / weight.sum())
    batch = {name: values[rows].clone() for name, values in some.items()}
    everything = rng.random(len(rows)) < settings.drop_style
    for name, null in (("surface", 0), ("light", 0), ("colour", float("nan")), ("scene", 0)):
        gone = everything | (rng.random(len(rows)) < settings.drop_attribute)
        batch[name][torch.from_numpy(gone)] = null
    return batch
