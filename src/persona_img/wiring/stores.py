"""Where a shop's data lives: feature store, tracker, variants, events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput
from persona_img.wiring.registry import named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import SecretStr

    from persona_img.profiles.base import FeatureSource
    from persona_img.provenance.registry import Registry
    from persona_img.serving.archive import Archive
    from persona_img.serving.base import EventLog
    from persona_img.serving.history import History
    from persona_img.serving.key import ShopKey
    from persona_img.serving.preview import Previews
    from persona_img.serving.token import Signer
    from persona_img.settings import Settings
    from persona_img.tracking.base import Tracker
    from persona_img.variants.store import VariantStore
    from persona_img.workspace import Workspace


def _feast(settings: Settings, workspace: Workspace) -> FeatureSource:
    from persona_img.profiles.feast import FeastFeatureSource

    stores = settings.stores
    return FeastFeatureSource(workspace.features, stores.feature_repo, stores.feature_store)


def _frame(_: Settings, workspace: Workspace) -> FeatureSource:
    from persona_img.profiles.frame import FrameFeatureSource

    return FrameFeatureSource(workspace.features)


FEATURES: Mapping[str, Callable[[Settings, Workspace], FeatureSource]] = {
    "feast": _feast,
    "frame": _frame,
}
"""Feast in the workspace's folder or where its file says, or plain tables."""


def _mlflow(_: Settings, workspace: Workspace) -> Tracker:
    from persona_img.tracking.mlflow import MlflowTracker

    return MlflowTracker(
        tracking_uri(workspace),
        workspace.tracking / "artifacts",
        loader="persona_img.wiring.loaded",
    )


def _folder(_: Settings, workspace: Workspace) -> Tracker:
    from persona_img.tracking.folder import FolderTracker

    return FolderTracker(workspace.tracking)


TRACKERS: Mapping[str, Callable[[Settings, Workspace], Tracker]] = {
    "mlflow": _mlflow,
    "folder": _folder,
}
"""MLflow on SQLite, or plain files."""


def feature_source(settings: Settings, workspace: Workspace) -> FeatureSource:
    """The settings' feature store.

    Raises:
        InvalidInput: no such store.
    """
    return named(FEATURES, settings.stores.features, "stores.features")(settings, workspace)


def tracker(settings: Settings, workspace: Workspace) -> Tracker:
    """The settings' tracker.

    Raises:
        InvalidInput: no such tracker.
    """
    return named(TRACKERS, settings.stores.tracker, "stores.tracker")(settings, workspace)


def tracking_uri(workspace: Workspace) -> str:
    """MLflow's database of a workspace."""
    return f"sqlite:///{(workspace.tracking / 'mlflow.db').resolve()}"


def variant_store(workspace: Workspace) -> VariantStore:
    """The workspace's variants."""
    from persona_img.variants.store import VariantStore

    return VariantStore(workspace.variants)


def registry(workspace: Workspace) -> Registry:
    """Which pictures the workspace has, and whose."""
    from persona_img.provenance.registry import Registry

    return Registry(workspace.registry)


def _postgres_log(url: str) -> EventLog:
    try:
        from persona_img.serving.postgres.log import PostgresEventLog
    except ImportError as error:
        raise InvalidInput(
            f"stores.events_url: {error}; pip install 'persona-img[postgres]'"
        ) from error
    return PostgresEventLog(url)


def _postgres_history(archive: Archive, url: str) -> History:
    from functools import partial

    from persona_img.serving.history import History
    from persona_img.serving.postgres.reader import PostgresReader, prune

    return History(archive, partial(PostgresReader, url), partial(prune, url))


LOGS: Mapping[str, tuple[Callable[[str], EventLog], Callable[[Archive, str], History]]] = {
    "postgresql": (_postgres_log, _postgres_history),
}
"""What opens the log of an address, and what reads it beside its archive, by the scheme."""


def _scheme(url: str) -> str:
    return url.partition(":")[0]


def event_log(workspace: Workspace, url: SecretStr | None = None) -> EventLog:
    """The durable log.

    Args:
        workspace: Its folder holds the log where there is no address.
        url: Address of a database, ``stores.events_url``.

    Raises:
        InvalidInput: an address that nobody serves, or its driver is not installed.
        StoreFailed: its database cannot be reached.
    """
    if url is not None:
        address = url.get_secret_value()
        return named(LOGS, _scheme(address), "scheme of stores.events_url")[0](address)
    from persona_img.serving.sqlite_log import SqliteEventLog

    return SqliteEventLog(workspace.events)


def archive(workspace: Workspace) -> Archive:
    """What came back to a workspace, by day."""
    from persona_img.serving.archive import Archive

    return Archive(workspace.archive)


def history(workspace: Workspace, url: SecretStr | None = None) -> History:
    """What came back to a workspace: its archive, and the log's tail; see :func:`event_log`."""
    if url is not None:
        address = url.get_secret_value()
        opens = named(LOGS, _scheme(address), "scheme of stores.events_url")[1]
        return opens(archive(workspace), address)
    from functools import partial

    from persona_img.serving.history import History
    from persona_img.serving.sqlite_prune import prune
    from persona_img.serving.sqlite_reader import SqliteReader

    log = workspace.events
    return History(archive(workspace), partial(SqliteReader, log), partial(prune, log))


def signer(settings: Settings, workspace: Workspace) -> Signer:
    """What signs answers, by :func:`shop_keys`."""
    from persona_img.serving.token import Signer

    first, *others = shop_keys(settings, workspace)
    return Signer(first, others, days=settings.serve.token_days)


def previews(settings: Settings, workspace: Workspace) -> Previews:
    """What signs previews, by :func:`shop_keys`."""
    from persona_img.serving.preview import Previews

    return Previews(shop_keys(settings, workspace))


def shop_keys(settings: Settings, workspace: Workspace) -> Sequence[ShopKey]:
    """The key that signs, and those of before: the settings', else the workspace's own.

    Keys of the workspace's file still prove what they signed where the settings give another.

    Raises:
        InvalidInput: the workspace's file holds something else, or no key can be put there.
    """
    from persona_img.serving.key import kept_keys, key_of

    given, path = settings.serve.decision_key, workspace.decision_key
    earlier = [key_of(one.get_secret_value().encode()) for one in settings.serve.earlier_keys]
    if given is not None:
        kept = kept_keys(path) if path.exists() else ()
        return [key_of(given.get_secret_value().encode()), *earlier, *kept]
    first, *others = kept_keys(path)
    return [first, *earlier, *others]
