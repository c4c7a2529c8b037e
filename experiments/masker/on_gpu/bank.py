"""What scenes are made of, on the device: backdrops, products, emptied floors, hangers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from pixels import decode, filled_floors, load_blob, unmixed
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

CANVAS = 512


def hangers(count: int, seed: int) -> np.ndarray:
    """Hangers drawn by hand, RGBA uint8 (n, 256, 256, 4); the hook's foot is at (128, 112)."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scale = 4
        img = np.zeros((256 * scale, 256 * scale), np.uint8)
        light = np.zeros_like(img)
        thick = float(rng.uniform(2.5, 12))
        wire = float(rng.uniform(1.8, 3.5))
        drop = rng.uniform(25, 70)
        half = rng.uniform(95, 122)
        bend = rng.uniform(-12, 12)
        t = np.linspace(0, 1, 24)
        for side in (-1, 1):
            xs = 128 + side * half * t
            ys = 112 + drop * t ** rng.uniform(0.9, 1.5) + bend * np.sin(np.pi * t)
            pts = np.round(np.stack([xs, ys], 1) * scale).astype(np.int32)
            cv2.polylines(img, [pts], False, 255, max(1, round(thick * scale)), cv2.LINE_AA)
            cv2.polylines(
                light,
                [pts - round(thick)],
                False,
                255,
                max(1, round(thick * scale * 0.4)),
                cv2.LINE_AA,
            )
        if rng.random() < 0.4:  # moulded: broad at the middle, thin at its ends
            out = np.stack([128 + half * np.linspace(-1, 1, 47), np.zeros(47)], 1)
            far = np.abs(np.linspace(-1, 1, 47))
            upper = 112 + drop * far ** rng.uniform(1.0, 1.7)
            lower = upper + rng.uniform(14, 34) * (1 - far) ** rng.uniform(0.4, 1.0) + 4
            edge = np.concatenate([np.stack([out[:, 0], upper], 1),
                                   np.stack([out[:, 0], lower], 1)[::-1]])  # fmt: skip
            cv2.fillPoly(img, [np.round(edge * scale).astype(np.int32)], 255, cv2.LINE_AA)
        if rng.random() < 0.5:
            y = int((112 + drop - rng.uniform(0, 4)) * scale)
            cv2.line(
                img,
                (int((128 - half) * scale), y),
                (int((128 + half) * scale), y),
                255,
                max(1, round(rng.uniform(2, 7) * scale)),
                cv2.LINE_AA,
            )
        hook = np.zeros_like(img)
        stem, r = rng.uniform(8, 30), rng.uniform(9, 17)
        cv2.line(
            hook,
            (128 * scale, 112 * scale),
            (128 * scale, int((112 - stem) * scale)),
            255,
            round(wire * scale),
            cv2.LINE_AA,
        )
        flip = 1 if rng.random() < 0.5 else -1
        a = np.radians(np.linspace(0, rng.uniform(190, 260), 30))
        pts = np.stack(
            [128 + flip * (r - r * np.cos(a)) - flip * r + flip * r, 112 - stem - r * np.sin(a)], 1
        )
        pts[:, 0] -= pts[0, 0] - 128
        cv2.polylines(
            hook,
            [np.round(pts * scale).astype(np.int32)],
            False,
            255,
            round(wire * scale),
            cv2.LINE_AA,
        )
        small = [
            cv2.resize(v, (256, 256), interpolation=cv2.INTER_AREA) for v in (img, light, hook)
        ]
        body = np.array(
            [
                [15, 15, 18],
                [240, 240, 240],
                [150, 105, 60],
                [90, 60, 35],
                [200, 200, 205],
                [40, 60, 140],
                [220, 120, 150],
                [120, 120, 120],
            ]
        )[rng.integers(8)] + rng.normal(0, 10, 3)
        metal = np.full(3, rng.uniform(60, 220)) + rng.normal(0, 5, 3)
        if rng.random() < 0.4:
            metal = body
        m, g, k = (v.astype(np.float32)[..., None] / 255 for v in small)
        rgb = body * (1 - 0.25 * g) + 0.25 * g * 255
        rgb = rgb + k * (1 - m) * (metal - rgb)
        alpha = np.maximum(m, k)
        found.append(np.dstack([np.clip(rgb, 0, 255), alpha * 255]).astype(np.uint8))
    return np.stack(found)


