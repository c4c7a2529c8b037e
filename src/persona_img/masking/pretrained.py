"""Any segmentation or matting network of the transformers library, by id or path, as a masker.

The only module that knows transformers. Pictures are prepared by the model's own processor where it
has one, with Pillow: torchvision is not needed.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageSegmentation,
    AutoModelForSemanticSegmentation,
)

from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput, NotFound
from persona_img.masking.learned import finished, shrunk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.masking.base import ProductMask

_VERSION = "transformers-6"
_SIDE = 1024  # of networks that do not say: BiRefNet and RMBG are used at this size
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which they were taught
_WEIGHTS = {".json", ".safetensors", ".bin", ".py"}


class TransformersMasker:
    """Cuts products out with a network of somebody else's.

    Two kinds are understood. Networks with one output, such as BiRefNet: its sigmoid is the
    product. Networks with classes, such as SegFormer: ``labels`` are the product, or all but the
    class called background.

    Args:
        model: Id on a hub, or a folder.
        labels: Names of the classes that are product.
        revision: Of the hub's repository; give a commit where masks must stay the same.
        trust_remote_code: Whether code that comes with the model may run. BiRefNet needs it.
        confidence: What the signs of :mod:`.confidence` are worth, as ``calibrate`` learned it;
            None trusts no mask of it.
        device: torch device.

    Raises:
        NotFound: no such model.
        InvalidInput: labels that the model does not have, or no way to tell product from backdrop.
    """

    name = "transformers"

    def __init__(
        self,
        model: str | Path,
        *,
        labels: Sequence[str] = (),
        revision: str | None = None,
        trust_remote_code: bool = False,
        confidence: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        self.model, self.labels, self.device = str(model), tuple(labels), device
        self.confidence = None if confidence is None else dict(confidence)
        self._source: dict[str, Any] = {"trust_remote_code": trust_remote_code}
        if Path(model).is_dir():
            self._source["local_files_only"] = True
        elif revision is not None:
            self._source["revision"] = revision
        self._config = self._asked(AutoConfig)
        self._product = self._classes()
        self._loading = threading.Lock()
        self._network: tuple[Any, Any] | None = None
        self._fingerprint: str | None = None

    def fingerprint(self) -> str:
        """See :class:`.base.Masker`; of a folder its files, of a hub's model its commit."""
        if self._fingerprint is None:
            folder = Path(self.model)
            found = sorted(p for p in folder.rglob("*") if p.suffix in _WEIGHTS)
            files = {
                p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
                for p in (found if folder.is_dir() else [])
            }
            commit = getattr(self._config, "_commit_hash", None)
            self._fingerprint = digest_of(
                [_VERSION, files or [self.model, commit], self.labels, self.confidence]
            )
        return self._fingerprint

    def cut(self, photo: NDArray[np.uint8]) -> ProductMask:
        """See :class:`.base.Masker`."""
        small, straight, mirrored = self.views(photo)
        return finished(photo, small, straight, mirrored, self.confidence, self.name)

    def views(
        self, photo: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`.learned.NetworkMasker`."""
        small = shrunk(photo)
        size = (small.shape[1], small.shape[0])
        large = self._probability(photo)
        mirror = np.ascontiguousarray(self._probability(photo[:, ::-1])[:, ::-1])
        both = [cv2.resize(v, size, interpolation=cv2.INTER_AREA) for v in (large, mirror)]
        straight, mirrored = (np.asarray(v, dtype=np.float32) for v in both)
        return small, straight, mirrored

    def _probability(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Product or not, float32 in 0..1, of the network's own output size."""
        network, processor = self._loaded()
        with torch.inference_mode():
            logits = _last(network(self._pixels(photo, processor).to(self.device))).float().cpu()
        if self._product is None:
            chance = torch.sigmoid(logits[0, 0])
        else:
            chance = logits[0].softmax(0)[list(self._product)].sum(0)
        return chance.clamp(0, 1).numpy()

    def _pixels(self, photo: NDArray[np.uint8], processor: Any) -> torch.Tensor:
        image = Image.fromarray(np.ascontiguousarray(photo))
        if processor is not None:
            made: torch.Tensor = processor(images=image, return_tensors="pt")["pixel_values"]
            return made
        side = getattr(self._config, "image_size", None)
        side = side if isinstance(side, int) else _SIDE
        small = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float32) / 255
        scaled = (small - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)
        return torch.from_numpy(scaled).permute(2, 0, 1)[None]

    def _classes(self) -> tuple[int, ...] | None:
        """Indices of the classes that are product; None where there is one output."""
        names: dict[int, str] = getattr(self._config, "id2label", None) or {}
        if len(names) <= 1 or self._has_own_code():
            if self.labels:
                raise InvalidInput(f"{self.model}: labels {self.labels}, but it has one output")
            return None
        if self.labels:
            unknown = sorted(set(self.labels) - set(names.values()))
            if unknown:
                known = ", ".join(names.values())
                raise InvalidInput(f"{self.model}: no class {unknown[0]}; choose from {known}")
            return tuple(i for i, n in names.items() if n in self.labels)
        kept = tuple(i for i, n in names.items() if n.lower() != "background")
        if len(kept) == len(names):
            known = ", ".join(names.values())
            raise InvalidInput(
                f"{self.model}: none of its classes is called background; say which are product: "
                f"{known}"
            )
        return kept

    def _has_own_code(self) -> bool:
        return "AutoModelForImageSegmentation" in (getattr(self._config, "auto_map", None) or {})

    def _loaded(self) -> tuple[Any, Any]:
        with self._loading:
            if self._network is None:
                kind = (
                    AutoModelForImageSegmentation
                    if self._has_own_code()
                    else AutoModelForSemanticSegmentation
                )
                network = self._asked(kind)
                self._network = network.float().eval().to(self.device), self._processor()
        return self._network

    def _processor(self) -> Any:
        """The model's own; None where it has none."""
        try:
            return AutoImageProcessor.from_pretrained(self.model, backend="pil", **self._source)
        except (OSError, ValueError, ImportError):
            return None

    def _asked(self, kind: Any) -> Any:
        try:
            return kind.from_pretrained(self.model, **self._source)
        except (OSError, ValueError) as error:
            raise NotFound(
                f"{self.model}: no segmentation model of transformers there: {error}"
            ) from error


def _last(output: Any) -> torch.Tensor:
    """Logits (B, C, h, w): the field of that name, or the last of a list of refinements."""
    found = getattr(output, "logits", output)
    while isinstance(found, (list, tuple)):
        found = found[-1]
    if not isinstance(found, torch.Tensor) or found.ndim != 4:
        raise InvalidInput(f"the network gave {type(found).__name__}: want logits (B, C, h, w)")
    return found
