from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona_img.domain.decision import Candidate, Slate
from persona_img.domain.leaning import Leaning, Personal
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput

LINEN, MARBLE = Style.of({"surface": "linen"}), Style.of({"surface": "marble"})
VALUES = (("surface", "linen"), ("surface", "marble"))
LEANING = Leaning(
    ("price_level", "views"),
    VALUES,
    {"cooks": (0.5, 2.0)},
    (0.2, 1.0),
    ((-0.1, 0.0), (0.1, 0.05), (0.0, 0.0)),
)
SLATE = Slate(
    (
        Candidate(ORIGINAL, None, 0.3),
        Candidate(LINEN, "a" * 64, 0.4),
        Candidate(MARBLE, "b" * 64, 0.3),
    )
)
PERSONAL = Personal(LEANING, 10.0, 0.02)

numbers = st.one_of(st.just(np.nan), st.floats(-50, 50))


def test_the_average_shopper_and_one_nobody_knows_get_the_segments_chances() -> None:
    base = [c.probability for c in SLATE.candidates]
    for known in ((0.5, 2.0), (np.nan, np.nan)):
        np.testing.assert_allclose(PERSONAL.chances(SLATE, "cooks", np.array(known)), base)
    elsewhere = PERSONAL.chances(SLATE, "gardeners", np.array([0.9, 9.0]))
    np.testing.assert_allclose(elsewhere, base)


def test_who_likes_marble_more_is_shown_it_more_often() -> None:
    dear = PERSONAL.chances(SLATE, "cooks", np.array([0.9, np.nan]))
    # Two deviations dearer: 0.2 for marble, -0.2 for linen; ten times that is added to the odds.
    best = np.array([0.28, 0.38 * np.exp(-2.0), 0.28 * np.exp(2.0)])
    np.testing.assert_allclose(dear, 0.02 + 0.94 * best / best.sum(), rtol=1e-12)


def test_a_trait_says_no_more_beyond_three_deviations() -> None:
    far = LEANING.odds("cooks", np.array([0.5 + 3 * 0.2, 2.0]))
    np.testing.assert_allclose(LEANING.odds("cooks", np.array([99.0, 2.0])), far)


def test_what_has_the_floor_alone_keeps_it_whoever_comes() -> None:
    harmful = Slate(
        (Candidate(ORIGINAL, None, 0.58), Candidate(LINEN, "a" * 64, 0.4),
         Candidate(MARBLE, "b" * 64, 0.02))
    )  # fmt: skip
    for known in ((5.0, 9.0), (-5.0, -9.0)):
        assert PERSONAL.chances(harmful, "cooks", np.array(known))[2] == pytest.approx(0.02)


@given(arrays(np.float64, (2,), elements=numbers), st.floats(0.01, 60))
def test_own_chances_are_chances_and_keep_the_floor(known: np.ndarray, sharpness: float) -> None:
    slate = Personal(LEANING, sharpness, 0.02).slate(SLATE, "cooks", known)
    chances = [c.probability for c in slate.candidates]
    assert sum(chances) == pytest.approx(1.0, abs=1e-12)
    assert min(chances) >= 0.02 - 1e-12
    assert slate.pictures == SLATE.pictures


def test_many_shoppers_at_once_are_each_as_alone() -> None:
    known = np.random.default_rng(3).normal(size=(7, 2))
    together = PERSONAL.chances(SLATE, "cooks", known)
    alone = [PERSONAL.chances(SLATE, "cooks", one) for one in known]
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_it_is_read_back_from_json() -> None:
    assert Leaning.from_dict(json.loads(json.dumps(LEANING.as_dict()))) == LEANING


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInput, match="2 traits, 2 values"):
        Leaning(("a", "b"), VALUES, {}, (1.0, 1.0), ((0.0, 0.0),))
    with pytest.raises(InvalidInput, match="above 0"):
        Leaning(("a",), (), {}, (0.0,), ((0.0,),))
    with pytest.raises(InvalidInput, match="sharpness -1"):
        Personal(LEANING, -1.0, 0.02)
