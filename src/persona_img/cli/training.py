"""Commands that train the backdrop checkpoint and what belongs to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from persona_img.assets import ASSETS
from persona_img.cli.batch import unreadable_told
from persona_img.cli.command import MOST
from persona_img.errors import InvalidInput, NotFound
from persona_img.workspace import writable_file, writable_folder

Device = Annotated[str, typer.Option(help="torch device, e.g. cpu or cuda.")]
Threads = Annotated[
    int, typer.Option(min=0, max=1024, help="CPU threads; 0 leaves torch's choice.")
]
Groups = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="CSV with image, sender_id: whole senders are held out."
    ),
]
Photos = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="Folder of product photos.")
]
Textures = Annotated[
    Path,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Folder of folders of seamless material tiles, one for each material.",
    ),
]
Surfaces = Annotated[
    Path,
    typer.Option(exists=True, dir_okay=False, help="TOML that lists each surface's tiles."),
]
Scenes = Annotated[
    list[Path] | None,
    typer.Option(exists=True, file_okay=False, help="Folder of further pictures; again for more."),
]
Checkpoint = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="The checkpoint it begins with.")
]
Work = Annotated[
    Path, typer.Option(file_okay=False, help="Folder for caches and state; resumed from.")
]
Worked = Annotated[
    Path, typer.Option(file_okay=False, help="The folder its train-generator worked in.")
]
Seed = Annotated[int, typer.Option(min=0, max=MOST, help="Of everything random.")]
Steps = Annotated[int, typer.Option(min=1, max=10_000_000, help="Optimiser steps.")]
Made = Annotated[int, typer.Option(min=1, max=10_000_000, help="Training pictures made.")]
MaxPhotos = Annotated[int, typer.Option(min=1, max=10_000_000, help="Photos cut out at most.")]
WORKED = Path("generator-work")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "train-generator",
        epilog="Example: `persona-img train-generator --photos photos/ --standing cut-outs/ "
        "--work work/ -o checkpoint/`",
    )(train_generator)
    app.command(
        "distill-generator",
        epilog="Example: `persona-img distill-generator --checkpoint checkpoint/ --work work/ "
        "-o student/`",
    )(distill_generator)
    app.command(
        "sharpen-generator",
        epilog="Example: `persona-img sharpen-generator --checkpoint student/ --work work/ "
        "-o sharp/`",
    )(sharpen_generator)
    app.command(
        "label-photos",
        epilog="Example: `persona-img label-photos --photos photos/ --labels labels.csv "
        "--surfaces experiments/generator/surfaces.toml --work work/ -o photo-names.csv`",
    )(label_photos)
    app.command(
        "fine-tune",
        epilog="Example: `persona-img fine-tune --photos shop-photos/ -o adapter/`, then "
        "`persona-img render photo.jpg --adapter adapter/`",
    )(fine_tune)
    app.command(
        "train-judge",
        epilog="Example: `persona-img train-judge --products cut-outs/ "
        "--unseen experiments/render/materials -o judge.npz`",
    )(train_judge)


def distill_generator(
    checkpoint: Checkpoint = ASSETS / "checkpoint",
    work: Worked = WORKED,
    out: Annotated[Path, typer.Option("-o", "--out", file_okay=False, help="The student.")] = Path(
        "student"
    ),
    steps: Annotated[
        int, typer.Option(min=1, max=200, help="Steps the student takes from noise.")
    ] = 4,
    teacher_steps: Annotated[
        int, typer.Option(min=1, max=50, help="Teacher's steps for each of these.")
    ] = 2,
    guidance: Annotated[
        float, typer.Option(min=1, max=20, help="Guidance that is built in.")
    ] = 2.0,
    updates: Steps = 1600,
    device: Device = "cpu",
    threads: Threads = 0,
    seed: Seed = 7,
) -> None:
    """Teach a checkpoint to paint in few unguided steps; stop it, the same command goes on."""
    ready(threads, device, checkpoint)
    from persona_img.generator.learning.distillation import DistillationSettings, distill

    settings = DistillationSettings(
        steps=steps,
        teacher_steps=teacher_steps,
        guidance=guidance,
        updates=updates,
        device=device,
        seed=seed,
    )
    print(distill(checkpoint, work, writable_folder(out), settings))


def sharpen_generator(
    checkpoint: Checkpoint = ASSETS / "checkpoint",
    work: Worked = WORKED,
    out: Annotated[
        Path, typer.Option("-o", "--out", file_okay=False, help="The checkpoint.")
    ] = Path("sharp"),
    steps: Steps = 1000,
    painted: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of crops that the checkpoint paints; of a student only."
        ),
    ] = 0.5,
    weight: Annotated[
        float,
        typer.Option(min=0, max=100, help="Of the adversarial loss, beside reconstruction's pull."),
    ] = 0.2,
    device: Device = "cpu",
    threads: Threads = 0,
    seed: Seed = 7,
) -> None:
    """Teach a checkpoint's decoder to be crisp (adversarial); the same command goes on."""
    ready(threads, device, checkpoint)
    from persona_img.generator.learning.sharpening import SharpeningSettings, sharpen

    settings = SharpeningSettings(
        steps=steps, painted=painted, weight=weight, device=device, seed=seed
    )
    print(sharpen(checkpoint, work, writable_folder(out), settings))


