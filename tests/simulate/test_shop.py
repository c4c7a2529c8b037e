from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from persona_img.domain.decision import Candidate, DecisionTable, Slate
from persona_img.domain.leaning import Leaning, Personal
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, NotFound
from persona_img.simulate.clicks import FATIGUE, POSITION
from persona_img.simulate.shop import SimulatedShop

from .worlds import START, a_catalog, a_shop, shipped_space

STYLES = shipped_space().styles()


def odds(p: float) -> float:
    return p / (1 - p)


def shown_in(visit, style: Style):
    return [(product, style, f"d-{product}") for product in visit.products]


def test_the_same_seed_is_the_same_shop_and_another_seed_another():
    one, same, other = a_shop(3), a_shop(3), a_shop(4)
    pd.testing.assert_frame_equal(one.shoppers, same.shoppers)
    pd.testing.assert_frame_equal(one.interactions(30, START), same.interactions(30, START))
    assert one.visits(1, START, 7) == same.visits(1, START, 7)
    assert one.visits(1, START, 7) != one.visits(2, START, 7)
    assert one.visits(1, START, 7) != other.visits(1, START, 7)


def test_asking_for_history_does_not_change_the_visits():
    fresh, asked = a_shop(3), a_shop(3)
    asked.interactions(10, START)
    assert fresh.visits(1, START, 7) == asked.visits(1, START, 7)


def test_history_is_in_order_ends_in_time_and_a_purchase_follows_its_view():
    history = a_shop().interactions(30, START)
    assert list(history.columns) == ["shopper", "product", "kind", "occurred_at"]
    assert str(history["occurred_at"].dtype) == "datetime64[us, UTC]"
    assert history["occurred_at"].is_monotonic_increasing
    assert history["occurred_at"].max() < pd.Timestamp(START)
    counts = history["kind"].value_counts()
    assert counts["view"] > counts["cart"] > counts["purchase"] > 0
    first = history.groupby(["shopper", "product", "kind"])["occurred_at"].min().unstack()
    bought = first.dropna(subset=["purchase"])
    assert (bought["view"] < bought["purchase"]).all()


def test_groups_browse_different_categories():
    shop, catalog = a_shop(shoppers=1000), a_catalog(16)
    history = shop.interactions(60, START)
    group = dict(zip(shop.shoppers["shopper"], shop._people.group, strict=True))
    category = {p.product: p.category for p in catalog}
    share = pd.crosstab(
        history["shopper"].map(group), history["product"].map(category), normalize="index"
    )
    apart = max(
        np.abs(share.loc[a] - share.loc[b]).sum() for a, b in itertools.combinations(share.index, 2)
    )
    assert apart > 0.3


def test_click_rates_are_those_of_a_shop():
    shop = a_shop(shoppers=1000)
    assert 0.02 < shop.true_rate() < 0.05


def test_a_lower_position_and_an_earlier_exposure_cost_what_they_should():
    shop = a_shop()
    first = shop.click_probability("s00000", "p00", STYLES[5])
    third = shop.click_probability("s00000", "p00", STYLES[5], position=3)
    tired = shop.click_probability("s00000", "p00", STYLES[5], exposures=2)
    assert np.log(odds(third) / odds(first)) == pytest.approx(POSITION * np.log(3))
    assert np.log(odds(tired) / odds(first)) == pytest.approx(2 * FATIGUE)


@pytest.mark.parametrize("seed", range(5))
def test_lifts_are_honest(seed):
    effect = a_shop(seed, shoppers=10).tastes.effect
    assert np.all(effect[:, :, 0] == 0)
    best = np.exp(effect.max(axis=2).mean(axis=1)) - 1
    average = np.exp(effect[:, :, 1:]).mean(axis=(1, 2)) - 1
    worse = (effect[:, :, 1:] < 0).mean()
    assert np.all((best > 0.25) & (best < 0.62))
    assert np.all(np.abs(average) < 0.07)
    assert 0.3 < worse < 0.8


def test_described_tastes_name_every_value_of_every_group_and_balance():
    shop = a_shop(shoppers=10)
    table = shop.tastes.described()
    values = sum(len(v) for v in shipped_space().attributes.values())
    assert len(table) == values * len(shop.tastes.effect)
    assert table["log_odds"].abs().max() > 0.03


