"""What every FeatureSource must do, asked of each."""

from __future__ import annotations

import atexit
import itertools
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import valkey
from persona_img.errors import InvalidInput
from persona_img.profiles.base import PRODUCT_FEATURES, SERVING_FEATURES, SHOPPER_FEATURES
from persona_img.profiles.frame import FrameFeatureSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from persona_img.profiles.base import FeatureSource

REPO = Path(__file__).parents[2] / "feature_repo"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
NAMES = itertools.count()
DATABASES = itertools.count()
DEFINED: list[bytes] = []


def feast(work: Path) -> FeatureSource:
    """Imported only where it is asked for: Feast takes seconds to import."""
    from persona_img.profiles.feast import FeastFeatureSource

    return FeastFeatureSource(work, REPO)


@cache
def server() -> valkey.ValkeyServer:
    """One for all tests of a process; each source has a database of its own there."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(valkey.running())


@cache
def database(_: Path) -> int:
    """A number for each folder, the same when it is opened again."""
    return next(DATABASES)


def production(work: Path) -> FeatureSource:
    """On the servers' file; its database of definitions is costly to make, and copied."""
    from persona_img.profiles.feast import FeastFeatureSource

    work.mkdir(parents=True, exist_ok=True)
    if DEFINED and not (work / "shared.db").exists():
        (work / "shared.db").write_bytes(DEFINED[0])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PERSONA_IMG_REGISTRY", f"sqlite:///{work}/shared.db")
        where = f"127.0.0.1:{server().port},db={database(work)}"
        environment.setenv("PERSONA_IMG_REDIS", where)
        source = FeastFeatureSource(work, REPO, "feature_store.production.yaml")
    if not DEFINED:
        DEFINED.append((work / "shared.db").read_bytes())
    return source


OPEN: dict[str, Callable[[Path], FeatureSource]] = {
    "feast": feast,
    "production": production,
    "frame": FrameFeatureSource,
}


@pytest.fixture(params=list(OPEN))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(kind: str, tmp_path: Path) -> FeatureSource:
    return OPEN[kind](tmp_path / "features")


