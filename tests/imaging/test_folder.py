"""Which files of a folder are photos, which are our own results, and what results are called."""

from __future__ import annotations

import io
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from examples import PHOTOS
from persona_img.editing.shape import resize
from persona_img.errors import BadPhoto, InvalidInput, NotFound
from persona_img.imaging.folder import (
    MASK_KEY,
    find_photos,
    free_for_result,
    list_photos,
    made_by_us,
    photo_named,
    pictures_below,
    result_name,
    result_names,
)
from persona_img.imaging.photo import load_photo, png_bytes
from persona_img.rendering.base import Variant
from persona_img.reports.sheet import save_sheet
from persona_img.variants.store import write_variant

HAT = PHOTOS / "dress-01.jpg"


def picture(kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (80, 70)) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 120 if mode == "L" else (120, 90, 60)).save(out, kind)
    return out.getvalue()


def names(folder: Path) -> list[str]:
    return [path.name for path in find_photos(folder).photos]


def skipped(folder: Path) -> dict[str, str]:
    return {path.name: reason for path, reason in find_photos(folder).skipped}


def test_pictures_are_known_by_suffix_in_any_case_or_by_their_first_bytes(tmp_path: Path) -> None:
    taken = {
        "A.JPG": picture(), "b.Png": picture("PNG"), "no suffix": picture(),
        "c.dat": picture("PNG"), "d.webp_large": picture("WEBP"), "e.jfif": picture(),
        "empty.jpg": b"",
        "from a phone.heic": b"\0\0\0\x18ftypheic", "ü ñ 🎩.jpg": picture(), "100%.jpg": picture(),
        "-o.jpg": picture(), "two\nlines.jpg": picture(), "[1].jpg": picture(),
    }  # fmt: skip
    passed = {"Thumbs.db": b"\xd0\xcf\x11\xe0", "desktop.ini": b"[x]", "products.csv": b"a,b\n",
              "hat.psd": b"8BPS", "._A.JPG": b"\0\5\26\7", ".hidden.jpg": picture()}  # fmt: skip
    for name, data in (taken | passed).items():
        (tmp_path / name).write_bytes(data)
    assert sorted(names(tmp_path)) == sorted(taken)
    assert not find_photos(tmp_path).skipped


def test_links_folders_and_pipes(tmp_path: Path) -> None:
    (tmp_path / "real.jpg").write_bytes(picture())
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    assert names(tmp_path) == ["circle.jpg", "gone.jpg", "link.jpg", "real.jpg"]
    assert skipped(tmp_path) == {
        "folder.jpg": "a folder; folders inside are not read, name it to use it",
        "pipe.jpg": "neither a file nor a folder",
    }
    with pytest.raises(BadPhoto, match="No such file"):
        load_photo(tmp_path / "gone.jpg")


def test_a_folder_without_a_photo_says_what_was_passed_over(tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match="no photo in this folder; put"):
        find_photos(tmp_path)
    (tmp_path / "hat.mask.png").write_bytes(png_bytes(np.zeros((9, 9), np.uint8), {MASK_KEY: ""}))
    with pytest.raises(BadPhoto, match=r"1 were passed over: a mask made by persona-img"):
        find_photos(tmp_path)
    with pytest.raises(BadPhoto, match="no such file or folder"):
        find_photos(tmp_path / "nowhere")


def test_our_results_are_known_by_what_they_are(tmp_path: Path, variant: Variant) -> None:
    (tmp_path / "hat.jpg").write_bytes(HAT.read_bytes())
    small = resize(load_photo(HAT), side=100)
    small.save(tmp_path / "hat-resize.png")
    resize(small.photo, side=90).save(tmp_path / "hat-resize-resize.png")
    write_variant(variant, tmp_path, f"hat-{variant.digest[:12]}")
    write_variant(variant, tmp_path, f"hat-9x16-{variant.digest[:12]}")
    mask = png_bytes(np.zeros((90, 90), np.uint8), {MASK_KEY: "hat.jpg"})
    (tmp_path / "renamed.png").write_bytes(mask)
    save_sheet(Image.new("RGB", (90, 90)), tmp_path / "sheet.jpg")
    save_sheet(Image.new("RGB", (90, 90)), tmp_path / "sheet.png")
    assert names(tmp_path) == ["hat.jpg"]
    found = skipped(tmp_path)
    assert found["hat-resize.png"] == "made by `edit resize` from hat.jpg, which lies beside it"
    assert "from hat-resize.png" in found["hat-resize-resize.png"]
    assert found[f"hat-{variant.digest[:12]}.png"].startswith("made by `render` from hat.jpg")
    assert found["renamed.png"] == "a mask made by persona-img"
    assert found["sheet.png"] == found["sheet.jpg"] == "a contact sheet made by persona-img"
    assert len(found) == 9
    assert all(made_by_us(tmp_path / name) for name in found if not name.endswith(".mask.png"))


