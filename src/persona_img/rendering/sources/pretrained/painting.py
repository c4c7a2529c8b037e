"""One call of a pretrained pipeline, in the words of its family."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from diffusers.utils import logging
from PIL import Image

from persona_img.errors import InvalidInput
from persona_img.rendering.sources.pretrained.families import OTHER
from persona_img.rendering.sources.pretrained.kept import keeping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from persona_img.rendering.sources.pretrained.family import Family
    from persona_img.rendering.sources.pretrained.settings import PretrainedSettings

_PROMPTS = 64  # embeddings kept: a few megabytes each


class Painter:
    """Paints around products.

    Args:
        pipeline: Of diffusers, loaded.
        family: How it is called.
        settings: What it is asked for.
        distilled: Whether it paints in a few steps.
        look: Picture whose look is taken over; None for none.
    """

    def __init__(
        self,
        pipeline: Any,
        family: Family,
        settings: PretrainedSettings,
        *,
        distilled: bool,
        look: Image.Image | None = None,
    ) -> None:
        self.pipeline, self.family, self.settings, self.look = pipeline, family, settings, look
        steps, guidance = family.usual(distilled=distilled)
        self.steps = settings.steps or steps
        self.guidance = guidance if settings.guidance is None else settings.guidance
        self.known = set(inspect.signature(type(pipeline).__call__).parameters)
        self._nothing: torch.Tensor | None = None  # the embedding of an empty prompt
        self._embedded: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    @property
    def guided(self) -> bool:
        """Whether every step is painted twice, with the prompt and with what is not wanted."""
        return self.guidance > self.family.least

    @property
    def goes_on(self) -> bool:
        """Whether it can begin with a picture and leave it only so far."""
        return self.family.strength and "strength" in self.known

    def paint(
        self,
        pictures: Sequence[NDArray[np.float32]],
        free: NDArray[np.float32],
        prompts: Sequence[str],
        unwanted: str,
        seeds: Sequence[int],
        strength: float,
    ) -> list[NDArray[np.float32]]:
        """Pictures of one size, painted where they may be; all at once where the family can.

        Args:
            pictures: float32 sRGB 0..1 (h, w, 3), h and w on the family's grid.
            free: float32 (h, w), 1 where it paints, 0 where it keeps.
            prompts: One per picture.
            unwanted: What is not wanted in any.
            seeds: One per picture.
            strength: How far it may leave the pictures, in (0, 1].

        Returns:
            float32 sRGB 0..1 (h, w, 3), one per picture.

        Raises:
            InvalidInput: the GPU's memory does not hold that.
        """
        height, width = free.shape
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        shown = [as_picture(picture) for picture in pictures]
        wishes: dict[str, Any] = {
            self.family.picture: _one_or_all(shown),
            self.family.mask: as_picture(free),
            "height": height,
            "width": width,
            "generator": _one_or_all(generators),
            "output_type": "np",
            **self.family.fixed,
            **self._words(prompts, unwanted),
            **self._looks(shown),
        }
        if self.family is not OTHER or self.settings.steps is not None:
            wishes["num_inference_steps"] = self.steps
        if self.family is not OTHER or self.settings.guidance is not None:
            wishes[self.family.guide] = self.guidance
        if self.family.strength:
            wishes["strength"] = self._at_least_one_step(strength)
        if "max_area" in self.known:  # Kontext would say at every call that it takes another
            wishes["max_area"] = height * width
        if self.settings.controlnet is not None:
            wishes |= self._steering(shown)
        if self.family.mask == "latents":
            free_picture = wishes.pop("latents")
            wishes |= keeping(self.pipeline, shown[0], free_picture, generators[0])
        if self.family is OTHER or self.settings.mode == "image":
            wishes = {name: value for name, value in wishes.items() if name in self.known}
        # What a pipeline draws without a generator follows from the seed too.
        with _quiet(), torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(seeds[0])
            try:
                made = self.pipeline(**wishes).images
            except torch.OutOfMemoryError as error:
                raise InvalidInput(
                    f"memory={self.settings.memory}, batch={len(seeds)}, {height} x {width} "
                    "pixels: the GPU's memory is full; take memory=model or sequential, a "
                    "smaller batch or side, or quantise the weights"
                ) from error
        return [_sized(np.asarray(one, dtype=np.float32), height, width) for one in made]

    def _at_least_one_step(self, strength: float) -> float:
        return min(1.0, max(strength, 1.001 / self.steps)) if self.steps else strength

    def _words(self, prompts: Sequence[str], unwanted: str) -> dict[str, Any]:
        """Embeddings, from memory where the prompt was there before; or the prompts themselves."""
        if not self.family.embeds or self.settings.mode == "image":
            words: dict[str, Any] = {"prompt": _one_or_all(list(prompts))}
            if self.family.negative and (self.family is OTHER or self.guided):
                words["negative_prompt"] = _one_or_all([unwanted] * len(prompts))
            return words
        found = [self._embedding(prompt, unwanted) for prompt in prompts]
        return {name: _joined([one[name] for one in found]) for name in found[0]}

    def _embedding(self, prompt: str, unwanted: str) -> dict[str, Any]:
        key = prompt, unwanted
        if key not in self._embedded:
            self._embedded[key] = self._encoded(prompt, unwanted)
            if len(self._embedded) > _PROMPTS:
                self._embedded.popitem(last=False)
        self._embedded.move_to_end(key)
        return self._embedded[key]

    def _encoded(self, prompt: str, unwanted: str) -> dict[str, Any]:
        encode, family = self.pipeline.encode_prompt, self.family
        takes = inspect.signature(encode).parameters
        negative = family.negative and self.guided
        asked: dict[str, Any] = {
            "prompt_2": None,
            "prompt_3": None,
            "device": self.pipeline._execution_device,
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": negative,
            "negative_prompt": unwanted if negative else None,
        }
        given = {name: value for name, value in asked.items() if name in takes}
        with torch.no_grad():
            made = dict(zip(family.embeds, encode(prompt=prompt, **given), strict=False))
            if family.blank is not None and self.guided:
                if self._nothing is None:
                    self._nothing = encode(prompt="", **given)[0]
                made[family.blank] = self._nothing
        # Z-Image gives an empty list for what is not guided.
        return {n: v for n, v in made.items() if n and v is not None and len(v) > 0}

    def _looks(self, shown: list[Image.Image]) -> dict[str, Any]:
        if self.look is None:
            return {}
        if self.settings.ip_adapter is not None:
            return {"ip_adapter_image": self.look}
        if self.family.look == "several":
            return {self.family.picture: [*shown, self.look]}
        return {} if self.family.look is None else {self.family.look: self.look}

    def _steering(self, shown: list[Image.Image]) -> dict[str, Any]:
        how = self.family.controlnet
        scale = self.settings.control_scale
        if how is None or scale is None:
            scale = 0.6 if how is None else how.scale
        if how is not None and how.inpaints:
            return {"controlnet_conditioning_scale": scale}
        edges = _one_or_all([_edges(picture) for picture in shown])
        return {"control_image": edges, "controlnet_conditioning_scale": scale}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without diffusers' notes on its own types; that a prompt is cut off is said before."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def as_picture(values: NDArray[np.float32]) -> Image.Image:
    """Values 0..1, (h, w) or (h, w, 3), in eight bits."""
    return Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))


def _edges(picture: Image.Image) -> Image.Image:
    grey = np.asarray(picture.convert("L"))
    return Image.fromarray(cv2.Canny(grey, 80, 160)).convert("RGB")


def _one_or_all(values: list[Any]) -> Any:
    """Most pipelines take one without a list as well, and some only so."""
    return values[0] if len(values) == 1 else values


def _joined(parts: list[Any]) -> Any:
    """Embeddings of several prompts: one tensor, or for Z-Image one list."""
    if isinstance(parts[0], list):
        return [one for part in parts for one in part]
    return torch.cat(parts)


def _sized(made: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """What a pipeline chose another size for, at the size that was asked."""
    if made.shape[:2] == (height, width):
        return made
    return np.asarray(cv2.resize(made, (width, height), interpolation=cv2.INTER_AREA))
