from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from persona_img.domain.decision import Arms, DecisionTable, Ramp
from persona_img.domain.holdout import Holdout
from persona_img.errors import InvalidInput

SHOPPERS = [f"shopper-{n}" for n in range(40_000)]
THIRDS = {"control": 0.4, "personalized": 0.3, "bold": 0.3}


def held_by(holdout: Holdout) -> list[bool]:
    return [holdout.includes(shopper) for shopper in SHOPPERS]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_it_holds_out_its_share(share: float) -> None:
    held = sum(held_by(Holdout("holdout", share)))
    assert abs(held - share * len(SHOPPERS)) < 4.5 * (len(SHOPPERS) * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("test", ["hero-image", "spring", "holdout2", "Holdout"])
def test_who_is_held_out_is_independent_of_the_arms_of_every_test(test: str) -> None:
    arms, held = Arms(test, THIRDS), held_by(Holdout("holdout", 0.1))
    counts = [[0, 0], [0, 0], [0, 0]]
    for shopper, out in zip(SHOPPERS, held, strict=True):
        counts[list(THIRDS).index(arms.assign(shopper))][out] += 1
    assert chi2_contingency(counts).pvalue > 1e-4


def test_nor_does_it_tell_who_is_in_a_ramp_or_in_the_next_holdout() -> None:
    held, ramp = held_by(Holdout("holdout", 0.1)), Ramp(DecisionTable("v2", {}, {}, "all"), 0.1)
    following = held_by(Holdout("holdout-2", 0.1))
    ramped = [ramp.includes("hero-image", shopper) for shopper in SHOPPERS]
    for other in (following, ramped):
        counts = [[0, 0], [0, 0]]
        for one, two in zip(held, other, strict=True):
            counts[one][two] += 1
        assert chi2_contingency(counts).pvalue > 1e-4


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40), st.floats(0.001, 0.998), st.floats(0.001, 0.998))
def test_a_larger_holdout_of_the_same_name_holds_out_whoever_was(
    shopper: str, one: float, two: float
) -> None:
    small, large = Holdout("holdout", min(one, two)), Holdout("holdout", max(one, two))
    assert large.includes(shopper) or not small.includes(shopper)
    assert small.includes(shopper) is Holdout("holdout", min(one, two)).includes(shopper)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_of_nobody_or_everybody_is_none(share: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        Holdout("holdout", share)
