"""What suites of several rooms render; made once a run."""

from __future__ import annotations

import pytest

from examples import PHOTOS, STYLE, a_photo
from persona_img.imaging.photo import Photo, load_photo
from persona_img.rendering.base import Variant
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops


@pytest.fixture(scope="session")
def photo() -> Photo:
    return a_photo()


@pytest.fixture(scope="session")
def shirt() -> Photo:
    return load_photo(PHOTOS / "shirt-01.jpg")


@pytest.fixture(scope="session")
def renderer() -> BackdropRenderer:
    return BackdropRenderer(PlainBackdrops())


@pytest.fixture(scope="session")
def variant(renderer: BackdropRenderer, photo: Photo) -> Variant:
    return renderer.render(photo, STYLE, seed=7)
