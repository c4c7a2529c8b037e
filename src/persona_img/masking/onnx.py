"""ONNX files of IS-Net, U²-Net and BiRefNet as a masker: what people have from rembg and its like.

The only module that knows onnxruntime. A file says neither how its pictures are to be scaled nor
what its numbers are, so the family is told from the names and shapes of its inputs and outputs.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnxruntime
from PIL import Image

from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput, NotFound
from persona_img.masking.learned import finished, shrunk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from persona_img.masking.base import ProductMask

_VERSION = "onnx-5"
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_LEAST_SPAN = 0.05  # of an output in 0..1: stretched from less, it would be noise


@dataclass(frozen=True)
class Family:
    """How the files of one network are used.

    Attributes:
        side: Of the square picture, pixels, where the file does not fix it.
        mean: Taken from each channel of a picture in 0..1.
        std: What it is then divided by.
        by_maximum: Whether a picture is divided by its brightest value, not by 255.
        output: Which of several outputs is the product.
        logits: Whether that is log-odds; otherwise it is 0..1 and stretched to its whole range.
    """

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    by_maximum: bool = False
    output: int = 0
    logits: bool = False


_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FAMILIES: Mapping[str, Family] = {
    "u2net": Family(320, *_IMAGENET, by_maximum=True),
    "isnet": Family(1024, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)),
    "birefnet": Family(1024, *_IMAGENET, output=-1, logits=True),
}
"""By the name of the setting ``mask.family``, each scaled as its network was taught.

References:
    Qin et al. 2020, "U²-Net: Going Deeper with Nested U-Structure for Salient Object Detection",
    arXiv:2005.09007. Qin et al. 2022, "Highly Accurate Dichotomous Image Segmentation" (IS-Net),
    arXiv:2203.03041. Zheng et al. 2024, "Bilateral Reference for High-Resolution Dichotomous Image
    Segmentation" (BiRefNet), arXiv:2401.03407.
"""


class OnnxMasker:
    """Cuts products out with a network in an ONNX file.

    Args:
        model: The file; what lies beside it under its name (``model.onnx_data``) belongs to it.
        family: A name of ``FAMILIES``; None tells it from the file.
        confidence: What the signs of :mod:`.confidence` are worth, as ``calibrate`` learned it;
            None trusts no mask of it.

    Raises:
        NotFound: no such file.
        InvalidInput: no ONNX file, no network of such a family, or one that cannot be told.
    """

    name = "onnx"

    def __init__(
        self,
        model: str | Path,
        *,
        family: str | None = None,
        confidence: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = Path(model)
        self.confidence = None if confidence is None else dict(confidence)
        if not self.model.is_file():
            raise NotFound(f"{model}: no such file; name an .onnx file of {', '.join(FAMILIES)}")
        if family is not None and family not in FAMILIES:
            raise InvalidInput(f"mask.family={family!r}: there are {', '.join(sorted(FAMILIES))}")
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.model), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has an exception for every fault of a file
            raise InvalidInput(
                f"{model}: onnxruntime cannot read it ({error}); is it a whole ONNX file?"
            ) from error
        self._input, self._side = _input_of(self._session, self.model)
        self.family = family or family_of(self._session, self.model)
        self._asking = threading.Lock()
        self._fingerprint: str | None = None

    def fingerprint(self) -> str:
        """See :class:`.base.Masker`."""
        if self._fingerprint is None:
            digests = []
            for path in sorted(self.model.parent.glob(f"{self.model.stem}.onnx*")):
                with path.open("rb") as file:
                    digests.append(hashlib.file_digest(file, "sha256").hexdigest())
            self._fingerprint = digest_of([_VERSION, digests, self.family, self.confidence])
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
        mirror = self._probability(np.ascontiguousarray(photo[:, ::-1]))[:, ::-1]
        both = [self._probability(photo), np.ascontiguousarray(mirror)]
        straight, mirrored = (cv2.resize(v, size, interpolation=cv2.INTER_AREA) for v in both)
        return small, np.asarray(straight, np.float32), np.asarray(mirrored, np.float32)

    def _probability(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Product or not, float32 in 0..1, of the network's own output size."""
        family = FAMILIES[self.family]
        side = self._side or family.side
        # Each side is squeezed by its own factor: that is how these networks see pictures.
        square = Image.fromarray(photo).resize((side, side), Image.Resampling.LANCZOS)
        picture = np.asarray(square, np.float32)
        picture /= max(float(picture.max()), 1.0) if family.by_maximum else 255.0
        scaled = (picture - np.array(family.mean, np.float32)) / np.array(family.std, np.float32)
        given = {
            self._input.name: scaled.transpose(2, 0, 1)[None].astype(_DTYPES[self._input.type])
        }
        with self._asking:
            outputs = self._session.run(None, given)
        found = np.asarray(outputs[family.output], np.float32)
        if found.ndim != 4 or found.shape[:2] != (1, 1):
            raise InvalidInput(
                f"{self.model}: gave {found.shape}; a mask is (1, 1, height, width), of a network "
                f"with one kind of product"
            )
        return (_sigmoid if family.logits else _stretched)(found[0, 0])


