"""Backdrops of scenes: floors, materials, tiles in perspective, walls and skirting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from draws import Draws, wide_as
from pixels import frac, hashed, mesh, sample
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from random import Random

    from bank import Bank


class Backdrops(Draws):
    """Makes them from a bank."""

    def __init__(self, bank: Bank, device: str, rng: Random) -> None:
        super().__init__(device, rng)
        self.bank = bank

    def backdrop(self, n: int, h: int, w: int) -> Tensor:
        """Backdrops of every kind, (n, 3, h, w)."""
        x, y = mesh(h, w, self.device)
        b = self.bank
        weights = {
            "floors": 0.38 if len(b.floors) else 0.0,
            "materials": 0.24,
            "tiles": 0.09,
            "scenes": 0.06,
            "backs": 0.04,
            "plain": 0.19,
        }
        kinds = self.rng.choices(list(weights), list(weights.values()), k=n)
        out = torch.empty(n, 3, h, w, device=self.device)
        for kind in weights:
            rows = [i for i, k in enumerate(kinds) if k == kind]
            m = len(rows)
            if not m:
                continue
            if kind == "plain":
                colour = (
                    self.r(m, 0.08, 1.0)[:, None] + torch.randn(m, 3, device=self.device) * 0.05
                )
                got = colour.clamp(0, 1)[:, :, None, None].expand(m, 3, h, w)
                got = got + self.field(m, 1, h, w, 3) * self.r(m, 0, 0.06).view(m, 1, 1, 1)
            else:
                bank = b.floors if kind == "floors" else b.pictures[kind]
                pick = torch.tensor(
                    [self.rng.randrange(len(bank)) for _ in range(m)], device=self.device
                )
                items = bank[pick].float() / 255
                side = items.shape[-1]
                if kind in ("tiles", "materials"):
                    least, most = (0.8, 4.2) if kind == "tiles" else (0.3, 2.0)
                    zoom = torch.exp(self.r(m, math.log(least), math.log(most)))
                    turn = torch.where(
                        self.chance(m, 0.65),
                        torch.floor(self.r(m, 0, 4)) * (math.pi / 2) + self.n(m, 0.08),
                        self.r(m, 0, 6.283),
                    )
                    tilt = torch.where(
                        self.chance(m, 0.4), self.r(m, 0.0, 0.7), torch.zeros(m, device=self.device)
                    )
                else:
                    least = {
                        "floors": max(h, w) / side * 0.8,
                        "scenes": max(h, w) / side,
                        "backs": 0.6,
                    }[kind]
                    zoom = least * torch.exp(self.r(m, 0, 0.6))
                    turn = torch.where(
                        self.chance(m, 0.8),
                        self.n(m, 0.06),
                        torch.floor(self.r(m, 0, 4)) * (math.pi / 2) + self.n(m, 0.1),
                    )
                    tilt = torch.zeros(m, device=self.device)
                px, py = x - w / 2, y - h / 2
                deep = 1 + wide_as(tilt) * (py / h + 0.5) * -1 + wide_as(tilt)
                px, py = px * deep, py * deep
                c, s = torch.cos(turn), torch.sin(turn)
                flip = torch.where(self.chance(m, 0.5), -1.0, 1.0)
                sx = (wide_as(c) * px + wide_as(s) * py) / wide_as(zoom) * wide_as(flip)
                sy = (wide_as(c) * py - wide_as(s) * px) / wide_as(zoom)
                if kind in ("tiles", "materials"):
                    sx, sy = sx + wide_as(self.r(m, 0, side)), sy + wide_as(self.r(m, 0, side))
                else:
                    room_x = (side - w / zoom).clamp_min(0) / 2
                    room_y = (side - h / zoom).clamp_min(0) / 2
                    sx, sy = (
                        sx + side / 2 + wide_as(self.r(m, -1, 1) * room_x),
                        sy + side / 2 + wide_as(self.r(m, -1, 1) * room_y),
                    )
                got = sample(items, sx, sy, "reflection")
                if kind == "materials":  # made smaller than a half it would sparkle
                    small = sample(
                        F.avg_pool2d(items, 2), (sx - 0.5) / 2, (sy - 0.5) / 2, "reflection"
                    )
                    got = torch.where((zoom < 0.6)[:, None, None, None], small, got)
            out[torch.tensor(rows, device=self.device)] = got
        rows = self.some(n, 0.28)
        if rows is not None:
            out[rows] = self.jointed(out[rows])
        rows = self.some(n, 0.07)
        if rows is not None:
            out[rows] = self.striped(out[rows])
        rows = self.some(n, 0.3)
        if rows is not None:
            m = len(rows)
            out[rows] = out[rows] * (
                1 + self.field(m, 1, h, w, 4) * self.r(m, 0, 0.1).view(m, 1, 1, 1)
            )
        return out.clamp(0, 1)

    def jointed(self, base: Tensor) -> Tensor:
        """Tiles or planks: joints between cells, each cell a little lighter or darker."""
        m, _, h, w = base.shape
        x, y = mesh(h, w, self.device)
        turn = torch.where(
            self.chance(m, 0.6),
            torch.floor(self.r(m, 0, 2)) * (math.pi / 2) + self.n(m, 0.1),
            self.r(m, 0, 6.283),
        )
        tilt = torch.where(
            self.chance(m, 0.4), self.r(m, 0, 0.8), torch.zeros(m, device=self.device)
        )
        px, py = x - w / 2, y - h / 2
        deep = 1 + wide_as(tilt) * (0.5 - py / h)
        px, py = px * deep, py * deep
        c, s = torch.cos(turn), torch.sin(turn)
        a = wide_as(c) * px + wide_as(s) * py + wide_as(self.r(m, 0, 400))
        b = wide_as(c) * py - wide_as(s) * px + wide_as(self.r(m, 0, 400))
        high = self.r(m, 18, 160)
        wide = high * torch.where(
            self.chance(m, 0.5), torch.ones(m, device=self.device), self.r(m, 1, 8)
        )
        row = torch.floor(b / wide_as(high))
        seed = self.r(m, 0, 100)
        step = torch.where(self.chance(m, 0.5), torch.zeros(m, device=self.device), self.r(m, 0, 1))
        a = a + wide_as(wide) * hashed(row, row * 0, wide_as(seed)) * wide_as((step > 0).float())
        column = torch.floor(a / wide_as(wide))
        lengthwise = (0.5 - (frac(a / wide_as(wide)) - 0.5).abs()) * wide_as(wide)
        across = (0.5 - (frac(b / wide_as(high)) - 0.5).abs()) * wide_as(high)
        joint = (
            0.5
            + (
                wide_as(torch.exp(self.r(m, math.log(0.4), math.log(4.0))))
                - torch.minimum(lengthwise, across)
            )
        ).clamp(0, 1)[:, None]
        shade = 1 + (hashed(row, column, wide_as(seed) + 7)[:, None] - 0.5) * self.r(
            m, 0, 0.35
        ).view(m, 1, 1, 1)
        tone = torch.where(self.chance(m, 0.7), self.r(m, 0.1, 0.85), self.r(m, 1.1, 1.6)).view(
            m, 1, 1, 1
        )
        mean = base.mean((2, 3), keepdim=True)
        return (base * shade * (1 - joint) + joint * (0.5 * base + 0.5 * mean) * tone).clamp(0, 1)

    def striped(self, base: Tensor) -> Tensor:
        """A bed-spread or a rug: stripes one way, often the other way too."""
        m, _, h, w = base.shape
        x, y = mesh(h, w, self.device)
        bent = 4 * self.field(m, 2, h, w, 4)
        turn, out = wide_as(self.r(m, 0, 3.1416)), base
        for way, chance in ((turn, 1.0), (turn + 1.5708, 0.4)):
            u = torch.cos(way) * (x + bent[:, 0]) + torch.sin(way) * (y + bent[:, 1])
            pitch, duty = wide_as(self.r(m, 8, 90)), wide_as(self.r(m, 0.1, 0.6))
            away = ((frac(u / pitch) - 0.5) * pitch).abs()
            on = (0.5 + duty * pitch / 2 - away).clamp(0, 1)[:, None]
            grey = self.r(m, 0.1, 1.0)[:, None] + torch.randn(m, 3, device=self.device) * 0.12
            covers = self.r(m, 0.3, 1.0) * self.chance(m, chance)
            ink = (
                grey.clamp(0, 1)[:, :, None, None]
                * base
                / base.mean((1, 2, 3), True).clamp_min(0.1)
            )
            out = out + covers.view(m, 1, 1, 1) * on * (ink.clamp(0, 1) - out)
        return out

    def joined(self, floor: Tensor, wall: Tensor) -> Tensor:
        """A wall meets a floor, perhaps with a skirting board."""
        m, _, h, w = floor.shape
        x, y = mesh(h, w, self.device)
        turn = torch.where(self.chance(m, 0.8), self.n(m, 0.1), self.r(m, 0, 6.283))
        px, py = x - w / 2, y - h / 2
        d = (
            torch.cos(wide_as(turn)) * py
            + torch.sin(wide_as(turn)) * px
            + wide_as(self.r(m, -0.4, 0.4)) * h
        )
        below = (d / wide_as(self.r(m, 0.7, 4)) + 0.5).clamp(0, 1)[:, None]
        out = wall + below * (floor - wall)
        tall = torch.where(
            self.chance(m, 0.35), self.r(m, 3, 35), torch.zeros(m, device=self.device)
        )
        board = (
            (d + wide_as(tall)).clamp(0, 1) * (-d + 0.5).clamp(0, 1) * wide_as((tall > 0).float())
        )[:, None]
        colour = self.r(m, 0.2, 1.0)[:, None] + torch.randn(m, 3, device=self.device) * 0.04
        return out + board * (colour.clamp(0, 1)[:, :, None, None] - out)