def test_results_in_a_folder_of_their_own_are_photos(tmp_path: Path, variant: Variant) -> None:
    """So that one command goes on with what another made."""
    resize(load_photo(HAT), side=100).save(tmp_path / "hat-resize.png")
    files = write_variant(variant, tmp_path, f"dress-{variant.digest[:12]}")
    assert names(tmp_path) == [files["variant"].name, "hat-resize.png"]
    assert skipped(tmp_path).keys() == {files["mask"].name}


def test_what_merely_looks_like_a_result_is_a_photo(tmp_path: Path) -> None:
    """A merchant sells masks, and calls photos what he likes."""
    for name, data in {
        "blue.jpg": picture(), "blue.mask.png": picture("PNG"), "blue-resize.png": picture("PNG"),
        "blue-0123456789ab.png": picture("PNG"), "red.mask.png": picture("PNG", "L"),
        "blue.edit.json": b"{}", "sheet.jpg": picture(),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
    assert len(names(tmp_path)) == 6
    small = resize(load_photo(HAT), side=100)
    small.save(tmp_path / "other-name.png")  # edited, but not from a photo that lies here
    assert "other-name.png" in names(tmp_path)


def test_a_drawn_mask_beside_its_photo_is_no_photo(tmp_path: Path) -> None:
    (tmp_path / "blue.jpg").write_bytes(picture(size=(80, 70)))
    (tmp_path / "blue.mask.png").write_bytes(picture("PNG", "L", (80, 70)))
    (tmp_path / "tall.jpg").write_bytes(picture())
    (tmp_path / "tall.mask.png").write_bytes(picture("PNG", "L", (99, 99)))
    assert names(tmp_path) == ["blue.jpg", "tall.jpg", "tall.mask.png"]


def test_a_damaged_mark_is_no_mark(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_itxt("persona-img-edits", "not json")
    Image.new("RGB", (80, 80)).save(tmp_path / "hat-resize.png", pnginfo=text)
    (tmp_path / "hat.jpg").write_bytes(picture())
    (tmp_path / "cut.png").write_bytes((tmp_path / "hat-resize.png").read_bytes()[:60])
    assert names(tmp_path) == ["cut.png", "hat-resize.png", "hat.jpg"]


FILES = st.sampled_from(["item", "Item", "ITEM", "item.jpg", "item.png", "é", "e\u0301", "ß", "ss"])
PATHS = st.builds(lambda stem, end: Path(stem + end), FILES, st.sampled_from([".jpg", ".png", ""]))


@given(st.lists(PATHS, unique=True, min_size=1))
def test_no_two_results_ever_meet_on_any_file_system(paths: list[Path]) -> None:
    called = result_names(paths)
    alike = {unicodedata.normalize("NFC", n.casefold()).casefold() for n in called.values()}
    assert len(alike) == len(paths)
    for path, name in called.items():
        assert name.startswith(path.stem)


def test_names_stay_short_where_nothing_collides() -> None:
    called = result_names([Path("a/hat.jpg"), Path("a/item.jpg"), Path("a/item.png")])
    assert list(called.values()) == ["hat", "item.jpg", "item.png"]


def test_a_photo_given_alone_is_called_as_with_its_folder(tmp_path: Path) -> None:
    for name in ("item.jpg", "item.png", "hat.jpg", "item.txt", "hat.txt"):
        (tmp_path / name).write_bytes(b"x" if name.endswith("txt") else picture())
    called = result_names(list_photos(tmp_path))
    assert {path: result_name(path) for path in called} == called
    assert result_name(tmp_path / "item.jpg") == "item.jpg"
    assert result_name(tmp_path / "hat.jpg") == "hat"


def test_nobody_elses_file_is_written_over(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "hat-resize.png", tmp_path / "cap-resize.png"
    theirs.write_bytes(picture("PNG"))
    resize(load_photo(HAT), side=100).save(ours)
    assert free_for_result(ours) == ours
    assert free_for_result(tmp_path / "new.png")
    with pytest.raises(InvalidInput, match="was not made by persona-img; move it"):
        free_for_result(theirs)


def test_a_table_names_photos_with_or_without_the_suffix(tmp_path: Path) -> None:
    photos = [Path("a/item.jpg"), Path("b/item.png"), Path("a/hat.jpg")]
    table = tmp_path / "labels.csv"
    assert photo_named("hat", photos, table) == Path("a/hat.jpg")
    assert photo_named("item.png", photos, table) == Path("b/item.png")
    with pytest.raises(InvalidInput, match=r"could be a/item.jpg, b/item.png"):
        photo_named("item", photos, table)
    with pytest.raises(NotFound, match="no photo cap"):
        photo_named("cap", photos, table)


def test_pictures_below_leave_out_what_is_hidden(tmp_path: Path) -> None:
    for name in ("a.jpg", "b/c.PNG", "b/._c.png", ".git/d.jpg", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert pictures_below(tmp_path) == [tmp_path / "a.jpg", tmp_path / "b/c.PNG"]
