from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from persona_img.errors import BadPhoto, InvalidInput
from persona_img.imaging.photo import (
    MAX_PIXELS,
    Photo,
    list_photos,
    load_photo,
    png_bytes,
    save_png,
)
from pictures import disc_cut_out, png

SHIRT = Path(__file__).parents[1] / "data" / "photos" / "shirt-01.jpg"
RED, BLUE = (200, 30, 40), (20, 40, 180)


def two_colours(width: int = 120, height: int = 80) -> Image.Image:
    """Red on the left half, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def near(pixel: object, colour: tuple[int, int, int], most: int = 6) -> bool:
    return bool((np.abs(np.asarray(pixel, int) - np.array(colour)) <= most).all())


def red_and_green_swapped() -> bytes:
    """A colour profile in which the first channel is green light and the second red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"????"), (b"gXYZ", b"rXYZ"), (b"????", b"gXYZ")):
        profile = profile.replace(old, new, 1)
    return profile.replace("sRGB".encode("utf-16-be"), "GRB!".encode("utf-16-be"))


def animated(kind: str) -> bytes:
    frames = [two_colours(), two_colours().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not a picture"),
    "text": (lambda: b"hello, I am no picture" * 20, "not a picture"),
    "truncated jpeg": (lambda: SHIRT.read_bytes()[:9000], "truncated"),
    "truncated png": (lambda: encoded(two_colours(), "PNG")[:-60], "truncated"),
    "broken png": (
        lambda: encoded(two_colours(), "PNG").replace(b"IDAT", b"IDAX"),
        "not a picture",
    ),
    "one pixel": (lambda: encoded(Image.new("RGB", (1, 1)), "PNG"), "too small"),
    "a strip": (lambda: encoded(Image.new("RGB", (900, 20)), "PNG"), "too small"),
    "100 megapixels": (lambda: encoded(Image.new("1", (10_000, 10_000)), "PNG"), "100 megapixels"),
    "a bomb": (lambda: encoded(Image.new("1", (20_000, 20_000)), "PNG"), "megapixels"),
    "animated gif": (lambda: animated("GIF"), "2 frames"),
    "animated webp": (lambda: animated("WEBP"), "2 frames"),
    "two pages": (lambda: animated("TIFF"), "2 frames or pages"),
    "float": (lambda: encoded(Image.new("F", (90, 90)), "TIFF"), "32 bits"),
    "all transparent": (lambda: encoded(Image.new("RGBA", (90, 90)), "PNG"), "opaque"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_we_cannot_use_is_an_error_that_says_why(name: str, tmp_path: Path) -> None:
    make, says = BAD[name]
    (tmp_path / "x.img").write_bytes(make())
    with pytest.raises(BadPhoto, match=says) as caught:
        load_photo(tmp_path / "x.img")
    assert "x.img" in str(caught.value)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match="No such file"):
        load_photo(tmp_path / "nowhere.jpg")
    with pytest.raises(BadPhoto, match="directory"):
        load_photo(tmp_path)


GOOD: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(two_colours(), "JPEG", quality=95),
    "png": lambda: encoded(two_colours(), "PNG"),
    "webp": lambda: encoded(two_colours(), "WEBP", lossless=True),
    "bmp": lambda: encoded(two_colours(), "BMP"),
    "palette": lambda: encoded(two_colours().quantize(16), "PNG"),
    "palette gif": lambda: encoded(two_colours().quantize(16), "GIF"),
    "cmyk": lambda: encoded(two_colours().convert("CMYK"), "JPEG", quality=95),
    "opaque alpha": lambda: encoded(two_colours().convert("RGBA"), "PNG"),
    "broken profile": lambda: encoded(two_colours(), "PNG", icc_profile=b"no profile"),
    "srgb profile": lambda: encoded(
        two_colours(), "PNG",
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_file_gives_the_same_upright_srgb(name: str) -> None:
    photo = load_photo(GOOD[name]())
    assert photo.pixels.shape == (80, 120, 3)
    assert photo.pixels.dtype == np.uint8
    assert photo.alpha is None
    assert near(photo.pixels[40, 20], RED, 8)
    assert near(photo.pixels[40, 100], BLUE, 8)


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated clockwise
    photo = load_photo(encoded(two_colours(), "JPEG", exif=exif, quality=95))
    assert photo.pixels.shape == (120, 80, 3)
    assert near(photo.pixels[20, 40], RED, 8)
    assert near(photo.pixels[100, 40], BLUE, 8)


def test_sixteen_bit_grey_is_scaled_not_cut() -> None:
    ramp = np.linspace(0, 65535, 100, dtype=np.uint16)[None].repeat(90, 0)
    photo = load_photo(encoded(Image.fromarray(ramp), "PNG"))
    assert photo.pixels[0, 0].tolist() == [0, 0, 0]
    assert photo.pixels[0, -1].tolist() == [255, 255, 255]
    assert near(photo.pixels[0, 50], (129, 129, 129), 2)


def test_grey_becomes_three_equal_channels() -> None:
    photo = load_photo(encoded(Image.new("L", (90, 70), 77), "PNG"))
    assert (photo.pixels == 77).all()


def test_a_colour_profile_is_converted() -> None:
    photo = load_photo(encoded(two_colours(), "PNG", icc_profile=red_and_green_swapped()))
    red, green, _ = RED
    assert abs(int(photo.pixels[40, 20, 1]) - red) < 25
    assert abs(int(photo.pixels[40, 20, 0]) - green) < 40


def test_an_alpha_channel_becomes_the_mask_and_what_it_hides_is_nothing() -> None:
    image = two_colours().convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.uint8([0, 128, 255]), (80, 40))))
    photo = load_photo(encoded(image, "PNG"))
    assert photo.cut_out
    assert photo.alpha is not None
    assert photo.alpha[0, :3].tolist() == [0, 128, 255]
    assert photo.pixels[0, 0].tolist() == [0, 0, 0]
    assert near(photo.pixels[0, 1], RED)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_what_is_hidden_under_a_cut_out_decides_nothing(seed: int, hidden: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (64, 64, 4), dtype=np.uint8)
    values[20:40, 20:40, 3], values[:10, :10, 3] = 255, 0
    other = values.copy()
    other[values[..., 3] == 0, :3] = hidden
    photos = [load_photo(encoded(Image.fromarray(v), "PNG")) for v in (values, other)]
    assert photos[0].digest == photos[1].digest
    np.testing.assert_array_equal(photos[0].pixels, photos[1].pixels)
    other[30, 30, 3] = 200
    assert load_photo(encoded(Image.fromarray(other), "PNG")).digest != photos[0].digest


