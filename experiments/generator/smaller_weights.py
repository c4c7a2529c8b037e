"""Ways to make the weights of a checkpoint smaller or faster; each changes a pipeline in place.

Each takes a freshly loaded pipeline, jobs to learn ranges of activations from, and returns the
tensors that would be stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers.models.resnet import ResnetBlock2D
from plate_jobs import WAYS
from torch import nn
from torch.ao import quantization

from persona_img.generator.codec import Residual

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from plate_jobs import Job
    from torch import Tensor

    from persona_img.generator.pipeline import BackdropPipeline

PARTS = ("codec", "denoiser", "style_encoder")
NETWORKS = ("encoder", "denoiser", "decoder")
VECTOR = 8
"""Channels that a core computes at once: a layer of 58 takes as long as one of 64."""
Tensors = dict[str, "Tensor"]


def stored(
    pipeline: BackdropPipeline,
    dtype: torch.dtype = torch.float16,
    int8: Collection[nn.Module] = (),
) -> Tensors:
    """A checkpoint's tensors: ``int8`` layers' weights with scales, all else ``dtype``."""
    found: Tensors = {}
    for key, module, weight in weights(pipeline):
        if module in int8 and weight.dim() > 1:
            found[key], found[f"{key}.scale"] = in_int8(weight)
        else:
            found[key] = weight.to(dtype)
    return found


def weights(pipeline: BackdropPipeline) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Name, the layer it belongs to, and the tensor itself."""
    for part in PARTS:
        for path, module in getattr(pipeline, part).named_modules():
            for name, weight in module.named_parameters(recurse=False):
                yield f"{part}.{path}.{name}", module, weight.detach()


def in_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric int8 and float32 scales, one for each output channel (or embedded value)."""
    most = weight.abs().flatten(1).amax(dim=1).clamp_min(1e-12)
    scale = (most / 127).view(-1, *[1] * (weight.dim() - 1))
    return (weight / scale).round().to(torch.int8), scale


def rounded(
    pipeline: BackdropPipeline,
    _: Sequence[Job],
    dtype: torch.dtype = torch.float16,
    int8: bool = False,
) -> Tensors:
    """Stored in a smaller format and read back as float32."""
    layers = {module for _, module, _ in weights(pipeline)} if int8 else ()
    found = stored(pipeline, dtype, layers)
    for key, _, weight in weights(pipeline):
        weight.copy_(found[key].float() * found.get(f"{key}.scale", 1.0))
    return found


def in_bf16(pipeline: BackdropPipeline, _: Sequence[Job]) -> Tensors:
    """Codec and denoiser compute in bf16; the style encoder adds float32 constants of its own."""
    pipeline.denoiser.to(torch.bfloat16)
    pipeline.codec.to(torch.bfloat16)
    return stored(pipeline, torch.bfloat16)


def channels_last(pipeline: BackdropPipeline, _: Sequence[Job]) -> Tensors:
    """Channels are a pixel's neighbours in memory."""
    pipeline.denoiser.to(memory_format=torch.channels_last)
    pipeline.codec.to(memory_format=torch.channels_last)
    return stored(pipeline)


def compiled(pipeline: BackdropPipeline, _: Sequence[Job]) -> Tensors:
    """Denoiser and decoder compiled at the first plate, for all sizes at once."""
    found = stored(pipeline)
    pipeline.denoiser.compile(dynamic=True)
    pipeline.codec.decoder.compile(dynamic=True)
    return found


def dynamic_int8(pipeline: BackdropPipeline, _: Sequence[Job]) -> Tensors:
    """Linear layers multiply in int8, with ranges taken from each input."""
    layers = {m for m in pipeline.denoiser.modules() if isinstance(m, nn.Linear)}
    found = stored(pipeline, int8=layers)
    quantization.quantize_dynamic(pipeline.denoiser, {nn.Linear}, dtype=torch.qint8, inplace=True)
    return found


