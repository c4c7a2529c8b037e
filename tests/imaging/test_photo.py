from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from persona_img.errors import BadPhoto, InvalidInput
from persona_img.imaging.photo import (
    MIN_SIDE,
    Photo,
    list_photos,
    load_photo,
    pixel_digest,
    png_bytes,
    save_png,
)

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
WIDE, HIGH = 96, 72


def picture(seed: int = 3) -> np.ndarray:
    """A coarse random picture, so that JPEG keeps it nearly."""
    cells = np.random.default_rng(seed).integers(0, 256, (HIGH // 8, WIDE // 8, 3), dtype=np.uint8)
    return cells.repeat(8, axis=0).repeat(8, axis=1)


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


def huge_png() -> bytes:
    """A PNG whose header promises 10000 x 10000 pixels; a few dozen bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.fromarray(picture(i)) for i in range(2)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def see_through() -> bytes:
    rgba = np.dstack([picture(), np.full((HIGH, WIDE), 90, dtype=np.uint8)])
    return encoded(Image.fromarray(rgba))


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a picture"),
    "text": (b"hello, this is no picture", "not a picture"),
    "truncated png": (encoded(Image.fromarray(picture()))[:-60], "damaged or truncated"),
    "truncated jpeg": (
        encoded(Image.fromarray(picture()), "JPEG")[:-400],
        "damaged or truncated",
    ),
    "100 megapixels": (huge_png(), "10000x10000 is 100 megapixels"),
    "one pixel": (encoded(Image.new("RGB", (1, 1))), "1x1 px is too small"),
    "a thin strip": (encoded(Image.new("RGB", (900, MIN_SIDE - 1))), "too small"),
    "animated": (animated(), "2 frames or pages"),
    "half transparent everywhere": (see_through(), "no fully opaque pixel"),
    "32-bit": (encoded(Image.new("F", (WIDE, HIGH)), "TIFF"), "32 bits a channel"),
    "a format we do not read": (encoded(Image.fromarray(picture()), "PPM"), "not a picture"),
}


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=list(BAD))
def test_bad_photos_are_refused_with_their_reason(data: bytes, says: str) -> None:
    with pytest.raises(BadPhoto, match=says):
        load_photo(data)


def test_a_refused_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not a picture at all")
    for path in (tmp_path / "notes.jpg", tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(BadPhoto, match=path.name):
            load_photo(path)


def test_lossless_formats_give_their_pixels_and_one_digest() -> None:
    image = Image.fromarray(picture())
    photos = [load_photo(encoded(image, name)) for name in ("PNG", "BMP", "TIFF")]
    for photo in photos:
        np.testing.assert_array_equal(photo.pixels, picture())
        assert photo.alpha is None
        assert not photo.pixels.flags.writeable
    assert {photo.digest for photo in photos} == {pixel_digest(picture())}


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "YCbCr"])
def test_every_mode_becomes_8_bit_rgb(mode: str) -> None:
    file_format = {"CMYK": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
    image = Image.fromarray(picture()).convert(mode)
    pixels = load_photo(encoded(image, file_format)).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == (HIGH, WIDE, 3)
    expected = np.asarray(image.convert("RGB"), dtype=float)
    assert np.abs(pixels.astype(float) - expected).mean() < 3


def test_16_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, WIDE).astype(np.uint16)
    data = encoded(Image.fromarray(np.tile(ramp, (HIGH, 1))))
    pixels = load_photo(data).pixels
    np.testing.assert_allclose(pixels[0, :, 0], ramp / 257, atol=0.51)
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    data = encoded(Image.fromarray(picture()), exif=exif)
    np.testing.assert_array_equal(load_photo(data).pixels, np.rot90(picture(), -1))


def test_an_alpha_channel_becomes_the_mask_unless_it_is_opaque() -> None:
    alpha = np.zeros((HIGH, WIDE), dtype=np.uint8)
    alpha[20:50, 20:50] = 255
    cut = load_photo(encoded(Image.fromarray(np.dstack([picture(), alpha]))))
    np.testing.assert_array_equal(cut.alpha, alpha)
    opaque = np.dstack([picture(), np.full_like(alpha, 255)])
    assert load_photo(encoded(Image.fromarray(opaque))).alpha is None


def test_colour_profiles_are_converted_and_damaged_ones_ignored() -> None:
    """L* of a Lab file is not the 0..255 of its bytes; a broken profile changes nothing."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = Image.fromarray(picture())
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile", lab):
        pixels = load_photo(encoded(image, icc_profile=profile)).pixels
        np.testing.assert_array_equal(pixels, picture())


def test_masks_that_do_not_fit_are_refused() -> None:
    photo = Photo.of(picture())
    with pytest.raises(BadPhoto, match="give uint8 of the photo's"):
        photo.with_alpha(np.full((HIGH, WIDE + 1), 255, dtype=np.uint8))
    with pytest.raises(BadPhoto, match="no product to keep"):
        photo.with_alpha(np.zeros((HIGH, WIDE), dtype=np.uint8))
    with pytest.raises(BadPhoto, match="give uint8"):
        Photo.of(picture().astype(np.float32))


def test_the_same_picture_is_the_same_file(tmp_path: Path) -> None:
    one = save_png(tmp_path / "new" / "one.png", picture()).read_bytes()
    two = save_png(tmp_path / "two.png", picture()).read_bytes()
    assert one == two == png_bytes(picture())
    assert png_bytes(picture(), {"made": "by"}) != one
    np.testing.assert_array_equal(load_photo(one).pixels, picture())


def test_writing_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "taken.png").mkdir()
    for path in (tmp_path / "file" / "x.png", tmp_path / "taken.png"):
        with pytest.raises(InvalidInput, match="choose a folder"):
            save_png(path, picture())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.png"]


def test_photos_of_a_folder_are_sorted_and_only_photos(tmp_path: Path) -> None:
    assert list_photos(PHOTOS) == sorted(PHOTOS.glob("*.jpg"))
    assert list_photos(PHOTOS / "shirt-01.jpg") == [PHOTOS / "shirt-01.jpg"]
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(BadPhoto, match="no photo in this folder"):
        list_photos(tmp_path)
    with pytest.raises(BadPhoto, match="no such file or folder"):
        list_photos(tmp_path / "nowhere")
