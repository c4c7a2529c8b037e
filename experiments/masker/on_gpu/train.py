"""A masker goes on learning on a GPU, at a larger size: scenes are made there, none twice.

``train.py --pack pack/ --init masker/ --old old/ --seconds 450 -o out/`` begins with the masker
``--init``, whose votes label the real photos first (a pixel is known where it is sure, mirrored
too, and where ``--old`` agrees); half-way the network labels them anew by itself. Photos whose
masks were put right by eye are known to their edges, and their products and floors are used like
others. ``--smoke`` tells what the parts of a step cost. A state is kept in ``out/``: the same
command goes on from it.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from bank import Bank
from batches import Batches
from camera import Camera
from labels import (
    SHAPES,
    SIDE,
    SMALL,
    autocast,
    label_from,
    load_photos,
    load_taught,
    real_batch,
    votes,
)
from pixels import border_prior
from scenes import Scenes
from torch import Tensor, nn
from torch.nn import functional as F

from persona_img.masking.network import MaskNet
from persona_img.training_state import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARES = (0.64, 0.18, 0.18)
SECOND = 0.5  # of the time, after which the network labels the photos anew
BEGUN = time.monotonic()


def say(*words: object) -> None:
    """Print, with the seconds since the start."""
    print(f"[{time.monotonic() - BEGUN:6.1f}]", *words, flush=True)


def mask_loss(
    logits: Tensor, target: Tensor, weight: Tensor, edge_weight: float
) -> tuple[Tensor, Tensor]:
    """Cross entropy, heavier near the edge, plus one minus the soft IoU; each of each picture."""

    def most(v: Tensor) -> Tensor:
        return F.max_pool2d(F.max_pool2d(v, (1, 11), 1, (0, 5)), (11, 1), 1, (5, 0))

    heavy = weight * (1 + edge_weight * (most(target) + most(-target)))
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * heavy
    entropy = entropy.sum((1, 2, 3)) / heavy.sum((1, 2, 3)).clamp_min(1)
    found, wanted = torch.sigmoid(logits) * weight, target * weight
    both = (found * wanted).sum((1, 2, 3))
    iou = 1 - (both + 1) / ((found + wanted).sum((1, 2, 3)) - both + 1)
    return (entropy + iou).mean(), torch.stack([entropy, iou]).detach()


class Trainer:
    """Everything a step needs."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.device = given, given.device
        torch.manual_seed(given.seed)
        self.rng = random.Random(given.seed)
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        cv2.setNumThreads(1)
        self.pool = ThreadPoolExecutor(given.threads)
        self.photos = load_photos(given.pack, self.device, self.pool)
        say("photos", {shape: len(p.kinds) for shape, p in self.photos.items()})
        self.taught = load_taught(given.pack, self.device, self.pool)
        say("taught", {shape: len(p.kinds) for shape, p in self.taught.items()})
        self.bank = Bank(given.pack, self.device, self.pool)
        self.scenes = Scenes(self.bank, self.device, self.rng)
        self.camera = Camera(self.device, self.rng)
        say("backdrops", {name: tuple(v.shape) for name, v in self.bank.pictures.items()})
        self.net = MaskNet.load(given.init)[0].to(self.device).requires_grad_(True)
        self.averaged = copy.deepcopy(self.net).eval().requires_grad_(False)
        old = MaskNet.load(given.old)[0].to(self.device)
        for shape, p in self.photos.items():
            low, high = votes(old, p.rgb, SMALL[SHAPES.index(shape)])
            p.old = ((low.astype(np.uint16) + high) // 2).astype(np.uint8)
        self.net.train()
        weights = list(self.net.parameters())
        groups = [
            {"params": [p for p in weights if p.ndim > 1], "weight_decay": given.decay},
            {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
        cuda = self.device != "cpu"
        self.optimiser = torch.optim.AdamW(groups, given.rate, betas=(0.9, 0.99), fused=cuda)
        self.run: Any = torch.compile(self.net, dynamic=False) if given.compile else self.net
        self.step, self.used, self.second = 0, 0.0, False
        self.state = given.out / "state.pt"
        if self.state.exists():
            saved = torch.load(self.state, map_location=self.device, weights_only=True)
            for name in ("net", "averaged", "optimiser"):
                getattr(self, name).load_state_dict(saved[name])
            self.step, self.used, self.second = saved["step"], saved["used"], saved["second"]
            say("goes on at step", self.step)
        self.label(alone=self.second)
        say("parameters", sum(p.numel() for p in weights))

    def label(self, *, alone: bool) -> None:
        """New labels for the photos and new cut-outs for the scenes."""
        begun, products = time.monotonic(), []
        for shape, p in self.photos.items():
            low, high = votes(self.averaged, p.rgb, None if alone else SMALL[SHAPES.index(shape)])
            found = list(self.pool.map(label_from, low, high, p.old, [alone] * len(low)))
            p.label = torch.from_numpy(np.stack([f[0] for f in found])).to(self.device)
            good = [f[2] > 0.8 and (f[0] == 254).mean() > 0.01 for f in found]
            p.usable = np.flatnonzero(good)
            rows = [i for i, f in enumerate(found) if f[1] is not None]
            if rows:
                alphas = [found[i][1] for i in rows]
                products.append((p.rgb, rows, alphas, [p.kinds[i] for i in rows]))
            hidden = np.maximum(p.old, low // 2 + high // 2)
            self.bank.set_floors(shape, p.rgb, hidden)
        for shape, p in self.taught.items():
            products.append((p.rgb, list(range(len(p.old))), list(p.old), p.kinds))
            self.bank.set_floors(("taught", *shape), p.rgb, p.old)
        self.bank.set_products(products)
        say(
            "labels", {s: len(p.usable) for s, p in self.photos.items()}, "cut-outs",
            len(self.bank.box), "shoes", len(self.bank.shoes), "floors", len(self.bank.floors),
            f"{time.monotonic() - begun:.1f} s",
        )  # fmt: skip

    def batch(self, shape: tuple[int, int] | None = None) -> tuple[Tensor, ...]:
        """Pictures -1..1, prior, target and weight of one step; photos come last."""
        if shape is None:
            shape = self.rng.choices(SHAPES, SHARES)[0]
        count, reals = self.given.batch, round(self.given.real * self.given.batch)
        kinds = [p for p in (self.photos.get(shape), self.taught.get(shape)) if p and len(p.usable)]
        shares = [reals]
        if len(kinds) == 2:
            shares = [reals - round(self.given.taught * reals), round(self.given.taught * reals)]
        elif not kinds:
            reals = 0
        picture, target = self.scenes.scene(count - reals, *shape)
        weight, strength = torch.ones_like(target), torch.ones(count, device=self.device)
        for photos, some in zip(kinds, shares, strict=False):
            rgb, wanted, known = real_batch(photos, some, self.device, self.rng)
            picture, target = torch.cat([picture, rgb]), torch.cat([target, wanted])
            weight = torch.cat([weight, known])
        strength[count - reals :] = 0.45
        picture = self.camera.photographed(picture, strength)
        prior = border_prior(picture * 255)
        x = (picture * 2 - 1).contiguous(memory_format=torch.channels_last)
        return x, prior, target, weight

    def fit(self, x: Tensor, prior: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """One step; cross entropy and IoU loss of each picture."""
        with autocast(self.device):
            logits = self.run(x, prior)
        loss, parts = mask_loss(logits.float(), target, weight, self.given.edge_weight)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0, foreach=True)
        self.optimiser.step()
        decay = min(self.given.ema, (100 + self.step) / (110 + self.step))
        with torch.no_grad():
            ours, theirs = list(self.averaged.parameters()), list(self.net.parameters())
            torch._foreach_lerp_(ours, theirs, 1 - decay)
        self.step += 1
        return parts

    def train(self, seconds: float) -> None:
        """Until so many seconds of training are used up, those of earlier runs among them."""
        begun, earlier = time.monotonic(), self.used
        saved = told = begun
        logs, since = [], 0
        batches = Batches(self.batch, self.device)
        reals = round(self.given.real * self.given.batch)
        while self.used < seconds and self.step < self.given.max_steps:
            gone = self.used / seconds
            if gone >= SECOND and not self.second:
                batches.stop()
                self.second = True
                self.label(alone=True)
                batches = Batches(self.batch, self.device)
            rate = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))
            for group in self.optimiser.param_groups:
                group["lr"] = rate * self.given.rate * min(1.0, (self.step + 1) / self.given.warmup)
            parts = self.fit(*batches.get())
            since += 1
            if self.step % 10 == 0:
                scenes, photos = parts[:, :-reals].mean(1), parts[:, -reals:].mean(1)
                logs.append(torch.stack([scenes, photos]))
            now = time.monotonic()
            self.used = earlier + now - begun
            if now - told > self.given.say_every and logs:
                (a, b), (c, d) = torch.stack(logs).mean(0).tolist()
                if not math.isfinite(a):
                    raise SystemExit("the loss is not finite")
                speed = since / (now - told)
                say(f"step {self.step} {100 * gone:.0f}% {speed:.2f}/s",
                    f"scenes {a:.4f} {1 - b:.4f} photos {c:.4f} {1 - d:.4f}")  # fmt: skip
                logs, since, told = [], 0, now
            if now - saved > self.given.save_every:
                self.export()
                saved = time.monotonic()
        batches.stop()
        self.export()
        if not self.given.no_state:
            self.keep()

    def export(self) -> None:
        """The averaged network as a masker, whole or not at all."""
        folder = self.given.out / "masker"
        partial = folder.with_name("masker.part")
        self.averaged.save(partial, side=SIDE, steps=self.step)
        folder.mkdir(parents=True, exist_ok=True)
        for path in partial.iterdir():
            path.replace(folder / path.name)
        shutil.rmtree(partial)

    def keep(self) -> None:
        """The state from which the same command goes on."""
        parts = {n: getattr(self, n).state_dict() for n in ("net", "averaged", "optimiser")}
        facts = {"step": self.step, "used": self.used, "second": self.second}
        write_whole(self.state, parts | facts)

    def smoke(self) -> None:
        """What the parts of a step cost."""
        for name, seconds in self._parts():
            say(f"{name}: {1000 * seconds:.0f} ms")

    def _parts(self) -> Iterator[tuple[str, float]]:
        wait = torch.cuda.synchronize if self.device != "cpu" else (lambda: None)
        shape, count = SHAPES[0], self.given.batch

        def timed(call: Any, times: int = 8) -> float:
            call()
            wait()
            begun = time.monotonic()
            for _ in range(times):
                call()
            wait()
            return (time.monotonic() - begun) / times

        times = 8 if self.device != "cpu" else 1
        with torch.no_grad():
            yield "scenes", timed(lambda: self.scenes.scene(count, *shape), times)
            made = self.batch(shape)
            one = torch.ones(count, device=self.device)
            picture = (made[0] + 1) / 2
            yield "photographed", timed(lambda: self.camera.photographed(picture, one), times)
            yield "prior", timed(lambda: border_prior(picture * 255), times)
            yield "batch", timed(lambda: self.batch(shape), times)
        begun = time.monotonic()
        self.fit(*made)
        wait()
        yield "first step (compiling)", time.monotonic() - begun
        yield "step", timed(lambda: self.fit(*made), times)


def main() -> None:
    """Train, or tell what it costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=Path("pack"), help="of pack.py")
    parser.add_argument("--init", type=Path, required=True, help="the masker that goes on")
    parser.add_argument("--old", type=Path, required=True, help="the masker that seconds it")
    parser.add_argument("-o", "--out", type=Path, default=Path("out"))
    parser.add_argument("--seconds", type=float, default=450, help="of training, all runs together")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--real", type=float, default=0.375, help="share of photos in a batch")
    parser.add_argument("--taught", type=float, default=0.4, help="of those, put right by eye")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=150)
    parser.add_argument("--decay", type=float, default=2e-2)
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--edge-weight", type=float, default=2.5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-state", action="store_true", help="do not keep what goes on from")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--save-every", type=float, default=60)
    parser.add_argument("--say-every", type=float, default=10)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(given)
    if given.smoke:
        trainer.smoke()
    trainer.train(given.seconds)
    if given.device != "cpu":
        say("memory", torch.cuda.max_memory_allocated() // 2**20, "MiB")
    say("done", trainer.step)


if __name__ == "__main__":
    main()
