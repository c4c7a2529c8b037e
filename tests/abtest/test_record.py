"""What a record says, refuses and computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_img.abtest import Baseline
from persona_img.abtest.record import Record, Size
from persona_img.abtest.sequential import always_valid_width
from persona_img.errors import InvalidInput

SAID = {"name": "hero", "hypothesis": "scenes sell mugs", "minimal_effect": 0.1}
BEFORE = Baseline(0.05, 0.0158)


def planned(**said: Any) -> Record:
    draft = Record.of(SAID | said)
    size = Size(
        baseline=BEFORE.ctr, variance=BEFORE.variance, shoppers=draft.needed(BEFORE, 0.8),
        smallest_effect=0.1, days=20, basis="given",
    )  # fmt: skip
    return Record.of(SAID | said | {"plan": size.model_dump()})


@settings(max_examples=30, deadline=None)
@given(
    hypothesis=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80),
    effect=st.floats(0.001, 5),
    share=st.floats(0.05, 0.95),
    horizon=st.integers(1, 3650),
)
def test_a_record_is_read_as_it_was_written(
    hypothesis: str, effect: float, share: float, horizon: int
) -> None:
    record = planned(
        hypothesis=hypothesis, minimal_effect=effect, horizon_days=horizon,
        arms={"control": 1 - share, "personalized": share},
    ) if effect < 3 else Record.of(SAID | {"hypothesis": hypothesis})  # fmt: skip
    again = Record.parse(record.toml)
    assert again == record
    assert again.digest == record.digest
    assert record.changes(again) == ()


def test_the_digest_is_of_what_it_says_and_not_of_how_it_is_laid_out() -> None:
    record = planned()
    laid_out = "\n".join(f"  {line}  # a note" if "=" in line and "[" not in line else line
                         for line in record.toml.splitlines())  # fmt: skip
    assert Record.parse(laid_out).digest == record.digest
    assert Record.of(record.model_dump() | {"minimal_effect": 0.11}).digest != record.digest


def test_changes_name_the_entry_and_both_values() -> None:
    later = planned().model_copy(update={"minimal_effect": 0.2, "stop_for": ("harm",)})
    assert planned().changes(later) == (
        "minimal_effect: 0.1 -> 0.2",
        "stop_for: win, harm, futility -> harm",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hypothesis": ""}, "hypothesis=''"),
        ({"minimal_effect": -0.1}, "minimal_effect=-0.1"),
        ({"minimal_effect": float("nan")}, "minimal_effect"),
        ({"arms": {"control": 0.5, "b": 0.6}}, "together 1"),
        ({"arms": {"a": 0.5, "b": 0.5}}, "named control"),
        ({"primary": "CTR=clicks/views"}, "no column 'views'"),
        ({"primary": "a/b/c"}, "metric 'a/b/c'"),
        ({"guardrails": ["CTR=clicks/impressions"]}, "a name of its own"),
        ({"verdict": "every look"}, "verdict='every look'"),
        ({"unit": "impression"}, "unit='impression'"),
        ({"horizon_days": 0}, "horizon_days=0"),
        ({"cap_of_ratio": 0}, "cap_of_ratio=0"),
        ({"name": "a/b"}, "name='a/b'"),
        ({"cap": 0.9}, "no such entry"),
        ({"primary": "CTR=conversions/impressions"}, "CTR is CTR=clicks/impressions"),
        ({"guardrails": ["Conversion rate=clicks"]}, "give it another name"),
    ],
)
def test_what_a_record_cannot_say_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Record.of(SAID | change)


def test_no_toml_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"hero\.toml: no valid TOML"):
        Record.parse("name = ", "hero.toml")


def test_without_a_plan_that_fits_it_cannot_start() -> None:
    with pytest.raises(InvalidInput, match="has no plan, and cannot start"):
        Record.of(SAID).check_start()
    good = planned()
    assert good.check_start() == good.plan
    for changed, said in (
        ({"minimal_effect": 0.05}, "are needed"),
        ({"horizon_days": 19}, "take 20 days"),
        ({"arms": {"control": 0.9, "personalized": 0.1}}, "are needed"),
        ({"confidence": 0.99}, "are needed"),
        ({"primary": "bought=conversions"}, "its plan is of CTR=clicks/impressions"),
        ({"cap_of_ratio": 1.0}, "cap_of_ratio 1.0, and its plan is of 0.99"),
        ({"cap_of_mean": 1.0}, "cap_of_mean"),
        ({"bot_filter": False}, "bot_filter"),
        ({"attribution_days": 30}, "attribution_days"),
    ):
        with pytest.raises(InvalidInput, match=said):
            Record.of(good.model_dump() | changed).check_start()
    assert Record.of(good.model_dump() | {"verdict": "one look"}).check_start() == good.plan


def test_it_says_how_its_feedback_is_read() -> None:
    record = planned(
        primary="bought=conversions", guardrails=["clicks=clicks/impressions"], verdict="one look",
        cap_of_mean=1.0, guardrail_margin=0.2,
    )  # fmt: skip
    test = record.ab_test()
    assert record.plan is not None
    assert (test.planned_shoppers, test.always_valid) == (record.plan.shoppers, False)
    assert (str(test.primary), test.cap_of_mean, test.guardrail_margin) == (
        "bought=conversions", 1.0, 0.2,
    )  # fmt: skip


def test_shoppers_for_any_look_find_the_effect_as_often_as_planned() -> None:
    """Drawn as clicks, one impression each; read at the plan by the interval of any look."""
    rng = np.random.default_rng(0)
    ctr, lift = 0.05, 0.5
    record = Record.of(SAID | {"minimal_effect": lift})
    total = record.needed(Baseline.assumed(ctr, 1), 0.8)
    assert total > 1.8 * Record.of(SAID | {"minimal_effect": lift, "verdict": "one look"}).needed(
        Baseline.assumed(ctr, 1), 0.8
    )
    n = total // 2
    rates = rng.binomial(n, [ctr, ctr * (1 + lift)], size=(20_000, 2)) / n
    error = np.sqrt(((1 - rates) / rates / n).sum(axis=1))
    width = always_valid_width(total, planned=total, alpha=0.05)
    found = np.log(rates[:, 1] / rates[:, 0]) / error > width
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
    assert record.finds(Baseline.assumed(ctr, 1), total, 0.8) == pytest.approx(lift, rel=0.02)
