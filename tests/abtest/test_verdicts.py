from __future__ import annotations

import math

import pytest

from persona_img.abtest import Comparison
from persona_img.abtest.verdicts import of_guardrail, of_lift, of_segment


def found(low: float, high: float, p: float = 0.01, **more: object) -> Comparison:
    values = {"control": 0.03, "treatment": 0.03, "lift": 0.0, "verdict": "undefined"} | more
    return Comparison(metric="CTR", arm="b", low=low, high=high, p=p, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("comparison", "verdict"),
    [
        (found(0.01, 0.2), "better"),
        (found(-0.2, -0.01), "worse"),
        (found(-0.1, 0.1), "no difference shown"),
        # The interval of the log ratio and the p of the difference may disagree at the border.
        (found(0.001, 0.2, p=0.051), "no difference shown"),
        (found(-0.001, 0.2, p=0.049), "no difference shown"),
    ],
)
def test_at_the_end_interval_and_p_must_agree(comparison: Comparison, verdict: str) -> None:
    assert of_lift(comparison, 0.05, trusted=True, early=False, any_look=False) == verdict
    assert of_lift(comparison, 0.05, trusted=True, early=True, any_look=False) == "too early"
    assert of_lift(comparison, 0.05, trusted=False, early=False, any_look=False) == "do not read"


@pytest.mark.parametrize(
    ("always", "verdict"),
    [
        ((0.01, 0.5), "better"),
        ((-0.5, -0.01), "worse"),
        ((-0.1, 0.5), "too early"),
        ((math.nan, math.nan), "too early"),
    ],
)
def test_while_watched_only_the_interval_for_any_look_counts(
    always: tuple[float, float], verdict: str
) -> None:
    comparison = found(0.01, 0.2, always_low=always[0], always_high=always[1])
    assert of_lift(comparison, 0.05, trusted=True, early=True, any_look=True) == verdict
    done = of_lift(comparison, 0.05, trusted=True, early=False, any_look=True)
    shown = {"too early": "no difference shown"}.get(verdict, verdict)
    assert done == ("too early" if math.isnan(always[0]) else shown)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.05, 0.1, "holds"), (-0.3, -0.1, "harmed"), (-0.2, 0.1, "unclear")],
)
def test_guardrails(low: float, high: float, verdict: str) -> None:
    once = found(low, high, always_low=-0.9, always_high=0.9)
    assert of_guardrail(once, 0.1, trusted=True, any_look=False) == verdict
    watched = found(-0.9, 0.9, always_low=low, always_high=high)
    assert of_guardrail(watched, 0.1, trusted=True, any_look=True) == verdict
    assert of_guardrail(once, 0.1, trusted=False, any_look=False) == "do not read"


@pytest.mark.parametrize("trusted", [True, False])
def test_undefined_stays_undefined(trusted: bool) -> None:
    nothing = found(math.nan, math.nan, math.nan, reason="one shopper")
    assert of_lift(nothing, 0.05, trusted=trusted, early=False, any_look=False) == "undefined"
    assert of_guardrail(nothing, 0.1, trusted=trusted, any_look=True) == "undefined"
    assert of_segment(nothing, trusted=trusted) == "undefined"