def label_photos(
    photos: Photos,
    labels: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV with image, sender_id, surface, light that somebody saw.",
        ),
    ],
    surfaces: Surfaces,
    work: Worked = WORKED,
    out: Annotated[
        Path, typer.Option("-o", "--out", dir_okay=False, help="The names, a CSV file.")
    ] = Path("photo-names.csv"),
    precision: Annotated[
        float, typer.Option(min=0, max=1, help="Share of given names that shall be right.")
    ] = 0.9,
    seed: Seed = 7,
) -> None:
    """Name the backdrops of training photos as a person named some; says how well."""
    from persona_img import wiring
    from persona_img.generator.learning.photo_labels import LabelSettings
    from persona_img.generator.learning.photo_labels import label_photos as name
    from persona_img.generator.learning.plates import surface_names
    from persona_img.settings import Settings

    writable_file(out, (".csv",))
    settings = LabelSettings(
        photos, labels, surface_names(surfaces), precision=precision, seed=seed
    )
    json.dump(name(settings, wiring.masker(Settings.load()), work, out), sys.stdout, indent=1)
    print()


def fine_tune(
    photos: Photos,
    surface: Annotated[
        str | None,
        typer.Option(help="Surface whose place your backdrop takes; None: the likest."),
    ] = None,
    light: Annotated[
        str | None, typer.Option(help="Light of all your photos; None: it is left unknown.")
    ] = None,
    checkpoint: Checkpoint = ASSETS / "checkpoint",
    work: Work = Path("fine-tune-work"),
    out: Annotated[
        Path, typer.Option("-o", "--out", file_okay=False, help="The adapter, a folder.")
    ] = Path("adapter"),
    rank: Annotated[
        int, typer.Option(min=1, max=512, help="Of the changes: how much can be learned.")
    ] = 8,
    updates: Steps = 400,
    threads: Threads = 0,
    seed: Seed = 7,
) -> None:
    """Learn your shop's own backdrop; stop it when you like, the same command goes on."""
    from persona_img import wiring
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.settings import Settings

    try:
        from persona_img.generator.learning.fine_tuning import FineTuneSettings
        from persona_img.generator.learning.fine_tuning import fine_tune as learn
    except ImportError as error:
        raise InvalidInput(f"fine-tune: {error}; pip install 'persona-img[pretrained]'") from error
    ready(threads, "cpu", checkpoint)
    settings = FineTuneSettings(rank=rank, updates=updates, seed=seed)
    with unreadable_told():
        report = learn(
            photos,
            checkpoint,
            writable_folder(work),
            writable_folder(out),
            settings,
            wiring.masker(Settings.load()),
            StyleJudge().recognised,
            surface=surface,
            light=light,
        )
        json.dump(report, sys.stdout, indent=1)
        print()


