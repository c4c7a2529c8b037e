"""Keys for tests, and pictures in every format that pages load."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from persona_img.provenance import altered
from persona_img.provenance.manifest import Ingredient
from persona_img.provenance.statement import UNCHANGED, Statement

FORMATS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "image/png": ("PNG", {}),
    "image/jpeg": ("JPEG", {"quality": 88}),
    "image/webp": ("WEBP", {"quality": 88}),
    "image/avif": ("AVIF", {"quality": 75, "speed": 9, "max_threads": 1}),
}


def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def encoded(kind: str, xmp: bytes = b"") -> bytes:
    name, told = FORMATS[kind]
    out = io.BytesIO()
    Image.fromarray(pixels()).save(out, name, **told, **({"xmp": xmp} if xmp else {}))
    return out.getvalue()


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


STATEMENT = Statement(
    title="A mug",
    actions=(altered.backdrop("diffusion"), altered.Action("c2pa.watermarked.bound")),
    source_type=altered.COMPOSITE_TRAINED,
    product=UNCHANGED,
    digests={"variant": "ab" * 32, "photo": "cd" * 32},
    payload="0011223344556677",
)
PHOTO = Ingredient("mug.jpg", encoded("image/jpeg"), "image/jpeg", "cd" * 32)
