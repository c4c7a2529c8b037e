from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from persona_img.rendering.sources.pretrained.reading import PromptReader


def test_a_picture_stands_for_as_many_tokens_as_it_has_patches(
    model: Callable[[str], Path],
) -> None:
    reader = PromptReader.of(str(model("qwen-edit")), local_files_only=True)
    mark = reader.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    small, large = Image.new("RGB", (28, 28), "red"), Image.new("RGB", (56, 56), "blue")
    read = reader(["<|image_pad|>a<|image_pad|>b"], [small, large], padding=True)
    tokens = read["input_ids"][0].tolist()
    a, b = reader.tokenizer.convert_tokens_to_ids(["a", "b"])
    assert tokens[0] == mark
    assert tokens.index(a) == 1  # 28 x 28 pixels: two by two patches of 14, merged into one
    assert tokens[2:6] == [mark] * 4
    assert tokens[6] == b
    assert read["pixel_values"].shape[0] == 4 + 16
    assert read["image_grid_thw"].tolist() == [[1, 2, 2], [1, 4, 4]]
