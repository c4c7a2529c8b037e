"""The record of an A/B test: what is asked and how it is answered, said before anybody looks."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from persona_img.abtest.analysis import ABTest
from persona_img.abtest.design import Baseline, minimal_detectable_lift, required_shoppers
from persona_img.abtest.metrics import CONVERSIONS, CTR, IMPRESSIONS, Metric
from persona_img.abtest.robust import CAP_OF_MEAN, CAP_OF_RATIO
from persona_img.domain.feedback import ATTRIBUTION_SECONDS
from persona_img.errors import InvalidInput, PersonaImgError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from persona_img.domain.holdout import Holdout

Share = Annotated[float, Field(gt=0, lt=1)]
Quantile = Annotated[float, Field(gt=0, le=1)]
Attribution = Annotated[float, Field(gt=0, le=366)]
Rule = Literal["win", "harm", "futility"]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ATTRIBUTION_DAYS = ATTRIBUTION_SECONDS / 86_400
# A plan that misses what it was made for by less is the same plan, rounded.
_ROUNDED = 0.995
_MEASURED_BY = ("cap_of_ratio", "cap_of_mean", "bot_filter", "attribution_days")
_HEAD = """# The record of an A/B test. Edit it until `persona-img test start`; from then on what it
# said then is what counts, and changes are shown beside the verdict.

