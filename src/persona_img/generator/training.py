"""Photos to checkpoint: the codec on crops, then the denoiser on cached latents.

Both parts stop and resume.
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

from persona_img.errors import InvalidInput
from persona_img.generator.codec_training import train_codec
from persona_img.generator.corpus import Corpus, CorpusSettings, cut_photos
from persona_img.generator.pipeline import BackdropPipeline, mask_cells, new_denoiser, predict
from persona_img.generator.plates import load_surfaces
from persona_img.generator.style_encoder import StyleEncoder
from persona_img.generator.training_settings import TrainingSettings, copy_weights, signed
from persona_img.imaging.light import LIGHTS
from persona_img.training_state import SavedState, follow, set_rate, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.generator.codec import Codec


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
            have this shape and know these styles in this order.

    Returns:
        ``out``, the folder of the checkpoint in diffusers format, float16 safetensors.
    """
    cut = cut_photos(corpus_settings, work / "cut")
    corpus = Corpus.build(corpus_settings, work / "plates", cut)
    codec = train_codec(corpus, corpus_settings, settings, work, start)
    latents = cache_latents(corpus, codec, settings, work)
    surfaces = load_surfaces(corpus_settings.surfaces, corpus_settings.textures)
    style_encoder = StyleEncoder(
        surfaces={n: [float(v) for v in s.colour((0, 0))] + [s.dye] for n, s in surfaces.items()},
        lights=list(LIGHTS),
        palettes={n: list(c) for n, c in corpus_settings.palettes.items()},
        width=settings.token_width,
    )
    train_denoiser(latents, codec, style_encoder, settings, work, out, start)
    return out


def cache_latents(
    corpus: Corpus, codec: Codec, settings: TrainingSettings, work: Path
) -> dict[str, dict[str, Tensor]]:
    """Everything the denoiser is trained on, computed once.

    Returns:
        Per bucket: ``target`` and ``conditions`` float16 (N, C, h, w), ``known`` (N, 1, h, w),
        ``surface``, ``light`` int64 (N,), ``colour`` float32 (N, 3).
    """
    path = work / "latents.pt"
    if path.exists():
        loaded: dict[str, dict[str, Tensor]] = torch.load(path, weights_only=True)
        return loaded
    result = {}
    for size, arrays in corpus.buckets.items():
        targets, conditions, knowns = [], [], []
        for start in tqdm(range(0, len(arrays["rgb"]), 32), desc=f"encode {size[0]}x{size[1]}"):
            some = slice(start, start + 32)
            with torch.no_grad():
                picture = codec.encode(signed(arrays["rgb"][some]).to(settings.device))
                product = codec.encode(signed(arrays["product"][some]).to(settings.device))
            mask = torch.from_numpy(np.array(arrays["mask"][some])).float()[:, None] / 255
            known = torch.from_numpy(np.array(arrays["known"][some])).float()[:, None]
            targets.append(picture.half().cpu())
            conditions.append(torch.cat([product.half().cpu(), mask_cells(mask).half()], dim=1))
            # A cell counts only where the whole cell is backdrop.
            knowns.append((-F.max_pool2d(-known, 16)).half())
        result[f"{size[0]}x{size[1]}"] = {
            "target": torch.cat(targets),
            "conditions": torch.cat(conditions),
            "known": torch.cat(knowns),
            "surface": torch.from_numpy(np.array(arrays["surface"])),
            "light": torch.from_numpy(np.array(arrays["light"])),
            "colour": torch.from_numpy(np.array(arrays["colour"])),
        }
    write_whole(path, result)
    return result


