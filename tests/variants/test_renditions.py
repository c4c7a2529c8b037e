from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import PHOTOS
from persona_img.errors import BadPhoto, NotFound
from persona_img.imaging.encode import ENCODERS
from persona_img.variants.renditions import LazyRenditions, RenditionStore

MASTER = "ab" * 32
PHOTO = PHOTOS / "shirt-01.jpg"


@pytest.fixture
def store(tmp_path: Path) -> RenditionStore:
    return RenditionStore(tmp_path / "renditions", (64, 128, 4000))


def test_each_width_and_format_is_kept_by_digest_and_linked_to_the_master(
    store: RenditionStore,
) -> None:
    made = store.make(MASTER, PHOTO, "photo")
    with Image.open(PHOTO) as image:
        own = image.width
    assert (made.master, made.of, made.size[0]) == (MASTER, "photo", own)
    assert [(f.width, f.media_type) for f in made.files] == [
        (width, kind) for width in (64, 128, own) for kind in ENCODERS
    ]
    for one in made.files:
        path = store.path(MASTER, one.file)
        data = path.read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (one.digest, one.size)
        assert one.digest[:16] in one.file
        with Image.open(path) as image:
            assert image.size == (one.width, one.height)


def test_the_record_is_read_again_and_nothing_is_made_twice(store: RenditionStore) -> None:
    made = store.make(MASTER, PHOTO, "photo")
    again = RenditionStore(store.folder, (64, 128, 4000))
    assert again.get(MASTER) == made
    assert again.is_current(MASTER)
    assert again.make(MASTER, Path("/nowhere"), "photo") == made  # not even looked at


def test_two_stores_make_the_same_bytes(store: RenditionStore, tmp_path: Path) -> None:
    other = RenditionStore(tmp_path / "other", (64, 128, 4000))
    assert other.make(MASTER, PHOTO, "photo") == store.make(MASTER, PHOTO, "photo")


def test_other_widths_are_made_and_the_old_files_still_answer(store: RenditionStore) -> None:
    before = store.make(MASTER, PHOTO, "photo")
    wider = RenditionStore(store.folder, (200,))
    assert not wider.is_current(MASTER)
    after = wider.make(MASTER, PHOTO, "photo")
    assert {f.width for f in after.files} == {200, after.size[0]}
    for one in (*before.files, *after.files):
        assert wider.path(MASTER, one.file).is_file()


def test_what_a_crash_left_is_not_taken_for_whole(store: RenditionStore) -> None:
    store.make(MASTER, PHOTO, "photo")
    (record,) = store.folder.rglob("record.json")
    record.write_text(record.read_text()[:100])
    again = RenditionStore(store.folder, (64, 128, 4000))
    assert again.get(MASTER) is None
    assert again.make(MASTER, PHOTO, "photo").files


def test_of_transparency_nothing_is_made(store: RenditionStore, tmp_path: Path) -> None:
    pixels = np.full((80, 80, 4), 200, np.uint8)
    pixels[:40, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    assert store.make(MASTER, tmp_path / "cut.png", "photo").files == ()


def test_a_file_that_is_no_picture_is_an_error(store: RenditionStore, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no picture")
    with pytest.raises(BadPhoto):
        store.make(MASTER, tmp_path / "x", "photo")
    assert store.get(MASTER) is None


@pytest.mark.parametrize(
    ("master", "file"),
    [
        (MASTER, "record.json"),
        (MASTER, "../../../etc/passwd"),
        ("..", "64-0123456789abcdef.jpg"),
        (MASTER.upper(), "64-0123456789abcdef.jpg"),
        (MASTER, "64-0123456789abcdef.jpg"),
    ],
)
def test_only_names_of_renditions_are_looked_up(
    store: RenditionStore, master: str, file: str
) -> None:
    store.make(MASTER, PHOTO, "photo")
    with pytest.raises(NotFound):
        store.path(master, file)
    assert store.get("../" + MASTER) is None


def until(done) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_they_are_made_when_first_asked_for_and_nobody_waits(store: RenditionStore) -> None:
    lazy = LazyRenditions(store)
    assert lazy.get(MASTER, PHOTO, "photo") is None
    until(lambda: lazy.get(MASTER, PHOTO, "photo") is not None)
    assert lazy.known(MASTER) == store.get(MASTER)


def test_so_many_may_wait_and_the_rest_is_asked_for_again(
    store: RenditionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(LazyRenditions, "_work", lambda _: tried.append("began"))
    lazy = LazyRenditions(store, waiting=3)
    for n in range(10):
        lazy.get(f"{n:064x}", PHOTO, "photo")
    assert len(lazy._waiting) == 3
    monkeypatch.undo()
    lazy._work()
    assert [store.get(f"{n:064x}") is not None for n in range(4)] == [True, True, True, False]
    lazy.get(f"{9:064x}", PHOTO, "photo")
    until(lambda: store.get(f"{9:064x}") is not None)


def test_what_cannot_be_made_is_not_tried_at_every_request(
    store: RenditionStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "x"
    broken.write_bytes(b"no picture")
    lazy = LazyRenditions(store)
    for _ in range(5):
        assert lazy.get(MASTER, broken, "photo") is None
    until(lambda: not lazy._at_work)
    assert caplog.text.count(f"no renditions of {MASTER}") == 1
    shutil.copyfile(PHOTO, broken)
    assert lazy.get(MASTER, broken, "photo") is None
