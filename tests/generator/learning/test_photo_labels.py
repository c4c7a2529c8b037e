from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.generator.learning.corpus import Corpus, CorpusSettings
from persona_img.generator.learning.photo_labels import (
    OTHER,
    UNCLEAR,
    LabelSettings,
    Namer,
    label_photos,
    names_of,
    quality,
    read_labels,
)
from persona_img.masking.base import ProductMask

SURFACES = ("felt", "slate")


class Frame:
    """A masker that knows where the product is: a dark square in the middle."""

    name = "frame"

    def __init__(self, confidence: float = 1.0) -> None:
        self.confidence = confidence

    def fingerprint(self) -> str:
        return self.name

    def cut(self, pixels: np.ndarray) -> ProductMask:
        alpha = np.zeros(pixels.shape[:2], np.uint8)
        alpha[30:66, 24:56] = 255
        return ProductMask(alpha, self.confidence, {"known": self.confidence}, self.name)


def photo(surface: str, light: str, seed: int) -> np.ndarray:
    """Felt is bright and even, slate dark and rough; side light falls off from the left."""
    rng = np.random.default_rng(seed)
    level, grain = {"felt": (190, 2), "slate": (80, 12)}.get(surface, (135, 25))
    picture = level + rng.normal(0, grain, (96, 80, 1)) + np.zeros((96, 80, 3))
    slope = {"side": -0.5, "side-right": 0.5}.get(light, 0.0)
    picture = picture * (1 + slope * (np.arange(80) / 80 - 0.5))[None, :, None]
    picture[30:66, 24:56] = (150, 30, 40)
    return np.clip(picture, 0, 255).astype(np.uint8)


def some_labels(folder: Path) -> LabelSettings:
    """Sixty photos of twelve senders, and the cut-out photos of a training."""
    (folder / "photos").mkdir()
    (folder / "work" / "cut").mkdir(parents=True)
    rows = []
    for i in range(60):
        surface, light = (
            ("felt", "slate", OTHER)[i % 3],
            ("side", "side-right", UNCLEAR)[i // 3 % 3],
        )
        Image.fromarray(photo(surface, light, i)).save(folder / "photos" / f"p{i:02d}.png")
        rows.append((f"p{i:02d}", str(i % 12), surface, light))
    for i in range(12):
        rgb = photo(("felt", "slate", OTHER)[i % 3], "side", 100 + i)
        np.savez(folder / "work" / "cut" / f"c{i:02d}.npz", rgb=rgb, alpha=Frame().cut(rgb).alpha)
    write(folder / "labels.csv", rows)
    return LabelSettings(folder / "photos", folder / "labels.csv", SURFACES, trees=60)


@pytest.fixture
def looked_at(tmp_path: Path) -> LabelSettings:
    return some_labels(tmp_path)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The report of ``names.csv`` in the folder; measuring the photos takes seconds."""
    folder = tmp_path_factory.mktemp("labelled")
    made = label_photos(some_labels(folder), Frame(), folder / "work", folder / "names.csv")
    return made, folder


def write(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([("image", "sender_id", "surface", "light"), *rows])


@pytest.mark.slow
def test_backdrops_are_named_as_the_person_did(labelled: tuple[dict[str, Any], Path]) -> None:
    report, folder = labelled
    assert report["photos"] == 60
    assert report["surface"]["accuracy"] > 0.9
    assert report["light"]["accuracy"] > 0.8
    assert report["surface"]["precision"] >= 0.9
    names = names_of(folder / "names.csv")
    assert [names[f"c{i:02d}"][0] for i in range(3)] == ["felt", "slate", None]
    assert {light for _, light in names.values()} == {"side"}
    assert report["named"] == {"surface": 8, "light": 12, "of": 12}


@pytest.mark.slow
def test_the_same_again_and_without_cutting_again(
    labelled: tuple[dict[str, Any], Path], looked_at: LabelSettings, tmp_path: Path
) -> None:
    first, folder = labelled
    shutil.copytree(folder / "work" / "measured", tmp_path / "work" / "measured")
    for file in looked_at.photos.iterdir():
        file.unlink()
    again = label_photos(looked_at, Frame(), tmp_path / "work", tmp_path / "names.csv")
    assert first == again
    assert (folder / "names.csv").read_bytes() == (tmp_path / "names.csv").read_bytes()


@pytest.mark.slow
def test_light_from_the_right_has_no_name_of_ours(
    labelled: tuple[dict[str, Any], Path], looked_at: LabelSettings, tmp_path: Path
) -> None:
    (tmp_path / "work" / "measured").mkdir()
    for pair in (labelled[1] / "work" / "measured").glob("*.pair.npy"):
        shutil.copy(pair, tmp_path / "work" / "measured")
    for file in (tmp_path / "work" / "cut").iterdir():
        rgb = photo("felt", "side-right", 7)
        np.savez(file, rgb=rgb, alpha=Frame().cut(rgb).alpha)
    label_photos(looked_at, Frame(), tmp_path / "work", tmp_path / "names.csv")
    assert {light for _, light in names_of(tmp_path / "names.csv").values()} == {None}


def test_photos_of_one_sender_are_never_on_both_sides(looked_at: LabelSettings) -> None:
    """Features that are the sender's number alone teach nothing about other senders."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 5).astype(str)
    told = np.array(["felt", "slate"])[rng.permutation(np.arange(12) % 2)[groups.astype(int)]]
    sender = np.eye(12, dtype=np.float32)[groups.astype(int)]
    namer = Namer(np.stack([sender, sender], axis=1), told, OTHER, looked_at)
    assert namer.names(sender, 0.6) == list(told), "it did learn the senders it was shown"
    assert quality(namer, groups, looked_at)["accuracy"] < 0.8


def test_no_name_is_given_below_the_threshold(looked_at: LabelSettings) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(60, 2, 8)).astype(np.float32)
    told = np.array(["felt", "slate"] * 30)
    namer = Namer(noise, told, OTHER, looked_at)
    found = quality(namer, np.arange(60).astype(str), looked_at)
    assert found["coverage"] < 0.3, "of noise nothing can be told"
    assert namer.names(noise[:, 0], np.inf) == [""] * 60


