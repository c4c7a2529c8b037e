"""The painter learns on a GPU from sets drawn beside it, none of them twice.

``train.py --pack pack/ -o out/ --seconds 330 --distill-seconds 120``: flow matching, then a student
of one step from a start. What it has is written every minute: ``teacher.N`` and ``student.N``, to
be joined by ``join.py``, ``log.txt``, ``report.json`` and ``look.jpg`` (drawn | painted by the
teacher, and from noise | the same by the student). ``--smoke`` goes through everything on a CPU.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import multiprocessing
import shutil
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from draw import worker
from encode import Encoder, Pool, encoding
from files import write_parts
from look import compared, sheet
from torch import Tensor, nn

from persona_img.generator.denoiser import Denoiser
from persona_img.generator.learning.distillation import DistillationSettings, student_loss
from persona_img.generator.learning.styles import begin_as, style_encoder_of
from persona_img.generator.learning.training import Painter, flow_loss, held_loss
from persona_img.generator.style_encoder import StyleEncoder
from persona_img.scenery.materials import materials_of, palettes

BEGUN = time.monotonic()


def follow(slow: list[Tensor], fast: list[Tensor], decay: float) -> None:
    """Averaged weights take a step."""
    with torch.no_grad():
        torch._foreach_lerp_(slow, fast, 1 - decay)


class Log:
    """What is printed, also into a file."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a")

    def __call__(self, *words: object) -> None:
        """Say it, with the seconds since the start."""
        line = " ".join(str(w) for w in (f"[{time.monotonic() - BEGUN:6.1f}]", *words))
        print(line, flush=True)
        print(line, file=self.file, flush=True)


