"""How many segments: as many as there are tastes, and one where there are none."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.choice import CountChoice, choose_count, held_out_lift

from .conftest import AS_OF, CATEGORIES, Shop, favourite


def chosen(shop: Shop, interactions: pd.DataFrame | None = None, **other: int) -> CountChoice:
    frame = shop.interactions if interactions is None else interactions
    given = {"most": 6, "least": 10, "seed": 0} | other
    return choose_count(frame, shop.products, as_of=AS_OF, held_out=timedelta(days=14), **given)


def test_as_many_segments_as_there_are_tastes(shop: Shop) -> None:
    found = chosen(shop)

    assert found.count == len(CATEGORIES)
    table = found.table
    assert table.index.to_list() == [1, 2, 3, 4, 5, 6]
    assert table.loc[1, ["segments", "stability"]].to_list() == [1, 1]
    assert abs(table.loc[1, "lift"]) < 0.02
    assert table.loc[4, "lift"] > table.loc[2, "lift"] > 0.1
    assert table.loc[4, "stability"] > 0.9
    assert bool(table.loc[found.count, "near"])
    assert 100 < found.shoppers <= 240


def alike(shop: Shop) -> pd.DataFrame:
    """Everybody met anything."""
    rng = np.random.default_rng(1)
    return shop.interactions.assign(
        product=[f"p{number:02d}" for number in rng.integers(0, 40, len(shop.interactions))]
    )


def test_one_where_all_have_the_same_taste(shop: Shop) -> None:
    assert chosen(shop, alike(shop)).count == 1


def test_the_present_number_stays_where_it_is_as_good(shop: Shop) -> None:
    """Of 240 shoppers there are no more than four times 50: a fifth and sixth change nothing."""
    found = chosen(shop, least=50)
    assert found.table["near"].to_list() == [False, False, False, True, True, True]
    assert found.count == 4
    assert chosen(shop, least=50, present=6).count == 6
    assert chosen(shop, least=50, present=2).count == 4


def test_same_inputs_same_choice_and_nothing_later(shop: Shop) -> None:
    now = shop.interactions[shop.interactions["occurred_at"] < pd.Timestamp(AS_OF)]
    one, two = chosen(shop, most=3), chosen(shop, now.sample(frac=1, random_state=2), most=3)
    pd.testing.assert_frame_equal(one.table, two.table)


def test_a_groups_taste_is_what_the_others_in_it_met() -> None:
    past = pd.DataFrame(
        [("a", "x"), ("b", "x"), ("b", "x"), ("c", "y"), ("d", "y")], columns=["shopper", "product"]
    ).assign(kind="view")
    later = pd.DataFrame(
        [("a", "x"), ("c", "x"), ("c", "new"), ("stranger", "x")], columns=["shopper", "product"]
    ).assign(kind="view")
    groups = pd.Series({"a": "one", "b": "one", "c": "two", "d": "two"})
    lift = held_out_lift(past, later, groups)

    # Without a's view there are 4, two of them of x, and 2 products: (2 + 1) / (4 + 2).
    # Of the others of its group 2 of 2 are of x, drawn to that: (2 + 2 / 2) / (2 + 2).
    # Without c's there are 3 of 4 of x, (3 + 1) / (4 + 2); of its group none: (0 + 4 / 3) / 3.
    expected = {"a": np.log(0.75 / 0.5), "c": np.log((4 / 9) / (4 / 6))}
    assert lift.to_dict() == pytest.approx(expected)
    together = held_out_lift(past, later, pd.Series(dict.fromkeys("abcd", "all")))
    assert np.abs(together).max() < 0.2
    own = past.assign(shopper=past["shopper"].replace({"a": "b"}))
    alone = held_out_lift(own, later.assign(shopper="b"), pd.Series({"b": "one", "c": "two"}))
    assert alone.to_dict() == pytest.approx({"b": 0.0})  # their own past says nothing of them


def test_a_history_too_short_is_an_error(shop: Shop) -> None:
    with pytest.raises(InvalidInput, match="at most 0 segments"):
        chosen(shop, most=0)
    old = shop.interactions[shop.interactions["occurred_at"] < AS_OF - timedelta(days=20)]
    with pytest.raises(NotEnoughData, match="nothing happened from 2026-02-15"):
        chosen(shop, old)
    strangers = old.assign(shopper="new", occurred_at=pd.Timestamp(AS_OF) - timedelta(days=1))
    with pytest.raises(NotEnoughData, match="nobody known before"):
        chosen(shop, pd.concat([old, strangers]))
    with pytest.raises(NotEnoughData, match="no segment of 1000"):
        chosen(shop, least=1000)


def test_tastes_are_those_of_the_fixture(shop: Shop) -> None:
    """What the first test rests on: the favourite is met most."""
    own = shop.interactions["shopper"].map(favourite)
    met = shop.interactions["product"].map(lambda p: CATEGORIES[int(p[1:]) % 4])
    assert (own == met).mean() > 0.8
