"""Feedback of any types is one table, or a clear refusal."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.domain.feedback_table import as_feedback, rewarded, weighed_cells, weighed_feedback
from persona_img.errors import InvalidInput

NOON = pd.Timestamp("2026-03-01 12:00:00.123456", tz="UTC")
TYPES = dict.fromkeys(FEEDBACK_COLUMNS, "object") | {
    "position": "int64",
    "propensity": "float64",
    "shown_at": "datetime64[us, UTC]",
    "clicked": "int64",
    "converted": "int64",
}


def some_feedback() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "decision_id": ["d0", "d1", "d2", "d3"],
            "test": "hero",
            "shopper": ["ann", "bob", "ann", "zoe"],
            "product": "mug",
            "segment": ["new", "new", "old", "new"],
            "arm": ["control", "personalized", "control", "personalized"],
            "style_key": ["original", "light=soft", "original", "original"],
            "digest": [None, "ab" * 32, None, None],
            "propensity": [1.0, 0.25, 1.0, 0.75],
            "policy_version": "v1",
            "position": [1, 2, 3, 4],
            "shown_at": NOON + pd.to_timedelta([0, 1, 2, 3], unit="s"),
            "clicked": [0, 1, 1, 0],
            "converted": [0, 0, 1, 0],
        }
    )


PLAIN = as_feedback(some_feedback())


def test_an_impression_counts_once_or_as_it_says() -> None:
    once = weighed_feedback(some_feedback())
    assert tuple(once.columns) == (*FEEDBACK_COLUMNS, "weight")
    assert set(once["weight"]) == {1.0}
    said = weighed_feedback(some_feedback().assign(weight=["2", 0.5, 1, 1e-9]))
    assert said["weight"].tolist() == [2.0, 0.5, 1.0, 2.0**-20]
    cells = weighed_cells(said, ["segment"])
    assert cells["shown"].to_dict() == {"new": 2.5 + 2.0**-20, "old": 1.0}
    assert cells["clicks"].to_dict() == {"new": 0.5, "old": 1.0}


@pytest.mark.parametrize("wrong", [0.0, -1.0, None, "much", float("inf")])
def test_what_is_no_number_of_impressions_is_refused(wrong: object) -> None:
    table = some_feedback().assign(weight=pd.Series([1.0, wrong, 1.0, 1.0], dtype=object))
    with pytest.raises(InvalidInput, match=r"weight .* in 1 of 4 impressions"):
        weighed_feedback(table)
    twice = pd.concat([some_feedback(), table[["weight"]], table[["weight"]]], axis=1)
    with pytest.raises(InvalidInput, match="several columns weight"):
        weighed_feedback(twice)


def test_the_types_are_those_that_are_documented() -> None:
    assert tuple(PLAIN.columns) == FEEDBACK_COLUMNS
    assert PLAIN.dtypes.astype(str).to_dict() == TYPES
    assert PLAIN["digest"][0] is None
    pd.testing.assert_frame_equal(as_feedback(PLAIN), PLAIN)


@pytest.mark.parametrize(
    "nothing",
    [some_feedback().iloc[:0], pd.DataFrame(columns=list(FEEDBACK_COLUMNS))],
    ids=["no rows", "columns alone"],
)
def test_no_feedback_is_feedback(nothing: pd.DataFrame) -> None:
    table = as_feedback(nothing)
    assert len(table) == 0
    assert table.dtypes.astype(str).to_dict() == TYPES


@pytest.mark.parametrize("column", FEEDBACK_COLUMNS)
@pytest.mark.parametrize("kind", ["category", "object"])
def test_any_column_may_be_a_category_or_object(column: str, kind: str) -> None:
    values = some_feedback()[column].astype(kind)
    if kind == "category":
        values = values.cat.remove_unused_categories()
        if column in ("test", "shopper", "arm", "segment"):
            values = values.cat.add_categories(["nobody"])
    pd.testing.assert_frame_equal(as_feedback(some_feedback().assign(**{column: values})), PLAIN)


@pytest.mark.parametrize("column", ["clicked", "converted"])
@pytest.mark.parametrize(
    "kind",
    ["bool", "boolean", "int8", "uint8", "Int64", "float32", "Float64", "int64[pyarrow]",
     "double[pyarrow]", "bool[pyarrow]", "str", "string[pyarrow]"],
)  # fmt: skip
def test_flags_may_be_anything_that_says_0_or_1(column: str, kind: str) -> None:
    values = some_feedback()[column]
    values = values.astype(bool) if kind.startswith("bool") else values
    pd.testing.assert_frame_equal(
        as_feedback(some_feedback().assign(**{column: values.astype(kind)})), PLAIN
    )


def test_flags_may_be_mixed() -> None:
    mixed = pd.Series([False, "true", Decimal(1), np.float64(0)], dtype=object)
    pd.testing.assert_frame_equal(as_feedback(some_feedback().assign(clicked=mixed)), PLAIN)


@pytest.mark.parametrize(
    "moments",
    [
        some_feedback()["shown_at"].dt.tz_convert("Asia/Tokyo"),
        some_feedback()["shown_at"].astype(object),
        some_feedback()["shown_at"].map(lambda t: t.to_pydatetime()).astype(object),
        some_feedback()["shown_at"].map(lambda t: t.isoformat()),
        some_feedback()["shown_at"].map(lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%fZ")),
        some_feedback()["shown_at"].astype(pd.ArrowDtype(pa.timestamp("ns", "Asia/Tokyo"))),
        some_feedback()["shown_at"].map(lambda t: t.isoformat()).astype("string[pyarrow]"),
        pd.Series(
            [t.tz_convert(z) for t, z in zip(
                some_feedback()["shown_at"], ("UTC", "Asia/Tokyo", "UTC", "-05:00"), strict=True
            )], dtype=object,
        ),
    ],
    ids=["zone", "stamps", "datetimes", "iso", "Z", "arrow", "arrow text", "zones"],
)  # fmt: skip
def test_times_may_be_of_any_zone_and_text(moments: pd.Series) -> None:
    pd.testing.assert_frame_equal(as_feedback(some_feedback().assign(shown_at=moments)), PLAIN)


@pytest.mark.parametrize(
    "moment",
    [
        some_feedback()["shown_at"].dt.tz_localize(None),
        some_feedback()["shown_at"].dt.tz_localize(None).astype(pd.ArrowDtype(pa.timestamp("us"))),
        some_feedback()["shown_at"].dt.tz_localize(None).astype(str),
        "2026-03-01",
        "2026-13-45T00:00Z",
        "noon",
        1.76e9,
        None,
        pd.NaT,
        NOON.date(),
    ],
    ids=str,
)
def test_other_times_are_refused_with_what_to_do(moment: object) -> None:
    with pytest.raises(InvalidInput, match=r"shown_at.*tz_localize"):
        as_feedback(some_feedback().assign(shown_at=moment))


def test_one_shopper_has_one_name_however_it_is_written() -> None:
    names = pd.Series([17, "17", 17.0, b"17"], dtype=object)
    assert set(as_feedback(some_feedback().assign(shopper=names))["shopper"]) == {"17"}
    more = pd.Series([np.int32(17), Decimal("17"), np.float32(17), "17"], dtype=object)
    assert set(as_feedback(some_feedback().assign(shopper=more))["shopper"]) == {"17"}
    one = UUID(int=5)
    assert as_feedback(some_feedback().assign(shopper=one))["shopper"][0] == str(one)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("shopper", None, r"without shopper \(1 of 4\)"),
        ("shopper", "", "without shopper"),
        ("arm", np.nan, "without arm"),
        ("segment", pd.NA, "without segment"),
        ("shopper", 1.5, r"shopper 1\.5"),
        ("shopper", 2.0**60, "shopper 1.15"),
        ("shopper", True, "shopper True"),
        ("shopper", ["ann"], "shopper .'ann'."),
        ("shopper", b"\xff", "give text"),
        ("product", NOON, "product Timestamp"),
        ("clicked", np.nan, "clicked nan in 1 of 4"),
        ("clicked", pd.NA, "clicked <NA>"),
        ("clicked", None, "clicked None"),
        ("clicked", 2, "clicked 2"),
        ("converted", -1, "converted -1"),
        ("converted", 0.5, "converted 0.5"),
        ("clicked", "yes", "clicked 'yes'"),
        ("clicked", [1], r"clicked \[1\]"),
        ("position", 0, "position 0"),
        ("position", 1.5, "position 1.5"),
        ("position", None, "position None"),
        ("propensity", 0.0, "propensity 0.0"),
        ("propensity", 1.01, "propensity 1.01"),
        ("propensity", np.nan, "propensity nan"),
        ("propensity", "high", "propensity 'high'"),
    ],
)
def test_what_says_nothing_is_refused_with_the_value(
    column: str, value: object, message: str
) -> None:
    frame = some_feedback().astype({column: object})
    frame.at[1, column] = value
    with pytest.raises(InvalidInput, match=message):
        as_feedback(frame)


def test_index_order_and_more_columns_are_no_matter() -> None:
    given = some_feedback().set_axis([3, 3, "a", 0])[list(reversed(FEEDBACK_COLUMNS))]
    before = given.copy()
    pd.testing.assert_frame_equal(as_feedback(given.assign(more=1)), PLAIN)
    pd.testing.assert_frame_equal(given, before)


def test_columns_must_be_there_once() -> None:
    with pytest.raises(InvalidInput, match=r"lacks shopper, arm; it has .*clicked"):
        as_feedback(some_feedback().drop(columns=["arm", "shopper"]))
    with pytest.raises(InvalidInput, match="several columns arm"):
        as_feedback(pd.concat([some_feedback(), some_feedback()[["arm"]]], axis=1))
    with pytest.raises(InvalidInput, match="list; give a pandas DataFrame"):
        as_feedback([1])  # type: ignore[arg-type]


def test_only_the_rows_of_the_test_are_checked() -> None:
    broken = some_feedback().assign(test="other", shopper=None, clicked=9)
    nowhere = some_feedback().assign(test=None, shopper=None)
    both = pd.concat([broken, some_feedback(), nowhere])
    pd.testing.assert_frame_equal(as_feedback(both, test="hero"), PLAIN)
    assert as_feedback(both, ("shopper",), test="none").empty
    with pytest.raises(InvalidInput, match="without shopper"):
        as_feedback(both, test="other")


def test_a_purchase_may_be_the_reward_and_nothing_else_changes() -> None:
    table = pd.DataFrame({"clicked": [1, 1, 0], "converted": [0, 1, 0], "x": [1, 2, 3]})
    bought = rewarded(table, "conversion")
    assert bought["clicked"].tolist() == [0, 1, 0]
    assert table["clicked"].tolist() == [1, 1, 0]
    pd.testing.assert_frame_equal(bought.drop(columns="clicked"), table.drop(columns="clicked"))
    assert rewarded(table, "click") is table
    with pytest.raises(InvalidInput, match="'love': choose from click, conversion"):
        rewarded(table, "love")
