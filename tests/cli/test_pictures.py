"""Commands on photos alone: the real program, its output and exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persona_img import wiring
from persona_img.errors import InvalidInput
from persona_img.settings import Pretrained, Settings
from program import run, run_apart

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "knitwear-02.jpg"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    out = tmp_path_factory.mktemp("out")
    done = run_apart("render", PHOTO, "--style", "surface=plaster,light=side", "--backdrops",
                     "plain", "--seed", 3, "-o", out, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1
    return out, json.loads(lines[0])


def test_render_prints_a_json_line_with_every_path(made: tuple[Path, dict[str, str]]) -> None:
    _, line = made
    for name in ("variant", "mask", "certificate"):
        assert Path(line[name]).exists(), name
    assert len(line["digest"]) == 64
    assert line["seconds"]
    with Image.open(line["variant"]) as variant, Image.open(PHOTO) as photo:
        assert variant.size == photo.size


def test_verify_passes_and_one_changed_product_pixel_fails_it(
    made: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    _, line = made
    assert run("verify", line["variant"], "--against", PHOTO).returncode == 0
    for name in ("variant", "mask", "certificate"):
        source = Path(line[name])
        (tmp_path / source.name).write_bytes(source.read_bytes())
    touched = tmp_path / Path(line["variant"]).name
    pixels = np.asarray(Image.open(touched).convert("RGB")).copy()
    core = np.argwhere(np.asarray(Image.open(line["mask"])) == 255)
    certificate = json.loads(Path(line["certificate"]).read_text())
    dx, dy = certificate["offset"]
    y, x = core[len(core) // 2]
    pixels[y + dy, x + dx, 1] ^= 1
    Image.fromarray(pixels).save(touched)
    done = run_apart("verify", touched, "--against", PHOTO)
    assert done.returncode == 1
    assert "FAIL" in done.stdout


def test_the_same_call_makes_the_same_bytes(
    made: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    _, line = made
    done = run("render", PHOTO, "--style", "surface=plaster,light=side", "--backdrops", "plain",
               "--seed", 3, "-o", tmp_path, "--json")  # fmt: skip
    assert json.loads(done.stdout)["digest"] == line["digest"]


def test_mask_is_eight_bits_of_the_photos_size(tmp_path: Path) -> None:
    assert run("mask", PHOTO, "-o", tmp_path).returncode == 0
    with Image.open(tmp_path / "knitwear-02.mask.png") as mask, Image.open(PHOTO) as photo:
        assert mask.mode == "L"
        assert mask.size == photo.size


@pytest.mark.parametrize(
    ("style", "says"),
    [
        ("surface=velvet", "light-wood"),
        ("mood=happy", "surface, palette"),
        ("surface=", "attribute=value"),
        ("surface=dark-wood,palette=sage", "forbidden"),
        ("original", "photo itself"),
    ],
)
def test_a_wrong_style_is_an_error_and_nothing_is_written(
    tmp_path: Path, style: str, says: str
) -> None:
    out = tmp_path / "out"
    done = run("render", PHOTO, "--style", style, "-o", out)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert not out.exists()


def test_a_broken_photo_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(PHOTO.read_bytes()[:3000])
    for command, program in (("render", run), ("mask", run_apart)):
        done = program(command, tmp_path / "x.jpg", "-o", tmp_path / "out")
        assert done.returncode == 2, command
        assert "truncated" in done.stderr
    (tmp_path / "empty").mkdir()
    assert run("mask", tmp_path / "empty", "-o", tmp_path / "out").returncode == 2
    assert run("mask", tmp_path / "nowhere.jpg", "-o", tmp_path / "out").returncode == 2
    assert not list((tmp_path).glob("out/*"))


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("mask", PHOTO, "-o", tmp_path / "file")
    assert done.returncode == 2
    assert "file" in done.stderr


@pytest.mark.parametrize(
    ("command", "option"),
    [(["render", "--backdrops", "pretrained"], "--backdrop-model"),
     (["mask", "--masker", "transformers"], "--masker-model")],
)  # fmt: skip
def test_a_model_that_is_not_named_is_asked_for(
    tmp_path: Path, command: list[str], option: str
) -> None:
    done = run(command[0], PHOTO, *command[1:], "-o", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert option in done.stderr


def test_what_a_model_is_told_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def renderer(settings: Settings) -> None:
        asked.append(settings.pretrained)
        raise InvalidInput("enough is known")

    monkeypatch.setattr(wiring, "renderer", renderer)
    done = run("render", PHOTO, "--backdrops", "pretrained", "--backdrop-model", "here/z-image",
               "--words", "ceramic mug", "--prompt", "a lemon", "--negative", "roses",
               "--look", PHOTO, "--ip-adapter", "here/adapters, models ,ip.safetensors",
               "--ip-scale", "0.4", "--lora", "here/lora", "--lora-scale", "0.7",
               "--controlnet", "here/edges", "--control-scale", "0.5", "--steps", "9",
               "--guidance", "0", "--model-batch", "4", "--memory", "model", "--quantise", "int8",
               "--revision", "abc", "--accept-licence", "-o", tmp_path)  # fmt: skip
    assert "enough is known" in done.stderr
    assert asked == [
        Pretrained(
            model="here/z-image", product="ceramic mug", prompt="a lemon", negative="roses",
            look=PHOTO, ip_adapter=("here/adapters", "models", "ip.safetensors"), ip_scale=0.4,
            lora="here/lora", lora_scale=0.7, controlnet="here/edges", control_scale=0.5, steps=9,
            guidance=0.0, batch=4, memory="model", quantise="int8", revision="abc",
            accept_licence=True,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--words", "mug"), "--words: only a pretrained model hears that"),
        (("--backdrops", "pretrained", "--backdrop-model", "here/x", "--ip-adapter", "a,b"),
         "ID-OR-FOLDER,SUBFOLDER,FILE[,ENCODER]"),
        (("--backdrops", "pretrained", "--backdrop-model", "black-forest-labs/FLUX.1-Fill-dev"),
         "--accept-licence"),
    ],
)  # fmt: skip
def test_what_a_model_cannot_be_told_is_an_error(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    done = run("render", PHOTO, *options, "-o", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_sheet_has_a_cell_for_every_style_also_for_a_refused_one(tmp_path: Path) -> None:
    sheets = []
    for name, styles in (("two", ("surface=plaster", "surface=marble")), ("one", ("light=sun",))):
        out = tmp_path / f"{name}.png"
        wanted = [part for style in styles for part in ("--style", style)]
        done = run("sheet", PHOTO, *wanted, "--backdrops", "library", "--side", 80, "-o", out)
        assert done.returncode == 0, done.stderr
        assert str(out) in done.stdout
        sheets.append(Image.open(out).size)
    assert sheets[0][0] - sheets[1][0] == 80 + 12
    assert sheets[0][1] == sheets[1][1]


def test_formats_text_and_a_reference_picture(tmp_path: Path) -> None:
    reference = tmp_path / "brand.png"
    Image.new("RGB", (90, 90), (46, 111, 142)).save(reference)
    done = run("render", PHOTO, "--style", "surface=plaster,light=side", "--backdrops", "plain",
               "--format", "1:1", "--format", "9:16", "--text", "top", "--reference", reference,
               "--relight", "0.5", "-o", tmp_path / "out", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.strip().splitlines()]
    assert [line["style"] for line in lines] == [
        "colour=#2e6f8e,framing=centred,light=side,scene=flat-lay,surface=plaster"
    ] * 2
    for line, ratio, name in zip(lines, (1.0, 9 / 16), ("1x1", "9x16"), strict=True):
        assert name in Path(line["variant"]).name
        with Image.open(line["variant"]) as variant:
            assert variant.width / variant.height == pytest.approx(ratio, abs=0.01)
        proof = json.loads(Path(line["certificate"]).read_text())
        assert proof["labels"] == ["product relit"]
        assert proof["text"]["contrast"] >= 4.5
    again = run("verify", lines[1]["variant"], "--against", PHOTO, "--again")
    assert again.returncode == 0, again.stdout
    assert "ok   made again" in again.stdout


def test_a_colour_and_a_reference_are_one_too_many(tmp_path: Path) -> None:
    done = run("render", PHOTO, "--colour", "#2e6f8e", "--reference", PHOTO, "-o", tmp_path)
    assert done.returncode == 2
    assert "give one of them" in done.stderr


def test_what_was_made_otherwise_cannot_be_made_again(
    made: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    _, line = made
    (tmp_path / "persona-img.toml").write_text("[render]\ncandidates = 3\n")
    done = run("verify", Path(line["variant"]).resolve(), "--against", PHOTO.resolve(), "--again",
               cwd=tmp_path)  # fmt: skip
    assert done.returncode == 1
    assert "FAIL renderer" in done.stdout
