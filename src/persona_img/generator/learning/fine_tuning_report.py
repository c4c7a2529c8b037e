"""How much nearer to a shop's own photos an adapter paints, and what else it moved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from persona_img.generator.pipeline import BackdropPipeline
from persona_img.imaging.colour import mean_lab
from persona_img.imaging.distance import backdrop_patches, sliced_wasserstein

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.generator.adapter import Adapter
    from persona_img.generator.learning.plates import Plate

_PATCHES = 128


def likeness(
    checkpoint: Path,
    adapter: Adapter,
    learned: Sequence[Plate],
    unseen: Sequence[Plate],
    *,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Plates for held-out photos, painted from noise, beside the photos themselves.

    Args:
        checkpoint: What the adapter was learned on.
        adapter: The adapter.
        learned: Plates of the photos that it was taught.
        unseen: Plates of photos that it was not taught.
        seed: Of the plates.

    Returns:
        For ``before``, ``told`` (the checkpoint told the shop's colour, nothing learned) and
        ``after``: ``colour``, mean CIE76 distance of a plate's mean from its photo's; and
        ``texture``, sliced Wasserstein distance of the plates' patches from the photos'. The same
        for ``photos``, which no painter can better: the shop's mean colour and the photos that were
        learned. For ``others``: ``colour`` between plates of other surfaces before and after.
    """
    told = replace(adapter, weights={})
    made = {"before": _loaded(checkpoint, None), "told": _loaded(checkpoint, told)}
    made["after"] = _loaded(checkpoint, adapter)
    real = [p.rgb for p in unseen]
    truth = _patches(real, unseen)
    apart = [float(np.linalg.norm(p.colour - np.array(adapter.colour))) for p in unseen]
    taught = _patches([p.rgb for p in learned], learned)
    found = {
        "photos": {"colour": float(np.mean(apart)), "texture": sliced_wasserstein(taught, truth)}
    }
    for name, pipeline in made.items():
        plates = [_painted(pipeline, p, adapter.surface, seed + i) for i, p in enumerate(unseen)]
        found[name] = {
            "colour": _apart(plates, real, unseen),
            "texture": sliced_wasserstein(_patches(plates, unseen), truth),
        }
    others = [n for n in made["before"].style_encoder.surface_names() if n != adapter.surface]
    if others:
        asked = [(p, others[i % len(others)], seed + i) for i, p in enumerate(unseen)]
        old, new = ([_painted(made[k], *one) for one in asked] for k in ("before", "after"))
        found["others"] = {"colour": _apart(old, new, unseen)}
    return found


def _loaded(checkpoint: Path, adapter: Adapter | None) -> BackdropPipeline:
    pipeline = BackdropPipeline.from_pretrained(
        checkpoint, dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        adapter.merge_into(pipeline)
    return pipeline


def _painted(
    pipeline: BackdropPipeline, plate: Plate, surface: str, seed: int
) -> NDArray[np.uint8]:
    product = torch.from_numpy(plate.product).permute(2, 0, 1)[None].float() / 127.5 - 1
    mask = torch.from_numpy(plate.mask)[None, None]
    style = {"surface": surface} | ({} if plate.light is None else {"light": plate.light})
    made = pipeline(product, mask, [style], seeds=[seed]).images[0]
    return np.asarray((made.permute(1, 2, 0) * 255).round().byte().numpy())


def _apart(
    these: Sequence[NDArray[np.uint8]],
    those: Sequence[NDArray[np.uint8]],
    plates: Sequence[Plate],
) -> float:
    pairs = zip(these, those, plates, strict=True)
    return float(np.mean([np.linalg.norm(mean_lab(a, p.known) - mean_lab(b, p.known))
                          for a, b, p in pairs]))  # fmt: skip


def _patches(
    pictures: Sequence[NDArray[np.uint8]], plates: Sequence[Plate]
) -> list[list[NDArray[np.float32]]]:
    rng = np.random.default_rng(0)
    masks = [(255 * (p.known < 0.5)).astype(np.uint8) for p in plates]
    return [
        backdrop_patches(picture, mask, _PATCHES, rng)
        for picture, mask in zip(pictures, masks, strict=True)
    ]
