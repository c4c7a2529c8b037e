"""Backdrops painted by the checkpoint. The only module of rendering that needs torch."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from diffusers.utils import logging

from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput, NotFound
from persona_img.generator.adapter import Adapter
from persona_img.generator.buckets import bucket_of
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.imaging.colour import from_lab
from persona_img.imaging.copies import CopyIndex
from persona_img.scenery.materials import colour_asked, materials_of
from persona_img.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from persona_img.generator.guidance import Guidance

_TRAINING = "training_pictures.npz"
_WEIGHTS = (".json", ".safetensors")
_NOT_WEIGHTS = ("report.json",)
_CANVASES = 15  # encoded products kept: five framings of each photo that is rendered beside others


class DiffusionBackdrops:
    """Plates from a checkpoint in diffusers format, on the CPU in float32.

    The checkpoint is read at the first plate, from its folder only: no hub is asked.

    Args:
        checkpoint: Folder written by ``save_pretrained``.
        steps: Euler steps; None for what the checkpoint samples best with.
        guidance: How closely the style, or each of its attributes, is followed; 1 is without
            guidance; None as for ``steps``.
        strength: How far a plate may leave its start, in (0, 1]; 1 paints from noise alone.
        adapter: Folder written by ``fine-tune``: a shop's own backdrop in place of one surface.
        materials: Folder of materials; None is the shipped one. A surface the checkpoint was not
            taught is painted by its colour alone: its structure is the set's anyway.

    Raises:
        NotFound: the folder holds no pipeline, or that of the adapter none.
        InvalidInput: fewer than one step, or a strength outside (0, 1].
    """

    name = "diffusion"
    shows: tuple[str, ...] = ("surface", "palette", "light")
    casts_shadows = False

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        steps: int | None = None,
        guidance: Guidance | None = None,
        strength: float = 0.6,
        adapter: str | Path | None = None,
        materials: Path | None = None,
    ) -> None:
        self.checkpoint, self.materials = Path(checkpoint), materials_of(materials)
        if not (self.checkpoint / "model_index.json").exists():
            raise NotFound(f"{self.checkpoint}: no checkpoint; train one with `train-generator`")
        if steps is not None and steps < 1:
            raise InvalidInput(f"steps={steps}: the sampler needs at least one")
        if not 0.0 < strength <= 1.0:
            raise InvalidInput(f"strength={strength}: give a share above 0 and at most 1")
        self.steps, self.strength = steps, strength
        self.guidance = dict(guidance) if isinstance(guidance, Mapping) else guidance
        self.adapter = None if adapter is None else Adapter.load(Path(adapter))
        if self.adapter is not None:
            self.shows = ()  # nobody but the shop knows what its own backdrop looks like
        self._pipeline: BackdropPipeline | None = None
        self._loading = threading.Lock()
        self._fingerprint: str | None = None
        self._training: CopyIndex | None = None
        self._encoded: dict[bytes, torch.Tensor] = {}

    def fingerprint(self) -> str:
        """Hex digest of the checkpoint's files, steps, guidance and adapter."""
        if self._fingerprint is None:
            found = sorted(p for p in self.checkpoint.rglob("*") if p.suffix in _WEIGHTS)
            parts = {
                p.relative_to(self.checkpoint).as_posix(): hashlib.sha256(
                    p.read_bytes()
                ).hexdigest()
                for p in found
                if p.name not in _NOT_WEIGHTS
            }
            mine = ["diffusion-3", parts, self.steps, self.guidance, self.strength]
            if self.adapter is not None:
                mine.append(self.adapter.fingerprint())
            self._fingerprint = digest_of(mine)
        return self._fingerprint

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The training size whose shape is nearest: 288x224, 256x256 or 224x288."""
        return bucket_of(height, width)

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """Mean Lab: the style's colour, or its surface's in its palette.

        Raises:
            UnknownStyle: no such surface or palette.
            InvalidInput: the style names no surface.
        """
        own = None if self.adapter is None else self.adapter.surface
        if own is not None and style.get("surface") == own and "colour" not in style:
            palette = style.get("palette", "neutral")
            lightness, a, b = self._loaded().style_encoder.colour_of(own, palette)
            return float(lightness), float(a), float(b)
        return colour_asked(style, self.materials)

    def material(self, style: Mapping[str, str]) -> str | None:
        """The surface: its fine texture completes the plate. None for a shop's own backdrop."""
        surface = style.get("surface")
        own = self.adapter is not None and surface == self.adapter.surface
        return None if own else surface

    def plates(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """One plate per style.

        Painted one by one and by one thread: in a batch, or with more threads, the last bits of a
        sum depend on the neighbours or on the machine, and with them a byte here and there. Who
        has more cores renders more products at once.
        """
        picture = torch.from_numpy(np.array(product)).permute(2, 0, 1)[None].float() / 127.5 - 1
        silhouette = torch.from_numpy(np.array(mask))[None, None].float()
        plates, conditions = [], self._conditions(picture, silhouette)
        begin = starts or [None] * len(styles)
        for style, seed, start in zip(styles, seeds, begin, strict=True):
            with one_thread():
                made = self._loaded()(
                    picture,
                    silhouette,
                    [self._told(style)],
                    steps=self.steps,
                    guidance=self.guidance,
                    seeds=[seed],
                    start=None if start is None else _signed(start),
                    strength=self.strength,
                    conditions=conditions,
                )
            plates.append(np.ascontiguousarray(made.images[0].permute(1, 2, 0).numpy()))
        return plates

    def _told(self, style: Mapping[str, str]) -> dict[str, str]:
        """The style as the checkpoint knows it: always its colour, its surface where taught."""
        lab = np.array([[self.colour(style)]], dtype=np.float32)
        red, green, blue = (round(float(v) * 255) for v in from_lab(lab)[0, 0])
        told = dict(style) | {"colour": f"#{red:02x}{green:02x}{blue:02x}"}
        if style["surface"] not in self._loaded().style_encoder.config.surfaces:
            del told["surface"]
        return told

    def _conditions(self, picture: torch.Tensor, silhouette: torch.Tensor) -> torch.Tensor:
        """The product encoded; all styles of one canvas share it."""
        key = hashlib.sha256(picture.numpy().tobytes() + silhouette.numpy().tobytes()).digest()
        known = self._encoded.get(key)
        if known is None:
            with one_thread():
                known = self._loaded().conditions(picture, silhouette)
            # Another dictionary, not the same changed: other threads may be reading that.
            latest = list(self._encoded.items())[-_CANVASES:]
            self._encoded = dict(latest) | {key: known}
        return known

    def training_pictures(self) -> CopyIndex | None:
        """Index of the training photos that travels with the checkpoint; None where it has none."""
        path = self.checkpoint / _TRAINING
        if self._training is None and path.exists():
            self._training = CopyIndex.load(path)
        return self._training

    def _loaded(self) -> BackdropPipeline:
        with self._loading:
            if self._pipeline is None:
                self._pipeline = self._load()
        return self._pipeline

    def _load(self) -> BackdropPipeline:
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            pipeline = BackdropPipeline.from_pretrained(self.checkpoint, local_files_only=True)
        finally:
            if bars:
                logging.enable_progress_bar()
        pipeline.set_progress_bar_config(disable=True)
        if self.adapter is not None:
            with one_thread():
                self.adapter.merge_into(pipeline)
        return cast("BackdropPipeline", pipeline)


def _signed(rgb: NDArray[np.float32]) -> torch.Tensor:
    """(h, w, 3) in 0..1 to (1, 3, h, w) in -1..1."""
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() * 2 - 1
