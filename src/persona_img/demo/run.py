"""The whole loop on real photos and simulated shoppers, start to end, in one folder."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from persona_img.assets import ASSETS
from persona_img.demo.size import DemoSize, spread
from persona_img.demo.traffic import simulate_history, simulate_visits, simulated_shoppers
from persona_img.domain.catalog import Catalog
from persona_img.errors import InvalidInput, VerificationFailed
from persona_img.reports.rounds import Round
from persona_img.serving.run import ServiceProcess
from persona_img.settings import Settings
from persona_img.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from persona_img.abtest.report import ABReport
    from persona_img.shop import Credentials, Rendered, Retrained
    from persona_img.simulate.shop import SimulatedShop

START = datetime(2026, 3, 2, tzinfo=UTC)
"""When the simulated shoppers' first round begins; the clock of this machine plays no part."""
OWNER = "persona-img demo"
"""Who signs the demo's pictures."""
HISTORY_DAYS = 60
ROUND_DAYS = 14


@dataclass(frozen=True)
class DemoResult:
    """What the demo found and where it put it.

    Attributes:
        rounds: Both rounds.
        retrained: The ranker that was trained between them, and the evidence.
        refused: Variants the gate kept from being shown, with reasons.
        shown: Variants rendered and approved.
        sheet: Contact sheet of what the retrained ranker likes best for each segment, promoted or
            not; what was served is on the sheets of the rounds.
        report: Self-contained HTML page.
        signed: A picture as pages load it, and what its signature is worth; None where none is
            signed.
    """

    rounds: tuple[Round, ...]
    retrained: Retrained
    refused: list[Rendered]
    shown: int
    sheet: Path
    report: Path
    signed: tuple[Path, Credentials] | None = None


