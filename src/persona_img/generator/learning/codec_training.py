"""The first part of a training: the codec, on crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from persona_img.generator.codec import Codec
from persona_img.generator.learning.training_settings import TrainingSettings, copy_weights, signed
from persona_img.imaging.folder import leave_out, pictures_below, why_unreadable
from persona_img.training_state import SavedState, set_rate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.generator.learning.corpus import Corpus, CorpusSettings


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
        copy_weights(Codec.from_pretrained(start, subfolder="codec"), codec, start)
    codec.to(settings.device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(codec.parameters(), settings.codec_rate, weight_decay=1e-4)
    state = SavedState(
        work / "codec.pt", {"net": codec, "optimiser": optimiser}, settings.save_every
    )
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
        set_rate(optimiser, settings.codec_rate, step, settings.codec_steps)
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
    """Reconstruction and KL."""
    loss, parts = reconstruction_loss(made, crops)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return loss + 2e-4 * kl, parts | {"kl": kl.item()}


def reconstruction_loss(
    made: Tensor, crops: Tensor, *, phases: bool = True
) -> tuple[Tensor, dict[str, float]]:
    """L1 over a Laplacian pyramid, hue, and local spectra.

    Hue has a term of its own: of a backdrop's error in RGB it is a small part, of what a palette
    asks it is everything.
    Spectra are compared in amplitude only, so that a texture may be rendered sharp in other phase
    than blurred in the right one (cf. focal frequency loss, Jiang et al. 2021, arXiv:2012.12821).

    Args:
        made: Decoded, (B, 3, S, S), about -1..1.
        crops: What they should be.
        phases: Whether textures must lie where they lie in ``crops``; otherwise the pictures are
            compared at an eighth of their size, and textures by their spectra alone.

    Returns:
        The loss, and figures to be shown.
    """
    pixels = made.new_zeros(())
    a, b = (made, crops) if phases else (F.avg_pool2d(made, 8), F.avg_pool2d(crops, 8))
    plain = F.l1_loss(a, b)
    for _ in range(3 if phases else 0):
        low_a, low_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        up_a = F.interpolate(low_a, scale_factor=2.0, mode="nearest")
        up_b = F.interpolate(low_b, scale_factor=2.0, mode="nearest")
        pixels = pixels + F.l1_loss(a - up_a, b - up_b)
        a, b = low_a, low_b
    spectra = F.l1_loss(_local_amplitudes(made), _local_amplitudes(crops))
    hue = F.l1_loss(_opponents(made), _opponents(crops))
    mse = F.mse_loss(made.detach(), crops).item()
    return plain + pixels + 2.0 * hue + 0.25 * spectra, {
        "psnr": 10 * float(np.log10(4 / max(mse, 1e-9))),
        "spectra": spectra.item(),
        "hue": hue.item(),
    }


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
    return signed(out)


def _scenes(settings: CorpusSettings) -> list[NDArray[np.uint8]]:
    found = []
    for path in [p for folder in settings.scenes for p in pictures_below(folder)]:
        try:
            with Image.open(path) as image:
                picture = np.asarray(image.convert("RGB"))
        except Exception as error:  # decoders raise many kinds on damaged files
            leave_out(why_unreadable(path, error))
            continue
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
