"""The loop, against ports: profile, prepare, analyse, retrain. Nothing here knows a vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pandas as pd

from persona_img.abtest.analysis import ABTest
from persona_img.abtest.report import ABReport
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.decision import Arms, DecisionTable
from persona_img.domain.style import Style, StyleSpace
from persona_img.domain.variant import VariantRecord
from persona_img.errors import LowMaskConfidence, NotEnoughData, RenderRejected
from persona_img.profiles.base import FeatureSource
from persona_img.profiles.factors import fit_factors
from persona_img.profiles.features import product_features, segment_features
from persona_img.profiles.profile import build_product_profiles, build_profiles
from persona_img.profiles.segments import fit_segments
from persona_img.ranking.base import Policy, Ranker, RankingFeatures
from persona_img.ranking.promotion import PromotionReport, compare
from persona_img.ranking.slates import decision_table, plan_slates
from persona_img.tracking.base import Tracker


@dataclass(frozen=True)
class Profiled:
    """Shoppers as groups, at a moment.

    Attributes:
        as_of: The moment.
        segments: Shopper to segment.
        default_segment: For shoppers nobody knows.
        features: What the ranker knows of segments and products.
        description: One row per segment: size, top categories, activity.
    """

    as_of: datetime
    segments: Mapping[str, str]
    default_segment: str
    features: RankingFeatures
    description: pd.DataFrame


def profile(
    interactions: pd.DataFrame,
    catalog: Catalog,
    source: FeatureSource,
    *,
    as_of: datetime,
    count: int,
    least: int,
    seed: int,
) -> Profiled:
    """Interactions to published profiles, segments, and features for ranking.

    What the ranker learns from is read back point-in-time; what serving uses is read online.

    Args:
        interactions: shopper, product, kind, occurred_at; those from ``as_of`` on are not used.
        catalog: Products.
        source: Where features live.
        as_of: Moment of the snapshot, with a time zone.
        count: Segments wanted.
        least: Fewest shoppers a segment may have.
        seed: Of factors and segments.
    """
    past = interactions[interactions["occurred_at"] < as_of]
    if past.empty:
        raise NotEnoughData(f"no interaction before {as_of.isoformat()}; load some history first")
    products = list(catalog)
    factors = fit_factors(past, seed=seed)
    profiles = build_profiles(past, factors, products, as_of)
    groups = fit_segments(profiles, count=count, least=least, seed=seed)
    profiles["segment"] = groups.assign(profiles)
    source.publish(profiles)
    source.publish_products(build_product_profiles(past, factors, products, as_of))
    source.materialize(as_of)
    asked = profiles[["shopper", "event_timestamp"]]
    features = RankingFeatures(
        segments=segment_features(source.historical(asked)),
        products=product_features(products, factors, past, as_of=as_of),
    )
    online = source.online(profiles["shopper"].tolist(), now=as_of)["segment"].dropna()
    return Profiled(
        as_of=as_of,
        segments={str(k): str(v) for k, v in online.items()},
        default_segment=groups.default,
        features=features,
        description=groups.describe(),
    )


Slates = Mapping[tuple[str, str], tuple[Style, ...]]


class RenderOne(Protocol):
    """Gives the stored variants of one product in some styles; raises nothing for a rejected one."""

    def __call__(self, product: Product, styles: Sequence[Style]) -> Iterable[Rendered]:
        """One answer per style, in their order."""


@dataclass(frozen=True)
class Rendered:
    """What became of one wanted variant: a record, or the reason why there is none."""

    product: str
    style: Style
    record: VariantRecord | None
    reason: str = ""


def plan(
    ranker: Ranker,
    space: StyleSpace,
    profiled: Profiled,
    catalog: Catalog,
    *,
    slate: int,
    variants_per_product: int,
    seed: int,
) -> Slates:
    """Which styles each segment may see of each product; the original is always among them."""
    return plan_slates(
        ranker,
        space,
        sorted(set(profiled.segments.values()) | {profiled.default_segment}),
        [p.product for p in catalog],
        size=slate,
        pool=variants_per_product,
        seed=seed,
    )


def render(
    slates: Slates,
    catalog: Catalog,
    render_one: RenderOne,
    *,
    on_done: Callable[[Rendered], None] = lambda _: None,
) -> list[Rendered]:
    """Variants of every planned style, each once; rejected ones are listed with their reason."""
    wanted: dict[str, dict[Style, None]] = {}
    for (_, product), styles in slates.items():
        wanted.setdefault(product, {}).update(dict.fromkeys(s for s in styles if not s.is_original))
    results = []
    for product, styles in wanted.items():
        for rendered in render_one(catalog[product], list(styles)):
            results.append(rendered)
            on_done(rendered)
    return results


def decide(
    slates: Slates,
    rendered: Iterable[Rendered],
    ranker: Ranker,
    policy: Policy,
    profiled: Profiled,
    *,
    version: str,
) -> DecisionTable:
    """What serving decides by: only approved variants, each with its probability."""
    digests = {
        (r.product, r.style.key): r.record.digest for r in rendered if r.record and r.record.approved
    }
    shown = {
        (segment, product): tuple(
            s for s in styles if s.is_original or (product, s.key) in digests
        )
        for (segment, product), styles in slates.items()
    }
    return decision_table(
        ranker,
        policy,
        shown,
        segments=profiled.segments,
        default_segment=profiled.default_segment,
        policy_version=version,
        digests=digests,
    )


def analyse(
    feedback: pd.DataFrame,
    arms: Arms,
    tracker: Tracker,
    *,
    simulated: bool | None,
    run_name: str,
    artifacts: Mapping[str, Path] | None = None,
) -> tuple[ABReport, str]:
    """The A/B test by shopper, logged as a run.

    Returns:
        The report and the run's id.
    """
    report = ABTest(arms.test, arms=dict(arms.shares)).analyze(feedback, simulated=simulated)
    run = tracker.log_report(
        report.to_dict(),
        metrics=report.metrics(),
        experiment=arms.test,
        run_name=run_name,
        params={"arms": str(dict(arms.shares)), "unit": report.unit},
        tags={"shoppers": report.shoppers_are},
        datasets={"feedback": feedback},
        artifacts=artifacts or {},
    )
    return report, run


def retrain(
    feedback: pd.DataFrame,
    profiled: Profiled,
    champion: Ranker,
    make_challenger: Callable[[], Ranker],
    policy: Policy,
    *,
    seed: int,
) -> tuple[Ranker, PromotionReport]:
    """A challenger fitted on feedback, and what the evidence says of it.

    The evidence is off-policy and honest: a challenger fitted on one half of the shoppers is judged
    on the other; the one that is returned has learned from all of them.
    """
    report = compare(
        feedback, profiled.features, champion, make_challenger, policy, seed=seed
    )
    return make_challenger().fit(feedback, profiled.features), report


def is_unusable(error: Exception) -> bool:
    """Whether an error says that one picture cannot be made, rather than that something is broken."""
    return isinstance(error, RenderRejected | LowMaskConfidence)