class Source:
    """The processes that draw and encode, and the pool that they fill."""

    def __init__(self, given: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self.stop = context.Event()
        self.drawn, self.done = context.Queue(64), context.Queue()
        memory = Path("/dev/shm")
        roomy = memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30
        self.shelf = Path(tempfile.mkdtemp(dir=memory if roomy else None))
        self.workers = [
            context.Process(
                target=worker,
                args=(given.pack, n, given.seed, given.double, self.drawn, self.stop),
                daemon=True,
            )
            for n in range(given.workers)
        ]
        most = given.photos
        one = (given.pack, self.shelf, given.device, most, self.drawn, self.done, self.stop)
        self.encoder = context.Process(target=encoding, args=one, daemon=True)
        self.pool = Pool(given.device, given.room)
        for process in (self.encoder, *self.workers):
            process.start()

    def gather(self, most: int = 8) -> None:
        """Take in what was encoded since."""
        for _ in range(most):
            if self.done.empty():
                return
            kind, size, path = self.done.get()
            self.pool.add(kind, tuple(size), torch.load(path, weights_only=True))
            Path(path).unlink()

    def wait(self, plates: int, log: Log) -> None:
        """Until there are so many, some of them held out."""
        told = time.monotonic()
        while self.pool.total("made") < plates or not self.pool.sizes("held"):
            self.gather()
            time.sleep(0.05)
            if time.monotonic() - told > 5:
                told = time.monotonic()
                log("drawn", self.pool.total("made"), "held", self.pool.total("held"))
            if not self.encoder.is_alive() or not any(w.is_alive() for w in self.workers):
                raise SystemExit("drawing or encoding failed; see above")

    def close(self) -> None:
        """End the processes, and what they wrote into memory."""
        self.stop.set()
        for process in (*self.workers, self.encoder):
            process.join(timeout=3)
            if process.is_alive():
                process.terminate()
        shutil.rmtree(self.shelf, ignore_errors=True)


class Training:
    """Everything a step needs."""

    def __init__(self, given: argparse.Namespace, log: Log) -> None:
        self.given, self.log, self.device = given, log, torch.device(given.device)
        torch.manual_seed(given.seed)
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.source = Source(given)
        denoiser = Denoiser.from_pretrained(given.pack / "checkpoint" / "denoiser")
        old = StyleEncoder.from_pretrained(given.pack / "checkpoint", subfolder="style_encoder")
        style = style_encoder_of(materials_of(None), palettes(), old.config.width)
        begin_as(old, style)
        self.net = Painter(denoiser, style).to(self.device)
        self.net.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.student: nn.Module | None = None
        self.encoder = Encoder(given.pack / "checkpoint", given.device)
        self.report: dict[str, Any] = {"given": {k: str(v) for k, v in vars(given).items()}}
        self.saved = time.monotonic()

    def autocast(self) -> AbstractContextManager[Any]:
        """Half precision on a GPU."""
        if self.device.type == "cpu":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def batch(self, count: int, *, photos: float, drop: bool) -> dict[str, Tensor]:
        """Plates of one size; of doubled ones a quarter as many."""
        pool = self.source.pool
        sizes = pool.sizes("made")
        large = [s for s in sizes if max(s) > 288]
        chosen = (
            large
            if large and torch.rand(()) < self.given.large
            else [s for s in sizes if s not in large] or large
        )
        many = torch.tensor([float(pool.size_of("made", s)) for s in chosen])
        size = chosen[int(torch.multinomial(many, 1))]
        count = max(1, count // 4) if size in large else count
        own = round(photos * count) if size in pool.sizes("photo") else 0

        def drawn(kind: str, n: int) -> dict[str, Tensor]:
            most = pool.size_of(kind, size)
            return pool.rows(kind, size, torch.randint(most, (n,), device=self.device))

        found = drawn("made", count - own)
        if own:
            real = drawn("photo", own)
            found = {name: torch.cat([value, real[name]]) for name, value in found.items()}
        if drop:
            everything = torch.rand(count, device=self.device) < self.given.drop_style
            nulls = (("surface", 0), ("light", 0), ("colour", math.nan), ("scene", 0))
            for name, null in nulls:
                lost = torch.rand(count, device=self.device) < self.given.drop_attribute
                found[name][everything | lost] = null
        return found

    def learn(self) -> None:
        """Flow matching for so many seconds."""
        given, log = self.given, self.log
        self.source.wait(given.first, log)
        weights = list(self.net.parameters())
        fused = self.device.type == "cuda"
        optimiser = torch.optim.AdamW(
            weights, given.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=fused
        )
        theirs = list(self.averaged.parameters())
        log("training begins with", self.source.pool.total("made"), "plates,",
            self.source.pool.total("photo"), "photos")  # fmt: skip
        self.net.train()
        begun = told = time.monotonic()
        step, seen, since, losses = 0, 0, 0, []
        while (gone := (time.monotonic() - begun) / given.seconds) < 1 and step < given.max_steps:
            self.source.gather()
            rate = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * gone))
            for group in optimiser.param_groups:
                group["lr"] = given.rate * rate * min(1.0, (step + 1) / given.warmup)
            batch = self.batch(given.batch, photos=given.photo_share, drop=True)
            with self.autocast():
                loss = flow_loss(self.net.denoiser, self.net.style, batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0, foreach=True)
            optimiser.step()
            decay = min(given.ema, (1 + step) / (10 + step))
            follow(theirs, weights, decay)
            step, seen, since = step + 1, seen + len(batch["target"]), since + len(batch["target"])
            losses.append(loss.detach())
            now = time.monotonic()
            if now - told > given.say_every:
                mean = torch.stack(losses).mean().item()
                if not math.isfinite(mean):
                    raise SystemExit("the loss is not finite")
                log(
                    f"step {step} {100 * gone:.0f}% loss {mean:.4f} held {self.held():.4f}",
                    f"{since / (now - told):.0f} samples/s; drawn {self.source.pool.total('made')}",
                )
                told, since, losses = time.monotonic(), 0, []
            if now - self.saved > given.save_every:
                self.save("teacher", self.averaged)
        self.report["teacher"] = {
            "steps": step, "samples": seen, "held": self.held(),
            "drawn": self.source.pool.total("made"), "photos": self.source.pool.total("photo"),
        }  # fmt: skip
        self.save("teacher", self.averaged)

    def held(self) -> float:
        """Loss on what is held out."""
        few = {
            name: {key: value[: self.given.look] for key, value in some.items()}
            for name, some in self.source.pool.held().items()
        }
        with self.autocast():
            return held_loss(self.averaged, few, self.device)

    def distil(self) -> None:
        """The student, for so many seconds."""
        given, log = self.given, self.log
        settings = DistillationSettings(guidance=given.guidance, teacher_steps=given.teacher_steps)
        teacher, style = self.averaged.denoiser, self.averaged.style
        net = copy.deepcopy(self.averaged)
        learner = net.denoiser.train().requires_grad_(True)
        weights = list(learner.parameters())
        mean = copy.deepcopy(self.averaged)
        theirs = list(mean.denoiser.parameters())
        fused = self.device.type == "cuda"
        optimiser = torch.optim.AdamW(
            weights, given.student_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=fused
        )
        begun = told = time.monotonic()
        step, seen, losses = 0, 0, []
        span = given.distill_seconds
        while (gone := (time.monotonic() - begun) / span) < 1 and step < given.max_steps:
            for group in optimiser.param_groups:
                group["lr"] = given.student_rate * min(
                    1.0, (step + 1) / 30, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * gone))
                )
            batch = self.batch(given.student_batch, photos=0.05, drop=False)
            with self.autocast():
                loss = student_loss(learner, teacher, style, batch, settings)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0, foreach=True)
            optimiser.step()
            decay = min(given.student_ema, (1 + step) / (10 + step))
            follow(theirs, weights, decay)
            step, seen = step + 1, seen + len(batch["target"])
            losses.append(loss.detach())
            now = time.monotonic()
            if now - told > given.say_every:
                log(f"student {step} {100 * gone:.0f}% loss {torch.stack(losses).mean():.4f}",
                    f"{seen / (now - begun):.0f} samples/s")  # fmt: skip
                told, losses = now, []
            if now - self.saved > given.save_every:
                self.save("student", mean)
        self.student = mean
        self.report["student"] = {"steps": step, "samples": seen}
        self.save("student", mean)

    def save(self, name: str, net: nn.Module) -> None:
        """Its weights in pieces, and the report."""
        write_parts(self.given.out, name, net)
        (self.given.out / "report.json").write_text(json.dumps(self.report, indent=1) + "\n")
        self.saved = time.monotonic()

    def show(self) -> None:
        """Figures on what is held out, and a sheet to look at."""
        nets = {"teacher": self.averaged} | ({"student": self.student} if self.student else {})
        with self.autocast():
            figures, rows = compared(
                nets, self.source.pool.held(), self.encoder.codec, self.given.guidance,
                self.given.look,
            )  # fmt: skip
        self.report["held_out"] = figures
        self.log(json.dumps(figures))
        sheet(rows).save(self.given.out / "look.jpg", quality=90)


