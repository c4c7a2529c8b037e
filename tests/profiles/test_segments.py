"""Segments: never small, always the same, and with names that say something."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.domain.catalog import Product
from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.factors import fit_factors
from persona_img.profiles.profile import build_profiles
from persona_img.profiles.segments import Segments, _clusters, fit_segments

from .conftest import AS_OF, CATEGORIES, favourite


def made(seed: int, shoppers: int, spread: float, size: int = 3) -> pd.DataFrame:
    """Profiles with tastes of every kind: tight groups, outliers, copies."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(0, spread, (3, size))[rng.integers(0, 3, shoppers)]
    noise = rng.standard_t(1.5, (shoppers, size)) * rng.integers(0, 2)
    factors = (centre + noise).astype(np.float32)
    first = rng.choice(CATEGORIES, shoppers)
    share = rng.random(shoppers)
    second = np.where(first == "hat", "shoes", "hat")
    return pd.DataFrame(
        {
            "shopper": [f"s{i:04d}" for i in range(shoppers)],
            "event_timestamp": pd.Series([AS_OF] * shoppers, dtype="datetime64[us, UTC]"),
            **dict.fromkeys(("carts", "purchases", "active_days", "events_30d"), 1.0),
            "views": rng.integers(1, 100, shoppers).astype(float),
            "first_seen_at": 0.0,
            "last_seen_at": 1.0,
            "price_level": np.where(rng.random(shoppers) < 0.1, np.nan, rng.random(shoppers)),
            "favourite_share": np.maximum(share, 1 - share),
            "categories": pd.Series(list(zip(first, second, strict=True)), dtype=object),
            "category_shares": pd.Series(list(np.stack([share, 1 - share], 1)), dtype=object),
            "factors": pd.Series(list(factors), dtype=object),
        }
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shoppers=st.integers(1, 120),
    count=st.integers(1, 12),
    least=st.integers(1, 60),
    spread=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_no_segment_is_smaller_than_asked(
    seed: int, shoppers: int, count: int, least: int, spread: float
) -> None:
    profiles = made(seed, shoppers, spread)
    if shoppers < least:
        with pytest.raises(NotEnoughData, match=f"{shoppers} shoppers"):
            fit_segments(profiles, count=count, least=least, seed=0)
        return
    segments = fit_segments(profiles, count=count, least=least, seed=0)
    sizes = segments.assign(profiles).value_counts()

    assert sizes.min() >= least
    assert sizes.sum() == shoppers
    assert 1 <= len(segments.names) <= count
    assert len(set(segments.names)) == len(segments.names)
    assert set(sizes.index) == set(segments.names)
    table = segments.describe()
    assert table["shoppers"].to_dict() == sizes.to_dict()
    assert segments.default == segments.names[0]
    assert sizes[segments.default] == sizes.max()


def two_tastes(few: int, many: int) -> pd.DataFrame:
    """Two groups that nothing mixes up."""
    profiles = made(3, few + many, 1.0)
    rng = np.random.default_rng(4)
    likes_hats = np.arange(few + many) < few
    sides = np.where(likes_hats[:, None], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    factors = (sides + rng.normal(0, 0.01, sides.shape)).astype(np.float32)
    names = [("hat", "shoes") if hats else ("dress", "shirt") for hats in likes_hats]
    return profiles.assign(
        views=50.0,
        price_level=0.5,
        categories=pd.Series(names, dtype=object),
        category_shares=pd.Series([np.array([0.9, 0.1])] * (few + many), dtype=object),
        factors=pd.Series(list(factors), dtype=object),
    )


@pytest.mark.parametrize("least", [2, 25, 50])
def test_a_segment_of_just_k_shoppers_is_kept_and_one_of_a_shopper_less_is_not(least: int) -> None:
    for few, sizes in ((least, [90, least]), (least - 1, [89 + least])):
        profiles = two_tastes(few, 90)
        segments = fit_segments(profiles, count=2, least=least, seed=0)
        assert segments.describe()["shoppers"].to_list() == sizes
        assert sorted(segments.assign(profiles).value_counts(), reverse=True) == sizes


def test_k_shoppers_make_a_segment_twice_as_many_two_and_a_shopper_less_none() -> None:
    assert fit_segments(two_tastes(5, 15), count=2, least=20, seed=0).names != ()
    with pytest.raises(NotEnoughData, match="19 shoppers make no segment of 20"):
        fit_segments(two_tastes(5, 14), count=2, least=20, seed=0)
    for few, many, segments in ((20, 20, 2), (20, 19, 1), (19, 20, 1)):
        found = fit_segments(two_tastes(few, many), count=2, least=20, seed=0)
        assert len(found.names) == segments


def test_tastes_are_told_apart_and_named(profiles: pd.DataFrame) -> None:
    segments = fit_segments(profiles, count=4, least=30, seed=0)
    assigned = segments.assign(profiles)

    assert set(segments.names) == {f"{name}-lovers" for name in CATEGORIES}
    right = assigned == profiles["shopper"].map(favourite) + "-lovers"
    assert right.mean() > 0.95
    table = segments.describe()
    assert table.index.to_list() == list(segments.names)
    assert table["share"].sum() == pytest.approx(1)
    assert table.loc["hat-lovers", "top_categories"].startswith("hat, ")
    hats = profiles[assigned == "hat-lovers"]
    assert table.loc["hat-lovers", "views"] == pytest.approx(hats["views"].mean())


def test_tastes_count_and_not_how_much_is_done(profiles: pd.DataFrame) -> None:
    segments = fit_segments(profiles, count=4, least=30, seed=0)
    before = segments.assign(profiles)
    busy = profiles.assign(**{name: profiles[name] * 20 for name in ("views", "carts")})
    longer = profiles.assign(factors=profiles["factors"].map(lambda vector: vector * 4))

    assert (segments.assign(busy) == before).mean() > 0.95
    points = segments.measure.points
    np.testing.assert_allclose(points(longer), points(profiles), atol=1e-9)
    quiet = profiles.assign(views=1.0, carts=0.0, purchases=0.0)
    clear, drawn = points(profiles), points(quiet)
    shares = len(segments.measure.categories)
    # The less somebody did, the more they look like everybody, of whom the lift is 0.
    lift = (drawn * segments.measure.scale + segments.measure.mean)[:, :shares]
    known = (clear * segments.measure.scale + segments.measure.mean)[:, :shares]
    assert np.abs(lift).max() < np.abs(known).max()


def test_a_shop_without_prices_has_segments_too(profiles: pd.DataFrame) -> None:
    segments = fit_segments(profiles.assign(price_level=np.nan), count=4, least=30, seed=0)
    assert set(segments.names) == {f"{name}-lovers" for name in CATEGORIES}
    assert np.isfinite(segments.centres).all()


def test_same_profiles_same_segments_in_any_order(profiles: pd.DataFrame) -> None:
    one = fit_segments(profiles, least=20, seed=0)
    two = fit_segments(profiles.sample(frac=1, random_state=2), least=20, seed=0)

    assert one.names == two.names
    assert one.centres.tobytes() == two.centres.tobytes()
    pd.testing.assert_frame_equal(one.describe(), two.describe())
    shuffled = profiles.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(one.assign(shuffled).sort_index(), one.assign(profiles))


def grown(profiles: pd.DataFrame, changed: int, seed: int) -> pd.DataFrame:
    """The same shoppers later: some took over another's tastes, and the noise of a new fit."""
    rng = np.random.default_rng(seed)
    later = profiles.copy()
    who = rng.choice(len(profiles), changed, replace=False)
    whose = rng.choice(len(profiles), changed, replace=False)
    for name in ("factors", "categories", "category_shares", "price_level", "views"):
        values = later[name].to_numpy(copy=True)
        values[who] = profiles[name].to_numpy()[whose]
        later[name] = values
    noise = 0.02 * rng.normal(size=(len(profiles), len(profiles["factors"].iloc[0])))
    later["factors"] = pd.Series(
        [vector + add for vector, add in zip(later["factors"], noise, strict=True)], dtype=object
    )
    return later


@pytest.mark.parametrize("seed", range(3))
def test_names_stay_and_only_who_changed_changes_segment(profiles: pd.DataFrame, seed: int) -> None:
    """Also where nothing tells the true number, and two starts of k-means end apart."""
    first = fit_segments(profiles, count=7, least=10, seed=0)
    later = grown(profiles, 5, seed)
    fresh = fit_segments(later, count=7, least=10, seed=seed + 1)
    kept = fit_segments(later, count=7, least=10, seed=seed + 1, like=first)

    before = first.assign(profiles)
    assert (fresh.assign(later) != before).mean() > 0.05
    assert (kept.assign(later) != before).mean() < 0.05
    assert set(kept.names) == set(first.names)
    assert kept.version == first.version == 1
    table = kept.describe()
    assert table["shoppers"].to_dict() == kept.assign(later).value_counts().to_dict()
    assert table["shoppers"].is_monotonic_decreasing
    assert kept.names == tuple(table.index)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shoppers=st.integers(1, 120),
    counts=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    least=st.integers(1, 60),
    spread=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_no_kept_segment_is_smaller_than_asked(
    seed: int, shoppers: int, counts: tuple[int, int], least: int, spread: float
) -> None:
    """Also among other shoppers, with other tastes, than the segments were found in."""
    first = fit_segments(made(seed, 60, spread), count=counts[0], least=5, seed=0)
    profiles = made(seed + 1, max(shoppers, least), spread)
    kept = fit_segments(profiles, count=counts[1], least=least, seed=0, like=first)
    sizes = kept.assign(profiles).value_counts()

    assert sizes.min() >= least
    assert 1 <= len(kept.names) <= counts[1]
    assert len(set(kept.names)) == len(kept.names)
    assert kept.describe()["shoppers"].to_dict() == sizes.to_dict()
    assert kept.version in (1, 2)
    if kept.version == 1:
        assert set(kept.names) == set(first.names)


def test_another_number_keeps_the_names_of_segments_that_go_on(profiles: pd.DataFrame) -> None:
    four = fit_segments(profiles, count=4, least=30, seed=0)
    three = fit_segments(profiles, count=3, least=30, seed=0, like=four)
    back = fit_segments(profiles, count=4, least=30, seed=0, like=three)

    assert (four.version, three.version, back.version) == (1, 2, 3)
    assert len(three.names) == 3
    assert len(set(three.names) & set(four.names)) >= 2
    assert set(three.names) <= set(back.names)
    renamed = profiles["categories"].map(lambda names: tuple(f"{name} & Co" for name in names))
    other = fit_segments(profiles.assign(categories=renamed), count=4, least=30, seed=0, like=three)
    assert set(three.names) <= set(other.names)
    assert sum(name.endswith("-co-lovers") for name in other.names) == 1
    assert len(back.names) == 4
    stay = four.assign(profiles).isin(set(four.names) & set(three.names))
    assert (three.assign(profiles) == four.assign(profiles))[stay].mean() > 0.9


def test_segments_are_left_for_others_that_explain_more() -> None:
    """Tastes that all turned: what told most apart before tells little now, and the reverse."""
    one = np.where(np.arange(120) % 2, 1.0, -1.0)
    other = np.where(np.arange(120) // 2 % 2, 1.0, -1.0)
    plain = two_tastes(60, 60).assign(
        categories=pd.Series([("hat", "shoes")] * 120, dtype=object),
        category_shares=pd.Series([np.array([0.5, 0.5])] * 120, dtype=object),
    )

    def liking(first: float, second: float) -> pd.DataFrame:
        noise = 0.01 * np.random.default_rng(0).normal(size=(120, 3))
        vectors = noise + np.stack([first * one, second * other, 0 * one], axis=1)
        return plain.assign(factors=pd.Series(list(vectors), dtype=object))

    before, after = liking(1.0, 0.1), liking(0.1, 1.0)
    first = fit_segments(before, count=2, least=5, seed=0)
    assert first.assign(before).groupby(one).nunique().to_list() == [1, 1]
    assert first.assign(after).value_counts().min() >= 5  # so that this is no reason
    later = fit_segments(after, count=2, least=5, seed=0, like=first)
    assert later.version == 2
    assert later.assign(after).groupby(other).nunique().to_list() == [1, 1]


def test_a_segment_that_became_small_is_dissolved(profiles: pd.DataFrame) -> None:
    first = fit_segments(profiles, count=4, least=30, seed=0)
    hats = first.assign(profiles) == "hat-lovers"
    fewer = profiles[~hats | (hats.cumsum() <= 20)]
    later = fit_segments(fewer, count=4, least=30, seed=0, like=first)
    assert later.version == 2
    assert later.describe()["shoppers"].min() >= 30


def test_kept_segments_come_back(profiles: pd.DataFrame, tmp_path: Path) -> None:
    first = fit_segments(profiles.assign(price_level=np.nan), count=4, least=30, seed=0)
    stored = json.loads(json.dumps(first.to_json()))
    again = Segments.from_json(stored, first.describe())

    pd.testing.assert_series_equal(again.assign(profiles), first.assign(profiles))
    assert again.to_json()["measure"]["mean"] == first.to_json()["measure"]["mean"]
    assert fit_segments(profiles, count=4, least=30, seed=0, like=again).names


def test_segments_of_other_factors_are_no_guide(profiles: pd.DataFrame) -> None:
    first = fit_segments(made(1, 60, 1.0), count=2, least=5, seed=0)
    with pytest.raises(InvalidInput, match=r"shape \(16,\)"):
        fit_segments(profiles, count=2, least=5, seed=0, like=first)


def test_unknown_shoppers_get_the_default(profiles: pd.DataFrame) -> None:
    segments = fit_segments(profiles, least=20, seed=0)
    stranger = profiles.head(2).astype({"views": float}).copy()
    for column in ("factors", "categories", "category_shares"):
        stranger[column] = pd.Series([None, stranger[column].iloc[1]], dtype=object)
    stranger.loc[0, ["views", "carts", "purchases", "price_level"]] = np.nan

    assigned = segments.assign(stranger)
    assert assigned.iloc[0] == segments.default
    assert assigned.iloc[1] == segments.assign(profiles).iloc[1]
    assert segments.assign(profiles.head(0)).empty


def test_a_shopper_without_factors_goes_by_the_rest(profiles: pd.DataFrame) -> None:
    segments = fit_segments(profiles, count=4, least=30, seed=0)
    fresh = profiles.assign(factors=None)
    right = segments.assign(fresh) == profiles["shopper"].map(favourite) + "-lovers"
    assert right.mean() > 0.9


def test_names_stay_apart_when_tastes_are_alike() -> None:
    profiles = made(1, 300, 100.0)
    profiles["categories"] = pd.Series([("T-Shirt & Polo",)] * 300, dtype=object)
    profiles["category_shares"] = pd.Series([np.ones(1)] * 300, dtype=object)
    names = fit_segments(profiles, count=6, least=10, seed=0).names

    assert len(set(names)) == len(names) >= 3
    assert all(name.startswith(("all-rounders", "premium-", "budget-")) for name in names)


def test_names_are_plain_words(profiles: pd.DataFrame) -> None:
    renamed = profiles.copy()
    renamed["categories"] = renamed["categories"].map(lambda c: tuple(f"{x} & Co" for x in c))
    names = fit_segments(renamed, count=4, least=30, seed=0).names
    assert set(names) == {f"{name}-co-lovers" for name in CATEGORIES}


def test_describing_does_not_lend_the_table(profiles: pd.DataFrame) -> None:
    segments = fit_segments(profiles, least=20, seed=0)
    segments.describe()["shoppers"] = 0
    assert segments.describe()["shoppers"].sum() == len(profiles)


def test_what_makes_no_segments_is_an_error(profiles: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughData, match="make no segment of 1000"):
        fit_segments(profiles, least=1000, seed=0)
    with pytest.raises(InvalidInput, match="count 0"):
        fit_segments(profiles, count=0, seed=0)
    with pytest.raises(InvalidInput, match="least 0"):
        fit_segments(profiles, least=0, seed=0)
    with pytest.raises(InvalidInput, match="occurs twice"):
        fit_segments(pd.concat([profiles, profiles.head(1)]), seed=0)
    with pytest.raises(NotEnoughData, match="no profile has factors"):
        fit_segments(profiles.assign(factors=None), seed=0)
    with pytest.raises(InvalidInput, match="no column categories"):
        fit_segments(profiles.drop(columns="categories"), seed=0)
    segments = fit_segments(profiles, seed=0)
    with pytest.raises(InvalidInput, match=r"shape \(3,\)"):
        segments.assign(profiles.assign(factors=pd.Series([np.ones(3)] * len(profiles))))


def alike(groups: int, each: int, noise: float, seed: int = 0) -> pd.DataFrame:
    """Groups of shoppers who did the same, but for rounding in their factors and shares."""
    rng = np.random.default_rng(seed)
    shoppers = groups * each
    group = np.arange(shoppers) % groups
    centre = rng.normal(size=(groups, 4))
    factors = (centre[group] * (1 + noise * rng.normal(size=(shoppers, 4)))).astype(np.float32)
    share = 0.6 + 0.1 * group / groups + noise * rng.normal(size=shoppers) / 10
    profiles = made(seed, shoppers, 1.0, size=4)
    return profiles.assign(
        views=10.0,
        price_level=0.5 + group / 10 + noise * rng.normal(size=shoppers) / 10,
        categories=pd.Series([("hat", "shoes")] * shoppers, dtype=object),
        category_shares=pd.Series(list(np.stack([share, 1 - share], 1)), dtype=object),
        favourite_share=share,
        factors=pd.Series(list(factors), dtype=object),
    )


@pytest.mark.parametrize("noise", [0.0, 1e-7, 3e-6])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_there_are_no_more_segments_than_different_shoppers(groups: int, noise: float) -> None:
    profiles = alike(groups, 60, noise)
    segments = fit_segments(profiles, count=6, least=20, seed=7)
    assert len(segments.names) == groups
    assert segments.describe()["shoppers"].to_list() == [60] * groups
    assert not any(name.startswith(("premium", "budget")) for name in segments.names[: groups == 1])
    found = segments.assign(profiles)
    assert found.groupby(np.arange(len(profiles)) % groups).nunique().to_list() == [1] * groups


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_last_digit_moves_nobody(seed: int) -> None:
    segments = fit_segments(alike(3, 40, 0.0), count=6, least=20, seed=1)
    again = fit_segments(
        alike(3, 40, 1e-7).sample(frac=1, random_state=seed), count=6, least=20, seed=1
    )
    assert again.names == segments.names
    assert again.describe()["shoppers"].to_list() == segments.describe()["shoppers"].to_list()


@pytest.mark.filterwarnings("error")
def test_points_on_the_border_of_rounding_are_one_cluster() -> None:
    rng = np.random.default_rng(0)
    side = np.where(np.arange(80) % 2, 0.5005, -0.5005)
    centres, labels = _clusters((side + 1e-9 * rng.normal(size=80))[:, None], 6, 5, 1)
    assert len(centres) == 2
    assert np.bincount(labels).tolist() == [40, 40]


def test_shoppers_of_one_taste_are_one_segment_through_the_whole_chain() -> None:
    """The case of ties: 60 who looked at the same hat, two segments wanted."""
    frame = pd.DataFrame(
        {
            "shopper": [f"s{i:02d}" for i in range(60)],
            "product": "hat-01",
            "kind": "view",
            "occurred_at": pd.Timestamp(AS_OF) - pd.Timedelta(days=1),
        }
    )
    products = [
        Product("hat-01", "hat", "A hat", Path("x.jpg"), "CC0"),
        Product("mug-01", "mug", "A mug", Path("x.jpg"), "CC0"),
    ]
    profiles = build_profiles(frame, fit_factors(frame, seed=7), products, AS_OF)
    segments = fit_segments(profiles, count=2, least=20, seed=7)
    assert segments.describe()["shoppers"].to_dict() == {"all-rounders": 60}
