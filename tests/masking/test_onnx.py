"""Tiny real networks, exported with the names and shapes of the files people have, and run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from contracts.masker import MaskerContract, boxed
from persona_img.errors import InvalidInput, NotFound
from persona_img.masking.confidence import SIGNS
from persona_img.masking.onnx import OnnxMasker
from persona_img.settings import Settings
from persona_img.wiring import masker as chosen


class Redness(torch.nn.Module):
    """Says red is product, as a convolution learns it; ``copies`` side outputs say nothing."""

    def __init__(
        self, weights: Sequence[float], *, copies: int, logits: bool, classes: int
    ) -> None:
        super().__init__()
        self.look = torch.nn.Conv2d(3, classes, 1)
        with torch.no_grad():
            self.look.weight[:] = torch.tensor(weights)[:, None, None]
            self.look.bias.zero_()
        self.copies, self.logits = copies, logits

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.look(x)
        found = found if self.logits else torch.sigmoid(found)
        return (found, *(found * 0.0 for _ in range(self.copies)))


def export(
    path: Path,
    *,
    side: int = 32,
    names: tuple[str, str] = ("x", "y"),
    outputs: int = 1,
    logits: bool = False,
    classes: int = 1,
    weights: Sequence[float] = (4.0, -4.0, 0.0),
    free: bool = False,
    half: bool = False,
) -> Path:
    net = Redness(weights, copies=outputs - 1, logits=logits, classes=classes).eval()
    picture = torch.zeros(1, 3, side, side)
    if half:
        net, picture = net.half(), picture.half()
    named = [names[1], *(f"side{i}" for i in range(1, outputs))]
    free_axes = {2: "height", 3: "width"}
    axes = dict.fromkeys((names[0], *named), free_axes) if free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net, (picture,), str(path), input_names=[names[0]], output_names=named,
            dynamic_axes=axes, dynamo=False,
        )  # fmt: skip
    return path


SHAPES = {
    "u2net": {"side": 320, "names": ("input", "d0"), "outputs": 7},
    "isnet": {"side": 1024, "names": ("input_image", "output_image"), "outputs": 6},
    "birefnet": {"side": 1024, "names": ("input_image", "output_image"), "logits": True},
}
"""As rembg's files are, by family."""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    return {name: export(folder / f"{name}.onnx", **kind) for name, kind in SHAPES.items()}


class TestU2Net(MaskerContract):
    file: ClassVar[Path]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _file(cls, files: dict[str, Path]) -> None:
        cls.file = files["u2net"]

    def make(self) -> OnnxMasker:
        return OnnxMasker(self.file)


@pytest.mark.parametrize("family", SHAPES)
def test_families_are_told_by_names_and_shapes_and_cut_the_product_out(
    files: dict[str, Path], family: str
) -> None:
    photo = boxed(400, 300)
    masker = OnnxMasker(files[family])
    assert masker.family == family
    found = masker.cut(photo)
    truth = np.zeros((400, 300), bool)
    truth[100:300, 75:225] = True
    alpha = found.alpha > 127
    assert (alpha & truth).sum() / (alpha | truth).sum() > 0.95
    assert found.source == "onnx"
    assert found.checks["sure"] == 0.0


def test_what_it_is_worth_is_learned_as_for_every_network(files: dict[str, Path]) -> None:
    calibration = {"offset": 9.0, "weights": dict.fromkeys(SIGNS, 0.0)}
    sure = OnnxMasker(files["u2net"], confidence=calibration)
    assert sure.cut(boxed(400, 300)).trusted
    assert sure.fingerprint() != OnnxMasker(files["u2net"]).fingerprint()


def stretched(found: np.ndarray) -> np.ndarray:
    return (found - found.min()) / (found.max() - found.min())


