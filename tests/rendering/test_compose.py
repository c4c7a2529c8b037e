from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.imaging.light import LIGHTS, contact_on
from persona_img.imaging.matting import foreground
from persona_img.rendering.compose import Placed, compose
from persona_img.rendering.framing import FRAMINGS, frame_of
from persona_img.rendering.proof.measure import Look, compare_product


def scene(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A random photo and a random mask with core, edge and backdrop."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    alpha = rng.choice(np.array([0, 1, 128, 254, 255], dtype=np.uint8), (height, width))
    alpha[rng.integers(height), rng.integers(width)] = 255
    return photo, alpha


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(8, 70),
    st.integers(8, 70),
    st.sampled_from(FRAMINGS),
    st.sampled_from(sorted(LIGHTS)),
    st.sampled_from([0.0, 1.0]),
)
def test_the_core_is_exactly_the_photos_pixels(
    seed: int, height: int, width: int, framing: str, light: str, wrap: float
) -> None:
    photo, alpha = scene(seed, height, width)
    frame = frame_of(alpha, framing)
    shape = (frame.height, frame.width, 3)
    plate = np.random.default_rng(seed).random(shape, dtype=np.float32)
    placed = Placed.of(frame, photo, alpha, foreground(photo, alpha))
    made = compose(plate, placed, contact_on(placed.alpha, LIGHTS[light]), wrap)
    assert made.dtype == np.uint8
    assert made.shape == shape
    ys, xs = np.nonzero(alpha == 255)
    np.testing.assert_array_equal(made[ys + frame.dy, xs + frame.dx], photo[ys, xs])
    assert compare_product(made, photo, alpha, frame, Look(made, frame.place(alpha, 0))).unchanged


@pytest.mark.parametrize("light", sorted(LIGHTS))
def test_away_from_the_product_only_the_plate_is_seen(light: str) -> None:
    photo, _ = scene(1, 120, 100)
    alpha = np.zeros((120, 100), dtype=np.uint8)
    alpha[40:80, 30:70] = 255
    frame = frame_of(alpha, "centred")
    plate = np.full((120, 100, 3), 0.8, dtype=np.float32)
    placed = Placed.of(frame, photo, alpha, foreground(photo, alpha))
    contact = contact_on(placed.alpha, LIGHTS[light])
    made = compose(plate.copy(), placed, contact)
    assert (made[:20] == 204).all()
    assert made[80, 40:60].max() < 200  # the contact shadow
    # A plate that has its shadow already gets none besides.
    bare = compose(plate.copy(), placed)
    assert (bare[alpha == 0] == 204).all()
    # It is a factor on linear light: half of it is seen as three quarters.
    half = compose(plate.copy(), placed, np.full(alpha.shape, 0.5, np.float32))
    assert half[0, 0] == pytest.approx(204 * 0.5 ** (1 / 2.2), abs=1)


def test_what_a_source_sees_is_the_product_on_mid_grey() -> None:
    photo, _ = scene(2, 60, 60)
    alpha = np.zeros((60, 60), dtype=np.uint8)
    alpha[20:40, 20:40] = 255
    shown = Placed.of(frame_of(alpha, "airy"), photo, alpha, photo).on_grey()
    frame = frame_of(alpha, "airy")
    core = shown[20 + frame.dy : 40 + frame.dy, 20 + frame.dx : 40 + frame.dx]
    np.testing.assert_array_equal(core, photo[20:40, 20:40])
    assert (shown[: 20 + frame.dy] == 127).all()


def test_a_bright_backdrop_wraps_its_light_around_the_edge_and_nowhere_else() -> None:
    photo = np.full((60, 60, 3), 40, dtype=np.uint8)
    alpha = np.zeros((60, 60), dtype=np.uint8)
    alpha[20:40, 20:40] = 128
    alpha[22:38, 22:38] = 255
    placed = Placed.of(frame_of(alpha, "centred"), photo, alpha, photo)
    bright = np.full((60, 60, 3), 0.9, dtype=np.float32)
    contact = contact_on(placed.alpha, LIGHTS["soft"])
    plain = compose(bright.copy(), placed, contact).astype(int)
    wrapped = compose(bright.copy(), placed, contact, 1.0).astype(int)
    edge = (alpha > 0) & (alpha < 255)
    assert (wrapped[edge] > plain[edge] + 10).all()
    np.testing.assert_array_equal(wrapped[~edge], plain[~edge])
    dark = np.full((60, 60, 3), 0.05, dtype=np.float32)
    np.testing.assert_array_equal(
        compose(dark.copy(), placed, contact, 1.0), compose(dark.copy(), placed, contact)
    )
