"""What marketplaces ask of a picture, each rule with where it was read and when.

What only a person can see (text, logos, props, whether the shop may call a picture the main one) is
named as such, and never passed.

References:
    Google Merchant Center Help, "Image link [image_link]",
    support.google.com/merchants/answer/6324350, read 2026-11-28.
    Its rule on generated pictures (February 2024) at second hand: wordtracker.com, "Google says
    AI-generated images in Merchant Center must be labeled as such", 2024-03-04.
    Amazon Seller Central, "Product image guide", at second hand: mercatuslab.com, "Amazon product
    image requirements", and changethisfile.com, "Convert images for Amazon Seller Central", read
    2026-11-28. Amazon's own page asks for a login, so ask it before you rely on this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

import numpy as np

from persona_img.provenance.altered import GENERATED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

Outcome = Literal["ok", "FAIL", "look"]
READ = date(2026, 11, 28)
"""When the rules were read."""

_AMAZON = "Amazon, product image guide (at second hand)"
_GOOGLE = "Google Merchant Center Help, answer 6324350"
_GOOGLE_SIZE_FROM = date(2027, 1, 31)


@dataclass(frozen=True, eq=False)
class Offered:
    """A picture as a marketplace would get it.

    Attributes:
        pixels: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), the product on it.
        size: Bytes of its file.
        source_type: Digital source type that its XMP says; None for none.
        said: The one that its certificate asks for.
        whole: Whether none of the product is cut away.
        unchanged: Whether the product is as photographed.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    size: int
    source_type: str | None
    said: str | None
    whole: bool
    unchanged: bool


@dataclass(frozen=True)
class Ruled:
    """A rule and how a picture stands to it.

    Attributes:
        rule: What is asked.
        outcome: ``ok``, ``FAIL``, or ``look``: a person has to.
        found: What was found.
        source: Where the rule was read.
    """

    rule: str
    outcome: Outcome
    found: str
    source: str


def _amazon_main(shown: Offered, today: date) -> list[Ruled]:
    height, width = shown.alpha.shape
    backdrop = shown.alpha == 0
    white = (shown.pixels[backdrop] == 255).all(axis=1)
    coloured = 0.0 if not white.size else 1.0 - float(white.mean())
    rows, columns = (np.flatnonzero((shown.alpha >= 128).any(axis=axis)) for axis in (1, 0))
    fill = 0.0
    if rows.size:
        fill = max((rows[-1] - rows[0] + 1) / height, (columns[-1] - columns[0] + 1) / width)
    longest = max(height, width)
    return [
        _ruled("pure white around the product", coloured == 0.0,
               f"{coloured:.1%} of the backdrop is not (255, 255, 255); `edit packshot` makes one",
               _AMAZON),
        _ruled("the product fills 85 % of the frame", fill >= 0.85,
               f"{fill:.0%} of the fuller side", _AMAZON),
        _ruled("500 to 10,000 pixels along the longest side", 500 <= longest <= 10_000,
               f"{longest} pixels", _AMAZON),
        Ruled("1,000 pixels or more, for the zoom", "ok" if longest >= 1000 else "look",
              f"{longest} pixels", _AMAZON),
        _ruled("the whole product", shown.whole, "none of it is cut away" if shown.whole
               else "a part of it is cut away", _AMAZON),
        _ruled("a photograph of the product", shown.unchanged, "its pixels are as photographed"
               if shown.unchanged else "its pixels are not as photographed", _AMAZON),
        Ruled("no text, logo, badge or prop", "look", "not looked for", _AMAZON),
    ]  # fmt: skip


def _google_merchant(shown: Offered, today: date) -> list[Ruled]:
    height, width = shown.alpha.shape
    large = min(height, width) >= 500
    small: Outcome = "FAIL" if today >= _GOOGLE_SIZE_FROM else "look"
    generated = shown.said in GENERATED
    marked = shown.source_type in GENERATED
    return [
        Ruled(f"500 x 500 pixels or more, from {_GOOGLE_SIZE_FROM} on",
              "ok" if large else small, f"{width} x {height}", _GOOGLE),
        _ruled("at most 64 megapixels", height * width <= 64_000_000,
               f"{height * width / 1e6:.1f}", _GOOGLE),
        _ruled("at most 16 MB", shown.size <= 16_000_000, f"{shown.size / 1e6:.1f} MB", _GOOGLE),
        _ruled("a generated picture says so in its metadata", marked or not generated,
               f"source type {(shown.source_type or 'none').rpartition('/')[2]}", _GOOGLE),
        Ruled("no promotional text, border or placeholder", "look", "not looked for", _GOOGLE),
    ]  # fmt: skip


MARKETS: Mapping[str, Callable[[Offered, date], list[Ruled]]] = {
    "amazon-main": _amazon_main,
    "google-merchant": _google_merchant,
}
"""Rules by the name of what a picture is for; ``main`` is the first picture of a listing."""


def _ruled(rule: str, kept: bool, found: str, source: str) -> Ruled:
    return Ruled(rule, "ok" if kept else "FAIL", found, source)
