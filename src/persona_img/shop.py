"""One shop: its settings, its folder, every store it has, and the loop's verbs on them.

The public way in. Commands, the demo, pages and notebooks call a :class:`Shop` and nothing below.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import pandas as pd

from persona_img import loop, wiring
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import Context
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.errors import InvalidInput, NotEnoughData, NotFound, StoreConflict
from persona_img.serving.feedback import of_policy
from persona_img.settings import Settings
from persona_img.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fastapi import FastAPI

    from persona_img.abtest.design import Baseline
    from persona_img.abtest.report import ABReport
    from persona_img.domain.catalog import Product
    from persona_img.domain.decision import DecisionTable, Ranking
    from persona_img.domain.style import Style, StyleSpace
    from persona_img.domain.variant import VariantRecord
    from persona_img.ingest.interactions.store import Interactions
    from persona_img.ingest.products.columns import ColumnCheck
    from persona_img.ingest.products.reading import Batch
    from persona_img.ingest.products.rows import Reading
    from persona_img.ingest.products.shelf import Added
    from persona_img.profiles.base import FeatureSource
    from persona_img.ranking.base import Ranker
    from persona_img.ranking.promotion import PromotionReport
    from persona_img.ranking.value import OffPolicyValue
    from persona_img.rendering.proof.certificate import VerifyReport
    from persona_img.reports.rounds import Round
    from persona_img.serving.decide import Decider
    from persona_img.tracking.base import Tracker
    from persona_img.variants.showing import LiveCatalog
    from persona_img.variants.store import VariantStore

_EVERYTHING_BUT_VARIANTS = (
    "catalog", "interactions", "features", "tables", "mlflow", "rankers", "decisions",
)  # fmt: skip


@dataclass(frozen=True)
class Retrained:
    """A new ranker and what the evidence says of it.

    Attributes:
        version: Under which it is registered.
        ranker: It.
        report: The evidence.
        promoted: Whether it is champion now.
    """

    version: int
    ranker: Ranker
    report: PromotionReport
    promoted: bool


class Shop:
    """The one owner of a shop's stores.

    Args:
        settings: Everything that can be set.
        workspace: The folder that holds all of its data.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self.settings, self.workspace = settings, workspace

    @classmethod
    def open(cls, home: str | Path | None = None, **given: object) -> Shop:
        """The shop in a folder; the folder is made where there is none.

        Args:
            home: Its folder; None for ``PERSONA_IMG_HOME``, else ``./shop``.
            **given: Settings that win over files and environment, groups as mappings.

        Raises:
            InvalidInput: a setting breaks a rule or names an adapter that nobody has, or the
                folder holds somebody else's files.
        """
        return cls._in_its_folder(Settings.load(home=home, **given))

    @classmethod
    def begin(cls, settings: Settings) -> Shop:
        """A shop that begins anew in a folder of ours, and keeps ``settings`` there.

        Everything of an earlier shop goes but its variants, which are found again by recipe.

        Raises:
            InvalidInput: as for :meth:`open`.
        """
        shop = cls._in_its_folder(settings)
        root = shop.workspace.root
        for name in _EVERYTHING_BUT_VARIANTS:
            shutil.rmtree(root / name, ignore_errors=True)
        for path in (*root.glob("events.sqlite*"), *root.glob("*.json")):
            path.unlink()
        settings.save()
        return shop

    @classmethod
    def _in_its_folder(cls, settings: Settings) -> Shop:
        wiring.check(settings)  # before a folder is made
        return cls(settings, Workspace.open(settings.home))

    # What it has

    @cached_property
    def space(self) -> StyleSpace:
        """The style space."""
        return wiring.style_space(self.settings)

    @property
    def catalog(self) -> Catalog:
        """The products, as the table lists them now."""
        return Catalog.load(self.workspace.catalog)

    @cached_property
    def interactions(self) -> Interactions:
        """What shoppers did: a history, file by file."""
        from persona_img.ingest.interactions.store import Interactions

        earlier = self.workspace.root / "tables" / "interactions.parquet"
        return Interactions(self.workspace.interactions, earlier)

    @cached_property
    def live_catalog(self) -> LiveCatalog:
        """The products, for what asks for them at every decision."""
        from persona_img.variants.showing import LiveCatalog

        return LiveCatalog(self.workspace.catalog)

    @cached_property
    def features(self) -> FeatureSource:
        """The feature store."""
        return wiring.feature_source(self.settings, self.workspace)

    @cached_property
    def variants(self) -> VariantStore:
        """The rendered variants and what may be served of them."""
        return wiring.variant_store(self.workspace)

    @cached_property
    def tracker(self) -> Tracker:
        """Runs and rankers."""
        return wiring.tracker(self.settings, self.workspace)

    @property
    def profiled(self) -> loop.Profiled:
        """Shoppers as groups, as :meth:`profile` found them last.

        Raises:
            NotFound: no profile was made yet.
        """
        return loop.Profiled.load(self.workspace)

    @property
    def table(self) -> DecisionTable:
        """What is served.

        Raises:
            NotFound: nothing was prepared yet.
        """
        return self.workspace.decision_table()

    @property
    def policies(self) -> list[str]:
        """Policy versions of the tables that were published, the one that is served last."""
        return [table.policy_version for table in self.workspace.decision_tables()]

    @property
    def simulated(self) -> bool:
        """Whether shoppers of this shop were ever simulated; every report says so."""
        return self.workspace.has_json("simulated")

    def mark_simulated(self) -> None:
        """Note for good that shoppers of this shop are simulated."""
        if not self.simulated:
            self.workspace.save_json("simulated", {"since": _now().isoformat()})

    # Products and shoppers

    def add_products(
        self,
        source: str | Path | Iterable[Product],
        reading: Reading | None = None,
        *,
        skip_bad: bool = False,
        on_columns: Callable[[ColumnCheck], None] = lambda _: None,
        on_photo: Callable[[int, int], None] = lambda done, of: None,
        on_copied: Callable[[int, int], None] = lambda done, of: None,
        on_checked: Callable[[Batch], None] = lambda _: None,
    ) -> Added:
        """Add products, or update known ones; their photos are copied beside the table.

        Every row is checked and every photo opened before anything is written. What a table has
        no column for stays as it is, so that a table of skus and prices is one of new prices.

        Args:
            source: A table (CSV, Parquet, JSON) with a row per product; a photo or a folder of
                photos, each a product named after its file; or products.
            reading: How to read a table, and what is the same for all.
            skip_bad: Add the other rows where some are wrong.
            on_columns: Told what the columns are taken for, before a row is read.
            on_photo: Told how many photos of how many were opened.
            on_copied: Told how many photos of how many were copied.
            on_checked: Told what was found, before anything is written; may raise to stop it.

        Raises:
            InvalidInput: the source cannot be read.
            BadCatalog: rows break rules, all of them named; then nothing is added.
            StoreConflict: somebody else changed the catalogue meanwhile.
        """
        from persona_img.ingest.products.reading import read_products
        from persona_img.ingest.products.rows import Reading
        from persona_img.ingest.products.shelf import Shelf

        shelf = Shelf(self.workspace.catalog)
        batch = read_products(
            source,
            reading or Reading(),
            known=frozenset(p.product for p in shelf.catalog),
            known_photo=shelf.known_photo,
            workers=self.settings.render.workers,
            on_columns=on_columns,
            on_photo=on_photo,
        )
        on_checked(batch)
        if not skip_bad:
            batch.refuse()
        return shelf.add(batch.entries, self.settings.render.workers, on_copied)

    def retire_products(self, products: Iterable[str], reason: str) -> list[Product]:
        """Take products off offer: they are shown as photographed and no longer planned.

        What was shown and counted of them stays, and so do their variants.

        Returns:
            Those that were on offer until now.

        Raises:
            InvalidInput: no reason.
            NotFound: one of them is not in the catalogue; then none is retired.
        """
        from persona_img.ingest.products.shelf import Shelf

        return Shelf(self.workspace.catalog).retire(products, reason)

    def restore_products(self, products: Iterable[str]) -> list[Product]:
        """Bring retired products back; the next table has them again.

        Returns:
            Those that were retired until now.

        Raises:
            NotFound: one of them is not in the catalogue; then none is brought back.
        """
        from persona_img.ingest.products.shelf import Shelf

        return Shelf(self.workspace.catalog).restore(products)

    def profile(self, as_of: datetime | None = None) -> loop.Profiled:
        """Interactions to factors, profiles and segments; published to the feature store.

        Args:
            as_of: Moment of the snapshot, with a time zone; None for now.

        Raises:
            NotFound: no interactions were added yet.
            NotEnoughData: none before ``as_of``.
        """
        profiled = loop.profile(
            self.interactions.frame(),
            self.catalog,
            self.features,
            as_of=as_of or _now(),
            count=self.settings.learn.segments,
            least=self.settings.learn.least_shoppers,
            seed=self.settings.seed,
        )
        profiled.save(self.workspace)
        return profiled

    # Styles and variants

    def champion(self) -> tuple[Ranker, str]:
        """The promoted ranker and its name; a cold one where none was promoted yet."""
        version = self.tracker.champion()
        if version is None:
            nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
            cold = wiring.cold_ranker(self.settings)
            return cold.fit(nothing, self.profiled.features), "cold"
        folder = self.workspace.root / "rankers" / f"version-{version}"
        stored = self.tracker.fetch_ranker(version, folder)
        return wiring.load_ranker(stored, self.settings), f"version-{version}"

    def rank(
        self, segments: Sequence[str] | None = None, products: Sequence[str] | None = None
    ) -> Iterator[Ranking]:
        """The whole style space by what the champion expects of it, best first.

        Args:
            segments: None for all.
            products: None for all.

        Raises:
            InvalidInput: an unknown segment.
            NotFound: an unknown product, or no profile was made yet.
        """
        known = sorted(set(self.profiled.segments.values()))
        for segment in segments or ():
            if segment not in known:
                raise InvalidInput(f"segment {segment!r}: there are {', '.join(known)}; choose one")
        catalog = self.catalog
        wanted = [catalog[p] for p in products] if products else list(catalog.on_offer)
        ranker, _ = self.champion()
        styles = self.space.styles()
        for segment in segments or known:
            for product in wanted:
                yield ranker.rank(Context(segment, product.product), styles)

    def prepare(
        self,
        *,
        version: str | None = None,
        on_planned: Callable[[int], None] = lambda _: None,
        on_done: Callable[[loop.Rendered], None] = lambda _: None,
    ) -> loop.Prepared:
        """Plan with the champion, render what is missing, decide, and publish what is served.

        The first preparation registers the cold ranker, so that there is always one to go back to.

        Args:
            version: Name of the policy; None for the champion's and the time.
            on_planned: Told how many variants are wanted.
            on_done: Told of each variant.

        Raises:
            StoreConflict: another table has this version.
        """
        profiled, catalog = self.profiled, self.catalog
        ranker, name = self.champion()
        if self.tracker.champion() is None:
            self._register(ranker, "cold", promote=True)
        learn = self.settings.learn
        earlier = {t.policy_version for t in self.workspace.decision_tables()}
        if version is None:
            version = f"{name}-{_now():%Y%m%dT%H%M%S.%f}"
        if version in earlier:
            raise StoreConflict(f"policy version {version!r} was served before; give another name")
        prepared = loop.prepare(
            ranker,
            wiring.policy(self.settings),
            self.space,
            profiled,
            catalog,
            wiring.renderer(self.settings),
            self.variants,
            version=version,
            slate=learn.slate,
            variants_per_product=learn.variants_per_product,
            # Each table explores other styles than the one before it.
            plan_seed=self.settings.seed + len(earlier) + 1,
            seed=self.settings.seed,
            workers=self.settings.render.workers,
            on_planned=on_planned,
            on_done=on_done,
        )
        self.workspace.save_json(
            "refused", [[r.product, r.style.key, r.reason] for r in prepared.refused]
        )
        self.workspace.save_decision_table(prepared.table)
        return prepared

    def approve(self, *digests: str, by: str, reason: str = "") -> list[VariantRecord]:
        """Allow variants to be served; digests may be cut short where that names one variant.

        Raises:
            NotFound: no such variant.
            StoreConflict: one is withdrawn; restore it.
        """
        found = [self.variants.resolve(digest) for digest in digests]
        self.variants.ledger.approve(found, by=by, reason=reason)
        return [self.variants.get(digest) for digest in found]

    def withdraw(self, *digests: str, by: str, reason: str) -> list[VariantRecord]:
        """Take variants from serving at once, until they are restored; rendering does not.

        Raises:
            NotFound: no such variant.
            InvalidInput: no reason.
        """
        found = [self.variants.resolve(digest) for digest in digests]
        self.variants.ledger.withdraw(found, by=by, reason=reason)
        return [self.variants.get(digest) for digest in found]

    def restore(self, *digests: str, by: str, reason: str) -> list[VariantRecord]:
        """Let withdrawn variants be served again.

        Raises:
            NotFound: no such variant.
            StoreConflict: one is not withdrawn.
            InvalidInput: no reason.
        """
        found = [self.variants.resolve(digest) for digest in digests]
        self.variants.ledger.restore(found, by=by, reason=reason)
        return [self.variants.get(digest) for digest in found]

    def withdraw_style(self, product: str, style: Style, *, by: str, reason: str) -> None:
        """Never show a product in a style, whatever renders it, until that is restored.

        Raises:
            NotFound: an unknown product.
            UnknownStyle: a style that is not in the space, nor rendered of the product.
            InvalidInput: the original photo, or no reason.
        """
        records = self.variants.records(product)
        if not records and (not self.workspace.catalog.exists() or product not in self.catalog):
            raise NotFound(f"product {product!r} is in neither the catalogue nor the variants")
        if style not in {record.style for record in records}:
            self.space.check(style)
        self.variants.ledger.withdraw_style(product, style, by=by, reason=reason)

    def restore_style(self, product: str, style: Style, *, by: str, reason: str) -> None:
        """Allow a product in a style again.

        Raises:
            StoreConflict: it is not withdrawn.
            InvalidInput: no reason.
        """
        self.variants.ledger.restore_style(product, style, by=by, reason=reason)

    def verify(self) -> list[tuple[VariantRecord, VerifyReport]]:
        """Every stored variant of a product in the catalogue against its photograph.

        Those of a photo that the product had before are left out: they are not shown.
        """
        from persona_img.imaging.photo import load_photo
        from persona_img.rendering.proof.certificate import verify

        catalog, found = self.catalog, []
        for record in self.variants.records():
            if record.product in catalog:
                product = catalog[record.product]
                if product.photo_digest not in ("", record.certificate.photo):
                    continue
                photo = load_photo(product.photo)
                found.append((record, verify(self.variants.path(record.digest), photo)))
        return found

    # Serving

    def decider(self) -> Decider:
        """What answers requests with the newest table; whoever asks closes its ``log``.

        Raises:
            NotFound: nothing was prepared yet.
        """
        from persona_img.serving.decide import Decider
        from persona_img.variants.showing import Showing

        table, log = self.table, wiring.event_log(self.workspace)
        try:
            return Decider(
                table,
                wiring.arms(self.settings),
                log,
                change_budget=self.settings.test.change_budget,
                servable=Showing(self.variants, self.live_catalog),
            )
        except BaseException:
            log.close()
            raise

    def app(self, decider: Decider) -> FastAPI:
        """The HTTP service around a decider."""
        from persona_img.serving.app import create_app

        return create_app(
            decider,
            self.live_catalog,
            self.variants.servable_path,
            tokens=self.settings.serve.tokens,
        )

    # What came back

    def feedback(self, *, policy: str | None = None, since: datetime | None = None) -> pd.DataFrame:
        """Counted impressions of the A/B test.

        Args:
            policy: Only those decided by this policy version; ``last`` for the one that is served.
            since: Only those shown from this moment on.

        Returns:
            Columns of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`.

        Raises:
            NotFound: nothing was served from this home yet.
        """
        if not self.workspace.events.exists():
            raise NotFound(f"{self.workspace.events}: no events yet; run `persona-img serve`")
        with closing(wiring.event_log(self.workspace)) as log:
            feedback = log.feedback(self.settings.test.name)
        if policy is not None:
            # The table that is served says which is newest; clients' clocks do not.
            version = self.table.policy_version if policy == "last" else policy
            feedback = of_policy(feedback, version)
        if since is not None:
            feedback = feedback[feedback["shown_at"] >= since]
        return feedback.reset_index(drop=True)

    def analyse(
        self,
        *,
        policy: str | None = None,
        since: datetime | None = None,
        run_name: str | None = None,
        artifacts: Mapping[str, Path] | None = None,
        planned: int | None = None,
        always_valid: bool | None = None,
        by_segment: bool = False,
    ) -> tuple[ABReport, str]:
        """The A/B test by shopper, logged as a run.

        Args:
            policy: As for :meth:`feedback`.
            since: As for :meth:`feedback`.
            run_name: What a reader of the runs sees.
            artifacts: Files kept with the run, by name.
            planned: Exposed shoppers at which the test is to be read; None for the settings'.
            always_valid: Verdicts by the interval that holds at every look; None for the settings'.
            by_segment: Also compare within each segment.

        Returns:
            The report and the run's id.
        """
        chosen = self.settings.test
        return loop.analyse(
            self.feedback(policy=policy, since=since),
            wiring.arms(self.settings),
            self.tracker,
            simulated=self.simulated,
            run_name=run_name or f"analyze {policy or 'all'}",
            artifacts=artifacts,
            planned=chosen.planned_shoppers if planned is None else planned,
            always_valid=chosen.always_valid if always_valid is None else always_valid,
            by_segment=by_segment,
        )

    def baseline(self) -> Baseline:
        """CTR of the test's control, as measured: what a next test is planned from.

        Raises:
            NotFound: nothing was served from this home yet.
            NotEnoughData: fewer than two shoppers of control, or no click.
        """
        from persona_img.abtest.design import Baseline

        return Baseline.measured(self.feedback(), self.settings.test.name)

    def evaluate(
        self,
        *,
        ranker: int | Literal["champion", "previous", "cold"] = "champion",
        policy: str | None = None,
        of: str | None = None,
        since: datetime | None = None,
    ) -> OffPolicyValue:
        """What a registered ranker and a policy would have earned on what was logged.

        A ranker that learned from these impressions looks better than it is; ``since`` the moment
        it was trained there are only others. For one that is to be trained, see :meth:`retrain`.

        Args:
            ranker: A registered version, a role, or ``cold``, which knows nothing.
            policy: Name of a policy; None for the settings'.
            of: Only impressions of this policy version; as for :meth:`feedback`.
            since: Only those shown from this moment on.

        Raises:
            InvalidInput: no policy has the name.
            NotFound: no such version, nobody has the role, or nothing was served yet.
            NotEnoughData: nothing to judge on.
        """
        from persona_img.ranking.value import value_of

        found, name = self._ranker(ranker)
        return value_of(
            self.feedback(policy=of, since=since),
            found,
            wiring.policy(self.settings, policy),
            tables=self.workspace.decision_tables(),
            name=name,
            seed=self.settings.seed,
        )

    def _ranker(self, which: int | Literal["champion", "previous", "cold"]) -> tuple[Ranker, str]:
        if which == "champion":
            return self.champion()
        if which == "cold":
            nothing = pd.DataFrame(columns=list(FEEDBACK_COLUMNS))
            cold = wiring.cold_ranker(self.settings)
            return cold.fit(nothing, self.profiled.features), "cold"
        history = {v.role: v.version for v in self.tracker.history()}
        version = history.get("previous") if which == "previous" else which
        if version is None:
            raise NotFound("no previous champion yet; name a version, champion or cold")
        folder = self.workspace.root / "rankers" / f"version-{version}"
        stored = self.tracker.fetch_ranker(int(version), folder)
        return wiring.load_ranker(stored, self.settings), f"version-{version}"

    def push(self, *, since: datetime | None = None) -> int:
        """Clicks and purchases that came back reach the feature store at once.

        Returns:
            How many.
        """
        events = loop.fresh_events(self.feedback(since=since))
        self.features.push(events)
        return len(events)

    def retrain(self, *, promote: bool = False) -> Retrained:
        """Fit a ranker on the feedback, register it, and weigh it against the champion.

        Args:
            promote: Whether it becomes champion where the evidence says so.
        """
        profiled = self.profiled
        champion, _ = self.champion()
        challenger, report = loop.retrain(
            self.feedback(),
            profiled,
            champion,
            lambda: wiring.new_ranker(self.settings),
            wiring.policy(self.settings),
            tables=self.workspace.decision_tables(),
            seed=self.settings.seed,
        )
        promoted = promote and report.promote
        version = self._register(
            challenger, challenger.name, metrics=report.metrics(), promote=promoted
        )
        self.workspace.save_json(
            "promotion", {"promote": report.promote, "reason": report.reason, "version": version}
        )
        return Retrained(version, challenger, report, promoted)

    def promote(self, version: int) -> None:
        """Make a registered ranker champion, whatever the evidence said."""
        self.tracker.promote(version)

    def rollback(self) -> int:
        """Bring the previous champion back.

        Returns:
            Its version.
        """
        return self.tracker.rollback()

    # What people look at

    def sheet(self, path: Path | None = None) -> Path:
        """Each product's photo beside the variant each segment sees most, as one picture."""
        from persona_img.reports.rounds import write_sheet

        path = path or self.workspace.root / "sheet.jpg"
        return write_sheet(path, self.catalog, self.profiled, self.table, self.variants)

    def report(self, path: Path | None = None, rounds: Sequence[Round] | None = None) -> Path:
        """One self-contained page: outcome, evidence, pictures.

        Args:
            path: Where to; ``report.html`` in the shop's folder if left out.
            rounds: What is shown; None for one round per policy version that has impressions.

        Raises:
            NotEnoughData: no impression came back yet.
        """
        from persona_img.reports.rounds import Promotion, write_report

        refused = self.workspace.json("refused") if self.workspace.has_json("refused") else []
        promotion = None
        if self.workspace.has_json("promotion"):
            last = self.workspace.json("promotion")
            promotion = Promotion(last["promote"], last["reason"])
        return write_report(
            path or self.workspace.root / "report.html",
            self._rounds() if rounds is None else rounds,
            promotion,
            [tuple(row) for row in refused],
            self.catalog,
            self.variants,
            self.workspace.root,
        )

    def _rounds(self) -> list[Round]:
        from persona_img.reports.rounds import Round

        served = set(self.feedback()["policy_version"])
        rounds: list[Round] = []
        for table in self.workspace.decision_tables():
            if table.policy_version in served:
                version = table.policy_version
                report, run = self.analyse(policy=version, run_name=f"report {version}")
                feedback = self.feedback(policy=version)
                rounds.append(Round(len(rounds) + 1, version, report, run, {}, table, feedback))
        if not rounds:
            raise NotEnoughData("no impression came back yet; a report has nothing to tell")
        return rounds

    def _register(
        self,
        ranker: Ranker,
        name: str,
        *,
        metrics: Mapping[str, float] | None = None,
        promote: bool = False,
    ) -> int:
        folder = self.workspace.root / "rankers" / name
        shutil.rmtree(folder, ignore_errors=True)
        ranker.save(folder)
        version = self.tracker.register_ranker(
            folder, metrics=metrics or {}, tags={"kind": ranker.name}
        )
        if promote:
            self.tracker.promote(version)
        return version


def _now() -> datetime:
    return datetime.now(UTC)
