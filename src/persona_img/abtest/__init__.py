"""A/B tests: how many shoppers they need, and what their feedback says, by shopper."""

from persona_img.abtest.analysis import ABTest
from persona_img.abtest.design import (
    Baseline,
    Plan,
    minimal_detectable_lift,
    plan_test,
    required_shoppers,
)
from persona_img.abtest.report import ABReport, ArmSummary, Comparison, SampleRatio
from persona_img.abtest.sequential import always_valid_interval

__all__ = [
    "ABReport",
    "ABTest",
    "ArmSummary",
    "Baseline",
    "Comparison",
    "Plan",
    "SampleRatio",
    "always_valid_interval",
    "minimal_detectable_lift",
    "plan_test",
    "required_shoppers",
]
