"""Masks and cut-outs as files, as a person gives them to the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import disc_cut_out
from program import run

STYLE = ("--style", "surface=plaster,light=side", "--backdrops", "plain")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of a disc on white, and masks of it."""
    made = tmp_path_factory.mktemp("masks")
    values, colours, share = disc_cut_out((255, 0, 255))
    alpha = values[..., 3]
    white = colours * share[..., None] + 235 * (1 - share[..., None])
    Image.fromarray(np.round(white).astype(np.uint8)).save(made / "photo.png")
    Image.fromarray(alpha).save(made / "plain.png")
    silhouette = np.full_like(values, 255)
    silhouette[..., 3] = alpha
    Image.fromarray(silhouette).save(made / "silhouette.png")
    Image.fromarray(values).save(made / "cut-out.png")
    Image.fromarray(np.clip(alpha, 0, 252)).save(made / "dim.png")
    half = alpha.copy()
    half[:, :60] = 0
    Image.fromarray(half).save(made / "half.png")
    return made


@pytest.mark.parametrize("mask", ["silhouette", "cut-out", "dim"])
def test_every_kind_of_mask_renders_and_edits_alike(
    folder: Path, tmp_path: Path, mask: str
) -> None:
    made = []
    for name in ("plain", mask):
        out = tmp_path / name
        done = run("render", folder / "photo.png", *STYLE, "--mask", folder / f"{name}.png",
                   "-o", out, "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        digest = json.loads(done.stdout)["digest"]
        done = run("edit", "packshot", folder / "photo.png", "--mask", folder / f"{name}.png",
                   "-o", out)  # fmt: skip
        assert done.returncode == 0, done.stderr
        made.append((digest, (out / "photo-packshot.png").read_bytes()))
    assert made[0] == made[1]


def test_a_variant_of_a_narrowed_cut_out_is_verified_and_made_again(
    folder: Path, tmp_path: Path
) -> None:
    source = folder / "cut-out.png"
    done = run("render", source, *STYLE, "--mask", folder / "half.png", "-o", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    with Image.open(line["mask"]) as mask:
        assert not np.asarray(mask)[:, :60].any()
    done = run("verify", line["variant"], "--against", source, "--again")
    assert done.returncode == 0, done.stdout
    assert "ok   made again" in done.stdout


def test_a_blemish_is_taken_from_a_transparent_mask(folder: Path, tmp_path: Path) -> None:
    area = np.zeros((150, 150, 4), np.uint8)
    area[5:12, 5:12] = (255, 0, 0, 255)
    Image.fromarray(area).save(tmp_path / "area.png")
    done = run("edit", "inpaint", folder / "photo.png", "--area", tmp_path / "area.png",
               "-o", tmp_path, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parameters"]["share"] == pytest.approx(49 / 150**2, abs=1e-5)


def test_a_reference_that_is_a_cut_out_gives_the_colour_that_is_seen(
    folder: Path, tmp_path: Path
) -> None:
    swatch = np.zeros((90, 90, 4), np.uint8)
    swatch[20:70, 20:70] = (46, 111, 142, 255)
    Image.fromarray(swatch).save(tmp_path / "swatch.png")
    done = run("render", folder / "photo.png", *STYLE, "--mask", folder / "plain.png", "-o",
               tmp_path / "out", "--reference", tmp_path / "swatch.png", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "colour=#2e6f8e" in json.loads(done.stdout)["style"]


@pytest.mark.parametrize(
    ("mask", "says"),
    [("photo.png", "mask"), ("small.png", "of the photo's (150, 150)")],
)
def test_what_is_no_mask_of_the_photo_is_told(
    folder: Path, tmp_path: Path, mask: str, says: str
) -> None:
    Image.new("L", (80, 90), 255).save(folder / "small.png")
    done = run("edit", "packshot", folder / "photo.png", "--mask", folder / mask, "-o", tmp_path)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
