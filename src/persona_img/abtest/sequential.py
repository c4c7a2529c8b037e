"""An interval that holds at every look, so that a test may be watched while it runs."""

from __future__ import annotations

import math

from persona_img.errors import InvalidInput

EARLIEST = 100
"""Shoppers in an arm before the interval is given: it is asymptotic, and no promise before."""

UNPLANNED = 10_000
"""Shoppers at which the interval of a test without a plan is narrowest.

Any number that was fixed before the first look keeps the promise. From a tenth to a hundred times
as many shoppers the interval is at most a third wider than with a number that fits.
"""


def always_valid_interval(
    lift: float, log_error: float, shoppers: int, *, planned: float, alpha: float
) -> tuple[float, float]:
    """Confidence sequence of a lift, evaluated at ``shoppers``.

    The chance that it misses the truth at any look at all is about ``alpha``, where the usual
    interval promises that for one look only. The price: about half again as wide at ``planned``.

    Each look is taken as more shoppers with the same kind of history. Where shoppers keep
    gathering impressions between looks the promise is approximate; simulated in the tests.

    Args:
        lift: treatment / control - 1, > -1.
        log_error: Standard error of log(1 + lift).
        shoppers: Exposed shoppers of both arms at this look.
        planned: At how many shoppers the interval shall be narrowest; fixed before the first look.
        alpha: 1 - confidence, in (0, 1).

    Returns:
        Lower and upper end, as lifts. NaN where ``lift`` is.

    Raises:
        InvalidInput: ``planned`` or ``shoppers`` below 1, or ``alpha`` outside (0, 1).

    References:
        Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, "Time-uniform central limit theory and
        asymptotic confidence sequences", Annals of Statistics 52(6). We apply it to the linearised
        log ratio. Howard, Ramdas, McAuliffe, Sekhon 2021, "Time-uniform, nonparametric,
        nonasymptotic confidence sequences", Annals of Statistics 49(2).
    """
    width = always_valid_width(shoppers, planned=planned, alpha=alpha)
    centre = math.log1p(lift)
    return (
        math.expm1(centre - width * log_error),
        math.expm1(centre + width * log_error),
    )


def always_valid_width(
    shoppers: int, *, planned: float, alpha: float, tuned_at: float | None = None
) -> float:
    """Half the interval that holds at every look, in standard errors.

    Args:
        shoppers: As for :func:`always_valid_interval`.
        planned: As for :func:`always_valid_interval`.
        alpha: As for :func:`always_valid_interval`.
        tuned_at: The level at which it is narrowest; None for ``alpha``. Intervals of one test at
            several levels contain each other only where this is the same for all.

    Raises:
        InvalidInput: as for :func:`always_valid_interval`.
    """
    scaled = _scaled(shoppers, planned, alpha if tuned_at is None else tuned_at)
    if not 0 < alpha < 1:
        raise InvalidInput(f"alpha {alpha}: choose between 0 and 1, e.g. 0.05")
    return math.sqrt(2 * (1 + 1 / scaled) * math.log(math.sqrt(1 + scaled) / alpha))


def always_valid_p(
    lift: float, log_error: float, shoppers: int, *, planned: float, tuned_at: float
) -> float:
    """P-value of "no difference" that holds at every look: the level whose interval ends at 0.

    Args:
        lift: As for :func:`always_valid_interval`.
        log_error: As for :func:`always_valid_interval`.
        shoppers: As for :func:`always_valid_interval`.
        planned: As for :func:`always_valid_interval`.
        tuned_at: The level at which the interval is narrowest at ``planned``.

    Returns:
        In [0, 1]; NaN where ``lift`` is.
    """
    scaled = _scaled(shoppers, planned, tuned_at)
    away = math.log1p(lift) / log_error
    if math.isnan(away):
        return math.nan
    log_p = 0.5 * math.log1p(scaled) - away**2 / (2 * (1 + 1 / scaled))
    return math.exp(min(0.0, log_p))


def _scaled(shoppers: int, planned: float, alpha: float) -> float:
    """Shoppers in the scale of the mixture that makes the interval narrowest at ``planned``."""
    if planned < 1 or shoppers < 1:
        raise InvalidInput(f"{shoppers} shoppers of {planned} planned: both are at least 1")
    if not 0 < alpha < 1:
        raise InvalidInput(f"alpha {alpha}: choose between 0 and 1, e.g. 0.05")
    surprise = -2 * math.log(alpha)
    return (surprise + math.log(surprise + 1)) / planned * shoppers
