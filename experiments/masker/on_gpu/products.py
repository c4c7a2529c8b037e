"""Products of scenes: placed, bent, in pairs, in other colours, printed on, slit, with handles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from backdrops import Backdrops
from draws import each
from pixels import frac, luma, mesh, sample
from torch import Tensor
from torch.nn import functional as F


@dataclass(eq=False)
class Product:
    """The products of a batch of pictures.

    Attributes:
        h: Height of the pictures.
        w: Width.
        chosen: Rows of the bank.
        rgb: (B, 3, H, W).
        alpha: (B, 1, H, W).
        light: (B, 1, H, W), lightness before it was given another colour.
        angle: (B,), radians.
        to: (B, 2), its middle.
        half_x: (B,), half its width.
        half_y: (B,), half its height.
    """

    h: int
    w: int
    chosen: list[int]
    rgb: Tensor
    alpha: Tensor
    light: Tensor
    angle: Tensor
    to: Tensor
    half_x: Tensor
    half_y: Tensor

    def top_at(self, rows: Tensor, share: Tensor, none: int) -> tuple[Tensor, Tensor]:
        """Where columns of some pictures meet the product first: x, and y or ``none``."""
        cx = (self.to[rows, 0] + share * self.half_x[rows]).clamp(2, self.w - 3)
        where = cx.long()[:, None, None].expand(len(rows), self.h, 1)
        column = self.alpha[rows, 0].gather(2, where)[:, :, 0] > 0.5
        missing = torch.full((len(rows),), none, device=cx.device)
        return cx, torch.where(column.any(1), column.float().argmax(1), missing).float()

    def own_colour(self, rows: Tensor) -> Tensor:
        """A colour that the product has somewhere, (B, 3, 1, 1)."""
        low = F.avg_pool2d(torch.cat([self.rgb[rows], self.alpha[rows]], 1), 4).flatten(2)
        inside = low[:, 3] > 0.9
        at = (torch.rand(inside.shape, device=low.device) * inside).argmax(1)
        return low[:, :3].gather(2, at[:, None, None].expand(len(rows), 3, 1))[:, :, :, None]


class Products(Backdrops):
    """Makes them from a bank."""

    def placing(
        self,
        pick: Tensor,
        h: int,
        w: int,
        fill: Tensor,
        angle: Tensor,
        to: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Where each pixel looks in the canvas: x, y (n, H, W); scale, middle and half size."""
        n = len(pick)
        x0, y0, x1, y1 = self.bank.box[pick].unbind(1)
        centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2
        span_x, span_y = x1 - x0 + 1, y1 - y0 + 1
        c, s = torch.cos(angle), torch.sin(angle)
        ext_x, ext_y = c.abs() * span_x + s.abs() * span_y, s.abs() * span_x + c.abs() * span_y
        scale = fill * torch.minimum(w / ext_x, h / ext_y)
        free_x, free_y = w - scale * ext_x, h - scale * ext_y
        if to is None:
            near = torch.where(self.chance(n, 0.5), 0.35, 1.0)  # half of them near the middle
            across = w / 2 + self.r(n, -0.5, 0.5) * near * free_x.abs()
            down = h / 2 + self.r(n, -0.5, 0.5) * near * free_y.abs()
            to = torch.stack([across, down], 1)
        flip = torch.where(self.chance(n, 0.5), -1.0, 1.0)
        x, y = mesh(h, w, self.device)
        px, py = x - to[:, 0, None, None], y - to[:, 1, None, None]
        c, s, by = c[:, None, None], s[:, None, None], scale[:, None, None]
        sx = (c * px + s * py) / by * flip[:, None, None] + centre_x[:, None, None]
        sy = (c * py - s * px) / by + centre_y[:, None, None]
        return sx, sy, scale, to, scale * ext_x / 2, scale * ext_y / 2

    def render(self, pick: Tensor, sx: Tensor, sy: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Colour and alpha of cut-outs at places."""
        items = self.bank.products[pick].float() / 255
        items = torch.cat([items[:, :3] * items[:, 3:], items[:, 3:]], 1)
        big = sample(items, sx, sy, "zeros")
        small = sample(F.avg_pool2d(items, 2), (sx - 0.5) / 2, (sy - 0.5) / 2, "zeros")
        got = torch.where(each(scale < 0.6), small, big)
        return got[:, :3] / got[:, 3:].clamp_min(1e-3), got[:, 3:].clamp(0, 1)

    def picks(self, n: int) -> list[int]:
        """Rows of the bank, one in seven of them with a true alpha."""
        first, last = self.bank.clothes
        if last == first:
            return [self.rng.randrange(last) for _ in range(n)]
        return [
            self.rng.randrange(first)
            if self.rng.random() < 0.15
            else self.rng.randrange(first, last)
            for _ in range(n)
        ]

    def product(self, n: int, h: int, w: int) -> Product:
        """Products, some of them two of a kind, many in another colour."""
        shoes = int(0.08 * n + self.rng.random()) if self.bank.shoes else 0
        chosen = self.picks(n - shoes) + [self.rng.choice(self.bank.shoes) for _ in range(shoes)]
        self.rng.shuffle(chosen)
        pick = torch.tensor(chosen, device=self.device)
        fill = torch.where(self.chance(n, 0.12), self.r(n, 1.0, 1.3), self.r(n, 0.4, 0.99))
        turned = self.chance(n, 0.2)
        angle = torch.where(turned, self.r(n, -math.pi, math.pi), self.n(n, 0.09))
        sx, sy, scale, to, half_x, half_y = self.placing(pick, h, w, fill, angle)
        bent = each(self.chance(n, 0.35).float() * self.r(n, 1, 12)) * self.field(n, 2, h, w, 5)
        rgb, alpha = self.render(pick, sx + bent[:, 0], sy + bent[:, 1], scale)
        made = Product(h, w, chosen, rgb, alpha, rgb, angle, to, half_x, half_y)
        self._pairs(made)
        made.light = luma(made.rgb)
        self._recolour(made)
        return made

    def _pairs(self, p: Product) -> None:
        rows = self.some(len(p.rgb), 0.06)
        if rows is None:
            return
        m, h, w = len(rows), p.h, p.w
        picked = [self.rng.choice(self.bank.shoes or p.chosen) for _ in range(m)]
        pair = torch.tensor(picked, device=self.device)
        fill, angle = self.r(m, 0.4, 0.62), self.n(m, 0.15)
        mid = torch.stack([w / 2 + self.n(m, 0.03 * w), h / 2 + self.n(m, 0.05 * h)], 1)
        _, _, _, _, half, _ = self.placing(pair, h, w, fill, angle, mid)
        gap = half * self.r(m, 0.92, 1.15)
        left, right = mid.clone(), mid.clone()
        left[:, 0] -= gap
        right[:, 0] += gap
        c1, a1 = self.render(pair, *self.placing(pair, h, w, fill, angle, left)[:3])
        angle = angle + self.n(m, 0.12)
        c2, a2 = self.render(pair, *self.placing(pair, h, w, fill, angle, right)[:3])
        p.rgb[rows] = c2 * a2 + c1 * (1 - a2)
        p.alpha[rows] = torch.maximum(a1, a2)

    def _recolour(self, p: Product) -> None:
        n, dev = len(p.rgb), self.device
        rows = self.some(n, 0.3)
        if rows is not None:
            m, own, alpha = len(rows), p.rgb[rows], p.alpha[rows]
            area = alpha.sum((2, 3), keepdim=True).clamp_min(1)
            mean = (own * alpha).sum((2, 3), keepdim=True) / area
            wanted = self.r(m, 0.05, 0.95)[:, None] + torch.randn(m, 3, device=dev) * 0.13
            wanted = wanted.clamp(0.03, 0.97)[:, :, None, None]
            p.rgb[rows] = (each(self.r(m, 0.6, 1.1)) * (own - mean) + wanted).clamp(0, 1)
        gain = each(self.r(n, 0.75, 1.2))
        cast = 1 + 0.07 * (2 * torch.rand(n, 3, 1, 1, device=dev) - 1)
        p.rgb = (p.rgb * (gain * cast)).clamp(0, 1)

    def printed(self, p: Product, floor: Tensor) -> None:
        """Prints, buttons and stripes, often in the backdrop's colour: no holes."""
        n, h, w, dev = len(p.rgb), p.h, p.w, self.device
        spot = torch.stack([self.r(n, 0, w - 1), self.r(n, 0, h - 1)], 1).long()
        below = floor[torch.arange(n, device=dev), :, spot[:, 1], spot[:, 0]]
        ink = torch.where(self.chance(n, 0.5)[:, None], below, torch.rand(n, 3, device=dev))
        light = (p.light * p.alpha).sum((2, 3), keepdim=True).clamp_min(1e-3)
        relief = (p.light / light * p.alpha.sum((2, 3), keepdim=True)).clamp(0.5, 1.5)
        inked = (ink[:, :, None, None] * (1 + 0.6 * (relief - 1))).clamp(0, 1)
        kinds = {"picture": 0.12, "buttons": 0.08, "letters": 0.06, "stripes": 0.08, "patch": 0.06}
        for kind, chance in kinds.items():
            rows = self.some(n, chance)
            if rows is None:
                continue
            m, mid = len(rows), p.to[rows].clone()
            mid[:, 0] += self.r(m, -0.35, 0.35) * p.half_x[rows]
            mid[:, 1] += self.r(m, -0.35, 0.35) * p.half_y[rows]
            mask = getattr(self, f"_{kind}")(p, rows, mid)
            covers = each(self.r(m, 0.7, 1)) * mask
            p.rgb[rows] = p.rgb[rows] + covers * (inked[rows] - p.rgb[rows])

    def _picture(self, p: Product, rows: Tensor, mid: Tensor) -> Tensor:
        m = len(rows)
        other = torch.tensor(self.picks(m), device=self.device)
        place = self.placing(other, p.h, p.w, self.r(m, 0.08, 0.4), self.n(m, 0.3), mid)
        return self.render(other, *place[:3])[1]

    def _patch(self, p: Product, rows: Tensor, mid: Tensor) -> Tensor:
        m, (x, y) = len(rows), mesh(p.h, p.w, self.device)
        across = (p.half_x[rows] * self.r(m, 0.08, 0.5))[:, None, None]
        down = (p.half_y[rows] * self.r(m, 0.05, 0.4))[:, None, None]
        ex, ey = (x - mid[:, 0, None, None]) / across, (y - mid[:, 1, None, None]) / down
        away = torch.sqrt(ex.square() + ey.square() + 1e-6)
        ragged = 1 + 0.15 * self.field(m, 1, p.h, p.w, 8)[:, 0]
        return (0.5 + (ragged - away) * 12).clamp(0, 1)[:, None]

    def _buttons(self, p: Product, rows: Tensor, mid: Tensor) -> Tensor:
        m, (x, y) = len(rows), mesh(p.h, p.w, self.device)
        mask = torch.zeros(m, 1, p.h, p.w, device=self.device)
        radius, pitch = self.r(m, 1.2, 6.5), self.r(m, 0.12, 0.4) * p.half_y[rows]
        lean = self.n(m, 0.1)
        for k in range(-2, 3):
            at = torch.stack([mid[:, 0] + lean * k * pitch, mid[:, 1] + k * pitch], 1)
            mask = torch.maximum(mask, self.capsule(x, y, at, at + 0.01, radius, radius))
        return mask

    def _letters(self, p: Product, rows: Tensor, mid: Tensor) -> Tensor:
        m, (x, y), size = len(rows), mesh(p.h, p.w, self.device), (p.h, p.w)
        low = torch.randn(m, 1, p.h // 7, p.w // 6, device=self.device)
        noise = F.interpolate(low, size=size, mode="bilinear", align_corners=False)
        across = (0.5 * p.half_x[rows])[:, None, None]
        down = (self.r(m, 0.05, 0.25) * p.half_y[rows])[:, None, None]
        inside = (x - mid[:, 0, None, None]).abs() < across
        inside = inside & ((y - mid[:, 1, None, None]).abs() < down)
        return ((noise - 0.1) * 6).clamp(0, 1) * inside[:, None]

    def _stripes(self, p: Product, rows: Tensor, mid: Tensor) -> Tensor:
        m, (x, y) = len(rows), mesh(p.h, p.w, self.device)
        along = self.chance(m, 0.7)
        turn = torch.where(along, p.angle[rows] + self.n(m, 0.05), self.r(m, 0, 3.14))
        turn = turn[:, None, None]
        u = torch.sin(turn) * -x + torch.cos(turn) * y + 3 * self.field(m, 1, p.h, p.w, 4)[:, 0]
        pitch, duty = self.r(m, 6, 80)[:, None, None], self.r(m, 0.1, 0.5)[:, None, None]
        away = ((frac(u / pitch) - 0.5) * pitch).abs()
        return (0.5 + (duty * pitch / 2 - away)).clamp(0, 1)[:, None]

    def slit(self, p: Product) -> None:
        """Slits and holes through which the backdrop shows."""
        x, y = mesh(p.h, p.w, self.device)
        for chance, longest, widest in ((0.14, 0.9, 16), (0.06, 0.3, 21)):
            rows = self.some(len(p.rgb), chance)
            if rows is None:
                continue
            m, half = len(rows), torch.stack([p.half_x[rows], p.half_y[rows]], 1)
            a = p.to[rows] + torch.stack([self.r(m, -1, 1), self.r(m, -1, 1)], 1) * half
            way, length = self.r(m, 0, 6.283), self.r(m, 0.25, longest) * half.amin(1)
            b = a + torch.stack([torch.cos(way) * length, torch.sin(way) * length], 1)
            ends = self.r(m, 0.3, 5), torch.exp(self.r(m, 0, math.log(widest)))
            p.alpha[rows] = p.alpha[rows] * (1 - self.capsule(x, y, a, b, *ends))

    def handles(self, p: Product) -> None:
        """Handles and straps, in the product's colour."""
        rows = self.some(len(p.rgb), 0.06)
        if rows is None:
            return
        m, (x, y) = len(rows), mesh(p.h, p.w, self.device)
        cx, top = p.top_at(rows, self.r(m, -0.3, 0.3), -999)
        rx = (self.r(m, 0.08, 0.45) * p.half_x[rows])[:, None, None]
        ry = (self.r(m, 0.08, 0.5) * p.half_y[rows])[:, None, None]
        thick = torch.exp(self.r(m, math.log(0.9), math.log(8)))[:, None, None]
        ex, ey = (x - cx[:, None, None]), (y - (top + 3)[:, None, None])
        q = torch.sqrt((ex / rx).square() + (ey / ry).square() + 1e-6)
        slope = (ex / rx.square()).square() + (ey / ry.square()).square()
        away = (q - 1).abs() / (torch.sqrt(slope + 1e-9) / q).clamp_min(1e-4)
        band = (0.5 + thick - away).clamp(0, 1) * (ey < 6) * (top > 0)[:, None, None]
        tone = p.own_colour(rows) * (1.05 - 0.35 * (away / thick).clamp(0, 1)[:, None])
        band, under = band[:, None], 1 - 0.5 * p.alpha[rows]
        p.rgb[rows] = p.rgb[rows] + band * (tone.clamp(0, 1) - p.rgb[rows]) * under
        p.alpha[rows] = torch.maximum(p.alpha[rows], band)
