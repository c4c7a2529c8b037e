"""Pretrained pipelines on their way into memory: the class, the weights, where they lie."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from persona_img.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from persona_img.rendering.sources.pretrained.family import Family
    from persona_img.rendering.sources.pretrained.settings import PretrainedSettings

_GIB = 2**30
_WORK = 3 * _GIB  # what painting one megapixel needs besides the weights, in sixteen bits
_PACKAGES = {"int8": "bitsandbytes", "int4": "bitsandbytes", "torchao-int8": "torchao"}


def index_of(model: str, revision: str | None) -> Mapping[str, Any]:
    """A model's ``model_index.json``.

    Raises:
        NotFound: no such folder or repository, or no pipeline in it.
    """
    try:
        return dict(diffusers.DiffusionPipeline.load_config(model, **_whence(model, revision)))
    except (OSError, ValueError) as error:
        raise NotFound(f"{model}: no such pipeline of diffusers: {error}") from error


def card_of(model: str, revision: str | None) -> str | None:
    """A model's ``README.md``; None where there is none, or no hub that answers."""
    if Path(model).is_dir():
        card = Path(model) / "README.md"
        return card.read_text(encoding="utf-8") if card.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        found = hf_hub_download(model, "README.md", revision=revision)
    except (OSError, HFValidationError):  # the hub's and the network's errors are OSErrors
        return None
    return Path(found).read_text(encoding="utf-8")


def trained_side(model: str, revision: str | None, family: Family) -> int:
    """Side a model was trained on: what its network says, or what its family has."""
    if not family.sampled:
        return family.side
    network, codec = diffusers.UNet2DConditionModel, diffusers.AutoencoderKL
    whence = _whence(model, revision)
    try:
        latents = network.load_config(model, subfolder=family.denoiser, **whence)["sample_size"]
        blocks = codec.load_config(model, subfolder="vae", **whence)["block_out_channels"]
    except (OSError, ValueError, KeyError):
        return family.side
    return int(latents * 2 ** (len(blocks) - 1))


def load(model: str, family: Family, settings: PretrainedSettings) -> Any:
    """The pipeline with everything it wears, where it is to lie.

    Raises:
        NotFound: weights that are not there, or a class that this diffusers does not have.
        InvalidInput: what the family cannot wear, or a package that is missing.
    """
    device = device_of(settings)
    options: dict[str, Any] = {"dtype": dtype_of(settings), **_whence(model, settings.revision)}
    if settings.quantise is not None:
        options["quantization_config"] = quantisation(settings.quantise, family, device)
    if family.seeing:
        options |= _reader(model, settings.revision)
    kind = pipeline_class(family, settings)
    if settings.controlnet is not None:
        with _found(settings.controlnet, "ControlNet", family):
            options["controlnet"] = _controlnet(family, settings)
    with _found(model, "pipeline", family):
        pipeline = kind.from_pretrained(model, **options)
    if settings.lora is not None:
        with _found(settings.lora, "LoRA", family):
            pipeline.load_lora_weights(settings.lora, adapter_name="worn")
            pipeline.set_adapters(["worn"], adapter_weights=[settings.lora_scale])
    if settings.ip_adapter is not None:
        repository, subfolder, weight, *eyes = settings.ip_adapter
        own = {"image_encoder_folder": eyes[0]} if eyes else {}
        with _found("/".join(settings.ip_adapter[:3]), "IP-Adapter", family):
            pipeline.load_ip_adapter(repository, subfolder=subfolder, weight_name=weight, **own)
            pipeline.set_ip_adapter_scale(settings.ip_scale)
    pipeline.set_progress_bar_config(disable=True)
    return place(pipeline, device, settings.memory, settings.batch)


def pipeline_class(family: Family, settings: PretrainedSettings) -> Any:
    """The class of diffusers that paints.

    Raises:
        NotFound: this diffusers is too old for the family.
    """
    image = settings.mode == "image"
    return _class("AutoPipelineForImage2Image" if image else family.pipeline, family)


def device_of(settings: PretrainedSettings) -> str:
    """Where it computes."""
    return settings.device or ("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(settings: PretrainedSettings) -> torch.dtype:
    """What it computes in."""
    usual = "float32" if device_of(settings) == "cpu" else "bfloat16"
    found = getattr(torch, settings.dtype or usual, None)
    if not isinstance(found, torch.dtype):
        raise InvalidInput(f"dtype={settings.dtype}: name one of torch, for example bfloat16")
    return found


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


@contextmanager
def _found(name: str, what: str, family: Family) -> Iterator[None]:
    """What diffusers and the hub raise, in our words."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise NotFound(f"{name}: no such {what} for {family.name}: {error}") from error


def _whence(model: str, revision: str | None) -> dict[str, Any]:
    """A folder asks no hub."""
    if Path(model).is_dir():
        return {"local_files_only": True}
    return {} if revision is None else {"revision": revision}


def _reader(model: str, revision: str | None) -> dict[str, Any]:
    from persona_img.rendering.sources.pretrained.reading import PromptReader, needs_reader

    return (
        {"processor": PromptReader.of(model, **_whence(model, revision))} if needs_reader() else {}
    )


def _class(name: str, family: Family) -> Any:
    found = getattr(diffusers, name, None)
    if found is None:
        raise NotFound(
            f"{family.name}: diffusers {diffusers.__version__} has no {name}; "
            "pip install --upgrade diffusers"
        )
    return found


def _controlnet(family: Family, settings: PretrainedSettings) -> Any:
    steering = family.controlnet
    kind = _class("ControlNetModel" if steering is None else steering.network, family)
    whence = _whence(str(settings.controlnet), None)
    return kind.from_pretrained(settings.controlnet, dtype=dtype_of(settings), **whence)
