"""Features in Feast: the same definitions for a folder on a laptop and for a shared store."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sqlite3
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd

from persona_img.errors import InvalidInput
from persona_img.profiles.base import (
    MOMENT_FEATURES,
    PRODUCT_FEATURES,
    RECENT_FEATURES,
    SERVING_FEATURES,
    SHOPPER_FEATURES,
    FeatureType,
    conform,
    keyed,
    recent_events,
    unix_seconds,
)
from persona_img.profiles.definitions import STORE, definitions_digest, load_definitions
from persona_img.profiles.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@contextlib.contextmanager
def _without_metrics() -> Iterator[None]:
    """Keep ``import feast`` from turning the metrics of the whole process into files.

    It makes a temporary folder and names it in two variables, by which prometheus_client, where it
    is imported later, shares its metrics between processes. So that one comes first, and the
    variables are as before afterwards.
    """
    import prometheus_client.values  # noqa: F401

    names = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")
    before = {name: os.environ.get(name) for name in names}
    os.environ.setdefault(names[0], os.devnull)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


with _without_metrics():
    from feast import Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView
    from feast.data_source import DataSource, PushMode
    from feast.errors import FeastExtrasDependencyImportError, ProjectObjectNotFoundException
    from feast.project import Project

_DEFINED = (DataSource, Entity, FeatureView, OnDemandFeatureView, FeatureService)
_BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)
_LOOKUP = 10_000  # shoppers at a time: SQLite takes at most 32,766 names in a question


class FeastFeatureSource:
    """A :class:`~persona_img.profiles.base.FeatureSource` that asks Feast.

    With ``feature_store.yaml`` everything lies in one folder: ``registry.db``, ``online.db``, one
    Parquet file per view, and ``applied``, the digest of the definitions in the registry. With
    ``feature_store.production.yaml`` the registry and the online store are servers' and several
    machines', the registry says itself which definitions it holds, and the folder has the Parquet
    files. The registry is code: it holds the source of the on-demand view, which Feast runs.
    """

    def __init__(self, work: Path, repo: Path, store: str = STORE) -> None:
        """Open the features in ``work``; the folder and the registry are made where they lack.

        Args:
            work: Folder that everything is written to.
            repo: Folder of the definitions, only read.
            store: Name of the file in it that says where registry and online store lie.

        Raises:
            NotFound: ``repo`` holds no definitions.
            InvalidInput: the file asks for a variable that is not set, or for a package that is not
                installed.
        """
        self._definitions = load_definitions(repo, store)
        self._digest = definitions_digest(repo, store)
        _require_variables(repo / store)
        self._applied = work / "applied"
        work.mkdir(parents=True, exist_ok=True)
        self._profiles = Snapshots(work / "shopper_profile.parquet", "shopper", SHOPPER_FEATURES)
        self._products = Snapshots(work / "product_profile.parquet", "product", PRODUCT_FEATURES)
        self._recent = Snapshots(work / "shopper_recent.parquet", "shopper", RECENT_FEATURES)
        try:
            self._store = FeatureStore(str(work), fs_yaml_file=repo / store)
        except FeastExtrasDependencyImportError as error:
            raise InvalidInput(f"{store}: {error}; pip install 'persona-img[redis]'") from error
        self._shared = self._store.config.registry.registry_type != "file"
        if self._known_definitions() != self._digest:
            self._apply(work)
        # Once, as the definitions are: made of the registry's bytes it takes as long as the rest of
        # a look-up, and the registry may be away.
        self._serving = self._store.get_feature_service("serving_v1")

    def publish(self, profiles: pd.DataFrame) -> None:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        self._profiles.append(profiles)

    def publish_products(self, profiles: pd.DataFrame) -> None:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        self._products.append(profiles)

    def push(self, events: pd.DataFrame) -> None:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        added = self._recent.append(recent_events(events))
        if added.empty:
            return
        # Feast writes what comes last, whatever its time; only what is newest may get there.
        newest = self._recent.latest()
        self._store.push(
            "shopper_events", newest[newest["shopper"].isin(added["shopper"])], to=PushMode.ONLINE
        )

    def materialize(self, until: datetime) -> None:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        unix_seconds(until)
        if not self._profiles.exists:
            return
        # Feast rewrites a registry's file in place: cut off in between, it is made anew at the next
        # opening. A registry in a database has transactions.
        self._applied.unlink(missing_ok=True)
        with _quiet():
            self._store.materialize(_BEGINNING, until, feature_views=["shopper_profile"])
        self._note_applied()

    def historical(self, entities: pd.DataFrame) -> pd.DataFrame:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        keys = ["shopper", "product"] if "product" in entities.columns else ["shopper"]
        asked = keyed(entities, keys, "entities").reset_index(drop=True)
        features: dict[str, FeatureType] = dict(SERVING_FEATURES)
        profile = {**SHOPPER_FEATURES, **MOMENT_FEATURES}
        # One question a view: Feast drops the whole row where one view knows only later values,
        # and with it what the other views know.
        known = [
            self._as_of(asked, self._profiles, "shopper", ("shopper_profile", "recency"), profile),
            self._as_of(asked, self._recent, "shopper", ("shopper_recent",), RECENT_FEATURES),
        ]
        if "product" in keys:
            features |= PRODUCT_FEATURES
            views = ("product_profile",)
            known += [self._as_of(asked, self._products, "product", views, PRODUCT_FEATURES)]
        answer = pd.concat([asked, conform(pd.concat(known, axis=1), features)], axis=1)
        return answer.set_axis(entities.index)

    def online(self, shoppers: Sequence[str], *, now: datetime) -> pd.DataFrame:
        """See :class:`~persona_img.profiles.base.FeatureSource`."""
        index = pd.Index(list(shoppers), name="shopper", dtype=object)
        if index.empty:
            return conform(pd.DataFrame(index=index), SERVING_FEATURES)
        moment = unix_seconds(now)
        parts = []
        for start in range(0, len(index), _LOOKUP):
            asked = {"shopper": index[start : start + _LOOKUP].to_list()}
            asked["now"] = [moment] * len(asked["shopper"])
            answer = self._store.get_online_features(self._serving, asked).to_dict()
            parts.append(pd.DataFrame(answer, dtype=object))
        return conform(pd.concat(parts).set_index(index), SERVING_FEATURES)

    def _as_of(
        self,
        asked: pd.DataFrame,
        table: Snapshots,
        key: str,
        views: Sequence[str],
        features: Mapping[str, FeatureType],
    ) -> pd.DataFrame:
        """The last features of ``views`` at or before each row's moment, in the rows' order."""
        if asked.empty or not table.exists:
            return conform(pd.DataFrame(index=asked.index), features)
        row = asked.groupby([key, "event_timestamp"], sort=False).ngroup()
        unique = asked[[key, "event_timestamp"]].assign(row=row).drop_duplicates("row")
        unique["now"] = unique["event_timestamp"].astype("int64") / 1e6
        wanted = [
            f"{view.name}:{feature.name}"
            for view in self._store.get_feature_service("ranking_v1").feature_view_projections
            for feature in view.features
            if view.name in views
        ]
        with _quiet():
            answer = self._store.get_historical_features(unique, wanted).to_df()
        found = answer.set_index("row").reindex(row).set_axis(asked.index)
        return conform(found, features)

    def _known_definitions(self) -> str | None:
        """The digest of the definitions that the registry holds, None for no whole ones."""
        if not self._shared:
            return self._applied.read_text("utf-8") if self._applied.exists() else None
        try:
            project = self._store.get_project(self._store.project)
        except ProjectObjectNotFoundException:
            return None
        digest: str | None = project.tags.get("definitions")
        return digest

    def _note_applied(self) -> None:
        if not self._shared:
            self._applied.write_text(self._digest, "utf-8")

    def _apply(self, work: Path) -> None:
        """Put the definitions into the registry; what was materialised or pushed stays.

        One of the folder's own is made anew, one that is shared is added to.
        """
        if not self._shared:
            self._applied.unlink(missing_ok=True)
            (work / "registry.db").unlink(missing_ok=True)
        defined = {
            id(value): value
            for module in self._definitions
            for value in vars(module).values()
            if isinstance(value, _DEFINED)
        }
        with _quiet():
            self._store.apply(list(defined.values()))
            if self._shared:  # last, so that it is said of whole definitions only
                name = self._store.project
                self._store.apply([Project(name=name, tags={"definitions": self._digest})])
        if self._store.config.online_store.type == "sqlite":
            # So that a reader and a writer do not wait for each other; the file keeps this setting.
            with contextlib.closing(sqlite3.connect(work / "online.db")) as database:
                database.execute("PRAGMA journal_mode=WAL")
        self._note_applied()


def _require_variables(file: Path) -> None:
    """Raise InvalidInput where a file of Feast names variables of the environment that are not set.

    Feast would take their names for values, and say of these that they are no address.
    """
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    named = re.findall(r"\$\{(\w+)\}", "\n".join(lines))
    missing = [name for name in dict.fromkeys(named) if not os.environ.get(name)]
    if missing:
        raise InvalidInput(f"{file.name} asks for {', '.join(missing)}; set it in the environment")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Feast's progress and its notice that on-demand views are experimental."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="feast")
        yield
