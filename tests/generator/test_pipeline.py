from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generator.tiny import tiny_pipeline
from persona_img.errors import InvalidInput, UnknownStyle
from persona_img.generator.denoiser import mask_cells
from persona_img.generator.pipeline import BackdropPipeline
from persona_img.generator.style_encoder import StyleEncoder

LINEN = {"surface": "linen", "light": "soft", "palette": "sage"}
WOOD = {"surface": "wood", "light": "sun", "palette": "neutral"}


def test_a_loaded_encoder_means_the_same_by_a_surface(tmp_path: Path) -> None:
    surfaces = {"wood": [70, 6, 20, 0.4], "linen": [80, 1, 4, 1.0]}
    made = StyleEncoder(surfaces, ["soft"], {"neutral": [0, 0]}, width=8)
    made.save_pretrained(tmp_path)
    again = StyleEncoder.from_pretrained(tmp_path)
    asked = [{"surface": "wood"}, {"surface": "linen"}]
    assert made.indices(asked)[0].tolist() == again.indices(asked)[0].tolist()


@pytest.fixture(scope="module")
def pipeline() -> BackdropPipeline:
    return tiny_pipeline()


def inputs(batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.zeros(batch, 1, 64, 64)
    mask[:, :, 16:48, 16:48] = 1
    return torch.zeros(batch, 3, 64, 64), mask


def test_save_and_load_give_the_same_picture(pipeline: BackdropPipeline, tmp_path: Path) -> None:
    before = pipeline(*inputs(), [LINEN], steps=2, seeds=[5]).images
    pipeline.save_pretrained(tmp_path)
    again = BackdropPipeline.from_pretrained(tmp_path, local_files_only=True)
    again.set_progress_bar_config(disable=True)
    torch.testing.assert_close(again(*inputs(), [LINEN], steps=2, seeds=[5]).images, before)


def test_a_picture_depends_on_its_own_seed_and_style_only(pipeline: BackdropPipeline) -> None:
    both = pipeline(*inputs(2), [LINEN, WOOD], steps=2, seeds=[5, 6]).images
    alone = pipeline(*inputs(), [WOOD], steps=2, seeds=[6]).images
    torch.testing.assert_close(both[1:], alone, atol=2e-4, rtol=1e-3)
    other_seed = pipeline(*inputs(), [WOOD], steps=2, seeds=[7]).images
    other_style = pipeline(*inputs(), [LINEN], steps=2, seeds=[6]).images
    assert (other_seed - alone).abs().max() > 1e-3
    assert (other_style - alone).abs().max() > 1e-6


def test_images_are_pictures(pipeline: BackdropPipeline) -> None:
    images = pipeline(*inputs(), [LINEN], steps=1, seeds=[1]).images
    assert images.shape == (1, 3, 64, 64)
    assert images.min() >= 0
    assert images.max() <= 1


def test_the_mask_reaches_the_denoiser_at_quarter_resolution() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[0, 0, 0:4, 4:8] = 1
    cells = mask_cells(mask)
    assert cells.shape == (1, 16, 2, 2)
    assert (cells[0, :, 0, 0] == 1).sum() == 1
    assert (cells[0, :, 1, 1] == -1).all()


@pytest.mark.parametrize(
    ("style", "says"), [({"surface": "velvet"}, "linen, wood"), ({"light": "moon"}, "soft, sun")]
)
def test_unknown_styles_are_refused(
    pipeline: BackdropPipeline, style: dict[str, str], says: str
) -> None:
    with pytest.raises(UnknownStyle, match=says):
        pipeline(*inputs(), [style], steps=1)


def test_sizes_off_the_grid_and_unequal_batches_are_refused(pipeline: BackdropPipeline) -> None:
    with pytest.raises(InvalidInput, match="multiples of 32"):
        pipeline(torch.zeros(1, 3, 60, 64), torch.zeros(1, 1, 60, 64), [LINEN])
    with pytest.raises(InvalidInput, match="one style and seed each"):
        pipeline(*inputs(2), [LINEN])


def test_a_start_of_another_size_and_a_strength_of_nought_are_refused(
    pipeline: BackdropPipeline,
) -> None:
    product, mask = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    style = [LINEN]
    with pytest.raises(InvalidInput, match="start"):
        pipeline(product, mask, style, steps=1, start=torch.zeros(1, 3, 32, 64))
    with pytest.raises(InvalidInput, match="strength"):
        pipeline(product, mask, style, steps=1, start=product, strength=0.0)


def test_colour_asked_of_a_surface(pipeline: BackdropPipeline) -> None:
    assert pipeline.style_encoder.colour_of("wood", "sage") == pytest.approx((70, 2.8, 22.8))


def test_conditions_known_already_give_the_same_picture(pipeline: BackdropPipeline) -> None:
    product, mask = inputs()
    known = pipeline.conditions(product, mask)
    given = pipeline(product, mask, [LINEN], steps=2, seeds=[5], conditions=known).images
    assert (given == pipeline(product, mask, [LINEN], steps=2, seeds=[5]).images).all()
    other = pipeline(product, mask, [LINEN], steps=2, seeds=[5], conditions=known + 1).images
    assert (other != given).any()


def test_from_a_start_a_checkpoint_may_need_fewer_steps(pipeline: BackdropPipeline) -> None:
    once = BackdropPipeline(**pipeline.components, steps=4, guidance=1.0, steps_from_start=1)
    once.set_progress_bar_config(disable=True)
    start = torch.full((1, 3, 64, 64), 0.3)

    def painted(made: BackdropPipeline, start: torch.Tensor | None, **given: int) -> torch.Tensor:
        return made(*inputs(), [LINEN], seeds=[5], start=start, strength=0.5, **given).images

    many = BackdropPipeline(**pipeline.components, steps=4, guidance=1.0)
    many.set_progress_bar_config(disable=True)
    assert (painted(once, start) == painted(many, start, steps=2)).all()
    assert (painted(once, start) != painted(many, start)).any()
    assert (painted(once, start, steps=4) == painted(many, start)).all(), "who asks is obeyed"
    assert (painted(once, None) == painted(many, None)).all(), "from noise all of them are made"


def test_a_scene_is_told_with_its_surface() -> None:
    encoder = tiny_pipeline().style_encoder
    assert encoder.scene is not None
    torch.nn.init.normal_(encoder.scene.weight)
    style = {"surface": "linen", "light": "sun", "palette": "sage"}
    flat, said, table = (
        encoder(*encoder.indices([style | more]))[0]
        for more in ({}, {"scene": "flat-lay"}, {"scene": "tabletop"})
    )
    assert torch.equal(flat, said), "a style without a scene lies flat"
    changed = (said != table).any(dim=1)
    assert changed.tolist() == [True, False, False]
    added = encoder.scene.weight[2] - encoder.scene.weight[1]
    torch.testing.assert_close(table[0] - said[0], added)


def test_a_scene_that_was_not_taught_is_refused() -> None:
    encoder = tiny_pipeline().style_encoder
    with pytest.raises(UnknownStyle, match="flat-lay, tabletop"):
        encoder.indices([{"surface": "linen", "scene": "podium"}])


def test_scenes_are_disregarded_where_none_were_taught() -> None:
    old = StyleEncoder({"linen": [80, 1, 4, 1.0]}, ["soft"], {"neutral": [0, 0]}, width=8)
    flat, table = (
        old(*old.indices([{"surface": "linen", "light": "soft", "scene": scene}]))
        for scene in ("flat-lay", "tabletop")
    )
    assert torch.equal(flat, table)