NEARLY: dict[str, tuple[int, int]] = {"254": (254, 0), "250": (250, 0), "haze": (255, 5)}


@pytest.mark.parametrize("name", NEARLY)
def test_a_product_that_is_nearly_opaque_is_the_product(name: str) -> None:
    most, least = NEARLY[name]
    values, _, alpha = disc_cut_out((9, 9, 9))
    values[..., 3] = np.clip(values[..., 3], least, most)
    photo = load_photo(encoded(Image.fromarray(values), "PNG"))
    assert photo.cut_out
    assert photo.alpha is not None
    assert (photo.alpha[alpha == 1] == 255).all()
    assert (photo.alpha[alpha == 0] == 0).all()
    assert 0 < (photo.alpha == 128).sum() < 500  # the edge stays soft


@pytest.mark.parametrize("opacity", [250, 254, 255])
def test_a_file_that_is_opaque_everywhere_is_a_photograph(opacity: int) -> None:
    photo = load_photo(
        encoded(
            Image.merge("RGBA", [*two_colours().split(), Image.new("L", (120, 80), opacity)]), "PNG"
        )
    )
    assert photo.alpha is None
    assert not photo.cut_out
    assert photo.digest == load_photo(GOOD["png"]()).digest


@pytest.mark.parametrize(("opacity", "says"), [(1, "multiply them by 255"), (249, "249 of 255")])
def test_a_file_without_an_opaque_pixel_is_told_why(opacity: int, says: str) -> None:
    alpha = np.zeros((80, 120), np.uint8)
    alpha[10:60, 10:60] = opacity
    image = two_colours().convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    with pytest.raises(BadPhoto, match=says):
        load_photo(encoded(image, "PNG"))
    with pytest.raises(BadPhoto, match=says):
        load_photo(GOOD["png"]()).with_alpha(alpha)


