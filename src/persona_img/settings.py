"""One frozen Settings: defaults, then files, then ``PERSONA_IMG_*`` variables, then arguments.

Two files are read where they exist: ``persona-img.toml`` of the current folder, and the one inside
the shop's home, which wins: what a shop was opened with stays with it, wherever it is called from.
A group is a table of the file, ``[serve]``, and a part of a variable, ``PERSONA_IMG_SERVE__PORT``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from persona_img.assets import ASSETS
from persona_img.errors import InvalidInput

FILE = "persona-img.toml"
_NOT_KEPT: Any = {
    "home": True,
    "serve": {
        "host",
        "port",
        "workers",
        "tokens",
        "decision_key",
        "earlier_keys",
        "hosts",
        "proxies",
        "log",
        "log_requests",
    },
    "stores": {"events_url"},
    "render": {"workers", "processes"},
    "pretrained": {"memory"},
    "provenance": {"watermark_key", "keys"},
}
"""A shop's file is about the shop, not about where it runs; and secrets are not written down."""

_SECRET = {"tokens", "decision_key", "earlier_keys", "events_url", "watermark_key"}
"""Settings whose values no error repeats."""

_HOST = r"^(\*\.)?[A-Za-z0-9.-]{1,253}$|^\[[0-9A-Fa-f:.]{2,45}\]$"
_ORIGIN = r"^https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$"

UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path whose ``~`` is the user's own folder."""


def _feature_repo() -> Path:
    """Definitions inside an installed package, else those of the checkout."""
    packaged = ASSETS / "feature_repo"
    return packaged if packaged.exists() else ASSETS.parents[2] / "feature_repo"


def _photo_url(value: str) -> str:
    """An address with one place for the product."""
    if not value.startswith(("https://", "http://", "/")) or value.count("{product}") != 1:
        raise ValueError(
            f"photo_url={value!r}: begin with https://, http:// or /, and say {{product}} once, "
            "e.g. https://cdn.shop/{product}.jpg"
        )
    return value


def _cdn_url(value: str) -> str:
    """An address that paths can follow."""
    if not value.startswith(("https://", "http://")) or any(c in value for c in "?#{} "):
        raise ValueError(
            f"cdn_url={value!r}: begin with https:// or http://, no ? or #, e.g. https://cdn.shop"
        )
    return value.rstrip("/")


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Render(_Group):
    """How variants are made.

    Attributes:
        backdrops: Who paints plates, a name of :data:`persona_img.wiring.backdrops.BACKDROPS`.
        checkpoint: Diffusion checkpoint in diffusers format.
        adapter: Folder written by ``fine-tune``, of this checkpoint: the shop's own backdrop.
        steps: Sampling steps of the diffusion model; None for what suits the checkpoint.
        guidance: How strongly the style is followed, 1 is without guidance; None as for ``steps``.
        strength: How far a painter may leave the set it begins with; 1 paints from noise alone.
        materials: Folder of materials, see ``materials add``; None is the shipped one.
        candidates: Painted per variant; the best that passes the gate is kept.
        chooser: File of ``train-chooser``: of the candidates that passed, the one that it expects
            to be clicked most is kept; None keeps the one that shows its style best.
        tries: Candidates per variant, while none passes, before it falls back to the set.
        format: Shape of every variant: ``1:1``, ``4:5``, ``3:4``, ``16:9`` or ``9:16``; None for
            the framing's own.
        text: Side on which room for text is kept: ``left``, ``right``, ``top`` or ``bottom``.
        relight: Share of the backdrop's light put on the product; 0 keeps it as photographed.
        relight_from: Side that this light comes from; None for the style's own.
        light_wrap: Share of the backdrop's light that wraps around the product's edge.
        workers: Products rendered at the same time.
        processes: Processes that ``prepare`` renders in, each with the weights in its memory; with
            1 nothing is started, from some dozens of variants on several are faster.
    """

    backdrops: str = "diffusion"
    checkpoint: UserPath = ASSETS / "checkpoint"
    adapter: UserPath | None = None
    steps: int | None = Field(None, ge=1, le=200)
    guidance: float | None = Field(None, ge=1, le=20)
    strength: float = Field(0.6, gt=0, le=1)
    materials: UserPath | None = None
    candidates: int = Field(1, ge=1, le=20)
    chooser: UserPath | None = None
    tries: int = Field(3, ge=1, le=20)
    format: Literal["1:1", "4:5", "3:4", "16:9", "9:16"] | None = None
    text: Literal["left", "right", "top", "bottom"] | None = None
    relight: float = Field(0.0, ge=0, le=1)
    relight_from: Literal["left", "right", "above", "upper-left", "upper-right"] | None = None
    light_wrap: float = Field(0.0, ge=0, le=1)
    workers: int = Field(2, ge=1, le=64)
    processes: int = Field(1, ge=1, le=64)

    @model_validator(mode="after")
    def _workable(self) -> Render:
        if self.chooser is not None and self.candidates < 2:
            raise ValueError(
                f"chooser={str(self.chooser)!r} with candidates={self.candidates}: there is "
                "nothing to choose from; set [render] candidates to 2 or more, or leave chooser out"
            )
        return self