def test_names_of_few_photos_are_not_learned(looked_at: LabelSettings) -> None:
    told = np.array(["felt"] * 30 + ["slate"] * 5)
    namer = Namer(np.zeros((35, 2, 3), np.float32), told, OTHER, looked_at)
    assert set(namer.told) == {"felt", OTHER}
    with pytest.raises(NotEnoughData, match="label more"):
        Namer(np.zeros((30, 2, 3), np.float32), told[:30], OTHER, looked_at)


def test_unsure_masks_are_left_out(looked_at: LabelSettings, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="none of 60 photos"):
        label_photos(looked_at, Frame(0.1), tmp_path / "work", tmp_path / "names.csv")
    assert not (tmp_path / "names.csv").exists()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("a", "1", "velvet", "side")], "surface=velvet"),
        ([("a", "1", "felt", "dusk")], "light=dusk"),
        ([("a", "1", "felt", "side"), ("a", "2", "felt", "side")], "twice"),
    ],
)
def test_labels_that_cannot_be_are_refused(
    rows: list[tuple[str, ...]], says: str, tmp_path: Path
) -> None:
    write(tmp_path / "labels.csv", rows)
    with pytest.raises(InvalidInput, match=says):
        read_labels(tmp_path / "labels.csv", SURFACES)


def test_what_is_missing_is_named(looked_at: LabelSettings, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="train-generator works in"):
        label_photos(looked_at, Frame(), tmp_path / "empty", tmp_path / "names.csv")
    (tmp_path / "labels.csv").write_text("image,surface\n")
    with pytest.raises(InvalidInput, match="sender_id, light"):
        read_labels(tmp_path / "labels.csv", SURFACES)
    with pytest.raises(NotFound, match="label-photos"):
        names_of(tmp_path / "nothing.csv")


def test_plates_of_a_corpus_have_the_names(corpus_settings: CorpusSettings, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        alpha = np.zeros((288, 224), np.uint8)
        alpha[80:200, 60:160] = 255
        rgb = rng.integers(0, 255, (288, 224, 3), dtype=np.uint8)
        np.savez(cut / f"c{i}.npz", rgb=rgb, alpha=alpha)
    (tmp_path / "names.csv").write_text("image,surface,light\nc1,linen,soft\nc3,dark-wood,\n")
    named = CorpusSettings(**{**vars(corpus_settings), "names": tmp_path / "names.csv", "made": 4})
    corpus = Corpus.build(named, tmp_path / "plates", sorted(cut.glob("*.npz")))
    arrays = corpus.buckets[288, 224]
    codes = corpus.index["surfaces"]
    assert [int(s) for s in arrays["surface"][-8:]] == [
        0, 1 + codes.index("linen"), 0, 1 + codes.index("dark-wood"), 0, 0, 0, 0,
    ]  # fmt: skip
    assert [int(s) for s in arrays["light"][-8:]] == [0, 1, 0, 0, 0, 0, 0, 0]
