"""Tastes: the right way round, the same every time, and never from the future."""

from __future__ import annotations

import dataclasses
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.factors import Factors, fit_factors

from .conftest import AS_OF, CATEGORIES, Shop, favourite


def asymmetric() -> pd.DataFrame:
    """Three shoppers and five products: u0 and u1 like a and b, u2 likes c, d and e."""
    pairs = [("u0", "a"), ("u0", "b"), ("u1", "a"), ("u1", "b"), ("u2", "c"), ("u2", "d")]
    pairs += [("u2", "e")]
    frame = pd.DataFrame(pairs, columns=["shopper", "product"]).assign(kind="view")
    frame["occurred_at"] = pd.Timestamp(AS_OF) - pd.to_timedelta(range(7, 0, -1), unit="h")
    return frame


def test_rows_are_shoppers_and_products_in_the_order_of_their_names() -> None:
    found = fit_factors(asymmetric(), factors=2, seed=0)

    assert found.shoppers == ("u0", "u1", "u2")
    assert found.products == ("a", "b", "c", "d", "e")
    assert found.shopper_matrix.shape == (3, 2)
    assert found.product_matrix.shape == (5, 2)
    assert found.shopper_matrix.dtype == found.product_matrix.dtype == np.float32
    liking = found.shopper_matrix @ found.product_matrix.T
    likes = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1]], dtype=bool)
    assert liking[likes].min() > 0.5
    assert np.abs(liking[~likes]).max() < 0.2


def test_swapped_matrices_are_refused() -> None:
    found = fit_factors(asymmetric(), factors=2, seed=0)
    with pytest.raises(InvalidInput, match="one row per shopper"):
        dataclasses.replace(
            found, shopper_matrix=found.product_matrix, product_matrix=found.shopper_matrix
        )
    with pytest.raises(InvalidInput, match="one row per product"):
        dataclasses.replace(found, product_matrix=found.product_matrix[:, :1])


def test_frames_carry_the_rows_of_their_matrix() -> None:
    found = fit_factors(asymmetric(), factors=2, seed=0)
    shoppers, products = found.shopper_frame(), found.product_frame()

    assert shoppers.index.name == "shopper"
    assert products.index.name == "product"
    np.testing.assert_array_equal(shoppers.loc["u2", "factors"], found.shopper_matrix[2])
    np.testing.assert_array_equal(products.loc["e", "factors"], found.product_matrix[4])


def test_a_taste_is_found(shop: Shop, factors: Factors) -> None:
    liking = factors.shopper_matrix @ factors.product_matrix.T
    categories = np.array([CATEGORIES[int(p[1:]) % 4] for p in factors.products])
    own = np.array([favourite(s) for s in factors.shoppers])[:, None] == categories
    assert liking[own].mean() > 3 * abs(liking[~own].mean())


def test_same_interactions_same_bytes_in_any_order(shop: Shop, factors: Factors) -> None:
    shuffled = shop.interactions.sample(frac=1, random_state=1)
    again = fit_factors(shuffled, seed=3, as_of=AS_OF)

    assert again.shopper_matrix.tobytes() == factors.shopper_matrix.tobytes()
    assert again.product_matrix.tobytes() == factors.product_matrix.tobytes()
    weighed = shop.interactions.assign(weight=0.1 + np.arange(len(shop.interactions)) % 7)
    one = fit_factors(weighed, seed=3)
    two = fit_factors(weighed.sample(frac=1, random_state=1), seed=3)
    assert one.shopper_matrix.tobytes() == two.shopper_matrix.tobytes()
    other = fit_factors(shuffled, seed=4, as_of=AS_OF)
    assert other.shopper_matrix.tobytes() != factors.shopper_matrix.tobytes()


def test_nothing_at_or_after_as_of_is_used(shop: Shop, factors: Factors) -> None:
    assert factors.until < AS_OF
    edge = shop.interactions.iloc[:1].assign(shopper="edge", occurred_at=pd.Timestamp(AS_OF))
    later = fit_factors(pd.concat([shop.interactions, edge]), seed=3, as_of=AS_OF)
    only = shop.interactions[shop.interactions["occurred_at"] < pd.Timestamp(AS_OF)]

    for other in (later, fit_factors(only, seed=3)):
        assert other.shoppers == factors.shoppers
        assert other.shopper_matrix.tobytes() == factors.shopper_matrix.tobytes()


def test_a_purchase_says_more_than_a_view_and_a_weight_overrides_both() -> None:
    def liking(frame: pd.DataFrame) -> float:
        found = fit_factors(frame, factors=1, seed=0)
        return float(found.shopper_matrix[1] @ found.product_matrix[0])

    two = asymmetric().iloc[:3]
    bought = two.assign(kind=["view", "view", "purchase"])
    assert liking(bought) > liking(two)
    assert liking(bought.assign(weight=1.0)) == liking(two)
    assert liking(two.assign(weight=[1.0, 1.0, 5.0])) == liking(bought)


