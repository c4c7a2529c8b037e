"""Training scenes made in batches on the device: a product, a backdrop, other things, light.

Pictures are float (B, 3, H, W) sRGB 0..1, alphas (B, 1, H, W).
"""

from __future__ import annotations

import math

import torch
from draws import each
from pixels import blur, mesh, sample
from products import Product, Products
from torch import Tensor
from torch.nn import functional as F


class Scenes(Products):
    """Makes scenes from a bank."""

    def scene(self, n: int, h: int, w: int) -> tuple[Tensor, Tensor]:
        """Pictures before the camera, and their exact alphas."""
        p = self.product(n, h, w)
        floor = self._floor(p)
        self.printed(p, floor)
        self.slit(p)
        self.handles(p)
        under = torch.zeros_like(p.alpha)
        self._others(p, floor, under)
        self._cables(p, floor, under)
        self._hangers(p, floor, under)
        picture, shown = self._shaded(p, floor, under), p.alpha
        rows = self.some(n, 0.03)
        if rows is not None:  # thin fabric
            shown = p.alpha.clone()
            shown[rows] = shown[rows] * each(self.r(len(rows), 0.6, 0.95))
        picture = picture + shown * (p.rgb - picture)
        self._fingers(p, picture)
        return self._lit(picture).clamp(0, 1), p.alpha

    def _floor(self, p: Product) -> Tensor:
        """The backdrop, often in a colour that the product has somewhere."""
        n, dev = len(p.rgb), self.device
        floor = self.backdrop(n, p.h, p.w)
        rows = self.some(n, 0.3)
        if rows is not None:
            floor[rows] = self.joined(floor[rows], self.backdrop(len(rows), p.h, p.w))
        rows = self.some(n, 0.75)
        if rows is not None:
            m, mean = len(rows), floor[rows].mean((2, 3), keepdim=True)
            own, plain = p.own_colour(rows)[:, :, 0, 0], mean[:, :, 0, 0]
            alike = own + self.n(m, 0.05)[:, None] + torch.randn(m, 3, device=dev) * 0.02
            grey = plain.mean(1, keepdim=True)
            free = grey + (plain - grey) * self.r(m, 0.2, 1.3)[:, None] + self.n(m, 0.12)[:, None]
            free = free + torch.randn(m, 3, device=dev) * 0.03
            wanted = torch.where(self.chance(m, 0.42)[:, None], alike, free).clamp(0.06, 0.98)
            livelier = each(self.r(m, 0.35, 1.2)) * (floor[rows] - mean)
            floor[rows] = (wanted[:, :, None, None] + livelier).clamp(0, 1)
        return floor

    def _others(self, p: Product, floor: Tensor, under: Tensor) -> None:
        """Another product at the picture's edge, under it."""
        rows = self.some(len(p.rgb), 0.12)
        if rows is None:
            return
        m, h, w = len(rows), p.h, p.w
        other = torch.tensor(self.picks(m), device=self.device)
        side, along = torch.floor(self.r(m, 0, 4)), self.r(m, -0.1, 1.1)
        edge_x = torch.where(side < 2, along * w, torch.where(side < 3, 0.0, float(w)))
        edge_y = torch.where(side < 2, torch.where(side < 1, 0.0, float(h)), along * h)
        fill, angle = self.r(m, 0.15, 0.42), self.r(m, -3.14, 3.14)
        place = self.placing(other, h, w, fill, angle, torch.stack([edge_x, edge_y], 1))
        colour, alpha = self.render(other, *place[:3])
        floor[rows] = floor[rows] + alpha * (colour - floor[rows])
        under[rows] = torch.maximum(under[rows], alpha)

    def _cables(self, p: Product, floor: Tensor, under: Tensor) -> None:
        """A cable, a string, a drawstring of the curtain."""
        rows = self.some(len(p.rgb), 0.08)
        if rows is None:
            return
        m, h, w, dev = len(rows), p.h, p.w, self.device
        x, y = mesh(h, w, dev)
        a, b, c = (
            torch.stack([self.r(m, -0.1, 1.1) * w, self.r(m, -0.1, 1.1) * h], 1) for _ in range(3)
        )
        thick, mask, last = self.r(m, 0.5, 4.0), torch.zeros(m, 1, h, w, device=dev), a
        for k in range(1, 9):
            t = k / 8
            now = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c
            mask = torch.maximum(mask, self.capsule(x, y, last, now, thick, thick))
            last = now
        plain = self.chance(m, 0.6)[:, None]
        grey, free = self.r(m, 0, 1)[:, None].expand(m, 3), torch.rand(m, 3, device=dev)
        colour = torch.where(plain, grey, free)[:, :, None, None]
        floor[rows] = floor[rows] + mask * (colour - floor[rows])
        under[rows] = torch.maximum(under[rows], mask)

    def _hangers(self, p: Product, floor: Tensor, under: Tensor) -> None:
        """A hanger, seen above the product and often in its neckline, before its back."""
        rows = self.some(len(p.rgb), 0.15)
        if rows is None:
            return
        m, (x, y) = len(rows), mesh(p.h, p.w, self.device)
        which = torch.randint(len(self.bank.hangers), (m,), device=self.device)
        items = self.bank.hangers[which].float() / 255
        items = torch.cat([items[:, :3] * items[:, 3:], items[:, 3:]], 1)
        cx, top = p.top_at(rows, self.r(m, -0.08, 0.08), p.h // 5)
        size = self.r(m, 0.45, 0.95) * p.half_x[rows] / 110
        turn = self.n(m, 0.08)[:, None, None]
        px, py = x - cx[:, None, None], y - (top - self.r(m, -22, 8) * size)[:, None, None]
        c, s, by = torch.cos(turn), torch.sin(turn), size[:, None, None]
        got = sample(items, (c * px + s * py) / by + 128, (c * py - s * px) / by + 112, "zeros")
        floor[rows] = got[:, :3] + (1 - got[:, 3:]) * floor[rows]
        under[rows] = torch.maximum(under[rows], got[:, 3:])
        across = (self.r(m, 0.15, 0.45) * p.half_x[rows])[:, None, None]
        down = (self.r(m, 0.06, 0.35) * p.half_y[rows])[:, None, None]
        ex, ey = (x - cx[:, None, None]) / across, (y - top[:, None, None]) / down
        away = torch.sqrt(ex.square() + ey.square() + 1e-6)
        neck = ((1 - away) * torch.minimum(across, down) + 0.5).clamp(0, 1)[:, None]
        neck = neck * each(self.chance(m, 0.55))
        inside = p.rgb[rows] * (1 - neck * each(self.r(m, 0, 0.5)))
        shown = neck * got[:, 3:]
        colour = got[:, :3] / got[:, 3:].clamp_min(1e-3)
        p.rgb[rows] = inside + shown * (colour - inside)
        p.alpha[rows] = p.alpha[rows] * (1 - shown)
        # Where it lies over the product it is seen whole, whatever the product's edge.
        floor[rows] = floor[rows] + shown * (colour - floor[rows])

    def _shaded(self, p: Product, floor: Tensor, under: Tensor) -> Tensor:
        """Contact, cast and ambient shadow on the floor; a dark rim on one side."""
        n, h, w, dev = len(p.rgb), p.h, p.w, self.device
        low = F.avg_pool2d(torch.maximum(p.alpha, 0.7 * under), 4)
        way, far = self.r(n, 0, 6.283), self.r(n, 0, 0.07) * min(h, w) / 4
        along = torch.stack([torch.cos(way), torch.sin(way)])[:, :, None, None]
        x, y = mesh(h // 4, w // 4, dev)
        by = far[:, None, None]
        moved = sample(low, x - along[0] * by, y - along[1] * by, "border")
        cast = blur(moved, torch.exp(self.r(n, math.log(0.4), math.log(5.3))), 12)
        ambient = blur(low, self.r(n, 3, 10.5), 21)
        factor = 1 - each(self.r(n, 0, 0.8) * self.chance(n, 0.85)) * cast
        factor = factor * (1 - each(self.r(n, 0, 0.4)) * ambient)
        factor = F.interpolate(factor, size=(h, w), mode="bilinear", align_corners=False)
        near = F.avg_pool2d(p.alpha, 3, 1, 1)
        wide = F.avg_pool2d(F.avg_pool2d(p.alpha, 9, 1, 4), 7, 1, 3)
        factor = factor * (1 - each(self.r(n, 0, 0.5)) * near)
        factor = factor * (1 - each(self.r(n, 0, 0.3)) * wide)
        rows = self.some(n, 0.4)
        if rows is not None:  # the floor's texture goes on in it
            m, (x, y) = len(rows), mesh(h, w, dev)
            by = self.r(m, 0, 5)[:, None, None]
            dark = sample(p.alpha[rows], x - along[0, rows] * by, y - along[1, rows] * by, "border")
            dark = blur(dark, torch.exp(self.r(m, math.log(0.7), math.log(4.5))), 11)
            factor[rows] = factor[rows] * (1 - each(self.r(m, 0.3, 0.92)) * dark)
        shade = factor.clamp_min(0.02) ** (1 / 2.2)
        tint = torch.tensor([0.985, 1.0, 1.03], device=dev).view(1, 3, 1, 1)
        return floor * shade * tint ** (1 - shade)

    def _fingers(self, p: Product, picture: Tensor) -> None:
        """A finger or a clip over the edge."""
        rows = self.some(len(p.rgb), 0.03)
        if rows is None:
            return
        m, (x, y) = len(rows), mesh(p.h, p.w, self.device)
        left = self.r(m, 0, p.w)
        a = torch.stack([left, torch.where(self.chance(m, 0.5), -10.0, p.h + 10.0)], 1)
        b = a + (p.to[rows] - a) * self.r(m, 0.3, 0.7)[:, None]
        mask = self.capsule(x, y, a, b, self.r(m, 10, 40), self.r(m, 7, 19), 1.5)
        skin = torch.tensor([0.85, 0.65, 0.53], device=self.device) * self.r(m, 0.35, 1.15)[:, None]
        skin = (skin + torch.randn(m, 3, device=self.device) * 0.03)[:, :, None, None]
        skin = skin * (0.75 + 0.25 * F.avg_pool2d(mask, 9, 1, 4))
        picture[rows] = picture[rows] + mask * (skin - picture[rows])
        p.alpha[rows] = p.alpha[rows] * (1 - mask)

    def _lit(self, picture: Tensor) -> Tensor:
        """A slope of light, the edge of a shade, dapple: over everything."""
        n, _, h, w = picture.shape
        x, y = mesh(h, w, self.device)
        across, down = self.n(n, 0.12)[:, None, None], self.n(n, 0.12)[:, None, None]
        picture = picture * (1 + across * (x / w - 0.5) + down * (y / h - 0.5))[:, None]
        rows = self.some(n, 0.12)
        if rows is not None:
            m, way = len(rows), self.r(len(rows), 0, 6.283)[:, None, None]
            away = torch.cos(way) * (x - w / 2) + torch.sin(way) * (y - h / 2)
            away = away + self.n(m, 60)[:, None, None] + 15 * self.field(m, 1, h, w, 4)[:, 0]
            dark = torch.sigmoid(away / self.r(m, 1, 15)[:, None, None])[:, None]
            picture[rows] = picture[rows] * (1 - each(self.r(m, 0.1, 0.45)) * dark)
        rows = self.some(n, 0.25)
        if rows is not None:
            m, cells = len(rows), self.rng.choice((3, 4, 6, 9))
            dapple = each(self.r(m, 0, 0.16)) * self.field(m, 1, h, w, cells)
            picture[rows] = picture[rows] * torch.exp(dapple)
        return picture