class Bank:
    """What scenes are made of, on the device."""

    def __init__(self, pack: Path, device: str, pool: ThreadPoolExecutor) -> None:
        self.device = device
        self.pictures: dict[str, Tensor] = {}
        for name, side in (("tiles", 128), ("materials", 512), ("scenes", 256), ("backs", 560)):
            index, data = load_blob(pack, name)

            def one(e, side=side, data=data):
                return cv2.resize(
                    decode(data[e[1] : e[1] + e[2]]), (side, side), interpolation=cv2.INTER_AREA
                )

            stack = np.stack(list(pool.map(one, index)))
            self.pictures[name] = (
                torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous().to(device)
            )
        index, data = load_blob(pack, "alpha")
        exact = []
        for key, at, size in index:
            if "notebook" in key:
                continue  # its alpha holds the hand that holds it
            rgba = decode(data[at : at + size], "RGBA")
            h, w = rgba.shape[:2]
            canvas = np.zeros((CANVAS, CANVAS, 4), np.uint8)
            y, x = (CANVAS - h) // 2, (CANVAS - w) // 2
            canvas[y : y + h, x : x + w] = rgba
            exact.append(
                (canvas, "Shoes" if "plimsolls" in key or "dash-force" in key else "alpha")
            )
        self.exact = (
            torch.from_numpy(np.stack([c for c, _ in exact]))
            .permute(0, 3, 1, 2)
            .contiguous()
            .to(device)
        )
        self.exact_kinds = [k for _, k in exact]
        self.hangers = torch.from_numpy(hangers(96, 5)).permute(0, 3, 1, 2).contiguous().to(device)
        self.floor_parts: dict[tuple[object, ...], Tensor] = {}
        self.floors = torch.zeros(0)

    def set_floors(self, shape: tuple[object, ...], rgb: Tensor, hidden: np.ndarray) -> None:
        """Photos of a shape without what is hidden, uint8 (N, H, W); crowded ones are left out."""
        found = []
        for i in range(0, len(rgb), 64):
            p = rgb[i : i + 64].float() / 255
            m = torch.from_numpy(hidden[i : i + 64]).to(self.device)[:, None].float() / 255
            m = F.max_pool2d((m > 0.15).float(), 17, 1, 8) > 0
            ok = (m.float().mean((1, 2, 3)) < 0.72).nonzero()[:, 0]
            if len(ok):
                f = filled_floors(p[ok], m[ok])
                f = F.interpolate(
                    f, size=(CANVAS, CANVAS), mode="bilinear", align_corners=False, antialias=True
                )
                found.append((f * 255).round().byte())
        self.floor_parts[shape] = (
            torch.cat(found) if found else torch.zeros(0, 3, CANVAS, CANVAS, dtype=torch.uint8)
        )
        self.floors = torch.cat([v.to(self.device) for v in self.floor_parts.values()])

    def set_products(self, parts: list) -> None:
        """Cut-outs with their bounding boxes; single shoes are listed as well."""
        stacks, kinds = [self.exact], list(self.exact_kinds)
        for rgb, rows, alphas, names in parts:
            kinds += names
            h, w = rgb.shape[-2:]
            y, x = (CANVAS - h) // 2, (CANVAS - w) // 2
            for i in range(0, len(rows), 64):
                p = rgb[torch.tensor(rows[i : i + 64], device=self.device)].float() / 255
                a = (
                    torch.from_numpy(np.stack(alphas[i : i + 64])).to(self.device)[:, None].float()
                    / 255
                )
                a = ((a - 0.2) / 0.6).clamp(0, 1)
                colour = unmixed(p, a)
                thin = -F.max_pool2d(-a, 3, 1, 1)
                a = (
                    0.35 * a + 0.65 * thin
                )  # an edge a little inside holds nothing of the old backdrop
                canvas = torch.zeros(
                    len(p), 4, CANVAS, CANVAS, dtype=torch.uint8, device=self.device
                )
                canvas[:, :, y : y + h, x : x + w] = (
                    (torch.cat([colour, a], 1) * 255).round().byte()
                )
                stacks.append(canvas)
        self.products = torch.cat(stacks)
        self.clothes = (len(self.exact), len(self.products))
        alpha = self.products[:, 3] > 127
        cols, rows = alpha.any(1), alpha.any(2)
        at = torch.arange(CANVAS, device=self.device)

        def ends(v: Tensor) -> tuple[Tensor, Tensor]:
            low = torch.where(v, at, CANVAS).amin(1)
            high = torch.where(v, at, -1).amax(1)
            return low.float(), high.float()

        (x0, x1), (y0, y1) = ends(cols), ends(rows)
        self.box = torch.stack([x0, y0, x1, y1], 1)
        self.shoes = [i for i, k in enumerate(kinds) if k == "Shoes"]
