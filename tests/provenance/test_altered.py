"""Generated is said of what a trained model painted, and of nothing that is only edited."""

from __future__ import annotations

import numpy as np
import pytest

from persona_img.editing.colour import white_balance
from persona_img.editing.shape import crop
from persona_img.imaging.photo import Photo
from persona_img.provenance.altered import (
    COMPOSITE,
    COMPOSITE_TRAINED,
    GENERATED,
    TRAINED,
    backdrop,
    canonical,
    edited,
    source_type,
)
from persona_img.wiring.backdrops import BACKDROPS, LEARNED


@pytest.mark.parametrize("source", BACKDROPS)
def test_of_every_source_it_is_told_whether_a_model_painted(source: str) -> None:
    painted = source in LEARNED
    assert backdrop(source).source_type == (COMPOSITE_TRAINED if painted else COMPOSITE)


def test_a_source_that_nobody_listed_is_taken_for_a_model() -> None:
    assert backdrop("somebody's").source_type in GENERATED


def test_a_crop_or_a_white_balance_alone_is_edited_not_generated() -> None:
    pixels = np.full((270, 240, 3), (200, 190, 180), np.uint8)
    alpha = np.zeros((270, 240), np.uint8)
    alpha[90:180, 90:150] = 255
    photo = Photo.of(pixels)
    balanced = white_balance(photo, alpha)
    both = crop(balanced.photo, alpha)
    done = edited(both.photo.edits)
    assert [one.name for one in done] == ["c2pa.color_adjustments", "c2pa.cropped"]
    assert source_type(done, None) is None


def test_what_a_photograph_says_of_itself_is_kept() -> None:
    assert source_type(edited([{"name": "crop"}]), TRAINED) == TRAINED
    assert source_type([backdrop("library")], TRAINED) == COMPOSITE_TRAINED
    assert source_type([backdrop("library")], "http://camera") == COMPOSITE
    assert source_type([], None) is None


@pytest.mark.parametrize(
    "begins", ["http://cv.iptc.org/newscodes/digitalsourcetype/", "https://x/", ""]
)
def test_generated_is_known_however_its_address_is_written(begins: str) -> None:
    assert canonical(f"{begins}trainedAlgorithmicMedia") == TRAINED
    assert canonical(f"{begins}composite/") == f"{begins}composite/"