def main() -> None:
    """Train, distil, and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=Path("pack"), help="of pack.py")
    parser.add_argument("-o", "--out", type=Path, default=Path("out"))
    parser.add_argument("--seconds", type=float, default=330, help="of flow matching")
    parser.add_argument("--distill-seconds", type=float, default=120)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=15, help="processes that draw")
    parser.add_argument("--first", type=int, default=4000, help="plates before training begins")
    parser.add_argument("--room", type=int, default=240_000, help="plates kept on the device")
    parser.add_argument("--photos", type=int, default=10**6, help="most merchants' photos")
    parser.add_argument("--double", type=float, default=0.2, help="share of runs at doubled size")
    parser.add_argument("--large", type=float, default=0.25, help="share of steps at doubled size")
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--warmup", type=int, default=150)
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--drop-style", type=float, default=0.1)
    parser.add_argument("--drop-attribute", type=float, default=0.05)
    parser.add_argument("--photo-share", type=float, default=0.12)
    parser.add_argument("--guidance", type=float, default=1.5, help="that the student has built in")
    parser.add_argument("--teacher-steps", type=int, default=2)
    parser.add_argument("--student-batch", type=int, default=192)
    parser.add_argument("--student-rate", type=float, default=2e-4)
    parser.add_argument("--student-ema", type=float, default=0.99)
    parser.add_argument("--look", type=int, default=48, help="held-out plates of a size, at most")
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--save-every", type=float, default=60)
    parser.add_argument("--say-every", type=float, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="tiny, on a CPU")
    given = parser.parse_args()
    if given.smoke:
        small = {
            "device": "cpu", "workers": 1, "first": 24, "room": 240, "photos": 12, "batch": 4,
            "student_batch": 2, "max_steps": 2, "say_every": 5.0, "double": 0.3, "look": 1,
        }  # fmt: skip
        vars(given).update(small)
    given.out.mkdir(parents=True, exist_ok=True)
    log = Log(given.out / "log.txt")
    training = Training(given, log)
    try:
        training.learn()
        training.distil()
        training.show()
        training.save("student", training.student or training.averaged)
        if given.device == "cuda":
            log("memory", torch.cuda.max_memory_allocated() // 2**20, "MiB")
        log("done")
    finally:
        training.source.close()
