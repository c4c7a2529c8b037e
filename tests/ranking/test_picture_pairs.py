from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.ranking.picture_pairs import picture_pairs

START = pd.Timestamp("2026-03-02", tz="UTC")


def cell(
    digest,
    shown,
    clicked,
    *,
    day=0.0,
    product="mug",
    segment="g0",
    version="v1",
    style="light=sun",
    position=1,
):
    """So many impressions of a picture, the first of them clicked."""
    return pd.DataFrame(
        {
            "product": product,
            "segment": segment,
            "style_key": style,
            "digest": digest,
            "policy_version": version,
            "position": position,
            "shown_at": START + pd.to_timedelta(day + np.arange(shown) / 1e6, unit="D"),
            "clicked": (np.arange(shown) < clicked).astype(np.int64),
        }
    )


def log(*cells):
    return pd.concat(cells, ignore_index=True)


def halves(first, second, **how):
    """Two pictures, a thousand times each in either half; clicks of a and b in each."""
    return log(
        *(cell(d, 1000, n, day=0, **how) for d, n in zip("ab", first, strict=True)),
        *(cell(d, 1000, n, day=20, **how) for d, n in zip("ab", second, strict=True)),
    )


def test_a_pair_whose_order_is_stable_is_a_label_with_its_share_and_evidence():
    found = picture_pairs(halves((60, 40), (60, 20)))
    assert found[["product", "one", "other"]].values.tolist() == [["mug", "a", "b"]]
    assert found["share"].item() == pytest.approx(120 / 180)
    assert found["clicks"].item() == pytest.approx(180)


def test_a_pair_whose_order_changes_is_none():
    assert picture_pairs(halves((60, 40), (30, 40))).empty
    assert picture_pairs(halves((60, 40), (40, 40))).empty


def test_enough_of_both_is_needed_where_both_were_shown():
    rows = halves((60, 40), (60, 20))
    assert len(picture_pairs(rows, impressions=2000)) == 1
    assert picture_pairs(rows, impressions=2001).empty
    # What one of them was shown elsewhere tells nothing of the pair.
    elsewhere = cell("a", 5000, 900, segment="g1")
    more = picture_pairs(log(rows, elsewhere))
    assert more["share"].item() == pytest.approx(120 / 180)


def test_a_segment_that_clicks_more_and_sees_one_more_favours_nobody():
    """Within each segment b is better; added up, a would be: Simpson."""
    cells = []
    for day in (0, 20):
        cells += [cell("a", 900, 90, day=day, segment="keen")]
        cells += [cell("b", 300, 36, day=day, segment="keen")]
        cells += [cell("a", 300, 3, day=day, segment="calm")]
        cells += [cell("b", 900, 18, day=day, segment="calm")]
    found = picture_pairs(log(*cells))
    assert found["share"].item() < 0.5


def test_chances_that_moved_with_the_season_favour_nobody():
    """As good in every revision; b was shown more when everybody clicked more."""
    cells = []
    for day in (0, 20):
        cells += [cell("a", 900, 27, day=day, version="v1+1")]
        cells += [cell("b", 300, 9, day=day, version="v1+1")]
        cells += [cell("a", 300, 60, day=day, version="v1+2")]
        cells += [cell("b", 900, 180, day=day, version="v1+2")]
    assert picture_pairs(log(*cells)).empty  # a tie is no order
    better = cell("a", 200, 60, day=21, version="v1+2")
    also = cell("a", 200, 60, day=1, version="v1+2")
    assert picture_pairs(log(*cells, better, also))["share"].item() > 0.5


def test_a_place_further_down_is_worth_less():
    """Both are clicked as often; a stood further down, where others are clicked half as often."""
    others = [
        cell(f"x{n}", 4000, 400 // n, product="hat", day=day, position=n)
        for day in (0, 20) for n in (1, 2, 4)
    ]  # fmt: skip
    cells = [cell("a", 1000, 40, day=day, position=4) for day in (0, 20)]
    cells += [cell("b", 1000, 40, day=day, position=1) for day in (0, 20)]
    found = picture_pairs(log(*others, *cells), impressions=400)
    of_mug = found[found["product"] == "mug"]
    assert of_mug["share"].item() > 0.6


def test_the_photo_and_other_products_make_no_pair():
    rows = halves((60, 40), (60, 20))
    photo = log(*(cell(None, 4000, 400, day=d, style="original") for d in (0, 20)))
    cap = log(*(cell("c", 4000, 400, day=d, product="cap") for d in (0, 20)))
    pd.testing.assert_frame_equal(
        picture_pairs(log(rows, photo, cap))[["one", "other"]],
        picture_pairs(rows)[["one", "other"]],
    )


def test_nothing_gives_no_labels_and_no_impressions_an_error():
    nothing = picture_pairs(halves((6, 4), (6, 2)).iloc[:0])
    assert nothing.columns.tolist() == ["product", "one", "other", "share", "clicks"]
    assert picture_pairs(cell("a", 3000, 30)).empty
    with pytest.raises(InvalidInput, match="impressions 0"):
        picture_pairs(halves((6, 4), (6, 2)), impressions=0)


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 60), min_size=12, max_size=12),
    seed=st.integers(0, 2**16),
)
def test_names_and_the_order_of_rows_only_turn_the_pair(counts, seed):
    cells = [
        cell(digest, 100, counts[i], day=day, segment=segment)
        for i, (digest, day, segment) in enumerate(
            (d, t, s) for d in "abc" for t in (0, 20) for s in ("g0", "g1")
        )
    ]
    rows = log(*cells)
    found = picture_pairs(rows, impressions=100)
    shuffled = rows.sample(frac=1.0, random_state=seed)
    pd.testing.assert_frame_equal(found, picture_pairs(shuffled, impressions=100))
    turned = rows.assign(digest=rows["digest"].map({"a": "z", "b": "y", "c": "x"}))
    other = picture_pairs(turned, impressions=100)
    back = {"z": "a", "y": "b", "x": "c"}
    mirrored = {(back[r.other], back[r.one]): (1 - r.share, r.clicks) for r in other.itertuples()}
    assert set(mirrored) == {(r.one, r.other) for r in found.itertuples()}
    for row in found.itertuples():
        assert mirrored[row.one, row.other] == pytest.approx((row.share, row.clicks))
        assert 0.0 <= row.share <= 1.0
        assert row.share != 0.5
