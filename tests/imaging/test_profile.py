from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from examples import PHOTOS
from persona_img.errors import BadPhoto
from persona_img.imaging.photo import load_photo
from persona_img.imaging.profile import matrix_profile
from pictures import ADOBE_RGB, DISPLAY_P3, SRGB, chrm, encoded, gama, png

CASES = PHOTOS.parent / "cases"
COLOURS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
PICTURE = Image.fromarray(COLOURS)


def named(profile: bytes, name: str) -> bytes:
    """The profile under another name of the same length or shorter."""
    old = "made of chromaticities".encode("utf-16-be")
    assert old in profile
    return profile.replace(old, name.ljust(len(old) // 2).encode("utf-16-be"))


def converted(values: np.ndarray, primaries: tuple[float, ...], gamma: float | None) -> np.ndarray:
    """What the values are in sRGB, by the definitions (all of these have sRGB's white)."""

    def matrix(of: tuple[float, ...]) -> np.ndarray:
        xy = np.array(of).reshape(4, 2)
        xyz = np.column_stack([xy, 1 - xy.sum(axis=1)]) / xy[:, 1:]
        return (np.linalg.solve(xyz[1:].T, xyz[0])[:, None] * xyz[1:]).T

    unit = values.astype(float) / 255
    curve = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    linear = curve if gamma is None else unit**gamma
    change = np.linalg.solve(matrix(SRGB), matrix(primaries))
    seen = np.clip(linear @ change.T, 0, 1)
    return 255 * np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


def test_a_profile_called_srgb_is_told_by_its_curve() -> None:
    assert load_photo(CASES / "srgb-linear-profile.png").pixels[5, 5].tolist() == [128, 128, 128]


@pytest.mark.parametrize("name", ["Display", "sRGB IEC61966-2.1", "c2"])
@pytest.mark.parametrize(
    ("primaries", "gamma"),
    [(DISPLAY_P3, None), (ADOBE_RGB, 2.19921875), (SRGB, 1.0), (SRGB, 1.8), (SRGB, 2.2)],
)
def test_whatever_its_name_a_profile_is_converted(
    name: str, primaries: tuple[float, ...], gamma: float | None
) -> None:
    profile = named(matrix_profile(primaries, gamma), name)
    seen = load_photo(encoded(PICTURE, icc_profile=profile)).pixels
    assert np.abs(seen - converted(COLOURS, primaries, gamma)).max() < 1


@pytest.mark.parametrize("name", ["Display P3", "sRGB", "Adobe RGB (1998)"])
def test_what_behaves_as_srgb_keeps_every_value(name: str) -> None:
    table = np.linspace(0, 1, 1024)
    curve = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    sampled = b"curv" + bytes(4) + struct.pack(">I", 1024)
    sampled += np.round(curve * 65535).astype(">u2").tobytes()
    own = matrix_profile(SRGB)
    # As cameras write it: curves in tables instead of a formula.
    at = len(own)
    head = bytearray(own + sampled)
    struct.pack_into(">I", head, 0, len(head))
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        struct.pack_into(">II", head, own.index(tag) + 4, at, len(sampled))
    # Rounded as in the profile that Hewlett-Packard made, which most files carry.
    rounded = bytearray(head)
    colorants = {
        b"rXYZ": (28578, 14581, 912),
        b"gXYZ": (25241, 46981, 6362),
        b"bXYZ": (9376, 3972, 46799),
    }
    for tag, values in colorants.items():
        where = struct.unpack_from(">I", rounded, own.index(tag) + 4)[0]
        struct.pack_into(">3i", rounded, where + 8, *values)
    for profile in (own, bytes(head), bytes(rounded)):
        photo = load_photo(encoded(PICTURE, icc_profile=named(profile, name)))
        np.testing.assert_array_equal(photo.pixels, COLOURS)


def grey_profile(gamma: float) -> bytes:
    """The profile in the case's masks, for any gamma."""
    with Image.open(CASES / "mask-g1.8.png") as image:
        profile = image.info["icc_profile"]
    old = next(
        profile[i : i + 14] for i in range(len(profile)) if profile[i : i + 8] == b"curv\0\0\0\0"
    )
    assert old[8:12] == b"\0\0\0\1", "one number is the gamma"
    return profile.replace(old, old[:12] + struct.pack(">H", round(gamma * 256)))


@pytest.mark.parametrize(("gamma", "value"), [(1.0, 188), (1.8, 147), (2.2, 128)])
def test_a_grey_photograph_has_its_grey_profile_converted(gamma: float, value: int) -> None:
    grey = Image.new("L", (64, 64), 128)
    for image in (grey, Image.merge("LA", [grey, Image.new("L", (64, 64), 255)])):
        pixels = load_photo(encoded(image, icc_profile=grey_profile(gamma))).pixels
        assert np.abs(pixels.astype(int) - value).max() <= 1


def test_a_profile_of_other_pixels_is_ignored_and_one_for_colours_serves_grey() -> None:
    colours = load_photo(encoded(PICTURE, icc_profile=grey_profile(1.0)))
    np.testing.assert_array_equal(colours.pixels, COLOURS)
    grey = Image.new("L", (64, 64), 128)
    assert (load_photo(encoded(grey, icc_profile=matrix_profile(SRGB, 1.0))).pixels == 188).all()
    bare = load_photo(encoded(PICTURE.convert("CMYK"), "TIFF")).pixels
    tagged = encoded(PICTURE.convert("CMYK"), "TIFF", icc_profile=matrix_profile(SRGB, 1.0))
    np.testing.assert_array_equal(load_photo(tagged).pixels, bare)


def test_lab_is_read_as_colours() -> None:
    red = ImageCms.profileToProfile(
        Image.new("RGB", (64, 64), (200, 30, 40)), ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"), outputMode="LAB",
    )  # fmt: skip
    assert red is not None
    seen = load_photo(encoded(red, "TIFF")).pixels[5, 5]
    assert np.abs(seen.astype(int) - (200, 30, 40)).max() <= 4


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_profile_never_stops_a_photograph(data: st.DataObject) -> None:
    profile = bytearray(matrix_profile(DISPLAY_P3))
    places = st.tuples(st.integers(0, len(profile) - 1), st.integers(0, 255))
    for at, value in data.draw(st.lists(places, max_size=6)):
        profile[at] = value
    cut = data.draw(st.integers(0, len(profile)))
    photo = load_photo(encoded(PICTURE, icc_profile=bytes(profile[:cut])))
    assert photo.pixels.shape == COLOURS.shape


SAID: dict[str, tuple[list[tuple[bytes, bytes]], tuple[float, ...], float | None]] = {
    "linear": ([gama(1.0)], SRGB, 1.0),
    "an old Mac's": ([gama(0.55556)], SRGB, 1.8),
    "gamma 1/2.2 is sRGB": ([gama(0.45455), chrm(SRGB)], SRGB, None),
    "wide": ([gama(0.45455), chrm(DISPLAY_P3)], DISPLAY_P3, None),
    "wide, no gamma": ([chrm(ADOBE_RGB)], ADOBE_RGB, None),
    "the sRGB chunk wins": ([(b"sRGB", b"\0"), gama(1.0), chrm(ADOBE_RGB)], SRGB, None),
    "code points win": ([(b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")], DISPLAY_P3, None),
    "linear by code points": ([(b"cICP", bytes([1, 8, 0, 1]))], SRGB, 1.0),
    "television's": ([(b"cICP", bytes([1, 1, 0, 1]))], SRGB, None),
    "nothing by code points": ([(b"cICP", bytes([2, 2, 0, 1]))], SRGB, None),
    "nonsense": ([gama(0.0), chrm((0.0,) * 8)], SRGB, None),
    "a line of primaries": ([chrm((0.3, 0.3) * 4)], SRGB, None),
}


@pytest.mark.parametrize("name", SAID)
def test_what_a_png_says_without_a_profile(name: str) -> None:
    chunks, primaries, gamma = SAID[name]
    seen = load_photo(png(COLOURS, 8, *chunks)).pixels
    if (primaries, gamma) == (SRGB, None):
        np.testing.assert_array_equal(seen, COLOURS)
    else:
        assert np.abs(seen - converted(COLOURS, primaries, gamma)).max() < 1


def test_a_profile_wins_over_gamma() -> None:
    info = io.BytesIO(encoded(PICTURE, icc_profile=matrix_profile(DISPLAY_P3)))
    data = info.getvalue()
    gamma = png(COLOURS, 8, gama(1.0))
    chunk = gamma[gamma.index(b"gAMA") - 4 : gamma.index(b"gAMA") + 12]
    at = data.index(b"iCCP") - 4
    seen = load_photo(data[:at] + chunk + data[at:]).pixels
    assert np.abs(seen - converted(COLOURS, DISPLAY_P3, None)).max() < 1


def test_avif_says_its_colours_in_a_box() -> None:
    flat = Image.new("RGB", (64, 64), (200, 100, 60))
    data = bytearray(encoded(flat, "AVIF", quality=100))
    plain = load_photo(bytes(data)).pixels
    assert np.abs(plain.astype(int) - (200, 100, 60)).max() <= 2
    struct.pack_into(">H", data, data.index(b"colrnclx") + 8, 12)
    wide = load_photo(bytes(data)).pixels
    assert np.abs(wide - converted(plain, DISPLAY_P3, None)).max() < 1


def test_high_dynamic_range_is_refused() -> None:
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        with pytest.raises(BadPhoto, match=f"high dynamic range .{name}"):
            load_photo(png(COLOURS, 8, (b"cICP", bytes([9, transfer, 0, 1]))))
