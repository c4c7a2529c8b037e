"""Commands that teach a masker, and how far it is to be trusted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from persona_img.cli.batch import unreadable_told
from persona_img.cli.training import (
    Device,
    Groups,
    Made,
    MaxPhotos,
    Photos,
    Scenes,
    Seed,
    Steps,
    Textures,
    Threads,
    Work,
    ready,
)
from persona_img.errors import InvalidInput
from persona_img.workspace import writable_file, writable_folder


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "train-masker",
        epilog="Example: `persona-img train-masker --photos photos/ --textures textures/ "
        "--cutouts cutouts/ --work masker-work/ -o masker/`",
    )(train_masker)
    app.command(
        "calibrate-masker",
        epilog="Example: `persona-img calibrate-masker --model ZhengPeng7/BiRefNet "
        "--trust-remote-code --photos photos/ --verified verified.csv`",
    )(calibrate_masker)


def train_masker(
    photos: Photos,
    textures: Textures,
    groups: Groups = None,
    cutouts: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of products with true alpha, PNG."),
    ] = None,
    families: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with image, sender_id of cut-outs: families held out.",
        ),
    ] = None,
    scenes: Scenes = None,
    leave_out: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="File of photos' stems, a line each, not to be touched.",
        ),
    ] = None,
    composites: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Composites with exact masks, for the report."
        ),
    ] = None,
    verified: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with image, right of photos whose masks were looked at.",
        ),
    ] = None,
    work: Work = Path("masker-work"),
    out: Annotated[Path, typer.Option("-o", "--out", file_okay=False, help="The masker.")] = Path(
        "masker"
    ),
    small_steps: Steps = 4000,
    full_steps: Steps = 1500,
    max_photos: MaxPhotos = 1600,
    made: Made = 6000,
    device: Device = "cpu",
    threads: Threads = 0,
    seed: Seed = 7,
) -> None:
    """Train the learned masker; stop it when you like, the same command goes on."""
    ready(threads, device)
    from persona_img.masking.learning.corpus import MaskCorpusSettings
    from persona_img.masking.learning.evaluation import evaluate
    from persona_img.masking.learning.training import MaskTrainingSettings
    from persona_img.masking.learning.training import train_masker as train

    try:
        # A line each, for a name may hold a space.
        lines = leave_out.read_text(encoding="utf-8-sig").splitlines() if leave_out else []
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"{leave_out}: cannot be read ({error}); give a text file") from error
    left_out = [line.strip() for line in lines if line.strip()]
    corpus = MaskCorpusSettings(
        photos=photos,
        textures=textures,
        groups=groups,
        cutouts=cutouts,
        cutout_groups=families,
        scenes=tuple(scenes or ()),
        leave_out=frozenset(left_out),
        max_photos=max_photos,
        made=made,
        seed=seed,
    )
    training = MaskTrainingSettings(
        small_steps=small_steps, full_steps=full_steps, device=device, seed=seed
    )
    writable_folder(work)
    with unreadable_told():
        train(corpus, training, work, writable_folder(out))
        json.dump(evaluate(out, corpus, work, composites, verified), sys.stdout, indent=1)
        print()


def calibrate_masker(
    model: Annotated[
        str, typer.Option(help="Id or folder of a segmentation model, or an .onnx file.")
    ],
    photos: Photos,
    verified: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with image, right of photos whose masks were looked at.",
        ),
    ],
    label: Annotated[
        list[str] | None, typer.Option(help="A class that is product; again for more.")
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option(help="Whether code that comes with the model may run.")
    ] = False,
    out: Annotated[
        Path, typer.Option("-o", "--out", dir_okay=False, help="The confidence, a JSON file.")
    ] = Path("masker-confidence.json"),
) -> None:
    """Learn what the confidence of somebody else's model is worth, for mask.confidence."""
    from persona_img import wiring
    from persona_img.imaging.photo import write_whole
    from persona_img.masking.learning.evaluation import calibration_of, verified_photos
    from persona_img.settings import Settings

    writable_file(out, (".json",))
    in_file = model.lower().endswith(".onnx")
    settings = Settings.load(
        mask={
            "masker": "onnx" if in_file else "transformers",
            "model": model,
            "labels": tuple(label or ()),
            "trust_remote_code": trust_remote_code,
        }
    )
    masker = wiring.onnx_masker(settings) if in_file else wiring.transformers_masker(settings)
    with unreadable_told():
        confidence, report = calibration_of(masker, [], verified_photos(verified, photos))
        write_whole(out, (json.dumps(confidence, indent=1) + "\n").encode())
        json.dump(report, sys.stdout, indent=1)
        print()
