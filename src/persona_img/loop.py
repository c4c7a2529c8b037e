"""The loop, against ports: profile, prepare, analyse, retrain. Nothing here knows a vendor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from persona_img.abtest.analysis import ABTest
from persona_img.abtest.harm import harm_of_arm, harmful_pictures
from persona_img.domain.decision import Arms, Context, DecisionTable, plan_of, uniform
from persona_img.domain.feedback_table import as_feedback, rewarded
from persona_img.domain.leaning import Leaning, Personal
from persona_img.domain.style import Style, StyleSpace
from persona_img.domain.variant import VariantRecord
from persona_img.errors import LowMaskConfidence, NotEnoughData, RenderRejected
from persona_img.imaging.drawn import product_photo
from persona_img.imaging.photo import About, pixel_digest
from persona_img.profiles.base import interactions_checked
from persona_img.profiles.choice import choose_count
from persona_img.profiles.factors import Factors, fit_factors
from persona_img.profiles.features import product_features, segment_features
from persona_img.profiles.profile import build_product_profiles, build_profiles
from persona_img.profiles.segments import Segments, fit_segments
from persona_img.profiles.traits import trait_names, trait_table
from persona_img.ranking.base import Policy, Ranker, RankingFeatures
from persona_img.ranking.evidence import revised_slates
from persona_img.ranking.leaning import MOST, Leant, Sharp, fit_leaning
from persona_img.ranking.own_chances import counted_for_segments
from persona_img.ranking.promotion import PromotionReport, compare
from persona_img.ranking.slates import decision_table, plan_slates
from persona_img.serving.feedback import of_policy
from persona_img.variants.store import photo_key

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from persona_img.abtest.harm import Harmful
    from persona_img.abtest.report import ABReport
    from persona_img.domain.catalog import Catalog, Product
    from persona_img.imaging.photo import Photo
    from persona_img.profiles.base import FeatureSource
    from persona_img.rendering.base import Renderer, Variant
    from persona_img.tracking.base import Tracker
    from persona_img.variants.store import VariantStore
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


Slates = Mapping[tuple[str, str], tuple[Style, ...]]


@dataclass(frozen=True)
class Rendered:
    """What became of one wanted variant.

    Attributes:
        product: Product.
        style: Style wanted of it.
        record: The stored variant; None where none was made.
        reason: Why there is none, or why it may not be served; empty where it may.
    """

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
    fits: Callable[[str, Style], bool] | None = None,
) -> Slates:
    """Which styles each segment may see of each product on offer; the original is one of them.

    ``fits`` says whether a product can be shown in a style: what lies fits no tabletop.
    """
    return plan_slates(
        ranker,
        space,
        sorted(set(profiled.segments.values()) | {profiled.default_segment}),
        [p.product for p in catalog.on_offer],
        size=slate,
        pool=variants_per_product,
        seed=seed,
        fits=fits,
    )


def render(
    slates: Slates,
    catalog: Catalog,
    renderer: Renderer,
    store: VariantStore,
    *,
    seed: int,
    workers: int = 1,
    approve: bool = True,
    on_done: Callable[[Rendered], None] = lambda _: None,
) -> list[Rendered]:
    """Variants of every planned style, each once; what was rendered before is not made again.

    What passed the gate is proposed, and approved where nobody decided on it: a variant that was
    withdrawn stays withdrawn, and a style that was withdrawn for a product is not rendered. What
    may not be served is listed with its reason.

    Args:
        slates: What is wanted.
        catalog: Its products.
        renderer: Makes the variants; called by ``workers`` threads at once.
        store: Keeps them; only this thread writes to it.
        seed: Of the variants.
        workers: Products rendered at the same time; the pictures do not depend on it.
        approve: Whether passing the gate is enough; else every new variant waits for a person.
        on_done: Told of each variant.
    """
    wanted: dict[str, dict[Style, None]] = {}
    for (_, product), styles in slates.items():
        wanted.setdefault(product, {}).update(dict.fromkeys(s for s in styles if not s.is_original))
    results = []
    pool = ThreadPoolExecutor(workers)
    try:
        made = {
            product: pool.submit(_make, catalog[product], list(some), renderer, store, seed)
            for product, some in wanted.items()
        }
        for product in wanted:
            for rendered in _kept(made.pop(product).result(), product, store, approve):
                results.append(rendered)
                on_done(rendered)
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def photo_of(product: Product) -> Photo:
    """A product's photograph, with a person's mask and what the catalogue tells of it."""
    about = About(product.pose or None, product.size_cm, product.category)
    return replace(product_photo(product), about=about)


def variant_seed(seed: int, product: str, style: Style) -> int:
    """Seed of one variant: depends on the product and the style, not on what else is rendered."""
    return int(uniform(str(seed), product, style.key) * 2**31)


_Made = tuple[Style, "VariantRecord | Variant | str"]
"""A style and what became of it: known before, made now, or the reason why not."""


def _make(
    product: Product, styles: list[Style], renderer: Renderer, store: VariantStore, seed: int
) -> list[_Made]:
    """Runs in a worker: reads the store, writes nothing."""
    photo = photo_of(product)
    seeds = {style: variant_seed(seed, product.product, style) for style in styles}
    # A better mask of the same photograph makes other variants.
    mask = None if photo.alpha is None else pixel_digest(photo.alpha)
    made_of = photo_key(photo.digest, mask, photo.about.as_dict())
    made: list[_Made] = []
    missing = []
    for style in styles:
        withdrawn = store.ledger.withdrawn_style(product.product, style)
        if withdrawn is not None:
            made.append((style, f"this style of the product was {withdrawn}"))
            continue
        known = store.find(made_of, style, seeds[style], renderer.fingerprint())
        if known is None:
            missing.append(style)
        else:
            made.append((style, known))

    def note(style: Style, error: RenderRejected) -> None:
        made.append((style, str(error)))

    try:
        rendered = renderer.render_many(
            photo, missing, [seeds[s] for s in missing], on_rejected=note
        )
        made.extend((variant.style, variant) for variant in rendered)
    except LowMaskConfidence as error:
        made.extend((style, str(error)) for style in missing)
    return made


def _kept(
    made: Iterable[_Made], product: str, store: VariantStore, approve: bool
) -> Iterator[Rendered]:
    """What a worker made, stored, and approved where that is the gate's to say."""
    for style, found in made:
        if isinstance(found, str):
            yield Rendered(product, style, None, found)
            continue
        if isinstance(found, VariantRecord):
            digest = store.show(found.digest, product).digest
        else:
            digest = store.put(found, product).digest
        if approve:
            store.ledger.propose(digest)
        record = store.get(digest, product)
        reason = ""
        if not record.approved:
            reason = str(store.ledger.standing(digest, product) or "waits for approval")
        yield Rendered(product, style, record, reason)


