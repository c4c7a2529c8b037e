from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from numpy.typing import NDArray
from PIL import Image

from persona_img.errors import InvalidInput, NotEnoughData, UnknownStyle, UnreadablePhoto
from persona_img.generator.adapter import FILE, Adapter
from persona_img.generator.codec import Codec
from persona_img.generator.denoiser import new_denoiser
from persona_img.generator.learning.shop_photos import mirrored, shop_plates
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.generator.style_encoder import StyleEncoder
from persona_img.masking.base import ProductMask

pytest.importorskip("peft")
from persona_img.generator.learning import fine_tuning
from persona_img.generator.learning.fine_tuning import FineTuneSettings, fine_tune

RED = (150, 60, 50)
SETTINGS = FineTuneSettings(
    rank=4, updates=12, batch=4, others=2, rate=5e-3, check_every=4, save_every=1e9, seed=3
)


class BlackMasker:
    """Whatever is black is the product."""

    name = "black"
    confidence = 0.9

    def fingerprint(self) -> str:
        return "black"

    def cut(self, photo: NDArray[np.uint8]) -> ProductMask:
        alpha = ((photo.max(axis=2) < 40) * 255).astype(np.uint8)
        return ProductMask(alpha, self.confidence, {}, self.name)


def linen(picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> dict[str, str]:
    return {"surface": "linen"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Black things on a reddish floor."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(10):
        floor = np.clip(np.array(RED) + rng.normal(0, 8, (160, 160, 3)), 45, 255)
        top, left = rng.integers(30, 60, 2)
        floor[top : top + 70, left : left + 60] = 0
        Image.fromarray(floor.astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    surfaces = {"linen": [80, 1, 4, 1.0], "wood": [70, 6, 20, 0.4]}
    encoder = StyleEncoder(surfaces, ["soft", "sun"], {"neutral": [0, 0]}, width=32)
    folder = tmp_path_factory.mktemp("checkpoint")
    BackdropPipeline(
        Codec(8, (16, 16, 32)).eval(),
        new_denoiser(8, 32, (32, 32)).eval(),
        encoder.eval(),
        FlowMatchEulerDiscreteScheduler(),
        steps=4,
        guidance=1.0,
    ).save_pretrained(folder)
    return folder


def tuned(
    photos: Path, checkpoint: Path, folder: Path, settings: FineTuneSettings, **more: Any
) -> dict[str, Any]:
    given = (photos, checkpoint, folder / "work", folder / "out", settings)
    (folder / "work").mkdir(exist_ok=True)
    return fine_tune(*given, BlackMasker(), linen, **more)


@pytest.fixture(scope="module")
def learned(
    photos: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """The report of a fine-tuning as long as it takes to learn something, and its folder."""
    folder = tmp_path_factory.mktemp("learned")
    before = {p: p.read_bytes() for p in checkpoint.rglob("*") if p.is_file()}
    settings = dataclasses.replace(SETTINGS, others=4, updates=40)
    report = tuned(photos, checkpoint, folder, settings)
    assert before == {p: p.read_bytes() for p in checkpoint.rglob("*") if p.is_file()}
    return report, folder


@pytest.mark.slow
def test_a_shops_backdrop_is_learned_and_the_checkpoint_left_as_it_was(
    learned: tuple[dict[str, Any], Path], checkpoint: Path
) -> None:
    report, folder = learned
    for name in ("train", "held_out"):
        assert report["loss"][name]["after"] < 0.95 * report["loss"][name]["before"], name
    assert (report["photos"], report["held_out"], report["surface"]) == (8, 2, "linen")
    assert report["colour"][1] > 15, "the red of the floor, not the black of the things"
    assert report["likeness"]["after"]["colour"] < report["likeness"]["before"]["colour"]
    assert report["bytes"] == (folder / "out" / FILE).stat().st_size < 1_000_000
    adapter = Adapter.load(folder / "out")
    adapter.merge_into(BackdropPipeline.from_pretrained(checkpoint))


@pytest.mark.slow
def test_interrupted_and_resumed_is_in_one_go(
    photos: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    whole = tuned(photos, checkpoint, folders[0], SETTINGS)
    often = dataclasses.replace(SETTINGS, save_every=0.0)
    real, seen = fine_tuning._Tuning.step, []

    def stopping(self: Any, *given: Any) -> float:
        if len(seen) == 7:
            raise KeyboardInterrupt
        seen.append(1)
        return real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(fine_tuning._Tuning, "step", stopping)
        with pytest.raises(KeyboardInterrupt):
            tuned(photos, checkpoint, folders[1], often)
    resumed = tuned(photos, checkpoint, folders[1], often)
    a, b = (Adapter.load(folder / "out").weights for folder in folders)
    for name, value in a.items():
        torch.testing.assert_close(b[name], value)
    assert (resumed["loss"], resumed["best"]) == (whole["loss"], whole["best"])


@pytest.mark.slow
def test_it_stops_where_held_out_photos_gain_nothing_and_keeps_the_best(
    photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    still = dataclasses.replace(SETTINGS, rate=0.0, updates=50, patience=2, check_every=3)
    report = tuned(photos, checkpoint, tmp_path, still)
    assert (report["updates"], report["best"]) == (6, 0)
    assert report["loss"]["held_out"]["after"] == report["loss"]["held_out"]["before"]
    assert all((w == 0).all() for n, w in Adapter.load(tmp_path / "out").weights.items()
               if ".lora_B." in n)  # fmt: skip
    again = tuned(photos, checkpoint, tmp_path, still)
    assert (again["updates"], again["best"]) == (6, 0)


@pytest.mark.slow
def test_other_surfaces_are_held(
    learned: tuple[dict[str, Any], Path], photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    without = dataclasses.replace(SETTINGS, others=0, updates=40)
    free = tuned(photos, checkpoint, tmp_path, without)["likeness"]["others"]["colour"]
    assert learned[0]["likeness"]["others"]["colour"] < 0.7 * free


def test_plates_show_the_backdrop_also_where_the_product_was(photos: Path, tmp_path: Path) -> None:
    plates = shop_plates(photos, BlackMasker(), linen, tmp_path)
    assert len(plates) == 10
    for plate in plates:
        assert (plate.surface, plate.light) == ("linen", None)
        hidden = plate.rgb[plate.mask > 0.9].astype(float)
        np.testing.assert_allclose(hidden.mean(axis=0), RED, atol=6)
        assert plate.known[plate.mask > 0.05].max() == 0
        assert plate.known.mean() > 0.4
        turned = mirrored(plate)
        assert (turned.rgb[:, ::-1] == plate.rgb).all()
        assert (turned.known[:, ::-1] == plate.known).all()


def test_a_photo_that_cannot_be_read_is_left_out(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "empty.jpg").write_bytes(b"")
    with pytest.warns(UnreadablePhoto, match=r"empty\.jpg: not a picture .*left out"):
        assert len(shop_plates(folder, BlackMasker(), linen, tmp_path)) == 10


def test_labels_are_given_or_recognised(photos: Path, tmp_path: Path) -> None:
    masker, count = BlackMasker(), iter(range(100))

    def mostly_wood(*_: Any) -> dict[str, str]:
        return {"surface": "linen" if next(count) < 3 else "wood"}

    assert {p.surface for p in shop_plates(photos, masker, mostly_wood, tmp_path)} == {"wood"}
    given = shop_plates(photos, masker, mostly_wood, tmp_path, surface="linen", light="soft")
    assert {(p.surface, p.light) for p in given} == {("linen", "soft")}
    assert {mirrored(p).light for p in given} == {None}
    with pytest.raises(InvalidInput, match="--surface"):
        shop_plates(photos, masker, lambda *_: {}, tmp_path)


def test_photos_are_cut_once_and_only_trusted_masks_are_used(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop_plates(photos, BlackMasker(), linen, tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(BlackMasker, "cut", None)
        assert len(shop_plates(photos, BlackMasker(), linen, tmp_path / "a")) == 10
    monkeypatch.setattr(BlackMasker, "confidence", 0.4)
    with pytest.raises(NotEnoughData, match="0 of 10"):
        shop_plates(photos, BlackMasker(), linen, tmp_path / "b")


def test_what_cannot_be_learned_is_refused(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        tuned(photos, checkpoint, tmp_path, dataclasses.replace(SETTINGS, rank=0))
    with pytest.raises(UnknownStyle, match="velvet"):
        tuned(photos, checkpoint, tmp_path, SETTINGS, surface="velvet")
