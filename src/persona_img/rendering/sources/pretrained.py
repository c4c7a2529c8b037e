"""Backdrops by any pretrained inpainting or image-to-image pipeline of diffusers, by id or path.

Stable Diffusion 1.5, SDXL, SD-Turbo, FLUX Fill and their like. A style becomes a prompt. What they
are shown is the product on a real tile of the style's surface, so that also a model that follows
words badly begins with the right material and colour; what they make of the product itself is
thrown away, for the photograph is pasted over it.
"""

from __future__ import annotations

import inspect
import threading
import tomllib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    ControlNetModel,
    DiffusionPipeline,
)
from PIL import Image

from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput, NotFound, UnknownStyle
from persona_img.imaging.backdrop import without_product
from persona_img.imaging.cutout import as_shown
from persona_img.rendering.sources.tiles import LibraryBackdrops
from persona_img.rendering.tone import light_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.imaging.copies import CopyIndex

_GRID = 64  # sides are multiples of this: 8 or 16 of the codec, times what networks halve


class PretrainedBackdrops:
    """Plates from a pretrained pipeline.

    Args:
        model: Id on a hub, or a folder in diffusers format.
        mode: ``inpaint`` paints around the product; ``image`` paints over the whole start.
        steps: Sampling steps; None for the pipeline's own number.
        guidance: Guidance scale; None for the pipeline's own.
        strength: How far it may leave the tile it begins with, in (0, 1].
        side: Long side of its plates, pixels.
        lora: Folder or id of weights for it to wear.
        controlnet: Folder or id of an edge ControlNet; it is shown the product's edges.
        reference: A picture whose look is taken over; needs ``ip_adapter``.
        ip_adapter: Id or folder, subfolder and file of an IP-Adapter.
        revision: Of the hub's repository; give a commit where plates must stay the same.
        device: torch device; None for cuda where there is one.
        dtype: Name of a torch dtype; None for bfloat16 on a GPU and float32 elsewhere.

    Raises:
        InvalidInput: a strength, side or mode that cannot be; a reference without its adapter.
    """

    name = "pretrained"
    shows: tuple[str, ...] = ("surface", "palette", "light")
    casts_shadows = False

    def __init__(
        self,
        model: str | Path,
        *,
        mode: Literal["inpaint", "image"] = "inpaint",
        steps: int | None = None,
        guidance: float | None = None,
        strength: float = 0.9,
        side: int = 1024,
        lora: str | None = None,
        controlnet: str | None = None,
        reference: Path | None = None,
        ip_adapter: tuple[str, str, str] | None = None,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        if mode not in ("inpaint", "image"):
            raise InvalidInput(f"mode={mode}: choose from inpaint, image")
        if not 0.0 < strength <= 1.0:
            raise InvalidInput(f"strength={strength}: give a share above 0 and at most 1")
        if side < _GRID:
            raise InvalidInput(f"side={side}: plates need at least {_GRID} pixels")
        if (reference is None) != (ip_adapter is None):
            raise InvalidInput("a reference picture and an IP-Adapter need each other: give both")
        self.model, self.mode, self.side, self.strength = str(model), mode, side, strength
        self.steps, self.guidance, self.revision = steps, guidance, revision
        self.lora, self.controlnet = lora, controlnet
        self.reference, self.ip_adapter = reference, ip_adapter
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        usual = "float32" if self.device == "cpu" else "bfloat16"
        self.dtype = getattr(torch, dtype or usual)
        self.ground = LibraryBackdrops(side)
        self._loading = threading.Lock()
        self._pipeline: Any = None

    def fingerprint(self) -> str:
        """Hex digest of the model's name and revision, the prompts and all settings.

        Not of its weights, which are gigabytes: give a commit as ``revision``.
        """
        settings = [self.model, self.revision, self.mode, self.steps, self.guidance, self.strength]
        more = [self.lora, self.controlnet, self.ip_adapter, self.side, str(self.dtype)]
        shown = None if self.reference is None else digest_of(self.reference.read_bytes().hex())
        return digest_of(
            ["pretrained-1", settings, more, shown, _prompts(), self.ground.fingerprint()]
        )

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The canvas's shape with its long side at most ``side``, sides multiples of 64."""
        scale = min(1.0, self.side / max(height, width))
        tall, wide = (max(_GRID, round(scale * n / _GRID) * _GRID) for n in (height, width))
        return tall, wide

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """Lab of the material; see :meth:`.tiles.LibraryBackdrops.colour`."""
        return self.ground.colour(style)

    def material(self, style: Mapping[str, str]) -> str | None:
        """None: it paints its own."""
        return None

    def plates(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """One plate per style; the same bytes on the same machine."""
        grounds = self.ground.plates(product, mask, styles, seeds, starts)
        return [
            self._plate(product, mask, style, seed, ground)
            for style, seed, ground in zip(styles, seeds, grounds, strict=True)
        ]

    def training_pictures(self) -> CopyIndex | None:
        """None: what it learned from is not at hand."""
        return None

    def _plate(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        style: Mapping[str, str],
        seed: int,
        ground: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        pipeline = self._loaded()
        opacity = mask[..., None]
        pasted = product.astype(np.float32) / np.float32(255) - ground
        shown = np.asarray(ground + opacity * pasted, dtype=np.float32)
        words, unwanted = prompt_of(style)
        wishes: dict[str, Any] = {
            "prompt": words,
            "negative_prompt": unwanted,
            "image": _picture(shown),
            "mask_image": _picture(1.0 - mask),
            "strength": self.strength,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "height": mask.shape[0],
            "width": mask.shape[1],
            "generator": torch.Generator("cpu").manual_seed(seed),
            "output_type": "np",
        }
        if self.controlnet is not None:
            wishes["control_image"] = _edges(shown)
        if self.reference is not None:
            wishes["ip_adapter_image"] = as_shown(self.reference)
        known = inspect.signature(type(pipeline).__call__).parameters
        given = {k: v for k, v in wishes.items() if k in known and v is not None}
        made = np.asarray(pipeline(**given).images[0], dtype=np.float32)
        if made.shape != shown.shape:
            made = cv2.resize(made, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_AREA)
        # Eight bits: what differs between machines lies below them.
        levels = np.round(np.clip(np.nan_to_num(made), 0, 1) * 255) / 255
        return without_product(levels.astype(np.float32), mask)

    def _loaded(self) -> Any:
        with self._loading:
            if self._pipeline is None:
                self._pipeline = self._load()
        return self._pipeline

    def _load(self) -> Any:
        source: dict[str, Any] = {"dtype": self.dtype}
        if Path(self.model).is_dir():
            source["local_files_only"] = True
        elif self.revision is not None:
            source["revision"] = self.revision
        try:
            if self.controlnet is not None:
                source["controlnet"] = ControlNetModel.from_pretrained(
                    self.controlnet, dtype=self.dtype
                )
            pipeline = self._kind().from_pretrained(self.model, **source)
        except (OSError, ValueError) as error:
            raise NotFound(f"{self.model}: no such pipeline of diffusers: {error}") from error
        if self.lora is not None:
            pipeline.load_lora_weights(self.lora)
        if self.ip_adapter is not None:
            repository, subfolder, weight = self.ip_adapter
            pipeline.load_ip_adapter(repository, subfolder=subfolder, weight_name=weight)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(self.device)

    def _kind(self) -> Any:
        """Fill pipelines are unknown to the automatic ones, and need no translation."""
        own = DiffusionPipeline.load_config(self.model).get("_class_name", "")
        if self.mode == "inpaint":
            return DiffusionPipeline if "Fill" in own else AutoPipelineForInpainting
        return AutoPipelineForImage2Image


def prompt_of(style: Mapping[str, str]) -> tuple[str, str]:
    """What a style is called in words, and what is not wanted.

    Raises:
        UnknownStyle: a surface, palette or light without words.
    """
    table = _prompts()
    words = {}
    usual = {"palette": "neutral", "light": "soft"}
    for attribute in ("surface", "palette", "light"):
        value = style.get(attribute, usual.get(attribute))
        if value not in table[attribute]:
            known = ", ".join(table[attribute])
            raise UnknownStyle(f"{attribute}={value}: there are words for {known}")
        words[attribute] = table[attribute][value]
    light_of(style.get("light", "soft"))
    return table["template"].format(**words), table["negative"]


@lru_cache(maxsize=1)
def _prompts() -> dict[str, Any]:
    text = (files("persona_img") / "assets" / "prompts.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _picture(values: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))


def _edges(picture: NDArray[np.float32]) -> Image.Image:
    grey = cv2.cvtColor(np.round(picture * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    return Image.fromarray(cv2.Canny(grey, 80, 160)).convert("RGB")
