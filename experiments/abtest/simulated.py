"""Tests in which nothing differs: how often something is said of them all the same.

    python experiments/abtest/simulated.py [--tests 2000]

Each cell is a line of results.jsonl; what is there is not run again. report.md is written from it,
and from what asos.py and upworthy.py found.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from persona_img.abtest.moments import Moments
from persona_img.abtest.sequential import EARLIEST, always_valid_width
from persona_img.abtest.statistics import LEAST_EVENTS, LEAST_UNITS, compare_moments, too_thin

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
ALPHA = 0.05
CAP = 0.99
SIZES = (20, 100, 500, 2_000, 5_000)
ACTIVITY = ("gamma", "lognormal", "pareto")
RATES = {"clicks": 0.05, "rare clicks": 0.005}
AT_ONCE = 2_000_000
"""Shoppers that are drawn together."""

Floats = NDArray[np.float64]
OF = ("numerator", "denominator")


def drawn(rng: np.random.Generator, shape: tuple[int, ...], activity: str, rate: float) -> Floats:
    """Clicks and impressions (2, *shape) of shoppers whose tastes and activity differ."""
    draw = {
        "gamma": lambda: rng.gamma(1.0, 6.0, shape),
        "lognormal": lambda: rng.lognormal(1.0, 1.2, shape),
        "pareto": lambda: rng.pareto(1.3, shape) * 2,
    }[activity]
    shown = np.maximum(np.ceil(draw()), 1.0)
    taste = rng.beta(2.0, 2.0 / rate - 2.0, shape)
    return np.stack([rng.binomial(shown.astype(np.int64), taste).astype(np.float64), shown])


def capped(both: Floats) -> Floats:
    """Who is active beyond the quantile of a test's shoppers counts for that; the last two axes."""
    shown = both[1]
    flat = shown.reshape(*shown.shape[:-2], -1)
    most = np.quantile(flat, CAP, axis=-1, method="inverted_cdf")[..., None, None]
    return both * np.minimum(1.0, most / shown)


