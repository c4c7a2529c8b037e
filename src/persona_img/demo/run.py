"""The whole loop on real photos and simulated shoppers, start to end, in one folder."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from persona_img import loop, wiring
from persona_img.demo.size import DemoSize, spread
from persona_img.domain.catalog import Catalog, Product
from persona_img.domain.feedback import FEEDBACK_COLUMNS
from persona_img.errors import VerificationFailed
from persona_img.reports.rounds import Round, write_report, write_sheet
from persona_img.settings import ASSETS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from persona_img.abtest.report import ABReport
    from persona_img.ranking.base import Ranker
    from persona_img.ranking.promotion import PromotionReport
    from persona_img.simulate.shop import SimulatedShop
    from persona_img.tracking.base import Tracker
    from persona_img.variants.store import VariantStore
    from persona_img.workspace import Workspace

START = datetime(2026, 3, 2, tzinfo=UTC)
"""When the simulated shoppers' first round begins; the clock of this machine plays no part."""
HISTORY_DAYS = 60
ROUND_DAYS = 14


@dataclass(frozen=True)
class DemoResult:
    """What the demo found and where it put it.

    Attributes:
        rounds: Both rounds.
        promotion: What the evidence said of the retrained ranker.
        rejected: Variants the gate kept from being shown, with reasons.
        shown: Variants rendered and approved.
        sheet: Contact sheet.
        report: Self-contained HTML page.
    """

    rounds: tuple[Round, ...]
    promotion: PromotionReport
    rejected: list[loop.Rendered]
    shown: int
    sheet: Path
    report: Path


