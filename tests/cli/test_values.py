"""Values that options cannot have: refused by one message that names them, before any work."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

import pytest
import typer
import typer.main
from PIL import Image
from typer.models import ArgumentInfo, OptionInfo

from examples import a_photo
from persona_img.cli import app
from persona_img.cli.command import Command
from persona_img.cli.options import box_of, ratio_of
from persona_img.errors import InvalidInput
from program import run

NEVER = ("nan", "inf", "-inf", "1e400", "", "one", "1_0 0")
"""What is no number for any option."""
HARDLY = ("-1", "0", "1000000000000", "9" * 40)
"""What few options take."""
ALSO = {"seed": ("0",), "threads": ("0",), "margin": ("0",), "strength": ("0",), "relight": ("0",),
        "light_wrap": ("0",), "painted": ("0",), "weight": ("0",), "precision": ("0",),
        "fold": ("0",), "photos": ("0",), "ip_scale": ("0",), "lora_scale": ("0",),
        "control_scale": ("0",), "guidance": ("0",), "dye": ("0",), "gloss": ("0",),
        "keep": ("0",)}  # fmt: skip
"""Options that take one of these."""
OTHERS = ("serve", "analyze", "push", "report", "retrain", "learn", "ramp", "promote", "rollback",
          "tracking-ui", "simulate", "rank", "profile", "prepare", "demo", "catalog",
          "train-chooser", "propose", "test")  # fmt: skip
"""Commands of a shop: what is no number is refused there too; their ranges are their own."""


@dataclass(frozen=True)
class Parameter:
    """One option or argument of one command."""

    command: tuple[str, ...]
    name: str
    kind: type
    info: OptionInfo | ArgumentInfo
    required: bool

    @property
    def flag(self) -> str | None:
        """As it is written; None for an argument."""
        if isinstance(self.info, ArgumentInfo):
            return None
        declared = [self.info.default, *(self.info.param_decls or ())]
        named = [d for d in declared if isinstance(d, str) and d.startswith("--")]
        return named[0] if named else "--" + self.name.replace("_", "-")

    def __str__(self) -> str:
        return f"{'-'.join(self.command)}{self.flag or '-' + self.name}"


def commands(group: typer.Typer = app, path: tuple[str, ...] = ()) -> Iterator[Any]:
    for info in group.registered_commands:
        name = info.name or info.callback.__name__.replace("_", "-")  # type: ignore[union-attr]
        yield (*path, name), info
    for below in group.registered_groups:
        assert below.typer_instance is not None
        assert isinstance(below.name, str)
        yield from commands(below.typer_instance, (*path, below.name))


def parameters(path: tuple[str, ...], callback: Callable[..., None]) -> list[Parameter]:
    found = []
    for name, one in inspect.signature(callback, eval_str=True).parameters.items():
        kind, info = typing.get_args(one.annotation)
        inner = [k for k in typing.get_args(kind) if k is not type(None)]
        if isinstance(kind, UnionType):
            kind = inner[0]
        if typing.get_origin(kind) is list:
            kind = typing.get_args(kind)[0]
        found.append(Parameter(path, name, kind, info, one.default is one.empty))
    return found


PROGRAM = typer.main.get_command(app)
EVERY = [p for path, info in commands() for p in parameters(path, info.callback)]
NUMBERS = [p for p in EVERY if p.kind in (int, float)]
TEXTS = [p for p in EVERY if p.kind in (str, Path)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(a_photo(80).pixels).save(folder / "a.png")
    return {"file": folder / "a.png", "folder": folder}


@pytest.fixture
def parsed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose values are taken does nothing."""
    monkeypatch.setattr(Command, "invoke", lambda self, ctx: None)


