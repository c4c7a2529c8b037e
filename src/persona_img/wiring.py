"""Settings to adapters: the one place that knows which vendor is used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from persona_img.domain.decision import Arms, DecisionTable
from persona_img.domain.style import StyleSpace
from persona_img.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from fastapi import FastAPI

    from persona_img.domain.catalog import Catalog
    from persona_img.domain.variant import VariantRecord
    from persona_img.masking.base import Masker
    from persona_img.masking.pretrained import TransformersMasker
    from persona_img.profiles.base import FeatureSource
    from persona_img.ranking.base import Policy, Ranker
    from persona_img.rendering.base import BackdropSource
    from persona_img.rendering.renderer import BackdropRenderer
    from persona_img.serving.base import EventLog
    from persona_img.serving.decide import Decider
    from persona_img.settings import Settings
    from persona_img.tracking.base import Tracker
    from persona_img.variants.store import VariantStore
    from persona_img.workspace import Workspace


def style_space(settings: Settings) -> StyleSpace:
    """The style space."""
    return StyleSpace.load(settings.styles)


def arms(settings: Settings) -> Arms:
    """The A/B test's arms: the original photo against the personalized variants."""
    share = settings.personalized_share
    return Arms(settings.test, {"control": 1.0 - share, "personalized": share})


def feature_source(settings: Settings, workspace: Workspace) -> FeatureSource:
    """Feast in the workspace's folder, or plain tables."""
    if settings.features == "feast":
        from persona_img.profiles.feast import FeastFeatureSource

        return FeastFeatureSource(workspace.features, settings.feature_repo)
    from persona_img.profiles.frame import FrameFeatureSource

    return FrameFeatureSource(workspace.features)


def tracker(settings: Settings, workspace: Workspace) -> Tracker:
    """MLflow on SQLite, or plain files."""
    if settings.tracker == "mlflow":
        from persona_img.tracking.mlflow import MlflowTracker

        return MlflowTracker(tracking_uri(workspace), workspace.tracking / "artifacts")
    from persona_img.tracking.folder import FolderTracker

    return FolderTracker(workspace.tracking)


def tracking_uri(workspace: Workspace) -> str:
    """MLflow's database of a workspace."""
    return f"sqlite:///{(workspace.tracking / 'mlflow.db').resolve()}"


def backdrops(settings: Settings) -> BackdropSource:
    """The diffusion checkpoint, alone or over another source, or a source without weights."""
    painter, _, ground = settings.backdrops.partition("-over-")
    if ground:
        from persona_img.rendering.sources.tiles import Over

        return Over(_source(painter, settings), _source(ground, settings))
    return _source(painter, settings)


def _source(name: str, settings: Settings) -> BackdropSource:
    if name == "diffusion":
        from persona_img.rendering.sources.diffusion import DiffusionBackdrops

        return DiffusionBackdrops(
            settings.checkpoint,
            steps=settings.steps,
            guidance=settings.guidance,
            strength=settings.strength,
            adapter=settings.adapter,
        )
    if name == "plain":
        from persona_img.rendering.sources.plain import PlainBackdrops

        return PlainBackdrops()
    if name == "pretrained":
        return _pretrained_source(settings)
    from persona_img.rendering.sources.tiles import GaussianBackdrops, LibraryBackdrops

    return LibraryBackdrops() if name == "library" else GaussianBackdrops()


def _pretrained_source(settings: Settings) -> BackdropSource:
    if settings.backdrop_model is None:
        raise InvalidInput("backdrops pretrained: say which model: --backdrop-model ID-OR-FOLDER")
    try:
        from persona_img.rendering.sources.pretrained import PretrainedBackdrops
    except ImportError as error:
        raise InvalidInput(
            f"backdrops pretrained: {error}; pip install 'persona-img[pretrained]'"
        ) from error
    return PretrainedBackdrops(
        settings.backdrop_model,
        mode=settings.backdrop_mode,
        steps=settings.steps,
        guidance=settings.guidance,
        strength=settings.strength,
        lora=settings.backdrop_lora,
        controlnet=settings.backdrop_controlnet,
    )


def masker(settings: Settings) -> Masker:
    """Who cuts products out."""
    if settings.masker == "learned":
        from persona_img.masking.learned import LearnedMasker

        return LearnedMasker(settings.masker_checkpoint)
    if settings.masker == "transformers":
        return transformers_masker(settings)
    from persona_img.masking.classic import ClassicMasker

    return ClassicMasker()


