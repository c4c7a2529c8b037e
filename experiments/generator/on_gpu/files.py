"""What comes out: networks in small pieces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from persona_img.generator.style_encoder import StyleEncoder

if TYPE_CHECKING:
    from pathlib import Path

PIECE = 15 * 2**20
"""Bytes of a file at most."""


def write_parts(out: Path, name: str, net: nn.Module) -> None:
    """A painter's weights, float16, as ``name.0``, ``name.1``, ...; each is whole or not there."""
    weights = {key: value.half().contiguous().cpu() for key, value in net.state_dict().items()}
    config = {k: v for k, v in net.style.config.items() if not k.startswith("_")}
    data = save(weights, {"style": json.dumps(config)})
    for i, start in enumerate(range(0, len(data), PIECE)):
        partial = out / f"{name}.part"
        partial.write_bytes(data[start : start + PIECE])
        partial.replace(out / f"{name}.{i}")


def read_parts(out: Path, name: str) -> tuple[dict[str, Tensor], StyleEncoder]:
    """Weights of the denoiser, and the style encoder, of :func:`write_parts`."""
    paths = sorted(out.glob(f"{name}.[0-9]"))
    data = b"".join(path.read_bytes() for path in paths)
    weights = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    style = StyleEncoder(**json.loads(header["__metadata__"]["style"]))
    own = {
        k.removeprefix("style."): v.float() for k, v in weights.items() if k.startswith("style.")
    }
    style.load_state_dict(own)
    whole = {
        key.removeprefix("denoiser."): value.float()
        for key, value in weights.items()
        if key.startswith("denoiser.")
    }
    return whole, style.to(torch.float32)