def test_visits_come_in_order_list_a_product_once_and_count_what_was_seen():
    visits = a_shop().visits(1, START, 7)
    assert [v.at for v in visits] == sorted(v.at for v in visits)
    assert all(len(set(v.products)) == 4 for v in visits)
    assert len({v.visit for v in visits}) == len(visits)
    seen: dict[tuple[str, str], int] = {}
    for visit in visits:
        for product, count in zip(visit.products, visit.seen, strict=True):
            assert seen.get((visit.shopper, product), 0) == count
            seen[visit.shopper, product] = count + 1
    assert max(seen.values()) > 1


def test_a_round_of_3000_shoppers_has_20_to_25_thousand_impressions():
    visits = a_shop(shoppers=3000, products=40).visits(1, START, 14)
    assert 20_000 < sum(len(v.products) for v in visits) < 27_000


def test_the_same_visit_gets_the_same_answer_whatever_came_before():
    shop = a_shop()
    visits = shop.visits(1, START, 7)[:200]
    ahead = [shop.respond(v, shown_in(v, STYLES[3])) for v in visits]
    back = [shop.respond(v, shown_in(v, STYLES[3])) for v in reversed(visits)]
    assert ahead == back[::-1]
    names = [e.event_id for events in ahead for e in events]
    assert len(set(names)) == len(names)


def test_events_are_in_order_and_conversions_come_later_than_their_clicks():
    shop = a_shop(shoppers=1500)
    visits = shop.visits(1, START, 7)
    late = 0
    for visit in visits:
        events = shop.respond(visit, shown_in(visit, ORIGINAL))
        assert sum(e.kind == "impression" for e in events) == len(visit.products)
        when = {(e.kind, e.token): e.occurred_at for e in events}
        for (kind, impression), moment in when.items():
            if kind == "click":
                assert moment > when["impression", impression]
            if kind == "conversion":
                assert moment > when["click", impression] + 59
                late += moment > visit.at + 3600
    assert late > 5


def test_clicks_happen_as_often_as_the_truth_says():
    shop = a_shop(shoppers=3000)
    visits = shop.visits(1, START, 14)
    clicks = sum(
        event.kind == "click"
        for visit in visits
        for event in shop.respond(visit, shown_in(visit, STYLES[7]))
    )
    places = [
        (v.shopper, p, i, n)
        for v in visits
        for i, (p, n) in enumerate(zip(v.products, v.seen, strict=True), 1)
    ]
    shoppers, products, position, seen = zip(*places, strict=True)
    rates = shop.click_probabilities(
        shoppers, products, [STYLES[7].key] * len(places), position=position, exposures=seen
    )
    expected = np.sum(rates)
    spread = np.sqrt(np.sum(rates * (1 - rates)))
    assert abs(clicks - expected) < 4 * spread


def a_table(chances: dict[str, float], shop: SimulatedShop, products: int = 16) -> DecisionTable:
    slate = Slate(tuple(Candidate(Style(k), None, p) for k, p in chances.items()))
    slates = {("all", p.product): slate for p in a_catalog(products)}
    return DecisionTable("t", slates, {}, "all")


def test_the_true_rate_is_the_mean_over_shoppers_products_positions_and_styles():
    shop = a_shop(shoppers=20)
    table = a_table({"original": 0.3, STYLES[9].key: 0.7}, shop)
    total = weights = 0.0
    for row, shopper in shop.shoppers.iterrows():
        for column, product in enumerate(a_catalog(16)):
            weight = shopper["activity"] * shop._browsing[row, column]
            for position, (style, chance) in itertools.product(
                (1, 2, 3, 4), ((ORIGINAL, 0.3), (STYLES[9], 0.7))
            ):
                rate = shop.click_probability(
                    shopper["shopper"], product.product, style, position=position
                )
                total += weight * chance * rate / 4
            weights += weight
    assert shop.true_rate(table) == pytest.approx(total / weights, rel=1e-9)


