"""What is measured in anybody's table, and which of its columns are what."""

from __future__ import annotations

from dataclasses import dataclass

from persona_img.errors import InvalidInput

ROLES = ("arm", "unit", "time", "segment", "policy", "before")
"""What a column may be.

``arm`` and ``unit`` (what was randomised) are needed; with counts ``unit`` says how many there
were, and may be left out. ``time`` is when a row was shown, ``before`` what was known of the unit
before the test (CUPED), ``policy`` the version that decided, ``segment`` a group that the arm
cannot have changed.
"""

ROWS = "rows"
"""Denominator that counts rows, where the table has no column of that name."""


_MOST_WEIGHT = 1e6


@dataclass(frozen=True)
class Metric:
    """A column's mean per unit, or the ratio of two columns' sums.

    Attributes:
        name: What it is called.
        of: Column of the numerator.
        by: Column of the denominator; None for a mean per unit.
    """

    name: str
    of: str
    by: str | None = None

    @classmethod
    def parse(cls, text: str) -> Metric:
        """From ``ctr=clicks/impressions``, ``spend=revenue`` or ``revenue``.

        Raises:
            InvalidInput: none of these.
        """
        name, is_named, told = text.partition("=")
        formula = told if is_named else name
        of, is_ratio, by = (part.strip() for part in formula.partition("/"))
        if not of or (is_ratio and not by) or "/" in by or not name.strip():
            raise InvalidInput(
                f"metric {text!r}: give a column, as revenue, or a ratio with a name, as "
                "ctr=clicks/impressions"
            )
        return cls(name.strip(), of, by or None)

    def __str__(self) -> str:
        """As :meth:`parse` reads it."""
        return f"{self.name}={self.of}" + (f"/{self.by}" if self.by else "")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it needs."""
        return (self.of,) if self.by is None else (self.of, self.by)


SHOPPER = ("impressions", "clicks", "conversions")
"""Columns of a shop's own test, by shopper, of which its metrics are made."""

CTR = Metric("CTR", "clicks", "impressions")
CLICKS = Metric("clicks per shopper", "clicks")
CONVERSIONS = Metric("conversion rate", "conversions", "impressions")
IMPRESSIONS = Metric("impressions per shopper", "impressions")


def parse_roles(text: str) -> dict[str, str]:
    """Role to column, from ``arm=variant,unit=user_id``.

    Raises:
        InvalidInput: no such role, one given twice, or no column for it.
    """
    roles: dict[str, str] = {}
    for pair in text.split(","):
        role, _, column = (part.strip() for part in pair.partition("="))
        if role not in ROLES or not column or role in roles:
            raise InvalidInput(
                f"--map {pair!r}: one column each for some of {', '.join(ROLES)}, as in "
                "arm=variant,unit=user_id"
            )
        roles[role] = column
    return roles


def parse_shares(text: str) -> dict[str, float]:
    """Arm to planned share, from ``control=0.5,personalized=0.5``; weights are made to sum to 1.

    Raises:
        InvalidInput: no number above 0 for an arm, or an arm twice.
    """
    shares: dict[str, float] = {}
    for pair in text.split(","):
        arm, _, told = (part.strip() for part in pair.partition("="))
        try:
            weight = float(told)
        except ValueError:
            weight = 0.0
        if not arm or arm in shares or not 1 / _MOST_WEIGHT <= weight <= _MOST_WEIGHT:
            raise InvalidInput(
                f"weights {pair!r}: one number for each arm, from {1 / _MOST_WEIGHT:g} to "
                f"{_MOST_WEIGHT:g}, as in control=1,personalized=1"
            )
        shares[arm] = weight
    whole = sum(shares.values())
    return {arm: weight / whole for arm, weight in shares.items()}
