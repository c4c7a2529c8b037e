"""How a pipeline lies in a GPU's memory: whole, part by part or layer by layer, and how large."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.rendering.sources.pretrained.family import Family

_GIB = 2**30
_WORK = 3 * _GIB  # what painting one megapixel needs besides the weights, in sixteen bits
_PACKAGES = {"int8": "bitsandbytes", "int4": "bitsandbytes", "torchao-int8": "torchao"}


def quantisation(name: str, family: Family, device: str) -> Any:
    """What makes the weights smaller as they are read.

    The denoiser, and with bitsandbytes the large text encoder; what is small stays as it is.

    Raises:
        InvalidInput: its package is missing, or the GPU that it needs.
    """
    package = _PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        raise InvalidInput(f"quantise={name}: it needs {package}; pip install {package}")
    if package == "bitsandbytes" and device == "cpu":
        raise InvalidInput(
            f"quantise={name}: bitsandbytes needs a GPU; take torchao-int8, or leave it out"
        )
    if name == "torchao-int8":
        from torchao.quantization import Int8WeightOnlyConfig

        config = diffusers.TorchAoConfig(Int8WeightOnlyConfig())
        return diffusers.PipelineQuantizationConfig(quant_mapping={family.denoiser: config})
    bits: dict[str, Any] = {"load_in_8bit": True}
    if name == "int4":
        bits = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": torch.bfloat16,
        }
    parts = [part for part in (family.denoiser, family.encoder) if part is not None]
    return diffusers.PipelineQuantizationConfig(
        quant_backend=f"bitsandbytes_{'4bit' if name == 'int4' else '8bit'}",
        quant_kwargs=bits,
        components_to_quantize=parts,
    )


def place(pipeline: Any, device: str, memory: str, batch: int) -> Any:
    """The pipeline on its device: whole, component by component, or layer by layer.

    The codec paints pictures one after another (slicing) wherever there are several, and in tiles
    where the weights do not all fit.

    Args:
        pipeline: In the computer's memory.
        device: Where it computes.
        memory: One of :data:`.settings.MEMORY`.
        batch: Styles painted at once.
    """
    codec: Any = getattr(pipeline, "vae", None)
    if batch > 1 and hasattr(codec, "enable_slicing"):
        codec.enable_slicing()
    if memory == "auto":
        memory = "whole"
        if device != "cpu":
            free = torch.cuda.mem_get_info(torch.device(device))[0]
            memory = plan(sizes_of(pipeline), free, _WORK * batch)
    if memory == "whole":
        return pipeline.to(device)
    if hasattr(codec, "enable_tiling"):
        codec.enable_tiling()
    if memory == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)
    return pipeline


def plan(sizes: Mapping[str, int], free: int, work: int) -> str:
    """How a pipeline fits into a GPU's memory.

    ``whole`` where everything does; ``model`` where its largest component does, for then each is
    brought in while it works; ``sequential`` where not even that does: layer by layer, and slowly.

    Args:
        sizes: Component to bytes.
        free: Bytes that are free.
        work: Bytes that painting needs besides the weights.

    Example:
        >>> plan({"transformer": 24, "text_encoder": 10}, free=32, work=3)
        'model'
    """
    if sum(sizes.values()) + work <= free:
        return "whole"
    if max(sizes.values(), default=0) + work <= free:
        return "model"
    return "sequential"


def sizes_of(pipeline: Any) -> dict[str, int]:
    """Bytes of the weights of each component."""
    modules = {n: c for n, c in pipeline.components.items() if isinstance(c, torch.nn.Module)}
    return {
        name: sum(p.numel() * p.element_size() for p in module.parameters())
        for name, module in modules.items()
    }
