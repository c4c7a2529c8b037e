from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contracts.masker import MaskerContract, boxed
from persona_img.assets import ASSETS
from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.imaging.photo import load_photo
from persona_img.masking.learned import LearnedMasker
from persona_img.masking.learning.corpus import UNKNOWN, MaskCorpus, MaskCorpusSettings, cut_photos
from persona_img.masking.learning.training import MaskTrainingSettings, mask_loss, train_masker
from persona_img.masking.network import MaskNet

PHOTOS = sorted((Path(__file__).parents[1] / "data" / "photos").glob("*.jpg"))


class TestLearnedMasker(MaskerContract):
    def make(self) -> LearnedMasker:
        return LearnedMasker(ASSETS / "masker")


@pytest.fixture(scope="module")
def corpus_settings(tmp_path_factory: pytest.TempPathFactory) -> MaskCorpusSettings:
    folder = tmp_path_factory.mktemp("masker")
    rng = np.random.default_rng(1)
    for i in range(9):
        tile = folder / "textures" / "Wood" / f"Wood_{i:03}.png"
        tile.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(90, 160, (64, 64, 3)).astype(np.uint8)).save(tile)
    return MaskCorpusSettings(
        photos=ASSETS / "catalog" / "photos",
        textures=folder / "textures",
        leave_out=frozenset({"shoes-04"}),
        max_photos=12,
        made=9,
        seed=3,
    )


