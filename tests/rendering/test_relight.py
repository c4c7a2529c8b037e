from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import a_photo
from persona_img.domain.style import Style
from persona_img.errors import VerificationFailed
from persona_img.imaging.frame import Frame
from persona_img.imaging.light import LIGHTS
from persona_img.imaging.photo import png_bytes
from persona_img.rendering.base import RenderSettings, Variant
from persona_img.rendering.proof.certificate import verify
from persona_img.rendering.relight import Relight
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.variants.store import VariantStore, write_variant

WARM = Style.of({"surface": "linen", "palette": "warm", "light": "side", "framing": "airy"})


@pytest.fixture(scope="module")
def relit() -> Variant:
    renderer = BackdropRenderer(PlainBackdrops(), RenderSettings(relight=0.8))
    return renderer.render(a_photo(), WARM, seed=3)


def test_a_relit_variant_says_so_and_only_the_light_has_changed(
    relit: Variant, tmp_path: Path
) -> None:
    certificate = relit.certificate
    assert certificate.relight is not None
    assert certificate.labels == ("product relit",)
    assert not certificate.product_unchanged
    assert certificate.product_kept
    assert b"relight" in relit.png
    path = write_variant(relit, tmp_path, "shirt")["variant"]
    report = verify(path, a_photo())
    assert report.passed, str(report)
    assert "product only relit" in str(report)
    assert "product unchanged" not in str(report)
    ys, xs = np.nonzero(relit.mask.alpha == 255)
    dx, dy = certificate.offset
    shown, photo = relit.pixels[ys + dy, xs + dx], a_photo().pixels[ys, xs]
    assert (shown != photo).any(axis=1).mean() > 0.5


def test_any_other_change_of_a_relit_product_is_found(relit: Variant, tmp_path: Path) -> None:
    path = write_variant(relit, tmp_path, "shirt")["variant"]
    ys, xs = np.nonzero(relit.mask.alpha == 255)
    dx, dy = relit.certificate.offset
    pixels = relit.pixels.copy()
    pixels[ys[0] + dy, xs[0] + dx, 1] ^= 1
    path.write_bytes(png_bytes(pixels))
    failed = {c.name for c in verify(path, a_photo()).checks if not c.passed}
    assert {"product only relit", "core changed"} <= failed


@pytest.mark.parametrize(
    "other",
    [None, {"share": 0.5, "tint": [1.0, 1.0, 1.0], "gradient": 0.0}],
)
def test_another_light_than_the_recorded_one_is_found(
    relit: Variant, tmp_path: Path, other: dict[str, object] | None
) -> None:
    path = write_variant(relit, tmp_path, "shirt")["variant"]
    claimed = dataclasses.replace(relit.certificate, relight=other)
    assert "core changed" in {
        c.name for c in verify(path, a_photo(), claimed).checks if not c.passed
    }


def test_a_record_that_is_no_light_is_refused(relit: Variant, tmp_path: Path) -> None:
    path = write_variant(relit, tmp_path, "shirt")["variant"]
    claimed = dataclasses.replace(relit.certificate, relight={"share": 1.0})
    with pytest.raises(VerificationFailed, match="not a light on a product"):
        verify(path, a_photo(), claimed)


def test_the_store_keeps_relit_variants_with_their_label(relit: Variant, tmp_path: Path) -> None:
    record = VariantStore(tmp_path).put(relit, "shirt")
    assert record.certificate.labels == ("product relit",)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(LIGHTS)))
def test_no_share_is_no_change_and_the_light_follows_the_backdrop(seed: int, light: str) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)
    frame = Frame(20, 18, 3, 2)
    plate = np.full((8, 9, 3), (0.8, 0.6, 0.4), dtype=np.float32)
    area = np.ones((8, 9), dtype=np.float32)
    none = Relight.of(0.0, plate, area, LIGHTS[light])
    np.testing.assert_array_equal(none.on(picture, frame), picture)
    full = Relight.of(1.0, plate, area, LIGHTS[light])
    red, green, blue = full.tint
    assert red > green > blue
    assert sum(full.tint) == pytest.approx(3.0, abs=1e-3)
    grey = np.full((12, 15, 3), 128, dtype=np.uint8)
    lit = full.on(grey, frame).astype(int)
    assert (lit[..., 0] > lit[..., 2]).all()
    assert lit[0, 0].sum() >= lit[-1, -1].sum()  # the light comes from the upper left
    assert Relight.from_dict(full.as_dict()) == full