def test_a_mask_that_is_nearly_white_is_levelled() -> None:
    alpha = np.full((80, 120), 4, np.uint8)
    alpha[10:60, 10:60] = 251
    alpha[10:60, 60:62] = 120
    found = load_photo(GOOD["png"]()).with_alpha(alpha)
    assert found.alpha is not None
    assert np.unique(found.alpha).tolist() == [0, 120, 255]
    assert not found.cut_out


def test_a_mask_takes_from_a_cut_out_and_brings_nothing_back() -> None:
    values, _, alpha = disc_cut_out()
    photo = load_photo(encoded(Image.fromarray(values), "PNG"))
    left = np.zeros(alpha.shape, np.uint8)
    left[:, :75] = 255
    half = photo.with_alpha(left)
    assert half.cut_out
    assert half.digest == photo.digest
    assert photo.alpha is not None
    np.testing.assert_array_equal(half.alpha, np.minimum(left, photo.alpha))
    corner = np.zeros(alpha.shape, np.uint8)
    corner[:10, :10] = 255
    with pytest.raises(BadPhoto, match="transparent there"):
        photo.with_alpha(corner)


def test_a_cut_out_can_be_made_in_memory() -> None:
    values, _, _ = disc_cut_out((255, 0, 255))
    read = load_photo(encoded(Image.fromarray(values), "PNG"))
    made = Photo.of(values[..., :3].copy(), values[..., 3].copy(), cut_out=True)
    assert made.cut_out
    assert made.digest == read.digest
    assert not Photo.of(values[..., :3].copy(), values[..., 3].copy()).cut_out


def square(key: Any, other: Any, channels: int = 1) -> np.ndarray:
    """The key's colour around a square of another, (80, 100[, channels])."""
    values = np.empty((80, 100, channels), dtype=np.int64)
    values[:] = key
    values[10:70, 20:80] = other
    return values[..., 0] if channels == 1 else values