"""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Size(_Part):
    """How many shoppers it takes, and from what that was computed.

    Attributes:
        baseline: The primary metric in control, before the test.
        variance: One shopper's share in its variance, clustered by shopper.
        rate: Whether the metric is a rate below 1.
        power: Chance to find the minimal effect when the shoppers have come.
        shoppers: All arms together, exposed, each counted once.
        smallest_effect: The relative lift that so many find with that power.
        days: How long they take to come.
        basis: Where the numbers come from, in words.
        metric: Which metric they are of.
        cap_of_ratio: How it was capped, as the record's.
        cap_of_mean: Likewise.
        bot_filter: Whether bots were left out, as the record's.
        attribution_days: For how long a click counted, as the record's.
    """

    baseline: float = Field(gt=0)
    variance: float = Field(gt=0)
    rate: bool = True
    power: Share = 0.8
    shoppers: int = Field(ge=4, le=10**12)
    smallest_effect: float = Field(gt=0)
    days: int = Field(ge=1)
    basis: str = Field(min_length=1, max_length=500)
    metric: str = str(CTR)
    cap_of_ratio: Quantile = CAP_OF_RATIO
    cap_of_mean: Quantile = CAP_OF_MEAN
    bot_filter: bool = True
    attribution_days: Attribution = ATTRIBUTION_DAYS


class Record(_Part):
    """What a test asks and how it is answered.

    Attributes:
        name: The test's; arms are dealt by it.
        hypothesis: What is expected, and why, in words.
        arms: Arm to share of the shoppers, together 1; ``control`` is among them.
        unit: What is randomised and analysed.
        exposure: Who counts: shoppers from their first impression after the start on.
        primary: The metric that decides, as in ``CTR=clicks/impressions``.
        guardrails: Metrics that must not be lost.
        guardrail_margin: Relative loss that a guardrail tolerates.
        minimal_effect: The smallest relative lift that matters.
        confidence: Level of the intervals.
        verdict: Of the interval that holds at ``any look``, or of ``one look`` at the plan.
        stop_for: What ends it before the horizon.
        horizon_days: When it ends at the latest, in days from its start.
        cap_of_ratio: See :class:`~persona_img.abtest.ABTest`.
        cap_of_mean: Likewise.
        bot_filter: Likewise.
        attribution_days: For how long after an impression a click or conversion counts for it.
        plan: Its size; a record without one cannot start.

    Example:
        >>> record = Record.of({"name": "hero", "hypothesis": "scenes sell", "minimal_effect": 0.1})
        >>> record.primary, record.verdict, record.plan
        ('CTR=clicks/impressions', 'any look', None)
    """

    name: str = Field(pattern=NAME)
    hypothesis: str = Field(min_length=1, max_length=2000)
    arms: dict[str, Share] = Field(
        default_factory=lambda: {"control": 0.5, "personalized": 0.5}, min_length=2, max_length=20
    )
    unit: Literal["shopper"] = "shopper"
    exposure: Literal["first impression"] = "first impression"
    primary: str = str(CTR)
    guardrails: tuple[str, ...] = Field((str(CONVERSIONS), str(IMPRESSIONS)), max_length=20)
    guardrail_margin: Share = 0.1
    minimal_effect: float = Field(gt=0, le=100)
    confidence: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    verdict: Literal["any look", "one look"] = "any look"
    stop_for: tuple[Rule, ...] = ("win", "harm", "futility")
    horizon_days: int = Field(28, ge=1, le=3650)
    cap_of_ratio: Quantile = CAP_OF_RATIO
    cap_of_mean: Quantile = CAP_OF_MEAN
    bot_filter: bool = True
    attribution_days: Attribution = ATTRIBUTION_DAYS
    plan: Size | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "record") -> Record:
        """From plain values.

        Args:
            values: Attribute to value.
            where: What they were read from, for the message.

        Raises:
            InvalidInput: a value breaks a rule; the message names every such value.
        """
        try:
            record = cls.model_validate(values)
        except ValidationError as error:
            raise InvalidInput(f"{where}: " + "; ".join(map(_told, error.errors()))) from error
        try:
            record.ab_test()
        except PersonaImgError as error:
            raise InvalidInput(f"{where}: {error}") from error
        return record

    @classmethod
    def parse(cls, text: str, where: str = "record") -> Record:
        """From TOML.

        Raises:
            InvalidInput: no TOML, or as for :meth:`of`.
        """
        try:
            return cls.of(tomllib.loads(text), where)
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput(f"{where}: no valid TOML ({error}); mend it") from error

    @property
    def toml(self) -> str:
        """As text that :meth:`parse` reads."""
        return _HEAD + tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    @property
    def digest(self) -> str:
        """SHA-256 of what it says, hex; the same however it is laid out."""
        return digest_of(self.model_dump(mode="json"))

    def ab_test(self, holdout: Holdout | None = None) -> ABTest:
        """How its feedback is read."""
        return ABTest(
            self.name,
            arms=self.arms,
            planned_shoppers=None if self.plan is None else self.plan.shoppers,
            always_valid=self.verdict == "any look",
            confidence=self.confidence,
            guardrail_margin=self.guardrail_margin,
            holdout=holdout,
            primary=Metric.parse(self.primary),
            guardrails=tuple(map(Metric.parse, self.guardrails)),
            cap_of_ratio=self.cap_of_ratio,
            cap_of_mean=self.cap_of_mean,
            bot_filter=self.bot_filter,
        )

    def needed(self, baseline: Baseline, power: float) -> int:
        """Shoppers, all arms together, to find the minimal effect by this record's verdict."""
        return required_shoppers(
            baseline, self.minimal_effect, arms=self.arms, power=power,
            confidence=self.confidence, any_look=self.verdict == "any look",
        )  # fmt: skip

    def finds(self, baseline: Baseline, shoppers: int, power: float) -> float:
        """The lift that so many shoppers find by this record's verdict."""
        return minimal_detectable_lift(
            baseline, shoppers, arms=self.arms, power=power,
            confidence=self.confidence, any_look=self.verdict == "any look",
        )  # fmt: skip

    def check_start(self) -> Size:
        """Its plan, if it can start.

        Raises:
            InvalidInput: no plan, one of other numbers than the record's or of another metric, cap
                or filter, or one that takes longer than the horizon.
        """
        plan = self.plan
        again = f"run `persona-img test plan {self.name}` again"
        if plan is None:
            raise InvalidInput(f"test {self.name}: it has no plan, and cannot start; {again}")
        for name, planned in (
            ("primary", plan.metric),
            *((name, getattr(plan, name)) for name in _MEASURED_BY),
        ):
            if (said := getattr(self, name)) != planned:
                raise InvalidInput(
                    f"test {self.name}: {name} {said}, and its plan is of {planned}; {again}"
                )
        need = self.needed(Baseline(plan.baseline, plan.variance, plan.rate), plan.power)
        if plan.shoppers < need * _ROUNDED:
            raise InvalidInput(
                f"test {self.name}: plan.shoppers {plan.shoppers:,} find a lift of "
                f"{self.minimal_effect:+.1%} with less than {plan.power:.0%}; {need:,} are needed: "
                f"{again}, or look for a larger minimal_effect"
            )
        if plan.days > self.horizon_days:
            raise InvalidInput(
                f"test {self.name}: horizon_days {self.horizon_days}, and the planned shoppers "
                f"take {plan.days} days to come; give it as many, or plan for fewer shoppers"
            )
        return plan

    def changes(self, later: Record) -> tuple[str, ...]:
        """What another record says otherwise, a line each: ``minimal_effect: 0.05 -> 0.1``."""
        mine, other = (dict(_flat(one.model_dump(mode="json"))) for one in (self, later))
        return tuple(
            f"{name}: {_shown(mine.get(name))} -> {_shown(other.get(name))}"
            for name in dict.fromkeys((*mine, *other))
            if mine.get(name) != other.get(name)
        )

    def flat(self) -> dict[str, str]:
        """Everything that it says as words, e.g. ``plan.shoppers``, for a tracker."""
        return {name: _shown(value) for name, value in _flat(self.model_dump(mode="json"))}


def digest_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of a record's plain values, hex."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return str(value)


def _told(error: Any) -> str:
    """A value and the rule that it breaks."""
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{where} is missing; say it"
    if error["type"] == "extra_forbidden":
        return f"{where}: a record has no such entry; remove it"
    return f"{where}={error.get('input')!r}: {error['msg']}"
