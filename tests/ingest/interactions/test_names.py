from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.names import MISSING, texts


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([7, 123], pa.int32(), ["7", "123"]),
        ([7.0, None, 123.0], pa.float64(), ["7", None, "123"]),
        (["7.0", "0007", " a "], None, ["7", "0007", "a"]),
        (["a", "b", "a"], pa.large_string(), ["a", "b", "a"]),
        ([b"a", "ä".encode()], None, ["a", "ä"]),
        ([Decimal(7), None], pa.decimal128(20, 0), ["7", None]),
        ([UUID(int=1).bytes], pa.binary(16), [str(UUID(int=1))]),
        ([None, None], pa.null(), [None, None]),
        ([2**53 + 1], pa.int64(), [str(2**53 + 1)]),
    ],
)
def test_any_type_gives_the_same_names(values: list[Any], kind: Any, expected: list[Any]) -> None:
    named = texts(pa.array(values, kind), "shopper")
    assert named.values.to_pylist() == expected
    assert [one is None for one in named.reasons] == [one is not None for one in expected]


def test_categories_and_coded_columns_are_their_values() -> None:
    frame = pd.Series(["a", None, "b"], dtype=pd.CategoricalDtype(["z", "a", "b"]))
    named = texts(pa.array(frame, from_pandas=True), "shopper")
    assert named.values.to_pylist() == ["a", None, "b"]
    assert list(named.reasons) == [None, "no shopper", None]


@pytest.mark.parametrize(
    "value",
    ["", "  ", "null", "NULL", "None", "nan", "NaN", "<NA>", "N/A", "#N/A", "\\N", "undefined",
     "(not set)"],
)  # fmt: skip
def test_what_stands_for_nobody_is_nobody(value: str) -> None:
    named = texts(pa.array([value, "zoe"]), "shopper")
    assert list(named.reasons) == ["no shopper", None]
    assert named.absent.tolist() == [True, False]


def test_names_that_lost_their_digits_are_refused_with_the_reason() -> None:
    named = texts(pa.array(["1.23457E+11", "1e5", "E5"]), "product")
    assert named.values.to_pylist() == [None, None, "E5"]
    assert "spreadsheet" in named.reasons[0]
    named = texts(pa.array([1.5, 2.0**53, np.nan, np.inf]), "product")
    assert list(named.reasons) == [
        "product is no whole number", "product is no whole number", "no product",
        "product is no whole number",
    ]  # fmt: skip
    assert (
        texts(pa.array([b"\xff"]), "product").reasons[0] == "product is not UTF-8; say --encoding"
    )
    with pytest.raises(InvalidInput, match="the column holds bool"):
        texts(pa.array([True]), "product")


def test_how_many_lost_a_point_zero_is_counted() -> None:
    assert texts(pa.array(["1.0", "1.0", "2", "v1.0"]), "shopper").shortened == 2
    assert texts(pa.array([1, 2]), "shopper").shortened == 0


plain = st.text(st.characters(categories=["L"]), min_size=1, max_size=8).filter(
    lambda one: one not in MISSING and not one.isspace()
)


@given(st.lists(plain | st.none(), max_size=30))
def test_plain_names_pass_unchanged(values: list[str | None]) -> None:
    named = texts(pa.array(values, pa.string()), "shopper")
    assert named.values.to_pylist() == values
