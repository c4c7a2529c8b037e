from __future__ import annotations

import numpy as np
import pytest

from persona_img.masking.learning.measures import largest_piece, score_mask


def square(size: int = 200, top: int = 50, side: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, 50:150] = 255
    return mask


def test_the_truth_itself_is_perfect() -> None:
    score = score_mask(square(), square())
    assert (score.iou, score.boundary_f, score.kept, score.lost) == (1.0, 1.0, 0.0, 0.0)
    assert score.clean


def test_half_of_it_has_half_the_intersection_and_is_said_to_be_lost() -> None:
    score = score_mask(square(side=50), square())
    assert score.iou == 0.5
    assert score.lost == pytest.approx(0.5)
    assert score.kept == 0.0
    assert not score.clean


def test_a_filled_hole_is_kept_backdrop_however_good_the_overlap() -> None:
    truth = square()
    truth[90:110, 90:110] = 0
    score = score_mask(square(), truth)
    assert score.iou == pytest.approx(0.96)
    assert score.kept == pytest.approx(400 / 9600)
    assert not score.clean


def test_a_line_along_the_edge_is_no_piece() -> None:
    score = score_mask(square(side=102), square())
    assert score.clean
    assert score.boundary_f > 0.99  # two pixels are within the tolerance
    assert 0.7 < score.outline_f < 0.8  # one edge of four is not within one pixel
    assert score_mask(square(side=101), square()).outline_f > 0.99


def test_outlines_far_apart_do_not_count_as_found() -> None:
    assert score_mask(square(top=20), square()).boundary_f < 0.75


def test_nothing_found_scores_nothing_and_a_frame_without_outline_is_nan() -> None:
    score = score_mask(np.zeros((200, 200), np.uint8), square())
    assert (score.iou, score.boundary_f, score.lost) == (0.0, 0.0, 1.0)
    full = np.full((200, 200), 255, np.uint8)
    assert np.isnan(score_mask(full, full).boundary_f)
    assert np.isnan(score_mask(full, full).outline_f)


def test_specks_are_no_piece() -> None:
    wrong = np.zeros((300, 300), bool)
    wrong[::10, ::10] = True
    assert largest_piece(wrong) == 0.0


def test_only_holes_count_as_hole_errors() -> None:
    truth = np.zeros((200, 200), np.uint8)
    truth[40:160, 40:160] = 255
    assert np.isnan(score_mask(truth, truth).hole_error)
    truth[80:100, 80:120] = 0
    truth[20:60, 90:110] = 0  # a bay, open to the outside, is no hole
    half, filled = truth.copy(), truth.copy()
    half[80:100, 80:100] = 255
    filled[80:100, 80:120] = 255
    assert score_mask(truth, truth).hole_error == 0
    assert score_mask(half, truth).hole_error == 0.5
    assert score_mask(filled, truth).hole_error == 1
