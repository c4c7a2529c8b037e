"""The network that predicts velocities, and how its weights are kept in a quarter of the room."""

# No postponed annotations: diffusers reads a model's types when it loads one.
from pathlib import Path
from typing import Any, Self, cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401  diffusers looks for it here
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from persona_img.errors import InvalidInput

MASK_CHANNELS = 16
EIGHT_BIT = "int8.safetensors"
"""Weights of :meth:`Denoiser.save_eight_bit`, in the denoiser's folder."""
_SCALE = "|scale"
_LARGEST = 127.0


class Denoiser(UNet2DConditionModel):
    """A ``UNet2DConditionModel`` that can also be kept in 8 bits.

    Matrices and kernels are kept as int8 with one scale for each output channel, what is smaller
    as float16. Plates then differ by -55 dB from those of float16 (``experiments/generator``).
    """

    def save_eight_bit(self, folder: str | Path) -> None:
        """Write ``config.json`` and the weights; :meth:`from_pretrained` reads them.

        Args:
            folder: Created where missing; weights of another kind in it are taken away.

        Raises:
            InvalidInput: a weight is not finite.
        """
        folder = Path(folder)
        kept: dict[str, Tensor] = {}
        for name, value in self.state_dict().items():
            if not torch.isfinite(value).all():
                raise InvalidInput(f"{name}: not every weight is finite; nothing was written")
            if value.ndim < 2:
                kept[name] = value.half().cpu().contiguous()
                continue
            flat = value.float().flatten(1)
            scale = (flat.abs().amax(dim=1) / _LARGEST).clamp_min(1e-12)
            steps = (flat / scale[:, None]).round().to(torch.int8)
            kept[name] = steps.reshape(value.shape).cpu().contiguous()
            kept[name + _SCALE] = scale.cpu()
        self.save_config(folder)
        partial = folder / f"{EIGHT_BIT}.part"
        partial.write_bytes(save(kept))
        partial.replace(folder / EIGHT_BIT)
        for other in folder.glob("diffusion_pytorch_model*"):
            other.unlink()

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> Self:
        """As diffusers' own; weights in 8 bits are brought back to float32, or ``torch_dtype``."""
        place = Path(folder) / options.get("subfolder", "")
        if not (place / EIGHT_BIT).exists():
            return cast("Self", super().from_pretrained(folder, **options))
        net = cls.from_config(cls.load_config(place))
        kept = load_file(place / EIGHT_BIT)
        weights = {}
        for name, value in kept.items():
            if name.endswith(_SCALE):
                continue
            scale = kept.get(name + _SCALE)
            value = value.float()
            if scale is not None:
                value = value * scale.view(-1, *[1] * (value.ndim - 1))
            weights[name] = value
        net.load_state_dict(weights)
        dtype = options.get("torch_dtype", options.get("dtype"))
        return cast("Self", (net if dtype is None else net.to(dtype)).eval())


def mask_cells(mask: Tensor) -> Tensor:
    """(B, 1, H, W) to (B, 16, H/16, W/16): each latent cell sees its silhouette at 4 x 4."""
    return F.pixel_unshuffle(F.avg_pool2d(mask, 4), 4) * 2 - 1


def predict(
    denoiser: UNet2DConditionModel, noisy: Tensor, conditions: Tensor, time: Tensor, tokens: Tensor
) -> Tensor:
    """Velocity (noise minus picture) at ``time`` in 0..1000."""
    return cast(
        "Tensor",
        denoiser(
            torch.cat([noisy, conditions], dim=1),
            time,
            encoder_hidden_states=tokens,
            class_labels=tokens.flatten(1),
            return_dict=False,
        )[0],
    )


def new_denoiser(
    latent_channels: int, token_width: int, widths: tuple[int, int] = (192, 320)
) -> Denoiser:
    """An untrained denoiser; style enters by cross-attention and by scale-and-shift."""
    return Denoiser(
        sample_size=16,
        in_channels=2 * latent_channels + MASK_CHANNELS,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=widths,
        layers_per_block=1,
        cross_attention_dim=token_width,
        attention_head_dim=8,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=3 * token_width,
        resnet_time_scale_shift="scale_shift",
        dropout=0.05,
    )
