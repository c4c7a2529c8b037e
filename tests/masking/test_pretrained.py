"""Real transformers classes at tiny random size, and one that brings its own code."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
)

from contracts.masker import MaskerContract, boxed
from persona_img.errors import InvalidInput, NotFound
from persona_img.masking.confidence import SIGNS
from persona_img.masking.pretrained import TransformersMasker

OWN_CODE = '''
import torch
from transformers import PretrainedConfig, PreTrainedModel

class RednessConfig(PretrainedConfig):
    model_type = "redness"

class Redness(PreTrainedModel):
    """Says red is product, in two refinements, the way BiRefNet lists them."""
    config_class = RednessConfig
    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.tensor(8.0))
        self.post_init()
    def forward(self, x):
        red = self.scale * (x[:, :1] - x[:, 1:2] - 1.0)
        return [torch.zeros_like(red), red]
'''


@pytest.fixture(scope="session")
def segformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("segformer")
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[4, 2],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        id2label={0: "background", 1: "shirt", 2: "shoe"},
    )
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def redness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("redness")
    (folder / "redness.py").write_text(OWN_CODE, encoding="utf-8")
    (folder / "config.json").write_text(
        '{"model_type": "redness", "image_size": 128, "architectures": ["Redness"], "auto_map": '
        '{"AutoConfig": "redness.RednessConfig", '
        '"AutoModelForImageSegmentation": "redness.Redness"}}',
        encoding="utf-8",
    )
    torch.save({"scale": torch.tensor(8.0)}, folder / "pytorch_model.bin")
    return folder


class TestSegformer(MaskerContract):
    folder: ClassVar[Path]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _folder(cls, segformer: Path) -> None:
        cls.folder = segformer

    def make(self) -> TransformersMasker:
        return TransformersMasker(self.folder)


def test_one_output_of_own_code_is_cut_out_and_trusted_only_when_calibrated(redness: Path) -> None:
    photo = boxed(400, 300)
    masker = TransformersMasker(redness, trust_remote_code=True)
    found = masker.cut(photo)
    truth = np.zeros((400, 300), bool)
    truth[100:300, 75:225] = True
    alpha = found.alpha > 127
    assert (alpha & truth).sum() / (alpha | truth).sum() > 0.95
    assert found.checks["sure"] == 0.0
    calibration = {"offset": 9.0, "weights": dict.fromkeys(SIGNS, 0.0)}
    sure = TransformersMasker(redness, trust_remote_code=True, confidence=calibration)
    assert sure.cut(photo).trusted
    assert sure.fingerprint() != masker.fingerprint()


def test_own_code_does_not_run_unasked(redness: Path) -> None:
    with pytest.raises(NotFound, match="trust_remote_code"):
        TransformersMasker(redness)


def test_classes_are_product_by_name_or_all_but_the_background(segformer: Path) -> None:
    photo = boxed(200, 160)
    shirt = TransformersMasker(segformer, labels=["shirt"])
    shoe = TransformersMasker(segformer, labels=["shoe"])
    every = TransformersMasker(segformer)
    parts = shirt._probability(photo) + shoe._probability(photo)
    np.testing.assert_allclose(parts, every._probability(photo), atol=1e-5)
    assert parts.max() > parts.min()
    assert shirt.fingerprint() != shoe.fingerprint()
    with pytest.raises(InvalidInput, match="no class hat; choose from background, shirt, shoe"):
        TransformersMasker(segformer, labels=["hat"])


def test_classes_without_a_background_must_be_named(segformer: Path, tmp_path: Path) -> None:
    for file in segformer.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = (tmp_path / "config.json").read_text(encoding="utf-8")
    (tmp_path / "config.json").write_text(config.replace("background", "sky"), encoding="utf-8")
    with pytest.raises(InvalidInput, match="none of its classes is called background"):
        TransformersMasker(tmp_path)
    assert TransformersMasker(tmp_path, labels=["shirt"]).labels == ("shirt",)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no segmentation model"):
        TransformersMasker(tmp_path)


def test_torchvision_is_not_needed() -> None:
    import sys

    assert "torchvision" not in sys.modules
