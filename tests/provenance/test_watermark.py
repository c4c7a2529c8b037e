"""The backdrop carries a payload through copies, and the product is not touched by one level."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from persona_img.assets import ASSETS
from persona_img.errors import InvalidInput
from persona_img.imaging.photo import load_photo
from persona_img.provenance import detector
from persona_img.provenance.detector import Detector
from persona_img.provenance.pattern import CELLS, Pattern
from persona_img.provenance.watermark import LEAST_PSNR, Watermark, cell_size

KEY = b"a key of enough bytes"
PAYLOAD = bytes(range(8))


def scene(seed=0, height=620, width=560, rough=6.0):
    """A rough backdrop in uneven light, and a soft-edged disc as product."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    even = 120 + 60 * x[..., None] / width + np.array([10, 0, -10])
    pixels = np.clip(even + rng.normal(0, rough, (height, width, 1)), 0, 255).astype(np.uint8)
    radius = np.hypot(y - height / 2, x - width / 2)
    alpha = np.clip((0.25 * width - radius) * 60 + 128, 0, 255).astype(np.uint8)
    pixels[alpha > 0] = (pixels[alpha > 0] // 3).astype(np.uint8)
    return pixels, alpha


def saved(pixels, kind, **told):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **told)
    return np.asarray(Image.open(out).convert("RGB"))


def resized(pixels, scale):
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def marked():
    return Watermark(KEY).mark(*scene(), PAYLOAD)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(65, 200),
    st.integers(65, 200),
    st.binary(min_size=8, max_size=8),
    st.floats(0, 60),
)
def test_only_the_backdrop_changes_and_by_little(seed, height, width, payload, rough):
    pixels, alpha = scene(seed, height, width, rough)
    out = Watermark(KEY).mark(pixels, alpha, payload)
    assert (out[alpha > 0] == pixels[alpha > 0]).all()
    change = (out.astype(float) - pixels)[alpha == 0]
    assert 0 < (change**2).mean() <= 255**2 / 10 ** (LEAST_PSNR / 10)


def test_the_same_arguments_give_the_same_bytes(marked):
    again = Watermark(KEY).mark(*scene(), PAYLOAD)
    assert again.tobytes() == marked.tobytes()
    assert Watermark(KEY).mark(*scene(), bytes(8)).tobytes() != marked.tobytes()


def test_a_picture_that_is_all_product_stays_as_it_is():
    pixels, alpha = scene()
    out = Watermark(KEY).mark(pixels, np.ones_like(alpha), PAYLOAD)
    assert (out == pixels).all()
    assert out is not pixels


@pytest.mark.parametrize(
    "handled",
    [
        lambda p: p,
        lambda p: saved(p, "JPEG", quality=50),
        lambda p: saved(p, "WEBP", quality=60),
        lambda p: resized(p, 0.5),
        lambda p: resized(p, 1.37),
        lambda p: p[101:551, 83:473],
        lambda p: saved(resized(p, 0.8), "JPEG", quality=70),
        lambda p: np.clip(p * 0.8 + 20, 0, 255).astype(np.uint8),
    ],
    ids=["as it is", "jpeg", "webp", "half", "1.37", "crop", "smaller, jpeg", "paler"],
)
def test_a_copy_still_says_its_payload(marked, handled):
    found = Detector(KEY).detect(handled(marked))
    assert found.found
    assert found.payload == PAYLOAD
    assert found.score >= found.threshold
    assert found.chance <= 1e-6


def test_the_size_of_a_cell_tells_the_scale_of_the_copy(marked):
    own = cell_size(*marked.shape[:2])
    assert Detector(KEY).detect(marked).cell == pytest.approx(own, rel=0.01)
    assert Detector(KEY).detect(resized(marked, 0.5)).cell == pytest.approx(own / 2, rel=0.01)


def test_nothing_is_found_by_another_key_or_without_a_mark(marked):
    assert not Detector(b"another key, as long").detect(marked).found
    clean = Detector(KEY).detect(scene()[0])
    assert not clean.found
    assert clean.payload is None
    assert clean.bits_wrong == -1


@pytest.mark.parametrize("name", ["knitwear-02", "knitwear-01"])
def test_a_photo_has_no_mark(name):
    photo = load_photo(ASSETS / "catalog" / "photos" / f"{name}.jpg")
    assert not Detector(KEY).detect(photo.pixels).found


def test_weaves_and_stripes_as_wide_as_cells_raise_no_alarm():
    y, x = np.mgrid[:512, :512]
    woven = 120 + 60 * ((x // 4 + y // 4) % 2) + 30 * np.sin(x / 40.7)
    pixels = np.repeat(woven[..., None], 3, axis=2).astype(np.uint8)
    for key in (KEY, b"another key, as long", bytes(16)):
        assert not Detector(key).detect(pixels).found


def test_scores_of_noise_keep_the_bound_that_is_claimed():
    """exp(-z²/2) for a place: over keys drawn anew, at the same place of the same picture."""
    rng = np.random.default_rng(5)
    heavy = rng.standard_cauchy((CELLS, CELLS)).clip(-50, 50)
    scores = []
    for number in range(2000):
        signs = Pattern.of(number.to_bytes(16, "big")).locating()
        scores.append((signs * heavy).sum() / np.linalg.norm(heavy[signs != 0]))
    for z in (1.5, 2.0, 2.5):
        assert np.mean(np.array(scores) >= z) <= np.exp(-(z**2) / 2)


@pytest.mark.parametrize("seed", range(6))
def test_every_scale_that_a_picture_may_lead_to_is_counted(seed, monkeypatch):
    """By hand: all that could follow, whichever of the scales before scored best."""
    tried = []
    folded = detector._Searched.folded
    monkeypatch.setattr(
        detector._Searched, "folded", lambda self, cell: tried.append(cell) or folded(self, cell)
    )
    picture = np.random.default_rng(seed).integers(0, 255, (150, 130, 3), dtype=np.uint8)
    found = Detector(bytes([seed]) * 16).detect(picture)
    coarse = list(detector._cells(150))
    reached = {0}
    for step in detector._FINER:
        reached |= {at + side * step for at in reached for side in (-2, -1, 1, 2)}
    assert found.places == len(coarse) * len(reached) * (2 * CELLS) ** 2
    for cell in tried[len(coarse) :]:
        steps = [(cell / began - 1.0) * 150 / (detector._FINEST * 2.0 * began) for began in coarse]
        near = [step for step in steps if abs(step) < 17]  # half way to the next one
        assert len(near) == 1
        assert round(near[0]) in reached
        assert near[0] == pytest.approx(round(near[0]), abs=1e-6)


def test_a_lower_chance_asks_for_more(marked):
    usual, strict = Detector(KEY).detect(marked), Detector(KEY, 1e-12).detect(marked)
    assert strict.threshold > usual.threshold
    assert strict.score == usual.score


def test_what_cannot_be_done_is_refused():
    pixels, alpha = scene()
    with pytest.raises(InvalidInput, match="key of 3 bytes"):
        Watermark(b"key")
    with pytest.raises(InvalidInput, match="give one size"):
        Watermark(KEY).mark(pixels, alpha[1:], PAYLOAD)
    with pytest.raises(InvalidInput, match="payload of 3 bytes"):
        Watermark(KEY).mark(pixels, alpha, b"abc")
    with pytest.raises(InvalidInput, match="false_alarm=0"):
        Detector(KEY, 0)
    with pytest.raises(InvalidInput, match="picture of 63 x 80"):
        Detector(KEY).detect(np.zeros((80, 63, 3), np.uint8))
