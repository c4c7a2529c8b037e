"""Every store a shop has, and how a shop is opened."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self

from persona_img import wiring
from persona_img.domain.brand import Brand
from persona_img.domain.catalog import Catalog
from persona_img.settings import Settings
from persona_img.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.abtest.analysis import ABTest
    from persona_img.abtest.records import Records, Started
    from persona_img.domain.decision import Arms, DecisionTable
    from persona_img.domain.style import StyleSpace
    from persona_img.ingest.interactions.store import Interactions
    from persona_img.loop import Profiled
    from persona_img.profiles.base import FeatureSource
    from persona_img.tracking.base import Tracker
    from persona_img.tracking.ui import UiCommand
    from persona_img.variants.showing import LiveCatalog
    from persona_img.variants.store import VariantStore


_EVERYTHING_BUT_VARIANTS = (
    "catalog", "interactions", "features", "tables", "mlflow", "rankers", "decisions", "archive",
    "imports", "serving", "experiments",
)  # fmt: skip


class Stores:
    """The stores of one shop.

    Args:
        settings: Everything that can be set.
        workspace: The folder that holds all of its data.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self.settings, self.workspace = settings, workspace

    @classmethod
    def open(cls, home: str | Path | None = None, **given: object) -> Self:
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
    def begin(cls, settings: Settings) -> Self:
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
        shop.workspace.decision_key.unlink(missing_ok=True)
        settings.save()
        return shop

    @classmethod
    def _in_its_folder(cls, settings: Settings) -> Self:
        wiring.check(settings)  # before a folder is made
        return cls(settings, Workspace.open(settings.home))

    @cached_property
    def space(self) -> StyleSpace:
        """The style space, without what ``brand.toml`` does not want.

        Raises:
            InvalidInput: that file breaks a rule, or names what is not in the space.
        """
        return Brand.load(self.workspace.brand).narrowed(wiring.style_space(self.settings))

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

    def tracking_pages(self, port: int = 5000) -> UiCommand:
        """What starts MLflow's pages over this shop's runs, on this machine only."""
        from persona_img.tracking.ui import ui_command

        uri = wiring.tracking_uri(self.workspace)
        return ui_command(uri, self.workspace.tracking / "artifacts", port=port)

    @property
    def profiled(self) -> Profiled:
        """Shoppers as groups, as :meth:`profile` found them last.

        Raises:
            NotFound: no profile was made yet.
        """
        from persona_img.loop import Profiled

        return Profiled.load(self.workspace)

    @property
    def table(self) -> DecisionTable:
        """What is served.

        Raises:
            NotFound: nothing was prepared yet.
        """
        return self.workspace.decision_table()

    @property
    def policies(self) -> list[str]:
        """Plans that were published, the one that is served last."""
        return list(dict.fromkeys(table.plan for table in self.workspace.decision_tables()))

    @property
    def records(self) -> Records:
        """Records of A/B tests."""
        from persona_img.abtest.records import Records

        return Records(self.workspace.records)

    @property
    def record(self) -> Started | None:
        """The record by which the shop's test runs, or ran; None where the settings say how.

        Raises:
            StoreFailed: it is not the one that started.
        """
        if not self.workspace.records.is_dir():  # what serves opens fast
            return None
        return self.records.started(self.settings.test.name)

    @property
    def arms(self) -> Arms:
        """The A/B test's arms."""
        started = self.record
        return wiring.arms(self.settings, None if started is None else started.record)

    @property
    def ab_test(self) -> ABTest:
        """How the A/B test's feedback is read: as its record says, else as the settings do."""
        started = self.record
        return wiring.ab_test(self.settings, None if started is None else started.record)

    @property
    def simulated(self) -> bool:
        """Whether shoppers of this shop were ever simulated; every report says so."""
        return self.workspace.has_json("simulated")

    def mark_simulated(self) -> None:
        """Note for good that shoppers of this shop are simulated."""
        if not self.simulated:
            self.workspace.save_json("simulated", {"since": _now().isoformat()})


def _now() -> datetime:
    return datetime.now(UTC)
