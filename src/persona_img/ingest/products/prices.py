"""Prices as they are written in tables: read by a stated notation, refused where in doubt."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

from persona_img.errors import InvalidInput

_CODE = re.compile(r"(?:([A-Z]{3})\s*)?(.*?)(?:\s*([A-Z]{3}))?", re.DOTALL)
_SPACES = "\u00a0\u202f\u2009 "
_DIGITS = 15


@dataclass(frozen=True)
class Notation:
    """How a table writes numbers.

    Attributes:
        decimal: ``.`` or ``,``; empty is ``.``, and what could be thousands is refused.
        thousands: What stands between thousands; empty where nothing does.

    Raises:
        InvalidInput: other characters, or one for both.
    """

    decimal: str = ""
    thousands: str = ""

    def __post_init__(self) -> None:
        if self.decimal not in ("", ".", ","):
            raise InvalidInput(f"decimal {self.decimal!r}: give '.' or ','")
        if self.thousands not in ("", ".", ",", " ", "'", "’"):
            raise InvalidInput(f"thousands {self.thousands!r}: give '.', ',', ' ' or \"'\"")
        if self.thousands and self.thousands == (self.decimal or "."):
            raise InvalidInput(
                f"thousands {self.thousands!r} is also the decimal sign; name both, "
                "e.g. --decimal , --thousands ."
            )


def read_price(written: str, notation: Notation) -> tuple[float, str]:
    """A price and the currency's code where one stands beside it (``19.90 EUR``).

    Returns:
        The price, NaN for an empty cell; the code, empty without one.

    Raises:
        ValueError: with the rule that it breaks and what to do.
    """
    if not written:
        return math.nan, ""
    found = _CODE.fullmatch(written)
    assert found is not None, "every part may be empty"
    before, number, after = (part or "" for part in found.groups())
    if any(unicodedata.category(character) == "Sc" for character in number):
        raise ValueError(
            "a currency's sign stands with it; write the number alone, and the currency's code "
            "(EUR) behind it or in a column of its own"
        )
    if before and after and before != after:
        raise ValueError("two currencies stand with it; write one")
    decimal = notation.decimal or "."
    plain = number
    if notation.thousands:
        plain = _without_thousands(number, notation.thousands, decimal)
    if not re.fullmatch(rf"[0-9]{{1,{_DIGITS}}}({re.escape(decimal)}[0-9]{{1,{_DIGITS}}})?", plain):
        raise ValueError(_why_not(number, decimal))
    if not notation.decimal and re.fullmatch(r"[0-9]{1,3}\.[0-9]{3}", plain):
        raise ValueError(
            "three digits behind a point: thousands or decimals? say --thousands . or --decimal ."
        )
    return float(plain.replace(decimal, ".")), before or after


def _without_thousands(number: str, mark: str, decimal: str) -> str:
    marks = {" ": _SPACES, "'": "'’", "’": "'’"}.get(mark, mark)
    whole, sign, rest = number.partition(decimal)
    if re.fullmatch(rf"[0-9]{{1,3}}([{re.escape(marks)}][0-9]{{3}})+", whole):
        whole = re.sub(r"[^0-9]", "", whole)
    return whole + sign + rest


def _why_not(number: str, decimal: str) -> str:
    if re.fullmatch(r"-[0-9.,]+", number):
        return "a price is 0 or more"
    if re.fullmatch(r"[0-9]+[.,][0-9]{1,2}", number):
        other = "," if decimal == "." else "."
        return f"decimals are written with {decimal!r}; say --decimal {other} for this table"
    if re.fullmatch(rf"[0-9]{{1,3}}([.,'’{_SPACES}][0-9]{{3}})+([.,][0-9]+)?", number):
        return "marks between thousands; write the number without, or name them with --thousands"
    return "no number; leave the cell empty where the price is unknown"
