"""One frozen Settings: defaults, then files, then ``PERSONA_IMG_*`` variables.

Two files are read where they exist: ``persona-img.toml`` of the current folder, and the one inside
the shop's home, which wins: what a shop was opened with stays with it, wherever it is called from.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from persona_img.errors import InvalidInput

ASSETS = Path(__file__).parent / "assets"
FILE = "persona-img.toml"
_NOT_KEPT = {"home", "host", "port", "tokens", "workers"}
"""A shop's file is about the shop, not about where it runs; and secrets are not written down."""


def _feature_repo() -> Path:
    """Definitions inside an installed package, else those of the checkout."""
    packaged = ASSETS / "feature_repo"
    return packaged if packaged.exists() else ASSETS.parents[2] / "feature_repo"


class Settings(BaseSettings):
    """Everything that can be set. Paths may be relative to the current folder.

    Attributes:
        home: Folder that holds all data of one shop; nothing is written outside it.
        styles: The style space.
        checkpoint: Diffusion checkpoint in diffusers format.
        adapter: Folder written by ``fine-tune``, of this checkpoint: the shop's own backdrop.
        feature_repo: Feast definitions.
        features: ``feast``, or ``frame`` to keep features in plain tables.
        tracker: ``mlflow``, or ``folder`` to keep runs and rankers as plain files.
        backdrops: ``diffusion``, which begins with a real tile, or ``diffusion-over-gaussian``;
            without weights: ``library``, real tiles, ``gaussian``, their noise, or ``plain``, an
            even studio sweep; ``pretrained`` for a pipeline of diffusers.
        backdrop_model: For ``pretrained``: id or folder of a pipeline.
        backdrop_mode: For ``pretrained``: ``inpaint`` around the product or ``image`` to image.
        backdrop_lora: For ``pretrained``: weights for it to wear.
        backdrop_controlnet: For ``pretrained``: an edge ControlNet.
        masker: ``learned``, ``classic``, which needs no weights, or ``transformers``.
        masker_checkpoint: The learned masker, a folder written by ``train-masker``.
        masker_model: For ``transformers``: id or folder of a segmentation model.
        masker_labels: Its classes that are product; none for all but the background.
        masker_confidence: File of ``calibrate-masker``; without it every mask asks for a person.
        trust_remote_code: Whether code that comes with a model may run.
        test: Name of the A/B test; it is the salt of the assignment.
        personalized_share: Share of shoppers in the personalized arm.
        segments: Segments wanted; fewer where one would be too small.
        least_shoppers: Fewest shoppers a segment may have (k of k-anonymity).
        slate: Styles rendered per segment and product, besides the original.
        variants_per_product: Most variants rendered for one product over all segments.
        floor: Least probability of every candidate.
        change_budget: How often a shopper's picture of a product may change.
        steps: Sampling steps of the diffusion model; None for what suits the checkpoint.
        guidance: How strongly the style is followed, 1 is without guidance; None as for ``steps``.
        strength: How far a backdrop may leave its material's tile; 1 paints from noise alone.
        candidates: Painted per variant; the best that passes the gate is kept.
        tries: Candidates per variant, while none passes, before it falls back to a tile.
        format: Shape of every variant: ``1:1``, ``4:5``, ``3:4``, ``16:9`` or ``9:16``; None for
            the framing's own.
        text: Side on which room for text is kept: ``left``, ``right``, ``top`` or ``bottom``.
        relight: Share of the backdrop's light put on the product; 0 keeps it as photographed.
        light_wrap: Share of the backdrop's light that wraps around the product's edge.
        workers: Products rendered at the same time.
        seed: Of everything random.
        host: Address the service listens on.
        port: Port the service listens on.
        tokens: Bearer tokens the service accepts; required off loopback.
    """

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="PERSONA_IMG_", toml_file=FILE, extra="forbid"
    )

    home: Path = Path("shop")
    styles: Path = ASSETS / "styles.toml"
    checkpoint: Path = ASSETS / "checkpoint"
    adapter: Path | None = None
    feature_repo: Path = Field(default_factory=_feature_repo)
    features: Literal["feast", "frame"] = "feast"
    tracker: Literal["mlflow", "folder"] = "mlflow"
    backdrops: Literal[
        "diffusion", "diffusion-over-gaussian", "library", "gaussian", "plain", "pretrained"
    ] = "diffusion"
    backdrop_model: str | None = None
    backdrop_mode: Literal["inpaint", "image"] = "inpaint"
    backdrop_lora: str | None = None
    backdrop_controlnet: str | None = None
    masker: Literal["classic", "learned", "transformers"] = "learned"
    masker_checkpoint: Path = ASSETS / "masker"
    masker_model: str | None = None
    masker_labels: tuple[str, ...] = ()
    masker_confidence: Path | None = None
    trust_remote_code: bool = False
    test: str = Field("hero-image", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    personalized_share: float = Field(0.5, gt=0, lt=1)
    segments: int = Field(6, ge=1, le=100)
    least_shoppers: int = Field(50, ge=2)
    slate: int = Field(4, ge=1, le=50)
    variants_per_product: int = Field(8, ge=1, le=200)
    floor: float = Field(0.02, gt=0, lt=0.5)
    change_budget: int = Field(2, ge=0)
    steps: int | None = Field(None, ge=1, le=200)
    guidance: float | None = Field(None, ge=1, le=20)
    strength: float = Field(0.6, gt=0, le=1)
    candidates: int = Field(1, ge=1, le=20)
    tries: int = Field(3, ge=1, le=20)
    format: Literal["1:1", "4:5", "3:4", "16:9", "9:16"] | None = None
    text: Literal["left", "right", "top", "bottom"] | None = None
    relight: float = Field(0.0, ge=0, le=1)
    light_wrap: float = Field(0.0, ge=0, le=1)
    workers: int = Field(2, ge=1, le=64)
    seed: int = Field(7, ge=0)
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    tokens: tuple[str, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What was passed wins over the environment, the environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def load(cls, **given: object) -> Settings:
        """Settings of this folder, environment and home; ``given`` wins, None is left out.

        Raises:
            InvalidInput: a value breaks a rule; the message names every such value.
        """
        here = cls.fresh(**given)
        own = here.home / FILE
        if not own.exists():
            return here

        class OfHome(cls):  # type: ignore[misc, valid-type]
            model_config = SettingsConfigDict(toml_file=(FILE, own))

        both = _checked(OfHome, given | {"home": here.home})
        return cls.model_construct(_fields_set=both.model_fields_set, **dict(both))

    @classmethod
    def fresh(cls, **given: object) -> Settings:
        """The same without the home's own file: for a shop that is about to begin.

        Raises:
            InvalidInput: a value breaks a rule; the message names every such value.
        """
        return _checked(cls, given)

    def save(self) -> Path:
        """Keep what differs from the defaults in the home's own file, for every later command."""
        kept = self.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_KEPT)
        # TOML's strings, numbers and booleans are written as in JSON.
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in sorted(kept.items())]
        partial = self.home / (FILE + ".part")
        partial.write_text("".join(lines), encoding="utf-8")
        return partial.replace(self.home / FILE)


def _checked(kind: type[Settings], given: dict[str, object]) -> Settings:
    try:
        return kind(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc']))}={e.get('input')!r}: {e['msg']}" for e in error.errors()
        ]
        raise InvalidInput("settings: " + "; ".join(lines)) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{FILE}: not valid TOML ({error}); mend it or remove it") from error
