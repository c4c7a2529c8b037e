"""Folders of photos, one after another: what fails is named, and nothing meets or gets lost."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import typer
from PIL import Image

from examples import PHOTOS, a_photo
from persona_img.cli.batch import Batch, say, tell, unreadable_told
from persona_img.errors import BadPhoto, CannotWrite, UnreadablePhoto
from persona_img.imaging import photo as photos_module
from program import run

COMMANDS = {
    "mask": ("mask", "--masker", "classic"),
    "render": ("render", "--masker", "classic", "--backdrops", "plain",
               "--style", "surface=plaster,light=side"),
    "resize": ("edit", "resize", "--side", "100"),
}  # fmt: skip
SUFFIX = {"mask": ".mask.png", "resize": "-resize.png"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, and a file that is none between them."""
    made = tmp_path / "photos"
    made.mkdir()
    for name in ("a.png", "c.png", "d.png"):
        Image.fromarray(a_photo(120).pixels).save(made / name)
    (made / "b.jpg").write_bytes(b"")
    return made


def results(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix == ".png" and ".mask." not in p.name)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_cannot_be_read_is_named_and_the_rest_is_made(
    name: str, folder: Path, tmp_path: Path
) -> None:
    done = run(*COMMANDS[name], folder, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert f"{folder / 'b.jpg'}: not a picture we can read" in done.stderr
    assert "1 of 4 photos failed" in done.stderr
    assert len(done.stdout.splitlines()) == 3
    kept = [p.name.split(".")[0].split("-")[0] for p in (tmp_path / "out").glob("*.png")]
    assert set(kept) == {"a", "c", "d"}


def test_a_sheet_has_a_row_for_each_photo_that_can_be_read(folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.jpg"
    asked = ("--style", "surface=plaster", "--backdrops", "plain", "--side", 64)
    assert run("sheet", folder / "a.png", *asked, "-o", sheet).returncode == 0
    with Image.open(sheet) as image:
        one = image.height
    done = run("sheet", folder, *asked, "-o", sheet)
    assert done.returncode == 1
    assert "b.jpg: not a picture" in done.stderr
    with Image.open(sheet) as image:
        assert image.height - 12 == 3 * (one - 12)
        assert image.info["comment"] == b"persona-img-sheet"


def test_nothing_readable_nothing_made(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    done = run("mask", folder, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "no photo in this folder" in done.stderr
    assert not (tmp_path / "out").exists()
    (folder / "x.jpg").write_bytes(b"no")
    done = run("sheet", folder, "-o", tmp_path / "sheet.jpg", "--backdrops", "plain")
    assert done.returncode == 1
    assert "x.jpg: not a picture" in done.stderr
    assert not (tmp_path / "sheet.jpg").exists()


@pytest.mark.parametrize("name", ["mask", "resize"])
def test_photos_of_one_stem_give_two_results(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for suffix, size in ((".jpg", 120), (".png", 140), (".PNG", 160)):
        Image.fromarray(a_photo(size).pixels).save(folder / f"item{suffix}")
    done = run(*COMMANDS[name], folder, "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    made = {Path(line["photo"]).name: line[{"mask": "mask"}.get(name, "edited")] for line in lines}
    assert len({path.lower() for path in made.values()}) == 3
    assert Path(made["item.jpg"]).name == f"item.jpg{SUFFIX[name]}"
    alone = run(*COMMANDS[name], folder / "item.png", "-o", tmp_path / "alone", "--json")
    assert Path(json.loads(alone.stdout)[{"mask": "mask"}.get(name, "edited")]).name == (
        Path(made["item.png"]).name
    )


@pytest.mark.slow
def test_results_in_the_photos_folder_are_not_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(PHOTOS / "knitwear-02.jpg", folder / "hat.jpg")
    sheet = ("sheet", folder, "--backdrops", "plain", "--style", "surface=plaster", "--side", 64)
    for _ in range(2):
        for command in COMMANDS.values():
            done = run(*command, folder, "-o", folder)
            assert done.returncode == 0, done.stderr
            assert len(done.stdout.splitlines()) == 1
        assert run(*sheet, "-o", folder / "sheet.png").returncode == 0
    assert len(list(folder.iterdir())) == 1 + 1 + 3 + 2 + 1
    assert "hat.mask.png: skipped, a mask made by persona-img" in done.stderr
    assert "sheet.png: skipped" in run("mask", folder, "-o", folder / "out").stderr
    assert "out: skipped, a folder" in run("mask", folder, "-o", folder / "out").stderr


def test_one_edit_goes_on_with_what_another_made(folder: Path, tmp_path: Path) -> None:
    run("edit", "resize", folder, "--side", 110, "-o", tmp_path / "small")
    done = run("edit", "denoise", tmp_path / "small", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "out") == [f"{n}-resize-denoise.png" for n in "acd"]


def test_a_merchants_file_is_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "a-resize.png", "a.mask.png"):
        Image.fromarray(a_photo(120).pixels).save(folder / name)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    for name, made in (("resize", "a-resize.png"), ("mask", "a.mask.png")):
        done = run(*COMMANDS[name], folder, "-o", folder)
        assert done.returncode == 1
        assert f"{folder / made}: is there already and was not made by persona-img" in done.stderr
    sheet = ("--backdrops", "plain", "--count", 1)
    done = run("sheet", folder, *sheet, "-o", folder / "a.png")
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert all(path.read_bytes() == data for path, data in before.items())


def test_odd_names_come_through(tmp_path: Path) -> None:
    folder = tmp_path / "[red]100% :smile:"
    folder.mkdir()
    odd = ["-o.png", "two\nlines.png", "100%s.png", "[bold]x.png", "ü 🎩.png", "a" * 240 + ".png"]
    for name in odd:
        Image.fromarray(a_photo(120).pixels).save(folder / name)
    raw = os.fsdecode(os.fsencode(folder) + b"/latin\xff.png")
    Path(raw).write_bytes((folder / "-o.png").read_bytes())
    done = run(*COMMANDS["resize"], folder, "-o", tmp_path / "out")
    assert done.returncode == 1, done.stderr  # only the longest is too long for a result's name
    assert "a.png: " not in done.stdout
    assert "File name too long" in done.stderr
    assert len(done.stdout.splitlines()) == len(odd)
    assert "two\\nlines-resize.png" in done.stdout
    assert len(results(tmp_path / "out")) == len(odd)
    (folder / "empty[b].jpg").write_bytes(b"")
    done = run(*COMMANDS["mask"], folder / "empty[b].jpg", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert f"{folder / 'empty[b].jpg'}" in done.stderr


def test_a_name_almost_too_long_is_no_obstacle(tmp_path: Path) -> None:
    photo = tmp_path / ("a" * 240 + ".png")
    Image.fromarray(a_photo(120).pixels).save(photo)
    done = run(*COMMANDS["mask"], photo, "-o", tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_ends_the_run_with_nothing_half_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = os.fsync, [3]

    def filling(file: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", filling)
    done = run(*COMMANDS["resize"], folder, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "make room" in done.stderr
    assert "2 of 4 photos are done" in done.stderr  # the unreadable one is told
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a-resize.png", "a-resize.edit.json"}


@pytest.mark.parametrize(("name", "says"), [("mask", "2 of 4"), ("sheet", "nothing is written")])
def test_stopped_in_the_middle_what_is_done_stays(
    name: str, says: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = photos_module.load_photo

    def stopped(source: Path) -> object:
        if source.name == "c.png":
            raise KeyboardInterrupt
        return real(source)

    monkeypatch.setattr(photos_module, "load_photo", stopped)
    out = tmp_path / "out"
    if name == "sheet":
        done = run("sheet", folder, "--backdrops", "plain", "--count", 1, "-o", out / "sheet.jpg")
    else:
        done = run(*COMMANDS[name], folder, "-o", out)
    assert done.returncode == 130
    assert says in done.stderr
    assert [p.name for p in out.iterdir()] == (["a.mask.png"] if name == "mask" else [])
    monkeypatch.undo()
    if name == "mask":
        first = (out / "a.mask.png").read_bytes()
        assert run(*COMMANDS[name], folder, "-o", out).returncode == 1
        assert (out / "a.mask.png").read_bytes() == first


def photos(tmp_path: Path, count: int = 5) -> Path:
    for number in range(count):
        Image.fromarray(a_photo(120).pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def test_photos_made_at_the_same_time_are_told_of_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = Batch(photos(tmp_path))
    meet = threading.Barrier(2, timeout=30)  # passes only where two are made at once

    def make(path: Path, name: str) -> None:
        if name in "01":
            meet.wait()
        time.sleep(0.05 * (5 - int(name)))
        say(f"made {name}")
        if name == "3":
            raise BadPhoto(f"{path}: odd")
        say(f"and {name}")

    batch.each(make, workers=2)
    told = capsys.readouterr()
    lines = [f"{word} {n}" for n in range(5) for word in ("made", "and") if (word, n) != ("and", 3)]
    assert told.out.split("\n") == [*lines, ""]
    assert "3.png: odd" in told.err
    with pytest.raises(typer.Exit):
        batch.finish()


@pytest.mark.parametrize("reason", [KeyboardInterrupt, CannotWrite])
def test_what_has_begun_when_it_ends_is_finished_and_told_of(
    reason: type[BaseException], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = Batch(photos(tmp_path))
    begun: list[str] = []
    second = threading.Event()

    def make(path: Path, name: str) -> None:
        begun.append(name)
        if name == "0":
            second.wait(30)
            raise reason("enough")
        second.set()
        time.sleep(0.3)
        say(f"made {name}")

    with pytest.raises((typer.Exit, CannotWrite)):
        batch.each(make, workers=2)
    told = capsys.readouterr()
    made = [name for name in begun if name != "0"]
    assert 1 <= len(made) < 4
    assert told.out.split("\n") == [*(f"made {name}" for name in made), ""]
    assert f"{len(made)} of 5 photos are done" in told.err


def test_every_command_says_that_it_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_img.rendering.proof.certificate.verify", _stop)
    done = run("verify", PHOTOS / "dress-01.jpg", "--against", PHOTOS / "dress-01.jpg")
    assert done.returncode == 130
    assert "run the same command again" in done.stderr


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_on_a_terminal_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(stream: io.StringIO) -> str:
        with contextlib.redirect_stderr(stream):
            Batch(folder).each(lambda path, name: None, "masks")
        return stream.getvalue()

    assert "4/4" in seen(Terminal())
    assert "masks" in seen(Terminal())
    assert seen(io.StringIO()) == ""


def test_reading_a_folder_needs_one_photo(folder: Path) -> None:
    assert len(Batch(folder).load()) == 3
    for path in folder.glob("*.png"):
        path.unlink()
    with pytest.raises(BadPhoto, match="no photo of this folder can be read"):
        Batch(folder).load()


def test_what_a_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "stderr", narrow)
    say("ü\x1b[31m\udcff")
    tell("a\nb")
    narrow.flush()
    assert narrow.buffer.getvalue() == b"\\xfc\\x1b[31m\\udcff\na\\nb\n"  # type: ignore[attr-defined]


def test_a_mask_is_of_one_photo(folder: Path, tmp_path: Path) -> None:
    for command in (("edit", "crop"), ("render",)):
        done = run(*command, folder, "--mask", folder / "a.png", "-o", tmp_path / "out")
        assert done.returncode == 2
        assert "--mask with 4 photos: give one photo" in done.stderr
    assert not (tmp_path / "out").exists()


def test_inpaint_is_for_one_photo(folder: Path, tmp_path: Path) -> None:
    done = run("edit", "inpaint", folder, "--box", "1,1,2,2", "-o", tmp_path)
    assert done.returncode == 2
    assert "give one photo" in done.stderr


def test_what_learning_leaves_out_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    done = []

    def learn() -> None:
        with unreadable_told():
            for name in ("a.jpg", "b.jpg", "a.jpg"):
                warnings.warn(f"{name}: cannot be read; left out", UnreadablePhoto, stacklevel=1)
            done.append("learned")

    with pytest.raises(typer.Exit) as ended:
        learn()
    assert ended.value.exit_code == 1
    assert done == ["learned"]
    assert capsys.readouterr().err.splitlines() == [
        "a.jpg: cannot be read; left out",
        "b.jpg: cannot be read; left out",
        "2 photos were left out, as told above",
    ]
    with unreadable_told():
        pass
    with pytest.warns(UserWarning, match="another"), unreadable_told():
        warnings.warn("another", stacklevel=1)
