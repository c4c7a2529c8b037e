"""Scenes made in batches, tried on the CPU: ``experiments/masker/on_gpu``."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contracts.masker import boxed
from persona_img.masking.inputs import border_prior

sys.path.insert(0, str(Path(__file__).parents[3] / "experiments" / "masker" / "on_gpu"))
import labels
import pack
import pixels
from bank import Bank
from batches import Batches
from camera import Camera
from scenes import Scenes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(0)

    def picture(channels: int = 3) -> Image.Image:
        return Image.fromarray(rng.integers(0, 255, (64, 64, channels), dtype=np.uint8))

    for name in ("tiles", "materials", "scenes", "backs"):
        pack.write(folder, name, [(str(i), pack.webp(picture(), 80)) for i in range(2)])
    product = np.full((200, 160, 4), 255, np.uint8)
    product[..., 3] = 0
    product[40:160, 30:130, 3] = 255
    pack.write(folder, "alpha", [("plimsolls", pack.webp(Image.fromarray(product), 90))])
    with ThreadPoolExecutor(1) as pool:
        made = Bank(folder, "cpu", pool)
    made.set_products([])
    return made


def made(bank: Bank, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    picture, alpha = Scenes(bank, "cpu", rng).scene(6, 64, 64)
    return Camera("cpu", rng).photographed(picture, torch.ones(6)), alpha


def test_a_seed_makes_the_same_scenes_and_another_makes_others(bank: Bank) -> None:
    first, again, other = made(bank, 1), made(bank, 1), made(bank, 2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    for pictures, alpha in (first, other):
        assert pictures.shape == (6, 3, 64, 64)
        assert alpha.shape == (6, 1, 64, 64)
        for values in (pictures, alpha):
            assert values.min() >= 0
            assert values.max() <= 1
        assert ((alpha > 0.5).float().mean((1, 2, 3)) > 0.01).sum() >= 5


def test_the_prior_of_a_batch_is_the_maskers(bank: Bank) -> None:
    photo = boxed(384, 288)
    wanted = border_prior(photo).astype(float) / 255
    batch = torch.from_numpy(photo).permute(2, 0, 1)[None].float()
    found = pixels.border_prior(batch)[0, 0].numpy()
    assert np.abs(found - wanted).mean() < 0.05
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.95


def test_a_label_is_known_where_the_network_is_sure_and_seconded() -> None:
    low = np.zeros((128, 96), np.uint8)
    low[30:90, 20:70] = 250
    high, old = low.copy(), low.copy()
    high[100:110, 20:40] = 120  # the mirror is not sure there
    old[40:60, 30:50] = 0  # and here the other masker says something else
    label, alpha, known = labels.label_from(low, high, old, alone=False)
    assert (label[102:108, 24:36] == labels.UNKNOWN).all()
    assert (label[42:58, 32:48] == labels.UNKNOWN).all()
    assert (label[65:85, 25:65] == 254).all()
    assert (label[:20] == 0).all()
    assert alpha is None, "so much doubt makes no cut-out"
    trusted, cut, more = labels.label_from(low, low, old, alone=True)
    assert (trusted[42:58, 32:48] == 254).all()
    assert more > known
    assert cut is not None
    assert (cut[35:85, 25:65] > 200).all()


def test_what_fails_while_batches_are_made_is_raised_where_they_are_used() -> None:
    made = iter([(torch.zeros(1),)])
    batches = Batches(lambda: next(made), "cpu")
    assert torch.equal(batches.get()[0], torch.zeros(1))
    with pytest.raises(StopIteration):
        batches.get()
    batches.stop()
    assert not batches.thread.is_alive()
