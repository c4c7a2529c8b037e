"""A person's answer on the command line: points, a box, a mask to begin with, a page, a product."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from examples import a_photo
from persona_img.imaging.drawn import drawn_by_person
from persona_img.imaging.mask_file import load_mask
from persona_img.shop import Shop
from pictures import disc_cut_out
from program import run

CLASSIC = ("--masker", "classic")
HOLE = (58, 106)  # x, y on the disc


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc with a print of the floor's colour, and a second thing beside it."""
    made = tmp_path_factory.mktemp("corrections")
    pixels = a_photo().pixels.copy()
    yy, xx = np.mgrid[:160, :160]
    grain = np.random.default_rng(2).integers(-4, 5, (160, 160, 1))
    for (x, y), radius, colour in ((HOLE, 12, (214, 204, 190)), ((140, 20), 12, (200, 30, 30))):
        inside = np.hypot(yy - y, xx - x) < radius
        pixels[inside] = np.array(colour) + grain[inside]
    Image.fromarray(pixels).save(made / "photo.png")
    return made


def mask_of(out: Path) -> np.ndarray:
    return load_mask(out / "photo.mask.png")


def test_points_put_a_mask_right_in_pixels_or_in_shares(folder: Path, tmp_path: Path) -> None:
    photo = folder / "photo.png"
    done = run("mask", photo, *CLASSIC, "-o", tmp_path / "before")
    assert done.returncode == 0, done.stderr
    before = mask_of(tmp_path / "before")
    assert before[106, 58] == 0
    assert before[20, 140] == 255
    made = []
    for name, keep, drop in (("px", "58,106", "140,20"), ("share", "0.3625,.6625", "0.875,0.125")):
        done = run("mask", photo, *CLASSIC, "--keep", keep, "--drop", drop, "-o", tmp_path / name,
                   "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        line = json.loads(done.stdout)
        assert (line["masker"], line["confidence"]) == ("supplied", 1.0)
        made.append(Path(line["mask"]).read_bytes())
    assert made[0] == made[1]
    after = mask_of(tmp_path / "px")
    yy, xx = np.mgrid[:160, :160]
    assert (after[np.hypot(yy - 88, xx - 77) < 40] > 250).mean() > 0.99
    assert not after[:40, 120:].any()
    assert drawn_by_person(tmp_path / "px" / "photo.mask.png")
    assert not drawn_by_person(tmp_path / "before" / "photo.mask.png")


def test_a_mask_of_an_earlier_run_goes_on(folder: Path, tmp_path: Path) -> None:
    photo, mask = folder / "photo.png", tmp_path / "photo.mask.png"
    assert run("mask", photo, *CLASSIC, "--keep", "58,106", "-o", tmp_path).returncode == 0
    done = run("mask", photo, "--mask", mask, "--drop", "140,20", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    after = load_mask(mask)
    assert (after[106, 58], after[20, 140]) == (255, 0)


def test_a_box_leaves_out_what_lies_beside_it(folder: Path, tmp_path: Path) -> None:
    done = run("mask", folder / "photo.png", *CLASSIC, "--box", "25,35,130,145", "-o", tmp_path,
               "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["masker"] == "classic"  # the box is the person's, the mask is not
    after = mask_of(tmp_path)
    assert not after[:35].any()
    assert after[88, 50] == 255


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--keep", "77"), "--keep 77: write x,y as 2 whole pixels"),
        (("--keep", "77,88,3"), "write x,y"),
        (("--drop", "77,0.5"), "--drop 77,0.5: write x,y"),
        (("--drop", "0.5,1.5"), "1.0 at most"),
        (("--keep", "-3,5"), "--keep -3,5: write x,y"),
        (("--keep", "160,5"), "point 160,5: the photo is 160 x 160"),
        (("--keep", "9,9", "--drop", "9,9"), "is both kept and dropped"),
        (("--box", "1,2,3"), "--box 1,2,3: write left,top,right,bottom"),
        (("--box", "90,10,20,80"), "give left, top, right and bottom"),
        (("--drop", "77,88", "--drop", "50,88", "--drop", "110,88", "--box", "60,70,76,100"),
         "no product to keep"),
        (("--forget",), "say --product"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    folder: Path, tmp_path: Path, given: tuple[str, ...], says: str
) -> None:
    done = run("mask", folder / "photo.png", *CLASSIC, *given, "-o", tmp_path)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert not list(tmp_path.glob("*.png"))


def test_points_are_of_one_photo_and_of_a_photo_or_a_product(folder: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes((folder / "photo.png").read_bytes())
    done = run("mask", tmp_path, "--keep", "5,5", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "2 photos" in done.stderr
    for neither_nor in ((), (folder / "photo.png", "--product", "x")):
        done = run("mask", *neither_nor, "-o", tmp_path / "out")
        assert done.returncode == 2
        assert "one of them" in done.stderr


def test_nothing_is_brought_back_where_a_photo_is_transparent(tmp_path: Path) -> None:
    Image.fromarray(disc_cut_out()[0]).save(tmp_path / "photo.png")
    done = run("mask", tmp_path / "photo.png", "--keep", "3,3", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "--keep 3,3: the photo is transparent there" in " ".join(done.stderr.split())
    done = run("mask", tmp_path / "photo.png", "--drop", "75,75", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert mask_of(tmp_path / "out")[75, 75] == 0


def fixing(*arguments: object, cwd: Path) -> tuple[subprocess.Popen[str], str]:
    """The command, started, and the address that it tells."""
    command = [sys.executable, "-m", "persona_img", "mask", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", line):
            return process, found.group()
    raise AssertionError(process.communicate()[1])


@pytest.mark.slow
def test_a_page_keeps_what_a_brush_painted_and_ends_the_command(
    folder: Path, tmp_path: Path
) -> None:
    process, url = fixing(folder / "photo.png", *CLASSIC, "--fix", "-o", "out", cwd=tmp_path)
    stroke = {"keep": True, "points": [[58.5 / 160, 106.5 / 160]], "radius": 0.03, "follow": True}
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert "Put the mask right" in client.get("").text
        assert client.post("stroke", json=stroke).json()["changed"]
        assert not (tmp_path / "out" / "photo.mask.png").exists()
        told = client.post("save").json()["saved"]
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert str(tmp_path / "out" / "photo.mask.png") in told
    assert "confidence 1.00" in said
    assert mask_of(tmp_path / "out")[106, 58] == 255


@pytest.mark.slow
def test_a_page_that_is_left_keeps_nothing(folder: Path, tmp_path: Path) -> None:
    process, url = fixing(folder / "photo.png", *CLASSIC, "--fix", "-o", "out", cwd=tmp_path)
    httpx.post(f"{url}leave", trust_env=False)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "nothing is saved" in told
    assert not list((tmp_path / "out").iterdir())


def test_a_products_mask_is_put_right_kept_and_forgotten(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "shop"
    added = run("catalog", "add", folder / "photo.png", "--category", "hat", "--licence", "own",
                "--home", home)  # fmt: skip
    assert added.returncode == 0, added.stderr
    of = ("mask", "--product", "photo", "--home", home)
    done = run(*of, *CLASSIC, "--keep", "58,106", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mask"] == str(Shop.open(home).catalog["photo"].mask)
    assert run(*of, "--drop", "140,20").returncode == 0  # it goes on from what is kept
    alpha = Shop.open(home).photo("photo").alpha
    assert alpha is not None
    assert (alpha[106, 58], alpha[20, 140]) == (255, 0)
    assert "photo.mask" not in run("catalog", "list", "--home", home).stdout
    assert ".mask.png" in run("catalog", "show", "photo", "--home", home).stdout
    assert "forgotten" in run(*of, "--forget").stdout
    assert Shop.open(home).photo("photo").alpha is None
    for given, says in (
        ((), "say what is to become of its mask"),
        (("--forget", "--keep", "1,1"), "--forget alone"),
        (("--keep", "1,1", "--product", "no"), "'no' is not in the catalogue"),
    ):
        done = run(*of, *given)
        assert done.returncode == 2
        assert says in " ".join(done.stderr.split())
