"""Copies are known by their fingerprint; somebody else's near copy is stopped; rows only come."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.assets import ASSETS
from persona_img.errors import InvalidInput, StoreConflict
from persona_img.imaging.photo import load_photo
from persona_img.provenance.fingerprint import (
    NEAR,
    chance,
    distances,
    fingerprint,
    turned,
)
from persona_img.provenance.registry import Entry, Registry

PHOTOS = sorted((ASSETS / "catalog" / "photos").glob("*.jpg"))[:12]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(photo: Path, owner: str, product: str = "") -> Entry:
    found = load_photo(photo)
    told = fingerprint(found.pixels)
    name = product or photo.stem
    return Entry(found.digest, "photo", name, owner, "own", NOON, "ann", fingerprint=told)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    kept = Registry(tmp_path / "registry.sqlite")
    kept.add([entry(photo, "Ann") for photo in PHOTOS])
    return kept


def handled(photo: Path, how: str) -> np.ndarray:
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    if how == "mirrored":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if how == "turned":
        image = image.transpose(Image.Transpose.ROTATE_90)
    if how == "small":
        image = image.resize((image.width // 2, image.height // 2))
    if how == "darker":
        image = image.point(lambda value: int(0.8 * value))
    out = io.BytesIO()
    image.save(out, "WEBP" if how == "webp" else "JPEG", quality=60)
    return np.asarray(Image.open(out).convert("RGB"))


@pytest.mark.parametrize("how", ["saved", "webp", "small", "darker", "mirrored", "turned"])
@pytest.mark.parametrize("photo", PHOTOS[:4], ids=lambda path: path.stem)
def test_a_copy_is_led_back_to_its_picture_alone(registry: Registry, photo: Path, how: str) -> None:
    found = registry.near(handled(photo, how))
    assert [one.entry.product for one in found] == [photo.stem]
    assert found[0].distance <= NEAR
    assert found[0].chance < 1e-12


def test_other_photographs_are_far() -> None:
    told = [load_photo(photo).pixels for photo in PHOTOS]
    for one, other in combinations(told, 2):
        assert distances(turned(one), [fingerprint(other).bits])[0] > 2 * NEAR


def test_a_second_persons_near_copy_is_stopped_with_the_reason(registry: Registry) -> None:
    copy = handled(PHOTOS[0], "small")
    registry.check_own(copy, "other", "Ann")  # of the same owner
    registry.check_own(copy, PHOTOS[0].stem, "Ben")  # the product's own, sold on
    with pytest.raises(StoreConflict) as told:
        registry.check_own(copy, "other", "Ben")
    for word in ("Ann's", PHOTOS[0].stem, "of 256 bits", "2026-03-01", "by chance"):
        assert word in str(told.value)
    registry.check_own(handled(Path(ASSETS / "catalog/photos/skirt-04.jpg"), "saved"), "x", "Ben")


def test_what_shows_nothing_has_no_fingerprint_that_tells(registry: Registry) -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert not fingerprint(grey).tells
    assert registry.near(grey) == []


def test_rows_come_once_and_never_go(registry: Registry, tmp_path: Path) -> None:
    count = len(registry)
    assert registry.add([entry(PHOTOS[0], "Ann")]) == 0
    assert registry.add([entry(PHOTOS[0], "Ann", "listed twice")]) == 1
    assert len(registry) == count + 1
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as db:
        for statement in ("DELETE FROM pictures", "UPDATE pictures SET owner = 'Ben'"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                db.execute(statement)


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = Registry(tmp_path / "r")
    made = replace(entry(PHOTOS[0], "Ann"), kind="variant", recipe="ab", payload="cd" * 8)
    plain = replace(made, digest="ef" * 32, fingerprint=None)
    kept.add([made, plain])
    assert kept.carrying("cd" * 8) == [made, plain]
    assert kept.digests() == {made.digest, plain.digest}
    assert [one.entry for one in kept.near(load_photo(PHOTOS[0]).pixels)] == [made]


def test_the_chance_grows_with_distance_and_with_what_is_compared() -> None:
    assert chance(0, 1) < chance(31, 1) < chance(31, 1000) < 1e-15
    assert chance(128, 1) > 0.5
    assert chance(256, 10) == 1.0


def test_where_nothing_can_be_kept_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no registry"):
        Registry(tmp_path / "nowhere" / "r")