def test_alignment_keeps_dot_products_and_takes_the_axes(shop: Shop, factors: Factors) -> None:
    later = AS_OF + timedelta(days=10)
    free = fit_factors(shop.interactions, seed=8, as_of=later)
    kept = free.aligned(factors)

    np.testing.assert_allclose(
        kept.shopper_matrix @ kept.product_matrix.T,
        free.shopper_matrix @ free.product_matrix.T,
        atol=1e-5,
    )
    apart = np.linalg.norm(free.product_matrix - factors.product_matrix)
    assert np.linalg.norm(kept.product_matrix - factors.product_matrix) < 0.7 * apart
    mirrored = dataclasses.replace(
        factors,
        shopper_matrix=-factors.shopper_matrix[:, ::-1],
        product_matrix=-factors.product_matrix[:, ::-1],
    )
    back = mirrored.aligned(factors)
    np.testing.assert_allclose(back.shopper_matrix, factors.shopper_matrix, atol=1e-5)


def test_a_fit_like_an_earlier_one_starts_there(shop: Shop, factors: Factors) -> None:
    same = fit_factors(shop.interactions, seed=8, as_of=AS_OF, like=factors)
    free = fit_factors(shop.interactions, seed=8, as_of=AS_OF).aligned(factors)

    def apart(other: Factors) -> float:
        return float(np.linalg.norm(other.shopper_matrix - factors.shopper_matrix))

    assert apart(same) < 0.6 * apart(free)
    again = fit_factors(shop.interactions, seed=8, as_of=AS_OF, like=factors)
    assert again.shopper_matrix.tobytes() == same.shopper_matrix.tobytes()
    new = shop.interactions.replace({"product": {"p03": "new", "p09": "other"}})
    later = fit_factors(new, seed=8, as_of=AS_OF, like=factors)
    vectors = later.product_frame()["factors"]
    assert min(np.linalg.norm(vectors[name]) for name in ("new", "other")) > 0.1


def test_fewer_products_than_factors_fix_the_axes_where_all_are_common(shop: Shop) -> None:
    few = shop.interactions[shop.interactions["product"] < "p05"]
    earlier = fit_factors(few, seed=3, as_of=AS_OF)
    later = fit_factors(few, seed=4, as_of=AS_OF).aligned(earlier)
    assert len(earlier.products) == 5 < earlier.size
    apart = np.linalg.norm(later.product_matrix - earlier.product_matrix)
    assert apart < 0.5 * np.linalg.norm(earlier.product_matrix)
    renamed = few.replace({"product": {"p04": "new"}})
    with pytest.raises(NotEnoughData, match="4 common products fix no rotation"):
        fit_factors(renamed, seed=4, as_of=AS_OF).aligned(earlier)


def test_products_that_are_kept_fold_shoppers_in_as_before(
    shop: Shop, factors: Factors, tmp_path: Path
) -> None:
    factors.to_table().to_parquet(tmp_path / "factors.parquet")
    table = pd.read_parquet(tmp_path / "factors.parquet")
    kept = Factors.from_table(table, until=factors.until, regularization=0.05, confidence=2.0)

    assert kept.shoppers == ()
    assert kept.product_matrix.tobytes() == factors.product_matrix.tobytes()
    one, two = (f.folded(shop.interactions, as_of=AS_OF) for f in (kept, factors))
    assert one.shopper_matrix.tobytes() == two.shopper_matrix.tobytes()


def test_fitting_warns_of_nothing_and_leaves_threads_alone(shop: Shop) -> None:
    from threadpoolctl import threadpool_info

    before = threadpool_info()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_factors(shop.interactions.head(50), seed=0)
    assert threadpool_info() == before


def test_what_cannot_be_fitted_is_an_error(shop: Shop, factors: Factors) -> None:
    frame = asymmetric()
    with pytest.raises(NotEnoughData, match="no interaction before"):
        fit_factors(frame, seed=0, as_of=AS_OF - timedelta(days=2))
    with pytest.raises(InvalidInput, match="at least 1"):
        fit_factors(frame, factors=0, seed=0)
    with pytest.raises(InvalidInput, match="weight -1"):
        fit_factors(frame.assign(weight=-1), seed=0)
    with pytest.raises(InvalidInput, match="kind 'like'"):
        fit_factors(frame.assign(kind="like"), seed=0)
    with pytest.raises(InvalidInput, match="time zone"):
        fit_factors(frame, seed=0, as_of=AS_OF.replace(tzinfo=None))
    with pytest.raises(NotEnoughData, match="common products"):
        fit_factors(frame, seed=0, like=factors)
    with pytest.raises(InvalidInput, match="cannot lie on 16 axes"):
        fit_factors(frame, factors=2, seed=0, like=factors)


