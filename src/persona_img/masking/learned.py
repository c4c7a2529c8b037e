"""The learned masker: a small U-Net over the picture and its mirror image, edge at full size."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import torch

from persona_img.domain.digest import digest_of
from persona_img.errors import NotFound
from persona_img.masking.base import ProductMask
from persona_img.masking.bites import without_bites
from persona_img.masking.classic import coarse_cut
from persona_img.masking.floor_lines import looked_past, painted
from persona_img.masking.inputs import SIDE, as_tensors, border_prior, shape_of
from persona_img.masking.network import MaskNet
from persona_img.masking.opinions import COLOURS, NETWORK, asks_colours, better, opinions_of
from persona_img.masking.refine import refine
from persona_img.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VERSION = "learned-8"
_LEVELS = 64  # probabilities are rounded, so that no last bit of a sum moves a mask


class NetworkMasker(Protocol):
    """A masker that is a network; its confidence can be calibrated."""

    name: str

    def fingerprint(self) -> str:
        """See :class:`.base.Masker`."""

    def cut(self, photo: NDArray[np.uint8]) -> ProductMask:
        """See :class:`.base.Masker`."""

    def views(
        self, photo: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """What it saw and what it found, as seen straight and in a mirror.

        Returns:
            The photo small, uint8 (h, w, 3), perhaps without lines of the floor, and product or
            not, twice float32 (h, w) in 0..1, the second mirrored back.
        """


class LearnedMasker:
    """Cuts products out with a network trained by ``train-masker``.

    Args:
        checkpoint: Folder with ``config.json`` and ``model.safetensors``; read at the first cut.

    Raises:
        NotFound: the folder holds no masker.
    """

    name = "learned"

    def __init__(self, checkpoint: str | Path) -> None:
        self.checkpoint = Path(checkpoint)
        if not (self.checkpoint / "model.safetensors").exists():
            raise NotFound(f"{self.checkpoint}: no masker; train one with `train-masker`")
        self._loading = threading.Lock()
        self._network: tuple[MaskNet, dict[str, Any]] | None = None
        self._fingerprint: str | None = None

    def fingerprint(self) -> str:
        """See :class:`.base.Masker`."""
        if self._fingerprint is None:
            files = [self.checkpoint / name for name in ("config.json", "model.safetensors")]
            digests = [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]
            self._fingerprint = digest_of([_VERSION, *digests])
        return self._fingerprint

    def cut(self, photo: NDArray[np.uint8]) -> ProductMask:
        """See :class:`.base.Masker`."""
        _, facts = self._loaded()
        confidence = facts.get("confidence")
        with ThreadPoolExecutor(1) as beside:
            coarse = beside.submit(coarse_cut, photo) if asks_colours(confidence) else None
            views = self.views(photo)
            found = None if coarse is None else coarse.result()
        return finished(photo, *views, confidence, self.name, found)

    def views(
        self, photo: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`NetworkMasker`; the small photo is as large as the checkpoint's ``side``."""
        net, facts = self._loaded()

        def look(small: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            prior = border_prior(small)
            both = np.stack([small, small[:, ::-1]]), np.stack([prior, prior[:, ::-1]])
            with one_thread(), torch.inference_mode():
                found = torch.sigmoid(net(*as_tensors(*both)))[:, 0].numpy()
            rounded = (np.round(found * _LEVELS) / _LEVELS).astype(np.float32)
            return rounded[0], np.ascontiguousarray(rounded[1][:, ::-1])

        return looked_past(shrunk(photo, int(facts.get("side", SIDE))), look)

    def _loaded(self) -> tuple[MaskNet, dict[str, Any]]:
        with self._loading:
            if self._network is None:
                self._network = MaskNet.load(self.checkpoint)
        return self._network


def finished(
    photo: NDArray[np.uint8],
    small: NDArray[np.uint8],
    straight: NDArray[np.float32],
    mirrored: NDArray[np.float32],
    confidence: dict[str, Any] | None,
    name: str,
    coarse: NDArray[np.uint8] | None = None,
) -> ProductMask:
    """A network's two views as a mask of the photo's size, with its checks.

    Where the confidence was calibrated beside the colours' own cut, that is made as well unless
    ``coarse`` already is it, and the one more likely right is kept.
    """
    if coarse is None and asks_colours(confidence):
        coarse = coarse_cut(photo)
    opinions = opinions_of(small, straight, mirrored, coarse)
    best, checks = better(small, straight, mirrored, opinions, confidence)
    if best is opinions[NETWORK] and COLOURS in opinions:
        # Not before: cuts that were made alike would seem to agree.
        chance = ((straight + mirrored) / 2).astype(np.float32)
        best = best.with_more(without_bites(best.binary, chance, opinions[COLOURS].binary))
    alpha = refine(painted(photo, small), best.soft())
    return ProductMask(alpha, min(checks.values()), checks, name)


def shrunk(photo: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    """A photo at the network's size, uint8 (h, w, 3)."""
    height, width = shape_of(photo.shape[0], photo.shape[1], side)
    return np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA))
