from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import a_photo
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, VerificationFailed
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
    np.testing.assert_array_equal(
        none.on(picture, frame, np.full(picture.shape[:2], 255, np.uint8)), picture
    )
    full = Relight.of(1.0, plate, area, LIGHTS[light])
    red, green, blue = full.tint
    assert red > green > blue
    assert sum(full.tint) == pytest.approx(3.0, abs=1e-3)
    grey = np.full((12, 15, 3), 128, dtype=np.uint8)
    lit = full.on(grey, frame, np.full(grey.shape[:2], 255, np.uint8)).astype(int)
    assert (lit[..., 0] > lit[..., 2]).all()
    assert lit[0, 0].sum() >= lit[-1, -1].sum()  # the light comes from the upper left
    assert Relight.from_dict(full.as_dict()) == full


def test_the_side_that_faces_the_light_gains_and_the_other_loses() -> None:
    alpha = np.zeros((120, 120), np.uint8)
    yy, xx = np.mgrid[:120, :120]
    alpha[np.hypot(xx - 60, yy - 60) < 40] = 255
    grey = np.full((120, 120, 3), 120, np.uint8)
    frame = Frame(120, 120, 0, 0)
    white = np.ones((20, 20, 3), np.float32)
    for side, brighter, darker in (
        ("left", (60, 28), (60, 92)),
        ("right", (60, 92), (60, 28)),
        ("above", (28, 60), (92, 60)),
    ):
        light = Relight.of(1.0, white, white[..., 0], LIGHTS["soft"], side)
        lit = light.on(grey, frame, alpha).astype(int)
        assert lit[brighter][0] > lit[60, 60][0] > lit[darker][0]
        again = Relight.from_dict(light.as_dict()).on(grey, frame, alpha)
        assert np.array_equal(lit, again)


def test_a_relit_variant_from_a_side_is_proved_the_same_way(tmp_path: Path) -> None:
    renderer = BackdropRenderer(PlainBackdrops(), RenderSettings(relight=0.8, relight_from="right"))
    variant = renderer.render(a_photo(), WARM, seed=3)
    assert variant.certificate.relight is not None
    assert variant.certificate.relight["across"] == [-1.0, 0.0]
    report = verify(write_variant(variant, tmp_path, "shirt")["variant"], a_photo())
    assert report.passed, str(report)


def test_a_light_from_nowhere_is_refused() -> None:
    with pytest.raises(InvalidInput, match="choose from left"):
        RenderSettings(relight_from="behind")