class Pretrained(_Group):
    """Any model of diffusers, for the backdrops ``pretrained``; None is what suits its family.

    Attributes:
        model: Id or folder of a pipeline.
        mode: ``inpaint`` around the product, or ``image`` to image.
        steps: Sampling steps.
        guidance: How strongly the prompt is followed.
        strength: How far it may leave the picture it begins with.
        side: Side of the square whose area it paints at, pixels.
        band: Share of the short side that is kept around the product while the backdrop is
            painted; then it is painted alone. 0 paints once, up to the outline.
        batch: Styles painted at once; above 1 the last bits of a picture depend on the others.
        product: The product's own words, as in ``ceramic mug``.
        prompt: Free text added to every prompt.
        negative: Free text added to what is not wanted.
        lora: Folder or id of weights for it to wear.
        lora_scale: How much of them.
        controlnet: Folder or id of a ControlNet of its family.
        control_scale: How strongly it steers.
        look: A picture whose look is taken over.
        ip_adapter: Folder or id, subfolder and file of the IP-Adapter that takes it over, and the
            folder of its image encoder where that is not ``image_encoder`` in the subfolder.
        ip_scale: How strongly.
        revision: Commit of the hub's repository.
        accept_licence: You have the right to use a model whose licence is non-commercial.
        memory: ``whole`` on the GPU, by ``model``, ``sequential`` layer by layer, or ``auto``.
        quantise: ``int8`` or ``int4`` (bitsandbytes), or ``torchao-int8``.
        dtype: Name of a torch dtype; None is bfloat16 on a GPU and float32 elsewhere.
    """

    model: str | None = None
    mode: Literal["inpaint", "image"] = "inpaint"
    steps: int | None = Field(None, ge=1, le=200)
    guidance: float | None = Field(None, ge=0, le=50)
    strength: float | None = Field(None, gt=0, le=1)
    side: int | None = Field(None, ge=64, le=4096)
    band: float = Field(0.015, ge=0, le=0.1)
    batch: int = Field(1, ge=1, le=64)
    product: str = ""
    prompt: str = ""
    negative: str = ""
    lora: str | None = None
    lora_scale: float = Field(1.0, ge=0, le=4)
    controlnet: str | None = None
    control_scale: float | None = Field(None, ge=0, le=2)
    look: UserPath | None = None
    ip_adapter: tuple[str, ...] | None = Field(None, min_length=3, max_length=4)
    ip_scale: float = Field(0.6, ge=0, le=2)
    revision: str | None = None
    accept_licence: bool = False
    memory: Literal["auto", "whole", "model", "sequential"] = "auto"
    quantise: Literal["int8", "int4", "torchao-int8"] | None = None
    dtype: str | None = None


