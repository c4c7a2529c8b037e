"""One process of a joint training, for ``test_processes.py``: trains, then writes what it saw.

Arguments: folder of the corpus and work, folder of the checkpoint, file for the record, steps,
batches to a step, precision.
"""

from __future__ import annotations

import copy
import hashlib
import sys
from pathlib import Path
from typing import Any

import torch

from persona_img.assets import ASSETS
from persona_img.generator.learning import training
from persona_img.generator.learning.corpus import CorpusSettings
from persona_img.generator.learning.processes import is_first
from persona_img.generator.learning.training_settings import TrainingSettings
from persona_img.generator.pipeline import BackdropPipeline


def held_loss(net: training.Painter, latents: dict[str, dict[str, torch.Tensor]]) -> float:
    """The loss on everything there is, at the same times and with the same noise."""
    net = copy.deepcopy(net).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        many = (
            {k: v.repeat_interleave(8, 0) for k, v in some.items()} for some in latents.values()
        )
        return sum(net(batch).item() for batch in many)


def main(
    folder: Path, out: Path, record: Path, steps: int, accumulate: int, precision: Any
) -> None:
    torch.set_num_threads(1)
    corpus = CorpusSettings(
        photos=ASSETS / "catalog" / "photos",
        palettes={"neutral": (0.0, 0.0), "sage": (-8.0, 7.0)},
        materials=folder / "materials",
        max_photos=12,
        made=20,
        seed=3,
    )
    settings = TrainingSettings(
        codec_steps=3, denoiser_steps=steps, codec_batch=2, denoiser_batch=4, crop=64,
        latent_channels=8, codec_widths=(16, 16, 32), widths=(32, 32), token_width=32,
        denoiser_rate=3e-3, save_every=1e9, accumulate=accumulate, precision=precision,
    )  # fmt: skip
    seen: dict[str, Any] = {"batches": [], "exports": 0}
    nets: list[training.Painter] = []
    prepared, drawn = training.Painter.__init__, training.batch_of
    export = BackdropPipeline.save_pretrained

    def watched(self: training.Painter, *parts: Any) -> None:
        prepared(self, *parts)
        nets.append(self)
        self.denoiser.conv_out.register_forward_hook(
            lambda _, __, made: seen.update(arithmetic=str(made.dtype))
        )

    def batch_of(latents: Any, *given: Any) -> dict[str, torch.Tensor]:
        if "before" not in seen:
            seen["before"] = held_loss(nets[0], latents)
        batch = drawn(latents, *given)
        seen["batches"].append(hashlib.sha256(batch["target"].numpy().tobytes()).hexdigest())
        return batch

    def save_pretrained(self: BackdropPipeline, *given: Any, **more: Any) -> None:
        seen["exports"] += 1
        export(self, *given, **more)

    training.Painter.__init__ = watched  # type: ignore[method-assign]
    training.batch_of = batch_of
    BackdropPipeline.save_pretrained = save_pretrained
    training.train(corpus, settings, folder / "work", out)
    arithmetic = seen["arithmetic"]
    seen["after"] = held_loss(nets[0], training.load_latents(folder / "work"))
    seen |= {"arithmetic": arithmetic, "weights": dict(nets[0].state_dict())}
    torch.save(seen, record.with_suffix(f".{'first' if is_first() else 'other'}.pt"))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
