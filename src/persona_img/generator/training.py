"""Training, in two parts: the codec on crops, then the denoiser on cached latents.

Both parts stop and resume: state is written every few minutes, whole or not at all.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from persona_img.errors import InvalidInput
from persona_img.generator.codec import Codec
from persona_img.generator.corpus import PICTURES, Corpus, CorpusSettings, cut_photos
from persona_img.generator.pipeline import BackdropPipeline, mask_cells, new_denoiser, predict
from persona_img.generator.plates import load_surfaces
from persona_img.generator.style_encoder import StyleEncoder
from persona_img.imaging.light import LIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how to train.

    Attributes:
        codec_steps: Optimiser steps of the codec.
        denoiser_steps: Optimiser steps of the denoiser.
        codec_batch: Crops a step.
        denoiser_batch: Pictures a step.
        crop: Side of the codec's crops, pixels; a multiple of 16.
        codec_rate: Peak learning rate of the codec.
        denoiser_rate: Peak learning rate of the denoiser.
        ema: Decay of the denoiser's averaged weights.
        drop_style: Chance that a sample is trained without any style (guidance needs it).
        drop_attribute: Chance that one attribute is left out.
        photo_share: Share of samples that are merchants' photos, the rest is made.
        save_every: Seconds between states written.
        latent_channels: Of the codec.
        codec_widths: Codec channels at 1/4, 1/8 and 1/16.
        widths: Denoiser channels; multiples of 32.
        token_width: Size of a style token.
        device: torch device.
        seed: Of weights, batches and noise.
    """

    codec_steps: int = 1600
    denoiser_steps: int = 6000
    codec_batch: int = 16
    denoiser_batch: int = 16
    crop: int = 128
    codec_rate: float = 4e-4
    denoiser_rate: float = 4e-4
    ema: float = 0.998
    drop_style: float = 0.1
    drop_attribute: float = 0.05
    photo_share: float = 0.12
    save_every: float = 180.0
    latent_channels: int = 32
    codec_widths: tuple[int, int, int] = (64, 128, 192)
    widths: tuple[int, int] = (128, 224)
    token_width: int = 256
    device: str = "cpu"
    seed: int = 7


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