def static_int8(
    pipeline: BackdropPipeline,
    learn: Sequence[Job],
    networks: Sequence[str] = NETWORKS,
    ends: int = 1,
    linear: bool = False,
) -> Tensors:
    """Convolutions multiply in int8, each with the ranges it had on other products.

    Only convolutions are quantised, and floats lie between them. So many of the first and of the
    last of a network as ``ends`` says stay float: what they see and make is the picture itself.
    """
    inner: set[nn.Module] = set()
    for name in networks:
        layers = [m for m in network(pipeline, name).modules() if isinstance(m, nn.Conv2d)]
        inner |= set(layers[ends : len(layers) - ends])
    found = stored(pipeline, int8=inner)
    for name in networks:
        observe(network(pipeline, name), inner)
    for job in learn:
        for way in WAYS:
            job.paint(pipeline, way)
    for name in networks:
        quantization.convert(network(pipeline, name), inplace=True)
    return found | (dynamic_int8(pipeline, learn) if linear else {})


def network(pipeline: BackdropPipeline, name: str) -> nn.Module:
    """One of ``NETWORKS``."""
    return pipeline.denoiser if name == "denoiser" else getattr(pipeline.codec, name)


def observe(module: nn.Module, chosen: Collection[nn.Module]) -> None:
    """Every chosen layer inside watches the range of what goes in and out."""
    for name, child in list(module.named_children()):
        if child in chosen:
            watched = quantization.QuantWrapper(child)
            watched.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
            setattr(module, name, quantization.prepare(watched))
        else:
            observe(child, chosen)


def without_channels(
    pipeline: BackdropPipeline, _: Sequence[Job], share: float, networks: Sequence[str]
) -> Tensors:
    """The weakest share of the channels between two convolutions removed, for good.

    References:
        Li et al. 2017, "Pruning Filters for Efficient ConvNets", ICLR, arXiv:1608.08710.
    """
    for name in networks:
        for module in network(pipeline, name).modules():
            if isinstance(module, ResnetBlock2D):
                narrow_resnet(module, share)
            elif isinstance(module, Residual):
                narrow_residual(module, share)
    return stored(pipeline)


def narrow_resnet(block: ResnetBlock2D, share: float) -> None:
    """Without the weakest groups of its second norm.

    Whole groups: the others are normalised as before. One channel out of a group would change the
    mean and the spread that its neighbours are measured by.
    """
    groups, channels = block.norm2.num_groups, block.norm2.num_channels
    size = channels // groups
    strong = strongest(block.conv1, groups, groups - round(share * groups))
    keep = (strong[:, None] * size + torch.arange(size)).flatten()
    narrow(block.conv1, outputs=keep)
    narrow(block.time_emb_proj, outputs=torch.cat([keep, channels + keep]))
    narrow(block.norm2, outputs=keep)
    block.norm2.num_groups, block.norm2.num_channels = len(strong), len(keep)
    narrow(block.conv2, inputs=keep)


def narrow_residual(block: Residual, share: float) -> None:
    """Without its weakest channels; as many as leave a multiple of ``VECTOR``."""
    channels = block.conv1.out_channels
    keep = strongest(block.conv1, channels, VECTOR * round((1 - share) * channels / VECTOR))
    narrow(block.conv1, outputs=keep)
    narrow(block.conv2, inputs=keep)


def strongest(layer: nn.Conv2d, groups: int, count: int) -> Tensor:
    """Groups of a convolution's outputs with the largest L1 norms, in their order."""
    norms = layer.weight.detach().abs().flatten(1).sum(dim=1).view(groups, -1).sum(dim=1)
    return norms.topk(count).indices.sort().values


def narrow(layer: nn.Module, outputs: Tensor | None = None, inputs: Tensor | None = None) -> None:
    """A layer with some of its outputs, or of its inputs, only."""
    if outputs is not None:
        for name, weight in list(layer.named_parameters()):
            setattr(layer, name, nn.Parameter(weight.detach()[outputs].contiguous()))
    if inputs is not None:
        layer.weight = nn.Parameter(layer.weight.detach()[:, inputs].contiguous())


def sparse(pipeline: BackdropPipeline, _: Sequence[Job], share: float) -> Tensors:
    """The smallest weights of denoiser and codec are zero, wherever in the part they are."""
    for part in ("denoiser", "codec"):
        large = [w.detach() for w in getattr(pipeline, part).parameters() if w.dim() > 1]
        sizes = torch.cat([w.abs().flatten() for w in large])
        least = sizes.kthvalue(round(share * len(sizes))).values
        for weight in large:
            weight.mul_(weight.abs() > least)
    return stored(pipeline)
