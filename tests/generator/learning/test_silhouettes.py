from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img.errors import BadPhoto, NotEnoughData
from persona_img.generator.buckets import BUCKETS
from persona_img.generator.learning.silhouettes import STANDING, silhouettes, stood


@pytest.fixture
def cut(tmp_path: Path) -> list[Path]:
    path = tmp_path / "one.npz"
    alpha = np.zeros((256, 256), np.uint8)
    alpha[60:190, 40:120] = 255
    np.savez(path, rgb=np.full((256, 256, 3), 90, np.uint8), alpha=alpha)
    return [path]


@pytest.fixture
def standing(tmp_path: Path) -> Path:
    folder = tmp_path / "standing"
    folder.mkdir()
    rgba = np.zeros((120, 60, 4), np.uint8)
    rgba[20:100, 10:50] = (10, 20, 30, 255)
    Image.fromarray(rgba).save(folder / "box.png")
    return folder


def test_photos_lie_where_they_were_taken_and_cut_outs_stand(
    cut: list[Path], standing: Path
) -> None:
    found = silhouettes(cut, standing, 200, 3)
    share = np.mean([one.stands for one in found])
    assert abs(share - STANDING) < 0.12
    for one in found[:30]:
        rgb, mask = one.load()
        assert one.size in BUCKETS
        assert rgb.shape == (*mask.shape, 3)
        assert mask.shape == one.size
        if one.stands:
            assert (rgb[mask > 0.9] == (10, 20, 30)).all()
            bottom = np.flatnonzero(mask.any(axis=1))[-1]
            assert 0.7 < bottom / one.size[0] < 0.95
        else:
            assert np.isclose(mask.mean(), 130 * 80 / 256**2, atol=0.01)


def test_without_such_products_everything_lies(cut: list[Path]) -> None:
    assert not any(one.stands for one in silhouettes(cut, None, 30, 3))


def test_same_seed_same_silhouettes(cut: list[Path], standing: Path) -> None:
    assert silhouettes(cut, standing, 20, 3) == silhouettes(cut, standing, 20, 3)
    assert silhouettes(cut, standing, 20, 3) != silhouettes(cut, standing, 20, 4)


def test_what_stands_fits_on_every_canvas() -> None:
    for shape in ((400, 30), (30, 400)):
        rgba = np.full((*shape, 4), 255, np.uint8)
        for seed in range(8):
            for size in BUCKETS:
                rgb, alpha = stood(rgba, size, np.random.default_rng(seed))
                assert alpha.shape == size
                assert rgb.shape == (*size, 3)
                assert 0 < (alpha > 127).mean() < 0.9


def test_pictures_without_alpha_and_empty_folders_are_refused(
    cut: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    folder.mkdir()
    with pytest.raises(NotEnoughData, match="with alpha"):
        silhouettes(cut, folder, 4, 3)
    Image.new("RGB", (40, 40), "red").save(folder / "whole.png")
    stands = next(one for one in silhouettes(cut, folder, 20, 3) if one.stands)
    with pytest.raises(BadPhoto, match=r"whole\.png"):
        stands.load()
