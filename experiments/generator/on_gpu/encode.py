"""The process that turns drawn plates into latents, on the GPU; and the pool of them.

It hands them on by files in memory, so that the process that trains copies little and never waits.
"""

from __future__ import annotations

import queue as queues
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from draw import Things
from torch.nn import functional as F

from persona_img.generator.codec import Codec
from persona_img.generator.denoiser import mask_cells
from persona_img.generator.learning.plates import on_grey, photo_plate

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

Size = tuple[int, int]
SHARD = 96  # plates that are handed on together
LONGEST = 2.0  # seconds that plates wait for others


class Encoder:
    """Plates to what the denoiser is trained on.

    Args:
        checkpoint: Holds the codec.
        device: ``cuda``, with half precision, or ``cpu``.
    """

    def __init__(self, checkpoint: Path, device: str) -> None:
        self.device = device
        self.kind = torch.float16 if device.startswith("cuda") else torch.float32
        codec = Codec.from_pretrained(checkpoint, subfolder="codec").to(device, self.kind)
        self.codec = codec.to(memory_format=torch.channels_last).eval()

    @torch.no_grad()
    def both(self, made: dict[str, Any]) -> dict[str, Tensor]:
        """Latents of plates and of their mirror images, with their labels.

        Args:
            made: uint8 ``rgb``, ``product`` (N, H, W, 3) and ``mask`` (N, H, W); ``known`` like the
                mask, 1 where ``rgb`` counts, where not all of it does; labels (N, ...).
        """
        there = {name: torch.from_numpy(value).to(self.device) for name, value in made.items()}
        labels = {name: there[name] for name in ("surface", "light", "scene", "colour")}
        found = []
        for mirrored in (False, True):
            seen = {n: v.flip(2) if mirrored else v for n, v in there.items() if v.ndim > 2}
            shown = self._encoded(seen["product"])
            if "known" in seen:
                counts = -F.max_pool2d(-seen["known"][:, None].float(), 16)
            else:
                counts = torch.ones_like(shown[:, :1])
            one = {
                "target": self._encoded(seen["rgb"]),
                "conditions": torch.cat(
                    [shown, mask_cells(seen["mask"][:, None].float() / 255).half()], dim=1
                ),
                "known": counts.half(),
            }
            found.append(one | labels)
        return {name: torch.cat([one[name] for one in found]) for name in found[0]}

    def _encoded(self, pictures: Tensor) -> Tensor:
        parts = []
        for some in pictures.split(64):
            signed = some.permute(0, 3, 1, 2).to(self.kind) / 127.5 - 1
            signed = signed.contiguous(memory_format=torch.channels_last)
            parts.append(self.codec.encode(signed))
        return torch.cat(parts).half()


def photos_of(things: Things, most: int) -> dict[Size, dict[str, Any]]:
    """Merchants' own photos as plates, stacked by size; their backdrop counts, and its colour.

    Where their light comes from nobody knows, so their mirror images teach as well.
    """
    stacks: dict[Size, list[Any]] = {}
    for i in things.photos[False][:most]:
        rgb, alpha = things.photo(i)
        plate = photo_plate(np.ascontiguousarray(rgb), alpha.astype(np.float32) / np.float32(255))
        if plate.known.mean() > 0.05:
            stacks.setdefault((rgb.shape[0], rgb.shape[1]), []).append(plate)
    return {
        size: {
            "rgb": np.stack([p.rgb for p in plates]),
            "product": np.stack([on_grey(p.rgb, p.mask) for p in plates]),
            "mask": np.stack([np.round(p.mask * 255).astype(np.uint8) for p in plates]),
            "known": np.stack([(p.known > 0.5).astype(np.uint8) for p in plates]),
            "colour": np.stack([p.colour for p in plates]).astype(np.float32),
        }
        | {name: np.zeros(len(plates), dtype=np.int64) for name in ("surface", "light", "scene")}
        for size, plates in stacks.items()
    }


def encoding(
    pack: Path, shelf: Path, device: str, most: int, drawn: Any, done: Any, stop: Any
) -> None:
    """Take plates from the queue ``drawn``; put (kind, size, file) of latents into ``done``."""
    torch.set_num_threads(1)
    encoder, count = Encoder(pack / "checkpoint", device), 0
    waiting: dict[tuple[str, Size], list[dict[str, Any]]] = {}
    since: dict[tuple[str, Size], float] = {}

    def put(kind: str, size: Size, latents: dict[str, Tensor]) -> None:
        nonlocal count
        path = shelf / f"{count}.pt"
        torch.save({name: value.cpu() for name, value in latents.items()}, path)
        done.put((kind, size, str(path)))
        count += 1

    for size, made in photos_of(Things(pack), most).items():
        put("photo", size, encoder.both(made))
    while not stop.is_set():
        try:
            made = drawn.get(timeout=0.5)
        except queues.Empty:
            continue
        kind, size = ("held" if made["held"] else "made"), made["size"]
        some = waiting.setdefault((kind, size), [])
        some.append(made)
        since.setdefault((kind, size), time.monotonic())
        late = time.monotonic() - since[kind, size] > LONGEST
        if late or kind == "held" or sum(len(one["rgb"]) for one in some) >= SHARD:
            names = ("rgb", "product", "mask", "surface", "light", "scene", "colour")
            whole = {name: np.concatenate([one[name] for one in some]) for name in names}
            put(kind, size, encoder.both(whole))
            some.clear()
            del since[kind, size]


class Pool:
    """Latents on the device, ever more of them.

    Args:
        device: Where.
        room: Most plates of the trained sizes, and of doubled ones a fifth as many.
    """

    def __init__(self, device: str, room: int) -> None:
        self.device, self.room = device, room
        self.parts: dict[tuple[str, Size], dict[str, Tensor]] = {}
        self.count: dict[tuple[str, Size], int] = {}

    def add(self, kind: str, size: Size, latents: dict[str, Tensor]) -> None:
        """Append a shard; where there is no room, the oldest give way."""
        key, many = (kind, size), len(latents["target"])
        if key not in self.parts:
            most = {"made": self.room // 3, "held": 256, "photo": many}[kind]
            most = most // 5 if kind == "made" and max(size) > 288 else most
            self.parts[key] = {
                name: torch.empty(most, *value.shape[1:], dtype=value.dtype, device=self.device)
                for name, value in latents.items()
            }
            self.count[key] = 0
        whole, at = self.parts[key], self.count[key]
        most = len(whole["target"])
        if kind == "held" and at >= most:
            return
        first = at % most
        fits = min(many, most - first)
        for name, value in latents.items():
            whole[name][first : first + fits] = value[:fits].to(self.device, non_blocking=True)
        self.count[key] = at + fits

    def size_of(self, kind: str, size: Size) -> int:
        """How many of them are there."""
        key = (kind, size)
        return min(self.count[key], len(self.parts[key]["target"])) if key in self.parts else 0

    def sizes(self, kind: str) -> list[Size]:
        """Of which there are some."""
        return [size for one, size in self.parts if one == kind]

    def total(self, kind: str) -> int:
        """How many were ever added."""
        return sum(n for (one, _), n in self.count.items() if one == kind)

    def rows(self, kind: str, size: Size, rows: Tensor) -> dict[str, Tensor]:
        """Those plates."""
        return {name: value[rows] for name, value in self.parts[kind, size].items()}

    def held(self) -> dict[str, dict[str, Tensor]]:
        """All that is held out, by size."""
        return {
            f"{size[0]}x{size[1]}": {
                name: value[: self.size_of("held", size)]
                for name, value in self.parts["held", size].items()
            }
            for size in self.sizes("held")
        }