class Demo:
    """One run of the loop: a shop that begins, its shoppers simulated, everything else real.

    Args:
        shop: A shop that just began, see :func:`begin`.
        size: How much of everything.
        console: Where progress and results are printed.
    """

    def __init__(self, shop: Shop, size: DemoSize, console: Console) -> None:
        self.shop, self.size, self.console = shop, size, console

    @classmethod
    def begin(cls, size: DemoSize, console: Console, **given: object) -> Demo:
        """A demo in the folder ``home``; what was asked for wins over the demo's own settings."""
        settings = Settings.fresh(defaults=size.settings, **given)
        if settings.stores.events_url is not None:
            raise InvalidInput(
                "stores.events_url is set: simulated shoppers would be counted in that log; "
                "unset PERSONA_IMG_STORES__EVENTS_URL for the demo"
            )
        if settings.provenance.keys is None:
            # Beside the home, as real keys would lie elsewhere: the demo's own authority.
            home = settings.home.resolve()
            keys = Shop.keys_at(home.with_name(f"{home.name}-keys"), OWNER)
            told = settings.provenance.model_copy(update={"keys": keys})
            settings = settings.model_copy(update={"provenance": told})
        return cls(Shop.begin(settings), size, console)

    def run(self) -> DemoResult:
        """All steps. A variant that was rendered by an earlier run is not rendered again."""
        self._catalogue()
        shoppers = self._shoppers()
        self._profile()
        first, refused = self._round(1, shoppers)
        retrained = self._retrain()
        self._say(f"{self.shop.push():,} fresh events pushed to the feature store")
        second, more = self._round(2, shoppers)
        shown = self._verify()
        signed = self._signed()
        rounds = (first, second)
        # What was learned is shown whether or not the evidence was enough to promote it.
        sheet = self.shop.sheet(liked_by=retrained.ranker)
        report = self.shop.report(rounds=rounds)
        return DemoResult(rounds, retrained, [*refused, *more], shown, sheet, report, signed)

    def _catalogue(self) -> None:
        self._title(1, "Catalogue", "real product photos, CC0")
        shipped = Catalog.load(ASSETS / "catalog" / "products.csv")
        self.shop.add_products(spread(list(shipped), self.size.products))
        catalog = self.shop.catalog
        self._say(f"{len(catalog)} products in {len({p.category for p in catalog})} categories")

    def _shoppers(self) -> SimulatedShop:
        self._title(2, "Shoppers", "SIMULATED, with hidden tastes")
        shoppers = simulated_shoppers(self.shop, self.size.shoppers)
        interactions = simulate_history(self.shop, shoppers, HISTORY_DAYS, START)
        self._say(f"{self.size.shoppers:,} shoppers, {len(interactions):,} past interactions")
        return shoppers

    def _profile(self) -> None:
        self._title(3, "Profiles", "implicit ALS, segments, Feast")
        for name, row in self.shop.profile(START).description.iterrows():
            self._say(f"{name}: {int(row['shoppers']):,} shoppers, mostly {row['top_categories']}")

    def _round(self, number: int, shoppers: SimulatedShop) -> tuple[Round, list[Rendered]]:
        ranker, name = self.shop.champion()
        step = 4 if number == 1 else 6
        self._title(step, f"Round {number}: rank, render, serve", f"ranker {name}")
        version = f"round-{number}-{ranker.name}"
        with self._progress("render variants") as progress:
            prepared = self.shop.prepare(
                version=version, on_planned=progress.expect, on_done=progress.advance
            )
        made = len(prepared.rendered) - len(prepared.refused)
        self._say(f"{made} variants passed the gate, {len(prepared.refused)} did not")
        start = START + timedelta(days=ROUND_DAYS * (number - 1))
        self._serve(number, start, shoppers)
        sheet = self.shop.sheet(self.shop.workspace.root / f"sheet-round-{number}.jpg")
        report, run = self.shop.analyse(
            since=start, run_name=f"round {number}", artifacts={"contact-sheet.jpg": sheet}
        )
        self._show(report)
        table = prepared.table
        known = None
        if table.personal is not None:
            known = self.shop.traits(list(shoppers.shoppers["shopper"]), now=start)
        rate = shoppers.true_rate(table, traits=known)
        truth = {"control": shoppers.true_rate(), "personalized": rate}
        feedback = self.shop.feedback(since=start)
        return Round(number, version, report, run, truth, table, feedback), prepared.refused

    def _serve(self, number: int, start: datetime, shoppers: SimulatedShop) -> None:
        """Visits over HTTP to the same service that ``persona-img serve`` runs, as a process."""
        visits = shoppers.visits(number, start, ROUND_DAYS, visits_per_shopper=self.size.visits)
        root = self.shop.workspace.root
        command = [sys.executable, "-m", "persona_img", "serve", "--home", str(root), "--port", "0"]
        with (
            ServiceProcess(command, root / "service.log") as service,
            self._progress("serve visits") as progress,
        ):
            progress.expect(len(visits))
            simulate_visits(self.shop, shoppers, service.url, visits, progress.advance)

    def _retrain(self) -> Retrained:
        kind = self.shop.settings.learn.ranker
        note = f"the ranker {kind} on the feedback, judged off-policy on held-out shoppers"
        self._title(5, "Retrain", note)
        retrained = self.shop.retrain(promote=True)
        self._say(retrained.report.reason)
        if retrained.leant is not None:
            own = retrained.leant.reason or "chances are turned to single shoppers by their traits"
            self._say(own)
        if retrained.promoted:
            self._say(
                f"version {retrained.version} is champion now; `persona-img rollback` brings the "
                "old one back"
            )
        return retrained

    def _verify(self) -> int:
        """Every variant against its photograph."""
        self._title(7, "Verify", "every variant against its photograph")
        found = self.shop.verify()
        for record, checked in found:
            if not checked.passed:
                raise VerificationFailed(f"{record.digest} of {record.product}:\n{checked}")
        self._say(f"verified: not one product pixel changed in {len(found)} variants")
        return len(found)

    def _signed(self) -> tuple[Path, Credentials] | None:
        """Every picture that pages load of the variants, by its manifest; the last one is told."""
        if not self.shop.marking.signs:
            self._say("pictures are not signed: pip install 'persona-img[provenance]'")
            return None
        found = [
            self.shop.renditions.path(made.master, one.file)
            for record in self.shop.variants.records()
            if record.approved and (made := self.shop.renditions.get(record.digest)) is not None
            for one in made.files
        ]
        checked = None
        for path in found:
            checked = path, self.shop.credentials(path)
            if checked[1].state != "trusted":
                raise VerificationFailed(f"{path}: {'; '.join(checked[1].reasons)}")
        self._say(f"signed: {len(found)} pictures for pages, each trusted by the demo's authority")
        return checked

    def _title(self, step: int, title: str, note: str) -> None:
        self.console.print(f"\n[bold]{step}  {title}[/bold]  [dim]{note}[/dim]")

    def _say(self, text: str) -> None:
        self.console.print(f"   {text}", highlight=False, markup=False, soft_wrap=True)

    def _show(self, report: ABReport) -> None:
        for line in report.table().rstrip().splitlines():
            self._say(line)

    @contextmanager
    def _progress(self, what: str) -> Iterator[_Bar]:
        columns = (
            TextColumn("   {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            yield _Bar(progress, what)


class _Bar:
    """A bar whose length is known later than its name."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress, self._task = progress, progress.add_task(what, total=None)

    def expect(self, total: int) -> None:
        self._progress.update(self._task, total=total)

    def advance(self, _: Any) -> None:
        self._progress.advance(self._task)