def refusal(
    parameter: Parameter, value: object, inputs: dict[str, Path]
) -> typer.BadParameter | None:
    """How the command refuses this value, with something right for all it must have."""
    flags: list[str] = []
    rest: list[str] = []
    for other in EVERY:
        if other.command != parameter.command or not (other.required or other is parameter):
            continue
        given = value
        if other is not parameter:
            folder = isinstance(other.info, OptionInfo) and not other.info.file_okay
            given = inputs["folder" if folder else "file"] if other.kind is Path else "x"
            given = 1 if other.kind in (int, float) else given
        if other.flag:
            flags.append(f"{other.flag}={given}")
        else:
            rest.append(str(given))
    try:
        PROGRAM.main([*parameter.command, *flags, "--", *rest], standalone_mode=False)
    except typer.BadParameter as error:
        refused = error
    else:
        return None
    assert getattr(refused.param, "name", None) == parameter.name, refused.message
    return refused


def test_there_are_options_to_try() -> None:
    assert len(NUMBERS) > 60
    assert len(TEXTS) > 80
    assert all(info.cls is Command for _, info in commands())


@pytest.mark.parametrize("parameter", NUMBERS, ids=str)
@pytest.mark.usefixtures("parsed_only")
def test_a_number_that_cannot_be_is_refused_and_named(
    parameter: Parameter, inputs: dict[str, Path]
) -> None:
    for value in (*NEVER, *HARDLY):
        refused = refusal(parameter, value, inputs)
        allowed = (
            *ALSO.get(parameter.name, ()),
            *(HARDLY if parameter.command[0] in OTHERS else ()),
        )
        if refused is None:
            assert value in allowed, f"{parameter}={value} is taken"
        else:
            assert (value or "empty text") in refused.message
            assert len(refused.message) > len(value) + 10, "no rule is told"


@pytest.mark.parametrize("parameter", TEXTS, ids=str)
@pytest.mark.usefixtures("parsed_only")
def test_an_empty_text_is_no_value(parameter: Parameter, inputs: dict[str, Path]) -> None:
    """A variable that is not set would else be the current folder."""
    refused = refusal(parameter, "", inputs)
    assert refused is not None
    assert "empty text; give a value" in refused.message


@pytest.mark.parametrize("parameter", [p for p in TEXTS if p.kind is Path], ids=str)
@pytest.mark.usefixtures("parsed_only")
def test_a_folder_is_no_file_and_a_file_no_folder(
    parameter: Parameter, inputs: dict[str, Path]
) -> None:
    info = parameter.info
    if parameter.command[0] in OTHERS or (info.file_okay and info.dir_okay):
        return
    wrong = inputs["file" if info.dir_okay else "folder"]
    assert refusal(parameter, wrong, inputs) is not None
    if info.exists:
        refused = refusal(parameter, inputs["folder"] / "nowhere", inputs)
        assert refused is not None
        assert "nowhere" in refused.message


