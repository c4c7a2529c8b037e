"""Pretrained pipelines on their way into memory: the class, the weights, what they wear."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from persona_img.errors import InvalidInput, NotFound
from persona_img.rendering.sources.pretrained.memory import place, quantisation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from persona_img.rendering.sources.pretrained.family import Family
    from persona_img.rendering.sources.pretrained.settings import PretrainedSettings


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
