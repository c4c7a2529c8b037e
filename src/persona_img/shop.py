"""One shop: its settings, its folder, every store it has, and the loop's verbs on them.

The public way in. Commands, the demo, pages and notebooks call a :class:`Shop` and nothing below.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from persona_img import wiring
from persona_img.domain.catalog import Catalog
from persona_img.settings import Settings
from persona_img.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.domain.style import StyleSpace
    from persona_img.profiles.base import FeatureSource
    from persona_img.tracking.base import Tracker
    from persona_img.variants.store import VariantStore


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
            **given: Settings that win over files and environment.

        Raises:
            InvalidInput: a setting breaks a rule, or the folder holds somebody else's files.
        """
        settings = Settings.load(home=home, **given)
        return cls(settings, Workspace.open(settings.home))

    @cached_property
    def space(self) -> StyleSpace:
        """The style space."""
        return wiring.style_space(self.settings)

    @property
    def catalog(self) -> Catalog:
        """The products, as the table lists them now."""
        return Catalog.load(self.workspace.catalog)

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