def train_codec(
    corpus: Corpus,
    corpus_settings: CorpusSettings,
    settings: TrainingSettings,
    work: Path,
    start: Path | None = None,
) -> Codec:
    """Codec fitted to crops of plates, photos and scenes; its latent statistics are set."""
    torch.manual_seed(settings.seed)
    codec = Codec(settings.latent_channels, settings.codec_widths)
    if start is not None:
        _copy_weights(Codec.from_pretrained(start, subfolder="codec"), codec, start)
    codec.to(settings.device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(codec.parameters(), settings.codec_rate, weight_decay=1e-4)
    state = _Saved(work / "codec.pt", {"net": codec, "optimiser": optimiser}, settings.save_every)
    extra = _scenes(corpus_settings)
    bar = tqdm(
        range(state.step, settings.codec_steps),
        desc="codec",
        initial=state.step,
        total=settings.codec_steps,
    )
    for step in bar:
        rng = np.random.default_rng([settings.seed, 1, step])
        torch.manual_seed(settings.seed * 1_000_003 + step)
        crops = _crops(corpus, extra, settings.codec_batch, settings.crop, rng).to(settings.device)
        _set_rate(optimiser, settings.codec_rate, step, settings.codec_steps)
        mean, log_variance = codec.posterior(crops)
        raw = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        loss, parts = codec_loss(codec.decode_raw(raw), crops, mean, log_variance)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimiser.step()
        bar.set_postfix(parts)
        state.maybe_save(step + 1, parts)
    state.save(settings.codec_steps)
    return _with_statistics(codec.eval(), corpus, settings)


def codec_loss(
    made: Tensor, crops: Tensor, mean: Tensor, log_variance: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """L1 over a Laplacian pyramid, hue, local spectra, and KL.

    Hue has a term of its own: of a backdrop's error in RGB it is a small part, of what a palette
    asks it is everything.
    Spectra are compared in amplitude only, so that a texture may be rendered sharp in other phase
    than blurred in the right one (cf. focal frequency loss, Jiang et al. 2021, arXiv:2012.12821).
    """
    plain = F.l1_loss(made, crops)
    pyramid = made.new_zeros(())
    a, b = made, crops
    for _ in range(3):
        low_a, low_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        up_a = F.interpolate(low_a, scale_factor=2.0, mode="nearest")
        up_b = F.interpolate(low_b, scale_factor=2.0, mode="nearest")
        pyramid = pyramid + F.l1_loss(a - up_a, b - up_b)
        a, b = low_a, low_b
    spectra = F.l1_loss(_local_amplitudes(made), _local_amplitudes(crops))
    hue = F.l1_loss(_opponents(made), _opponents(crops))
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    loss = plain + pyramid + 2.0 * hue + 0.25 * spectra + 2e-4 * kl
    mse = F.mse_loss(made.detach(), crops).item()
    return loss, {
        "psnr": 10 * float(np.log10(4 / max(mse, 1e-9))),
        "spectra": spectra.item(),
        "kl": kl.item(),
        "hue": hue.item(),
    }


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
                picture = codec.encode(_signed(arrays["rgb"][some]).to(settings.device))
                product = codec.encode(_signed(arrays["product"][some]).to(settings.device))
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
    _write_whole(path, result)
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
        _copy_weights(known, net["denoiser"], start)
        encoder = StyleEncoder.from_pretrained(start, subfolder="style_encoder")
        names = [*encoder.surface_names(), *encoder.config.lights]
        if names != [*style_encoder.surface_names(), *style_encoder.config.lights]:
            raise InvalidInput(f"{start}: knows other surfaces or lights; train from the beginning")
        _copy_weights(encoder, net["style"], start)
    cast("Any", net).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(net).eval().requires_grad_(False)
    net.train()
    optimiser = torch.optim.AdamW(
        net.parameters(), settings.denoiser_rate, weight_decay=1e-3, betas=(0.9, 0.99)
    )
    parts = {"net": net, "averaged": averaged, "optimiser": optimiser}
    state = _Saved(work / "denoiser.pt", parts, settings.save_every)

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
        batch = _batch(latents, settings, rng)
        batch = {k: v.to(settings.device) for k, v in batch.items()}
        _set_rate(optimiser, settings.denoiser_rate, step, settings.denoiser_steps)
        loss = flow_loss(net["denoiser"], net["style"], batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        decay = min(settings.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for slow, fast in zip(averaged.parameters(), net.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
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


def _batch(
    latents: dict[str, dict[str, Tensor]], settings: TrainingSettings, rng: np.random.Generator
) -> dict[str, Tensor]:
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


def _opponents(x: Tensor) -> Tensor:
    """Red against green and blue against both, every 8 pixels."""
    red, green, blue = F.avg_pool2d(x, 8).unbind(1)
    return torch.stack([red - green, blue - (red + green) / 2], dim=1)


def _local_amplitudes(x: Tensor) -> Tensor:
    """Amplitudes of windowed 16 x 16 spectra, every 8 pixels."""
    window = torch.hann_window(16, periodic=False, device=x.device)
    window = window[:, None] * window[None, :]
    patches = x.mean(1, keepdim=True).unfold(2, 16, 8).unfold(3, 16, 8)
    return (
        torch.fft.rfft2((patches - patches.mean((-1, -2), keepdim=True)) * window)
        .abs()
        .add(1e-3)
        .log()
    )


def _crops(
    corpus: Corpus, extra: list[NDArray[np.uint8]], count: int, side: int, rng: np.random.Generator
) -> Tensor:
    sizes = list(corpus.buckets)
    share = np.array([len(corpus.buckets[s]["rgb"]) for s in sizes], dtype=np.float64)
    out = np.empty((count, side, side, 3), dtype=np.uint8)
    for i in range(count):
        if extra and rng.random() < 0.12:
            picture: Any = extra[int(rng.integers(len(extra)))]
        else:
            arrays = corpus.buckets[sizes[rng.choice(len(sizes), p=share / share.sum())]]
            field = "product" if rng.random() < 0.12 else "rgb"
            picture = arrays[field][int(rng.integers(len(arrays["rgb"])))]
        top = int(rng.integers(picture.shape[0] - side + 1))
        left = int(rng.integers(picture.shape[1] - side + 1))
        crop = picture[top : top + side, left : left + side]
        out[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
    return _signed(out)


def _signed(rgb: Any) -> Tensor:
    pictures = torch.from_numpy(np.array(rgb)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pictures.contiguous(memory_format=torch.channels_last)


def _scenes(settings: CorpusSettings) -> list[NDArray[np.uint8]]:
    paths = [
        p
        for folder in settings.scenes
        for p in sorted(folder.rglob("*"))
        if p.suffix.lower() in PICTURES
    ]
    found = []
    for path in paths:
        with Image.open(path) as image:
            picture = np.asarray(image.convert("RGB"))
        if min(picture.shape[:2]) >= 128:
            found.append(picture)
    return found


def _with_statistics(codec: Codec, corpus: Corpus, settings: TrainingSettings) -> Codec:
    """The same weights with the latents' mean and spread in the config."""
    rng = np.random.default_rng([settings.seed, 3])
    latents = []
    with torch.no_grad():
        for _ in range(24):
            crops = _crops(corpus, [], 16, 128, rng).to(settings.device)
            latents.append(codec.posterior(crops)[0])
    values = torch.cat(latents)
    mean, std = values.mean((0, 2, 3)), values.std((0, 2, 3)).clamp_min(1e-3)
    config = {k: v for k, v in codec.config.items() if not k.startswith("_")}
    config |= {"latent_mean": mean.tolist(), "latent_std": std.tolist()}
    fixed = Codec(**config)
    fixed.load_state_dict(codec.state_dict())
    return fixed.to(settings.device, memory_format=torch.channels_last).eval()


def _copy_weights(known: nn.Module, fresh: nn.Module, start: Path) -> None:
    try:
        fresh.load_state_dict({name: value.float() for name, value in known.state_dict().items()})
    except RuntimeError as error:
        raise InvalidInput(f"{start}: has another shape than is trained here: {error}") from error


def _set_rate(optimiser: torch.optim.Optimizer, peak: float, step: int, total: int) -> None:
    """Warm-up over 2 %, flat, then linear to a twentieth over the last 30 %."""
    warm = min(1.0, (step + 1) / max(1.0, 0.02 * total))
    cool = min(1.0, 0.05 + 0.95 * (total - step) / max(1.0, 0.3 * total))
    for group in optimiser.param_groups:
        group["lr"] = peak * min(warm, cool)


class _Saved:
    """Training state on disk: restored at once, written every so many seconds."""

    def __init__(self, path: Path, parts: dict[str, Any], every: float) -> None:
        self.path, self.parts, self.every = path, parts, every
        self.step, self.last = 0, time.monotonic()
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.step = int(state["step"])
            for name, part in parts.items():
                part.load_state_dict(state[name])

    def maybe_save(self, step: int, figures: dict[str, float]) -> bool:
        if time.monotonic() - self.last < self.every:
            return False
        shown = " ".join(f"{k}={v:.3f}" for k, v in figures.items())
        tqdm.write(f"{self.path.stem}: step {step}, {shown}")
        self.save(step)
        return True

    def save(self, step: int) -> None:
        _write_whole(self.path, {"step": step} | {n: p.state_dict() for n, p in self.parts.items()})
        self.step, self.last = step, time.monotonic()


def _write_whole(path: Path, value: object) -> None:
    partial = path.with_name(path.name + ".part")
    torch.save(value, partial)
    partial.replace(path)
