from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.errors import InvalidInput, RenderRejected, UnknownStyle
from persona_img.imaging.frame import Frame
from persona_img.rendering.framing import FORMATS, FRAMINGS, SIDES, Layout, frame_of


@st.composite
def alphas(draw: st.DrawFn) -> np.ndarray:
    """A product that may touch any border, with an edge and specks of haze."""
    height, width = draw(st.integers(8, 90)), draw(st.integers(8, 90))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
    alpha = np.zeros((height, width), dtype=np.uint8)
    alpha[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = draw(
        st.integers(0, 15)
    )
    alpha[top:bottom, left:right] = draw(st.sampled_from([40, 200, 255]))
    alpha[(top + bottom) // 2, (left + right) // 2] = 255
    return alpha


@settings(max_examples=200, deadline=None)
@given(alphas(), st.sampled_from(FRAMINGS))
def test_no_framing_cuts_the_core_and_offsets_are_whole_pixels(
    alpha: np.ndarray, framing: str
) -> None:
    frame = frame_of(alpha, framing)
    for value in (frame.width, frame.height, frame.dx, frame.dy):
        assert type(value) is int
    ys, xs = np.nonzero(alpha == 255)
    assert (ys + frame.dy >= 0).all()
    assert (ys + frame.dy < frame.height).all()
    assert (xs + frame.dx >= 0).all()
    assert (xs + frame.dx < frame.width).all()
    placed = frame.place(alpha, 0)
    assert placed.shape == (frame.height, frame.width)
    assert (placed[ys + frame.dy, xs + frame.dx] == 255).all()
    assert (placed == 255).sum() == len(ys)


@settings(max_examples=100, deadline=None)
@given(alphas())
def test_sizes_of_the_framings(alpha: np.ndarray) -> None:
    height, width = alpha.shape
    centred, close, airy = (frame_of(alpha, name) for name in ("centred", "close", "airy"))
    assert (centred.width, centred.height) == (width, height)
    assert close.width <= width
    assert close.height <= height
    assert width <= airy.width <= 1.25 * width + 1
    assert height <= airy.height <= 1.25 * height + 1


def test_a_free_product_stands_in_the_middle() -> None:
    alpha = np.zeros((100, 80), dtype=np.uint8)
    alpha[5:45, 30:70] = 255
    assert frame_of(alpha, "centred") == Frame(80, 100, -10, 25)
    close = frame_of(alpha, "close")
    assert (close.width, close.height) == (44, 44)
    assert (close.dx, close.dy) == (-28, -3)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_product_cut_by_the_photo_stays_flush_with_that_edge(framing: str) -> None:
    alpha = np.zeros((100, 80), dtype=np.uint8)
    alpha[60:, 30:60] = 255
    frame = frame_of(alpha, framing)
    assert 100 + frame.dy == frame.height
    alpha[:] = 0
    alpha[:, 30:60] = 255  # both ends of the axis: it is kept as it is
    frame = frame_of(alpha, framing)
    assert (frame.height, frame.dy) == (100, 0)


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(-40, 40),
    st.integers(-40, 40),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_overlap_is_what_lies_on_both(
    width: int, height: int, dx: int, dy: int, photo_width: int, photo_height: int
) -> None:
    frame = Frame(width, height, dx, dy)
    picture = np.arange(1, photo_width * photo_height + 1).reshape(photo_height, photo_width) % 251
    placed = frame.place(picture.astype(np.uint8), 255)
    expected = np.full((height, width), 255)
    for y in range(height):
        for x in range(width):
            if 0 <= y - dy < photo_height and 0 <= x - dx < photo_width:
                expected[y, x] = picture[y - dy, x - dx]
    np.testing.assert_array_equal(placed, expected)


def test_what_cannot_be_framed_is_refused() -> None:
    with pytest.raises(UnknownStyle, match="choose from centred, close, airy"):
        frame_of(np.full((9, 9), 255, dtype=np.uint8), "tilted")
    with pytest.raises(InvalidInput, match="supply a mask"):
        frame_of(np.full((9, 9), 15, dtype=np.uint8), "close")


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_cut_out_that_ends_a_pixel_before_the_border_is_flush_too(framing: str) -> None:
    alpha = np.zeros((300, 200), dtype=np.uint8)
    alpha[100:250, 60:199] = 255
    frame = frame_of(alpha, framing)
    assert 199 + frame.dx == frame.width


@settings(max_examples=300, deadline=None)
@given(
    alphas(),
    st.sampled_from(FRAMINGS),
    st.sampled_from([None, *FORMATS]),
    st.sampled_from([None, *SIDES]),
)
def test_a_layout_has_its_shape_keeps_the_product_and_leaves_the_text_free(
    alpha: np.ndarray, framing: str, shape: str | None, text: str | None
) -> None:
    layout = Layout(shape, text)
    try:
        frame = frame_of(alpha, framing, layout)
    except RenderRejected:
        # Only a product that the photograph cuts may not fit.
        edges = alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]
        assert any((edge >= 128).any() for edge in edges)
        return
    placed = frame.place(alpha, 0)
    assert (placed == 255).sum() == (alpha == 255).sum()
    if shape is not None:
        width, height = FORMATS[shape]
        assert abs(frame.width - frame.height * width / height) <= max(1.0, width / height)
    box = layout.text_box(frame)
    assert (box is None) == (text is None)
    if box is not None:
        left, top, width, height = box
        assert left >= 0 <= top
        assert left + width <= frame.width
        assert top + height <= frame.height
        assert not (placed[top : top + height, left : left + width] >= 16).any()


def free_product() -> np.ndarray:
    alpha = np.zeros((600, 400), dtype=np.uint8)
    alpha[150:450, 100:300] = 255
    return alpha


@pytest.mark.parametrize(("framing", "middle"), [("left-third", 1 / 3), ("right-third", 2 / 3)])
@pytest.mark.parametrize("shape", [None, *FORMATS])
def test_a_third_is_where_the_products_middle_lies(
    framing: str, middle: float, shape: str | None
) -> None:
    frame = frame_of(free_product(), framing, Layout(shape))
    assert (200 + frame.dx) / frame.width == pytest.approx(middle, abs=1 / frame.width)
    assert (300 + frame.dy) / frame.height == pytest.approx(0.5, abs=1 / frame.height)


@pytest.mark.parametrize("framing", ["centred", "close", "airy"])
@pytest.mark.parametrize("shape", FORMATS)
def test_a_format_keeps_the_share_of_the_fuller_side(framing: str, shape: str) -> None:
    usual = frame_of(free_product(), framing)
    frame = frame_of(free_product(), framing, Layout(shape))
    before = max(200 / usual.width, 300 / usual.height)
    assert max(200 / frame.width, 300 / frame.height) == pytest.approx(before, abs=0.01)


def test_room_for_text_is_a_third_of_the_picture() -> None:
    frame = frame_of(free_product(), "centred", Layout("16:9", "right"))
    box = Layout("16:9", "right").text_box(frame)
    assert box is not None
    left, top, width, height = box
    assert 0.3 * frame.width <= width <= 0.4 * frame.width
    assert height >= 0.85 * frame.height
    inset = round(0.05 * frame.height)
    assert (left + width, top) == (frame.width - inset, inset)
    assert 300 + frame.dx < left


def test_no_room_can_be_added_where_the_photograph_cuts_the_product() -> None:
    alpha = np.zeros((600, 400), dtype=np.uint8)
    alpha[150:, 100:300] = 255
    with pytest.raises(RenderRejected, match="choose from left, right, top"):
        frame_of(alpha, "centred", Layout("1:1", "bottom"))
    alpha[:] = 0
    alpha[200:300] = 255
    assert frame_of(alpha, "centred", Layout("1:1")) == Frame(400, 400, 0, -50)
    alpha[100:590] = 255
    with pytest.raises(RenderRejected, match="does not fit 16:9"):
        frame_of(alpha, "centred", Layout("16:9"))


@pytest.mark.parametrize(
    ("values", "says"),
    [({"format": "2:1"}, "choose from 1:1, 4:5"), ({"text": "middle"}, "choose from left, right")],
)
def test_unknown_layouts_are_refused(values: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Layout(**values)


def test_a_canvas_stays_within_memory() -> None:
    alpha = np.zeros((9000, 100), dtype=np.uint8)
    alpha[500:8500, 10:90] = 255
    with pytest.raises(RenderRejected, match="over 100 megapixels"):
        frame_of(alpha, "centred", Layout("16:9"))
