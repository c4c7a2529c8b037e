"""The real pipeline classes with tiny random weights: what it paints is no backdrop, so its
variants are held to the rules about the product alone.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from contracts.renderer import BackdropContract, canvas
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotFound
from persona_img.generator.adapter import Adapter, fingerprint_of
from persona_img.generator.codec import Codec
from persona_img.generator.denoiser import new_denoiser
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.generator.style_encoder import StyleEncoder
from persona_img.imaging.colour import lab_of
from persona_img.imaging.copies import CopyIndex
from persona_img.rendering.base import BackdropSource
from persona_img.rendering.proof.gate import RULES
from persona_img.rendering.sources.diffusion import DiffusionBackdrops
from persona_img.scenery.materials import materials_of, palettes
from persona_img.settings import Settings
from persona_img.wiring import renderer


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    pipeline = BackdropPipeline(
        Codec(8, (16, 16, 32)).eval(),
        new_denoiser(8, 32, (32, 32)).eval(),
        StyleEncoder(
            {"linen": [80, 1, 4, 1.0], "oak": [70, 6, 20, 0.4]},
            ["soft", "sun"],
            {"neutral": [0, 0], "sage": [-8, 7]},
            width=32,
        ).eval(),
        FlowMatchEulerDiscreteScheduler(),
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    pipeline.save_pretrained(folder)
    return folder


class TestDiffusion(BackdropContract):
    rules = tuple(r for r in RULES if r.score.startswith(("core", "mask")))
    folder: ClassVar[Path]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _checkpoint(cls, checkpoint: Path) -> None:
        cls.folder = checkpoint

    def make(self) -> BackdropSource:
        return DiffusionBackdrops(self.folder, steps=2)

    def styles(self) -> list[Style]:
        return [
            Style.of({"surface": "linen", "light": "soft", "framing": "centred"}),
            Style.of({"surface": "oak", "palette": "sage", "light": "sun", "framing": "close"}),
            Style.of({"surface": "linen", "palette": "sage", "light": "sun"}),
        ]


@pytest.mark.parametrize(
    ("canvas_shape", "plate"),
    [((533, 400), (288, 224)), ((400, 533), (224, 288)), ((500, 480), (256, 256)),
     ((2000, 1000), (288, 224)), ((1000, 2000), (224, 288))],
)  # fmt: skip
def test_a_canvas_gets_the_nearest_training_size(
    checkpoint: Path, canvas_shape: tuple[int, int], plate: tuple[int, int]
) -> None:
    assert DiffusionBackdrops(checkpoint).size(*canvas_shape) == plate


def test_it_asks_for_the_colour_of_the_material_that_is_shown(checkpoint: Path) -> None:
    source = DiffusionBackdrops(checkpoint)
    asked = source.colour({"surface": "oak", "palette": "sage"})
    assert asked == materials_of(None).surface("oak").colour(palettes()["sage"])
    assert source.colour({"surface": "oak", "colour": "#2e6f8e"}) == lab_of("#2e6f8e")
    with pytest.raises(InvalidInput, match="names no surface"):
        source.colour({"palette": "sage"})


def test_a_material_it_was_not_taught_is_painted_by_its_colour(checkpoint: Path) -> None:
    source = DiffusionBackdrops(checkpoint, steps=2)
    product, mask = canvas(256, 256)
    slate, felt = (
        source.plates(product, mask, [{"surface": s, "light": "soft"}], [1])[0]
        for s in ("slate", "felt")
    )
    assert np.isfinite(slate).all()
    assert (slate != felt).any()
    assert source.material({"surface": "slate"}) == "slate"


def test_the_fingerprint_is_of_weights_and_sampling(checkpoint: Path, tmp_path: Path) -> None:
    source = DiffusionBackdrops(checkpoint, steps=2)
    assert source.fingerprint() != DiffusionBackdrops(checkpoint, steps=3).fingerprint()
    assert source.fingerprint() != DiffusionBackdrops(checkpoint, steps=2, guidance=3).fingerprint()
    for file in checkpoint.rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(checkpoint)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    (tmp_path / "report.json").write_text("{}")
    assert source.fingerprint() == DiffusionBackdrops(tmp_path, steps=2).fingerprint()
    weights = next((tmp_path / "denoiser").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert source.fingerprint() != DiffusionBackdrops(tmp_path, steps=2).fingerprint()


def test_training_pictures_travel_with_the_checkpoint(checkpoint: Path) -> None:
    assert DiffusionBackdrops(checkpoint).training_pictures() is None
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    index = CopyIndex.of([picture], [np.ones((64, 64), np.float32)])
    index.save(checkpoint / "training_pictures.npz")
    try:
        found = DiffusionBackdrops(checkpoint).training_pictures()
        assert found is not None
        assert found.nearest(picture)[0] == pytest.approx(1.0)
    finally:
        (checkpoint / "training_pictures.npz").unlink()


def test_no_checkpoint_and_no_step_are_errors(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="train-generator"):
        DiffusionBackdrops(tmp_path)
    with pytest.raises(InvalidInput, match="steps=0"):
        DiffusionBackdrops(checkpoint, steps=0)


def test_plates_follow_style_and_product(checkpoint: Path) -> None:
    source = DiffusionBackdrops(checkpoint, steps=2)
    product, mask = canvas(256, 256)
    linen, wood = ({"surface": s, "light": "soft"} for s in ("linen", "oak"))
    first, second = source.plates(product, mask, [linen, wood], [1, 1])
    assert (first != second).any()
    other = source.plates(255 - product, mask, [linen], [1])[0]
    assert (first != other).any()


def test_a_plate_keeps_to_its_start_the_more_the_less_strength(checkpoint: Path) -> None:
    product, mask = np.full((256, 256, 3), 127, np.uint8), np.zeros((256, 256), np.float32)
    rng = np.random.default_rng(0)
    start = np.clip(0.5 + 0.3 * rng.standard_normal((8, 8, 3)), 0, 1).astype(np.float32)
    start = np.kron(start, np.ones((32, 32, 1), np.float32))
    style = {"surface": "linen", "light": "soft", "palette": "neutral"}
    made = {}
    for strength in (0.2, 0.8, 1.0):
        source = DiffusionBackdrops(checkpoint, steps=5, strength=strength)
        made[strength] = source.plates(product, mask, [style], [1], [start])[0]
    nearly = DiffusionBackdrops(checkpoint, steps=5, strength=1e-4)
    kept = nearly.plates(product, mask, [style], [1], [start])[0]
    codec = nearly._loaded().codec
    with torch.no_grad():
        signed = torch.from_numpy(start).permute(2, 0, 1)[None] * 2 - 1
        coded = (codec.decode(codec.encode(signed))[0].permute(1, 2, 0) + 1) / 2
    np.testing.assert_allclose(kept, coded.clamp(0, 1).numpy(), atol=0.01)
    far = {s: float(np.abs(plate - start).mean()) for s, plate in made.items()}
    assert far[0.2] < far[0.8]
    alone = DiffusionBackdrops(checkpoint, steps=5).plates(product, mask, [style], [1])[0]
    np.testing.assert_array_equal(alone, made[1.0])


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As on a machine with more than one core; the suite itself has one for each process."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_plates_do_not_depend_on_threads(checkpoint: Path) -> None:
    product, mask = np.full((256, 256, 3), 127, np.uint8), np.zeros((256, 256), np.float32)
    source = DiffusionBackdrops(checkpoint, steps=3)
    style = {"surface": "linen", "light": "soft", "palette": "neutral"}

    def paint(seed: int) -> np.ndarray:
        return source.plates(product, mask, [style], [seed])[0]

    alone = [paint(seed) for seed in range(6)]
    before = torch.get_num_threads()
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(paint, range(6)))
    assert torch.get_num_threads() == before
    # The checkpoint here is too small to be split; that it would not be is seen from inside.
    seen = []
    hook = source._loaded().denoiser.register_forward_pre_hook(
        lambda *_: seen.append(torch.get_num_threads())
    )
    paint(0)
    hook.remove()
    assert set(seen) == {1}
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.1, float("nan")])
def test_a_strength_outside_its_range_is_refused(checkpoint: Path, strength: float) -> None:
    with pytest.raises(InvalidInput, match="strength"):
        DiffusionBackdrops(checkpoint, strength=strength)


def test_rendering_without_the_checkpoint_loads_no_torch() -> None:
    code = (
        "import sys, persona_img, persona_img.rendering.renderer\n"
        "import persona_img.rendering.sources.plain\n"
        "import persona_img.variants.store, persona_img.rendering.proof.certificate\n"
        "print([m for m in ('torch', 'diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_product_is_encoded_once_for_all_its_styles(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = DiffusionBackdrops(checkpoint, steps=1)
    encoded = []
    made = BackdropPipeline.conditions

    def counted(self: BackdropPipeline, *given: torch.Tensor) -> torch.Tensor:
        encoded.append(given)
        return made(self, *given)

    monkeypatch.setattr(BackdropPipeline, "conditions", counted)
    product, mask = canvas(256, 256)
    style = {"surface": "linen", "light": "soft"}
    first = source.plates(product, mask, [style], [1])[0]
    again = source.plates(product.copy(), mask.copy(), [style], [1])[0]
    assert len(encoded) == 1
    assert (first == again).all()
    other = source.plates(255 - product, mask, [style], [1])[0]
    assert len(encoded) == 2
    assert (first != other).any()


def shops_own(checkpoint: Path, folder: Path, colour: tuple[float, float, float]) -> Path:
    """An adapter of this checkpoint that changes one layer of it."""
    torch.manual_seed(1)
    name = "conv_in"
    outputs, inputs = BackdropPipeline.from_pretrained(checkpoint).denoiser.conv_in.weight.shape[:2]
    weights = {
        f"{name}.lora_A.weight": torch.randn(2, inputs, 3, 3),
        f"{name}.lora_B.weight": torch.randn(outputs, 2, 1, 1),
    }
    base = fingerprint_of(BackdropPipeline.from_pretrained(checkpoint))
    Adapter(weights, "linen", colour, base).save(folder)
    return folder


def test_with_an_adapter_the_shops_own_backdrop_is_painted(
    checkpoint: Path, tmp_path: Path
) -> None:
    folder = shops_own(checkpoint, tmp_path / "a", (50.0, 30.0, 20.0))
    plain = DiffusionBackdrops(checkpoint, steps=2)
    source = DiffusionBackdrops(checkpoint, steps=2, adapter=folder)
    linen, wood = ({"surface": s, "light": "soft"} for s in ("linen", "oak"))
    assert source.colour(linen) == (50.0, 30.0, 20.0)
    assert source.colour(wood) == plain.colour(wood)
    assert (source.material(linen), source.material(wood)) == (None, "oak")
    assert source.shows == ()
    product, mask = canvas(256, 256)
    here, there = (s.plates(product, mask, [linen], [1])[0] for s in (source, plain))
    assert (here != there).any()
    assert (here == source.plates(product, mask, [linen], [1])[0]).all()


def test_a_shops_own_backdrop_may_be_uneven_and_no_tile_stands_in_for_it(
    checkpoint: Path, tmp_path: Path
) -> None:
    folder = shops_own(checkpoint, tmp_path / "a", (50.0, 30.0, 20.0))
    usual = renderer(Settings.fresh(render={"checkpoint": checkpoint}))
    own = renderer(Settings.fresh(render={"checkpoint": checkpoint, "adapter": folder}))
    left_out = {r.score for r in usual.settings.rules} - {r.score for r in own.settings.rules}
    assert left_out == {"plate_mottle"}
    assert (usual.fallback is None, own.fallback is None) == (False, True)
    assert own.fingerprint() != usual.fingerprint()


def test_the_fingerprint_is_of_the_adapter_too(checkpoint: Path, tmp_path: Path) -> None:
    one = shops_own(checkpoint, tmp_path / "a", (50.0, 30.0, 20.0))
    other = shops_own(checkpoint, tmp_path / "b", (50.0, 30.0, 21.0))
    sources = [DiffusionBackdrops(checkpoint, adapter=a) for a in (None, one, other)]
    assert len({s.fingerprint() for s in sources}) == 3
    assert DiffusionBackdrops(checkpoint, adapter=one).fingerprint() == sources[1].fingerprint()


def test_an_adapter_of_another_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    adapter = Adapter.load(shops_own(checkpoint, tmp_path / "a", (50.0, 30.0, 20.0)))
    Adapter(adapter.weights, "linen", adapter.colour, "0" * 64).save(tmp_path / "a")
    with pytest.raises(InvalidInput, match="only the checkpoint that it was learned on"):
        DiffusionBackdrops(checkpoint, adapter=tmp_path / "a").colour({"surface": "linen"})
    with pytest.raises(NotFound, match="fine-tune"):
        DiffusionBackdrops(checkpoint, adapter=tmp_path / "nowhere")
