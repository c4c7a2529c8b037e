from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.errors import InvalidInput
from persona_img.ingest.products.prices import Notation, read_price


@pytest.mark.parametrize(
    ("written", "notation", "price", "code"),
    [
        ("19.90", Notation(), 19.9, ""),
        ("0", Notation(), 0.0, ""),
        ("1299", Notation(), 1299.0, ""),
        ("15.00 USD", Notation(), 15.0, "USD"),
        ("EUR 15", Notation(), 15.0, "EUR"),
        ("19,90", Notation(","), 19.9, ""),
        ("1.299,50", Notation(",", "."), 1299.5, ""),
        ("1.299", Notation(",", "."), 1299.0, ""),
        ("1,299,000.5", Notation("", ","), 1299000.5, ""),
        ("1\u202f299,5", Notation(",", " "), 1299.5, ""),
        ("1’299.00", Notation(".", "'"), 1299.0, ""),
        ("1.299", Notation("."), 1.299, ""),
    ],
)
def test_a_price_is_read_as_it_is_said_to_be_written(
    written: str, notation: Notation, price: float, code: str
) -> None:
    assert read_price(written, notation) == (price, code)


def test_no_price_is_unknown() -> None:
    price, code = read_price("", Notation())
    assert math.isnan(price)
    assert code == ""


@pytest.mark.parametrize(
    ("written", "notation", "rule"),
    [
        ("19,90", Notation(), "--decimal ,"),
        ("19.90", Notation(",", "."), "--decimal ."),
        ("1,299.00", Notation(), "--thousands"),
        ("1.299,00", Notation(","), "--thousands"),
        ("1 299", Notation(), "--thousands"),
        ("1.299", Notation(), "thousands or decimals"),
        ("€19.90", Notation(), "currency's sign"),
        ("19.90 $", Notation(), "currency's sign"),
        ("EUR 1 USD", Notation(), "two currencies"),
        ("-3", Notation(), "0 or more"),
        ("free", Notation(), "no number"),
        ("nan", Notation(), "no number"),
        ("inf", Notation(), "no number"),
        ("1e3", Notation(), "no number"),
        ("1_000", Notation(), "no number"),
        ("١٩", Notation(), "no number"),
        ("USD", Notation(), "no number"),
        ("1" * 400, Notation(), "no number"),
    ],
)
def test_what_could_mean_two_things_is_refused(written: str, notation: Notation, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        read_price(written, notation)


@pytest.mark.parametrize(
    ("decimal", "thousands"), [(";", ""), ("", "x"), (",", ","), ("", "."), (".", ".")]
)
def test_a_notation_names_two_signs(decimal: str, thousands: str) -> None:
    with pytest.raises(InvalidInput):
        Notation(decimal, thousands)


@given(st.decimals(0, 10**8, places=2), st.sampled_from([(".", ","), (",", "."), (",", " ")]))
def test_what_is_written_by_a_notation_is_read_by_it(price: object, signs: tuple[str, str]) -> None:
    decimal, thousands = signs
    text = f"{price:,.2f}".replace(",", "x").replace(".", decimal).replace("x", thousands)
    assert read_price(text, Notation(decimal, thousands)) == (float(str(price)), "")