@pytest.mark.usefixtures("parsed_only")
def test_what_is_right_is_taken(inputs: dict[str, Path]) -> None:
    for command in (
        ("edit", "resize", inputs["file"], "--scale", "0.5"),
        ("edit", "inpaint", inputs["file"], "--box=-3,-4,9,9", "--seed", "0"),
        ("sheet", inputs["folder"], "--side", "64", "--count", "1"),
        ("train-masker", "--photos", inputs["folder"], "--textures", inputs["folder"]),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("edit", "resize"), "--side None, --scale None: give one of them"),
        (("edit", "resize", "--side", 90, "--scale", 1), "give one of them"),
        (("edit", "inpaint"), "a --box or an --area"),
        (("edit", "inpaint", "--box=-475,-595,20,10"), "no pixel of it lies in the picture"),
        (("edit", "inpaint", "--box=-20,0,9,9"), "no pixel of it lies in the picture"),
        (("edit", "inpaint", "--box=0,-20,9,9"), "no pixel of it lies in the picture"),
        (("edit", "inpaint", "--box", "80,0,9,9"), "no pixel of it lies in the picture"),
        (("edit", "inpaint", "--box", "9,9,0,5"), "0 x 5 pixels; both need at least 1"),
        (("edit", "inpaint", "--box", "9,9,-5,5"), "both need at least 1"),
        (("edit", "inpaint", "--box", "--5,1,1,1"), "write left,top,width,height"),
        (("edit", "inpaint", "--box", "²,1,1,1"), "write left,top,width,height"),
        (("edit", "inpaint", "--box", "0,0,1e3,1"), "write left,top,width,height"),
        (("edit", "inpaint", "--box", "0,0,80,80"), "more than none and at most 5%"),
        (("edit", "white-balance", "--neutral", "-1,0,9,9"), "not a box in a picture"),
        (("edit", "white-balance", "--neutral", "0,0,99,9"), "not a box in a picture"),
        (("edit", "crop", "--ratio", "0:1"), "write width:height"),
        (("edit", "crop", "--ratio", "nan:1"), "write width:height"),
        (("edit", "packshot", "--ratio", "999999999:1"), "no longer than 20 to 1"),
        (("render", "--format", "2:1"), "choose from 1:1, 4:5"),
        (("render", "--text", "middle"), "text"),
        (("render", "--framing", "far"), "choose from centred"),
        (("render", "--colour", "red"), "write it as #rrggbb"),
        (("render", "--style", "surface=velvet"), "light-wood"),
        (("render", "--style", "surface"), "write attribute=value"),
        (("render", "--backdrops", "paint"), "render.backdrops='paint': there are"),
        (("render", "--backdrops", "diffusion-over-paint"), "there are"),
        (("render", "--masker", "magic"), "mask.masker='magic': there are"),
        (("mask", "--masker", "magic"), "mask.masker='magic': there are"),
        (("sheet", "--backdrops", "paint"), "there are"),
        (("sheet", "-o", "sheet.xyz"), "end it in .jpg or .jpeg or .png"),
        (("sheet", "-o", "sheet"), "end it in .jpg"),
        (("sheet", "--side", 2048, "--count", 200), "at most 65500 a side"),
    ],
)  # fmt: skip
def test_refused_before_anything_is_loaded(
    arguments: tuple[object, ...], says: str, inputs: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def loaded(*_: object) -> None:
        raise AssertionError("a renderer or a masker was loaded first")

    monkeypatch.setattr("persona_img.wiring.renderer", loaded)
    monkeypatch.setattr("persona_img.wiring.masker", loaded)
    count = 2 if arguments[0] == "edit" else 1
    out = [] if "-o" in arguments else ["-o", tmp_path / ("x.jpg" if "sheet" in arguments else "x")]
    done = run(*arguments[:count], inputs["file"], *arguments[count:], *out, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert not list(tmp_path.rglob("*.*"))


def test_a_refusal_is_one_message_and_status_2(inputs: dict[str, Path]) -> None:
    done = run("edit", "resize", inputs["file"], "--scale", "nan")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Invalid value for '--scale': nan: " in done.stderr


def test_a_source_nobody_knows_is_told_before_others_are_measured(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    folder, judge = inputs["folder"], inputs["file"]
    done = run("eval-render", "--products", folder, "--materials", folder, "--judge", judge,
               "--source", "plain", "--source", "paint", "-o", tmp_path / "out")  # fmt: skip
    assert done.returncode == 2
    assert "render.backdrops='paint': there are" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_told_before_photos_are_cut(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    for device in ("foo", "cuda:77"):
        done = run("train-masker", "--photos", inputs["folder"], "--textures", inputs["folder"],
                   "--device", device, "--work", tmp_path / "work")  # fmt: skip
        assert done.returncode == 2
        assert f"--device {device}: not to be had here" in done.stderr
    assert not (tmp_path / "work").exists()


def test_a_folder_without_a_checkpoint_is_told_at_once(inputs: dict[str, Path]) -> None:
    for command in ("distill-generator", "sharpen-generator"):
        done = run(command, "--checkpoint", inputs["folder"])
        assert done.returncode == 2
        assert "no checkpoint" in done.stderr


@pytest.mark.parametrize(("text", "ratio"), [("4:5", 0.8), ("16:9", 16 / 9), ("1.91:1", 1.91)])
def test_a_ratio_is_read(text: str, ratio: float) -> None:
    assert ratio_of(text) == pytest.approx(ratio)


def test_a_box_is_read() -> None:
    assert box_of(" 1, -2,3 ,4") == (1, -2, 3, 4)
    with pytest.raises(InvalidInput, match="box 1,2,3"):
        box_of("1,2,3")
