from __future__ import annotations

import numpy as np
import pytest

from persona_img.imaging.colour import to_lab
from persona_img.scenery.layer import Layer, paper


def test_paper_has_its_colour_and_a_fibre_where_there_is_chance() -> None:
    colour = (80.0, 6.0, -9.0)
    even = paper(70, 300, colour, None)
    assert even.shape == (70, 300, 3)
    assert even.dtype == np.float32
    assert (even == even[0, 0]).all()
    none = np.zeros((70, 300), np.float32)
    np.testing.assert_allclose(to_lab(Layer(even, none, none).srgb)[3, 4], colour, atol=0.3)
    fibre = paper(70, 300, colour, np.random.default_rng(1))
    assert (fibre / even).std() == pytest.approx(0.006, rel=0.1)
    assert fibre.mean(axis=(0, 1)) == pytest.approx(even[0, 0], rel=1e-3)
    np.testing.assert_array_equal(fibre, paper(70, 300, colour, np.random.default_rng(1)))


def test_what_is_brighter_than_white_is_shown_white() -> None:
    light = np.array([[[0.0, 0.5, 3.0]]], np.float32)
    assert Layer(light, light[..., 0], light[..., 0]).srgb[0, 0, 2] == pytest.approx(1.0)
