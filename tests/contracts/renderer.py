"""What a renderer must do with every BackdropSource; each source's tests inherit it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, LowMaskConfidence, RenderRejected, UnknownStyle
from persona_img.imaging.photo import Photo, load_photo
from persona_img.rendering.base import BackdropSource, Renderer
from persona_img.rendering.certificate import verify
from persona_img.rendering.measure import compare_product
from persona_img.rendering.framing import Frame
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.store import write_variant

if TYPE_CHECKING:
    from persona_img.rendering.base import Variant

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
LINEN = Style.of({"surface": "linen", "light": "soft", "palette": "sage"})
AIRY = Style.of({"surface": "linen", "light": "side", "palette": "neutral", "framing": "airy"})


@cache
def shirt() -> Photo:
    return load_photo(PHOTOS / "shirt-01.jpg")
