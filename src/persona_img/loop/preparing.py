"""From a ranker to what is served: plan, render, decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from persona_img.domain.decision import Context, DecisionTable, uniform
from persona_img.domain.leaning import Leaning, Personal
from persona_img.domain.style import Style, StyleSpace
from persona_img.domain.variant import VariantRecord
from persona_img.errors import LowMaskConfidence, RenderRejected
from persona_img.imaging.drawn import product_photo
from persona_img.imaging.photo import About, pixel_digest
from persona_img.ranking.leaning import Sharp
from persona_img.ranking.slates import decision_table, plan_slates
from persona_img.variants.store import photo_key

if TYPE_CHECKING:
    from persona_img.domain.catalog import Catalog, Product
    from persona_img.imaging.photo import Photo
    from persona_img.loop.profiling import Profiled
    from persona_img.ranking.base import Policy, Ranker
    from persona_img.rendering.base import Renderer, Variant
    from persona_img.variants.store import VariantStore


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
    """What serving decides by: only approved variants, each with its probability, in whole parts.

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
    return replace(table.in_parts(), personal=personal(leaning, ranker, policy, shown))


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