@pytest.mark.parametrize("size", [2, 16])
def test_who_did_the_same_has_the_same_taste_to_the_last_bit(size: int) -> None:
    rng = np.random.default_rng(1)
    baskets = [["hat", "cap"], ["shoe"], ["hat", "shoe", "sock"], ["dress", "belt"]]
    rows = [
        (f"s{number:03d}", product, kind)
        for number in range(120)
        for product in baskets[number % 4]
        for kind in (["view", "purchase"] if number % 4 == 3 else ["view"])
    ]
    frame = pd.DataFrame(rows, columns=["shopper", "product", "kind"]).assign(
        occurred_at=pd.Timestamp(AS_OF) - pd.Timedelta(days=1)
    )
    found = fit_factors(
        frame.sample(frac=1, random_state=int(rng.integers(9))), factors=size, seed=7
    )
    for group in range(4):
        assert len(np.unique(found.shopper_matrix[group::4], axis=0)) == 1
    place = {name: row for row, name in enumerate(found.products)}
    for one, other in (("hat", "sock"), ("dress", "shoe")):
        assert not np.array_equal(
            found.product_matrix[place[one]], found.product_matrix[place[other]]
        )
    np.testing.assert_array_equal(
        found.product_matrix[place["dress"]], found.product_matrix[place["belt"]]
    )
    if size < len(baskets):
        turned = fit_factors(frame, factors=size, seed=8, like=found)
        for group in range(4):
            assert len(np.unique(turned.shopper_matrix[group::4], axis=0)) == 1


def test_who_did_the_same_as_in_the_fit_has_the_vector_of_the_fit(
    shop: Shop, factors: Factors
) -> None:
    folded = factors.folded(shop.interactions, as_of=AS_OF)

    assert folded.shoppers == factors.shoppers
    np.testing.assert_allclose(folded.shopper_matrix, factors.shopper_matrix, atol=1e-5)
    assert folded.product_matrix is factors.product_matrix
    assert folded.until == factors.until
    turned = fit_factors(shop.interactions, seed=8, as_of=AS_OF, like=factors)
    again = turned.folded(shop.interactions, as_of=AS_OF)
    np.testing.assert_allclose(again.shopper_matrix, turned.shopper_matrix, atol=1e-5)
    strong = fit_factors(shop.interactions, seed=3, confidence=20.0, regularization=2.0)
    np.testing.assert_allclose(
        strong.folded(shop.interactions).shopper_matrix, strong.shopper_matrix, atol=1e-5
    )


def test_a_newcomer_who_did_what_another_did_gets_their_vector(
    shop: Shop, factors: Factors
) -> None:
    before = shop.interactions[shop.interactions["occurred_at"] < pd.Timestamp(AS_OF)]
    one = before[before["shopper"] == "s005"]
    new = one.assign(shopper="newcomer", occurred_at=one["occurred_at"] + pd.Timedelta(days=90))
    strange = new.head(1).assign(product="not fitted")
    folded = factors.folded(pd.concat([new, strange, strange.assign(shopper="stranger")]))

    assert folded.shoppers == ("newcomer",)
    np.testing.assert_allclose(
        folded.shopper_matrix[0], factors.shopper_frame().loc["s005", "factors"], atol=1e-5
    )
    assert folded.until == new["occurred_at"].max()
    assert factors.folded(before.head(1)).until == factors.until


def test_a_newcomer_likes_what_they_met(shop: Shop, factors: Factors) -> None:
    hats = [p for p in factors.products if CATEGORIES[int(p[1:]) % 4] == "hat"]
    new = pd.DataFrame({"shopper": "newcomer", "product": hats[:4], "kind": "purchase"}).assign(
        occurred_at=pd.Timestamp(AS_OF)
    )
    liking = factors.folded(new).shopper_matrix[0] @ factors.product_matrix.T
    others = [row for row, p in enumerate(factors.products) if p not in hats]
    unseen = [row for row, p in enumerate(factors.products) if p in hats[4:]]
    assert liking[unseen].mean() > 3 * abs(liking[others].mean())


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_who_is_folded_in_is_independent_of_the_others(
    factors: Factors, data: st.DataObject
) -> None:
    pairs = st.tuples(st.sampled_from(["x", "y", "z"]), st.sampled_from(factors.products[:9]))
    frame = pd.DataFrame(
        data.draw(st.lists(pairs, min_size=1, max_size=20)), columns=["shopper", "product"]
    ).assign(kind="view", occurred_at=pd.Timestamp(AS_OF))
    together = factors.folded(frame.sample(frac=1, random_state=data.draw(st.integers(0, 99))))
    for shopper, row in zip(together.shoppers, together.shopper_matrix, strict=True):
        alone = factors.folded(frame[frame["shopper"] == shopper])
        np.testing.assert_array_equal(alone.shopper_matrix[0], row)


def test_who_cannot_be_folded_in_is_an_error(factors: Factors) -> None:
    frame = asymmetric()
    with pytest.raises(NotEnoughData, match="none of 7 interactions is of one of the 40 fitted"):
        factors.folded(frame)
    with pytest.raises(NotEnoughData, match="no interaction before"):
        factors.folded(frame, as_of=AS_OF - timedelta(days=2))
    with pytest.raises(InvalidInput, match="weight -1"):
        factors.folded(frame.assign(weight=-1))