def decide(
    slates: Slates,
    rendered: Iterable[Rendered],
    ranker: Ranker,
    policy: Policy,
    profiled: Profiled,
    *,
    version: str,
    leaning: Leaning | None = None,
) -> DecisionTable:
    """What serving decides by: only approved variants, each with its probability.

    With a ``leaning``, and a policy that can be turned to a shopper, single shoppers' chances
    differ from their segment's.
    """
    digests = {
        (r.product, r.style.key): r.record.digest
        for r in rendered
        if r.record and r.record.approved
    }
    shown = {
        (segment, product): tuple(s for s in styles if s.is_original or (product, s.key) in digests)
        for (segment, product), styles in slates.items()
    }
    table = decision_table(
        ranker,
        policy,
        shown,
        segments=profiled.segments,
        default_segment=profiled.default_segment,
        policy_version=version,
        digests=digests,
    )
    return replace(table, personal=personal(leaning, ranker, policy, shown))


_TYPICAL = 200
"""Slates by which it is told how sure a ranker is."""


def personal(
    leaning: Leaning | None, ranker: Ranker, policy: Policy, slates: Slates
) -> Personal | None:
    """How slates' chances are turned to single shoppers; None where they are not.

    Args:
        leaning: What traits add; None for nothing.
        ranker: How sure it is says how far chances turn.
        policy: One whose chances cannot be turned turns none.
        slates: What is planned.
    """
    if leaning is None or not isinstance(policy, Sharp):
        return None
    step = max(1, len(slates) // _TYPICAL)
    some = [place for place in sorted(slates) if len(slates[place]) > 1][::step]
    if not some:
        return None
    rankings = [ranker.rank(Context(*place), slates[place]) for place in some]
    return Personal(leaning, policy.sharpness(rankings), policy.floor)


def lean(feedback: pd.DataFrame, source: FeatureSource, ranker: Ranker) -> Leant:
    """What single shoppers' traits add to a ranker's predictions.

    Read is what the feature store knew just before each picture was shown: a click, which is dated
    by its impression, is not among what foretells it.

    Args:
        feedback: Counted impressions.
        source: Knows what was known of shoppers.
        ranker: Fitted on the feedback.
    """
    newest = as_feedback(feedback).sort_values("shown_at", kind="stable").tail(MOST)
    newest = newest.reset_index(drop=True)
    before = newest["shown_at"] - timedelta(microseconds=1)
    known = source.historical(newest[["shopper"]].astype(object).assign(event_timestamp=before))
    moments = (before.dt.as_unit("us").astype("int64") / 1e6).tolist()
    return fit_leaning(newest, trait_table(known, trait_names(known), moments), ranker)


@dataclass(frozen=True)
class Prepared:
    """What a preparation made.

    Attributes:
        table: What is served from now on.
        rendered: What became of every wanted variant.
    """

    table: DecisionTable
    rendered: tuple[Rendered, ...]

    @property
    def refused(self) -> list[Rendered]:
        """Wanted variants that are not shown, each with its reason."""
        return [one for one in self.rendered if one.reason]


def prepare(
    ranker: Ranker,
    policy: Policy,
    space: StyleSpace,
    profiled: Profiled,
    catalog: Catalog,
    renderer: Renderer,
    store: VariantStore,
    *,
    version: str,
    slate: int,
    variants_per_product: int,
    plan_seed: int,
    seed: int,
    workers: int = 1,
    fits: Callable[[str, Style], bool] | None = None,
    leaning: Leaning | None = None,
    on_planned: Callable[[int], None] = lambda _: None,
    on_done: Callable[[Rendered], None] = lambda _: None,
) -> Prepared:
    """Plan, render and decide, one after the other.

    Args:
        ranker: Says what is best.
        policy: Makes chances of it.
        space: Styles there are.
        profiled: For whom.
        catalog: Of what.
        renderer: As for :func:`render`.
        store: As for :func:`render`.
        version: Name of the table.
        slate: Styles of a slate besides the original.
        variants_per_product: Most variants of a product over all segments.
        plan_seed: Of what is explored.
        seed: Of the variants.
        workers: As for :func:`render`.
        fits: As for :func:`plan`.
        leaning: As for :func:`decide`.
        on_planned: Told how many variants are wanted.
        on_done: Told of each variant.
    """
    slates = plan(
        ranker,
        space,
        profiled,
        catalog,
        slate=slate,
        variants_per_product=variants_per_product,
        seed=plan_seed,
        fits=fits,
    )
    on_planned(
        len({(p, s) for (_, p), styles in slates.items() for s in styles if not s.is_original})
    )
    rendered = render(slates, catalog, renderer, store, seed=seed, workers=workers, on_done=on_done)
    table = decide(slates, rendered, ranker, policy, profiled, version=version, leaning=leaning)
    return Prepared(table, tuple(rendered))


def fresh_events(feedback: pd.DataFrame) -> pd.DataFrame:
    """Clicks and purchases of feedback as interactions: shopper, product, kind, occurred_at."""
    acted = feedback[(feedback["clicked"] == 1) | (feedback["converted"] == 1)]
    return acted.assign(
        kind=acted["converted"].map({0: "view", 1: "purchase"}), occurred_at=acted["shown_at"]
    )[["shopper", "product", "kind", "occurred_at"]].reset_index(drop=True)


def analyse(
    feedback: pd.DataFrame,
    arms: Arms,
    tracker: Tracker,
    *,
    simulated: bool | None,
    run_name: str,
    artifacts: Mapping[str, Path] | None = None,
    planned: int | None = None,
    always_valid: bool = False,
    by_segment: bool = False,
) -> tuple[ABReport, str]:
    """The A/B test by shopper, logged as a run.

    Args:
        feedback: Impressions of any tests, of any types that ``as_feedback`` takes.
        arms: The test and its arms.
        tracker: Where the run is kept.
        simulated: Whether the shoppers are; None where nobody knows.
        run_name: What a reader of the runs sees.
        artifacts: Files kept with the run, by name.
        planned: Exposed shoppers at which the test is to be read.
        always_valid: Verdicts by the interval that holds at every look.
        by_segment: Also compare within each segment.

    Returns:
        The report and the run's id.
    """
    test = ABTest(
        arms.test,
        arms=dict(arms.shares),
        planned_shoppers=planned,
        always_valid=always_valid,
    )
    report = test.analyze(feedback, simulated=simulated, by_segment=by_segment)
    run = tracker.log_report(
        report.to_dict(),
        metrics=report.metrics(),
        experiment=arms.test,
        run_name=run_name,
        params={
            "arms": str(dict(arms.shares)),
            "unit": report.unit,
            "planned_shoppers": planned,
            "always_valid": always_valid,
        },
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
    tables: Iterable[DecisionTable] = (),
    since: datetime | None = None,
    seed: int,
) -> tuple[Ranker, PromotionReport]:
    """A challenger fitted on feedback, and what the evidence says of it.

    The evidence is off-policy and honest: both are judged on what was shown ``since`` the champion
    was fitted, the challenger on shoppers whose impressions of that time it did not see; the one
    that is returned has learned from all of them. ``tables`` are those that were served: they tell
    what could have been shown, and what impressions that were drawn by shoppers' own chances count
    as.
    """
    tables = list(tables)
    report = compare(
        feedback, profiled.features, champion, make_challenger, policy,
        tables=tables, since=since, seed=seed,
    )  # fmt: skip
    counted = counted_for_segments(feedback, tables)
    return make_challenger().fit(counted, profiled.features), report


@dataclass(frozen=True)
class Learned:
    """What came back since the ranker was fitted, and what follows.

    Attributes:
        table: What is to be served from now on; the same where nothing moves.
        impressions: Counted, all arms together.
        moved: Slates whose chances change.
        harmful: Pictures to withdraw.
        stop: Why the test has to stop; empty where it goes on.
    """

    table: DecisionTable
    impressions: int
    moved: int
    harmful: tuple[Harmful, ...] = ()
    stop: str = ""


def learn(
    plan: DecisionTable,
    served: DecisionTable,
    ranker: Ranker,
    policy: Policy,
    feedback: pd.DataFrame,
    test: ABTest,
    *,
    tables: Iterable[DecisionTable] = (),
    since: datetime | None = None,
    revoked: Collection[str] = (),
    reward: str = "click",
) -> Learned:
    """New chances for what is served, from what came back since the ranker was fitted.

    First of all, do no harm: an arm that is worse than the photo for certain stops the test, and a
    picture that is worse than its product's photo is to be withdrawn. Both by intervals that hold
    however often this is called.

    Args:
        plan: What is served, before any revision.
        served: The plan or the revision of it that is served.
        ranker: What planned it, as it was fitted.
        policy: Makes chances of it.
        feedback: Of the test, old enough that clicks have come.
        test: The test.
        tables: What was served: what impressions that were drawn by shoppers' own chances count as.
        since: When the last impression was shown that the ranker was fitted on; None for none.
        revoked: Plans that were rolled back, stopped or halted: what they did is not this plan's.
        reward: What chances follow; harm is told by clicks, and of the arm by conversions too.
    """
    feedback = as_feedback(feedback)
    later = feedback if since is None else feedback[feedback["shown_at"] > since]
    stop = harm_of_arm(test, _while_served(feedback, plan.policy_version, revoked))
    if stop:
        return Learned(served, len(later), 0, stop=stop)
    counted = counted_for_segments(rewarded(later, reward), tables)
    changed = revised_slates(plan, served, ranker, policy, counted)
    table = served.revised(changed) if changed else served
    return Learned(table, len(later), len(changed), tuple(harmful_pictures(feedback)))


def _while_served(feedback: pd.DataFrame, version: str, revoked: Collection[str]) -> pd.DataFrame:
    """Everybody's impressions since a plan began, whichever picture they kept.

    Who keeps an older picture is not like others. Where a plan came back after a rollback, it
    begins again behind the last impression of the one that was rolled back.
    """
    own = of_policy(feedback, version)["shown_at"].min()
    gone = {v for v in feedback["policy_version"].unique() if plan_of(v) in revoked}
    shown = feedback["shown_at"]
    last = shown[feedback["policy_version"].isin(gone)].max()
    since: pd.DataFrame = feedback[(shown >= own) & ~(shown <= last)]
    return since
