"""A shop's own photos as plates to learn from: the backdrop around a product, and what it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from persona_img.errors import BadPhoto, InvalidInput, NotEnoughData
from persona_img.generator.buckets import bucket_of
from persona_img.generator.learning.plates import photo_plate
from persona_img.generator.learning.training import encode_plates
from persona_img.imaging.backdrop import without_product
from persona_img.imaging.folder import leave_out, list_photos
from persona_img.imaging.photo import load_photo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from persona_img.generator.codec import Codec
    from persona_img.generator.learning.plates import Plate
    from persona_img.generator.style_encoder import StyleEncoder
    from persona_img.imaging.photo import Photo
    from persona_img.masking.base import Masker

    Recognise = Callable[[NDArray[np.uint8], NDArray[np.uint8]], dict[str, str]]

_LEAST = 6


def shop_plates(
    photos: Path,
    masker: Masker,
    recognise: Recognise,
    work: Path,
    *,
    surface: str | None = None,
    light: str | None = None,
) -> list[Plate]:
    """Plates of all photos whose product could be cut out with confidence.

    The product's place is filled with the backdrop around it; what is really known stays marked.
    A file that cannot be read is left out, with an :class:`UnreadablePhoto` warning.

    Args:
        photos: A folder of them.
        masker: Cuts the products out.
        recognise: Says the ``surface`` of a picture and its mask, or nothing.
        work: Where what was cut is kept: done photos are not cut again.
        surface: Name for the shop's backdrop; None for what is recognised most often.
        light: That they were taken in. None leaves it unknown, so that what the checkpoint knows
            of lights is not unlearned: named after photos that lie flat, a light loses its shadow.

    Raises:
        NotEnoughData: fewer than six of them remain.
        InvalidInput: no surface was named, and none is recognised.
    """
    cut = []
    for path in tqdm(list_photos(photos)):
        try:
            photo = load_photo(path)
        except BadPhoto as error:
            leave_out(f"{error}; left out")
            continue
        cut.append(_cut(photo, masker, work / "cut"))
    found = [one for one in cut if one is not None]
    if len(found) < _LEAST:
        raise NotEnoughData(
            f"{photos}: the product could be cut out of {len(found)} of {len(cut)} photos with a "
            f"backdrop; fine-tuning needs {_LEAST}: add photos"
        )
    if surface is None:
        seen = (recognise(*one) for one in found)
        names = Counter(one["surface"] for one in seen if "surface" in one)
        if not names:
            raise InvalidInput(f"{photos}: no surface is recognised; name it with --surface")
        surface = names.most_common(1)[0][0]
    plates = [photo_plate(rgb, alpha.astype(np.float32) / np.float32(255)) for rgb, alpha in found]
    return [
        replace(
            plate,
            rgb=np.round(without_product(plate.rgb.astype(np.float32), 1 - plate.known)).astype(
                np.uint8
            ),
            surface=surface,
            light=light,
        )
        for plate in plates
    ]


def mirrored(plate: Plate) -> Plate:
    """Seen in a mirror; its light is then unknown, for every known one comes from the left."""
    flipped: dict[str, Any] = {
        name: np.ascontiguousarray(getattr(plate, name)[:, ::-1])
        for name in ("rgb", "mask", "product", "known")
    }
    return replace(plate, light=None, **flipped)


def latents_of(
    plates: Sequence[Plate], codec: Codec, style_encoder: StyleEncoder
) -> list[dict[str, Tensor]]:
    """What the denoiser is trained on, a batch for each size; see :func:`.training.cache_latents`.

    Raises:
        UnknownStyle: a label that the checkpoint does not know.
    """
    batches = []
    for size in sorted({plate.mask.shape for plate in plates}):
        some = [plate for plate in plates if plate.mask.shape == size]
        labels = [{"surface": p.surface, "light": p.light} for p in some]
        named = [{k: v for k, v in one.items() if v is not None} for one in labels]
        surface, light, _, _ = style_encoder.indices(named)
        known = np.stack([p.known > 0.5 for p in some])
        batch = encode_plates(
            codec,
            np.stack([p.rgb for p in some]),
            np.stack([p.product for p in some]),
            np.stack([p.mask for p in some]),
            known.astype(np.float32),
        )
        colour = torch.from_numpy(np.stack([p.colour for p in some]))
        labelled = {"surface": surface, "light": light, "colour": colour}
        batches.append(batch | labelled | {"scene": torch.zeros_like(surface)})
    return batches


def _cut(
    photo: Photo, masker: Masker, folder: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Picture and mask at a training size; None without a backdrop or a mask to be trusted."""
    if photo.cut_out:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{photo.digest[:24]}.npz"
    if not path.exists():
        mask = masker.cut(photo.pixels)
        height, width = bucket_of(*photo.pixels.shape[:2])
        rgb, alpha = (
            np.asarray(ImageOps.fit(Image.fromarray(x), (width, height), Image.Resampling.LANCZOS))
            for x in (photo.pixels, mask.alpha)
        )
        partial = path.with_suffix(".part")
        with partial.open("wb") as out:
            np.savez(out, rgb=rgb, alpha=alpha, trusted=mask.trusted)
        partial.replace(path)
    with np.load(path) as one:
        return (one["rgb"], one["alpha"]) if one["trusted"] else None
