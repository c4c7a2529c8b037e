"""Photos to masker: scenes and labelled photos, first small, then at full size with second labels.

Before the full-size stage every photo's label is compared with what the network makes of it by
then: where they disagree nothing is learned from it any more. Scenes, whose masks are exact, have
taught it better by then than a cut by colours could.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from persona_img.masking.inputs import PRIOR_SCALE, as_tensors
from persona_img.masking.learning.corpus import UNKNOWN, MaskCorpus, MaskCorpusSettings, cut_photos
from persona_img.masking.network import STRIDE, MaskNet
from persona_img.training_state import SavedState, follow, set_rate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SMALL = 2 / 3  # of the side, in the first stage


@dataclass(frozen=True)
class MaskTrainingSettings:
    """How long and how to train.

    Attributes:
        small_steps: Optimiser steps at two thirds of the size.
        full_steps: Optimiser steps at full size.
        small_batch: Pictures a step in the first stage.
        full_batch: Pictures a step in the second.
        rate: Peak learning rate.
        ema: Decay of the averaged weights.
        photo_share: Share of samples that are photos, the rest are scenes.
        edge_weight: How much more a pixel near the product's edge counts.
        save_every: Seconds between states written.
        device: torch device.
        seed: Of weights and batches.
    """

    small_steps: int = 4000
    full_steps: int = 1500
    small_batch: int = 16
    full_batch: int = 12
    rate: float = 1.5e-3
    ema: float = 0.997
    photo_share: float = 0.4
    edge_weight: float = 2.0
    save_every: float = 180.0
    device: str = "cpu"
    seed: int = 7


def train_masker(
    corpus_settings: MaskCorpusSettings, settings: MaskTrainingSettings, work: Path, out: Path
) -> Path:
    """Photos to masker, resuming whatever ``work`` already holds.

    Args:
        corpus_settings: What to learn from.
        settings: How to train.
        work: Caches and state.
        out: Where the masker is written, whenever state is.

    Returns:
        ``out``.
    """
    cut = cut_photos(corpus_settings, work / "cut")
    corpus = MaskCorpus.build(corpus_settings, work / "corpus", cut)
    torch.manual_seed(settings.seed)
    net = MaskNet().to(settings.device)
    cast("Any", net).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(net).eval().requires_grad_(False)
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), settings.rate, weight_decay=1e-2)
    parts = {"net": net, "averaged": averaged, "optimiser": optimiser}
    state = SavedState(work / "masker.pt", parts, settings.save_every)
    total = settings.small_steps + settings.full_steps
    labels: dict[tuple[int, int], NDArray[np.uint8]] | None = None
    smooth = float("nan")
    bar = tqdm(range(state.step, total), desc="masker", initial=state.step, total=total)
    for step in bar:
        small = step < settings.small_steps
        if not small and labels is None:
            labels = _agreed_labels(averaged, corpus, settings.device)
        rng = np.random.default_rng([settings.seed, step])
        pictures, prior, target, weight = _batch(corpus, labels, settings, small, rng)
        set_rate(optimiser, settings.rate, step, total)
        loss = mask_loss(net(pictures, prior), target, weight, settings.edge_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        follow(averaged, net, settings.ema, step)
        value = loss.item()
        smooth = value if smooth != smooth else 0.98 * smooth + 0.02 * value
        bar.set_postfix(loss=f"{smooth:.3f}")
        if state.maybe_save(step + 1, {"loss": smooth}):
            averaged.save(out, steps=step + 1)
    state.save(total)
    averaged.save(out, steps=total)
    return out


def mask_loss(logits: Tensor, target: Tensor, weight: Tensor, edge_weight: float) -> Tensor:
    """Cross entropy, heavier near the edge, plus one minus the soft intersection over union.

    Args:
        logits: (B, 1, H, W).
        target: (B, 1, H, W) in 0..1.
        weight: (B, 1, H, W), 0 where the target is unknown.
        edge_weight: Added to the weight of pixels within five pixels of an edge.
    """
    spread = _most(target) + _most(-target)
    heavy = weight * (1 + edge_weight * spread)
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=heavy, reduction="sum")
    entropy = entropy / heavy.sum().clamp_min(1)
    found = torch.sigmoid(logits) * weight
    wanted = target * weight
    both = (found * wanted).sum((1, 2, 3))
    either = (found + wanted).sum((1, 2, 3)) - both
    return entropy + (1 - (both + 1) / (either + 1)).mean()


def _most(values: Tensor) -> Tensor:
    """The largest value within five pixels, first across and then down."""
    across = F.max_pool2d(values, (1, 11), 1, (0, 5))
    return F.max_pool2d(across, (11, 1), 1, (5, 0))


def _agreed_labels(
    net: MaskNet, corpus: MaskCorpus, device: str
) -> dict[tuple[int, int], NDArray[np.uint8]]:
    """Labels that are unknown where photos' first labels and the network disagree.

    Written once, so that a training that was stopped goes on with the same.
    """
    result = {}
    for shape, arrays in corpus.shapes.items():
        path = corpus.folder / f"agreed-{shape[0]}x{shape[1]}.npy"
        if not path.exists():
            labels = np.array(arrays["label"])
            for i in tqdm(np.flatnonzero(arrays["real"]), desc=f"second labels {shape}"):
                rgb, prior = (np.array(arrays[name][i : i + 1]) for name in ("rgb", "prior"))
                with torch.inference_mode():
                    found = torch.sigmoid(net(*as_tensors(rgb, prior, device)))[0, 0].cpu().numpy()
                apart = (np.abs(found - labels[i] / 254.0) > 0.5).astype(np.uint8)
                apart = cv2.morphologyEx(apart, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
                labels[i][cv2.dilate(apart, np.ones((5, 5), np.uint8)) > 0] = UNKNOWN
            partial = path.with_suffix(".part")
            with partial.open("wb") as file:
                np.save(file, labels)
            partial.replace(path)
        result[shape] = np.load(path, mmap_mode="r")
    return result


def _batch(
    corpus: MaskCorpus,
    labels: dict[tuple[int, int], NDArray[np.uint8]] | None,
    settings: MaskTrainingSettings,
    small: bool,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pictures, prior, target and weight of one step, all of one shape."""
    shapes = list(corpus.shapes)
    sizes = np.array([len(corpus.shapes[s]["real"]) for s in shapes], dtype=np.float64)
    shape = shapes[rng.choice(len(shapes), p=sizes / sizes.sum())]
    arrays = corpus.shapes[shape]
    known = arrays["label"] if labels is None else labels[shape]
    real = np.asarray(arrays["real"]) > 0
    chance = np.where(real, settings.photo_share / max(1, real.sum()), 0.0)
    chance += np.where(real, 0.0, (1 - settings.photo_share) / max(1, (~real).sum()))
    count = settings.small_batch if small else settings.full_batch
    rows = rng.choice(len(real), count, p=chance / chance.sum())
    rgb = np.stack([arrays["rgb"][i] for i in rows])
    prior = np.stack([arrays["prior"][i] for i in rows])
    label = np.stack([known[i] for i in rows])
    if small:
        rgb, prior, label = _shrunk(rgb, prior, label)
    if rng.random() < 0.5:
        rgb, prior, label = rgb[:, :, ::-1], prior[:, :, ::-1], label[:, :, ::-1]
    pictures, maps = as_tensors(
        np.ascontiguousarray(rgb), np.ascontiguousarray(prior), settings.device
    )
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (count, 3, 1, 1)).astype(np.float32))
    lift = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 1, 1, 1)).astype(np.float32))
    pictures = (pictures * gain.to(settings.device) + lift.to(settings.device)).clamp(-1, 1)
    truth = torch.from_numpy(np.ascontiguousarray(label))[:, None].to(settings.device)
    weight = (truth != UNKNOWN).float()
    return pictures, maps, (truth.float() / (UNKNOWN - 1)).clamp(0, 1) * weight, weight


def _shrunk(
    rgb: NDArray[np.uint8], prior: NDArray[np.uint8], label: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """A batch at the first stage's size; a label is unknown where any of its pixels is."""
    height, width = (round(_SMALL * side / STRIDE) * STRIDE for side in label.shape[1:])
    size, low = (width, height), (width // PRIOR_SCALE, height // PRIOR_SCALE)

    def shrink(values: NDArray[Any], to: tuple[int, int]) -> NDArray[Any]:
        return np.stack([cv2.resize(x, to, interpolation=cv2.INTER_AREA) for x in values])

    unknown = shrink((label == UNKNOWN).astype(np.float32), size) > 0
    plain = shrink(np.minimum(label, UNKNOWN - 1), size)
    return shrink(rgb, size), shrink(prior, low), np.where(unknown, UNKNOWN, plain).astype(np.uint8)
