"""Options of ``render`` for any model of diffusers, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from persona_img.settings import Settings

PANEL = "With --backdrops pretrained"
_OPTIONS = {"model": "backdrop-model", "product": "words", "batch": "model-batch"}
"""Settings whose options have another name."""

Model = Annotated[
    str | None,
    typer.Option(
        "--backdrop-model", help="A diffusers pipeline's id or folder.", rich_help_panel=PANEL
    ),
]
Words = Annotated[
    str | None,
    typer.Option(help="The product's own words: 'ceramic mug'.", rich_help_panel=PANEL),
]
Prompt = Annotated[
    str | None, typer.Option(help="Free text added to the style's.", rich_help_panel=PANEL)
]
Negative = Annotated[
    str | None, typer.Option(help="Free text added to what is not wanted.", rich_help_panel=PANEL)
]
Look = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="A picture whose look is taken over: by --ip-adapter, or by the model itself "
        "(Kontext, FLUX.2 klein, Qwen-Image-Edit-2509).",
        rich_help_panel=PANEL,
    ),
]
IpAdapter = Annotated[
    str | None,
    typer.Option(
        help="ID-OR-FOLDER,SUBFOLDER,FILE[,ENCODER] of its weights.", rich_help_panel=PANEL
    ),
]
IpScale = Annotated[
    float | None,
    typer.Option(min=0, max=2, help="How strongly the look is taken over.", rich_help_panel=PANEL),
]
Lora = Annotated[
    str | None,
    typer.Option(help="Weights for the model to wear, id or folder.", rich_help_panel=PANEL),
]
LoraScale = Annotated[
    float | None, typer.Option(min=0, max=4, help="How much of them.", rich_help_panel=PANEL)
]
ControlNet = Annotated[
    str | None,
    typer.Option(
        "--controlnet", help="A ControlNet of its family, id or folder.", rich_help_panel=PANEL
    ),
]
ControlScale = Annotated[
    float | None, typer.Option(min=0, max=2, help="How strongly it steers.", rich_help_panel=PANEL)
]
Steps = Annotated[
    int | None, typer.Option(min=1, max=200, help="Sampling steps.", rich_help_panel=PANEL)
]
Guidance = Annotated[
    float | None,
    typer.Option(min=0, max=50, help="How strongly the prompt is followed.", rich_help_panel=PANEL),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--model-batch", min=1, max=64, help="Styles painted at once.", rich_help_panel=PANEL
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(help="auto, whole, model or sequential offload.", rich_help_panel=PANEL),
]
Quantise = Annotated[
    str | None, typer.Option(help="int8, int4 or torchao-int8.", rich_help_panel=PANEL)
]
Revision = Annotated[
    str | None, typer.Option(help="Commit of the model on its hub.", rich_help_panel=PANEL)
]
AcceptLicence = Annotated[
    bool,
    typer.Option(
        "--accept-licence",
        help="You have the right to use a model under a non-commercial licence.",
        rich_help_panel=PANEL,
    ),
]


def model_settings(*, ip_adapter: str | None, accept_licence: bool, **given: Any) -> dict[str, Any]:
    """The group ``pretrained`` of what was given; what was not is None.

    Raises:
        InvalidInput: an IP-Adapter that is written otherwise.
    """
    found = dict(given)
    if ip_adapter is not None:
        parts = tuple(part.strip() for part in ip_adapter.split(","))
        if len(parts) not in (3, 4) or not all(parts):
            raise InvalidInput(
                f"ip-adapter {ip_adapter}: write ID-OR-FOLDER,SUBFOLDER,FILE[,ENCODER], for "
                "example h94/IP-Adapter,sdxl_models,ip-adapter_sdxl.safetensors"
            )
        found["ip_adapter"] = parts
    found["accept_licence"] = accept_licence or None
    return found


def check_used(settings: Settings, given: dict[str, Any]) -> None:
    """Refuse what only a pretrained model hears where none paints.

    Raises:
        InvalidInput: see above.
    """
    names = [
        "--" + _OPTIONS.get(name, name).replace("_", "-")
        for name, value in given.items()
        if value is not None
    ]
    if names and not settings.render.backdrops.startswith("pretrained"):
        raise InvalidInput(
            f"{', '.join(names)}: only a pretrained model hears that, and "
            f"{settings.render.backdrops} paints; add --backdrops pretrained"
        )
