from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.masker import boxed
from persona_img.assets import ASSETS
from persona_img.errors import InvalidInput, NotFound, UnreadablePhoto
from persona_img.masking.base import ProductMask
from persona_img.masking.confidence import SIGNS
from persona_img.masking.learning.corpus import _cut_one
from persona_img.masking.learning.evaluation import Example, calibrate, compare, verified_photos


class Fixed:
    """Cuts the same box out of everything, and says how sure it is."""

    def __init__(self, name: str, alpha: np.ndarray, confidence: float) -> None:
        self.name, self.alpha, self.confidence = name, alpha, confidence

    def cut(self, photo: np.ndarray) -> ProductMask:
        return ProductMask(self.alpha, self.confidence, {}, self.name)

    def fingerprint(self) -> str:
        return self.name


def box(top: int) -> np.ndarray:
    alpha = np.zeros((100, 80), np.uint8)
    alpha[top : top + 50, 20:60] = 255
    return alpha


def test_maskers_are_scored_by_those_that_are_known_and_judged_by_all() -> None:
    rgb = np.zeros((100, 80, 3), np.uint8)
    examples = [Example(rgb, box(20)), Example(rgb, box(20)), Example(rgb, None)]
    table = compare([Fixed("right", box(20), 0.9), Fixed("low", box(45), 0.2)], examples)
    assert table["right"]["iou"] == 1.0
    assert table["right"]["good"] == table["right"]["good_shown"] == pytest.approx(2 / 3)
    assert table["right"]["shown"] == 1.0
    assert table["low"]["iou"] == pytest.approx(1 / 3)
    assert table["low"]["good"] == table["low"]["shown"] == 0.0
    assert np.isnan(table["low"]["good_shown"])


def test_photos_somebody_looked_at_come_with_the_mask_that_was_right(tmp_path: Path) -> None:
    photos = tmp_path / "photos" / "deep"
    photos.mkdir(parents=True)
    Image.fromarray(boxed(1600, 1200)).save(photos / "one.jpg")
    Image.fromarray(boxed(300, 200)).save(photos / "two.jpg")
    table = tmp_path / "seen.csv"
    table.write_text("image,right\none,classic\ntwo,neither\n", encoding="utf-8")
    (tmp_path / "seen").mkdir()
    Image.fromarray(box(20)).convert("1").save(tmp_path / "seen" / "one.png")
    one, two = verified_photos(table, tmp_path / "photos")
    assert one.rgb.shape == (1024, 768, 3)
    assert one.truth is not None
    assert one.truth.shape == (1024, 768)
    assert (one.truth > 127).mean() == pytest.approx((box(20) > 127).mean(), rel=0.01)
    assert two.rgb.shape == (300, 200, 3)
    assert two.truth is None


def test_a_photo_that_is_gone_is_named(tmp_path: Path) -> None:
    table = tmp_path / "seen.csv"
    table.write_text("image,right\none,neither\n", encoding="utf-8")
    with pytest.raises(NotFound, match="no photo one"):
        verified_photos(table, tmp_path)


@pytest.mark.slow
def test_photos_and_scenes_teach_one_confidence_and_are_reported_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_img.masking.learning.calibration._LEAST", 5)
    shutil.copytree(ASSETS / "masker", tmp_path / "masker")
    rgb = boxed(384, 288)
    truth = np.zeros((384, 288), np.uint8)
    truth[96:288, 72:216] = 255
    noise = np.random.default_rng(1).integers(0, 255, rgb.shape).astype(np.uint8)
    good, bad = Example(rgb, truth), Example(noise, None)
    report = calibrate(tmp_path / "masker", [good, good, bad, bad] * 5, [good, good, bad, bad] * 2)
    assert report["scenes"]["examples"] == 10
    assert report["photos"]["examples"] == 4
    assert report["photos"]["good"] == 0.5
    assert report["photos"]["auc"] == 1.0
    written = json.loads((tmp_path / "masker" / "config.json").read_text(encoding="utf-8"))
    before = json.loads((ASSETS / "masker" / "config.json").read_text(encoding="utf-8"))
    for fitted in (written["confidence"], written["confidence"]["classic"]):
        assert set(fitted["weights"]) == set(SIGNS)
        assert 0.5 <= fitted["least"] < 1.0
    assert written["confidence"] != before["confidence"]
    assert written["network"] == before["network"]


def test_a_photo_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"")
    Image.new("RGB", (90, 70)).save(photos / "item.jpg")
    Image.new("RGB", (70, 90)).save(photos / "item.png")
    table = tmp_path / "verified.csv"
    table.write_text("image,right\na,neither\nitem.png,neither\n")
    with pytest.warns(UnreadablePhoto, match=r"a\.jpg: cannot be read .*; left out"):
        (found,) = verified_photos(table, photos)
    assert found.rgb.shape[:2] == (90, 70)
    table.write_text("image,right\nitem,neither\n")
    with pytest.raises(InvalidInput, match="could be"):
        verified_photos(table, photos)
    table.write_text("image,right\nitem.png,classic\n")
    with pytest.raises(NotFound, match="no mask"):
        verified_photos(table, photos)


def test_cutting_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    reason = _cut_one((tmp_path / "a.jpg", tmp_path / "a.npz"))
    assert reason is not None
    assert "a.jpg: cannot be read" in reason
    assert not (tmp_path / "a.npz").exists()  # a mended photo is looked at again