class Mask(_Group):
    """How products are cut out.

    Attributes:
        masker: A name of :data:`persona_img.wiring.maskers.MASKERS`.
        checkpoint: The learned masker, a folder written by ``train-masker``.
        model: For ``transformers``: id or folder of a segmentation model; for ``onnx`` its file.
        family: For ``onnx``: ``u2net``, ``isnet`` or ``birefnet``; None tells it from the file.
        labels: Its classes that are product; none for all but the background.
        confidence: File of ``calibrate-masker``; without it every mask asks for a person.
        trust_remote_code: Whether code that comes with a model may run.
    """

    masker: str = "learned"
    checkpoint: UserPath = ASSETS / "masker"
    model: str | None = None
    family: Literal["u2net", "isnet", "birefnet"] | None = None
    labels: tuple[str, ...] = ()
    confidence: UserPath | None = None
    trust_remote_code: bool = False


class Learn(_Group):
    """How shoppers are grouped and styles are chosen for them.

    Attributes:
        ranker: Which kind is trained on feedback, of :data:`persona_img.wiring.rankers.RANKERS`.
        policy: What makes chances of a ranking, of :data:`persona_img.wiring.policies.POLICIES`.
        segments: Segments wanted; fewer where one would be too small.
        choose_segments: Whether fewer than ``segments`` are made where they foretold as well what
            was held back of the history, see
            :func:`~persona_img.profiles.choice.choose_count`.
        least_shoppers: Fewest shoppers a segment may have (k of k-anonymity).
        slate: Styles rendered per segment and product, besides the original.
        variants_per_product: Most variants rendered for one product over all segments.
        floor: Least probability of every candidate; Thompson's floors take a tenth of a slate at
            most, and fall to a quarter where its variants are all but sure to lose to the photo.
        assurance: Chance with which a style has to beat the photo to get more than the floor, for
            the policy ``thompson`` and rankers that know how sure they are.
        half_life: Days after which an impression counts half for the ranker ``bayes``; None for
            what would have predicted the last weeks best.
        reward: What is learned for, ``click`` or ``conversion``.
        maturity_minutes: An impression without a reward counts as one when it is so old: give
            longer than purchases take where these are the reward.
        personal: Whether chances are turned to single shoppers by what the feature store knows of
            them, where that is found to tell later clicks.
    """

    ranker: str = "boosted"
    policy: str = "thompson"
    segments: int = Field(6, ge=1, le=100)
    choose_segments: bool = False
    least_shoppers: int = Field(50, ge=2)
    slate: int = Field(4, ge=1, le=50)
    variants_per_product: int = Field(8, ge=1, le=200)
    floor: float = Field(0.02, gt=0, lt=0.5)
    assurance: float = Field(0.5, ge=0.5, lt=1)
    half_life: float | None = Field(None, gt=0)
    reward: Literal["click", "conversion"] = "click"
    maturity_minutes: float = Field(60.0, ge=0)
    personal: bool = True

    @model_validator(mode="after")
    def _workable(self) -> Learn:
        if (self.slate + 1) * self.floor >= 1.0:
            raise ValueError(
                f"slate={self.slate} with floor={self.floor}: {self.slate + 1} candidates of at "
                f"least {self.floor} each leave nothing to choose; give a floor below "
                f"{1 / (self.slate + 1):.3g}, or a smaller slate"
            )
        if self.slate > self.variants_per_product:
            raise ValueError(
                f"slate={self.slate}, variants_per_product={self.variants_per_product}: a product "
                "needs at least as many variants as a slate shows"
            )
        return self