def train_denoiser(
    latents: dict[str, dict[str, Tensor]],
    codec: Codec,
    style_encoder: StyleEncoder,
    settings: TrainingSettings,
    work: Path,
    out: Path,
    start: Path | None = None,
) -> BackdropPipeline:
    """Flow matching on cached latents; exports the averaged weights whenever state is written.

    References:
        Logit-normal times: Esser et al. 2024, arXiv:2403.03206, section 3.1.
    """
    torch.manual_seed(settings.seed + 1)
    channels = codec.config.latent_channels
    net = nn.ModuleDict(
        {
            "denoiser": new_denoiser(channels, settings.token_width, settings.widths),
            "style": style_encoder,
        }
    ).to(settings.device)
    if start is not None:
        known = UNet2DConditionModel.from_pretrained(start, subfolder="denoiser")
        copy_weights(known, net["denoiser"], start)
        encoder = StyleEncoder.from_pretrained(start, subfolder="style_encoder")
        names = [*encoder.surface_names(), *encoder.config.lights]
        if names != [*style_encoder.surface_names(), *style_encoder.config.lights]:
            raise InvalidInput(f"{start}: knows other surfaces or lights; train from the beginning")
        copy_weights(encoder, net["style"], start)
    cast("Any", net).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(net).eval().requires_grad_(False)
    net.train()
    optimiser = torch.optim.AdamW(
        net.parameters(), settings.denoiser_rate, weight_decay=1e-3, betas=(0.9, 0.99)
    )
    parts = {"net": net, "averaged": averaged, "optimiser": optimiser}
    state = SavedState(work / "denoiser.pt", parts, settings.save_every)

    def export() -> BackdropPipeline:
        pipeline = BackdropPipeline(
            codec=copy.deepcopy(codec),
            denoiser=copy.deepcopy(averaged["denoiser"]),
            style_encoder=cast("StyleEncoder", copy.deepcopy(averaged["style"])),
            scheduler=FlowMatchEulerDiscreteScheduler(),
        ).to(dtype=torch.float16)
        pipeline.save_pretrained(out, safe_serialization=True)
        return pipeline

    bar = tqdm(
        range(state.step, settings.denoiser_steps),
        desc="denoiser",
        initial=state.step,
        total=settings.denoiser_steps,
    )
    smooth = float("nan")
    for step in bar:
        rng = np.random.default_rng([settings.seed, 2, step])
        torch.manual_seed(settings.seed * 1_000_003 + step)
        batch = batch_of(latents, settings, rng)
        batch = {k: v.to(settings.device) for k, v in batch.items()}
        set_rate(optimiser, settings.denoiser_rate, step, settings.denoiser_steps)
        loss = flow_loss(net["denoiser"], net["style"], batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        follow(averaged, net, settings.ema, step)
        value = loss.item()
        smooth = value if smooth != smooth else 0.98 * smooth + 0.02 * value
        bar.set_postfix(loss=f"{smooth:.3f}")
        if state.maybe_save(step + 1, {"loss": smooth}):
            export()
    state.save(settings.denoiser_steps)
    return export()


def flow_loss(denoiser: nn.Module, style: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Mean squared error of the velocity over cells whose backdrop is known."""
    target = batch["target"].float()
    t = torch.sigmoid(torch.randn(len(target), device=target.device))
    noise = torch.randn_like(target)
    mix = t.view(-1, 1, 1, 1)
    noisy = (1 - mix) * target + mix * noise
    tokens = style(batch["surface"], batch["light"], batch["colour"])
    velocity = predict(denoiser, noisy, batch["conditions"].float(), 1000 * t, tokens)
    known = batch["known"].float()
    error = (velocity - (noise - target)).square().mean(1, keepdim=True)
    return (error * known).sum() / known.sum().clamp_min(1.0)


def batch_of(
    latents: dict[str, dict[str, Tensor]], settings: TrainingSettings, rng: np.random.Generator
) -> dict[str, Tensor]:
    """One batch of one bucket, some styles and attributes left out; see :func:`cache_latents`."""
    sizes = {name: len(some["target"]) for name, some in latents.items()}
    names = list(sizes)
    share = np.array([sizes[n] for n in names], dtype=np.float64)
    some = latents[names[rng.choice(len(names), p=share / share.sum())]]
    is_photo = some["surface"].numpy() == 0
    weight = np.where(is_photo, settings.photo_share / max(is_photo.sum(), 1), 0.0)
    weight += np.where(~is_photo, (1 - settings.photo_share) / max((~is_photo).sum(), 1), 0.0)
    rows = rng.choice(len(weight), settings.denoiser_batch, p=weight / weight.sum())
    batch = {name: values[rows].clone() for name, values in some.items()}
    everything = rng.random(len(rows)) < settings.drop_style
    for name, null in (("surface", 0), ("light", 0), ("colour", float("nan"))):
        gone = everything | (rng.random(len(rows)) < settings.drop_attribute)
        batch[name][torch.from_numpy(gone)] = null
    return batch
