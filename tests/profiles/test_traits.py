from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from persona_img.errors import InvalidInput
from persona_img.profiles.base import SERVING_FEATURES, conform
from persona_img.profiles.frame import FrameFeatureSource
from persona_img.profiles.traits import NAMED, trait_names, trait_table, traits_of

NOW = 1_760_000_000.0
ANNA = {
    "views": 9.0, "carts": 1.0, "purchases": 2.0, "events_30d": 4.0, "price_level": 0.7,
    "favourite_share": 0.6, "days_since_seen": 3.0, "categories": ("hat", "mug"),
    "category_shares": np.array([0.6, 0.4], np.float32),
    "factors": np.array([3.0, -4.0], np.float32),
    "recent_kind": "purchase", "recent_at": NOW - 86400.0,
}  # fmt: skip
NAMES = (*NAMED, "share_hat", "share_shoe", "factor_00", "factor_01")


def test_traits_are_what_they_are_said_to_be() -> None:
    found = dict(zip(NAMES, traits_of(ANNA, NAMES, NOW), strict=True))
    assert found["views"] == pytest.approx(np.log(10))
    assert found["bought"] == pytest.approx(np.log(4))
    assert found["fresh"] == found["fresh_purchase"] == pytest.approx(np.exp(-1))
    assert found["share_hat"] == pytest.approx(0.6)
    assert found["share_shoe"] == 0.0
    assert (found["factor_00"], found["factor_01"]) == pytest.approx((0.6, -0.8))


def test_of_who_is_not_known_nothing_is_but_that_no_event_is_fresh() -> None:
    nobody = conform(pd.DataFrame(index=["nobody"]), SERVING_FEATURES).iloc[0].to_dict()
    found = traits_of(nobody, NAMES, NOW)
    assert np.isnan(found[[n not in ("fresh", "fresh_purchase") for n in NAMES]]).all()
    assert found[NAMES.index("fresh")] == 0.0


def test_an_event_of_a_clock_that_is_ahead_is_as_fresh_as_can_be() -> None:
    assert traits_of(ANNA | {"recent_at": NOW + 60}, ("fresh",), NOW)[0] == 1.0


def test_a_name_that_is_none_says_what_there_is() -> None:
    with pytest.raises(InvalidInput, match=r"'shoe_size': there are views, .*factor_"):
        traits_of(ANNA, ("shoe_size",), NOW)


def test_names_are_those_of_what_the_profiles_tell(profiles: pd.DataFrame) -> None:
    names = trait_names(profiles)
    assert names[: len(NAMED)] == NAMED
    shares = [n.removeprefix("share_") for n in names if n.startswith("share_")]
    assert shares == sorted({c for some in profiles["categories"] for c in some})
    assert sum(n.startswith("factor_") for n in names) == len(profiles["factors"].iloc[0])


def test_training_and_serving_read_the_same(tmp_path, profiles: pd.DataFrame) -> None:
    """No skew: what was known point-in-time is, to the bit, what the online store answers then."""
    source = FrameFeatureSource(tmp_path)
    source.publish(profiles.assign(segment="all"))
    as_of = profiles["event_timestamp"].max()
    source.materialize(as_of)
    shoppers = profiles["shopper"].tolist()[:20]
    event = pd.DataFrame(
        {"shopper": shoppers[:1], "product": ["p"], "kind": ["purchase"],
         "occurred_at": [as_of + timedelta(hours=1)]}
    )  # fmt: skip
    source.push(event)
    then = (as_of + timedelta(hours=5)).to_pydatetime()
    asked = pd.DataFrame({"shopper": shoppers, "event_timestamp": [then] * len(shoppers)})
    past, now = source.historical(asked), source.online(shoppers, now=then)
    names = trait_names(past)
    moments = [then.timestamp()] * len(shoppers)
    trained = trait_table(past, names, moments).to_numpy()
    served = trait_table(now, names, moments).to_numpy()
    np.testing.assert_array_equal(trained, served)
    assert trained[0, names.index("fresh_purchase")] > 0.8


def test_a_shop_without_profiles_has_the_named_traits_alone() -> None:
    nothing = conform(pd.DataFrame(index=["a", "b"]), SERVING_FEATURES)
    assert trait_names(nothing) == NAMED
    moment = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
    assert trait_table(nothing, NAMED, [moment] * 2).shape == (2, len(NAMED))