def test_control_is_the_original_and_a_missing_slate_is_too():
    shop = a_shop()
    table = a_table({"original": 0.3, STYLES[9].key: 0.7}, shop)
    empty = DecisionTable("t", {}, {}, "all")
    assert shop.true_rate(table, "control") == shop.true_rate() == shop.true_rate(empty)
    assert shop.true_rate(table) != shop.true_rate()


def test_what_is_not_in_the_shop_is_refused():
    shop = a_shop()
    with pytest.raises(NotFound, match="nobody"):
        shop.click_probability("nobody", "p00", ORIGINAL)
    with pytest.raises(NotFound, match="style"):
        shop.click_probability("s00000", "p00", Style("surface=lava"))
    with pytest.raises(InvalidInput, match="time zone"):
        shop.visits(1, datetime(2026, 1, 1), 7)
    with pytest.raises(InvalidInput, match="at least one"):
        SimulatedShop(a_catalog(1), shipped_space(), shoppers=0, seed=1)


def test_other_tastes_change_the_tastes_alone() -> None:
    shop = a_shop()
    turned = shop.with_tastes(-shop.tastes.effect)
    assert turned.true_rate() == shop.true_rate()
    styles = [style.key for style in shop.tastes.styles[1:4]]
    who, what = [shop.shoppers["shopper"].iloc[0]] * 3, ["p00"] * 3
    once = {"position": [1] * 3, "exposures": [0] * 3}
    plain = shop.click_probabilities(who, what, styles, **once)
    other = turned.click_probabilities(who, what, styles, **once)
    assert not np.any(plain == other)
    alike = shop.with_tastes(np.zeros_like(shop.tastes.effect), leaning=False)
    same = alike.click_probabilities(who, what, styles, **once)
    assert np.ptp(same) < 1e-15
    assert shop.tastes.effect.any()
    with pytest.raises(InvalidInput, match="original"):
        shop.with_tastes(shop.tastes.effect + 1.0)


def test_in_a_personal_shop_regulars_like_what_newcomers_do_not_and_visits_as_before() -> None:
    plain, personal = (
        SimulatedShop(a_catalog(8), shipped_space(), shoppers=400, seed=3, form=form)
        for form in ("additive", "personal")
    )
    turned = personal._people.leaning - plain._people.leaning
    activity = plain.shoppers["activity"].to_numpy()
    away = np.log(activity)
    for value in turned.T:
        assert abs(np.corrcoef(away, value)[0, 1]) == pytest.approx(1.0)
    # Over visits nothing is liked more than before.
    mean = activity @ turned / activity.sum()
    assert np.abs(mean).max() < 0.25 * turned.std(axis=0).max()
    assert plain.interactions(30, START).equals(personal.interactions(30, START))


def test_the_true_rate_of_own_chances_is_the_mean_over_what_each_shopper_is_shown() -> None:
    shop = a_shop(shoppers=60, products=4)
    style = shop.tastes.styles[5]
    leaning = Leaning(
        ("views",), tuple(style.values.items()), {"all": (0.0,)}, (1.0,),
        ((0.3,), *[(0.0,)] * len(style.values)),
    )  # fmt: skip
    table = a_table({"original": 0.4, style.key: 0.6}, shop, products=4)
    personal = replace(table, personal=Personal(leaning, 5.0, 0.02))
    ids = list(shop.shoppers["shopper"])
    traits = pd.DataFrame({"views": np.linspace(-2, 2, len(ids))}, index=ids)
    activity = shop.shoppers["activity"].to_numpy()
    total = 0.0
    for i, shopper in enumerate(ids):
        one = traits.loc[shopper].to_numpy()
        for p, product in enumerate(shop._products):
            own = personal.personal.slate(personal.slates["all", product], "all", one)
            rate = sum(
                c.probability
                * np.mean([shop.click_probability(shopper, product, c.style, position=k)
                           for k in range(1, 5)])
                for c in own.candidates
            )  # fmt: skip
            total += activity[i] * shop._browsing[i, p] * rate
    expected = total / activity.sum()
    assert shop.true_rate(personal, traits=traits) == pytest.approx(expected, rel=1e-9)
    assert shop.true_rate(personal) != pytest.approx(expected, rel=1e-6)
