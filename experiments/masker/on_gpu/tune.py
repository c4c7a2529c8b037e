"""A masker learns on two cores from photos put right by eye: minutes of what a GPU does in seconds.

``tune.py --pack pack/ --init masker/ --seconds 2700 -o out/`` goes on with the masker ``--init``.
Where it is wrong a pixel counts more, and photos that it finds hard are shown more often: there are
few steps. Scenes are in every batch, so that what they taught is not forgotten. A state is kept in
``out/``: the same command goes on from it.
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
from typing import Any

import numpy as np
import torch
from bank import Bank
from camera import Camera
from labels import SIDE, Photos, load_taught, real_batch
from pixels import border_prior
from scenes import Scenes
from train import mask_loss, say

from persona_img.masking.network import MaskNet
from persona_img.training_state import write_whole

FLOORS = 60  # photos whose floors are laid under scenes: emptying one takes a while
SCENES = 0.25  # of a batch
WRONG = 3.0  # so much more a pixel counts on the wrong side of one half
EASY = 0.15  # least share of the mean chance to be shown that a photo keeps
EDGE = 2.5
EMA = 0.995


class Tuner:
    """Everything a step needs."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        torch.manual_seed(given.seed)
        self.rng = random.Random(given.seed)
        with ThreadPoolExecutor(2) as pool:
            self.taught = load_taught(given.pack, "cpu", pool)
            bank = Bank(given.pack, "cpu", pool)
        products = []
        for shape, p in self.taught.items():
            rows = self.rng.sample(range(len(p.old)), min(FLOORS, len(p.old)))
            products.append((p.rgb, list(range(len(p.old))), list(p.old), p.kinds))
            bank.set_floors(("taught", *shape), p.rgb[rows], p.old[rows])
        bank.set_products(products)
        say("taught", {s: len(p.kinds) for s, p in self.taught.items()}, "floors", len(bank.floors))
        self.scenes, self.camera = Scenes(bank, "cpu", self.rng), Camera("cpu", self.rng)
        self.net = MaskNet.load(given.init)[0].requires_grad_(True).train()
        self.averaged = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), given.rate, betas=(0.9, 0.98), weight_decay=1e-2
        )
        self.hard = {shape: np.ones(len(p.kinds)) for shape, p in self.taught.items()}
        self.step, self.used = 0, 0.0
        self.state = given.out / "state.pt"
        if self.state.exists():
            saved = torch.load(self.state, weights_only=True)
            for name in ("net", "averaged", "optimiser"):
                getattr(self, name).load_state_dict(saved[name])
            self.step, self.used = saved["step"], saved["used"]
            say("goes on at step", self.step)

    def photos(self, shape: tuple[int, int], count: int) -> tuple[Photos, list[int]]:
        """Photos to be shown, the hard ones more often."""
        p, hard = self.taught[shape], self.hard[shape]
        chance = np.maximum(hard, EASY * hard.mean())
        rows = self.rng.choices(range(len(chance)), chance.tolist(), k=count)
        return Photos(p.rgb[rows], [], p.old[rows], p.label[rows], np.arange(count)), rows

    def fit(self) -> tuple[float, float]:
        """One step; the mean loss of its scenes and of its photos."""
        shapes = list(self.taught)
        shape = self.rng.choices(shapes, [len(self.taught[s].kinds) for s in shapes])[0]
        made = max(1, round(SCENES * self.given.batch))
        count = self.given.batch - made
        some, rows = self.photos(shape, count)
        with torch.no_grad():
            picture, target = self.scenes.scene(made, *shape)
            drawn = [real_batch(_only(some, i), 1, "cpu", self.rng) for i in range(count)]
            weight = torch.cat([torch.ones_like(target), *(d[2] for d in drawn)])
            picture = torch.cat([picture, *(d[0] for d in drawn)])
            target = torch.cat([target, *(d[1] for d in drawn)])
            strength = torch.ones(len(picture))
            strength[made:] = 0.45
            picture = self.camera.photographed(picture, strength)
            prior = border_prior(picture * 255)
        x = (picture * 2 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.net(x, prior).float()
        wrong = ((logits.detach() > 0) != (target > 0.5)).float()
        loss, parts = mask_loss(logits, target, weight * (1 + WRONG * wrong), EDGE)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        decay = min(EMA, (5 + self.step) / (10 + self.step))
        with torch.no_grad():
            ours = list(self.averaged.parameters())
            torch._foreach_lerp_(ours, list(self.net.parameters()), 1 - decay)
        self.step += 1
        each = parts.sum(0)
        for row, value in zip(rows, each[made:].tolist(), strict=True):
            self.hard[shape][row] = 0.5 * self.hard[shape][row] + 0.5 * value
        return float(each[:made].mean()), float(each[made:].mean())

    def train(self, seconds: float) -> None:
        """Until so many seconds are used up, those of earlier runs among them."""
        begun, earlier = time.monotonic(), self.used
        saved, seen = begun, []
        while self.used < seconds and self.step < self.given.max_steps:
            gone = self.used / seconds
            rate = self.given.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * gone)))
            for group in self.optimiser.param_groups:
                group["lr"] = rate * min(1.0, (self.step + 1) / self.given.warmup)
            seen.append(self.fit())
            now = time.monotonic()
            self.used = earlier + now - begun
            if now - saved > self.given.save_every:
                scenes, photos = np.mean(seen, 0)
                say(f"step {self.step} {100 * gone:.0f}% scenes {scenes:.4f} photos {photos:.4f}")
                self.export()
                saved, seen = time.monotonic(), []
        self.export()

    def export(self) -> None:
        """The averaged network as a masker, and the state from which the same command goes on."""
        folder = self.given.out / "masker"
        partial = folder.with_name("masker.part")
        self.averaged.save(partial, side=SIDE, steps=self.given.steps + self.step)
        folder.mkdir(parents=True, exist_ok=True)
        for path in partial.iterdir():
            path.replace(folder / path.name)
        shutil.rmtree(partial)
        parts: dict[str, Any] = {"step": self.step, "used": self.used}
        parts |= {n: getattr(self, n).state_dict() for n in ("net", "averaged", "optimiser")}
        write_whole(self.state, parts)


def _only(photos: Photos, i: int) -> Photos:
    one = slice(i, i + 1)
    return Photos(photos.rgb[one], [], photos.old[one], photos.label[one], np.arange(1))


def main() -> None:
    """Teach."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=Path("pack"), help="of pack.py")
    parser.add_argument("--init", type=Path, required=True, help="the masker that goes on")
    parser.add_argument("--steps", type=int, default=0, help="that it was taught before")
    parser.add_argument("-o", "--out", type=Path, default=Path("out"))
    parser.add_argument("--seconds", type=float, default=1500, help="all runs together")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--warmup", type=int, default=30)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--save-every", type=float, default=120)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    Tuner(given).train(given.seconds)
    say("done")


if __name__ == "__main__":
    main()