class Demo:
    """One run of the loop in a workspace.

    Args:
        settings: Its ``home`` is the workspace's folder.
        workspace: Everything is written below it.
        size: How much of everything.
        console: Where progress and results are printed.
    """

    def __init__(
        self, settings: Settings, workspace: Workspace, size: DemoSize, console: Console
    ) -> None:
        asked = settings.model_fields_set
        mine = {name: value for name, value in size.settings.items() if name not in asked}
        self.settings = Settings(**(dict(settings) | mine))
        self.workspace, self.size, self.console = workspace, size, console
        self.space = wiring.style_space(settings)

    def run(self) -> DemoResult:
        """All nine steps. A variant that was rendered by an earlier run is not rendered again."""
        self._clean()
        catalog = self._catalogue()
        shop, interactions = self._shoppers(catalog)
        profiled = self._profile(interactions, catalog)
        tracker = wiring.tracker(self.settings, self.workspace)
        champion = self._first_ranker(tracker, profiled)
        store = wiring.variant_store(self.workspace)
        first, rejected = self._round(1, champion, profiled, catalog, shop, store, tracker)
        champion, promotion = self._retrain(first, champion, profiled, tracker)
        self._fresh_events(first)
        second, more = self._round(2, champion, profiled, catalog, shop, store, tracker)
        shown = self._verify(catalog, store)
        return self._finish((first, second), promotion, [*rejected, *more], shown, catalog, store)

    def _clean(self) -> None:
        """Everything of an earlier run goes but its variants, which are found again by recipe."""
        for name in ("catalog", "features", "tables", "mlflow", "rankers", "decisions"):
            shutil.rmtree(self.workspace.root / name, ignore_errors=True)
        for path in self.workspace.root.glob("events.sqlite*"):
            path.unlink()
        self.settings.save()

    def _catalogue(self) -> Catalog:
        self._title(1, "Catalogue", "real product photos, CC0")
        shipped = Catalog.load(ASSETS / "catalog" / "products.csv")
        folder = self.workspace.catalog.parent
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        products = []
        for product in spread(list(shipped), self.size.products):
            photo = folder / "photos" / product.photo.name
            shutil.copyfile(product.photo, photo)
            fields = {k: getattr(product, k) for k in product.__dataclass_fields__}
            products.append(Product(**(fields | {"photo": photo})))
        catalog = Catalog(products)
        catalog.save(self.workspace.catalog)
        categories = {p.category for p in catalog}
        self._say(f"{len(catalog)} products in {len(categories)} categories")
        return catalog

    def _shoppers(self, catalog: Catalog) -> tuple[SimulatedShop, pd.DataFrame]:
        self._title(2, "Shoppers", "SIMULATED, with hidden tastes")
        from persona_img.simulate.shop import SimulatedShop

        shop = SimulatedShop(
            catalog, self.space, shoppers=self.size.shoppers, seed=self.settings.seed
        )
        interactions = shop.interactions(HISTORY_DAYS, START)
        self.workspace.save_table("shoppers", shop.shoppers)
        self.workspace.save_table("interactions", interactions)
        self._say(f"{len(shop.shoppers):,} shoppers, {len(interactions):,} past interactions")
        return shop, interactions

    def _profile(self, interactions: pd.DataFrame, catalog: Catalog) -> loop.Profiled:
        self._title(3, "Profiles", "implicit ALS, segments, Feast")
        profiled = loop.profile(
            interactions,
            catalog,
            wiring.feature_source(self.settings, self.workspace),
            as_of=START,
            count=self.settings.segments,
            least=self.settings.least_shoppers,
            seed=self.settings.seed,
        )
        profiled.save(self.workspace)
        for name, row in profiled.description.iterrows():
            self._say(f"{name}: {int(row['shoppers']):,} shoppers, mostly {row['top_categories']}")
        return profiled

    def _first_ranker(self, tracker: Tracker, profiled: loop.Profiled) -> Ranker:
        ranker = wiring.cold_ranker().fit(
            pd.DataFrame(columns=list(FEEDBACK_COLUMNS)), profiled.features
        )
        folder = self.workspace.root / "rankers" / "cold"
        ranker.save(folder)
        tracker.promote(tracker.register_ranker(folder, tags={"kind": ranker.name}))
        return ranker

    def _round(
        self,
        number: int,
        ranker: Ranker,
        profiled: loop.Profiled,
        catalog: Catalog,
        shop: SimulatedShop,
        store: VariantStore,
        tracker: Tracker,
    ) -> tuple[Round, list[loop.Rendered]]:
        step = 4 if number == 1 else 9
        self._title(step, f"Round {number}: rank, render, serve", f"ranker {ranker.name}")
        policy = wiring.policy(self.settings)
        slates = loop.plan(
            ranker,
            self.space,
            profiled,
            catalog,
            slate=self.settings.slate,
            variants_per_product=self.settings.variants_per_product,
            seed=self.settings.seed + number,
        )
        rendered = self._render(slates, catalog, store)
        version = f"round-{number}-{ranker.name}"
        table = loop.decide(slates, rendered, ranker, policy, profiled, version=version)
        self.workspace.save_decision_table(table)
        start = START + timedelta(days=ROUND_DAYS * (number - 1))
        self._serve(number, start, shop)
        everything = wiring.read_feedback(self.settings)
        feedback = everything[everything["shown_at"] >= start].reset_index(drop=True)
        self.workspace.save_table(f"feedback-round-{number}", feedback)
        sheet = write_sheet(
            self.workspace.root / f"sheet-round-{number}.jpg", catalog, profiled, table, store
        )
        report, run = loop.analyse(
            feedback,
            wiring.arms(self.settings),
            tracker,
            simulated=True,
            run_name=f"round {number}",
            artifacts={"contact-sheet.jpg": sheet},
        )
        self._show(report)
        truth = {"control": shop.true_rate(), "personalized": shop.true_rate(table)}
        return Round(number, version, report, run, truth, table, feedback), [
            r for r in rendered if r.record is None
        ]

    def _render(
        self, slates: loop.Slates, catalog: Catalog, store: VariantStore
    ) -> list[loop.Rendered]:
        wanted = {(p, s) for (_, p), styles in slates.items() for s in styles if not s.is_original}
        with self._progress("render variants", len(wanted)) as advance:
            rendered = loop.render(
                slates,
                catalog,
                wiring.renderer(self.settings),
                store,
                seed=self.settings.seed,
                workers=self.settings.workers,
                on_done=lambda _: advance(),
            )
        rejected = [r for r in rendered if r.record is None]
        self._say(
            f"{len(rendered) - len(rejected)} variants passed the gate, {len(rejected)} did not"
        )
        return rendered

    def _serve(self, number: int, start: datetime, shop: SimulatedShop) -> None:
        """Visits over HTTP to the same service that ``persona-img serve`` runs, as a process."""
        from persona_img.serving.run import ServiceProcess
        from persona_img.simulate.traffic import drive

        visits = shop.visits(number, start, ROUND_DAYS, visits_per_shopper=self.size.visits)
        root = self.workspace.root
        command = [sys.executable, "-m", "persona_img", "serve", "--home", str(root), "--port", "0"]
        with (
            ServiceProcess(command, root / "service.log") as service,
            self._progress("serve visits", len(visits)) as advance,
        ):
            drive(service.url, shop, visits, on_visit=lambda _: advance())

    def _retrain(
        self, first: Round, champion: Ranker, profiled: loop.Profiled, tracker: Tracker
    ) -> tuple[Ranker, PromotionReport]:
        self._title(
            8, "Retrain", "LightGBM on the feedback, judged off-policy on held-out shoppers"
        )
        challenger, promotion = loop.retrain(
            first.feedback,
            profiled,
            champion,
            lambda: wiring.new_ranker(self.settings),
            wiring.policy(self.settings),
            tables=[first.table],
            seed=self.settings.seed,
        )
        folder = self.workspace.root / "rankers" / challenger.name
        challenger.save(folder)
        version = tracker.register_ranker(
            folder, metrics=promotion.metrics(), tags={"kind": challenger.name}
        )
        self._say(promotion.reason)
        if promotion.promote:
            tracker.promote(version)
            self._say(
                f"version {version} is champion now; `persona-img rollback` brings the old one back"
            )
            return challenger, promotion
        return champion, promotion

    def _fresh_events(self, first: Round) -> None:
        """Clicks and purchases of the round reach the feature store at once."""
        clicked = first.feedback[first.feedback["clicked"] == 1]
        events = pd.DataFrame(
            {
                "shopper": clicked["shopper"],
                "product": clicked["product"],
                "kind": clicked["converted"].map({0: "view", 1: "purchase"}),
                "occurred_at": clicked["shown_at"],
            }
        )
        wiring.feature_source(self.settings, self.workspace).push(events)
        self._say(f"{len(events):,} fresh events pushed to the feature store")

    def _verify(self, catalog: Catalog, store: VariantStore) -> int:
        """Every approved variant against its photograph."""
        from persona_img.imaging.photo import load_photo
        from persona_img.rendering.proof.certificate import verify

        records = store.records()
        for record in records:
            photo = load_photo(catalog[record.product].photo)
            checked = verify(store.path(record.digest), photo)
            if not checked.passed:
                raise VerificationFailed(f"{record.digest} of {record.product}:\n{checked}")
        self._say(f"verified: not one product pixel changed in {len(records)} variants")
        return len(records)

    def _finish(
        self,
        rounds: tuple[Round, ...],
        promotion: PromotionReport,
        rejected: list[loop.Rendered],
        shown: int,
        catalog: Catalog,
        store: VariantStore,
    ) -> DemoResult:
        root = self.workspace.root
        report = write_report(
            root / "report.html", rounds, promotion, rejected, catalog, store, root
        )
        sheet = root / f"sheet-round-{rounds[-1].number}.jpg"
        return DemoResult(rounds, promotion, rejected, shown, sheet, report)

    def _title(self, step: int, title: str, note: str) -> None:
        self.console.print(f"\n[bold]{step}  {title}[/bold]  [dim]{note}[/dim]")

    def _say(self, text: str) -> None:
        self.console.print(f"   {text}", highlight=False, markup=False, soft_wrap=True)

    def _show(self, report: ABReport) -> None:
        for line in report.table().rstrip().splitlines():
            self._say(line)

    @contextmanager
    def _progress(self, what: str, total: int) -> Iterator[Any]:
        columns = (
            TextColumn("   {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(what, total=total)
            yield lambda: progress.advance(task)
