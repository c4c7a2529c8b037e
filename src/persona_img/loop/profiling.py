"""Interactions to profiles, segments, and what a ranker knows of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from persona_img.errors import NotEnoughData
from persona_img.profiles.base import interactions_checked
from persona_img.profiles.choice import choose_count
from persona_img.profiles.factors import Factors, fit_factors
from persona_img.profiles.features import product_features, segment_features
from persona_img.profiles.profile import build_product_profiles, build_profiles
from persona_img.profiles.segments import Segments, fit_segments
from persona_img.ranking.base import RankingFeatures

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from persona_img.domain.catalog import Catalog
    from persona_img.profiles.base import FeatureSource
    from persona_img.workspace import Workspace


@dataclass(frozen=True)
class Profiled:
    """Shoppers as groups, at a moment.

    Attributes:
        as_of: The moment.
        segments: Shopper to segment.
        default_segment: For shoppers nobody knows.
        features: What the ranker knows of segments and products.
        description: One row per segment: size, top categories, activity.
        unlisted: Products that were met but are not in the catalogue, each with how many
            interactions, which are not used.
        factors: Tastes, for later profiles to lie on the same axes; read back without shoppers.
            None where they were made before factors were kept.
        groups: How the segments are told apart, for their names to stay; None likewise.
    """

    as_of: datetime
    segments: Mapping[str, str]
    default_segment: str
    features: RankingFeatures
    description: pd.DataFrame
    unlisted: Mapping[str, int] = field(default_factory=dict)
    factors: Factors | None = None
    groups: Segments | None = None

    def save(self, workspace: Workspace) -> None:
        """Keep it for the next step of the loop."""
        workspace.save_table("segment-features", self.features.segments)
        workspace.save_table("product-features", self.features.products)
        workspace.save_table("segments", self.description)
        stored: dict[str, Any] = {
            "as_of": self.as_of.isoformat(),
            "default_segment": self.default_segment,
            "segments": dict(self.segments),
            "unlisted": dict(self.unlisted),
        }
        if self.factors is not None and self.groups is not None:
            workspace.save_table("product-factors", self.factors.to_table())
            workspace.save_json(_segments_file(self.groups.version), self.groups.to_json())
            stored |= {
                "segments_version": self.groups.version,
                "factors": {
                    "until": self.factors.until.isoformat(),
                    "regularization": self.factors.regularization,
                    "confidence": self.factors.confidence,
                },
            }
        workspace.save_json("profile", stored)

    @classmethod
    def load(cls, workspace: Workspace) -> Profiled:
        """What :meth:`save` kept.

        Raises:
            NotFound: no profile was made yet.
        """
        stored = workspace.json("profile")
        description = workspace.table("segments")
        factors, groups = None, None
        if "segments_version" in stored:
            told = stored["factors"]
            factors = Factors.from_table(
                workspace.table("product-factors"),
                until=datetime.fromisoformat(told["until"]),
                regularization=told["regularization"],
                confidence=told["confidence"],
            )
            kept = workspace.json(_segments_file(stored["segments_version"]))
            groups = Segments.from_json(kept, description)
        return cls(
            as_of=datetime.fromisoformat(stored["as_of"]),
            segments=stored["segments"],
            default_segment=stored["default_segment"],
            features=RankingFeatures(
                segments=workspace.table("segment-features"),
                products=workspace.table("product-features"),
            ),
            description=description,
            unlisted=stored.get("unlisted", {}),
            factors=factors,
            groups=groups,
        )


def _segments_file(version: int) -> str:
    """Every version is kept: what was served and learned names segments of its time."""
    return f"segments/version-{version}"


def profile(
    interactions: pd.DataFrame,
    catalog: Catalog,
    source: FeatureSource,
    *,
    as_of: datetime,
    count: int,
    least: int,
    seed: int,
    choose: bool = False,
    like: Profiled | None = None,
) -> Profiled:
    """Interactions to published profiles, segments, and features for ranking.

    What the ranker learns from is read back point-in-time; what serving uses is read online.

    Args:
        interactions: shopper, product, kind, occurred_at; those from ``as_of`` on, and of products
            that the catalogue has not, are not used.
        catalog: Products; those that are retired tell of tastes like the others.
        source: Where features live.
        as_of: Moment of the snapshot, with a time zone.
        count: Segments wanted.
        least: Fewest shoppers a segment may have.
        seed: Of factors and segments.
        choose: Whether a smaller number is taken where it foretells as well, see ``choose_count``;
            ``count`` is taken where the history is too short to tell.
        like: Earlier profiles, whose axes and segments are kept as far as shoppers are still like
            that, see ``fit_segments``. Those of a later moment are not used.
    """
    checked = interactions_checked(interactions)
    products = list(catalog)
    past = checked[checked["occurred_at"] < as_of]
    if past.empty:
        raise NotEnoughData(f"no interaction before {as_of.isoformat()}; load some history first")
    # A history outlives its products: what is sold no more, or not listed yet, stops nothing.
    listed = past["product"].isin([p.product for p in products])
    unlisted = past["product"][~listed].value_counts()
    past = past[listed]
    if past.empty:
        raise NotEnoughData(
            "no interaction before then is of a product of the catalogue, e.g. "
            f"{unlisted.index[0]!r}; are products named alike?"
        )
    earlier = like.groups if like is not None and like.as_of <= as_of else None
    try:
        axes = like.factors if like is not None and earlier is not None else None
        factors = fit_factors(past, seed=seed, like=axes)
    except NotEnoughData:  # another assortment: segments of the former say nothing of these tastes
        earlier, factors = None, fit_factors(past, seed=seed)
    profiles = build_profiles(past, factors, products, as_of)
    if choose:
        present = earlier.count if earlier is not None else None
        with suppress(NotEnoughData):
            count = choose_count(
                past, products, as_of=as_of, most=count, least=least, seed=seed, present=present
            ).count
    groups = fit_segments(profiles, count=count, least=least, seed=seed, like=earlier)
    if earlier is None and like is not None and like.groups is not None:
        groups = replace(groups, version=like.groups.version + 1)
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
        unlisted={str(name): int(count) for name, count in unlisted.items()},
        factors=factors,
        groups=groups,
    )