KEYED: dict[str, tuple[np.ndarray, int, bytes]] = {
    "grey 16": (square(65535, 50000), 16, struct.pack(">H", 65535)),
    "grey 16, same high byte": (square(0x8000, 0x8001), 16, struct.pack(">H", 0x8000)),
    "grey 8": (square(255, 254), 8, struct.pack(">H", 255)),
    "grey 8, bits too many": (square(5, 6), 8, struct.pack(">H", 0x0105)),
    "grey 4": (square(15, 14), 4, struct.pack(">H", 15)),
    "grey 2": (square(3, 2), 2, struct.pack(">H", 3)),
    "grey 1": (square(1, 0), 1, struct.pack(">H", 1)),
    "colour 8": (square((255, 0, 255), (255, 1, 255), 3), 8, struct.pack(">3H", 255, 0, 255)),
    "colour 16": (
        square((65535, 0, 65535), (65535, 1, 65535), 3), 16, struct.pack(">3H", 65535, 0, 65535)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYED)
def test_a_png_with_one_transparent_colour_is_a_cut_out(name: str) -> None:
    values, depth, key = KEYED[name]
    photo = load_photo(png(values, depth, (b"tRNS", key)))
    assert photo.cut_out
    wanted = np.zeros((80, 100), np.uint8)
    wanted[10:70, 20:80] = 255
    np.testing.assert_array_equal(photo.alpha, wanted)
    seen = values[10, 20] * 255 / (2**depth - 1)
    assert np.abs(photo.pixels[40, 50] - seen).max() < 1


def test_the_16_bit_case() -> None:
    photo = load_photo(SHIRT.parents[1] / "cases" / "grey16-colour-key.png")
    assert photo.alpha is not None
    assert np.unique(photo.alpha).tolist() == [0, 255]
    assert (photo.alpha == 255).sum() == 60 * 60


def transparent(kind: str, **options: object) -> bytes:
    values, _, _ = disc_cut_out((255, 0, 255))
    return encoded(Image.fromarray(values), kind, **options)


def with_colour_keyed(kind: str) -> bytes:
    values, _, alpha = disc_cut_out()
    few = Image.fromarray(values[..., :3]).quantize(200)
    indexed = np.where(alpha >= 0.5, np.asarray(few), 255).astype(np.uint8)
    image = Image.fromarray(indexed)
    image.putpalette([*few.getpalette()[:600], *[0] * 165, 255, 0, 255])
    return encoded(image, kind, transparency=255)


CUT_OUTS: dict[str, Callable[[], bytes]] = {
    "png": lambda: transparent("PNG"),
    "webp": lambda: transparent("WEBP", lossless=True, exact=True),
    "webp, lossy": lambda: transparent("WEBP", quality=95),
    "tiff": lambda: transparent("TIFF"),
    "avif": lambda: transparent("AVIF", quality=95),
    "palette": lambda: with_colour_keyed("PNG"),
    "gif": lambda: with_colour_keyed("GIF"),
    "16 bits": lambda: png(disc_cut_out((255, 0, 255))[0].astype(int) * 257, 16),
    "turned": lambda: encoded(
        Image.fromarray(np.rot90(disc_cut_out()[0]).copy()), "PNG", exif=turned()
    ),
}


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("name", CUT_OUTS)
def test_a_cut_out_is_the_same_in_every_kind_of_file(name: str) -> None:
    photo = load_photo(CUT_OUTS[name]())
    _, colours, alpha = disc_cut_out()
    assert photo.cut_out
    assert photo.alpha is not None
    inside, far = alpha == 1, alpha == 0
    if name != "avif":  # its alpha is lossy: near the edge it may miss
        assert (photo.alpha[inside] == 255).all()
        assert (photo.alpha[far] == 0).all()
        assert (photo.pixels[far] == 0).all()
    assert np.abs(photo.pixels[inside] - colours[inside]).mean() < 4


def test_grey_with_alpha_is_a_cut_out_too() -> None:
    values, _, alpha = disc_cut_out(255)
    grey = Image.merge("LA", [Image.fromarray(values[..., 0]), Image.fromarray(values[..., 3])])
    for data in (encoded(grey, "PNG"), png(np.asarray(grey).astype(int) * 257, 16)):
        photo = load_photo(data)
        assert photo.cut_out
        assert (photo.pixels[alpha == 0] == 0).all()
        np.testing.assert_array_equal(photo.pixels[75, 75], values[75, 75, 0].repeat(3))


def test_the_digest_names_the_pixels_not_the_file() -> None:
    png, webp = load_photo(GOOD["png"]()), load_photo(GOOD["webp"]())
    assert png.digest == webp.digest
    touched = png.pixels.copy()
    touched[3, 5, 1] += 1
    assert Photo.of(touched).digest != png.digest
    # The same bytes in another shape are another picture.
    assert Photo.of(png.pixels.reshape(120, 80, 3)).digest != png.digest


def test_pixels_cannot_be_written_by_accident() -> None:
    photo = load_photo(GOOD["png"]())
    with pytest.raises(ValueError, match="read-only"):
        photo.pixels[0, 0] = 0


def test_a_shadow_baked_into_the_transparency_is_no_product() -> None:
    alpha = np.zeros((80, 120), np.uint8)
    alpha[10:40, 20:90] = 255
    alpha[40:42, 20:90] = 60  # an edge, which touches the product
    soft = alpha.copy()
    soft[60:70, 20:90] = 91  # a shadow, which does not
    image = two_colours().resize((120, 80)).convert("RGBA")
    image.putalpha(Image.fromarray(soft))
    found = load_photo(encoded(image, "PNG")).alpha
    assert found is not None
    assert (found == alpha).all()


@pytest.mark.parametrize(
    ("alpha", "says"),
    [
        (np.zeros((80, 120), np.uint8), "no product"),
        (np.full((80, 119), 255, np.uint8), "photo's"),
        (np.ones((80, 120), np.float32), "uint8"),
    ],
)
def test_a_mask_that_does_not_fit_is_an_error(alpha: np.ndarray, says: str) -> None:
    with pytest.raises(BadPhoto, match=says):
        load_photo(GOOD["png"]()).with_alpha(alpha)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((80, 80)), np.zeros((80, 80, 4), np.uint8), np.zeros((80, 80, 3), np.float32)],
)
def test_pixels_in_memory_are_checked(pixels: np.ndarray) -> None:
    with pytest.raises(BadPhoto, match="uint8"):
        Photo.of(pixels)