def transformers_masker(settings: Settings) -> TransformersMasker:
    """A segmentation model of the transformers library, with its confidence where there is one.

    Raises:
        InvalidInput: no model is named, or transformers is not installed.
    """
    if settings.masker_model is None:
        raise InvalidInput("masker transformers: say which model: --masker-model ID-OR-FOLDER")
    try:
        from persona_img.masking.pretrained import TransformersMasker
    except ImportError as error:
        raise InvalidInput(
            f"masker transformers: {error}; pip install 'persona-img[pretrained]'"
        ) from error
    confidence = None
    if settings.masker_confidence is not None:
        confidence = json.loads(settings.masker_confidence.read_text(encoding="utf-8"))
    return TransformersMasker(
        settings.masker_model,
        labels=settings.masker_labels,
        trust_remote_code=settings.trust_remote_code,
        confidence=confidence,
    )


def renderer(settings: Settings) -> BackdropRenderer:
    """Photographs to variants."""
    from persona_img.rendering.base import RenderSettings
    from persona_img.rendering.framing import Layout
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.rendering.proof.gate import OWN_RULES, RULES
    from persona_img.rendering.renderer import BackdropRenderer

    chosen = RenderSettings(
        candidates=settings.candidates,
        tries=settings.tries,
        layout=Layout(settings.format, settings.text),
        relight=settings.relight,
        light_wrap=settings.light_wrap,
        rules=RULES if settings.adapter is None else OWN_RULES,
    )
    # No tile of ours stands in for a shop's own backdrop.
    alone = settings.backdrops in ("library", "gaussian", "plain") or settings.adapter is not None
    fallback = None if alone else _source("library", settings)
    return BackdropRenderer(
        backdrops(settings), chosen, masker(settings), StyleJudge(), fallback=fallback
    )


def variant_store(workspace: Workspace) -> VariantStore:
    """The workspace's variants."""
    from persona_img.variants.store import VariantStore

    return VariantStore(workspace.variants)


def event_log(workspace: Workspace) -> EventLog:
    """The workspace's durable log."""
    from persona_img.serving.sqlite_log import SqliteEventLog

    return SqliteEventLog(workspace.events)


def policy(settings: Settings) -> Policy:
    """Thompson sampling with a floor."""
    from persona_img.ranking.policy import ThompsonPolicy

    return ThompsonPolicy(floor=settings.floor, seed=settings.seed)


def cold_ranker() -> Ranker:
    """What ranks before there is any feedback: it knows nothing, so everything is explored."""
    from persona_img.ranking.popularity import PopularityRanker

    return PopularityRanker()


def new_ranker(settings: Settings) -> Ranker:
    """An unfitted ranker of the kind that is trained on feedback."""
    from persona_img.ranking.lightgbm import LightGBMRanker

    return LightGBMRanker(seed=settings.seed)


def load_ranker(folder: Path) -> Ranker:
    """A saved ranker of whatever kind.

    Raises:
        NotFound: the folder holds none.
    """
    from persona_img.ranking.lightgbm import LightGBMRanker
    from persona_img.ranking.popularity import PopularityRanker

    kinds: tuple[Any, ...] = (LightGBMRanker, PopularityRanker)
    for kind in kinds:
        try:
            ranker: Ranker = kind.load(folder)
        except NotFound:
            continue
        return ranker
    raise NotFound(f"{folder}: holds no ranker; run `persona-img retrain` or `persona-img rank`")


def decider(
    settings: Settings, table: DecisionTable, log: EventLog, store: VariantStore
) -> Decider:
    """What answers requests."""
    from persona_img.serving.decide import Decider

    return Decider(
        table,
        arms(settings),
        log,
        change_budget=settings.change_budget,
        servable=store.is_servable,
    )


def app(settings: Settings, deciding: Decider, catalog: Catalog, store: VariantStore) -> FastAPI:
    """The HTTP service."""
    from persona_img.serving.app import create_app

    return create_app(deciding, catalog, store.servable_path, tokens=settings.tokens)


def read_feedback(settings: Settings) -> pd.DataFrame:
    """Every counted impression of the settings' A/B test, whatever policy it was served by.

    Returns:
        Columns of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`.

    Raises:
        NotFound: nothing was served from this home yet.
    """
    from persona_img.workspace import Workspace

    workspace = Workspace.open(settings.home)
    if not workspace.events.exists():
        raise NotFound(f"{workspace.events}: no events yet; run `persona-img serve` or the demo")
    log = event_log(workspace)
    try:
        return log.feedback(settings.test)
    finally:
        log.close()


def read_variants(settings: Settings) -> list[tuple[VariantRecord, Path]]:
    """Every stored variant of the settings' home with its file."""
    from persona_img.workspace import Workspace

    store = variant_store(Workspace.open(settings.home))
    return [(record, store.path(record.digest)) for record in store.records()]