def sigmoid(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("u2net", lambda p: stretched(sigmoid((p / p.max() - 0.485) / 0.229))),
        ("isnet", lambda p: stretched(sigmoid(p / 255 - 0.5))),
        ("birefnet", lambda p: sigmoid((p / 255 - 0.485) / 0.229)),
    ],
)
def test_each_family_is_given_and_read_as_it_was_taught(
    tmp_path: Path, family: str, expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    """A dark photo, for its brightest value tells U²-Net's scale from the others'."""
    kind = SHAPES[family] | {"side": 320 if family == "u2net" else 64}
    file = export(tmp_path / "red.onnx", **kind, weights=(1.0, 0.0, 0.0))
    side = kind["side"]
    photo = np.zeros((side, side, 3), np.uint8)
    photo[..., 0] = np.linspace(10, 140, side).astype(np.uint8)
    found = OnnxMasker(file, family=family)._probability(photo)
    np.testing.assert_allclose(found, expected(photo[..., 0].astype(float)), atol=1e-5)


def test_a_network_that_gives_chances_already_is_not_asked_for_log_odds(tmp_path: Path) -> None:
    names = ("pixel_values", "alphas")
    odds = export(tmp_path / "odds.onnx", names=names, logits=True)
    chances = export(tmp_path / "chances.onnx", names=names)
    photo = boxed(64, 64)
    one, other = (OnnxMasker(file)._probability(photo) for file in (odds, chances))
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert one.max() > 0.9


def test_open_sides_take_the_familys_own_and_half_precision_is_understood(tmp_path: Path) -> None:
    names = ("input_image", "output_image")
    free = OnnxMasker(export(tmp_path / "free.onnx", names=names, logits=True, free=True))
    assert free.family == "birefnet"
    assert free._probability(boxed(40, 30)).shape == (1024, 1024)
    half = OnnxMasker(export(tmp_path / "half.onnx", names=names, logits=True, half=True))
    assert half._probability(boxed(40, 30)).max() > 0.9


def test_a_picture_where_nothing_stands_out_is_not_stretched_to_a_product(tmp_path: Path) -> None:
    weak = export(tmp_path / "weak.onnx", side=320, outputs=7, weights=(0.01, -0.01, 0.0))
    found = OnnxMasker(weak)._probability(boxed(320, 320))
    assert np.ptp(found) < 0.05


def test_a_family_may_be_said_and_must_be_where_the_file_does_not_tell(tmp_path: Path) -> None:
    file = export(tmp_path / "own.onnx", side=256)
    with pytest.raises(InvalidInput, match=r"x \[1, 3, 256, 256\], 1 outputs.*say mask.family"):
        OnnxMasker(file)
    said = OnnxMasker(file, family="isnet")
    assert said._probability(boxed(90, 60)).shape == (256, 256)
    assert said.fingerprint() != OnnxMasker(file, family="u2net").fingerprint()
    with pytest.raises(InvalidInput, match="there are birefnet, isnet, u2net"):
        OnnxMasker(file, family="sam")


def test_files_that_are_no_such_network_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.onnx: no such file"):
        OnnxMasker(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(InvalidInput, match="onnxruntime cannot read it"):
        OnnxMasker(tmp_path / "text.onnx")
    with pytest.raises(InvalidInput, match="a network with classes"):
        OnnxMasker(export(tmp_path / "cloth.onnx", side=768, outputs=7, classes=4))
    four = OnnxMasker(export(tmp_path / "four.onnx", side=64, classes=4), family="u2net")
    with pytest.raises(InvalidInput, match=r"gave \(1, 4, 64, 64\)"):
        four.cut(boxed(64, 64))


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    class Prompted(torch.nn.Module):
        def forward(self, x: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
            return x[:, :1] * points

    given = (torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            Prompted().eval(), given, str(tmp_path / "sam.onnx"), input_names=["image", "points"],
            dynamo=False,
        )  # fmt: skip
    with pytest.raises(InvalidInput, match=r"one picture .* is what can be given"):
        OnnxMasker(tmp_path / "sam.onnx")


def test_weights_beside_the_file_are_of_its_fingerprint(tmp_path: Path) -> None:
    file = export(tmp_path / "model.onnx", side=320)
    before = OnnxMasker(file).fingerprint()
    (tmp_path / "model.onnx_data").write_bytes(b"weights")
    assert OnnxMasker(file).fingerprint() != before


def test_settings_name_file_and_family(files: dict[str, Path]) -> None:
    settings = Settings.load(
        mask={"masker": "onnx", "model": str(files["isnet"]), "family": "birefnet"}
    )
    found = chosen(settings)
    assert isinstance(found, OnnxMasker)
    assert found.family == "birefnet"
    given = {"masker": "onnx", "model": str(files["isnet"]), "confidence": "no.json"}
    with pytest.raises(InvalidInput, match=r"mask\.confidence=no\.json: cannot be read"):
        chosen(Settings.load(mask=given))
    with pytest.raises(InvalidInput, match=r"--masker-model FILE\.onnx"):
        chosen(Settings.load(mask={"masker": "onnx"}))