def family_of(session: onnxruntime.InferenceSession, model: Path) -> str:
    """Which of ``FAMILIES`` a file is of, by the names and shapes of what goes in and comes out.

    Raises:
        InvalidInput: its outputs are no masks, or it could be any.
    """
    given, outputs = session.get_inputs()[0], session.get_outputs()
    shape = outputs[0].shape
    if len(shape) != 4 or shape[1] not in (1, *_free(shape[1])):
        raise InvalidInput(
            f"{model}: its output {outputs[0].name} is {shape}; a mask is [1, 1, height, width]: "
            f"this is a network with classes, or not one that cuts out"
        )
    side = given.shape[2]
    names = (given.name, outputs[0].name)
    if side == 320 or len(outputs) == 7:
        return "u2net"
    if len(outputs) > 1 and side in (1024, *_free(side)):
        return "isnet"  # its side outputs stay in the file
    if names in (("input_image", "output_image"), ("pixel_values", "alphas")):
        return "birefnet"
    if names == ("input", "output") and side == 1024:
        return "isnet"  # RMBG 1.4 is one
    raise InvalidInput(
        f"{model}: input {given.name} {given.shape}, {len(outputs)} outputs, the first "
        f"{outputs[0].name}: not a file we know; say mask.family = {' or '.join(sorted(FAMILIES))}"
    )


def _input_of(session: onnxruntime.InferenceSession, model: Path) -> tuple[Any, int | None]:
    """The picture's input, and its side where the file fixes it."""
    inputs = session.get_inputs()
    described = ", ".join(f"{i.name} {i.shape}" for i in inputs)
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (3, *_free(shape[1])):
        raise InvalidInput(
            f"{model}: wants {described}; one picture [1, 3, height, width] is what can be given"
        )
    if inputs[0].type not in _DTYPES:
        raise InvalidInput(
            f"{model}: wants {inputs[0].type}; export it with inputs of float32 or float16"
        )
    fixed = [side for side in shape[2:] if isinstance(side, int)]
    if len(set(fixed)) > 1:
        raise InvalidInput(f"{model}: wants {described}; export it for square pictures")
    return inputs[0], fixed[0] if fixed else None


def _free(size: Any) -> tuple[Any, ...]:
    """The size itself where the file leaves it open: a name, or nothing."""
    return () if isinstance(size, int) else (size,)


def _sigmoid(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-odds as chances; where an export has done so already, what it gave."""
    if found.min() >= 0.0 and found.max() <= 1.0:
        return found
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(found, -40.0, 40.0))), np.float32)


def _stretched(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Least and most become 0 and 1, as these networks are used; not where nothing stands out."""
    low, high = float(found.min()), float(found.max())
    if high - low < _LEAST_SPAN:
        return np.clip(found, 0.0, 1.0)
    return np.asarray((found - low) / (high - low), np.float32)