class Test(_Group):
    """The A/B test.

    Attributes:
        name: Of the test; it is the salt of the assignment.
        personalized_share: Share of shoppers in the personalized arm.
        holdout_share: Share of all shoppers who see photos over all tests and are in none of them,
            0 to 1; 0 holds out nobody. It is fixed while the holdout has its name.
        holdout_name: Of the holdout; it says who is in it. Another name draws them anew.
        change_budget: By how many other plans a shopper may be drawn for, of one product.
        keep_days: Beyond that it still changes with a new table when it was drawn so many days ago.
        attribution_days: For how long after an impression a click or conversion counts for it.
        planned_shoppers: Exposed shoppers at which the test is to be read, of
            ``persona-img test plan``; None where nobody planned.
        always_valid: Take verdicts from the interval that holds however often one looks; otherwise
            from one look, when the planned shoppers had come.
        ramp_impressions: Of a challenger's shoppers and of the champion's, each, at which the last
            stage of a ramp is read.
    """

    __test__ = False  # for pytest, which collects what is called Test

    name: str = Field("hero-image", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    personalized_share: float = Field(0.5, gt=0, lt=1)
    holdout_share: float = Field(0.0, ge=0, lt=1)
    holdout_name: str = Field("holdout", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    change_budget: int = Field(2, ge=0)
    keep_days: float = Field(14.0, ge=0)
    attribution_days: float = Field(7.0, gt=0, le=366)
    planned_shoppers: int | None = Field(None, ge=1)
    always_valid: bool = True
    ramp_impressions: int = Field(30_000, ge=100)

    @model_validator(mode="after")
    def _two_names(self) -> Test:
        if self.holdout_share and self.holdout_name == self.name:
            raise ValueError(
                f"name={self.name!r} is the holdout's too, so its shoppers would be one arm's; "
                "give one of them another name"
            )
        return self


class Serve(_Group):
    """Where the service listens.

    Attributes:
        host: Address.
        port: TCP port; 0 takes a free one.
        workers: Processes that serve, 1 to 256.
        tokens: Bearer tokens that may do everything; off loopback they, or keys of
            ``persona-img keys add``, are required.
        hosts: Names by which it may be called, ``*.shop.example`` for all below; none for
            ``localhost``, ``127.0.0.1`` and ``[::1]`` on loopback, and for any elsewhere.
        origins: Of pages elsewhere that may ask, e.g. ``https://shop.example`` (CORS).
        proxies: Addresses, or networks such as ``10.0.0.0/8``, that are believed when they say for
            whom they ask (X-Forwarded-For); they have no limit of connections.
        address_rate: Requests a second of one address that presents no key of a server's, ten
            seconds of them at once; 0 for no limit. This machine has none.
        key_rate: Requests a second by one key, in the same way.
        connections: At once; the one that keeps waiting longest makes room.
        request_seconds: For a request to come in.
        log: ``text`` or ``json``, a line for each thing that happened.
        log_requests: Whether each request is a line of it; shoppers are not named there.
        decision_key: Secret by which answers are signed, at least 32 characters, drawn at random;
            None for the one in the shop's folder, which is made when it is first needed. Services
            with homes of their own that share a log need the same.
        earlier_keys: Secrets that signed before it: what they signed is still taken.
        token_days: For how long events of an answer are taken, up to 366.
        decision_ms: How long a decision may take, 10 to 10,000; later the photo is shown, and not
            counted.
        photo_url: Address of the photo of a product that the catalogue does not know, with
            ``{product}`` for its identifier, e.g. ``https://cdn.shop/{product}.jpg``; None where
            that is an error.
        profile_ms: How long a decision waits for what the feature store knows of the shopper;
            later it is the segment's.
        profile_seconds: For how long it takes what the store said for true.
        widths: Pixels in which pictures are prepared for pages, besides their own width; never
            larger than they are.
        cdn_url: Put before the pictures' paths in every answer, e.g. ``https://cdn.shop``: where
            something before this service keeps what it answered. None for paths alone.
    """

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    workers: int = Field(1, ge=1, le=256)
    tokens: tuple[str, ...] = ()
    hosts: tuple[Annotated[str, Field(pattern=_HOST)], ...] = ()
    origins: tuple[Annotated[str, Field(pattern=_ORIGIN)], ...] = ()
    proxies: tuple[str, ...] = ("127.0.0.1",)
    address_rate: float = Field(100.0, ge=0, le=1_000_000)
    key_rate: float = Field(2000.0, ge=0, le=1_000_000)
    connections: int = Field(4000, ge=10, le=60_000)
    request_seconds: float = Field(10.0, ge=0.1, le=600)
    log: Literal["text", "json"] = "text"
    log_requests: bool = False
    decision_key: SecretStr | None = Field(None, min_length=32, max_length=1024)
    earlier_keys: tuple[Annotated[SecretStr, Field(min_length=32, max_length=1024)], ...] = ()
    token_days: float = Field(30.0, gt=0, le=366)
    decision_ms: float = Field(250.0, ge=10, le=10_000)
    photo_url: Annotated[str, AfterValidator(_photo_url)] | None = Field(None, max_length=2000)
    profile_ms: float = Field(20.0, gt=0, le=10_000)
    profile_seconds: float = Field(60.0, ge=0)
    widths: tuple[Annotated[int, Field(ge=16, le=8192)], ...] = Field(
        (320, 640, 960, 1280), max_length=12
    )
    cdn_url: Annotated[str, AfterValidator(_cdn_url)] | None = Field(None, max_length=500)


class Stores(_Group):
    """Where data lives.

    Attributes:
        features: ``feast``, or ``frame`` to keep features in plain tables.
        feature_repo: Feast definitions.
        feature_store: File in ``feature_repo`` that says where Feast's registry and online store
            lie: ``feature_store.yaml`` in the shop's folder, ``feature_store.production.yaml`` in
            a database and in Valkey or Redis, for several machines.
        tracker: ``mlflow``, or ``folder`` to keep runs and rankers as plain files.
        events_url: Database of the log, as in ``postgresql://shop:secret@db.internal/persona``;
            None for a file in the shop's folder. Secret: better told by the environment.
    """

    features: str = "feast"
    feature_repo: UserPath = Field(default_factory=_feature_repo)
    feature_store: str = Field("feature_store.yaml", pattern=r"^[A-Za-z0-9_.-]{1,80}\.yaml$")
    tracker: str = "mlflow"
    events_url: SecretStr | None = Field(None, min_length=1, max_length=1024)


class Keep(_Group):
    """What is kept of what came back, and for how long.

    Attributes:
        raw_days: Days after which an event leaves the log once it is archived; 0 keeps all of them
            there. Feedback stays whole either way: it is read from archive and log. More than
            ``[serve] token_days``, for so long events of an answer may come.
    """

    raw_days: float = Field(90.0, ge=0, le=36_600)


class Provenance(_Group):
    """What says, in a picture itself, where it comes from.

    Attributes:
        watermark_key: Secret by which backdrops are marked and marks are found again, 16 to 1,024
            characters, drawn at random; None marks nothing. Give it by
            ``PERSONA_IMG_PROVENANCE__WATERMARK_KEY``; it is not kept with the shop. Another key is
            another renderer: variants are rendered anew.
        keys: Folder of ``provenance keys init``, outside the shop's: what pages load is signed by
            it; None signs nothing. About this machine, so not kept with the shop.
        credit: Whom to name with every picture, for its XMP; empty for nobody.
        rights: Whose pictures are and what may be done with them, for their XMP.
        training: Whether models may learn from them: ``allowed`` or ``not-allowed``.
    """

    watermark_key: SecretStr | None = Field(None, min_length=16, max_length=1024)
    keys: UserPath | None = None
    credit: str = Field("", max_length=200)
    rights: str = Field("", max_length=500)
    training: Literal["allowed", "not-allowed"] = "not-allowed"


class Settings(_Group):
    """Everything that can be set. Paths may be relative to the current folder.

    Made directly it reads nothing; :meth:`load` reads files and environment.

    Attributes:
        home: Folder that holds all data of one shop; nothing is written outside it.
        styles: The style space.
        seed: Of everything random.
        render: How variants are made.
        pretrained: Which model of diffusers paints, where one does.
        mask: How products are cut out.
        learn: How shoppers are grouped and styles are chosen.
        test: The A/B test.
        serve: Where the service listens.
        keep: For how long what came back lies in the log.
        stores: Where data lives.
        provenance: What pictures carry of where they come from.
    """

    home: UserPath = Path("shop")
    styles: UserPath = ASSETS / "styles.toml"
    seed: int = Field(7, ge=0, lt=2**32)
    render: Render = Render()
    pretrained: Pretrained = Pretrained()
    mask: Mask = Mask()
    learn: Learn = Learn()
    test: Test = Test()
    serve: Serve = Serve()
    keep: Keep = Keep()
    stores: Stores = Stores()
    provenance: Provenance = Provenance()

    @model_validator(mode="after")
    def _kept_long_enough(self) -> Settings:
        raw, token = self.keep.raw_days, self.serve.token_days
        if 0 < raw <= token:
            raise ValueError(
                f"keep.raw_days={raw:g} with serve.token_days={token:g}: an event that comes again "
                f"is told by the one in the log; keep it over {token:g} days, or 0 for good"
            )
        return self

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """Settings of this folder, environment and home; ``given`` wins, None is left out.

        Example:
            >>> Settings.load(home="demo", serve={"port": 99}).serve.port
            99

        Raises:
            InvalidInput: a value breaks a rule; the message names every such value.
        """
        here = cls.fresh(**given)
        own = here.home / FILE
        return _read({**given, "home": here.home}, [FILE, own]) if own.exists() else here

    @classmethod
    def fresh(cls, *, defaults: Mapping[str, Any] | None = None, **given: Any) -> Settings:
        """The same without the home's own file: for a shop that is about to begin.

        Args:
            defaults: What holds where neither ``given`` nor environment nor file say otherwise.
            **given: Groups as mappings; they win.

        Raises:
            InvalidInput: a value breaks a rule; the message names every such value.
        """
        return _read(given, [FILE], defaults or {})

    def save(self) -> Path:
        """Keep what differs from the defaults in the home's own file, for every later command."""
        kept = self.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_KEPT)
        filled = {name: value for name, value in kept.items() if value not in ({}, None)}
        partial = self.home / (FILE + ".part")
        partial.write_text(tomli_w.dumps(_without_none(filled)), encoding="utf-8")
        return partial.replace(self.home / FILE)


def _read(
    given: Mapping[str, Any],
    files: Sequence[str | Path],
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Settings:
    """``given``, then environment, then the last of the files, then ``defaults``."""

    class Read(BaseSettings, Settings):
        model_config = SettingsConfigDict(
            frozen=True, extra="forbid", env_prefix="PERSONA_IMG_", env_nested_delimiter="__"
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            files_read = TomlConfigSettingsSource(settings_cls, list(files), deep_merge=True)
            preset = InitSettingsSource(settings_cls, dict(defaults))
            return init_settings, env_settings, files_read, preset

    try:
        read = Read(**_without_none(given))
    except ValidationError as error:
        raise InvalidInput("settings: " + "; ".join(map(_told, error.errors()))) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{FILE}: not valid TOML ({error}); mend it or remove it") from error
    return Settings.model_construct(**{name: getattr(read, name) for name in Settings.model_fields})


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """None means "not given", also inside a group."""
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }


def _told(error: Any) -> str:
    """A value, the rule it breaks, and where a setting that is in no such place belongs."""
    where = [str(part) for part in error["loc"]]
    name = where[-1] if where else ""
    if error["type"] == "extra_forbidden":
        groups = [g for g, f in _groups().items() if name in f.model_fields and [g] != where[:-1]]
        hint = f"; it belongs into [{groups[0]}]" if groups else "; there is no such setting"
        # Without the value: it may be a secret whose name is misspelt.
        return f"{'.'.join(where)}{hint}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{'.'.join(where)}={_given(error)}: {error['msg']}"


def _given(error: Any) -> str:
    """The value as it was given, unless that is a secret."""
    return "..." if _SECRET & set(map(str, error["loc"])) else repr(error.get("input"))


def _groups() -> dict[str, type[_Group]]:
    kinds = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {n: k for n, k in kinds.items() if isinstance(k, type) and issubclass(k, _Group)}