@pytest.fixture(scope="module", params=list(OPEN))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A source for many examples; each uses shoppers of its own."""
    return OPEN[request.param](tmp_path_factory.mktemp("features"))


def profiles(*rows: tuple[str, datetime, float]) -> pd.DataFrame:
    """Profiles with ``views`` given and the rest made from it."""
    return pd.DataFrame(
        {
            "shopper": [shopper for shopper, _, _ in rows],
            "event_timestamp": pd.Series([t for _, t, _ in rows], dtype="datetime64[us, UTC]"),
            "segment": [f"segment-{value:g}" for _, _, value in rows],
            **dict.fromkeys(("carts", "purchases", "active_days", "events_30d"), 2.0),
            "views": [value for _, _, value in rows],
            "first_seen_at": 0.0,
            "last_seen_at": [t.timestamp() - 86400 for _, t, _ in rows],
            "price_level": np.nan,
            "favourite_category": "shoes",
            "favourite_share": 0.75,
            "categories": [("shoes", "hat")] * len(rows),
            "category_shares": [np.array([0.75, 0.25], np.float32)] * len(rows),
            "factors": [np.arange(16, dtype=np.float32) + value for _, _, value in rows],
        }
    )


def products(*rows: tuple[str, datetime, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "product": [product for product, _, _ in rows],
            "event_timestamp": pd.Series([t for _, t, _ in rows], dtype="datetime64[us, UTC]"),
            "category": "shoes",
            "price": [price for _, _, price in rows],
            "popularity": 0.5,
            **{f"product_{kind}": 3.0 for kind in ("views", "carts", "purchases")},
            "product_factors": [np.full(16, price, np.float32) for _, _, price in rows],
        }
    )


def asked(*rows: tuple[str, datetime]) -> pd.DataFrame:
    times = pd.Series([t for _, t in rows], dtype="datetime64[us, UTC]")
    return pd.DataFrame({"shopper": [s for s, _ in rows], "event_timestamp": times})


def events(*rows: tuple[str, str, str, datetime]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["shopper", "product", "kind", "occurred_at"])
    return frame.astype({"occurred_at": "datetime64[us, UTC]"})


def known(values: pd.Series[Any]) -> list[Any]:
    return [None if pd.isna(value) else value for value in values]


@settings(max_examples=10, deadline=None)
@given(
    snapshots=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=12),
    pushed=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=6),
    questions=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), max_size=12),
    batches=st.integers(1, 3),
)
def test_historical_is_point_in_time(
    shared: FeatureSource,
    snapshots: list[tuple[str, int]],
    pushed: list[tuple[str, int]],
    questions: list[tuple[str, int]],
    batches: int,
) -> None:
    group = f"{next(NAMES)}-"
    for start in range(batches):
        part = [
            (group + name, NOON + when * TICK, float(value))
            for value, (name, when) in list(enumerate(snapshots))[start::batches]
        ]
        shared.publish(profiles(*part))
    shared.push(
        events(*((group + n, f"p{i}", "view", NOON + w * TICK) for i, (n, w) in enumerate(pushed)))
    )

    answer = shared.historical(
        asked(*((group + name, NOON + when * TICK) for name, when in questions))
    )

    # The rows were published in this order; of those at one time the last published counts.
    order = [i for start in range(batches) for i in range(len(snapshots))[start::batches]]
    for (name, when), views, product in zip(
        questions, known(answer["views"]), known(answer["recent_product"]), strict=True
    ):
        seen = [i for i in order if snapshots[i][0] == name and snapshots[i][1] <= when]
        latest = max((snapshots[i][1] for i in seen), default=None)
        assert views == ([float(i) for i in seen if snapshots[i][1] == latest] or [None])[-1]
        fresh = [(w, i) for i, (n, w) in enumerate(pushed) if n == name and w <= when]
        assert product == (f"p{max(fresh)[1]}" if fresh else None)


def test_a_value_of_the_future_is_never_seen(source: FeatureSource) -> None:
    source.publish(profiles(("ann", NOON, 1.0), ("ann", NOON + TICK, 666.0)))
    source.publish_products(products(("mug", NOON, 1.0), ("mug", NOON + TICK, 666.0)))
    source.push(events(("ann", "past", "view", NOON), ("ann", "future", "view", NOON + TICK)))
    source.materialize(NOON + TICK)
    questions = asked(("ann", NOON - TICK), ("ann", NOON), ("ann", NOON + TICK))

    answer = source.historical(questions.assign(product="mug"))

    assert known(answer["views"]) == [None, 1.0, 666.0]
    assert known(answer["segment"]) == [None, "segment-1", "segment-666"]
    assert known(answer["price"]) == [None, 1.0, 666.0]
    assert known(answer["recent_product"]) == [None, "past", "future"]
    assert known(answer["recent_at"]) == [None, NOON.timestamp(), (NOON + TICK).timestamp()]


def test_what_one_table_does_not_know_yet_hides_nothing_of_the_others(
    source: FeatureSource,
) -> None:
    source.publish(profiles(("ann", NOON + SECOND, 1.0), ("bob", NOON - SECOND, 2.0)))
    source.push(
        events(("ann", "mug", "view", NOON - SECOND), ("bob", "mug", "view", NOON + SECOND))
    )
    source.publish_products(products(("mug", NOON - SECOND, 3.0), ("hat", NOON + SECOND, 4.0)))
    questions = asked(("ann", NOON), ("ann", NOON), ("bob", NOON), ("bob", NOON))

    answer = source.historical(questions.assign(product=["mug", "hat", "mug", "hat"]))

    assert known(answer["views"]) == [None, None, 2.0, 2.0]
    assert known(answer["recent_product"]) == ["mug", "mug", None, None]
    assert known(answer["price"]) == [3.0, None, 3.0, None]


def test_historical_keeps_rows_as_they_are_asked(source: FeatureSource) -> None:
    source.publish(profiles(("ann", NOON, 1.0), ("bob", NOON, 2.0)))
    questions = asked(
        ("bob", NOON + SECOND), ("nobody", NOON), ("ann", NOON), ("bob", NOON + SECOND)
    ).set_axis([7, 3, 3, 0])
    before = questions.copy()

    answer = source.historical(questions.assign(label="left out"))

    assert list(answer.columns) == ["shopper", "event_timestamp", *SERVING_FEATURES]
    assert_frame_equal(answer[["shopper", "event_timestamp"]], before)
    assert known(answer["views"]) == [2.0, None, 1.0, 2.0]
    assert_frame_equal(questions, before)


def test_values_come_back_as_they_went_in(source: FeatureSource) -> None:
    given_ = profiles(("ann", NOON, 1.5))
    source.publish(given_)
    source.publish_products(products(("mug", NOON, 9.5)))
    source.materialize(NOON)
    answer = source.historical(asked(("ann", NOON)).assign(product="mug"))
    now = source.online(["ann"], now=NOON)

    assert_frame_equal(answer[list(SHOPPER_FEATURES)], given_[list(SHOPPER_FEATURES)])
    assert_frame_equal(
        answer[list(PRODUCT_FEATURES)], products(("mug", NOON, 9.5))[list(PRODUCT_FEATURES)]
    )
    assert_frame_equal(
        now[list(SHOPPER_FEATURES)].reset_index(drop=True), given_[list(SHOPPER_FEATURES)]
    )
    assert answer["factors"].iloc[0].dtype == np.float32
    assert now.index.to_list() == ["ann"]
    assert now.index.name == "shopper"


def test_nothing_known_is_missing_not_zero(source: FeatureSource) -> None:
    source.materialize(NOON)
    source.push(events())
    answer = source.historical(asked(("ann", NOON)).assign(product="mug"))
    now = source.online(["ann"], now=NOON)

    assert answer[[*SERVING_FEATURES, *PRODUCT_FEATURES]].isna().all(axis=None)
    assert now[list(SERVING_FEATURES)].isna().all(axis=None)
    assert source.historical(asked()).empty
    assert source.online([], now=NOON).empty
    assert list(source.online([], now=NOON).columns) == list(SERVING_FEATURES)


def test_online_answers_in_the_order_asked(source: FeatureSource) -> None:
    source.publish(profiles(("ann", NOON, 1.0), ("bob", NOON, 2.0)))
    source.materialize(NOON)
    now = source.online(["nobody", "bob", "ann", "bob"], now=NOON)

    assert now.index.to_list() == ["nobody", "bob", "ann", "bob"]
    assert known(now["views"]) == [None, 2.0, 1.0, 2.0]
    assert now.iloc[0].isna().all()


def test_online_shows_what_was_materialised(source: FeatureSource) -> None:
    source.publish(
        profiles(("ann", NOON, 1.0), ("ann", NOON + SECOND, 2.0), ("bob", NOON + SECOND, 3.0))
    )
    shoppers = ["ann", "bob"]
    assert known(source.online(shoppers, now=NOON)["views"]) == [None, None]
    source.materialize(NOON)
    assert known(source.online(shoppers, now=NOON)["views"]) == [1.0, None]
    source.materialize(NOON + SECOND - TICK)
    assert known(source.online(shoppers, now=NOON)["views"]) == [1.0, None]
    source.materialize(NOON + SECOND)
    assert known(source.online(shoppers, now=NOON)["views"]) == [2.0, 3.0]
    source.publish(profiles(("ann", NOON + SECOND, 4.0)))
    assert known(source.online(shoppers, now=NOON)["views"]) == [2.0, 3.0]
    source.materialize(NOON + 9 * SECOND)
    assert known(source.online(shoppers, now=NOON)["views"]) == [4.0, 3.0]
    source.materialize(NOON)
    assert known(source.online(shoppers, now=NOON)["views"]) == [1.0, 3.0]


def test_pushed_events_are_seen_at_once_and_the_newest_stays(source: FeatureSource) -> None:
    source.publish(profiles(("ann", NOON, 1.0)))
    source.materialize(NOON)
    source.push(
        events(("ann", "mug", "cart", NOON + 2 * SECOND), ("ann", "hat", "view", NOON + SECOND))
    )
    source.push(events(("ann", "late", "view", NOON), ("bob", "cap", "purchase", NOON)))
    source.materialize(NOON)
    now = source.online(["ann", "bob"], now=NOON)

    assert known(now["recent_product"]) == ["mug", "cap"]
    assert known(now["recent_kind"]) == ["cart", "purchase"]
    assert known(now["recent_at"]) == [NOON.timestamp() + 2, NOON.timestamp()]
    assert known(now["views"]) == [1.0, None]
    then = source.historical(asked(("ann", NOON), ("ann", NOON + SECOND), ("bob", NOON)))
    assert known(then["recent_product"]) == ["late", "hat", "cap"]


def test_recency_counts_to_the_moment_of_the_question(source: FeatureSource) -> None:
    source.publish(profiles(("ann", NOON, 1.0)))  # last seen a day before
    source.materialize(NOON)
    later = NOON + timedelta(hours=12)

    assert source.online(["ann"], now=later)["days_since_seen"].to_list() == [1.5]
    then = source.historical(asked(("ann", later), ("ann", NOON)))
    assert then["days_since_seen"].to_list() == [1.5, 1.0]


def test_everything_is_there_after_opening_again(kind: str, tmp_path: Path) -> None:
    first = OPEN[kind](tmp_path / "features")
    first.publish(profiles(("ann", NOON, 1.0)))
    first.publish_products(products(("mug", NOON, 3.0)))
    first.push(events(("ann", "mug", "view", NOON)))
    first.materialize(NOON)
    questions = asked(("ann", NOON)).assign(product="mug")

    again = OPEN[kind](tmp_path / "features")

    assert_frame_equal(again.historical(questions), first.historical(questions))
    assert_frame_equal(again.online(["ann"], now=NOON), first.online(["ann"], now=NOON))
    assert known(again.online(["ann"], now=NOON)["views"]) == [1.0]


def test_other_time_zones_are_the_same_moments(source: FeatureSource) -> None:
    source.publish(profiles(("ann", NOON, 1.0)))
    questions = asked(("ann", NOON - TICK), ("ann", NOON))
    questions["event_timestamp"] = questions["event_timestamp"].dt.tz_convert("Asia/Tokyo")
    questions["event_timestamp"] = questions["event_timestamp"].dt.as_unit("ns")

    assert known(source.historical(questions)["views"]) == [None, 1.0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.drop(columns="segment"), "no column segment"),
        (lambda f: f.drop(columns="event_timestamp"), "no column event_timestamp"),
        (lambda f: f.assign(shopper=""), "shopper ''"),
        (lambda f: f.assign(shopper=7), "shopper 7"),
        (lambda f: f.assign(event_timestamp=NOON.replace(tzinfo=None)), "time zone"),
        (
            lambda f: f.assign(event_timestamp=pd.Series(pd.NaT, f.index, "datetime64[us, UTC]")),
            "missing",
        ),
        (lambda f: f.assign(views="many"), "feature views must be number"),
        (lambda f: f.assign(segment=3.5), "feature segment must be text"),
        (lambda f: f.assign(factors="round"), "feature factors must be numbers"),
    ],
)
def test_publish_refuses_what_it_could_not_give_back(
    source: FeatureSource, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        source.publish(spoil(profiles(("ann", NOON, 1.0))))
    assert known(source.historical(asked(("ann", NOON)))["views"]) == [None]


def test_questions_without_a_moment_are_refused(source: FeatureSource) -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(InvalidInput, match="no column event_timestamp"):
        source.historical(pd.DataFrame({"shopper": ["ann"]}))
    with pytest.raises(InvalidInput, match="time zone"):
        source.historical(asked(("ann", NOON)).assign(event_timestamp=naive))
    with pytest.raises(InvalidInput, match="time zone"):
        source.online(["ann"], now=naive)
    with pytest.raises(InvalidInput, match="time zone"):
        source.materialize(naive)
    with pytest.raises(InvalidInput, match="'like'"):
        source.push(events(("ann", "mug", "like", NOON)))


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_sources_agree(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    answers = [_lived(open_(tmp_path_factory.mktemp("agree")), seed) for open_ in OPEN.values()]
    for ours, *others in zip(*answers, strict=True):
        for theirs in others:
            assert_frame_equal(ours, theirs)


def _lived(source: FeatureSource, seed: int) -> Sequence[pd.DataFrame]:
    """The answers of a source after a random life."""
    rng = np.random.default_rng(seed)

    def moment() -> datetime:
        return NOON + timedelta(microseconds=int(rng.integers(0, 10**7)))

    def name() -> str:
        return str(rng.choice(["ann", "bob", "cat", "dan"]))

    answers = []
    for _ in range(2):
        source.publish(profiles(*((name(), moment(), float(i)) for i in range(5))))
        source.publish_products(products(*((name(), moment(), float(i)) for i in range(3))))
        source.push(events(*((name(), f"p{i}", "view", moment()) for i in range(4))))
        source.materialize(moment())
        questions = asked(*((name(), moment()) for _ in range(8)))
        answers.append(source.historical(questions.assign(product=[name() for _ in range(8)])))
        answers.append(source.online([name() for _ in range(5)], now=moment()))
    return answers
