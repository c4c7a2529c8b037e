"""A renderer with a mark: what comes out is certified as it is, carries its recipe, and repeats."""

import numpy as np
import pytest

from persona_img.assets import ASSETS
from persona_img.domain.style import Style
from persona_img.imaging.photo import load_photo
from persona_img.provenance.detector import Detector
from persona_img.provenance.watermark import Watermark
from persona_img.rendering.framing import Layout
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops

KEY = b"a key of enough bytes"
STYLE = Style.of({"palette": "sage", "light": "soft", "framing": "centred"})


@pytest.fixture(scope="module")
def photo():
    return load_photo(ASSETS / "catalog" / "photos" / "knitwear-02.jpg")


@pytest.fixture(scope="module")
def marked(photo):
    return BackdropRenderer(PlainBackdrops(), mark=Watermark(KEY)).render(photo, STYLE, seed=7)


def test_only_the_backdrop_differs_from_the_picture_without(photo, marked):
    plain = BackdropRenderer(PlainBackdrops()).render(photo, STYLE, seed=7)
    differs = (plain.pixels != marked.pixels).any(axis=2)
    assert differs.any()
    assert not differs[marked.alpha > 0].any()
    assert marked.certificate.product_unchanged
    assert marked.certificate.edge_error == plain.certificate.edge_error
    assert "watermark" not in plain.certificate.recipe


def test_its_pixels_say_the_recipe_that_the_certificate_names(marked):
    found = Detector(KEY).detect(np.asarray(marked.pixels))
    assert found.payload is not None
    assert found.payload.hex() == marked.certificate.recipe["watermark"]


def test_the_same_key_gives_the_same_bytes_and_another_one_another_renderer(photo, marked):
    renderer = BackdropRenderer(PlainBackdrops(), mark=Watermark(KEY))
    assert renderer.render(photo, STYLE, seed=7).png == marked.png
    other = BackdropRenderer(PlainBackdrops(), mark=Watermark(b"another key, as long"))
    names = {r.fingerprint() for r in (renderer, other, BackdropRenderer(PlainBackdrops()))}
    assert len(names) == 3
    assert renderer.laid_out(Layout()).fingerprint() == renderer.fingerprint()