@pytest.fixture(scope="module")
def cut(corpus_settings: MaskCorpusSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder where the photos are cut already."""
    work = tmp_path_factory.mktemp("work")
    cut_photos(corpus_settings, work / "cut", workers=1)
    return work / "cut"


@pytest.fixture(scope="module")
def small() -> MaskTrainingSettings:
    return MaskTrainingSettings(
        small_steps=2, full_steps=2, small_batch=2, full_batch=2, save_every=0.0, seed=5
    )


def test_what_the_shipped_masker_cuts_is_close_to_a_known_box() -> None:
    alpha = LearnedMasker(ASSETS / "masker").cut(boxed(533, 400)).alpha > 127
    truth = np.zeros((533, 400), bool)
    truth[133:399, 100:300] = True
    assert (alpha & truth).sum() / (alpha | truth).sum() > 0.95


@pytest.mark.parametrize("path", PHOTOS, ids=lambda p: p.stem)
def test_the_shipped_masker_agrees_with_the_classic_one_on_easy_photos(path: Path) -> None:
    from persona_img.masking.classic import ClassicMasker

    pixels = load_photo(path).pixels
    learned = LearnedMasker(ASSETS / "masker").cut(pixels).alpha > 127
    classic = ClassicMasker().cut(pixels).alpha > 127
    assert (learned & classic).sum() / (learned | classic).sum() > 0.93


@pytest.mark.parametrize("product", ["dress-06", "shoes-01"])
def test_what_the_classic_masker_gets_wrong_unknowingly_asks_for_a_person(product: str) -> None:
    from persona_img.masking.classic import ClassicMasker

    pixels = load_photo(ASSETS / "catalog" / "photos" / f"{product}.jpg").pixels
    assert ClassicMasker().cut(pixels).trusted  # tassels and straps lost, floor kept
    assert not LearnedMasker(ASSETS / "masker").cut(pixels).trusted


def test_a_hanger_and_the_floor_seen_through_a_neckline_are_no_product() -> None:
    pixels = load_photo(ASSETS / "catalog" / "photos" / "dress-02.jpg").pixels
    alpha = LearnedMasker(ASSETS / "masker").cut(pixels).alpha
    for x, y in ((190, 84), (189, 107), (195, 134), (190, 120)):  # hook, two bars, floor between
        assert alpha[y, x] < 32, (x, y)
    for x, y in ((190, 300), (120, 110), (262, 120), (195, 172)):  # skirt, sleeves, ruffle
        assert alpha[y, x] == 255, (x, y)


def test_a_folder_without_a_masker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="train-masker"):
        LearnedMasker(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(InvalidInput, match="not a masker"):
        LearnedMasker(tmp_path).cut(boxed(200, 200))


def test_another_calibration_is_another_fingerprint(tmp_path: Path) -> None:
    net = MaskNet((8, 8, 8, 8), (1, 1, 1, 1), (1, 1, 1))
    net.save(tmp_path / "a")
    net.save(tmp_path / "b", confidence={"offset": 1.0, "weights": {}})
    a, b = (LearnedMasker(tmp_path / name).fingerprint() for name in "ab")
    assert a != b


@pytest.mark.parametrize("side", [None, 256, 512])
def test_a_masker_looks_at_the_size_it_was_taught(tmp_path: Path, side: int | None) -> None:
    net = MaskNet((8, 8, 8, 8), (1, 1, 1, 1), (1, 1, 1))
    net.save(tmp_path, **({} if side is None else {"side": side}))
    small, straight, _ = LearnedMasker(tmp_path).views(boxed(533, 400))
    wanted = side or 384
    assert small.shape == (wanted, wanted * 3 // 4, 3)
    assert straight.shape == small.shape[:2]


def test_a_size_that_the_network_cannot_see_is_refused(tmp_path: Path) -> None:
    MaskNet((8, 8, 8, 8), (1, 1, 1, 1), (1, 1, 1)).save(tmp_path, side=400)
    with pytest.raises(InvalidInput, match="multiple of 128"):
        LearnedMasker(tmp_path).cut(boxed(200, 200))


def test_a_network_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = MaskNet((8, 16, 16, 16), (1, 1, 1, 1), (1, 1, 1)).eval()
    for weights in net.parameters():
        weights.data.normal_(0, 0.2)
    net.save(tmp_path, steps=3)
    again, facts = MaskNet.load(tmp_path)
    assert facts["steps"] == 3
    picture, prior = torch.rand(1, 3, 64, 96) * 2 - 1, torch.rand(1, 1, 16, 24)
    with torch.inference_mode():
        found, wanted = again(picture, prior), net(picture, prior)
    assert found.shape == (1, 1, 64, 96)
    assert torch.allclose(found, wanted, atol=0.05, rtol=0.05)


def test_unknown_pixels_count_for_nothing_and_the_edge_for_more() -> None:
    target, weight = torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    target[..., 20:44, 20:44] = 1
    right = target * 20 - 10
    wrong = right.clone()
    wrong[..., :4, :] = 10
    weight[..., :4, :] = 0
    assert mask_loss(wrong, target, weight, 2.0) == mask_loss(right, target, weight, 2.0)
    near, far = right.clone(), right.clone()
    near[..., 18, 20:44] = 10
    far[..., 55, 20:44] = 10
    full = torch.ones_like(weight)
    assert mask_loss(near, target, full, 2.0) > mask_loss(far, target, full, 2.0)


@pytest.mark.slow
def test_a_training_that_is_stopped_goes_on_to_the_same_masker(
    corpus_settings: MaskCorpusSettings,
    small: MaskTrainingSettings,
    cut: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "cut").symlink_to(cut)
    whole = train_masker(corpus_settings, small, tmp_path / "work", tmp_path / "whole")
    name = "model.safetensors"
    (tmp_path / "work" / "masker.pt").unlink()

    class Stopped(Exception):
        pass

    def stop(net: MaskNet, folder: Path, **facts: object) -> None:
        if facts["steps"] == 3:
            raise Stopped

    monkeypatch.setattr(MaskNet, "save", stop)
    with pytest.raises(Stopped):
        train_masker(corpus_settings, small, tmp_path / "work", tmp_path / "parts")
    monkeypatch.undo()
    parts = train_masker(corpus_settings, small, tmp_path / "work", tmp_path / "parts")
    assert json.loads((parts / "config.json").read_text())["steps"] == 4
    assert (parts / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
def test_the_corpus_holds_scenes_and_photos_and_leaves_out_what_it_was_told(
    corpus_settings: MaskCorpusSettings, cut: Path, tmp_path: Path
) -> None:
    written = {p.stem for p in cut.iterdir()}
    found = cut_photos(corpus_settings, cut, workers=1)
    assert {p.stem for p in found} <= written
    assert len(written) == corpus_settings.max_photos
    assert "shoes-04" not in written
    corpus = MaskCorpus.build(corpus_settings, tmp_path / "corpus", found, workers=1)
    real = sum(int(np.asarray(a["real"]).sum()) for a in corpus.shapes.values())
    total = sum(len(a["real"]) for a in corpus.shapes.values())
    assert (real, total) == (len(found), len(found) + corpus_settings.made)
    for arrays in corpus.shapes.values():
        made = np.asarray(arrays["real"]) == 0
        assert (np.asarray(arrays["label"])[made] != UNKNOWN).all()
    with pytest.raises(NotEnoughData, match="add photos"):
        MaskCorpus.build(corpus_settings, tmp_path / "few", found[:3])