def train_judge(
    products: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, help="Folder of cut-out products, with transparency."
        ),
    ],
    materials: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of materials to teach. None: the shipped ones.",
        ),
    ] = None,
    unseen: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of materials to test on. None: the same."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", dir_okay=False, help="The judge, a file.")
    ] = Path("judge.npz"),
    made: Annotated[
        int, typer.Option(min=8, max=10_000_000, help="Sets drawn; each is seen three times.")
    ] = 1500,
    seed: Seed = 7,
) -> None:
    """Teach the judge that says whether a picture shows the style asked for."""
    from persona_img.domain.style import StyleSpace
    from persona_img.generator.learning.judge_training import JudgeSettings
    from persona_img.generator.learning.judge_training import train_judge as train

    writable_file(out, (".npz",))
    styles = StyleSpace.load(ASSETS / "styles.toml")
    settings = JudgeSettings(products, styles, materials, unseen, made, seed)
    json.dump(train(settings, out), sys.stdout, indent=1)
    print()


def train_generator(
    photos: Photos,
    materials: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of materials; None: the shipped ones."
        ),
    ] = None,
    standing: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of cut-outs with alpha, of products that stand; None: everything lies.",
        ),
    ] = None,
    scenes: Scenes = None,
    groups: Groups = None,
    names: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="What photos lie on and are lit by, of label-photos."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Checkpoint to begin with, where --work holds no state.",
        ),
    ] = None,
    work: Work = WORKED,
    out: Annotated[
        Path, typer.Option("-o", "--out", file_okay=False, help="The checkpoint.")
    ] = Path("checkpoint"),
    codec_steps: Steps = 1320,
    denoiser_steps: Steps = 6000,
    max_photos: MaxPhotos = 2400,
    made: Made = 7000,
    accumulate: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Batches to a step of the denoiser, of each process."),
    ] = 1,
    precision: Annotated[
        Literal["no", "bf16", "fp16"],
        typer.Option(help="Of the denoiser's arithmetic; no is float32."),
    ] = "no",
    device: Device = "cpu",
    threads: Threads = 0,
    seed: Seed = 7,
) -> None:
    """Train the backdrop checkpoint; stop it when you like, the same command goes on.

    On several GPUs: `accelerate launch --num_processes N -m persona_img train-generator …`.
    """
    ready(threads, device, start)
    from persona_img.generator.learning.corpus import CorpusSettings
    from persona_img.generator.learning.evaluation import evaluate, index_training
    from persona_img.generator.learning.processes import is_first
    from persona_img.generator.learning.training import train
    from persona_img.generator.learning.training_settings import TrainingSettings
    from persona_img.scenery.materials import palettes

    corpus = CorpusSettings(
        photos=photos,
        palettes=dict(palettes()),
        materials=materials,
        standing=standing,
        scenes=tuple(scenes or ()),
        groups=groups,
        names=names,
        max_photos=max_photos,
        made=made,
        seed=seed,
    )
    training = TrainingSettings(
        codec_steps=codec_steps,
        denoiser_steps=denoiser_steps,
        accumulate=accumulate,
        precision=precision,
        device=device,
        seed=seed,
    )
    writable_folder(work)
    with unreadable_told():
        train(corpus, training, work, writable_folder(out), start)
        if not is_first():
            return
        report = evaluate(out, corpus, index_training(work, out))
        json.dump(report, sys.stdout, indent=1)
        print()


def ready(threads: int, device: str, checkpoint: Path | None = None) -> None:
    """Set torch up for a training, and see that it can begin.

    Raises:
        InvalidInput: torch has no such device here.
        NotFound: the folder holds no checkpoint.
    """
    import torch

    if checkpoint is not None and not (checkpoint / "model_index.json").is_file():
        raise NotFound(f"{checkpoint}: no checkpoint; give a folder of `train-generator`")
    if threads:
        torch.set_num_threads(threads)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"--device {device}: not to be had here ({reason}); try cpu") from error
