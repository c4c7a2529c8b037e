"""What a checkpoint learned of one shop: low-rank changes of its weights, in a file of its own.

References:
    Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from persona_img.errors import InvalidInput, NotFound, UnknownStyle

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from persona_img.generator.pipeline import BackdropPipeline

FILE = "pytorch_lora_weights.safetensors"
"""As diffusers names it, whose ``load_lora_adapter`` reads the weights too."""
_KEY = "persona-img"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, eq=False)
class Adapter:
    """Low-rank changes of a denoiser, and what the surface they were learned for looks like.

    Attributes:
        weights: By layer ``NAME.lora_A.weight`` (r, inputs, …) and ``NAME.lora_B.weight``
            (outputs, r, …): their product is added to the layer's weight.
        surface: Whose name the shop's own backdrop answers to.
        colour: Mean Lab of the shop's backdrops; it is asked for under the neutral palette.
        base: Fingerprint of the checkpoint that it changes; see :func:`fingerprint_of`.
    """

    weights: dict[str, Tensor]
    surface: str
    colour: tuple[float, float, float]
    base: str

    @classmethod
    def load(cls, folder: Path) -> Adapter:
        """The adapter that ``fine-tune`` wrote.

        Raises:
            NotFound: the folder holds none.
            InvalidInput: the file is damaged, or was written by something else.
        """
        path = folder / FILE
        if not path.exists():
            raise NotFound(f"{folder}: no adapter; make one with `fine-tune`")
        try:
            with safe_open(path, framework="pt") as opened:
                weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                about = json.loads((opened.metadata() or {})[_KEY])
        except (SafetensorError, KeyError) as error:
            raise InvalidInput(
                f"{path}: is no adapter of persona-img ({error}); make one with `fine-tune`"
            ) from error
        return cls(weights, about["surface"], tuple(about["colour"]), about["base"])

    def fingerprint(self) -> str:
        """Hex digest of everything it changes."""
        digest = hashlib.sha256(json.dumps([self.surface, self.colour, self.base]).encode())
        for name, value in sorted(self.weights.items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> Path:
        """Write it into a folder, whole or not at all; returns the file."""
        about = {"surface": self.surface, "colour": list(self.colour), "base": self.base}
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / (FILE + ".part")
        kept = {name: value.detach().cpu().contiguous() for name, value in self.weights.items()}
        save_file(kept, partial, metadata={"format": "pt", _KEY: json.dumps(about)})
        return partial.replace(folder / FILE)

    def merge_into(self, pipeline: BackdropPipeline) -> None:
        """Change a pipeline's weights for good: sampling then costs what it did.

        Raises:
            InvalidInput: it was learned on another checkpoint, or this one is changed already.
            UnknownStyle: the checkpoint knows no such surface.
        """
        found = fingerprint_of(pipeline)
        if found != self.base:
            raise InvalidInput(
                f"adapter of checkpoint {self.base[:12]}, given is {found[:12]}: it fits only the "
                f"checkpoint that it was learned on; fine-tune this one, or give that one"
            )
        surfaces = dict(pipeline.style_encoder.config.surfaces)
        if self.surface not in surfaces:
            raise UnknownStyle(
                f"surface={self.surface}: this checkpoint knows {', '.join(surfaces)}; choose one"
            )
        with torch.no_grad():
            for name in (n.removesuffix(_DOWN) for n in self.weights if n.endswith(_DOWN)):
                weight = pipeline.denoiser.get_parameter(f"{name}.weight")
                down, up = self.weights[name + _DOWN].float(), self.weights[name + _UP].float()
                weight += (up.flatten(1) @ down.flatten(1)).view(weight.shape).to(weight)
        surfaces[self.surface] = [*self.colour, surfaces[self.surface][3]]
        pipeline.style_encoder.register_to_config(surfaces=surfaces)


def fingerprint_of(pipeline: BackdropPipeline) -> str:
    """Hex digest of a checkpoint's weights in half precision, in which checkpoints are kept."""
    digest = hashlib.sha256()
    for part in ("codec", "denoiser", "style_encoder"):
        for name, value in sorted(getattr(pipeline, part).state_dict().items()):
            digest.update(f"{part}.{name}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().half().numpy().tobytes())
    return digest.hexdigest()
