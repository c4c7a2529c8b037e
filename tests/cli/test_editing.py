"""The edits as a person would call them: the program, its output and exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from cli.test_pictures import PHOTO
from program import run

HOODIE = Path(__file__).parents[2] / "experiments/render/products/saleor_saleor-blue-hoodie.png"
COMMANDS = {
    "resize": ("--side", 200),
    "crop": (),
    "white-balance": ("--neutral", "5,5,40,40"),
    "denoise": ("--backdrop-only",),
    "restore": (),
    "inpaint": ("--box", "4,4,9,9"),
    "transfer": ("--reference", PHOTO.with_name("shirt-01.jpg")),
    "upscale": ("--factor", 1.5),
    "packshot": (),
}
FATES = {"resize": "resampled", "upscale": "resampled", "white-balance": "altered",
         "restore": "altered"}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_edit_is_a_command_that_says_what_it_did(name: str, tmp_path: Path) -> None:
    source = {"white-balance": PHOTO.with_name("dress-01.jpg"), "transfer": PHOTO}.get(name, HOODIE)
    done = run("edit", name, source, *COMMANDS[name], "-o", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["name"] == name
    assert line["product"] == FATES.get(name, "untouched")
    with Image.open(line["edited"]) as image:
        assert json.loads(image.info["persona-img-edits"])[0]["after"] == line["after"]
    assert "Example: persona-img edit" in run("edit", name, "--help").stdout.replace("`", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("inpaint", PHOTO), "a --box or an --area"),
        (("crop", HOODIE, "--ratio", "wide"), "write width:height"),
        (("white-balance", PHOTO, "--neutral", "1,2"), "write left,top,width,height"),
    ],
)
def test_wrong_wishes_are_told(arguments: tuple[object, ...], says: str, tmp_path: Path) -> None:
    done = run("edit", *arguments, "-o", tmp_path)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_folder_goes_on_after_a_picture_that_cannot_be_edited(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (100, 100), "white").save(photos / "a.png")
    Image.new("RGB", (300, 300), "white").save(photos / "b.png")
    done = run("edit", "resize", photos, "--side", 200, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "a.png" in done.stderr
    assert (tmp_path / "out" / "b-resize.png").exists()
