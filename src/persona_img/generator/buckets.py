"""The sizes of what is taught and painted; known also where no network is loaded."""

from __future__ import annotations

import math

BUCKETS = ((288, 224), (256, 256), (224, 288))
"""Height and width of what was taught and is painted; a photo goes to the nearest shape."""


def bucket_of(height: int, width: int) -> tuple[int, int]:
    """The bucket whose shape is nearest to a picture's."""
    return min(BUCKETS, key=lambda b: abs(math.log((b[0] / b[1]) / (height / width))))