def test_the_limit_is_a_number_of_pixels_not_of_one_side() -> None:
    assert MAX_PIXELS >= 12_000_000, "a phone's photo must be taken"
    wide = Image.new("1", (MAX_PIXELS // 64, 64))
    assert load_photo(encoded(wide, "PNG")).pixels.shape[0] == 64


def test_png_bytes_are_the_same_each_time_and_give_the_pixels_back() -> None:
    pixels = load_photo(SHIRT).pixels
    first = png_bytes(pixels, {"persona-img": "recipe ä"})
    assert first == png_bytes(pixels.copy(), {"persona-img": "recipe ä"})
    with Image.open(io.BytesIO(first)) as image:
        assert (np.asarray(image) == pixels).all()
        assert image.info["persona-img"] == "recipe ä"
        assert "srgb" in image.info
    assert b"tIME" not in first


def test_save_png_writes_whole_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    pixels = np.zeros((80, 80, 3), np.uint8)
    path = save_png(tmp_path / "new" / "x.png", pixels)
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]
    assert (load_photo(path).pixels == 0).all()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidInput, match="cannot be written"):
        save_png(tmp_path / "file" / "x.png", np.zeros((80, 80, 3), np.uint8))


def test_a_read_only_folder_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    """Run as nobody where we are root: root may write everywhere."""
    target = tmp_path / "locked"
    target.mkdir()
    script = (
        "import os, sys, numpy as np\n"
        "from persona_img.imaging.photo import save_png\n"
        "from persona_img.errors import InvalidInput\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: save_png(sys.argv[1] + '/x.png', np.zeros((80, 80, 3), np.uint8))\n"
        "except InvalidInput as error: print('refused', error)\n"
    )
    target.chmod(0o555)
    for parent in [tmp_path, *tmp_path.parents]:  # nobody has to get there; xdist nests deeper
        if parent.owner() == tmp_path.owner() and "pytest" in str(parent):
            parent.chmod(parent.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", script, str(target)], capture_output=True, text=True, check=False
    )
    assert "refused" in done.stdout, done.stderr
    assert "Permission denied" in done.stdout
    assert list(target.iterdir()) == []


def test_a_folder_nobody_may_enter_is_an_error(tmp_path: Path) -> None:
    """Looking whether there is something to tidy up fails there too."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    script = (
        "import os, sys, numpy as np\n"
        "from persona_img.imaging.photo import save_png\n"
        "from persona_img.errors import InvalidInput\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "else: os.chmod(sys.argv[1], 0)\n"
        "try: save_png(sys.argv[1] + '/deeper/x.png', np.zeros((80, 80, 3), np.uint8))\n"
        "except InvalidInput as error: print('refused', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(closed)], capture_output=True, text=True, check=False
    )
    closed.chmod(0o700)
    assert "refused" in done.stdout, done.stderr


def test_list_photos_takes_a_file_or_a_sorted_folder(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "c.webp"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "d.jpg").mkdir()
    assert [p.name for p in list_photos(tmp_path)] == ["a.png", "b.JPG", "c.webp"]
    assert list_photos(SHIRT) == [SHIRT]


def test_list_photos_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match="no photo in this folder"):
        list_photos(tmp_path)
    with pytest.raises(BadPhoto, match="no such file or folder"):
        list_photos(tmp_path / "nowhere")
