from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from examples import a_photo
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import (
    InvalidInput,
    LowMaskConfidence,
    RenderRejected,
    ServiceFailed,
    UnknownStyle,
)
from persona_img.imaging.photo import Photo
from persona_img.rendering.base import Renderer, RenderSettings, Variant
from persona_img.rendering.processes import ProcessRenderer
from persona_img.rendering.proof.gate import Rule
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops

STYLES = [Style.read(f"palette={name},framing=airy") for name in ("neutral", "blush", "cool")]
PHOTO = a_photo()
EMPTY = Photo.of(np.full((120, 120, 3), 235, np.uint8))


def build(rules: tuple[Rule, ...] = ()) -> BackdropRenderer:
    return BackdropRenderer(PlainBackdrops(), RenderSettings(rules=rules, tries=1))


def strict() -> BackdropRenderer:
    return build((Rule("product_share", "too small to tell", least=2.0),))


class _Dies:
    """Renders like a process that the system ended."""

    def render_many(self, *_: object, **__: object) -> Iterator[Variant]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield from ()


@pytest.fixture(scope="module")
def spread() -> Iterator[ProcessRenderer]:
    with ProcessRenderer(build(), build, 2) as renderer:
        yield renderer


def test_pictures_have_the_bytes_that_one_process_makes(spread: ProcessRenderer) -> None:
    assert isinstance(spread, Renderer)
    local = build()
    assert spread.fingerprint() == local.fingerprint()
    with ThreadPoolExecutor(2) as threads:
        made = list(
            threads.map(lambda seed: list(spread.render_many(PHOTO, STYLES, [seed] * 3)), (1, 2))
        )
    for seed, some in zip((1, 2), made, strict=True):
        here = list(local.render_many(PHOTO, STYLES, [seed] * 3))
        assert [one.png for one in some] == [one.png for one in here]
        assert [one.certificate for one in some] == [one.certificate for one in here]
    assert spread.render(PHOTO, STYLES[1], seed=2).png == made[1][1].png
    assert list(spread.render_many(PHOTO, [], [])) == []


def test_what_is_refused_there_is_told_here(spread: ProcessRenderer) -> None:
    with pytest.raises(LowMaskConfidence, match="mask confidence"):
        spread.render(EMPTY, STYLES[0], seed=1)
    with pytest.raises(UnknownStyle, match="nothing to render"):
        spread.render(PHOTO, ORIGINAL, seed=1)
    assert spread.render(PHOTO, STYLES[0], seed=1).gate.passed, "an error ends no process"
    refused: list[tuple[Style, str]] = []
    with ProcessRenderer(strict(), strict, 1) as renderer:
        made = renderer.render_many(
            PHOTO,
            STYLES[:2],
            [1, 1],
            on_rejected=lambda style, error: refused.append((style, str(error))),
        )
        assert list(made) == []
        assert [style for style, _ in refused] == STYLES[:2]
        assert all("too small to tell" in reason for _, reason in refused)
        with pytest.raises(RenderRejected, match="too small to tell"):
            renderer.render(PHOTO, STYLES[0], seed=1)


def test_a_process_that_is_ended_is_said() -> None:
    with (
        ProcessRenderer(build(), _Dies, 1) as renderer,  # type: ignore[arg-type]
        pytest.raises(ServiceFailed, match="fewer"),
    ):
        renderer.render(PHOTO, STYLES[0], seed=1)


def test_no_process_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 processes"):
        ProcessRenderer(build(), build, 0)