def compared(both: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Log ratio, its error and whether both arms are worth enough, of tests (2, T, 2, n)."""
    clicks, shown = both
    n = clicks.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = clicks.sum(-1) / shown.sum(-1)
        residual = clicks - rate[..., None] * shown
        variance = (residual**2).sum(-1) / (n - 1) / shown.mean(-1) ** 2
        error = np.sqrt((variance / n / rate**2).sum(-1))
        worth = [x.sum(-1) ** 2 / np.maximum((x**2).sum(-1), 1e-300) for x in (shown, clicks)]
        ok = (worth[0] >= LEAST_UNITS) & (worth[1] >= LEAST_EVENTS)
        return np.log(rate[:, 1] / rate[:, 0]), error, ok.all(-1) & (n >= EARLIEST)


def is_what_the_package_says() -> None:
    """What is computed here for many tests at once, computed by the package for some."""
    both = capped(drawn(np.random.default_rng(1), (20, 2, 300), "lognormal", 0.1))
    away, error, ok = compared(both)
    for i in range(20):
        arms = [
            Moments.of(arm, dict(zip(OF, both[:, i, j], strict=True)))
            for j, arm in enumerate(("control", "b"))
        ]
        told = compare_moments(arms[0], arms[1], OF, 1 - ALPHA, "click")
        assert math.isclose(math.log1p(told.lift), away[i], rel_tol=1e-9, abs_tol=1e-12)
        assert math.isclose(told.log_error, error[i], rel_tol=1e-9)
        assert ok[i] == (not any(too_thin(arm, OF, "click") for arm in arms))


def one_look(activity: str, kind: str, n: int, tests: int) -> dict[str, float | None]:
    """Of tests with n shoppers an arm: what is refused, and what is missed of the rest."""
    rng = np.random.default_rng(n)
    reach = float(stats.t.ppf(1 - ALPHA / 2, 2 * n - 2))
    missed = kept = watched = 0
    for start in range(0, tests, max(1, AT_ONCE // n)):
        some = min(max(1, AT_ONCE // n), tests - start)
        away, error, ok = compared(capped(drawn(rng, (some, 2, n), activity, RATES[kind])))
        kept += int(ok.sum())
        missed += int((np.abs(away[ok]) > reach * error[ok]).sum())
        width = always_valid_width(2 * n, planned=10_000, alpha=ALPHA)
        watched += int((np.abs(away[ok]) > width * error[ok]).sum())
    return {
        "refused": 1 - kept / tests,
        "missed": missed / kept if kept else None,
        "false at any look": watched / tests,
    }


def thirty_days(activity: str, kind: str, n: int, tests: int, groups: int) -> dict[str, float]:
    """Shoppers come over thirty days and come back; planned for the tenth; a look each day.

    Args:
        activity: One of :data:`ACTIVITY`.
        kind: One of :data:`RATES`.
        n: Shoppers an arm.
        tests: How many at least.
        groups: Segments of n shoppers an arm each, judged by Holm's rule together.
    """
    rng = np.random.default_rng(7)
    days, plan = 30, 10
    false = usual = 0
    some = max(1, AT_ONCE // (n * groups * 2))
    rounds = math.ceil(tests / some)
    for _ in range(rounds):
        shape = (some * groups, 2, n)
        rate = RATES[kind]
        pace = drawn(rng, shape, activity, rate)[1] / 10
        taste = rng.beta(2.0, 2.0 / rate - 2.0, shape)
        came = rng.integers(0, days, shape)
        clicks, shown = np.zeros(shape), np.zeros(shape)
        said = np.zeros(some, dtype=bool)
        peeked = np.zeros(some, dtype=bool)
        for day in range(days):
            here = came <= day
            more = np.where(here, rng.poisson(pace), 0) + (came == day)
            clicks += rng.binomial(more, taste)
            shown += more
            count = here.sum(-1).min(-1)
            seen = capped_seen(np.stack([clicks, shown]))
            away, error, ok = compared_seen(seen, here)
            with np.errstate(divide="ignore", invalid="ignore"):
                z = np.where(ok & (count >= EARLIEST), np.abs(away) / error, 0.0)
            units = 2 * n * (day + 1) // days
            planned = 2 * n * plan // days
            # Where nothing differs, Holm's first false verdict is at the strictest level.
            width = always_valid_width(units, planned=planned, alpha=ALPHA / groups)
            said |= (z.reshape(some, groups) > width).any(-1)
            peeked |= (z.reshape(some, groups) > stats.norm.ppf(1 - ALPHA / 2)).any(-1)
        false += int(said.sum())
        usual += int(peeked.sum())
    done = rounds * some
    return {"tests": done, "false": false / done, "false by the usual interval": usual / done}


def cuped(outcome: str, before: str, n: int, tests: int) -> dict[str, float]:
    """What is known before the test is taken out: the variance that goes, and what is missed.

    Args:
        outcome: ``CTR``, or ``clicks`` a shopper.
        before: ``nothing of it``; or the same shopper's clicks in ``one period`` or ``four
            periods`` as long as the test.
        n: Shoppers an arm.
        tests: How many.
    """
    rng = np.random.default_rng(11)
    columns = ("numerator", "denominator", "before")
    ratio = ("numerator", "denominator" if outcome == "CTR" else None)
    reach = 1 - ALPHA
    missed = plainly = 0
    left: list[float] = []
    explained: list[float] = []
    for _ in range(tests):
        pace = rng.gamma(1.0, 6.0, (2, n))
        taste = rng.beta(2.0, 38.0, (2, n))
        shown = 1.0 + rng.poisson(pace)
        clicks = rng.binomial(shown.astype(np.int64), taste).astype(np.float64)
        periods = {"nothing of it": 0, "one period": 1, "four periods": 4}[before]
        earlier = rng.poisson(pace * periods) if periods else rng.poisson(6.0, (2, n))
        known = rng.binomial(earlier, taste if periods else 0.05).astype(np.float64)
        arms = [
            Moments.of(arm, dict(zip(columns, (clicks[i], shown[i], known[i]), strict=True)))
            for i, arm in enumerate(("control", "b"))
        ]
        plain = compare_moments(arms[0], arms[1], ratio, reach, "click")
        told = compare_moments(arms[0], arms[1], ratio, reach, "click", covariate=("before", None))
        plainly += not plain.low <= 0 <= plain.high
        missed += not told.low <= 0 <= told.high
        left.append((told.log_error / plain.log_error) ** 2)
        residual = clicks - (clicks.sum() / shown.sum() * shown if outcome == "CTR" else 0.0)
        explained.append(float(np.corrcoef(residual.ravel(), known.ravel())[0, 1]) ** 2)
    return {
        "should go": float(np.mean(explained)),
        "gone": 1 - float(np.mean(left)),
        "missed": missed / tests,
        "missed without": plainly / tests,
    }


def capped_seen(both: Floats) -> Floats:
    """As :func:`capped`, where who has not come yet has no impression."""
    shown = np.where(both[1] > 0, both[1], np.nan)
    most = np.nanquantile(shown.reshape(len(shown), -1), CAP, axis=-1, method="inverted_cdf")
    return both * np.minimum(1.0, most[:, None, None] / np.maximum(both[1], 1.0))


def compared_seen(
    both: Floats, here: NDArray[np.bool_]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """As :func:`compared`, of shoppers who have come."""
    clicks, shown = both
    n = np.maximum(here.sum(-1), 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = clicks.sum(-1) / shown.sum(-1)
        residual = clicks - rate[..., None] * shown
        variance = (residual**2).sum(-1) / (n - 1) * n / shown.sum(-1) ** 2
        error = np.sqrt((variance / rate**2).sum(-1))
        worth = [x.sum(-1) ** 2 / np.maximum((x**2).sum(-1), 1e-300) for x in (shown, clicks)]
        ok = (worth[0] >= LEAST_UNITS) & (worth[1] >= LEAST_EVENTS)
        return np.log(rate[:, 1] / rate[:, 0]), error, ok.all(-1)


def main() -> None:
    """Run the cells that are not there yet, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=2_000, help="Tests in each cell.")
    tests = parser.parse_args().tests
    is_what_the_package_says()
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    done = {tuple(json.loads(line)["cell"]) for line in lines}
    cells: list[tuple[object, ...]] = [
        ("one look", activity, kind, n, tests)
        for activity in ACTIVITY for kind in RATES for n in SIZES
    ]  # fmt: skip
    # The one that 2,000 tests leave at the edge of what is asked for.
    cells += [("one look", "pareto", "clicks", 5_000, 5 * tests)]
    cells += [("thirty days", activity, "clicks", 500, tests, 1) for activity in ACTIVITY]
    cells += [("segments", "lognormal", "clicks", 250, tests, 6)]
    cells += [("thirty days", "pareto", "rare clicks", 4_000, tests, 1)]
    cells += [
        ("cuped", outcome, before, 1_000, tests)
        for outcome in ("CTR", "clicks")
        for before in ("nothing of it", "one period", "four periods")
    ]
    runs = {"one look": one_look, "cuped": cuped}
    for cell in cells:
        if cell not in done:
            found = runs.get(str(cell[0]), thirty_days)(*cell[1:])  # type: ignore[operator]
            with RESULTS.open("a") as out:
                print(json.dumps({"cell": cell, **found}), file=out)
            print(*cell, found, flush=True)
    from report import write

    write()


if __name__ == "__main__":
    main()
