"""A photo, a style and where more photos lie: what many suites render."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_img.domain.feedback import Event, EventKind, Showing
from persona_img.domain.style import Style
from persona_img.imaging.photo import Photo
from persona_img.serving.key import ShopKey
from persona_img.serving.token import Signer

if TYPE_CHECKING:
    from persona_img.domain.decision import Decision
    from persona_img.rendering.base import Variant
    from persona_img.serving.decide import Decider

DATA = Path(__file__).parent / "data"
PHOTOS = DATA / "photos"
KEY = ShopKey(b"the key of the tests, which everybody knows")
SIGNER = Signer(KEY)
STYLE = Style.of({"surface": "linen", "palette": "sage", "light": "side", "framing": "centred"})


def a_photo(size: int = 160) -> Photo:
    """A dark disc on light ground: cut out in a few milliseconds."""
    yy, xx = np.mgrid[0:size, 0:size]
    rng = np.random.default_rng(1)
    inside = np.hypot(yy - 0.55 * size, xx - 0.48 * size) < 0.28 * size
    pixels = np.where(inside[..., None], np.array([60, 40, 90]), np.array([215, 205, 190]))
    return Photo.of(np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8))


def a_twin(variant: Variant, digest: str = "ab" * 32) -> Variant:
    """The same recipe's variant with another digest, as another machine may paint it."""
    certificate = dataclasses.replace(variant.certificate, variant=digest)
    return dataclasses.replace(variant, certificate=certificate)


def a_showing(decision: Decision) -> Showing:
    """An answer of its own."""
    return Showing(os.urandom(12).hex(), decision, decision.decided_at)


def happened(showing: Showing, kind: EventKind, at: float, **more: object) -> Event:
    """An event, named after its kind and showing."""
    return Event(f"{kind}-{showing.showing_id}", kind, showing, at, **more)


def watched(decider: Decider, shopper: str, product: str, now: float) -> Decision:
    """What a shopper is shown, who sees it at once."""
    decision = decider.decide(shopper, product, now)
    event = happened(a_showing(decision), "impression", now)
    assert decider.log.record_events([event]).new == 1
    return decision
