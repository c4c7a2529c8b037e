"""Pieces that came back from a training to a checkpoint: ``join.py OUT student -o checkpoint/``."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from files import read_parts

from persona_img.generator.denoiser import Denoiser
from persona_img.generator.pipeline import BackdropPipeline

BASE = Path(__file__).resolve().parents[3] / "src/persona_img/assets/checkpoint"


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what train.py wrote")
    parser.add_argument("name", choices=("teacher", "student"))
    parser.add_argument(
        "--base", type=Path, default=BASE, help="whose codec and scheduler it keeps"
    )
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    base = BackdropPipeline.from_pretrained(given.base, dtype=torch.float32, local_files_only=True)
    weights, style = read_parts(given.folder, given.name)
    denoiser = Denoiser.from_config(base.denoiser.config)
    denoiser.load_state_dict(weights)
    told = {"student": (4, 1.0, 1), "teacher": (8, 1.5, 0)}[given.name]
    BackdropPipeline(
        codec=base.codec, denoiser=denoiser, style_encoder=style, scheduler=base.scheduler,
        steps=told[0], guidance=told[1], steps_from_start=told[2],
    ).to(dtype=torch.float16).save_pretrained(given.out, safe_serialization=True)  # fmt: skip
    denoiser.save_eight_bit(given.out / "denoiser")


if __name__ == "__main__":
    main()
